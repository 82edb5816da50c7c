-- What the database looks like, what it looked like when it was deployed, and what differs.
--
-- The last migration records the state inside the database, so that nobody needs a second one, or a
-- tool, to see what has changed.  A later migration that changes anything records it anew in its last
-- line: select * from reminder.record_deployment();
--
-- Everything in schema reminder is described, and in public what these migrations made there.  Of
-- what the application adds to assignments and activities, only what can change the dates that the
-- job reads, or refuse a contact, counts as wrong.
--
-- Privileges are written out grantee by grantee.  MAINTAIN came with PostgreSQL 17, where a restore
-- gives it to whoever had everything before: it is named only where the rest is not there too.
--
-- To undo, after every later migration:
--   drop function reminder.last_migrations();
--   drop function reminder.repair_grants();
--   drop view reminder.drift;
--   drop function reminder.is_as_deployed(text);
--   drop function reminder.find_drift();
--   drop function reminder.record_deployment();
--   drop function reminder.is_addition(text, text);
--   drop function reminder.code_behind(oid);
--   drop function reminder.without_spelling(text);
--   drop function reminder.find_low_numbering();
--   drop function reminder.current_state();
--   drop function reminder.own_relations();
--   drop table reminder.deployed;  -- loses what was deployed

create table reminder.deployed (
  object text primary key,
  kind text not null,
  state text not null,
  server_version integer not null,
  recorded_at timestamptz not null default clock_timestamp()
);
comment on table reminder.deployed is 'What the migrations made, one row an object or one of its properties.';
comment on column reminder.deployed.object is 'What is described.';
comment on column reminder.deployed.kind is 'What sort of thing it is.';
comment on column reminder.deployed.state is 'Its state; as SQL that makes it, where there is such SQL.';
comment on column reminder.deployed.server_version is 'Major version of the server that described it: each spells views and expressions in its own way.';
comment on column reminder.deployed.recorded_at is 'When it was described.';

create function reminder.own_relations() returns table (id oid, name text)
language sql stable rows 60
set search_path = pg_catalog, pg_temp
as $$
  with named as (
    select c.oid, n.nspname, c.relname
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'v', 'm', 'S', 'f', 'p', 'c')
      and (
        n.nspname = 'reminder'
        or (n.nspname = 'public' and c.relname in
          ('assignments', 'activities', 'activity_types', 'cron_execution_logs', 'reminders'))
      )
  )
  select m.oid, format('%I.%I', m.nspname, m.relname) from named m
  union
  -- The sequences of their identity columns.
  select s.oid, format('%I.%I', n.nspname, s.relname)
  from named m
  join pg_depend d
    on d.refclassid = 'pg_class'::regclass and d.refobjid = m.oid
    and d.classid = 'pg_class'::regclass and d.deptype in ('i', 'a')
  join pg_class s on s.oid = d.objid and s.relkind = 'S'
  join pg_namespace n on n.oid = s.relnamespace
$$;
comment on function reminder.own_relations() is
  'The tables, views and sequences of the system, by name: all of schema reminder, and its own in public.';

create function reminder.current_state() returns table (kind text, object text, state text)
language sql stable rows 1000
set search_path = pg_catalog, pg_temp
as $$
  with
    -- Those of the Data API.
    api_role as materialized (
      select a.* from pg_roles a where a.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
    ),
    relation as materialized (
      select o.name, c.*
      from reminder.own_relations() o
      join pg_class c on c.oid = o.id
    ),
    routine as materialized (
      select
        format('%s %I.%I(%s)',
          case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window function' else 'function' end,
          n.nspname, p.proname, oidvectortypes(p.proargtypes)) as name,
        p.*
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'reminder'
        or (n.nspname = 'public' and p.proname = 'correct_last_contact_date')
    ),
    granted as (
      select
        case when r.relkind = 'S' then 'sequence ' else 'table ' end || r.name as on_what,
        coalesce(r.relacl, acldefault(case when r.relkind = 'S' then 's' else 'r' end::"char", r.relowner)) as acl
      from relation r
      union all
      select format('(%I) on table %s', a.attname, r.name), a.attacl
      from relation r
      join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
      where a.attacl is not null
      union all
      select f.name, coalesce(f.proacl, acldefault('f', f.proowner)) from routine f
      union all
      select 'schema ' || n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
      from pg_namespace n
      where n.nspname = 'reminder'
      union all
      select 'schema public', coalesce(n.nspacl, acldefault('n', n.nspowner))
      from pg_namespace n
      where n.nspname = 'public'
    ),
    privileges as (
      select
        g.on_what,
        coalesce(quote_ident(t.rolname), 'public') as grantee,
        array_agg(
          x.privilege_type || case when x.is_grantable then ' with grant option' else '' end
          order by x.privilege_type
        ) as held
      from granted g
      cross join lateral aclexplode(g.acl) x
      left join pg_roles t on t.oid = x.grantee
      -- Whoever may make things in public makes them beside ours.  All else there, and what other
      -- roles hold, is the application's.
      where g.on_what <> 'schema public'
        or x.privilege_type = 'CREATE' and (x.grantee = 0 or x.grantee in (select u.oid from api_role u))
      group by g.on_what, x.grantee, t.rolname
    )
  select 'schema', 'schema ' || n.nspname, 'owner ' || pg_get_userbyid(n.nspowner)
  from pg_namespace n
  where n.nspname = 'reminder'
  union all
  select
    'relation',
    case r.relkind
      when 'r' then 'table ' when 'p' then 'partitioned table ' when 'f' then 'foreign table '
      when 'v' then 'view ' when 'm' then 'materialized view ' when 'S' then 'sequence ' else 'type '
    end || r.name,
    concat_ws(', ',
      'owner ' || pg_get_userbyid(r.relowner),
      case r.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
      nullif(array_to_string(r.reloptions, ', '), ''),
      (select 'child of ' || string_agg(i.inhparent::regclass::text, ', ' order by 1) from pg_inherits i where i.inhrelid = r.oid),
      (select 'parent of ' || string_agg(i.inhrelid::regclass::text, ', ' order by 1) from pg_inherits i where i.inhparent = r.oid),
      (
        select format('%s, from %s by %s, %s to %s%s', format_type(s.seqtypid, null), s.seqstart,
          s.seqincrement, s.seqmin, s.seqmax, case when s.seqcycle then ', cycles' else '' end)
        from pg_sequence s
        where s.seqrelid = r.oid
      )
    )
  from relation r
  union all
  select
    'row security', 'row security of ' || r.name,
    case when not r.relrowsecurity then 'off' when r.relforcerowsecurity then 'on, forced' else 'on' end
  from relation r
  where r.relkind in ('r', 'p')
  union all
  select
    'column', format('column %s.%I', r.name, a.attname),
    concat_ws(' ',
      format_type(a.atttypid, a.atttypmod),
      case when a.attcollation not in (0, y.typcollation) then 'collate ' || a.attcollation::regcollation end,
      case when a.attnotnull then 'not null' end,
      case a.attidentity when 'a' then 'generated always as identity' when 'd' then 'generated by default as identity' end,
      case when a.attgenerated <> '' then 'generated' end,
      'default ' || pg_get_expr(d.adbin, d.adrelid)
    )
  from relation r
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  join pg_type y on y.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
  where r.relkind <> 'S'
  union all
  -- NOT NULL stands with the column; from PostgreSQL 18 on it is a constraint as well.
  select
    'constraint', format('constraint %I on %s', k.conname, r.name),
    pg_get_constraintdef(k.oid) || coalesce(
      (
        select ' -- enforced ' || string_agg(distinct t.tgenabled::text, '')
        from pg_trigger t
        where t.tgconstraint = k.oid and t.tgenabled <> 'O'
      ),
      '')
  from relation r
  join pg_constraint k on k.conrelid = r.oid and k.contype in ('c', 'f', 'p', 'u', 'x')
  union all
  select
    'index', format('index %I on %s', i.relname, r.name),
    pg_get_indexdef(x.indexrelid) || case when x.indisvalid and x.indisready and x.indislive then '' else ' -- invalid' end
  from relation r
  join pg_index x on x.indrelid = r.oid
  join pg_class i on i.oid = x.indexrelid
  union all
  select
    -- A body in SQL-standard form is an expression, which each version spells in its own way.
    case when f.prosqlbody is null then 'function' else 'expression' end,
    f.name,
    case when f.prokind in ('f', 'p') then pg_get_functiondef(f.oid) else f.prosrc end
      || ' -- owner ' || pg_get_userbyid(f.proowner)
  from routine f
  union all
  select 'expression', 'query of ' || r.name, pg_get_viewdef(r.oid)
  from relation r
  where r.relkind in ('v', 'm')
  union all
  select 'rule', format('rule %I on %s', w.rulename, r.name), pg_get_ruledef(w.oid) || ' -- ' || w.ev_enabled::text
  from relation r
  join pg_rewrite w on w.ev_class = r.oid
  where w.rulename <> '_RETURN' or w.ev_enabled <> 'O'
  union all
  -- Beside the text, which is compared loosely between two versions of the server.
  select 'reads', 'columns read by ' || u.name, string_agg(distinct u.uses, ', ' order by u.uses)
  from (
    select
      s.name,
      case
        when d.refclassid = 'pg_proc'::regclass then d.refobjid::regprocedure::text
        when d.refclassid = 'pg_type'::regclass then 'type ' || d.refobjid::regtype::text
        else quote_ident(n.nspname) || '.' || quote_ident(c.relname)
          || coalesce('.' || quote_ident(a.attname), '')
      end as uses
    from (
      select 'view ' || r.name as name, w.oid as id, 'pg_rewrite'::regclass as class, r.oid as own
      from relation r join pg_rewrite w on w.ev_class = r.oid
      union all
      select format('policy %I on %s', p.polname, r.name), p.oid, 'pg_policy'::regclass, 0::oid
      from relation r join pg_policy p on p.polrelid = r.oid
      union all
      select f.name, f.oid, 'pg_proc'::regclass, f.oid from routine f where f.prosqlbody is not null
    ) s
    join pg_depend d
      on d.classid = s.class and d.objid = s.id and d.deptype = 'n'
      and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
      -- Up to PostgreSQL 15 a view is among the things that it depends on.
      and d.refobjid <> s.own
    left join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
    left join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid and a.attnum > 0
  ) u
  group by u.name
  union all
  select
    'trigger', format('trigger %I on %s', t.tgname, r.name),
    pg_get_triggerdef(t.oid) || ' -- ' || case t.tgenabled
      when 'O' then 'enabled' when 'D' then 'disabled' when 'R' then 'replica only' else 'always' end
  from relation r
  join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
  union all
  select
    'policy', format('policy %I on %s', p.polname, r.name),
    concat_ws(' ',
      format('create policy %I on %s as %s for %s to %s', p.polname, r.name,
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
        (
          select string_agg(coalesce(quote_ident(g.rolname), 'public'), ', ' order by g.rolname)
          from unnest(p.polroles) u(id)
          left join pg_roles g on g.oid = u.id
        )),
      'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
      'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
    )
  from relation r
  join pg_policy p on p.polrelid = r.oid
  union all
  select
    'grant', format('grant on %s to %s', v.on_what, v.grantee),
    array_to_string(
      case when v.held @> '{DELETE,INSERT,REFERENCES,SELECT,TRIGGER,TRUNCATE,UPDATE}'
        then array_remove(v.held, 'MAINTAIN') else v.held end,
      ', ')
  from privileges v
  union all
  select 'type', format('type reminder.%I', y.typname), format('%s, owner %s', y.typtype, pg_get_userbyid(y.typowner))
  from pg_type y
  where y.typnamespace = to_regnamespace('reminder')
    and y.typtype in ('d', 'e', 'r')
  union all
  select
    'default privileges',
    format('default privileges of %I in schema reminder on %s', pg_get_userbyid(b.defaclrole), b.defaclobjtype),
    b.defaclacl::text
  from pg_default_acl b
  where b.defaclnamespace = to_regnamespace('reminder')
  union all
  select
    'role setting', format('setting of role %s: %s', g.rolname, split_part(c.setting, '=', 1)),
    substr(c.setting, strpos(c.setting, '=') + 1)
  from pg_db_role_setting b
  join pg_namespace n on n.nspname = 'reminder' and n.nspowner = b.setrole
  join pg_roles g on g.oid = b.setrole
  cross join lateral unnest(b.setconfig) c(setting)
  where b.setdatabase = 0 and c.setting like 'client_connection_check_interval=%'
  union all
  -- What a role may do beside its grants: nobody signs in without a login, and the application's
  -- server registers for everybody because row security does not hold for it.
  select
    'role', 'role ' || quote_ident(a.rolname),
    concat_ws(', ',
      case when a.rolcanlogin then 'logs in' else 'does not log in' end,
      case when a.rolbypassrls then 'bypassrls' end,
      case when a.rolsuper then 'superuser' end,
      case when a.rolcreaterole then 'makes roles' end)
  from api_role a
  union all
  -- Through these the Data API becomes the role of whoever calls it; through any other, one of its
  -- roles would hold more than it was granted.
  select
    'membership', format('membership of %I in %I', a.rolname, r.rolname),
    -- From PostgreSQL 16 on one may be a member without becoming it.
    case when bool_or(coalesce(to_jsonb(m) ->> 'set_option', 'true')::boolean) then 'granted' else 'granted, not to set' end
  from pg_auth_members m
  join api_role a on a.oid = m.member
  join pg_roles r on r.oid = m.roleid
  where a.rolname <> 'authenticator' or r.oid in (select u.oid from api_role u)
  group by a.rolname, r.rolname
  union all
  -- Data of the migrations: an alert whose kind is not there cannot be raised.
  select 'data', 'alert kind ' || k.kind, k.runbook_anchor || ': ' || k.meaning
  from reminder.alert_kinds k
  union all
  -- Who flips one changes at once who will be reminded.
  select 'data', 'contact type ' || y.code, case when y.counts_as_contact then 'counts' else 'does not count' end
  from public.activity_types y
  union all
  select 'setting', 'setting ' || v.key, v.value
  from (select (select to_jsonb(s) from reminder.settings s) as row) s
  cross join lateral jsonb_each_text(s.row) v
  where v.key <> 'only_row'
$$;
comment on function reminder.current_state() is
  'What the system is made of as it stands now: one row an object or one of its properties.';

-- A restore of rows alone leaves every identity where it was: the next row has a key that is taken.
create function reminder.find_low_numbering()
returns table (relation text, column_name text, highest bigint, next_value bigint)
language plpgsql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
declare
  v_sequence text;
begin
  for relation, column_name, v_sequence in
    select o.name, a.attname, pg_get_serial_sequence(o.name, a.attname)
    from reminder.own_relations() o
    join pg_attribute a on a.attrelid = o.id and a.attidentity <> '' and not a.attisdropped
  loop
    -- Each read as a table: pg_sequences would lock the sequences as a writer does.
    execute format('select max(t.%I), (select s.last_value + s.is_called::integer from %s s) from %s t',
      column_name, v_sequence, relation)
    into highest, next_value;
    if highest >= next_value then
      return next;
    end if;
  end loop;
end
$$;
comment on function reminder.find_low_numbering() is
  'The tables whose next row would have a key that is taken, with the highest key and the next one.';

create function reminder.without_spelling(p_sql text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  -- Between quotes nothing is spelling.
  select regexp_replace(p_sql, '(''[^'']*''|"[^"]*")|\s+|\m[a-z_][a-z0-9_]*\.(?=[a-z_"])', '\1', 'g')
$$;
comment on function reminder.without_spelling(text) is
  'An expression without what two versions of PostgreSQL write differently: blanks, and whether a column says which table it is of.';

-- A function may leave the writing to one that it calls.  Those of extensions and of the platform
-- know nothing of our tables.
create function reminder.code_behind(p_function oid) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive
    own as materialized (
      select p.oid as id, lower(p.proname) as name, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      where n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'cron', 'extensions', 'net', 'realtime',
          'storage', 'supabase_functions', 'vault')
        and not exists (
          select from pg_depend d
          where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    ),
    reached as (
      select o.id, o.body from own o where o.id = p_function
      union
      select o.id, o.body
      from reached r
      join own o on case
        -- Few of many names are found, and each pattern is compiled anew.
        when strpos(lower(r.body), o.name) > 0
        then r.body ~* ('\m' || regexp_replace(o.name, '(\W)', '\\\1', 'g') || '"?\s*\(')
        else false
      end
    )
  select r.body from reached r
$$;
comment on function reminder.code_behind(oid) is
  'The body of a function and of every function that it names in a call, but those of PostgreSQL, of extensions and of the platform.';

create function reminder.is_addition(p_kind text, p_object text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with
    base as (
      select o.id, o.name
      from reminder.own_relations() o
      where o.name in ('public.assignments', 'public.activities')
    ),
    added as (
      select b.id, a.attnum, a.attname,
        (a.attnotnull or y.typnotnull) and not a.atthasdef and a.attidentity = '' as must_be_given,
        -- Left out it is null, or new in every row: no two rows are alike in it.
        not a.atthasdef or pg_get_expr(d.adbin, d.adrelid) ~ '^(nextval|gen_random_uuid|uuid_generate_v[0-9a-z]+)\('
          as never_alike,
        pg_get_serial_sequence(b.name, a.attname) as sequence
      from base b
      join pg_attribute a on a.attrelid = b.id and a.attnum > 0 and not a.attisdropped
      join pg_type y on y.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where not exists (
        select from reminder.deployed d where d.object = format('column %s.%I', b.name, a.attname))
    )
  select case p_kind
    -- What must be given refuses every row that is written as documented.
    when 'column' then exists (
      select from base b join added a on a.id = b.id
      where format('column %s.%I', b.name, a.attname) = p_object
        and not a.must_be_given)
    when 'grant' then exists (
      select from base b join added a on a.id = b.id
      where starts_with(p_object, format('grant on (%I) on table %s to ', a.attname, b.name))
        or starts_with(p_object, format('grant on sequence %s to ', a.sequence)))
      -- A role of the application, which nobody of the Data API becomes, only reads.
      or exists (
        select from base b
        cross join pg_roles g
        where p_object = format('grant on table %s to %I', b.name, g.rolname)
          and not exists (
            select from pg_roles a
            where a.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
              and pg_has_role(a.oid, g.oid, 'member'))
          and not exists (
            select from pg_class c
            cross join lateral aclexplode(c.relacl) x
            where c.oid = b.id and x.grantee = g.oid and (x.privilege_type <> 'SELECT' or x.is_grantable)))
    when 'relation' then exists (
      select from added a where p_object = 'sequence ' || a.sequence)
    -- What only looks at columns of its own refuses no contact, unless these must be given.
    when 'constraint' then exists (
      select from base b join pg_constraint k on k.conrelid = b.id
      where format('constraint %I on %s', k.conname, b.name) = p_object
        and cardinality(k.conkey) > 0
        -- All else holds where the column is left out.
        and pg_get_constraintdef(k.oid) !~* 'is not|not \(|\m(coalesce|distinct|case|num_nulls|num_nonnulls|concat)\M'
        and k.conkey <@ array(select a.attnum from added a where a.id = b.id)
        and (k.contype not in ('u', 'x') or k.conkey && array(select a.attnum from added a where a.id = b.id and a.never_alike)))
    when 'index' then exists (
      select from base b
      join pg_index x on x.indrelid = b.id
      join pg_class i on i.oid = x.indexrelid
      where format('index %I on %s', i.relname, b.name) = p_object
        and (
          not x.indisunique
          or not x.indnullsnotdistinct
          and x.indkey::smallint[] <@ array(select a.attnum from added a where a.id = b.id)
          and x.indkey::smallint[] && array(select a.attnum from added a where a.id = b.id and a.never_alike)
        ))
    -- Before a row is written a trigger can change or drop it, and at any time it can write another.
    -- What cannot be read for certain counts as wrong: a migration that records it anew says that it
    -- is meant.
    when 'trigger' then exists (
      select from base b
      join pg_trigger t on t.tgrelid = b.id and not t.tgisinternal
      join pg_proc p on p.oid = t.tgfoid
      join pg_language l on l.oid = p.prolang
      cross join lateral (
        select
          p.prosrc || ' ' || encode(t.tgargs, 'escape') as code,
          -- Of a row that is deleted the old one is given on.
          regexp_replace(p.prosrc,
            case when (t.tgtype & 28) = 8 then '\mreturn\s+old\s*;'
              else '\mif\s+\(?\s*tg_op\s*=\s*''delete''\s*\)?\s+then\s+return\s+old\s*;' end,
            '', 'gi') as ways_out
      ) c
      where format('trigger %I on %s', t.tgname, b.name) = p_object
        and not exists (
          select from reminder.code_behind(p.oid) as r(body)
          where r.body ~* '\mraise\M(?!\s+(debug|log|info|notice|warning)\M)|\mexecute\M'
            or r.body ~* '\m(insert|update|delete|merge|truncate)\M.*\m(assignments|activities|activity_types|reminder)\M'
        )
        and case
          when (t.tgtype & 2) = 0 then
            l.lanname = 'plpgsql' or not exists (select from reminder.code_behind(p.oid))
          when c.code ~* '\m(status|mentor_id|started_on|last_contact_date|assignment_id|activity_type|occurred_on|registered_at)\M'
            then false
          -- These two fill the column that they are told.
          when l.lanname <> 'plpgsql' then p.prosrc in ('moddatetime', 'tsvector_update_trigger_byid')
          -- Every way out gives the row on, which is never another.
          else c.ways_out !~* '\mreturn\M(?!\s+new\s*;)'
            and c.ways_out !~* '\mnew\s*(:=|=)|\minto\s+(strict\s+)?new\M(?!\s*\.)'
        end)
    -- A new type is of no contact that was logged before.
    when 'data' then p_object like 'contact type %'
    else false
  end
$$;
comment on function reminder.is_addition(text, text) is
  'Whether something that was not deployed is the application''s own and leaves alone what the job reads.';

create function reminder.find_drift()
returns table (
  object text, was text, found text, on_purpose boolean, changed_by text, changed_at timestamptz
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from reminder.deployed) then
    return query values (
      'table reminder.deployed', 'what was deployed', 'empty: nothing can be compared',
      false, null::text, null::timestamptz);
    return;
  end if;
  return query
    select
      coalesce(d.object, c.object),
      d.state,
      c.state,
      case
        when d.object is null then reminder.is_addition(c.kind, c.object)
        else coalesce(h.new_value is not distinct from c.state and h.id is not null, false)
      end,
      h.changed_by,
      h.changed_at
    from reminder.deployed d
    full join reminder.current_state() c on c.object = d.object
    left join lateral reminder.latest_change(d.object) h on d.kind = 'setting'
    where d.state is distinct from c.state
      -- Who takes it away from them there closes what should be closed.
      and not (c.state is null and starts_with(d.object, 'grant on schema public to '))
      and case
        when d.server_version <> current_setting('server_version_num')::integer / 10000
          and d.kind in ('expression', 'policy')
        then reminder.without_spelling(d.state) is distinct from reminder.without_spelling(c.state)
        else true
      end
    order by 1;
  return query
    select
      'numbering of ' || n.relation, 'above ' || n.highest, 'next is ' || n.next_value,
      false, null::text, null::timestamptz
    from reminder.find_low_numbering() n;
  begin
    return query select j.* from reminder.job_drift() j;
  exception when others then
    return query values (
      'jobs', 'readable', 'not readable: ' || sqlerrm, false, null::text, null::timestamptz);
  end;
end
$$;
comment on function reminder.find_drift() is 'The rows of reminder.drift.';

-- What compares cannot vouch for itself: whoever empties find_drift empties the view too.
create function reminder.is_as_deployed(p_function text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from reminder.deployed d
    where d.object = 'function ' || p_function
      and starts_with(d.state, pg_get_functiondef(to_regprocedure(p_function)) || ' -- owner ')
  )
$$;
comment on function reminder.is_as_deployed(text) is
  'Whether a function is the one that was deployed, asked of the record alone.';

create view reminder.drift with (security_invoker = true) as
  select d.object, d.was, d.found, d.on_purpose, d.changed_by, d.changed_at
  from reminder.find_drift() d;
comment on view reminder.drift is
  'What differs from what was deployed, one row a difference: objects, grants, settings, jobs. Empty when there is none.';
comment on column reminder.drift.object is 'What differs.';
comment on column reminder.drift.was is 'What was deployed; null for what was not.';
comment on column reminder.drift.found is 'What is there; null for what is missing.';
comment on column reminder.drift.on_purpose is 'True where nobody needs to act: changed by an operator the documented way, or added by the application where it does no harm.';
comment on column reminder.drift.changed_by is 'Who changed it, where that was written down.';
comment on column reminder.drift.changed_at is 'When, where that was written down.';

create function reminder.record_deployment() returns table (object text, was text, now_deployed text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A setting stays what it was first: its later values are the operator's.
  return query
    with
      present as materialized (select c.* from reminder.current_state() c),
      gone as (
        delete from reminder.deployed d
        where not exists (select from present p where p.object = d.object)
        returning d.object, d.state
      ),
      before as materialized (select d.object, d.state from reminder.deployed d),
      recorded as (
        insert into reminder.deployed as d (object, kind, state, server_version)
        select p.object, p.kind, p.state, current_setting('server_version_num')::integer / 10000
        from present p
        on conflict on constraint deployed_pkey do update
          set kind = excluded.kind, state = excluded.state,
            server_version = excluded.server_version, recorded_at = excluded.recorded_at
          where d.kind <> 'setting'
        returning d.object, d.kind, d.state
      )
    select g.object, g.state, null from gone g
    union all
    select r.object, b.state, r.state
    from recorded r
    left join before b on b.object = r.object
    where b.state is distinct from r.state and exists (select from before);
end
$$;
comment on function reminder.record_deployment() is
  'Records the state of the system as deployed; the last line of each migration that changes it. Returns what is recorded differently than before: read it, for it is no longer drift.';

-- What a restore, a bulk load or a helping hand most often leaves behind.  The SQL it runs is what
-- was recorded, in a table that only the owner of this schema can write.  Nothing that somebody else
-- made is dropped except a policy, which the answer shows in full: more than one permissive policy
-- would let more people read.
create function reminder.repair_grants() returns table (object text, done text)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_differs record;
  v_part text[];
  v_state text;
  v_said jsonb := '{}';
begin
  -- Revoking a privilege on a table takes it from its columns too, so it is looked once more.
  for pass in 1..2 loop
    for v_differs in
      select d.object, d.was, d.found
      from reminder.drift d
      where not d.on_purpose
        and d.object ~ '^(grant on|row security of|policy|trigger|setting of role|numbering of) '
        and (d.was is not null or d.object !~ '^(trigger|setting of role) ')
      order by d.object ~ '^grant on \(', d.object
    loop
      object := v_differs.object;
      done := null;
      begin
        if object ~ '^grant on ' then
          v_part := regexp_match(object,
            '^grant on (?:\(("(?:[^"]|"")+"|[^")]+)\) on )?(.+) to ("(?:[^"]|"")+"|[^" ]+)$');
          for v_state in
            select p.privilege from regexp_split_to_table(v_differs.found, ', ') p(privilege)
            except
            select p.privilege from regexp_split_to_table(v_differs.was, ', ') p(privilege)
            order by 1
          loop
            execute format('revoke %s%s on %s from %s cascade',
              split_part(v_state, ' with ', 1), ' (' || v_part[1] || ')', v_part[2], v_part[3]);
            done := concat_ws(', ', done, 'revoked ' || v_state);
          end loop;
          for v_state in
            select p.privilege from regexp_split_to_table(v_differs.was, ', ') p(privilege)
            except
            select p.privilege from regexp_split_to_table(v_differs.found, ', ') p(privilege)
            order by 1
          loop
            execute format('grant %s%s on %s to %s%s',
              split_part(v_state, ' with ', 1), ' (' || v_part[1] || ')', v_part[2], v_part[3],
              case when v_state like '% with grant option' then ' with grant option' end);
            done := concat_ws(', ', done, 'granted ' || v_state);
          end loop;
        elsif object ~ '^row security of ' then
          execute format('alter table %s %s row level security, %s row level security',
            substr(object, length('row security of ') + 1),
            case when v_differs.was like 'on%' then 'enable' else 'disable' end,
            case when v_differs.was like '%forced' then 'force' else 'no force' end);
          done := 'was ' || v_differs.found;
        elsif object ~ '^policy ' then
          execute 'drop policy if exists ' || substr(object, length('policy ') + 1);
          if v_differs.was is not null then
            execute v_differs.was;
          end if;
          done := coalesce('was ' || v_differs.found, 'was missing');
        elsif object ~ '^numbering of ' then
          perform setval(pg_get_serial_sequence(n.relation, n.column_name), n.highest)
          from reminder.find_low_numbering() n
          where object = 'numbering of ' || n.relation;
          done := 'was: ' || v_differs.found;
        elsif object ~ '^setting of role ' then
          v_part := regexp_match(object, '^setting of role (.+): (\w+)$');
          execute format('alter role %I set %I = %L', v_part[1], v_part[2], v_differs.was);
          done := coalesce('was ' || v_differs.found, 'was missing');
        else
          v_part := regexp_match(object, '^trigger (.+) on (\S+)$');
          v_state := substring(v_differs.was from ' -- ([a-z ]+)$');
          if split_part(v_differs.was, ' -- ', 1) is distinct from split_part(v_differs.found, ' -- ', 1) then
            execute regexp_replace(split_part(v_differs.was, ' -- ', 1),
              '^CREATE TRIGGER', 'create or replace trigger');
          end if;
          execute format('alter table %s %s trigger %s', v_part[2],
            case v_state
              when 'disabled' then 'disable' when 'replica only' then 'enable replica'
              when 'always' then 'enable always' else 'enable' end,
            v_part[1]);
          done := coalesce('was ' || v_differs.found, 'was missing');
        end if;
      exception when others then
        done := format('%s (SQLSTATE %s)', sqlerrm, sqlstate);
      end;
      v_said := v_said || jsonb_build_object(object, concat_ws(', ', v_said ->> object, done));
    end loop;
  end loop;
  -- Whoever may not revoke gets a warning and no error, so it is looked at the end.
  return query
    select
      s.key,
      case when exists (select from reminder.drift d where d.object = s.key)
        then 'could not be put back: ' else '' end || s.value
    from jsonb_each_text(v_said) s
    order by s.key;
end
$$;
comment on function reminder.repair_grants() is
  'Puts grants, row security, policies, triggers, numberings and the setting of the role back as they were deployed, and says what it changed.';

create function reminder.last_migrations() returns table (version text, name text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Supabase's own record, where the migrations came by its command-line tool.
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    return query execute
      'select m.version::text, m.name::text from supabase_migrations.schema_migrations m order by m.version desc limit 5';
  end if;
end
$$;
comment on function reminder.last_migrations() is
  'The last five migrations of this project, by Supabase''s record of them; no row where there is none.';

revoke all on function
  reminder.own_relations(),
  reminder.current_state(),
  reminder.find_low_numbering(),
  reminder.without_spelling(text),
  reminder.code_behind(oid),
  reminder.is_addition(text, text),
  reminder.record_deployment(),
  reminder.find_drift(),
  reminder.is_as_deployed(text),
  reminder.repair_grants(),
  reminder.last_migrations()
  from public;
