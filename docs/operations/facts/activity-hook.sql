-- fact: Table
select format('%s.%s', n.nspname, c.relname)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where t.tgname = 'contact_registered';

-- unchecked: Events: words; the triggers below are one for each

-- fact: Triggers
-- By the event in tgtype: insert, update, delete, truncate.
select
  min(tgname::text) filter (where tgtype & 4 > 0),
  min(tgname::text) filter (where tgtype & 16 > 0),
  min(tgname::text) filter (where tgtype & 8 > 0),
  min(tgname::text) filter (where tgtype & 32 > 0)
from pg_trigger
where tgfoid = 'reminder.track_last_contact'::regproc;

-- fact: Sets
select column_name, format('%s.%s', table_schema, table_name)
from information_schema.columns
where table_name = 'assignments' and column_name like 'last\_%';

-- fact: When a type changes
select
  min(t.tgname::text) filter (where t.tgtype & 16 > 0),
  min(t.tgname::text) filter (where t.tgtype & 4 > 0),
  min(format('%s.%s', n.nspname, c.relname))
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where t.tgfoid = 'reminder.recount_contacts'::regproc;

-- unchecked: Expected behaviour: a link to a file, which the tests of the page follow
