-- fact: Threshold
select a.attname, a.attrelid::regclass, pg_get_expr(d.adbin, d.adrelid)
from pg_attribute a
join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = 'reminder.settings'::regclass and a.attname = 'failure_threshold';

-- fact: Where it goes
select substring(pg_get_functiondef('reminder.send_alerts'::regproc) from 'address_of\(''(\w+)''');

-- fact: How
select
  substring(pg_get_functiondef('reminder.send_alerts'::regproc) from 'net\.\w+'),
  substring(schedule from '^\*/(\d+) ')
from cron.job
where jobname = 'reminder-watchdog';

-- fact: If it fails
select
  alert_max_attempts,
  extract(epoch from reminder.alert_back_off(1))::integer / 60,
  (
    select substring(pg_get_constraintdef(oid) from '''(undel\w+)''')
    from pg_constraint
    where conrelid = 'reminder.alerts'::regclass and conname = 'alerts_status_check'
  )
from reminder.settings;

-- fact: Where to look
select attrelid::regclass from pg_attribute where attname = 'next_attempt_at' and attnum > 0
  and attrelid in (select oid from pg_class where relkind = 'r');
