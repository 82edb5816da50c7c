-- A type of activity that begins or ceases to count as contact changes the past: last contact dates
-- are worked out anew in the same transaction, as if its activities had been added or taken away.
-- The rules are those of the hook, so a correction by hand keeps its rank.  A type that is deleted
-- and inserted again in one statement has activities from the start, and is such a change too.
--
-- Locks: SHARE ROW EXCLUSIVE on activities, because a registration in progress has read the type as
-- it was and its activity cannot be seen from here.  What is registered meanwhile waits, and reads
-- the type as it is then.  It waits for at most two seconds before this gives up: registrations
-- queue behind it.  Then the assignments, in key order, as the hook locks them.
--
-- SECURITY DEFINER: whoever may change a type has no rights on the record of corrections.
--
-- To undo, after every later migration:
--   drop trigger type_changed on public.activity_types;
--   drop trigger type_added on public.activity_types;
--   drop function reminder.recount_contacts();

create function reminder.recount_contacts() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_codes text[];
  v_ids bigint[];
begin
  if tg_op = 'UPDATE' then
    select array_agg(n.code) into v_codes
    from new_types n
    join old_types o on o.code = n.code
    where n.counts_as_contact <> o.counts_as_contact;
  else
    select array_agg(n.code) into v_codes
    from new_types n
    where exists (select from public.activities act where act.activity_type = n.code);
  end if;
  if v_codes is null then
    return null;
  end if;
  perform reminder.refuse_old_snapshot('What counts as contact cannot be changed');

  lock table public.activities in share row exclusive mode;
  select array_agg(distinct act.assignment_id) into v_ids
  from public.activities act
  where act.activity_type = any (v_codes);
  perform a.id
  from public.assignments a
  where a.id = any (v_ids)
  order by a.id
  for no key update;
  update public.assignments a
  set last_contact_date = d.worked_out
  from reminder.contact_dates d
  where d.assignment_id = a.id
    and a.id = any (v_ids)
    and a.last_contact_date is distinct from d.worked_out;
  return null;
end
$$;
comment on function reminder.recount_contacts() is
  'Trigger function of public.activity_types: works out last contact dates anew when a type begins or ceases to count as contact.';
revoke all on function reminder.recount_contacts() from public;

create trigger type_changed
  after update on public.activity_types
  referencing old table as old_types new table as new_types
  for each statement execute function reminder.recount_contacts();
comment on trigger type_changed on public.activity_types is
  'A type that begins or ceases to count as contact changes the dates that its activities give.';

create trigger type_added
  after insert on public.activity_types
  referencing new table as new_types
  for each statement execute function reminder.recount_contacts();
comment on trigger type_added on public.activity_types is
  'A type that was replaced by another of the same name changes the dates that its activities give.';
