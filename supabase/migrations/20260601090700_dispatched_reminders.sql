-- The reminders that were written.  The primary key is the guard against duplicates: nobody is
-- reminded twice of one assignment on one day, whatever runs twice or at once, and whatever setting
-- moved the due dates in between.  The day is in UTC, like everything the job does.
--
-- To undo, after every later migration:
--   drop table reminder.dispatched_reminders;  -- every due reminder would be written again

create table reminder.dispatched_reminders (
  assignment_id bigint not null references public.assignments (id) on delete cascade,
  due_on date not null,
  mentor_id uuid not null,
  run_id bigint not null,
  dispatched_at timestamptz not null default now(),
  dispatched_on date not null generated always as ((dispatched_at at time zone 'utc')::date) stored,
  passed_over boolean not null default false,
  constraint dispatched_reminders_pkey primary key (assignment_id, dispatched_on),
  -- One that was written ahead of its day would stand in the way of the real one.
  constraint dispatched_reminders_are_due check (due_on <= dispatched_on),
  -- Only before the first run; what a run wrote, a mentor can read.
  constraint dispatched_reminders_passed_over_are_of_no_run check (not passed_over or run_id = 0)
);
comment on table reminder.dispatched_reminders is 'Reminders written by ReminderDispatchService, at most one a day for each assignment.';
comment on column reminder.dispatched_reminders.assignment_id is 'The assignment it is about.';
comment on column reminder.dispatched_reminders.due_on is 'The day it fell due, counted from the last contact; not the day of the run.';
comment on column reminder.dispatched_reminders.mentor_id is 'The mentor it goes to.';
comment on column reminder.dispatched_reminders.run_id is 'The run in cron_execution_logs that wrote it. No foreign key: the log is kept for a shorter time.';
comment on column reminder.dispatched_reminders.dispatched_at is 'When it was written.';
comment on column reminder.dispatched_reminders.dispatched_on is 'The day on which it was written, in UTC.';
comment on column reminder.dispatched_reminders.passed_over is 'True for what was due before the first run and was passed over: it counts as served, and no mentor sees it.';
