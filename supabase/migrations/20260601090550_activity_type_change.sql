-- A type of activity that begins or ceases to count as contact changes the past: last contact dates
-- are worked out anew in the same transaction, as if its activities had been added or taken away.
-- The rules are those of the hook, so a correction by hand keeps its rank.
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
--   drop function reminder.recount_contacts();

create function reminder.recount_contacts() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_gained text[];
  v_lost text[];
begin
  select
    array_agg(n.code) filter (where n.counts_as_contact),
    array_agg(n.code) filter (where not n.counts_as_contact)
  into v_gained, v_lost
  from new_types n
  join old_types o on o.code = n.code
  where n.counts_as_contact <> o.counts_as_contact;
  if v_gained is null and v_lost is null then
    return null;
  end if;

  lock table public.activities in share row exclusive mode;
  perform a.id
  from public.assignments a
  where exists (
    select from public.activities act
    where act.assignment_id = a.id and act.activity_type = any (v_gained || v_lost)
  )
  order by a.id
  for no key update;

  update public.assignments a
  set last_contact_date = c.last_contact_date
  from (
    select
      changed.assignment_id,
      case
        -- It may have set the date.
        when changed.lost >= locked.last_contact_date
          then reminder.work_out_last_contact(changed.assignment_id)
        else greatest(locked.last_contact_date, changed.gained)
      end as last_contact_date
    from (
      select
        act.assignment_id,
        max(act.occurred_on) filter (where act.activity_type = any (v_lost)) as lost,
        max(act.occurred_on) filter (
          where act.activity_type = any (v_gained)
            and act.registered_at > coalesce(k.corrected_at, '-infinity')
        ) as gained
      from public.activities act
      left join (
        select c.assignment_id, max(c.corrected_at) as corrected_at
        from reminder.last_contact_corrections c
        group by c.assignment_id
      ) k on k.assignment_id = act.assignment_id
      where act.activity_type = any (v_gained || v_lost)
      group by act.assignment_id
    ) changed
    join public.assignments locked on locked.id = changed.assignment_id
  ) c
  where a.id = c.assignment_id and a.last_contact_date is distinct from c.last_contact_date;
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
