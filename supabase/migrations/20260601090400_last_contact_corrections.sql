-- A last contact date that was set by hand, with who, when and why.
--
-- To undo, after every later migration:
--   drop function reminder.correct_last_contact_date(bigint, date, text, text);
--   drop table reminder.last_contact_corrections;  -- loses who corrected what

create table reminder.last_contact_corrections (
  id bigint generated always as identity primary key,
  assignment_id bigint not null references public.assignments (id) on delete cascade,
  old_date date,
  new_date date,
  reason text not null check (btrim(reason) <> ''),
  corrected_by text not null check (btrim(corrected_by) <> ''),
  corrected_at timestamptz not null default clock_timestamp(),
  constraint last_contact_corrections_dates_are_plausible check (
    new_date >= '1900-01-01'
    and new_date <= (corrected_at at time zone 'utc')::date + 1
    and corrected_at < 'infinity'
  )
);
comment on table reminder.last_contact_corrections is 'Each correction of a last contact date by hand.';
comment on column reminder.last_contact_corrections.id is 'Key of the correction.';
comment on column reminder.last_contact_corrections.assignment_id is 'The corrected assignment.';
comment on column reminder.last_contact_corrections.old_date is 'The date before.';
comment on column reminder.last_contact_corrections.new_date is 'The date after. Null: no contact yet.';
comment on column reminder.last_contact_corrections.reason is 'Why it was corrected.';
comment on column reminder.last_contact_corrections.corrected_by is 'The person who corrected it.';
comment on column reminder.last_contact_corrections.corrected_at is 'When it was corrected; activities registered before it no longer decide the date.';

create index last_contact_corrections_assignment_id_idx
  on reminder.last_contact_corrections (assignment_id, id desc);

create function reminder.correct_last_contact_date(
  p_assignment_id bigint,
  p_new_date date,
  p_reason text,
  p_corrected_by text
) returns table (assignment_id bigint, old_date date, new_date date)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old date;
begin
  if not reminder.is_filled_in(p_reason) or not reminder.is_filled_in(p_corrected_by) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'A correction needs a reason and the name of the person who makes it.',
      hint = 'Fill in p_reason and p_corrected_by.';
  end if;
  if p_new_date > (now() at time zone 'utc')::date + 1 then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('The date %s lies in the future.', p_new_date),
      hint = 'A contact in the future would silence the reminders until then.';
  elsif p_new_date < '1900-01-01' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('The date %s lies before 1900.', p_new_date),
      hint = 'Write the day of the contact, or null if there was none.';
  end if;
  select a.last_contact_date into v_old
  from public.assignments a
  where a.id = p_assignment_id
  for no key update;
  if not found then
    raise exception using
      errcode = 'no_data_found',
      message = format('There is no assignment %s.', p_assignment_id),
      hint = 'Look it up in public.assignments.';
  end if;
  update public.assignments a set last_contact_date = p_new_date where a.id = p_assignment_id;
  insert into reminder.last_contact_corrections as c
    (assignment_id, old_date, new_date, reason, corrected_by)
  values (p_assignment_id, v_old, p_new_date, btrim(p_reason), btrim(p_corrected_by));
  -- A trigger or a rule of the application can keep the date without a word.
  if not exists (
    select from public.assignments a
    where a.id = p_assignment_id and a.last_contact_date is not distinct from p_new_date
  ) then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('The date of assignment %s was changed back at once.', p_assignment_id),
      hint = 'A trigger or a rule on public.assignments changes it; reminder.drift names it.';
  end if;
  return query select p_assignment_id, v_old, p_new_date;
end
$$;
comment on function reminder.correct_last_contact_date(bigint, date, text, text) is
  'Sets the last contact date of one assignment by hand and keeps old value, new value, who and why.';
revoke all on function reminder.correct_last_contact_date(bigint, date, text, text) from public;
