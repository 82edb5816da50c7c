-- The jobs: the daily run, the watchdog every five minutes, and the daily clearing of old rows.
-- pg_cron keeps time in GMT.
--
-- A job that is there keeps its schedule and stays switched off if it was, so this migration does no
-- harm when it is run twice.
--
-- To undo, after every later migration:
--   select cron.unschedule('peer-mentor-reminders');
--   select cron.unschedule('reminder-watchdog');
--   select cron.unschedule('reminder-retention');

select * from reminder.register_jobs();

-- From here on reminder.drift says what differs.
select * from reminder.record_deployment();
