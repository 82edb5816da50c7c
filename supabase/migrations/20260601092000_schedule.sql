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
--   alter role postgres reset client_connection_check_interval;

select * from reminder.register_jobs();

-- Disabling a job closes pg_cron's connection but does not stop the session behind it, which would
-- go on and keep the lock.  With this setting the session notices within two seconds and ends.  It
-- applies to new sessions of postgres and costs one poll of the socket.
alter role postgres set client_connection_check_interval = '2s';

-- From here on reminder.drift says what differs.
select * from reminder.record_deployment();
