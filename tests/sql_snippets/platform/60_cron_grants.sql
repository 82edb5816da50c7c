-- What the platform gives `postgres` on pg_cron, real or stood in for: everything except writing
-- cron.job, which goes through the functions, and the sequences, which are pg_cron's own: a row of
-- the history needs a runid that was not drawn from them.

grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on cron.job from postgres;
grant select on cron.job to postgres with grant option;
revoke trigger on cron.job_run_details from postgres;
