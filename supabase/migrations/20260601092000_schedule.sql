-- The jobs: the daily run, the watchdog every five minutes, and the daily clearing of old rows.
--
-- The command is one CALL and nothing else: with a second statement it would run in a transaction
-- block and its commits would be refused.  pg_cron keeps time in GMT.
--
-- Scheduling a name again updates schedule and command and keeps the job disabled if it was, so
-- this migration does no harm when it is run twice.
--
-- To undo, after every later migration:
--   select cron.unschedule('peer-mentor-reminders');
--   select cron.unschedule('reminder-watchdog');
--   select cron.unschedule('reminder-retention');
--   alter role postgres reset client_connection_check_interval;

select cron.schedule('peer-mentor-reminders', '0 6 * * *', 'call reminder.run_job()');
select cron.schedule('reminder-watchdog', '*/5 * * * *', 'select reminder.watch()');
select cron.schedule('reminder-retention', '30 3 * * *', 'call reminder.clear_old_rows()');

-- Disabling a job closes pg_cron's connection but does not stop the session behind it, which would
-- go on and keep the lock.  With this setting the session notices within two seconds and ends.  It
-- applies to new sessions of postgres and costs one poll of the socket.
alter role postgres set client_connection_check_interval = '2s';
