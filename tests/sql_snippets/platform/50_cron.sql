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

-- True for what the extension's parser takes: five fields, a macro, `$` for the last day of the
-- month, or `N seconds` with N from 1 to 59.
create function cron._is_schedule(schedule text) returns boolean
language plpgsql immutable
as $$
declare
  field text;
  item text;
  part text[];
  fields text[];
  position integer := 0;
  low integer;
  high integer;
  lows constant integer[] := '{0,0,1,1,0}';
  highs constant integer[] := '{59,23,31,12,7}';
  months constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
  days constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
  names text[];
begin
  if schedule ~* '^\s*[1-9][0-9]?\s+seconds?\s*$' then
    return substring(schedule from '[0-9]+')::integer <= 59;
  end if;
  if schedule ~* '^\s*@(yearly|annually|monthly|weekly|daily|midnight|hourly|reboot)\s*$' then
    return true;
  end if;
  fields := regexp_split_to_array(btrim(schedule), '\s+');
  if array_length(fields, 1) <> 5 then
    return false;
  end if;
  foreach field in array fields loop
    position := position + 1;
    names := case position when 4 then months when 5 then days else '{}' end;
    if position = 3 and field = '$' then
      continue;
    end if;
    foreach item in array string_to_array(field, ',') loop
      part := regexp_match(lower(item), '^(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?$');
      if part is null or (part[1] = '*' and part[2] is not null) or part[3]::integer = 0 then
        return false;
      end if;
      if part[1] = '*' then
        continue;
      end if;
      low := coalesce(
        array_position(names, part[1]) - case position when 5 then 1 else 0 end,
        case when part[1] ~ '^[0-9]+$' then part[1]::integer end
      );
      high := coalesce(
        array_position(names, part[2]) - case position when 5 then 1 else 0 end,
        case when part[2] ~ '^[0-9]+$' then part[2]::integer end,
        low
      );
      if low is null or (part[2] is not null and part[2] !~ '^[0-9]+$' and array_position(names, part[2]) is null)
        or low < lows[position] or high > highs[position] or low > high
      then
        return false;
      end if;
    end loop;
  end loop;
  return true;
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
begin
  delete from cron.job j
  where j.username = caller and (j.jobid = of_id or j.jobname = of_name);
  if not found then
    raise exception using
      errcode = 'internal_error',
      message = case
        when of_id is null then format('could not find valid entry for job %L', of_name)
        else format('could not find valid entry for job %s', of_id)
      end;
  end if;
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
  return cron._schedule(current_user, job_name, schedule, command, current_database(), true);
end
$$;

create function cron.schedule(schedule text, command text) returns bigint
language sql
as $$
  select cron._schedule(current_user, null, schedule, command, current_database(), true)
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
