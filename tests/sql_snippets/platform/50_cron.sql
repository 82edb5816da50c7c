-- stand-in for extension: pg_cron
-- pg_cron 1.6 by its names, signatures, columns, grants and errors.  Jobs are kept and validated
-- as there; nothing fires, because that needs the launcher.

create schema cron;
create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default coalesce(inet_server_port(), current_setting('port')::integer),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- The extension's parser is that of Vixie cron: names in any case, what follows a complete item is
-- skipped up to the next blank, and a range that runs backwards is taken and stands for nothing.
create function cron._number(word text, low integer, names text[]) returns integer
language sql immutable
as $$
  select coalesce(
    low + array_position(names, lower(word)) - 1,
    case when word ~ '^[0-9]{1,9}$' then word::integer end
  )
$$;

create function cron._is_field(
  field text, low integer, high integer, names text[]
) returns boolean
language plpgsql immutable
as $$
declare
  rest text := field;
  part text[];
  first integer;
  last integer;
  step integer;
begin
  loop
    -- 1 the whole, 2 a star, or 3 a number with 4 a dash and 5 another; 6 a slash and 7 the step.
    part := regexp_match(
      rest, '^((?:(\*)|([0-9A-Za-z]+)(?:(-)([0-9A-Za-z]*))?)(?:(/)([0-9A-Za-z]*))?)');
    if part is null then
      return false;
    end if;
    step := case when part[6] is null then 1 else cron._number(part[7], 0, '{}') end;
    if coalesce(step, 0) = 0 or (part[2] is null and part[4] is null and part[6] is not null) then
      return false;
    end if;
    if part[2] is null then
      first := cron._number(part[3], low, names);
      last := case when part[4] is null then first else cron._number(part[5], low, names) end;
      if first is null or last is null
        or least(first, last) < low or greatest(first, last) > high
      then
        return false;
      end if;
    end if;
    rest := substr(rest, length(part[1]) + 1);
    if not starts_with(rest, ',') then
      return true;
    end if;
    rest := substr(rest, 2);
  end loop;
end
$$;

-- True for five fields or more, a macro, `$` for the last day of the month, or `N seconds` with N
-- from 1 to 59.
create function cron._is_schedule(schedule text) returns boolean
language plpgsql immutable
as $$
declare
  trimmed constant text := btrim(schedule, E' \t');
  field text[];
begin
  if trimmed ~* '^[1-9][0-9]?\s+seconds?$' then
    return substring(trimmed from '[0-9]+')::integer <= 59;
  end if;
  if starts_with(trimmed, '@') then
    return trimmed ~ '^@(yearly|annually|monthly|weekly|daily|midnight|hourly|reboot)(\s|$)';
  end if;
  field := regexp_split_to_array(trimmed, '[ \t]+');
  return cardinality(field) >= 5
    and cron._is_field(field[1], 0, 59, '{}')
    and cron._is_field(field[2], 0, 23, '{}')
    and (field[3] = '$' or cron._is_field(field[3], 1, 31, '{}'))
    and cron._is_field(field[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')
    and cron._is_field(field[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
end
$$;

create function cron._require_schedule(schedule text) returns void
language plpgsql
as $$
begin
  if not cron._is_schedule(schedule) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('invalid schedule: %s', schedule),
      hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
end
$$;

-- A job runs in the database that the server's settings name, wherever it was scheduled from.
create function cron._database() returns text
language sql stable
as $$
  select coalesce(current_setting('cron.database_name', true), 'postgres')
$$;

-- The public functions run as their caller and pass on who that is; these keep the tables, which
-- callers cannot write.
create function cron._schedule(
  caller text, new_name text, new_schedule text, new_command text, new_database text, new_active boolean
) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  id bigint;
begin
  perform cron._require_schedule(new_schedule);
  -- An upsert keeps `active`: scheduling again does not switch a disabled job on.
  insert into cron.job (jobname, schedule, command, database, username, active)
  values (nullif(new_name, ''), new_schedule, new_command, new_database, caller, new_active)
  on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule, command = excluded.command, database = excluded.database
  returning jobid into id;
  return id;
end
$$;

create function cron._unschedule(caller text, of_name text, of_id bigint) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  owner text;
begin
  if of_id is null then
    delete from cron.job j where j.username = caller and j.jobname = of_name;
    if not found then
      raise exception using
        errcode = 'internal_error',
        message = format('could not find valid entry for job %L', of_name);
    end if;
    return true;
  end if;
  select j.username into owner from cron.job j where j.jobid = of_id;
  if not found then
    raise exception using
      errcode = 'internal_error',
      message = format('could not find valid entry for job %s', of_id);
  end if;
  -- By number the extension finds everybody's jobs and then asks for DELETE on the table.
  if owner <> caller and not has_table_privilege(caller, 'cron.job', 'delete') then
    raise exception using
      errcode = 'insufficient_privilege', message = 'permission denied for table job';
  end if;
  delete from cron.job j where j.jobid = of_id;
  return true;
end
$$;

create function cron._alter_job(
  caller text, of_id bigint, new_schedule text, new_command text, new_database text,
  new_username text, new_active boolean
) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if new_schedule is not null then
    perform cron._require_schedule(new_schedule);
  end if;
  if new_username is not null then
    raise exception using
      errcode = 'internal_error', message = 'must be superuser to alter username';
  end if;
  update cron.job j
  set
    schedule = coalesce(new_schedule, j.schedule),
    command = coalesce(new_command, j.command),
    database = coalesce(new_database, j.database),
    active = coalesce(new_active, j.active)
  where j.jobid = of_id and j.username = caller;
  if not found then
    raise exception using
      errcode = 'internal_error',
      message = format('Job %s does not exist or you don''t own it', of_id);
  end if;
end
$$;

create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql
as $$
begin
  if job_name is null then
    raise exception using errcode = 'internal_error', message = 'job_name can not be NULL';
  end if;
  return cron._schedule(current_user, job_name, schedule, command, cron._database(), true);
end
$$;

create function cron.schedule(schedule text, command text) returns bigint
language sql
as $$
  select cron._schedule(current_user, null, schedule, command, cron._database(), true)
$$;

create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text,
  username text default null, active boolean default true
) returns bigint
language sql
as $$
  select cron._schedule(current_user, job_name, schedule, command, database, active)
$$;

create function cron.unschedule(job_id bigint) returns boolean
language sql
as $$
  select cron._unschedule(current_user, null, job_id)
$$;

create function cron.unschedule(job_name text) returns boolean
language sql
as $$
  select cron._unschedule(current_user, job_name, null)
$$;

create function cron.alter_job(
  job_id bigint,
  schedule text default null,
  command text default null,
  database text default null,
  username text default null,
  active boolean default null
) returns void
language sql
as $$
  select cron._alter_job(current_user, job_id, schedule, command, database, username, active)
$$;

grant select on cron.job to public;
grant select, delete on cron.job_run_details to public;
grant select on cron.jobid_seq, cron.runid_seq to public;
revoke all on function cron.alter_job, cron.schedule_in_database from public;
