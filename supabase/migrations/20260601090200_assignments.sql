-- Who looks after whom, and since when nobody has heard from them.
--
-- To undo, after every later migration:
--   drop table public.assignments;  -- loses the assignments

create table public.assignments (
  id bigint generated always as identity primary key,
  mentor_id uuid not null references auth.users (id),
  person_id uuid not null,
  status text not null default 'active' check (status in ('active', 'paused', 'ended')),
  started_on date not null default (now() at time zone 'utc')::date,
  last_contact_date date,
  created_at timestamptz not null default now()
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
