-- What the role postgres is given for all its sessions, of this system and of everybody else's work.
--
-- Disabling a job closes pg_cron's connection but does not stop the session behind it, which would
-- go on and keep the lock.  With this setting the session notices within two seconds and ends.  It
-- applies to new sessions of postgres and costs one poll of the socket.
--
-- To undo, after every later migration:
--   alter role postgres reset client_connection_check_interval;

alter role postgres set client_connection_check_interval = '2s';
