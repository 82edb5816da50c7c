-- One look at everything: the operator's first query, short enough to type on a phone.
--
-- To undo, after every later migration:
--   drop view reminder.health;
--   drop view reminder.stuck_lock;

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

-- The order is the order of repair: what would stop a run or what a run would make worse comes before
-- whatever is repaired by running the job.  The lock is first: the guard is repaired while no run is
-- at work.
create view reminder.health with (security_invoker = true) as
  with
    job as (
      select j.active, j.schedule
      from cron.job j
      where j.jobname = 'peer-mentor-reminders' and j.username = 'postgres'
    ),
    success as (
      select max(l.finished_at) as at
      from public.cron_execution_logs l
      where l.status = 'succeeded'
    ),
    latest as (
      select l.id, l.status, l.error_code, l.consecutive_failures
      from public.cron_execution_logs l
      where l.status not in ('running', 'skipped')
      order by l.id desc
      limit 1
    ),
    overdue as (
      select from reminder.overdue_run(clock_timestamp())
    ),
    failure as (
      select case
        when (select latest.status = 'timed_out' or latest.error_code in ('57014', '55P03') from latest)
          then 'service-timeout'
        when (select latest.status = 'abandoned' from latest) then 'abandoned-run'
        else 'repeated-failures'
      end as section
    )
  select
    1 as step,
    'lock' as what,
    not exists (select from reminder.stuck_lock) as ok,
    case
      when reminder.lock_holder() is null then 'free'
      else 'held by process ' || reminder.lock_holder()
    end as finding,
    'stuck-lock' as section
  union all
  select
    2, 'stale contact dates',
    count(*) = 0, count(*)::text, 'reminders-after-contact'
  from reminder.lately_stale_contact
  union all
  select
    3, 'duplicate guard',
    count(*) = 1, case when count(*) = 1 then 'in place' else 'missing' end, 'duplicate-reminders'
  from pg_catalog.pg_constraint c
  where c.conrelid = to_regclass('reminder.dispatched_reminders') and c.contype = 'p'
  union all
  select
    4, 'watchdog',
    coalesce(max(w.watched_at) > clock_timestamp() - interval '15 minutes', false),
    coalesce(floor(extract(epoch from clock_timestamp() - max(w.watched_at)) / 60) || ' minutes ago', 'never'),
    'watchdog-silent'
  from reminder.watchdog_log w
  union all
  select
    5, 'schedule',
    coalesce((select job.active from job), false),
    coalesce(
      (select case when job.active then 'active' else 'disabled' end || ', ' || job.schedule || ' UTC' from job),
      'not registered'
    ),
    'missed-runs'
  union all
  select
    6, 'last success',
    -- Whether or not the job is active: a disabled job misses its runs too.
    not exists (select from overdue)
      and (
        not exists (select from latest)
        or coalesce(
          success.at >= (
            select reminder.last_due_at(job.schedule, clock_timestamp() - s.missed_run_grace)
            from job cross join reminder.settings s
          ),
          false
        )
      ),
    coalesce(floor(extract(epoch from clock_timestamp() - success.at) / 3600) || ' hours ago', 'never'),
    -- Runs that took place and failed were not missed.
    case
      when not exists (select from overdue)
        and (select latest.consecutive_failures > 0 from latest)
        then failure.section
      else 'missed-runs'
    end
  from success cross join failure
  union all
  select
    7, 'failures in a row',
    coalesce((select latest.consecutive_failures from latest), 0) = 0,
    coalesce(
      (
        select case
          when latest.consecutive_failures = 0 then '0'
          else format('%s, last %s', latest.consecutive_failures, coalesce(latest.error_code, latest.status))
        end
        from latest
      ),
      '0'
    ),
    failure.section
  from failure
  union all
  select
    8, 'alerts not delivered',
    count(*) = 0, count(*)::text, 'alert-not-delivered'
  from reminder.alerts a
  where a.status = 'undelivered' or (a.status = 'queued' and a.error is not null);
comment on view reminder.health is
  'One row a check: whether it is well, what was found, and the runbook section to go to if it is not.';
comment on column reminder.health.step is 'Order of repair: the first one that is not ok comes first.';
comment on column reminder.health.what is 'What is checked.';
comment on column reminder.health.ok is 'True when nothing is to be done.';
comment on column reminder.health.finding is 'What was found.';
comment on column reminder.health.section is 'Anchor of the runbook section that helps.';
