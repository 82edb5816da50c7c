-- What the platform gives `postgres` on pg_cron, real or stood in for: everything except writing
-- cron.job, which goes through the functions.

grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on cron.job from postgres;
grant select on cron.job to postgres with grant option;
revoke trigger on cron.job_run_details from postgres;
grant usage, select on all sequences in schema cron to postgres;
