-- A small organisation with a normal week behind it, for local work and for the checks of the
-- runbook.  All dates are relative to now, and "now" is after today's run.

insert into auth.users (id, email) values
  ('00000000-0000-4000-8000-000000000001', 'amara@example.org'),
  ('00000000-0000-4000-8000-000000000002', 'bruno@example.org'),
  ('00000000-0000-4000-8000-000000000003', 'chidi@example.org');

insert into public.assignments (mentor_id, person_id, status, started_on, created_at)
select
  format('00000000-0000-4000-8000-00000000000%s', 1 + n % 3)::uuid,
  format('00000000-0000-4000-9000-0000000000%s', lpad(n::text, 2, '0'))::uuid,
  case when n = 11 then 'paused' when n = 12 then 'ended' else 'active' end,
  (now() at time zone 'utc')::date - 200,
  now() - interval '200 days'
from generate_series(1, 12) n;

insert into public.activities
  (assignment_id, activity_type, occurred_on, registration_path, registered_by, registered_at)
select
  a.id,
  case a.id % 3 when 0 then 'phone_call' when 1 then 'home_visit' else 'text_message' end,
  -- Assignments 8 to 10 have been silent for too long; the others have not.
  (now() at time zone 'utc')::date - case when a.id between 8 and 10 then 40 else 3 + a.id::integer end,
  case a.id % 4 when 0 then 'direct' when 1 then 'proxy' when 2 then 'bulk' else 'coordinator_proxy' end,
  a.mentor_id,
  now() - interval '2 days'
from public.assignments a;

-- Ten days of runs at 06:00 UTC, the last one being the latest that has passed.
insert into public.cron_execution_logs
  (trigger_source, triggered_by, status, started_at, finished_at,
   assignments_evaluated, reminders_dispatched, last_assignment_id)
select
  'cron', 'peer-mentor-reminders', 'succeeded', at.started, at.started + interval '0.8 seconds',
  10, case when n % 4 = 0 then 3 else 0 end, 10
from generate_series(9, 0, -1) n
cross join lateral (
  select (date_trunc('day', (now() - interval '6 hours') at time zone 'utc')
    + interval '6 hours') at time zone 'utc' - n * interval '1 day' as started
) at;

insert into reminder.dispatched_reminders (assignment_id, due_on, mentor_id, run_id, dispatched_at)
select due.assignment_id, due.due_on, due.mentor_id, l.id, l.finished_at
from (select * from public.cron_execution_logs order by id desc limit 1) l
cross join lateral reminder.reminder_scheduler_service(l.started_at::date, null, 1000) due;

-- The watchdog has just looked and found nothing, by a schedule that has been so for a year.
insert into reminder.watchdog_log (schedule, scheduled_since, due_at)
select e.schedule, now() - interval '1 year', reminder.last_due_at(e.schedule, now() - s.missed_run_grace)
from reminder.expected_run(now()) e
cross join reminder.settings s;

-- The addresses, where nobody listens, unless the project has its own.
select vault.create_secret(url, name, 'For local work')
from (values
  ('http://127.0.0.1:9/reminder-alerts', 'REMINDER_ALERT_WEBHOOK_URL'),
  ('http://127.0.0.1:9/reminder-heartbeat', 'REMINDER_HEARTBEAT_URL')
) as a (url, name)
where not exists (select from vault.secrets s where s.name = a.name);

-- Both were proven when they were set.
update reminder.heartbeat set sent_at = clock_timestamp(), accepted_at = clock_timestamp();
insert into reminder.alerts (kind, message, status, attempts, delivered_at)
values (
  'test', 'Test of the reminder job''s alert channel, sent by the seed. Nothing is wrong.',
  'delivered', 1, clock_timestamp()
);
