-- Puts right last contact dates that fell behind, as after a bulk load with the triggers off.
--
-- To undo, after every later migration:
--   drop function reminder.repair_last_contact();
--   drop view reminder.lately_stale_contact;
--   drop view reminder.stale_last_contact;

create view reminder.stale_last_contact with (security_invoker = true) as
  select
    a.id as assignment_id,
    a.mentor_id,
    a.last_contact_date,
    seen.occurred_on as logged_contact
  from public.assignments a
  cross join lateral (
    select act.occurred_on
    from public.activities act
    join public.activity_types t on t.code = act.activity_type
    where act.assignment_id = a.id
      and t.counts_as_contact
      and act.registered_at > coalesce(
        (
          select max(c.corrected_at)
          from reminder.last_contact_corrections c
          where c.assignment_id = a.id
        ),
        '-infinity'
      )
    order by act.occurred_on desc
    limit 1
  ) seen
  where a.last_contact_date is null or a.last_contact_date < seen.occurred_on;
comment on view reminder.stale_last_contact is
  'Assignments whose last contact date is older than a contact that was logged. Normally empty.';
comment on column reminder.stale_last_contact.assignment_id is 'The assignment.';
comment on column reminder.stale_last_contact.mentor_id is 'Its mentor.';
comment on column reminder.stale_last_contact.last_contact_date is 'The date that the job goes by.';
comment on column reminder.stale_last_contact.logged_contact is 'The latest contact that was logged.';

-- The view above looks at every assignment: seconds for a million.  A first look has to be quick, and
-- whoever complains has logged something lately.  The latest by key and not by registered_at: a load
-- with old times is lately too, and the primary key is an index that is there anyway.
create view reminder.lately_stale_contact with (security_invoker = true) as
  select s.assignment_id, s.mentor_id, s.last_contact_date, s.logged_contact
  from (
    select distinct lately.assignment_id
    from (
      select act.assignment_id, act.activity_type, act.occurred_on
      from public.activities act
      order by act.id desc
      limit 10000
    ) lately
    join public.activity_types t on t.code = lately.activity_type and t.counts_as_contact
    -- The limit keeps the planner from reading all assignments instead of these.
    cross join lateral (
      select a.last_contact_date
      from public.assignments a
      where a.id = lately.assignment_id
      limit 1
    ) known
    where lately.occurred_on > coalesce(known.last_contact_date, '-infinity')
  ) found
  cross join lateral (
    select s.assignment_id, s.mentor_id, s.last_contact_date, s.logged_contact
    from reminder.stale_last_contact s
    where s.assignment_id = found.assignment_id
    limit 1
  ) s;
comment on view reminder.lately_stale_contact is
  'The rows of stale_last_contact that the 10,000 activities registered last have to do with. Quick at any size.';
comment on column reminder.lately_stale_contact.assignment_id is 'The assignment.';
comment on column reminder.lately_stale_contact.mentor_id is 'Its mentor.';
comment on column reminder.lately_stale_contact.last_contact_date is 'The date that the job goes by.';
comment on column reminder.lately_stale_contact.logged_contact is 'The latest contact that was logged.';

create function reminder.repair_last_contact() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
  v_repaired integer;
begin
  -- All of them once; then only those that were found.
  select array_agg(s.assignment_id) into v_ids from reminder.stale_last_contact s;
  -- Locked first, in key order, so that a registration at the same moment is not overwritten.
  perform a.id
  from public.assignments a
  where a.id = any (v_ids)
  order by a.id
  for no key update;
  update public.assignments a
  set last_contact_date = s.logged_contact
  from reminder.stale_last_contact s
  where a.id = s.assignment_id and s.assignment_id = any (v_ids);
  get diagnostics v_repaired = row_count;
  return v_repaired;
end
$$;
comment on function reminder.repair_last_contact() is
  'Moves every last contact date that fell behind forward to the latest logged contact; returns how many.';
revoke all on function reminder.repair_last_contact() from public;
