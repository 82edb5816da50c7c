-- fact: Key
select reminder.lock_key(), 'reminder.lock_key()'::regprocedure;

-- unchecked: Kind: says in words what the drills of the runbook show

-- fact: In pg_locks
-- Takes the lock for this one query, to see how it is shown.
select 'locktype', 'classid', shown.classid, 'objid', shown.objid, 'objsubid', shown.objsubid
from (select pg_try_advisory_xact_lock(reminder.lock_key()) as taken) lock
cross join lateral (
  select * from pg_locks
  where lock.taken and pid = pg_backend_pid() and locktype = 'advisory'
) shown;

-- unchecked: Taken by: the tests of the run show it
