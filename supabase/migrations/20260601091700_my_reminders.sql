-- Reminders as the application reads them: a mentor sees own reminders, nobody else's.
--
-- The view is in public because the Data API serves that schema; the table stays where it is.  The
-- view runs with the caller's rights, so the policy on the table decides.  USAGE on the schema shows
-- nothing else: no other object in it is granted to authenticated.
--
-- To undo, after every later migration:
--   drop view public.reminders;
--   drop index reminder.dispatched_reminders_mentor_id_idx;
--   drop policy dispatched_reminders_read on reminder.dispatched_reminders;
--   alter table reminder.dispatched_reminders disable row level security;
--   revoke select (assignment_id, due_on, mentor_id, dispatched_at)
--     on reminder.dispatched_reminders from authenticated;
--   revoke usage on schema reminder from authenticated;

alter table reminder.dispatched_reminders enable row level security;
create policy dispatched_reminders_read on reminder.dispatched_reminders
  for select to authenticated
  using (mentor_id = (select auth.uid()) and not passed_over);
comment on policy dispatched_reminders_read on reminder.dispatched_reminders is
  'A mentor reads own reminders, without those passed over before the first run.';
create index dispatched_reminders_mentor_id_idx
  on reminder.dispatched_reminders (mentor_id, due_on desc);

grant usage on schema reminder to authenticated;
grant select (assignment_id, due_on, mentor_id, dispatched_at)
  on reminder.dispatched_reminders to authenticated;

create view public.reminders with (security_invoker = true) as
  select r.assignment_id, r.due_on, r.mentor_id, r.dispatched_at
  from reminder.dispatched_reminders r;
comment on view public.reminders is 'The reminders of the signed-in mentor.';
comment on column public.reminders.assignment_id is 'The assignment it is about.';
comment on column public.reminders.due_on is 'The day it fell due.';
comment on column public.reminders.mentor_id is 'The mentor it goes to.';
comment on column public.reminders.dispatched_at is 'When it was written.';
revoke all on public.reminders from public, anon, authenticated, service_role;
grant select on public.reminders to authenticated;
