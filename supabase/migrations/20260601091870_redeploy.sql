-- Putting the system back as its migrations made it, from what was recorded then.
--
-- reminder.repair_grants() mends who may do what.  This mends the rest, as far as no data was lost:
-- functions, views, constraints, indexes, defaults, columns that were renamed, and what somebody
-- added to our tables that keeps rows out.  It must not undo a deployment whose last line,
-- reminder.record_deployment(), is missing: the runbook asks for that first.
--
-- To undo, after every later migration:
--   drop function reminder.redeploy();
--   drop function reminder.find_renamed_columns();
--   drop function reminder.redeployment_of(text, text, text);
--   drop function reminder.reset_setting(text);

-- Only what was recorded is run, and names from the catalog: the text of a difference never is.
create function reminder.redeployment_of(p_object text, p_was text, p_found text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_kind text := split_part(p_object, ' ', 1);
  v_name text := substr(p_object, strpos(p_object, ' ') + 1);
  v_part text[] := regexp_match(p_object, '^\w+ (.+) on (\S+)$');
  v_was text := regexp_replace(p_was, ' -- (enforced \w+|invalid)$', '');
  v_options text;
begin
  if p_object like 'query of %' or v_kind = 'view' then
    v_name := regexp_replace(p_object, '^(query of|view) ', '');
    select string_agg(o.option, ', ') into v_options
    from reminder.deployed d
    cross join lateral regexp_split_to_table(d.state, ', ') o(option)
    where d.object = 'view ' || v_name and o.option ~ '^\w+=\w+$';
    if p_was is null or to_regclass(v_name) is not null and p_found is null then
      return null;
    elsif v_kind = 'view' and p_found is not null then
      return format('alter view %s set (%s)', v_name, v_options);
    end if;
    return (
      select format('create or replace view %s %s as %s', v_name, 'with (' || v_options || ')', d.state)
      from reminder.deployed d
      where d.object = 'query of ' || v_name
    );
  elsif v_kind = 'column' then
    v_part := regexp_match(p_object, '^column (\S+)\.("(?:[^"]|"")+"|[^."]+)$');
    if p_was is null or p_found is null or p_was like '% generated%' or p_found like '% generated%'
      or regexp_replace(p_was, '( not null)?( default .*)?$', '')
        <> regexp_replace(p_found, '( not null)?( default .*)?$', '')
    then
      return null;
    end if;
    return format('alter table %s alter column %s %s not null, alter column %2$s %4$s', v_part[1], v_part[2],
      case when p_was ~ ' not null( default .*)?$' then 'set' else 'drop' end,
      coalesce('set default ' || substring(p_was from ' default (.*)$'), 'drop default'));
  elsif v_kind = 'constraint' then
    return format('alter table %s ', v_part[2]) || concat_ws(', ',
      case when p_found is not null then 'drop constraint ' || v_part[1] end,
      case when p_was is not null then format('add constraint %s %s', v_part[1], v_was) end);
  elsif v_kind = 'index' then
    -- The index of a constraint comes and goes with it.
    if exists (
      select from reminder.deployed d where d.object = format('constraint %s on %s', v_part[1], v_part[2])
      union all
      select from pg_constraint k
      where k.conrelid = to_regclass(v_part[2]) and quote_ident(k.conname) = v_part[1]
    ) then
      return null;
    end if;
    return concat_ws('; ',
      case when p_found is not null
        then format('drop index %s.%s', split_part(v_part[2], '.', 1), v_part[1]) end,
      v_was);
  elsif v_kind in ('rule', 'trigger') and p_was is null then
    return format('drop %s %s on %s', v_kind, v_part[1], v_part[2]);
  elsif p_object like 'alert kind %' and p_was is not null then
    return format(
      'insert into reminder.alert_kinds (kind, runbook_anchor, meaning) values (%L, %L, %L) '
      'on conflict (kind) do update set runbook_anchor = excluded.runbook_anchor, meaning = excluded.meaning',
      substr(p_object, 12), split_part(p_was, ': ', 1), substr(p_was, strpos(p_was, ': ') + 2));
  elsif v_kind = 'setting' and p_found is null and not exists (select from reminder.settings) then
    return 'insert into reminder.settings select r.* from jsonb_populate_record(null::reminder.settings, ('
      'select jsonb_object_agg(substr(d.object, 9), d.state) || ''{"only_row": true}'' '
      'from reminder.deployed d where d.kind = ''setting'')) r';
  end if;
  return null;
end
$$;
comment on function reminder.redeployment_of(text, text, text) is
  'The SQL that puts one row of reminder.drift back as deployed; null where there is none, or where reminder.repair_grants() does it.';

create function reminder.find_renamed_columns()
returns table (relation text, column_name text, now_called text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with
    base as (
      select c.oid as id, format('%I.%I', n.nspname, c.relname) as name
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and n.nspname in ('public', 'reminder')
    ),
    present as (
      select b.name, quote_ident(a.attname) as column_name, format_type(a.atttypid, a.atttypmod) as type
      from base b
      join pg_attribute a on a.attrelid = b.id and a.attnum > 0 and not a.attisdropped
    ),
    deployed as (
      select b.name, substr(d.object, length(b.name) + 9) as column_name, d.state
      from base b
      join reminder.deployed d on starts_with(d.object, format('column %s.', b.name))
    ),
    pair as (
      select m.name, m.column_name, s.column_name as now_called,
        count(*) over (partition by m.name, m.column_name) as likely,
        count(*) over (partition by s.name, s.column_name) as wanted
      from deployed m
      join present s on s.name = m.name and (m.state = s.type or starts_with(m.state, s.type || ' '))
      where not exists (
          select from present p where p.name = m.name and p.column_name = m.column_name)
        and not exists (
          select from deployed d where d.name = s.name and d.column_name = s.column_name)
    )
  select p.name, p.column_name, p.now_called
  from pair p
  where p.likely = 1 and p.wanted = 1
$$;
comment on function reminder.find_renamed_columns() is
  'Columns of our tables that are missing, where one more of the same type is there: only the name has changed.';

create function reminder.redeploy() returns table (object text, done text)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
-- A function may come back before the table or function that it names.
set check_function_bodies = off
as $$
declare
  v_row record;
  v_name text;
  v_sql text;
  v_found text;
  v_said jsonb := '{}';
  v_mended integer;
begin
  -- From the record and the catalog alone, as what compares may be what is broken.
  for pass in 1..5 loop
    v_mended := 0;
    if to_regprocedure('reminder.find_renamed_columns()') is not null then
      for v_row in select r.* from reminder.find_renamed_columns() r loop
        v_name := format('column %s.%s', v_row.relation, v_row.column_name);
        begin
          execute format('alter table %s rename column %s to %s',
            v_row.relation, v_row.now_called, v_row.column_name);
          v_mended := v_mended + 1;
          v_said := v_said || jsonb_build_object(v_name, 'was called ' || v_row.now_called);
        exception when others then
          v_said := v_said || jsonb_build_object(v_name, format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
        end;
      end loop;
    end if;
    for v_row in
      select d.object, d.state, to_regprocedure(substr(d.object, strpos(d.object, ' ') + 1)) as id
      from reminder.deployed d
      where d.object ~ '^(function|procedure) '
      order by d.object
    loop
      v_found := pg_get_functiondef(v_row.id);
      continue when starts_with(v_row.state, v_found || ' -- owner ');
      begin
        execute regexp_replace(v_row.state, ' -- owner \S+$', '');
        v_mended := v_mended + 1;
        v_said := v_said || jsonb_build_object(v_row.object, coalesce('was ' || v_found, 'was missing'));
      exception when others then
        v_said := v_said || jsonb_build_object(v_row.object, format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
      end;
    end loop;
    exit when v_mended = 0;
  end loop;
  -- What depends on others comes after them, in a later pass where the order of names is wrong.
  for pass in 1..6 loop
    v_mended := 0;
    for v_row in
      select d.object, d.was, d.found
      from reminder.find_drift() d
      where not d.on_purpose and d.object !~ '^(grant on|policy|row security of) '
      -- What was added goes first: it may be what keeps the rest from coming back.
      order by d.was is not null, d.object
    loop
      begin
        v_sql := reminder.redeployment_of(v_row.object, v_row.was, v_row.found);
        continue when v_sql is null;
        execute v_sql;
        v_mended := v_mended + 1;
        v_said := v_said || jsonb_build_object(v_row.object, coalesce('was ' || v_row.found, 'was missing'));
      exception when others then
        v_said := v_said || jsonb_build_object(v_row.object, format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
      end;
    end loop;
    exit when v_mended = 0;
  end loop;
  -- What was made just now has the grants of anything new.
  for v_row in select g.object, g.done from reminder.repair_grants() g loop
    v_said := v_said || jsonb_build_object(v_row.object, v_row.done);
  end loop;
  return query
    select
      s.key,
      case when s.value not like 'could not be put back: %'
          and exists (select from reminder.find_drift() d where d.object = s.key)
        then 'could not be put back: ' else '' end || s.value
    from jsonb_each_text(v_said) s
    order by s.key;
end
$$;
comment on function reminder.redeploy() is
  'Puts functions, views, constraints, indexes, defaults, renamed columns and grants back as deployed, takes off what was added to our tables, and says what was there.';

create function reminder.reset_setting(p_setting text) returns table (setting text, was text, now_set text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_deployed text;
  v_of_role record;
begin
  setting := p_setting;
  select d.state into v_deployed
  from reminder.deployed d
  where d.kind = 'setting' and d.object = 'setting ' || p_setting;
  if not found then
    -- One of a role, which health names where it keeps a run from its end, or people from registering.
    for v_of_role in
      select
        substr(c.setting, strpos(c.setting, '=') + 1) as value,
        b.setrole::regrole as role,
        ' in database ' || quote_ident(d.datname) as database
      from pg_db_role_setting b
      cross join lateral unnest(b.setconfig) c(setting)
      join pg_namespace n on n.nspname = 'reminder'
        and (
          n.nspowner = b.setrole
          -- Of the others only what health names: their timeouts are the platform's.
          or p_setting in ('default_transaction_read_only', 'session_replication_role')
            and b.setrole in (to_regrole('authenticated'), to_regrole('authenticator'), to_regrole('service_role'))
        )
      left join pg_database d on d.oid = b.setdatabase
      where split_part(c.setting, '=', 1) = p_setting
        and (b.setdatabase = 0 or d.datname = current_database())
    loop
      was := v_of_role.value;
      execute format('alter role %s%s reset %I', v_of_role.role, v_of_role.database, p_setting);
      return next;
    end loop;
    if was is not null then
      return;
    end if;
    raise exception using
      errcode = 'no_data_found',
      message = format('There is no setting %s.', p_setting),
      hint = 'The settings are the columns of reminder.settings.';
  end if;
  now_set := v_deployed;
  execute format('select s.%I::text from reminder.settings s', p_setting) into was;
  execute format('update reminder.settings set %I = %L', p_setting, v_deployed);
  return next;
end
$$;
comment on function reminder.reset_setting(text) is
  'Sets one setting to the value it was deployed with, and takes one off the roles of the system; reminder.changes keeps the old value of the first.';

revoke all on function
  reminder.redeployment_of(text, text, text),
  reminder.find_renamed_columns(),
  reminder.redeploy(),
  reminder.reset_setting(text)
  from public;
