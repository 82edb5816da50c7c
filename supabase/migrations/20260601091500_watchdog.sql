-- The watchdog: a second job that looks after the first one, every five minutes.
--
-- It finds what the run itself cannot report: that it did not take place, hangs, or died.  Each
-- finding raises an alert once, and each pass leaves a row in a log of its own.  It shares nothing
-- with the run but the tables, and takes the run's lock only to prove that no run is alive.
--
-- What it cannot see is a database that is down.  For that there is the heartbeat.
--
-- To undo, after every later migration:
--   drop function reminder.watch();
--   drop function reminder.missed_run(timestamptz);
--   drop function reminder.overdue_run(timestamptz);
--   drop table reminder.watchdog_log;

create table reminder.watchdog_log (
  id bigint generated always as identity primary key,
  watched_at timestamptz not null default clock_timestamp(),
  missed_since timestamptz,
  long_run_id bigint,
  cancelled_pid integer,
  abandoned_runs integer not null,
  alerts_answered integer not null,
  alerts_sent integer not null,
  alerts_undelivered integer not null
);
comment on table reminder.watchdog_log is 'One row a pass of the watchdog: what it found and what it did.';
comment on column reminder.watchdog_log.id is 'Number of the pass.';
comment on column reminder.watchdog_log.watched_at is 'When it looked.';
comment on column reminder.watchdog_log.missed_since is 'Scheduled time that no finished run has answered; null when none is missing.';
comment on column reminder.watchdog_log.long_run_id is 'The run that takes too long; null when there is none.';
comment on column reminder.watchdog_log.cancelled_pid is 'Process of the run it cancelled at the hard limit; null when it cancelled none.';
comment on column reminder.watchdog_log.abandoned_runs is 'Runs it closed because their session was gone.';
comment on column reminder.watchdog_log.alerts_answered is 'Alerts for which an answer, or none in time, was taken down.';
comment on column reminder.watchdog_log.alerts_sent is 'Alerts it handed to pg_net.';
comment on column reminder.watchdog_log.alerts_undelivered is 'Alerts that were given up on so far.';

create index watchdog_log_watched_at_idx on reminder.watchdog_log (watched_at);

create function reminder.overdue_run(p_at timestamptz)
returns table (job text, due_at timestamptz, last_finished timestamptz)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  -- The last time that was due and whose grace is over.  Any finished run since then answers it,
  -- one by hand too; a skipped one does not, because nothing was looked at.
  with registered as (
    select j.active, reminder.last_due_at(j.schedule, p_at - s.missed_run_grace) as at
    from cron.job j
    cross join reminder.settings s
    where j.jobname = 'peer-mentor-reminders' and j.username = 'postgres'
  )
  select
    case when r.active then 'active' when not r.active then 'disabled' else 'not registered' end,
    r.at,
    (
      select max(l.finished_at)
      from public.cron_execution_logs l
      where l.status not in ('running', 'skipped')
    )
  from (select) as always
  left join registered r on true
  where r.at is null
    or (
      not exists (
        select from public.cron_execution_logs l
        where l.started_at >= r.at and l.status not in ('running', 'skipped')
      )
      -- A system that was installed after that time has missed nothing.
      and (
        exists (select from public.cron_execution_logs l where l.started_at < r.at)
        or exists (select from reminder.watchdog_log w where w.watched_at < r.at)
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
  v_settings reminder.settings%rowtype;
  v_run record;
  v_missed timestamptz;
  v_long_run_id bigint;
  v_cancelled integer;
  v_abandoned integer;
  v_answered integer;
  v_sent integer;
  v_undelivered integer;
begin
  select * into strict v_settings from reminder.settings;

  -- Abandoned runs first, so that a dead run is not taken for a long one.
  v_abandoned := reminder.close_abandoned_runs();

  select l.id, l.backend_pid, l.started_at into v_run
  from public.cron_execution_logs l
  where l.status = 'running' and l.backend_pid = reminder.lock_holder();
  if v_run.started_at < clock_timestamp() - v_settings.run_hard_limit then
    if pg_cancel_backend(v_run.backend_pid) then
      v_cancelled := v_run.backend_pid;
    end if;
  end if;
  if v_run.started_at < clock_timestamp() - v_settings.long_run_after then
    v_long_run_id := v_run.id;
    perform reminder.raise_alert(
      'long_run', v_run.id, v_run.id,
      format('Run %s of the reminder job has been running since %s UTC and could not be cancelled.',
        v_run.id, to_char(v_run.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')));
  end if;

  v_missed := reminder.missed_run(clock_timestamp());
  if v_missed is not null then
    perform reminder.raise_alert(
      'missed_run',
      -- Without a run so far, the first gap is 0.
      coalesce((select max(l.id) from public.cron_execution_logs l where l.started_at < v_missed), 0),
      null,
      format('The reminder job was due at %s UTC and no run has finished since.',
        to_char(v_missed at time zone 'utc', 'YYYY-MM-DD HH24:MI')));
  end if;

  -- Whatever goes wrong with delivery must not undo what was found and closed above.
  begin
    v_answered := reminder.collect_alert_responses();
    insert into reminder.alerts (kind, streak_run_id, run_id, message)
    select
      'undelivered_alert', a.id, a.run_id,
      format('An alert of %s UTC never arrived: %s',
        to_char(a.created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'), a.message)
    from reminder.alerts a
    where a.status = 'undelivered' and a.kind <> 'undelivered_alert'
    on conflict on constraint alerts_once_per_streak do nothing;
    select count(*) into v_undelivered from reminder.alerts a where a.status = 'undelivered';
    v_sent := reminder.send_alerts();
  exception when others then
    raise warning 'Alerts stay as they are (SQLSTATE %).', sqlstate;
  end;

  return query
    insert into reminder.watchdog_log
      (missed_since, long_run_id, cancelled_pid, abandoned_runs,
       alerts_answered, alerts_sent, alerts_undelivered)
    values (v_missed, v_long_run_id, v_cancelled, v_abandoned,
            coalesce(v_answered, 0), coalesce(v_sent, 0), coalesce(v_undelivered, 0))
    returning *;
end
$$;
comment on function reminder.watch() is
  'One pass of the watchdog: closes dead runs, cancels endless ones, raises alerts for missed and long runs, delivers alerts, and returns the row it logged.';

revoke all on function
  reminder.overdue_run(timestamptz),
  reminder.missed_run(timestamptz),
  reminder.watch()
  from public;
