-- Schemas and grants of a project's database as the platform hands it over.

do $$
begin
  execute format('grant all on database %I to postgres', current_database());
end
$$;

create schema extensions;
grant usage on schema extensions to postgres, anon, authenticated, service_role;
grant create on schema extensions to postgres;

grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;

-- Projects made before 2026-05-30 were given these default privileges; later ones were not.  The
-- generous form is the one that catches a migration which forgets to revoke.
alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
