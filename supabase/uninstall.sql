-- Take the reminder system out again.  Loses its tables with all that is in them, and its addresses.
--
-- Send it as one message, or with `psql -1 -f`, as postgres: it happens as a whole or not at all.
-- Extensions stay, as other parts of the project may use them.

set local lock_timeout = '5s';

-- First the jobs, so that none begins meanwhile.
select cron.unschedule(j.jobid)
from cron.job j
where j.username = current_user
  and j.jobname in ('peer-mentor-reminders', 'reminder-watchdog', 'reminder-retention');
delete from cron.job_run_details d
where d.username = current_user
  and d.command in (
    'call reminder.run_job()', 'select reminder.watch()', 'call reminder.clear_old_rows()');
delete from vault.secrets s
where s.name in ('REMINDER_ALERT_WEBHOOK_URL', 'REMINDER_HEARTBEAT_URL');

drop function public.correct_last_contact_date(bigint, date, text);
drop view public.reminders;
drop schema reminder cascade;
drop table public.activities, public.activity_types, public.assignments, public.cron_execution_logs;
alter role postgres reset client_connection_check_interval;

-- The CLI would take the migrations for deployed.
do $$
begin
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    delete from supabase_migrations.schema_migrations
    where version between '20260601090000' and '20260601099999';
  end if;
end
$$;
