-- The watchdog: a second job that looks after the first one, every five minutes.
--
-- It finds what the run itself cannot report: that it did not take place, hangs, or died.  Each
-- finding raises an alert once, and each pass leaves a row in a log of its own.  It shares nothing
-- with the run but the tables, and takes the run's lock only to prove that no run is alive.
--
-- Each part of a pass stands in a block of its own, so that one that fails does not hide the others;
-- what went wrong stands in the row of the pass.
--
-- What it cannot see is a database that is down.  For that there is the heartbeat.
--
-- To undo, after every later migration:
--   drop function reminder.check_last_success();
--   drop function reminder.check_failures();
--   drop function reminder.section_of_failure(text, text);
--   drop function reminder.check_watchdog();
--   drop function reminder.check_lock();
--   drop view reminder.blocking_session;
--   drop view reminder.stuck_lock;
--   drop function reminder.watch();
--   drop function reminder.missed_run(timestamptz);
--   drop function reminder.overdue_run(timestamptz);
--   drop function reminder.expected_run(timestamptz);
--   drop table reminder.watchdog_log;

create table reminder.watchdog_log (
  id bigint generated always as identity primary key,
  watched_at timestamptz not null default clock_timestamp(),
  schedule text,
  scheduled_since timestamptz,
  due_at timestamptz,
  missed_since timestamptz,
  long_run_id bigint,
  cancelled_pid integer,
  abandoned_runs integer not null default 0,
  alerts_answered integer not null default 0,
  alerts_sent integer not null default 0,
  alerts_undelivered integer not null default 0,
  error text
);
comment on table reminder.watchdog_log is 'One row a pass of the watchdog: what it found and what it did.';
comment on column reminder.watchdog_log.id is 'Number of the pass.';
comment on column reminder.watchdog_log.watched_at is 'When it looked.';
comment on column reminder.watchdog_log.schedule is 'Schedule that it found registered for the job; null when there was none.';
comment on column reminder.watchdog_log.scheduled_since is 'First pass of those without a break that found this schedule.';
comment on column reminder.watchdog_log.due_at is 'Latest time, its grace over, at which the job was due by the schedule of that time.';
comment on column reminder.watchdog_log.missed_since is 'Scheduled time that no finished run has answered; null when none is missing.';
comment on column reminder.watchdog_log.long_run_id is 'The run that takes too long; null when there is none.';
comment on column reminder.watchdog_log.cancelled_pid is 'Process of the run it cancelled at the hard limit; null when it cancelled none.';
comment on column reminder.watchdog_log.abandoned_runs is 'Runs it closed because their session was gone.';
comment on column reminder.watchdog_log.alerts_answered is 'Alerts for which an answer, or none in time, was taken down.';
comment on column reminder.watchdog_log.alerts_sent is 'Alerts it handed to pg_net.';
comment on column reminder.watchdog_log.alerts_undelivered is 'Alerts that were given up on so far, or whose arrival nobody knows.';
comment on column reminder.watchdog_log.error is 'Parts of the pass that failed, and how; null when it ended well.';

create index watchdog_log_watched_at_idx on reminder.watchdog_log (watched_at);

-- A schedule that was just moved to an hour that is past today was not due at that hour.  pg_cron
-- does not keep since when a schedule is as it is, so the watchdog notes it: a time counts if the
-- watchdog had seen the schedule by then, within the minute.  Until one counts, the last that
-- counted stays: moving the schedule answers no missed run.
create function reminder.expected_run(p_at timestamptz)
returns table (job text, schedule text, scheduled_since timestamptz, is_ever_due boolean, due_at timestamptz)
language plpgsql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
declare
  v_active boolean;
  v_last timestamptz;
  v_seen reminder.watchdog_log%rowtype;
begin
  select j.active, j.schedule into v_active, schedule
  from cron.job j
  where j.jobname = 'peer-mentor-reminders' and j.username = 'postgres';
  job := case when v_active then 'active' when not v_active then 'disabled' else 'not registered' end;
  select reminder.last_due_at(schedule, p_at - s.missed_run_grace) into v_last from reminder.settings s;
  is_ever_due := v_last is not null;
  select * into v_seen from reminder.watchdog_log w order by w.id desc limit 1;
  if v_seen.id is null then
    scheduled_since := p_at;
    -- Nobody has watched so far.  A system that was installed after that time has missed nothing.
    due_at := case when exists (
      select from public.cron_execution_logs l where l.started_at < v_last
    ) then v_last end;
  else
    scheduled_since := case when v_seen.schedule = schedule then v_seen.scheduled_since else p_at end;
    due_at := case when date_trunc('minute', scheduled_since) <= v_last then v_last else v_seen.due_at end;
  end if;
  return next;
end
$$;
comment on function reminder.expected_run(timestamptz) is
  'The job as it is registered, since when the watchdog knows its schedule, whether that is ever due, and the latest time, its grace over, at which it was; null if it was not due so far.';

create function reminder.overdue_run(p_at timestamptz)
returns table (job text, due_at timestamptz, last_finished timestamptz)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  -- Any finished run since that time answers it, one by hand too; a skipped one does not, because
  -- nothing was looked at.
  select
    e.job,
    case when e.is_ever_due then e.due_at end,
    (
      select l.finished_at
      from public.cron_execution_logs l
      where l.status not in ('running', 'skipped')
      order by l.id desc
      limit 1
    )
  from reminder.expected_run(p_at) e
  where not e.is_ever_due
    or (
      e.due_at is not null
      and not exists (
        select from public.cron_execution_logs l
        where l.started_at between e.due_at and p_at and l.status not in ('running', 'skipped')
      )
    )
$$;
comment on function reminder.overdue_run(timestamptz) is
  'One row if the job was due by its schedule and no run has finished since, with the state of the job; due_at is null for a job that is not registered or never due.';

create function reminder.missed_run(p_at timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select o.due_at from reminder.overdue_run(p_at) o where o.job = 'active'
$$;
comment on function reminder.missed_run(timestamptz) is
  'The scheduled time that should have been answered by a finished run and was not, or null. Null while the job is disabled: that is somebody''s decision, and health shows it.';

create function reminder.watch() returns setof reminder.watchdog_log
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run record;
  v_pass reminder.watchdog_log%rowtype;
begin
  -- Abandoned runs first, so that a dead run is not taken for a long one.
  begin
    v_pass.abandoned_runs := reminder.close_abandoned_runs();
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Dead runs: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  begin
    select
      l.id, l.backend_pid, l.started_at,
      l.started_at < clock_timestamp() - s.run_hard_limit as is_over_limit,
      l.started_at < clock_timestamp() - s.long_run_after as is_long
    into v_run
    from public.cron_execution_logs l
    cross join reminder.settings s
    where l.status = 'running' and l.backend_pid = reminder.lock_holder();
    if v_run.is_over_limit and pg_cancel_backend(v_run.backend_pid) then
      v_pass.cancelled_pid := v_run.backend_pid;
    end if;
    if v_run.is_long then
      v_pass.long_run_id := v_run.id;
      perform reminder.raise_alert(
        'long_run', v_run.id, v_run.id,
        format('Run %s of the reminder job has been running since %s UTC and could not be cancelled.',
          v_run.id, to_char(v_run.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')));
    end if;
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Endless runs: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  begin
    select e.schedule, e.scheduled_since, e.due_at
    into v_pass.schedule, v_pass.scheduled_since, v_pass.due_at
    from reminder.expected_run(clock_timestamp()) e;
    v_pass.missed_since := reminder.missed_run(clock_timestamp());
    if v_pass.missed_since is not null then
      perform reminder.raise_alert(
        'missed_run',
        -- The gap, however long: it begins after the last finished run, or with the first day.
        coalesce(
          (
            select l.id from public.cron_execution_logs l
            where l.status not in ('running', 'skipped')
            order by l.id desc
            limit 1
          ),
          0
        ),
        null,
        format('The reminder job was due at %s UTC and no run has finished since.',
          to_char(v_pass.missed_since at time zone 'utc', 'YYYY-MM-DD HH24:MI')));
    end if;
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Missed runs: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  begin
    v_pass.alerts_answered := reminder.collect_answers();
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Answers to alerts: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  begin
    select count(*) into v_pass.alerts_undelivered
    from reminder.alerts a where a.status in ('undelivered', 'unconfirmed');
    perform reminder.raise_alert(
      'undelivered_alert', a.id, a.run_id,
      case a.status
        when 'undelivered' then format('An alert of %s UTC never arrived: %s', r.at, a.message)
        else format('Nobody knows whether an alert of %s UTC arrived: %s', r.at, a.message)
      end)
    from reminder.alerts a
    cross join lateral (
      select to_char(a.created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') as at
    ) r
    cross join reminder.settings s
    where a.status in ('undelivered', 'unconfirmed')
      and a.kind <> 'undelivered_alert'
      -- The alert about an older one is cleared, and must not be raised again.
      and a.created_at > now() - s.keep_logs;
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Undelivered alerts: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  begin
    v_pass.alerts_sent := reminder.send_alerts();
  exception when others then
    v_pass.error := concat_ws(' ', v_pass.error, format('Sending alerts: %s (SQLSTATE %s).', sqlerrm, sqlstate));
  end;

  return query
    insert into reminder.watchdog_log
      (schedule, scheduled_since, due_at, missed_since, long_run_id, cancelled_pid, abandoned_runs,
       alerts_answered, alerts_sent, alerts_undelivered, error)
    values
      (v_pass.schedule, v_pass.scheduled_since, v_pass.due_at, v_pass.missed_since, v_pass.long_run_id,
       v_pass.cancelled_pid, coalesce(v_pass.abandoned_runs, 0), coalesce(v_pass.alerts_answered, 0),
       coalesce(v_pass.alerts_sent, 0), coalesce(v_pass.alerts_undelivered, 0), v_pass.error)
    returning *;
end
$$;
comment on function reminder.watch() is
  'One pass of the watchdog: closes dead runs, cancels endless ones, raises alerts for missed and long runs, delivers alerts, and returns the row it logged.';

-- For reminder.health.

create view reminder.stuck_lock with (security_invoker = true) as
  select
    a.pid,
    a.usename::text as role,
    a.application_name,
    a.client_addr,
    a.state,
    date_trunc('second', clock_timestamp() - coalesce(a.query_start, a.backend_start)) as since,
    a.xact_start is not null as in_transaction
  from pg_catalog.pg_stat_activity a
  where a.pid = reminder.lock_holder()
    -- A run is one statement, which the watchdog cancels at the hard limit.  So whoever holds the
    -- lock without running a statement, or runs one for longer, is not a run that is still working.
    and (
      a.state <> 'active'
      or a.query_start < clock_timestamp() - (select s.run_hard_limit from reminder.settings s)
    );
comment on view reminder.stuck_lock is
  'The session that holds the lock of the reminder job although no run can still be working. Normally empty.';
comment on column reminder.stuck_lock.pid is 'Process of the session.';
comment on column reminder.stuck_lock.role is 'Role it is logged in as.';
comment on column reminder.stuck_lock.application_name is 'Program: pg_cron for a scheduled run.';
comment on column reminder.stuck_lock.client_addr is 'Where it is connected from; null on the server itself.';
comment on column reminder.stuck_lock.in_transaction is 'Whether work that is not committed would be lost.';
comment on column reminder.stuck_lock.state is 'What the session is doing.';
comment on column reminder.stuck_lock.since is 'How long ago its last statement began.';

-- A transaction that somebody left open keeps what it has locked, and the run, the watchdog or a
-- registration waits for it.  One that only reads keeps nobody waiting.
create view reminder.blocking_session with (security_invoker = true) as
  select
    a.pid,
    a.usename::text as role,
    a.application_name,
    a.client_addr,
    a.state,
    -- Not clock_timestamp(): one and the same statement is to see one age.
    now() - a.state_change as since,
    string_agg(distinct o.name, ', ' order by o.name) as locks,
    -- Modes that keep whoever writes any row waiting.
    bool_or(l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) as is_whole_table
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
  join (
    select r.oid as id, format('%I.%I', n.nspname, r.relname) as name
    from pg_catalog.pg_class r
    join pg_catalog.pg_namespace n on n.oid = r.relnamespace
    where r.relkind = 'r'
      and (n.nspname = 'reminder' or n.nspname = 'public'
        and r.relname in ('assignments', 'activities', 'activity_types', 'cron_execution_logs'))
  ) o on o.id = l.relation
  where l.locktype = 'relation'
    and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
    and l.granted
    and l.mode <> 'AccessShareLock'
    and a.pid not in (pg_backend_pid(), coalesce(reminder.lock_holder(), 0))
  group by a.pid, a.usename, a.application_name, a.client_addr, a.state, a.state_change;
comment on view reminder.blocking_session is
  'The sessions that have locked a table of the system, the run itself left out. One row each.';
comment on column reminder.blocking_session.pid is 'Process of the session.';
comment on column reminder.blocking_session.role is 'Role it is logged in as.';
comment on column reminder.blocking_session.application_name is 'Program.';
comment on column reminder.blocking_session.client_addr is 'Where it is connected from; null on the server itself.';
comment on column reminder.blocking_session.state is 'What the session is doing; idle in transaction: nothing, and it keeps its locks.';
comment on column reminder.blocking_session.since is 'How long it has been in that state.';
comment on column reminder.blocking_session.locks is 'The tables.';
comment on column reminder.blocking_session.is_whole_table is 'Whether it keeps everybody from writing one of them, and not only its rows.';

create function reminder.check_lock() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    s.pid is null and b.pid is null,
    case
      when s.pid is null and b.pid is not null
        then format('process %s %s %s', b.pid,
          case b.state when 'active' then 'is at work and locks' else 'left a transaction open that locks' end, b.locks)
      else coalesce('held by process ' || reminder.lock_holder(), 'free')
    end,
    case when s.pid is null and b.pid is not null then 'service-timeout' else 'stuck-lock' end
  from (select) as always
  left join (select k.pid from reminder.stuck_lock k limit 1) s on true
  left join (
    select k.pid, k.state, k.locks
    from reminder.blocking_session k
    where k.since > interval '5 seconds' and (k.state like 'idle in transaction%' or k.is_whole_table)
    order by k.pid
    limit 1
  ) b on true
$$;
comment on function reminder.check_lock() is
  'Whether nobody sits on the lock of the job, or left a transaction open that locks what the system needs.';

create function reminder.check_watchdog() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(
      w.watched_at between clock_timestamp() - interval '15 minutes' and clock_timestamp() and w.error is null, false),
    case
      when w.watched_at is null then 'never'
      -- Written by no watchdog: it would vouch for it until then.
      when w.watched_at > clock_timestamp() then 'its last row is dated in the future'
      else floor(extract(epoch from clock_timestamp() - w.watched_at) / 60) || ' minutes ago' || coalesce(': ' || w.error, '')
    end,
    'watchdog-silent'
  from (select) as always
  left join (select * from reminder.watchdog_log l order by l.id desc limit 1) w on true
$$;
comment on function reminder.check_watchdog() is 'Whether the watchdog has looked within 15 minutes, and its look ended well.';

-- No row of health asks the check of another, which would take it along.
create function reminder.section_of_failure(p_status text, p_error_code text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when p_status = 'timed_out' or p_error_code in ('57014', '55P03') then 'service-timeout'
    when p_status = 'abandoned' then 'abandoned-run'
    else 'repeated-failures'
  end
$$;
comment on function reminder.section_of_failure(text, text) is 'The runbook section for a run that failed.';

create function reminder.check_failures() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(l.consecutive_failures, 0) = 0,
    case
      when l.consecutive_failures > 0
        then format('%s, last %s', l.consecutive_failures, coalesce(l.error_code, l.status))
      else '0'
    end,
    reminder.section_of_failure(l.status, l.error_code)
  from (select) as always
  left join (
    select * from public.cron_execution_logs r
    where r.status not in ('running', 'skipped')
    order by r.id desc
    limit 1
  ) l on true
$$;
comment on function reminder.check_failures() is 'Whether the last finished run succeeded.';

create function reminder.check_last_success() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  with
    success as (
      -- One from the future vouches for no run.
      select l.finished_at as at from public.cron_execution_logs l
      where l.status = 'succeeded' and l.finished_at <= clock_timestamp()
      order by l.id desc
      limit 1
    ),
    latest as (
      select l.consecutive_failures, l.status, l.error_code from public.cron_execution_logs l
      where l.status not in ('running', 'skipped')
      order by l.id desc
      limit 1
    )
  select
    -- Whether or not the job is active: a disabled job misses its runs too.
    not o.is_overdue
      and (
        latest.consecutive_failures is null
        or coalesce(success.at >= coalesce(e.due_at, '-infinity'), false)
      ),
    coalesce(floor(extract(epoch from clock_timestamp() - success.at) / 3600) || ' hours ago', 'never')
      || case when e.schedule is not null and not e.is_ever_due
        then format('; by its schedule %s the job is due at no time that a clock shows', btrim(e.schedule)) else '' end,
    -- Runs that took place and failed were not missed.
    case when not o.is_overdue and latest.consecutive_failures > 0
      then reminder.section_of_failure(latest.status, latest.error_code) else 'missed-runs' end
  from reminder.expected_run(clock_timestamp()) e
  cross join lateral (select exists (select from reminder.overdue_run(clock_timestamp())) as is_overdue) o
  left join success on true
  left join latest on true
$$;
comment on function reminder.check_last_success() is 'Whether a run has succeeded since the job was last due.';

revoke all on reminder.watchdog_log, reminder.stuck_lock, reminder.blocking_session from public, anon, authenticated, service_role;
revoke all on sequence reminder.watchdog_log_id_seq from public, anon, authenticated, service_role;
revoke all on function
  reminder.expected_run(timestamptz),
  reminder.overdue_run(timestamptz),
  reminder.missed_run(timestamptz),
  reminder.watch(),
  reminder.check_lock(),
  reminder.check_watchdog(),
  reminder.check_last_success(),
  reminder.section_of_failure(text, text),
  reminder.check_failures()
  from public, anon, authenticated, service_role;
