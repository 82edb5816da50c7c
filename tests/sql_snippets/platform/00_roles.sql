-- The roles every Supabase project has, with the attributes, memberships and settings that decide
-- what the SQL on the pages may do.  Roles belong to the whole server: one that is there keeps what
-- it has, as on a server that is Supabase's own.

do $do$
declare
  r record;
  statement text;
begin
  for r in
    select * from (values
      ('anon', 'nologin noinherit', array[$$alter role anon set statement_timeout = '3s'$$]),
      (
        'authenticated',
        'nologin noinherit',
        array[$$alter role authenticated set statement_timeout = '8s'$$]
      ),
      ('service_role', 'nologin noinherit bypassrls', '{}'),
      (
        'authenticator',
        'login noinherit',
        array[
          $$grant anon, authenticated, service_role to authenticator$$,
          $$alter role authenticator set statement_timeout = '8s'$$,
          $$alter role authenticator set lock_timeout = '8s'$$
        ]
      ),
      -- The reader's role: not a superuser, and that is what most copied snippets trip over.
      (
        'postgres',
        'login nosuperuser createdb createrole replication bypassrls',
        array[
          $$grant anon, authenticated, service_role to postgres with admin option$$,
          $$grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres$$,
          $$alter role postgres set search_path = "$user", public, extensions$$
        ]
      )
    ) as role(name, attributes, statements)
  loop
    if to_regrole(r.name) is null then
      execute format('create role %I %s', r.name, r.attributes);
      foreach statement in array r.statements loop
        execute statement;
      end loop;
    end if;
  end loop;
end
$do$;
