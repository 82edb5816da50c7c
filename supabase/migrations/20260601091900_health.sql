-- One look at everything: the operator's first query, short enough to type on a phone.
--
-- Each check is a function of its own and answers for itself: what it cannot compute, for want of an
-- extension or of a right, is not ok and says why, and takes no other row with it.  None writes
-- anything, so health can be read on a replica too.  Those of the run, the watchdog, the alerts and
-- the contact dates stand beside what they look at.
--
-- To undo, after every later migration:
--   drop view reminder.health;
--   drop function reminder.look_at_health();
--   drop function reminder.check_promise();
--   drop function reminder.check_settings();
--   drop function reminder.check_jobs();
--   drop function reminder.check_deployment();
--   drop function reminder.check_guard();

-- Named here and not taken from what was recorded: a deployment that was recorded without its guard
-- has none.
create function reminder.check_guard() returns table (ok boolean, finding text, section text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(bool_or(g.holds), false) and min(f.assignment_id) is null and not bool_or(f.is_more),
    case
      when bool_or(g.holds) and (min(f.assignment_id) is not null or bool_or(f.is_more))
        then 'reminders are dated in the future'
          || coalesce(', such as of assignment ' || min(f.assignment_id), ' by the last look at all')
      when bool_or(g.holds) then 'in place'
      when count(g.name) > 0 then 'does not guard: ' || string_agg(g.definition, '; ' order by g.name)
      else 'missing'
    end,
    'duplicate-reminders'
  from (
    select
      k.conname as name,
      pg_get_constraintdef(k.oid) as definition,
      not k.condeferrable and x.indisunique and x.indisvalid and x.indisready and x.indimmediate
        and (
          select array_agg(a.attname::text order by a.attname)
          from pg_attribute a
          where a.attrelid = k.conrelid and a.attnum = any (k.conkey)
        ) = '{assignment_id,dispatched_on}' as holds
    from pg_constraint k
    join pg_index x on x.indexrelid = k.conindid
    where k.conrelid = to_regclass('reminder.dispatched_reminders')
      and k.conname = 'dispatched_reminders_pkey'
      and k.contype = 'p'
  ) g
  -- One that is dated in the future guards the wrong day: the next run would remind once more.
  right join (
    select
      min(a.id) as assignment_id,
      -- Nobody knows whether those that are not kept by name have been mended.
      exists (select from reminder.full_looks l where l.what = 'reminders' and l.wrong > cardinality(l.examples)) as is_more
    from (
      (select a.id from public.assignments a where a.status = 'active' order by a.id limit 5000)
      -- And those that the daily look at all has found.
      union
      select a.id
      from reminder.full_looks l
      join public.assignments a on a.id = any (l.examples) and a.status = 'active'
      where l.what = 'reminders'
    ) a
    where exists (
      select from reminder.dispatched_reminders r
      where r.assignment_id = a.id and r.dispatched_on > (now() at time zone 'utc')::date
    )
  ) f on true
$$;
comment on function reminder.check_guard() is 'Row of health: whether one assignment can have only one reminder on one day, and none is dated in the future.';

create function reminder.check_deployment() returns table (ok boolean, finding text, section text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_objects text[];
begin
  select array_agg(d.object order by d.object) into v_objects
  from (
    select f.object from reminder.find_drift() f
    -- Those of the jobs have a row of their own.
    where not f.on_purpose and f.object !~ '^(surplus )?job ' and f.object <> 'extension pg_cron'
    union
    select 'function ' || c.name
    from unnest(array[
      'reminder.current_state()', 'reminder.own_relations()', 'reminder.find_drift()',
      'reminder.find_low_numbering()',
      'reminder.is_addition(text, text)', 'reminder.code_behind(oid)', 'reminder.without_spelling(text)',
      'reminder.latest_change(text)', 'reminder.job_drift()', 'reminder.deployed_jobs()'
    ]) c(name)
    where not reminder.is_as_deployed(c.name)
  ) d;
  ok := v_objects is null;
  finding := case
    when ok then 'as deployed'
    when cardinality(v_objects) = 1 then 'differs: ' || v_objects[1]
    else format('%s differ: %s, …', cardinality(v_objects), v_objects[1])
  end;
  section := 'what-differs';
  return next;
end
$$;
comment on function reminder.check_deployment() is 'Row of health: whether everything but the jobs is as the migrations made it, changes on purpose left out.';

create function reminder.check_jobs() returns table (ok boolean, finding text, section text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wrong text[];
  v_paused text[];
begin
  -- A job that was switched off on purpose keeps no promise either.
  select
    array_agg(d.object || case
      when d.found = 'missing' then ' is missing'
      when d.was is null then ' calls into the system'
      else ' is ' || d.found
    end order by d.found <> 'missing', d.object) filter (where not d.on_purpose),
    array_agg(format('%s switched off by %s on %s UTC', d.object, d.changed_by,
      to_char(d.changed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')) order by d.object)
      filter (where d.on_purpose and d.object like '%: active')
  into v_wrong, v_paused
  from reminder.job_drift() d;
  ok := v_wrong is null and v_paused is null;
  finding := case
    when ok then coalesce(
      (
        select string_agg(format('registered, active, %s UTC', j.schedule), ', ')
        from cron.job j where j.jobname = 'peer-mentor-reminders'
      ),
      'registered, active')
    else replace(array_to_string(v_wrong || v_paused, '; '), ': active is false', ' is switched off')
  end;
  section := case
    -- The run comes first; its section leads on to the watchdog.
    when v_wrong is null and v_paused[1] like 'job peer-mentor-reminders%' then 'enable-the-job'
    when v_wrong is null and v_paused[array_length(v_paused, 1)] like 'job reminder-watchdog%' then 'watchdog-silent'
    when v_wrong is null and v_paused is not null then 'enable-the-job'
    when v_wrong[1] like 'surplus job %' then 'surplus-job'
    when v_wrong[1] = 'job peer-mentor-reminders: active is false' then 'missed-runs'
    else 'register-again'
  end;
  return next;
end
$$;
comment on function reminder.check_jobs() is 'Row of health: whether the three jobs are registered exactly as deployed and switched on, and nothing else calls into the system.';

create function reminder.check_settings() returns table (ok boolean, finding text, section text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with
    s as (select * from reminder.settings),
    -- What the next session of the job will have, not this one.
    role_setting as (
      select split_part(c.setting, '=', 1) as name, substr(c.setting, strpos(c.setting, '=') + 1) as value
      from pg_db_role_setting b
      cross join lateral unnest(b.setconfig) c(setting)
      where (b.setdatabase = 0 or b.setdatabase = (select d.oid from pg_database d where d.datname = current_database()))
        and b.setrole in (0, (select n.nspowner from pg_namespace n where n.nspname = 'reminder'))
    ),
    -- For the whole server, where neither role nor database says otherwise: what a session begins
    -- with, whatever this one has set since.
    server_setting as (
      select g.name, g.reset_val as value
      from pg_settings g
      where g.source <> 'client' and not exists (select from role_setting r where r.name = g.name)
    ),
    session_setting as (
      select r.name, r.value, 'the role that runs the job' as owner from role_setting r
      union all
      select g.name, g.value, 'the server' from server_setting g
    ),
    -- Each begins with the setting, as reminder.reset_setting() takes it.
    problem(text) as (
      select 'no row of settings' where not exists (select from s)
      union all
      select 'run_time_limit: a run does nothing' from s where s.run_time_limit < '10 seconds'
      union all
      select 'manual_run_time_limit: a run by hand does nothing' from s where s.manual_run_time_limit < '5 seconds'
      union all
      select 'batch_size: a run in batches of ' || s.batch_size || ' will not come to its end' from s where s.batch_size < 100
      union all
      select 'failure_threshold: nobody hears of failures for ' || s.failure_threshold || ' days'
      from s where s.failure_threshold > 7
      union all
      select 'missed_run_grace: a missed run is noticed after the next was due' from s where s.missed_run_grace > '12 hours'
      union all
      select 'run_hard_limit: a hanging run holds the lock for ' || s.run_hard_limit from s where s.run_hard_limit > '1 hour'
      union all
      select 'long_run_after: a hanging run is reported after ' || s.long_run_after from s where s.long_run_after > '6 hours'
      union all
      select 'repeat_every_days: a reminder is repeated after ' || s.repeat_every_days || ' days only'
      from s where s.repeat_every_days > 90
      union all
      select 'reminder_after_days: a reminder comes after ' || s.reminder_after_days || ' days only'
      from s where s.reminder_after_days > 180
      union all
      select 'alert_max_attempts: an alert is lost with one failure of the receiver' from s where s.alert_max_attempts < 2
      union all
      -- A longer time has no beginning that a timestamp could hold.
      select k.name || ': longer than a hundred years'
      from s
      cross join lateral (values
        ('keep_logs', s.keep_logs),
        ('keep_reminders', s.keep_reminders),
        ('keep_cron_history', s.keep_cron_history)
      ) k(name, value)
      where k.value > '100 years'
      union all
      select 'keep_reminders: shorter than the wait for the next reminder' from s
      where s.keep_reminders <= (s.reminder_after_days + 2 * s.repeat_every_days) * interval '1 day'
      union all
      select format('%s of %s is %s', r.name, r.owner, r.value)
      from session_setting r
      where r.name in ('default_transaction_read_only', 'session_replication_role', 'default_transaction_isolation')
        and lower(r.value) not in ('off', 'of', 'false', 'f', 'no', 'n', '0', 'origin', 'read committed')
      union all
      -- Whoever signs in, or the application's server, registers nothing then.
      select format('%s of role %s is %s', s.name, g.rolname, s.value)
      from pg_db_role_setting b
      join pg_roles g on g.oid = b.setrole and g.rolname in ('authenticated', 'authenticator', 'service_role')
      cross join lateral unnest(b.setconfig) c(setting)
      cross join lateral (
        select split_part(c.setting, '=', 1) as name, substr(c.setting, strpos(c.setting, '=') + 1) as value
      ) s
      where (b.setdatabase = 0 or b.setdatabase = (select d.oid from pg_database d where d.datname = current_database()))
        and s.name in ('default_transaction_read_only', 'session_replication_role')
        and lower(s.value) not in ('off', 'of', 'false', 'f', 'no', 'n', '0', 'origin')
      union all
      -- A number alone is in milliseconds, and none at all is no limit.
      select format('%s of the role that runs the job is %s, shorter than a run', r.name, r.value)
      from role_setting r cross join s
      cross join lateral (
        select (r.value || case when r.value ~ '^[0-9.]+$' then 'ms' else '' end)::interval as given
        where r.name in ('statement_timeout', 'transaction_timeout')
      ) t
      where t.given > '0 seconds'
        and t.given < case r.name when 'statement_timeout' then s.run_time_limit else '10 seconds' end
      union all
      select 'cron.launch_active_jobs is off: pg_cron starts no job'
      where current_setting('cron.launch_active_jobs', true) in ('off', 'false', 'no', '0')
      union all
      -- A due time is worked out in GMT, pg_cron's default.
      select format('cron.timezone is %s: runs begin at other times than those in GMT', z.name)
      from current_setting('cron.timezone', true) z(name)
      where z.name <> '' and upper(z.name) !~ '^(ETC/)?(GMT|UTC|ZULU|UNIVERSAL)$'
      union all
      select format('role %s, which runs the job, may not log in', g.rolname)
      from pg_roles g
      join pg_namespace n on n.nspname = 'reminder' and n.nspowner = g.oid
      where not g.rolcanlogin or g.rolconnlimit = 0 or g.rolvaliduntil < now()
    )
  select
    count(*) = 0,
    -- A rule that was changed on purpose is well, and a reader has to see that it was.
    coalesce(
      string_agg(p.text, '; '),
      (
        select format('due after %s days%s, then every %s%s', s.reminder_after_days,
          (
            select format(' (deployed: %s)', d.state) from reminder.deployed d
            where d.object = 'setting reminder_after_days' and d.state <> s.reminder_after_days::text
          ),
          s.repeat_every_days,
          (
            select format(' (deployed: %s)', d.state) from reminder.deployed d
            where d.object = 'setting repeat_every_days' and d.state <> s.repeat_every_days::text
          ))
        from s
      )
    ),
    'settings-out-of-bounds'
  from problem p
$$;
comment on function reminder.check_settings() is 'Row of health: whether the settings make sense, each by itself and together.';

-- The promise, asked of all assignments up to 10,000, and else of ten from every stretch of 1/250, so
-- that no lost batch slips through.  reminder.unkept answers for all of them, in seconds.
--
-- Before the run of the day those who fell due today wait for it, so this looks as the run did that
-- was last due.  An assignment made since, and those who fell due by a setting changed since, wait
-- for the next run too.
create function reminder.check_promise() returns table (ok boolean, finding text, section text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_due timestamptz;
  v_day date;
  v_after integer;
  v_repeat integer;
  v_first bigint;
  v_width numeric;
  v_of_each integer;
  v_looked_at bigint;
  v_waiting bigint;
  v_example bigint;
begin
  section := 'who-is-waiting';
  begin
    select reminder.last_due_at(j.schedule, v_now - s.missed_run_grace) into v_due
    from cron.job j cross join reminder.settings s
    where j.jobname = 'peer-mentor-reminders';
  exception when others then
    -- Without a schedule to go by, nobody may wait for longer than a day.
    null;
  end;
  v_due := coalesce(v_due, v_now - interval '1 day');
  v_day := (v_due at time zone 'utc')::date;
  if not exists (select from public.cron_execution_logs l where l.started_at < v_due)
    and not exists (select from reminder.watchdog_log w where w.watched_at < v_due)
  then
    ok := true;
    finding := 'no run has been due yet';
    return next;
    return;
  end if;
  select
    coalesce((
      select c.old_value::integer from reminder.changes c
      where c.object = 'setting reminder_after_days' and c.changed_at > v_due
      order by c.id limit 1), s.reminder_after_days),
    coalesce((
      select c.old_value::integer from reminder.changes c
      where c.object = 'setting repeat_every_days' and c.changed_at > v_due
      order by c.id limit 1), s.repeat_every_days)
  into v_after, v_repeat
  from reminder.settings s;
  select min(a.id), (max(a.id)::numeric - min(a.id) + 1) / 250 into v_first, v_width
  from public.assignments a
  where a.status = 'active';
  v_of_each := case when exists (select from public.assignments a where a.status = 'active' offset 10000)
    then 10 else 10000 end;

  with
    looked_at as materialized (
      select w.id, w.created_at, w.since
      from generate_series(0, 249) n
      cross join lateral (
        select a.id, a.created_at, coalesce(a.last_contact_date, a.started_on) as since
        from public.assignments a
        where a.status = 'active'
          and a.id >= v_first + ceil(n * v_width)::bigint
          and a.id < v_first + ceil((n + 1) * v_width)::bigint
        order by a.id
        limit v_of_each
      ) w
    ),
    due as (
      select l.id,
        case when isfinite(l.since) then v_day - (v_day - l.since - v_after) % v_repeat end as due_on
      from looked_at l
      where l.created_at < v_due
        and case when isfinite(l.since) then v_day - l.since >= v_after else true end
    ),
    waiting as (
      select d.id
      from due d
      where not exists (
        select from reminder.dispatched_reminders r
        where r.assignment_id = d.id
          and r.dispatched_on >= d.due_on
          and r.dispatched_on <= (v_now at time zone 'utc')::date
      )
      -- Who was corrected since then waits for the next run.
        and not exists (
          select from reminder.last_contact_corrections c
          where c.assignment_id = d.id and c.corrected_at > v_due
        )
    )
  select (select count(*) from looked_at), count(*), min(w.id)
  into v_looked_at, v_waiting, v_example
  from waiting w;
  ok := v_waiting = 0;
  finding := format('%s waiting of %s looked at', v_waiting, v_looked_at)
    || coalesce(', such as assignment ' || v_example, '');
  -- Who is not there waits for nothing: a table that was emptied keeps every promise.
  if v_looked_at = 0 then
    select l.assignments_evaluated = 0,
      format('nobody is active, and the last run looked at %s', l.assignments_evaluated)
    into ok, finding
    from public.cron_execution_logs l
    where l.status = 'succeeded'
    order by l.id desc
    limit 1;
    if not found then
      ok := true;
      finding := 'nobody is active';
    end if;
  end if;
  return next;
end
$$;
comment on function reminder.check_promise() is 'Row of health: whether everybody who was due at the last scheduled run has a reminder; a quick look at a part of a large organisation.';

-- The order is the order of repair: what would stop a run or what a run would make worse comes before
-- whatever is repaired by running the job.  The lock is first: the guard is repaired while no run is
-- at work.
create function reminder.look_at_health()
returns table (step integer, what text, ok boolean, finding text, section text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- A table that somebody has locked must not keep the other rows waiting.
set lock_timeout = '1s'
as $$
declare
  v_check record;
begin
  for v_check in
    select c.number, c.name, format('reminder.%s()', c.function) as call, c.anchor
    from (
      values
        (1, 'lock', 'check_lock', 'stuck-lock'),
        (2, 'contact dates', 'check_contact_dates', 'reminders-after-contact'),
        (3, 'duplicate guard', 'check_guard', 'duplicate-reminders'),
        (4, 'deployment', 'check_deployment', 'what-differs'),
        (5, 'jobs', 'check_jobs', 'register-again'),
        (6, 'settings', 'check_settings', 'settings-out-of-bounds'),
        (7, 'watchdog', 'check_watchdog', 'watchdog-silent'),
        (8, 'last success', 'check_last_success', 'missed-runs'),
        (9, 'failures in a row', 'check_failures', 'repeated-failures'),
        (10, 'promise', 'check_promise', 'who-is-waiting'),
        (11, 'alert address', 'check_alert_address', 'change-the-destination'),
        (12, 'alerts', 'check_alerts', 'alert-not-delivered'),
        (13, 'heartbeat', 'check_heartbeat', 'heartbeat')
    ) c(number, name, function, anchor)
    order by c.number
  loop
    step := v_check.number;
    what := v_check.name;
    section := v_check.anchor;
    ok := false;
    finding := null;
    begin
      -- By name, when it is called: a check that is gone must not take the others with it.
      execute format('select c.ok, c.finding, c.section from %s c', v_check.call)
        into strict ok, finding, section;
      -- A check that was replaced may say anything.
      if not reminder.is_as_deployed(v_check.call) then
        finding := 'its check is not the one that was deployed: ' || coalesce(finding, '');
        ok := false;
        section := 'what-differs';
      end if;
    -- A statement timeout too: else one slow check would take all the others with it.
    exception when query_canceled or others then
      if sqlstate = '57014' and (
        current_setting('statement_timeout') = '0'
        or clock_timestamp() < statement_timestamp() + current_setting('statement_timeout')::interval)
      then
        -- Whoever looks has had enough.
        raise;
      end if;
      ok := false;
      finding := format('cannot be told: %s (SQLSTATE %s)', sqlerrm, sqlstate);
      -- Where a session has locked the table that the check reads, it is the same that a run meets.
      -- With anything else it is the check that is broken.
      section := case when sqlstate in ('55P03', '57014') then 'service-timeout' else 'what-differs' end;
    end;
    ok := coalesce(ok, false);
    return next;
  end loop;
end
$$;
comment on function reminder.look_at_health() is
  'The rows of reminder.health. A check that cannot be computed is not ok and says why.';

create view reminder.health with (security_invoker = true) as
  select h.step, h.what, h.ok, h.finding, h.section
  from reminder.look_at_health() h;
comment on view reminder.health is
  'One row a check: whether it is well, what was found, and the runbook section to go to if it is not.';
comment on column reminder.health.step is 'Order of repair: the first one that is not ok comes first.';
comment on column reminder.health.what is 'What is checked.';
comment on column reminder.health.ok is 'True when nothing is to be done.';
comment on column reminder.health.finding is 'What was found.';
comment on column reminder.health.section is 'Anchor of the runbook section that helps.';

revoke all on function
  reminder.check_guard(),
  reminder.check_deployment(),
  reminder.check_jobs(),
  reminder.check_settings(),
  reminder.check_promise(),
  reminder.look_at_health()
  from public;
