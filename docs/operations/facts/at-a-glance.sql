-- What the table "Facts at a glance" of the runbook says, as the database has it.

-- fact: Job
select jobname, command from cron.job where jobname = 'peer-mentor-reminders';

-- fact: Schedule
select schedule, to_char(reminder.last_due_at(schedule, now()) at time zone 'utc', 'HH24:MI')
from cron.job
where jobname = 'peer-mentor-reminders';

-- fact: Watchdog
select jobname, schedule from cron.job where command = 'select reminder.watch()';

-- fact: Retention
select jobname, schedule from cron.job where command = 'call reminder.clear_old_rows()';

-- fact: Log
select format('%s.%s', table_schema, table_name)
from information_schema.columns
where column_name = 'blocked_by_pid';

-- fact: Lock
select reminder.lock_key();

-- fact: Time limits
select
  extract(epoch from run_time_limit)::integer,
  extract(epoch from manual_run_time_limit)::integer,
  (select reset_val::integer / 60000 from pg_settings where name = 'statement_timeout'),
  extract(epoch from run_hard_limit)::integer / 60
from reminder.settings;

-- fact: Reminder is due
select reminder_after_days, repeat_every_days from reminder.settings;

-- fact: Alert
select
  failure_threshold,
  substring(pg_get_functiondef('reminder.send_alerts'::regproc) from 'address_of\(''(\w+)''')
from reminder.settings;

-- fact: Heartbeat
select substring(pg_get_functiondef('reminder.send_heartbeat'::regproc) from 'address_of\(''(\w+)''');

-- fact: Kept
select
  extract(day from keep_logs), extract(day from keep_reminders), extract(day from keep_cron_history)
from reminder.settings;

-- fact: Settings
select attrelid::regclass from pg_attribute where attname = 'failure_threshold';

-- fact: Role
select username from cron.job where jobname = 'peer-mentor-reminders';

-- unchecked: Owner: people decide it, the database does not know them
-- unchecked: Expected behaviour: a link to a file, which the tests of the page follow
