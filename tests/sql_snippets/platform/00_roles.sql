-- The roles every Supabase project has, with the attributes, memberships and settings that decide
-- what the SQL on the pages may do.  Roles belong to the whole server, so each is made only once.

do $$
declare
  r record;
begin
  for r in
    select * from (values
      ('anon',          'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role',  'nologin noinherit bypassrls'),
      ('authenticator', 'login noinherit'),
      -- The reader's role: not a superuser, and that is what most copied snippets trip over.
      ('postgres',      'login nosuperuser createdb createrole replication bypassrls')
    ) as role(name, attributes)
  loop
    if to_regrole(r.name) is null then
      execute format('create role %I %s', r.name, r.attributes);
    end if;
  end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
