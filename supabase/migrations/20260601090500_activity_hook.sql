-- The activity registration hook: keeps assignments.last_contact_date true, whichever path wrote
-- the activity, in one step a statement however many rows it wrote.
--
-- Rules
--   The date is that of the latest contact that was logged, so one registered late changes nothing.
--   A correction by hand outranks every activity registered before it.
--
-- Locks: the assignments concerned are locked in key order before anything is read, so that two
-- registrations at once cannot overwrite or deadlock each other.  FOR NO KEY UPDATE lets the
-- foreign keys of a running reminder job through.
--
-- REPEATABLE READ and SERIALIZABLE: such a caller cannot see what was committed since it began.  So
-- each registration leaves a new version of the assignment's row, even with the same date: whoever
-- comes with an older snapshot gets a serialization failure, and not a wrong date.
--
-- SECURITY DEFINER: a mentor may register an activity but may not update assignments.
--
-- To undo, after every later migration:
--   drop trigger contact_registered on public.activities;
--   drop trigger contact_changed on public.activities;
--   drop trigger contact_removed on public.activities;
--   drop trigger contacts_truncated on public.activities;
--   drop function reminder.track_last_contact();
--   drop function reminder.refuse_old_snapshot(text);
--   drop view reminder.contact_dates;

-- A view and not a function: it is planned into whatever asks, for one assignment or for all.
create view reminder.contact_dates with (security_invoker = true) as
  select
    a.id as assignment_id,
    a.mentor_id,
    a.last_contact_date,
    greatest(
      (
        select act.occurred_on
        from public.activities act
        join public.activity_types t on t.code = act.activity_type
        where act.assignment_id = a.id
          and t.counts_as_contact
          and act.registered_at > coalesce(latest.corrected_at, '-infinity')
          -- Loaded with the triggers off, perhaps: it would silence the reminders until then.
          and act.occurred_on <= (now() at time zone 'utc')::date + 1
        order by act.occurred_on desc
        limit 1
      ),
      latest.new_date
    ) as worked_out
  from public.assignments a
  left join lateral (
    select c.new_date, c.corrected_at
    from reminder.last_contact_corrections c
    where c.assignment_id = a.id
    order by c.id desc
    limit 1
  ) latest on true;
comment on view reminder.contact_dates is
  'Each assignment with the last contact date that the job goes by, and the one that its activities and its latest correction give.';
comment on column reminder.contact_dates.assignment_id is 'The assignment.';
comment on column reminder.contact_dates.mentor_id is 'Its mentor.';
comment on column reminder.contact_dates.last_contact_date is 'The date that the job goes by.';
comment on column reminder.contact_dates.worked_out is 'The date that was logged. Null: no contact.';

create function reminder.refuse_old_snapshot(p_what text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    raise exception using
      errcode = 'serialization_failure',
      message = format('%s at isolation level %s.', p_what, current_setting('transaction_isolation')),
      hint = 'What was registered since this transaction began cannot be seen. Use READ COMMITTED.';
  end if;
end
$$;
comment on function reminder.refuse_old_snapshot(text) is
  'Refuses what has to see every registration, where the transaction cannot.';
revoke all on function reminder.refuse_old_snapshot(text) from public;

create function reminder.track_last_contact() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
begin
  if tg_op in ('INSERT', 'UPDATE') then
    -- It would outrank every correction until then.  Five minutes for the clock of another server.
    if exists (
      select from new_rows n where n.registered_at > clock_timestamp() + interval '5 minutes'
    ) then
      raise exception using
        errcode = 'check_violation',
        message = 'An activity cannot be registered in the future.',
        hint = 'Leave registered_at to its default.';
    end if;
  end if;
  -- With an older snapshot a type that began or ceased to count meanwhile is a serialization failure.
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    perform from public.activity_types for share;
  end if;

  -- The transition tables exist only for the event they belong to, hence one query each.
  case tg_op
    when 'INSERT' then
      select array_agg(distinct n.assignment_id) into v_ids
      from new_rows n
      join public.activity_types t on t.code = n.activity_type
      where t.counts_as_contact;
    when 'DELETE' then
      select array_agg(distinct o.assignment_id) into v_ids
      from old_rows o
      join public.activity_types t on t.code = o.activity_type
      where t.counts_as_contact;
    when 'UPDATE' then
      -- What is the same before and after does not matter.
      select array_agg(distinct c.assignment_id) into v_ids
      from (
        select c.assignment_id, c.activity_type
        from (
          select n.id, n.assignment_id, n.activity_type, n.occurred_on, n.registered_at
          from new_rows n
          union all
          select o.id, o.assignment_id, o.activity_type, o.occurred_on, o.registered_at
          from old_rows o
        ) c
        group by c.id, c.assignment_id, c.activity_type, c.occurred_on, c.registered_at
        having count(*) = 1
      ) c
      join public.activity_types t on t.code = c.activity_type
      where t.counts_as_contact;
    when 'TRUNCATE' then
      perform reminder.refuse_old_snapshot('Activities cannot be truncated');
      select array_agg(a.id) into v_ids
      from public.assignments a
      where a.last_contact_date is not null;
  end case;
  if v_ids is null then
    return null;
  end if;

  -- Before anything is worked out: what was registered or corrected meanwhile has to be seen.
  perform a.id
  from public.assignments a
  where a.id = any (v_ids)
  order by a.id
  for no key update;
  update public.assignments a
  set last_contact_date = d.worked_out
  from reminder.contact_dates d
  where d.assignment_id = a.id and a.id = any (v_ids);
  return null;
end
$$;
comment on function reminder.track_last_contact() is
  'Trigger function of public.activities: keeps assignments.last_contact_date after insert, update, delete and truncate.';
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

create trigger contacts_truncated
  after truncate on public.activities
  for each statement execute function reminder.track_last_contact();
comment on trigger contacts_truncated on public.activities is 'Of all contacts only the corrections by hand remain.';
