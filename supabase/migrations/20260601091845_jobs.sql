-- The three jobs as they are meant to be, and the calls that register and change them.
--
-- A job is only known by its row in cron.job, which whoever may use pg_cron can write and no trigger
-- of ours can watch.  So it is compared field by field with what stands here.  Schedule and switch
-- belong to the operator: reminder.change_job writes down who changed them and why, and what is
-- found so is a change on purpose.
--
-- pg_cron's tables are only named inside functions of PL/pgSQL: a view on them would go with the
-- extension, and with it what says that the extension is gone.
--
-- To undo, after every later migration:
--   drop function reminder.register_jobs(boolean);
--   drop function reminder.change_job(text, text, text, text, boolean);
--   drop function reminder.job_state(text);
--   drop function reminder.job_drift();
--   drop function reminder.latest_change(text);
--   drop function reminder.deployed_jobs();

create function reminder.deployed_jobs() returns table (jobname text, schedule text, command text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  values
    -- One CALL and nothing else: with a second statement it would run in a transaction block and
    -- its commits would be refused.
    ('peer-mentor-reminders', '0 6 * * *', 'call reminder.run_job()'),
    ('reminder-watchdog', '*/5 * * * *', 'select reminder.watch()'),
    ('reminder-retention', '30 3 * * *', 'call reminder.clear_old_rows()')
$$;
comment on function reminder.deployed_jobs() is
  'The jobs of the system: the daily run, the watchdog, and the daily clearing of old rows. Schedules in GMT.';

create function reminder.latest_change(p_object text) returns setof reminder.changes
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select c.* from reminder.changes c where c.object = p_object order by c.id desc limit 1
$$;
comment on function reminder.latest_change(text) is 'The latest change of one object that was written down.';

create function reminder.job_drift()
returns table (
  object text, was text, found text, on_purpose boolean, changed_by text, changed_at timestamptz
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('cron.job') is null then
    return query values (
      'extension pg_cron', 'installed', 'missing: no job runs', false, null::text, null::timestamptz);
    return;
  end if;
  return query
    select
      'job ' || e.jobname || coalesce(': ' || field.name, ''),
      field.deployed,
      field.present,
      field.name in ('schedule', 'active')
        and c.new_value is not distinct from field.present
        -- A job that has run since was switched on again, and off once more by somebody else.
        and not (
          field.name = 'active'
          and exists (
            select from (
              select d.jobid, d.start_time from cron.job_run_details d order by d.runid desc limit 5000
            ) latest
            where latest.jobid = j.jobid and latest.start_time > c.changed_at + interval '1 minute'
          )
        ),
      c.changed_by,
      c.changed_at
    from reminder.deployed_jobs() e
    left join cron.job j
      on j.jobname = e.jobname
      and j.username = (
        select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'reminder')
    cross join lateral (
      values
        (null, 'registered', case when j.jobid is null then 'missing' else 'registered' end),
        ('schedule', e.schedule, j.schedule),
        ('command', e.command, j.command),
        ('database', coalesce(current_setting('cron.database_name', true), 'postgres'), j.database),
        ('nodename', coalesce(current_setting('cron.host', true), 'localhost'), j.nodename),
        -- A replica has a port of its own, and no jobs.
        ('nodeport', case when pg_is_in_recovery() then j.nodeport::text else current_setting('port') end,
          j.nodeport::text),
        ('active', 'true', j.active::text)
    ) field(name, deployed, present)
    left join lateral reminder.latest_change('job ' || e.jobname || ': ' || field.name) c on true
    where field.present is distinct from field.deployed
      and (field.name is null or j.jobid is not null)
    union all
    select
      'surplus job ' || j.jobid,
      null,
      format('%s: %s at %s by %s%s; to remove it: select cron.unschedule(%s)',
        coalesce(j.jobname, 'without a name'), j.command, j.schedule, j.username,
        case when j.active then '' else ', switched off' end, j.jobid),
      false, null, null
    from cron.job j
    where not exists (
        select from reminder.deployed_jobs() e
        where e.jobname = j.jobname
          and j.username = (
            select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'reminder')
      )
      and (
        j.jobname in (select e.jobname from reminder.deployed_jobs() e)
        or j.command ~* '(\mreminder"?\s*\.|(search_path|schema).*\mreminder\M|\m(run_job|run_manually|clear_old_rows)\M)'
        or j.command ~* '\m(assignments|activities|activity_types|cron_execution_logs|correct_last_contact_date)\M'
        -- What deletes from the view has people reminded again; to read it is what it is for.
        or j.command ~* '\m(delete\s+from|insert\s+into|update|truncate)\s+(table\s+)?(only\s+)?("?public"?\s*\.\s*)?"?reminders\M'
        -- What takes one of these jobs away, or switches it off, for the next day.
        or j.command ~* '\m(update|delete\s+from|truncate)\s+(only\s+)?"?cron"?\s*\.\s*"?job\M'
        or j.command ~* '\mcron"?\s*\.\s*"?(unschedule|alter_job)"?\s*\(\s*[^''0-9[:space:]]'
        or j.command ~* '\m(unschedule|alter_job|schedule|schedule_in_database)\M'
          and exists (
            select from reminder.deployed_jobs() e
            left join cron.job o on o.jobname = e.jobname
            where strpos(j.command, e.jobname) > 0
              or j.command ~* ('\m(unschedule|alter_job)"?\s*\(\s*' || o.jobid || '\M'))
      );
end
$$;
comment on function reminder.job_drift() is
  'What differs between the jobs in cron.job and those of the system, field by field, and surplus jobs that call into the system.';

create function reminder.job_state(p_job text)
returns table (job text, scheduler_runs boolean, last_start text)
language plpgsql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      coalesce(
        (
          select case when j.active then 'active' else 'disabled' end
          from cron.job j
          where j.jobname = p_job and j.username = current_user
        ),
        'not registered'),
      exists (select from pg_stat_activity a where a.application_name = 'pg_cron scheduler'),
      (
        select concat_ws(', ', date_trunc('minute', d.start_time),
          d.status || ': ' || coalesce(d.return_message, 'no message'))
        from cron.job_run_details d
        where d.jobid = (select j.jobid from cron.job j where j.jobname = p_job and j.username = current_user)
        -- From the latest row back, as nothing else is indexed.
        order by d.runid desc
        limit 1
      );
end
$$;
comment on function reminder.job_state(text) is
  'Whether a job is registered and active, whether the scheduler of pg_cron runs, and how the last start of the job ended.';

create function reminder.change_job(
  job text, changed_by text, reason text, schedule text default null, active boolean default null
) returns table (jobname text, now_scheduled text, now_active boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job record;
begin
  if not reminder.is_filled_in(change_job.changed_by) or not reminder.is_filled_in(change_job.reason) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'A change of a job needs the name of the person who makes it and a reason.',
      hint = 'Fill in changed_by and reason.';
  end if;
  select j.jobid, j.schedule, j.active into v_job
  from cron.job j
  where j.jobname = change_job.job and j.username = current_user;
  if not found then
    raise exception using
      errcode = 'no_data_found',
      message = format('There is no job %s of %s.', change_job.job, current_user),
      hint = 'To register it: select * from reminder.register_jobs();';
  end if;
  perform cron.alter_job(
    v_job.jobid, schedule := change_job.schedule, active := change_job.active);
  insert into reminder.changes (object, old_value, new_value, changed_by, reason)
  select
    format('job %s: %s', change_job.job, c.field), c.before, c.after,
    btrim(change_job.changed_by), btrim(change_job.reason)
  from (
    values
      ('schedule', v_job.schedule, change_job.schedule),
      ('active', v_job.active::text, change_job.active::text)
  ) c(field, before, after)
  where c.after is not null;
  return query
    select j.jobname::text, j.schedule, j.active from cron.job j where j.jobid = v_job.jobid;
end
$$;
comment on function reminder.change_job(text, text, text, text, boolean) is
  'Sets schedule or switch of a job and writes down who did it and why; null leaves it as it is.';

create function reminder.register_jobs(as_deployed boolean default false)
returns table (job text, done text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant name := (
    select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'reminder');
  v_job record;
  v_schedule text;
  v_active boolean;
  v_differs text;
  v_as_deployed text[];
begin
  if current_user <> v_owner then
    raise exception using
      errcode = 'insufficient_privilege',
      message = format('Jobs run as the role that registers them: here as %s, and not as %s.', current_user, v_owner),
      hint = format('Become that role first: set role %I;', v_owner);
  end if;
  for v_job in
    select e.jobname, e.schedule, e.command, j.jobid, j.schedule as found_schedule, j.active
    from reminder.deployed_jobs() e
    left join cron.job j on j.jobname = e.jobname and j.username = current_user
    order by e.jobname
  loop
    select string_agg(format('%s was %s', split_part(d.object, ': ', 2), d.found), ', ')
    into v_differs
    from reminder.job_drift() d
    where d.object in (
      select format('job %s: %s', v_job.jobname, f)
      from unnest('{command,database,nodename,nodeport}'::text[]) f);
    -- Of a job that is gone, the log of changes knows what was meant.
    -- When the run takes place is the operator's; nobody means another time for the other two who
    -- does not write it down.
    v_as_deployed := array(
      select split_part(d.object, ': ', 2)
      from reminder.job_drift() d
      where v_job.jobname <> 'peer-mentor-reminders'
        and not d.on_purpose
        and starts_with(d.object, format('job %s: ', v_job.jobname)));
    v_schedule := case
      when as_deployed or 'schedule' = any (v_as_deployed) then v_job.schedule
      when v_job.jobid is not null then v_job.found_schedule
      else coalesce(
        (select c.new_value from reminder.latest_change(format('job %s: schedule', v_job.jobname)) c),
        v_job.schedule)
    end;
    v_active := case
      when as_deployed or 'active' = any (v_as_deployed) then true
      when v_job.jobid is not null then v_job.active
      else coalesce(
        (select c.new_value::boolean from reminder.latest_change(format('job %s: active', v_job.jobname)) c),
        true)
    end;
    job := v_job.jobname;
    done := concat_ws(', ',
      case when v_job.jobid is null then 'registered' end,
      v_differs,
      case
        when v_job.jobid is not null and v_schedule <> v_job.found_schedule
          then 'schedule was ' || v_job.found_schedule
        when v_schedule <> v_job.schedule then
          case
            when v_schedule = (
              select c.new_value from reminder.latest_change(format('job %s: schedule', v_job.jobname)) c)
            then 'schedule as noted: ' else 'schedule kept: '
          end || v_schedule
      end,
      case
        when v_job.active is false and v_active then 'switched on'
        when not v_active then 'left switched off'
      end);
    if done = '' then
      done := 'unchanged';
    end if;
    if v_job.jobid is null
      or v_differs is not null
      or v_schedule <> v_job.found_schedule
      or v_active <> v_job.active
    then
      -- Scheduling a name again leaves host and port as they were, so the job is made anew.
      if v_differs is not null then
        perform cron.unschedule(v_job.jobid);
      end if;
      perform cron.alter_job(
        cron.schedule(v_job.jobname, v_schedule, v_job.command), active := v_active);
      if as_deployed then
        insert into reminder.changes (object, new_value, changed_by, reason)
        values
          (format('job %s: schedule', v_job.jobname), v_schedule, session_user, 'registered as deployed'),
          (format('job %s: active', v_job.jobname), 'true', session_user, 'registered as deployed');
      end if;
    end if;
    return next;
  end loop;
end
$$;
comment on function reminder.register_jobs(boolean) is
  'Registers the three jobs as they were deployed and says what it changed. Keeps schedule and switch of the run, and what was written down of the others; as_deployed sets those back too.';

revoke all on function
  reminder.deployed_jobs(),
  reminder.latest_change(text),
  reminder.job_drift(),
  reminder.job_state(text),
  reminder.change_job(text, text, text, text, boolean),
  reminder.register_jobs(boolean)
  from public;
