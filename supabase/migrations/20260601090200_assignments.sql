-- Who looks after whom, and since when nobody has heard from them.
--
-- To undo, after every later migration:
--   drop table public.assignments;  -- loses the assignments
--   drop function reminder.guard_assignment_dates();

create table public.assignments (
  id bigint generated always as identity primary key,
  mentor_id uuid not null references auth.users (id),
  person_id uuid not null,
  status text not null default 'active' check (status in ('active', 'paused', 'ended')),
  started_on date not null default (now() at time zone 'utc')::date,
  last_contact_date date,
  created_at timestamptz not null default now(),
  -- No infinity, with which no days can be counted.  Without "between", whose parentheses are lost
  -- when reminder.redeploy() makes the constraint from its own text.
  constraint assignments_dates_are_plausible check (
    started_on >= '1900-01-01'
    and started_on <= '2199-12-31'
    and last_contact_date >= '1900-01-01'
    and last_contact_date <= '2199-12-31'
  ),
  -- A walk begins after the lowest key there could be.
  constraint assignments_id_is_above_the_lowest check (id > -9223372036854775808)
);
comment on table public.assignments is 'A peer mentor assigned to a person.';
comment on column public.assignments.id is 'Key of the assignment.';
comment on column public.assignments.mentor_id is 'The mentor: the user who gets the reminder.';
comment on column public.assignments.person_id is 'The person who is looked after.';
comment on column public.assignments.status is 'active, paused or ended. Only active assignments are reminded of.';
comment on column public.assignments.started_on is 'First day of the assignment; the wait starts here until there is a contact.';
comment on column public.assignments.last_contact_date is 'Day of the latest qualifying activity; kept by the trigger on activities. Null: no contact yet.';
comment on column public.assignments.created_at is 'When the row was written.';

create index assignments_mentor_id_idx on public.assignments (mentor_id);
-- A run walks the active assignments in key order, one batch after the other.
create index assignments_active_idx on public.assignments (id)
  include (mentor_id, last_contact_date, started_on) where status = 'active';
-- From its far end: dates that would silence reminders for too long are found at once.
create index assignments_waiting_since_idx on public.assignments
  (coalesce(last_contact_date, started_on)) where status = 'active';

-- A last contact date follows from activities and corrections.  One that was written directly would
-- send or silence reminders without a trace, so only the owner may: functions of the system, which
-- run as the owner, and restores.
create function reminder.guard_assignment_dates() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.started_on > (now() at time zone 'utc')::date + 366 then
    raise exception using
      errcode = 'check_violation',
      message = format('The assignment would start on %s, more than a year ahead.', new.started_on),
      hint = 'Nobody would be reminded until then. Write the day on which it really starts.';
  end if;
  raise exception using
    errcode = 'insufficient_privilege',
    message = 'A last contact date cannot be written directly.',
    hint = 'Register the activity, or correct the date with correct_last_contact_date.';
end
$$;
comment on function reminder.guard_assignment_dates() is
  'Trigger function of public.assignments: refuses dates that would silence reminders.';
revoke all on function reminder.guard_assignment_dates() from public;

create trigger dates_are_checked_on_insert
  before insert on public.assignments
  for each row
  when (
    new.started_on > (now() at time zone 'utc')::date + 366
    or new.last_contact_date is not null and not pg_has_role('postgres', 'usage')
  )
  execute function reminder.guard_assignment_dates();
comment on trigger dates_are_checked_on_insert on public.assignments is
  'No start far ahead, and no last contact date that nobody logged.';
create trigger dates_are_checked_on_update
  before update on public.assignments
  for each row
  when (
    new.started_on > (now() at time zone 'utc')::date + 366 and new.started_on <> old.started_on
    or new.last_contact_date is distinct from old.last_contact_date
      and not pg_has_role('postgres', 'usage')
  )
  execute function reminder.guard_assignment_dates();
comment on trigger dates_are_checked_on_update on public.assignments is
  'No start far ahead, and no last contact date that nobody logged.';

alter table public.assignments enable row level security;
-- The project's default privileges may have granted more to these roles; start from nothing.
revoke all on public.assignments from public, anon, authenticated, service_role;
-- The sequence behind an identity column gets default privileges too: anon could setval it.
revoke all on sequence public.assignments_id_seq from public, anon, authenticated, service_role;
grant select on public.assignments to authenticated;
grant select, insert, update, delete on public.assignments to service_role;

-- Coordinators are marked in app_metadata, which only the service role can write.
create policy assignments_read on public.assignments
  for select to authenticated
  using (
    mentor_id = (select auth.uid())
    or ((select auth.jwt()) -> 'app_metadata' ->> 'role') in ('coordinator', 'admin')
  );
comment on policy assignments_read on public.assignments is
  'A mentor reads own assignments; coordinators and admins read all.';
