-- A schema for everything the Data API must not show: settings, services, reminders, alerts.
-- The Data API serves the schemas listed in config.toml ([api] schemas), and this is not one.
--
-- To undo, after every later migration:
--   drop schema reminder cascade;  -- loses settings, dispatched reminders and alerts
--
-- Every function here has search_path = pg_catalog, pg_temp, and names the schema of whatever is not
-- in pg_catalog.  With an empty search_path PostgreSQL would look up types in the caller's pg_temp
-- first: a domain of the name "date" there would run its CHECK as the owner of the function.

create schema reminder;
comment on schema reminder is
  'Internals of the reminder job. Not served by the Data API; used by the job and by operators.';
revoke all on schema reminder from public, anon, authenticated, service_role;

create table reminder.settings (
  only_row boolean primary key default true check (only_row),
  reminder_after_days integer not null default 30 check (reminder_after_days between 1 and 365),
  repeat_every_days integer not null default 7 check (repeat_every_days between 1 and 365),
  failure_threshold integer not null default 3 check (failure_threshold between 1 and 100),
  batch_size integer not null default 5000 check (batch_size between 1 and 100000),
  run_time_limit interval not null default '90 seconds'
    check (run_time_limit >= '0 seconds' and run_time_limit < '2 minutes'),
  manual_run_time_limit interval not null default '40 seconds'
    check (manual_run_time_limit >= '0 seconds' and manual_run_time_limit < '60 seconds'),
  run_hard_limit interval not null default '10 minutes' check (run_hard_limit >= '2 minutes'),
  long_run_after interval not null default '30 minutes' check (long_run_after >= '2 minutes'),
  missed_run_grace interval not null default '1 hour' check (missed_run_grace >= '1 minute'),
  keep_logs interval not null default '400 days' check (keep_logs >= '30 days'),
  keep_reminders interval not null default '800 days' check (keep_reminders >= '400 days'),
  keep_cron_history interval not null default '14 days' check (keep_cron_history >= '1 day'),
  alert_max_attempts integer not null default 6 check (alert_max_attempts between 1 and 100),
  heartbeat_waived boolean not null default false,
  runbook_url text not null
    default 'https://runbooks.example.org/operations/cron-reminder-runbook/'
    check (runbook_url ~ '^https?://'),
  -- Two passes of the watchdog in between: the alert says that cancelling did not help.
  constraint long_run_after_must_be_10_minutes_above_run_hard_limit
    check (long_run_after >= run_hard_limit + interval '10 minutes')
);
comment on table reminder.settings is 'The numbers an operator may change, in exactly one row.';
comment on column reminder.settings.only_row is 'Always true: the primary key that keeps this one row.';
comment on column reminder.settings.reminder_after_days is 'Days without contact after which the first reminder is due.';
comment on column reminder.settings.repeat_every_days is 'Days between two reminders while contact stays missing.';
comment on column reminder.settings.failure_threshold is 'Consecutive failed runs at which an alert is raised.';
comment on column reminder.settings.batch_size is 'Active assignments looked at in one transaction of a run.';
comment on column reminder.settings.run_time_limit is 'A scheduled run starts no further batch after this long. Below the platform''s statement timeout of 2 minutes.';
comment on column reminder.settings.manual_run_time_limit is 'The same for a run by hand. Below the 60 seconds of the SQL Editor.';
comment on column reminder.settings.run_hard_limit is 'The watchdog cancels a run that is older than this, where the platform''s timeout did not. Whoever holds the lock with a statement older than this is stuck.';
comment on column reminder.settings.long_run_after is 'A run older than this raises an alert. At least 10 minutes above run_hard_limit, so that cancelling it was tried.';
comment on column reminder.settings.missed_run_grace is 'How long after the scheduled time a finished run may be wanting before it counts as missed.';
comment on column reminder.settings.keep_logs is 'Rows of the execution log, the watchdog log and delivered alerts are kept this long.';
comment on column reminder.settings.keep_reminders is 'Dispatched reminders are kept this long.';
comment on column reminder.settings.keep_cron_history is 'Rows of cron.job_run_details are kept this long.';
comment on column reminder.settings.alert_max_attempts is 'Deliveries tried for one alert before it counts as undelivered.';
comment on column reminder.settings.heartbeat_waived is 'True where nobody outside watches for the heartbeat, on purpose.';
comment on column reminder.settings.runbook_url is 'Address of the runbook, the start of every link in an alert.';

insert into reminder.settings default values;

-- Every function reads this row; without it nothing would run and nothing would say so.
create function reminder.keep_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'restrict_violation',
    message = 'The settings row of the reminder job cannot be deleted.',
    hint = 'Update it instead.';
end
$$;
comment on function reminder.keep_settings() is 'Trigger function: refuses to delete the settings.';
revoke all on function reminder.keep_settings() from public;

create trigger keep_settings
  before delete or truncate on reminder.settings
  for each statement execute function reminder.keep_settings();
comment on trigger keep_settings on reminder.settings is 'The one row stays.';

-- A name or reason that is still a placeholder of the runbook, such as <your_name>, says nothing.
create function reminder.is_filled_in(p_text text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(btrim(p_text) <> '' and p_text !~ '^\s*<[a-z_]+>\s*$', false) $$;
comment on function reminder.is_filled_in(text) is
  'True for a text that a person wrote: not null, not blank, not a placeholder of the runbook.';
revoke all on function reminder.is_filled_in(text) from public;
