-- The reminders that were written.  The primary key is the guard against duplicates: one
-- assignment gets one reminder for one due date, whatever runs twice or at once.
--
-- To undo, after every later migration:
--   drop table reminder.dispatched_reminders;  -- every due reminder would be written again

create table reminder.dispatched_reminders (
  assignment_id bigint not null references public.assignments (id) on delete cascade,
  due_on date not null,
  mentor_id uuid not null,
  run_id bigint not null,
  dispatched_at timestamptz not null default now(),
  constraint dispatched_reminders_pkey primary key (assignment_id, due_on)
);
comment on table reminder.dispatched_reminders is 'Reminders written by ReminderDispatchService, each at most once.';
comment on column reminder.dispatched_reminders.assignment_id is 'The assignment it is about.';
comment on column reminder.dispatched_reminders.due_on is 'The day it fell due, counted from the last contact; not the day of the run.';
comment on column reminder.dispatched_reminders.mentor_id is 'The mentor it goes to.';
comment on column reminder.dispatched_reminders.run_id is 'The run in cron_execution_logs that wrote it. No foreign key: the log is kept for a shorter time.';
comment on column reminder.dispatched_reminders.dispatched_at is 'When it was written.';
