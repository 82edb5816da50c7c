-- The activity registration hook: keeps assignments.last_contact_date true, whichever path wrote
-- the activity, in one step a statement however many rows it wrote.
--
-- Rules
--   A new contact moves the date forward and never back, so one registered late changes nothing.
--   When the row that had set the date is changed, moved or deleted, the date is worked out anew
--   from what is left.  A correction by hand outranks every activity registered before it.
--
-- Locks: the assignments concerned are locked in key order before they are read, so that two
-- registrations at once cannot overwrite or deadlock each other.  FOR NO KEY UPDATE lets the
-- foreign keys of a running reminder job through.
--
-- SECURITY DEFINER: a mentor may register an activity but may not update assignments.
--
-- To undo, after every later migration:
--   drop trigger contact_registered on public.activities;
--   drop trigger contact_changed on public.activities;
--   drop trigger contact_removed on public.activities;
--   drop function reminder.track_last_contact();
--   drop function reminder.work_out_last_contact(bigint);

create function reminder.work_out_last_contact(p_assignment_id bigint) returns date
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select greatest(
    (
      select max(act.occurred_on)
      from public.activities act
      join public.activity_types t on t.code = act.activity_type
      where act.assignment_id = p_assignment_id
        and t.counts_as_contact
        and act.registered_at > coalesce(latest.corrected_at, '-infinity')
    ),
    latest.new_date
  )
  from (select) as always
  left join lateral (
    select c.new_date, c.corrected_at
    from reminder.last_contact_corrections c
    where c.assignment_id = p_assignment_id
    order by c.id desc
    limit 1
  ) as latest on true
$$;
comment on function reminder.work_out_last_contact(bigint) is
  'The last contact date that the activities and the latest correction of one assignment give.';
revoke all on function reminder.work_out_last_contact(bigint) from public;

create function reminder.track_last_contact() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gained jsonb := '{}';
  v_lost jsonb := '{}';
  v_ids bigint[];
begin
  -- The transition tables exist only for the event they belong to, hence one query each.
  if tg_op in ('INSERT', 'UPDATE') then
    select array_agg(distinct n.assignment_id) into v_ids
    from new_rows n
    join public.activity_types t on t.code = n.activity_type
    where t.counts_as_contact;
  end if;
  if tg_op in ('UPDATE', 'DELETE') then
    select v_ids || array_agg(distinct o.assignment_id) into v_ids
    from old_rows o
    join public.activity_types t on t.code = o.activity_type
    where t.counts_as_contact;
  end if;
  if v_ids is null then
    return null;
  end if;

  -- Before anything is compared: a correction made meanwhile has to be seen.
  perform a.id
  from public.assignments a
  where a.id = any (v_ids)
  order by a.id
  for no key update;

  -- Per assignment: the latest contact this statement added, and the latest it took away.
  if tg_op in ('INSERT', 'UPDATE') then
    select coalesce(jsonb_object_agg(g.assignment_id, g.latest), '{}') into v_gained
    from (
      select n.assignment_id, max(n.occurred_on) as latest
      from new_rows n
      join public.activity_types t on t.code = n.activity_type
      where t.counts_as_contact
        -- A row from before a correction stays outranked when it is edited.
        and n.registered_at > coalesce(
          (
            select max(c.corrected_at)
            from reminder.last_contact_corrections c
            where c.assignment_id = n.assignment_id
          ),
          '-infinity'
        )
      group by n.assignment_id
    ) g;
  end if;
  if tg_op in ('UPDATE', 'DELETE') then
    select coalesce(jsonb_object_agg(l.assignment_id, l.latest), '{}') into v_lost
    from (
      select o.assignment_id, max(o.occurred_on) as latest
      from old_rows o
      join public.activity_types t on t.code = o.activity_type
      where t.counts_as_contact
      group by o.assignment_id
    ) l;
  end if;

  update public.assignments a
  set last_contact_date = c.last_contact_date
  from (
    select
      locked.id,
      case
        when (v_lost ->> locked.id::text)::date >= locked.last_contact_date
          then reminder.work_out_last_contact(locked.id)
        else greatest(locked.last_contact_date, (v_gained ->> locked.id::text)::date)
      end as last_contact_date
    from public.assignments locked
    where locked.id = any (v_ids)
  ) c
  where a.id = c.id and a.last_contact_date is distinct from c.last_contact_date;
  return null;
end
$$;
comment on function reminder.track_last_contact() is
  'Trigger function of public.activities: keeps assignments.last_contact_date after insert, update and delete.';
revoke all on function reminder.track_last_contact() from public;

create trigger contact_registered
  after insert on public.activities
  referencing new table as new_rows
  for each statement execute function reminder.track_last_contact();
comment on trigger contact_registered on public.activities is 'A new contact moves last_contact_date forward.';

create trigger contact_changed
  after update on public.activities
  referencing old table as old_rows new table as new_rows
  for each statement execute function reminder.track_last_contact();
comment on trigger contact_changed on public.activities is 'A changed or moved contact is worked out anew.';

create trigger contact_removed
  after delete on public.activities
  referencing old table as old_rows
  for each statement execute function reminder.track_last_contact();
comment on trigger contact_removed on public.activities is 'A deleted contact no longer counts.';
