-- The status values of a run, and those that reminder.close_run counts as failures.
select
  status as "Status",
  case when position(quote_literal(status) in counted.list) > 0 then 'yes' else 'no' end
    as "Counts as failure"
from (
  select (regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g'))[1] as status
  from pg_constraint
  where conrelid = 'public.cron_execution_logs'::regclass
    and conname = 'cron_execution_logs_status_check'
) allowed
cross join (
  select substring(pg_get_functiondef('reminder.close_run'::regproc) from 'status in (\([^)]*\))') as list
) counted;
