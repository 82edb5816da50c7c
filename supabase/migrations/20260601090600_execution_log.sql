-- The execution log: one row a run, written when it starts and completed when it ends.
--
-- It exists beside cron.job_run_details because that one says "succeeded" for a run that was
-- skipped, has no row for a run by hand, and says "failed" for a run that was disabled half way
-- and went on to its end.
--
-- To undo, after every later migration:
--   drop table public.cron_execution_logs;  -- loses the history of runs

create table public.cron_execution_logs (
  id bigint generated always as identity primary key,
  trigger_source text not null check (trigger_source in ('cron', 'manual')),
  triggered_by text not null,
  trigger_reason text,
  status text not null
    check (status in ('running', 'succeeded', 'failed', 'timed_out', 'skipped', 'abandoned')),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  duration interval generated always as (finished_at - started_at) stored,
  assignments_evaluated bigint not null default 0,
  reminders_dispatched bigint not null default 0,
  last_assignment_id bigint,
  error_code text,
  error_message text,
  consecutive_failures integer not null default 0 check (consecutive_failures >= 0),
  backend_pid integer not null default pg_backend_pid(),
  blocked_by_pid integer,
  constraint cron_execution_logs_running_has_no_end
    check ((status = 'running') = (finished_at is null)),
  constraint cron_execution_logs_manual_has_reason
    check (trigger_source <> 'manual' or btrim(trigger_reason) <> '')
);
comment on table public.cron_execution_logs is 'One row for each run of the reminder job, skipped runs included.';
comment on column public.cron_execution_logs.id is 'Number of the run; the highest is the latest.';
comment on column public.cron_execution_logs.trigger_source is 'What started it: cron or manual.';
comment on column public.cron_execution_logs.triggered_by is 'Who started it: the job name, the person named at a run by hand, or role and program of a session that called run_job itself.';
comment on column public.cron_execution_logs.trigger_reason is 'Why it was started by hand; null for scheduled runs.';
comment on column public.cron_execution_logs.status is 'running, succeeded, failed, timed_out, skipped or abandoned.';
comment on column public.cron_execution_logs.started_at is 'When it started.';
comment on column public.cron_execution_logs.finished_at is 'When it ended; null while it runs.';
comment on column public.cron_execution_logs.duration is 'How long it took; null while it runs.';
comment on column public.cron_execution_logs.assignments_evaluated is 'Active assignments looked at so far.';
comment on column public.cron_execution_logs.reminders_dispatched is 'Reminders written so far; repeats are not counted.';
comment on column public.cron_execution_logs.last_assignment_id is 'Last assignment whose batch is complete; a run that stopped early is taken up after it.';
comment on column public.cron_execution_logs.error_code is 'SQLSTATE of the failure; null when there was none.';
comment on column public.cron_execution_logs.error_message is 'What went wrong, or why the run was skipped.';
comment on column public.cron_execution_logs.consecutive_failures is 'Failed, timed out and abandoned runs in a row up to and with this one; a success sets it to 0.';
comment on column public.cron_execution_logs.backend_pid is 'Process of the database session that ran it.';
comment on column public.cron_execution_logs.blocked_by_pid is 'For a skipped run: the process that held the lock.';

-- A second guard below the advisory lock: two rows can never be running at once.
create unique index cron_execution_logs_one_running_idx
  on public.cron_execution_logs (status) where status = 'running';
create index cron_execution_logs_status_idx on public.cron_execution_logs (status, id desc);
create index cron_execution_logs_started_at_idx on public.cron_execution_logs (started_at);

alter table public.cron_execution_logs enable row level security;
revoke all on public.cron_execution_logs from public, anon, authenticated, service_role;
revoke all on sequence public.cron_execution_logs_id_seq from public, anon, authenticated, service_role;
grant select on public.cron_execution_logs to authenticated, service_role;
create policy cron_execution_logs_read on public.cron_execution_logs
  for select to authenticated
  using (((select auth.jwt()) -> 'app_metadata' ->> 'role') = 'admin');
comment on policy cron_execution_logs_read on public.cron_execution_logs is
  'Admins may read the runs; nobody else through the Data API.';
