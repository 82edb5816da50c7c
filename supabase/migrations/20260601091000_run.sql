-- The run itself: acquire the lock, invoke ReminderSchedulerService batch by batch, log the result,
-- release the lock, count a failure, raise the alert at the threshold.
--
-- Why a procedure.  A row that is visible as "running" needs a commit before the work starts, and
-- only a procedure can commit.  What follows from that, and was tried on PostgreSQL 15 and 17:
--   * it can have no SET clause and cannot be SECURITY DEFINER, so it qualifies every name itself;
--   * it must be the only statement of its message.  `call reminder.run_job()` works as a cron
--     command and alone in the SQL Editor; after a SET, inside DO ... EXECUTE (the Dashboard's
--     "Run command") or in a transaction block it is refused, and the first line below sees to it
--     that this happens before anything is locked or written;
--   * no COMMIT may stand in a block with EXCEPTION, so each step that can fail is caught in a
--     small block of its own and committed after it.
--
-- Why a session lock, tried and never waited for.  A transaction lock would be gone at the first
-- commit.  A session lock lasts over all batches and goes with the session, however that ends.  A
-- run that finds it held says so in the log and ends well: waiting would only queue up runs.
--
-- Why role postgres and no timeout of its own.  pg_cron runs a job as the role that scheduled it,
-- and the Dashboard's switch only works for jobs of postgres.  statement_timeout (2 minutes on the
-- platform) covers the whole CALL: commits do not restart it and nothing inside can extend it.
-- Raising it would mean ALTER ROLE postgres, for every other session too.  So a run stops itself
-- after settings.run_time_limit (90 seconds), keeps what it did, and the next run goes on from
-- there; the 2 minutes stay as the hard limit.  A run by hand stops after 40 seconds because the
-- SQL Editor gives up after 60.
--
-- Why a batch that fails is done again.  One assignment that is deleted, locked or broken costs at
-- most its own reminder: the batch is repeated without those that are locked, then by halves down to
-- the one that fails, which is passed over and named in the log.  A batch that goes well knows
-- nothing of this.  After 100 single failures something else is broken, and the run ends.
--
-- To undo, after every later migration:
--   drop procedure reminder.run_manually(text, text);
--   drop procedure reminder.run_job(text, text);
--   drop function reminder.with_passed_over(text, bigint[]);
--   drop function reminder.pass_over_batch(bigint, bigint);
--   drop function reminder.run_batch(bigint, bigint, bigint, bigint, boolean);
--   drop function reminder.next_batch(bigint, bigint, bigint);
--   drop function reminder.open_run(text, text, text);
--   drop function reminder.close_abandoned_runs();
--   drop function reminder.end_dead_session();
--   drop function reminder.close_run(bigint, text, text, text);
--   drop function reminder.log_skipped_run(text, text, text);
--   drop function reminder.consecutive_failures();
--   drop function reminder.lock_holder();
--   drop function reminder.lock_key();

create function reminder.lock_key() returns bigint
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select 741852963::bigint $$;
comment on function reminder.lock_key() is
  'Key of the advisory lock of the reminder job. In pg_locks: classid 0, objid 741852963, objsubid 1.';

create function reminder.lock_holder() returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select l.pid
  from pg_catalog.pg_locks l
  where l.locktype = 'advisory'
    and l.granted
    and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
    and l.classid = (reminder.lock_key() >> 32)::oid
    and l.objid = (reminder.lock_key() & 4294967295)::oid
    and l.objsubid = 1
  limit 1
$$;
comment on function reminder.lock_holder() is
  'Process that holds the lock of the reminder job, or null.';

create function reminder.consecutive_failures() returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select l.consecutive_failures
      from public.cron_execution_logs l
      where l.status not in ('running', 'skipped')
      order by l.id desc
      limit 1
    ),
    0
  )
$$;
comment on function reminder.consecutive_failures() is
  'Failed, timed out and abandoned runs in a row, skipped runs left out.';

create function reminder.log_skipped_run(
  p_trigger_source text, p_triggered_by text, p_reason text
) returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
  -- Looked up once: the holder may be gone at a second look, and the row would contradict itself.
  with holder as materialized (
    select reminder.lock_holder() as pid, clock_timestamp() as looked_at
  )
  insert into public.cron_execution_logs
    (trigger_source, triggered_by, trigger_reason, status, started_at, finished_at,
     error_message, consecutive_failures, blocked_by_pid)
  select
    p_trigger_source, p_triggered_by, p_reason, 'skipped', h.looked_at, h.looked_at,
    coalesce(
      'Another run holds the lock: process ' || h.pid || '.',
      'Another run held the lock and has just ended.'
    ),
    reminder.consecutive_failures(), h.pid
  from holder h
  returning id
$$;
comment on function reminder.log_skipped_run(text, text, text) is
  'Writes the row of a run that found the lock held, with the process that holds it.';

create function reminder.close_run(
  p_run_id bigint, p_status text, p_error_code text, p_error_message text
) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_failures integer := 0;
  v_streak bigint;
  v_settings reminder.settings%rowtype;
begin
  select * into strict v_settings from reminder.settings;
  if p_status <> 'succeeded' then
    v_failures := reminder.consecutive_failures() + 1;
  end if;
  update public.cron_execution_logs l
  set
    status = p_status,
    finished_at = clock_timestamp(),
    error_code = p_error_code,
    error_message = p_error_message,
    consecutive_failures = v_failures
  where l.id = p_run_id and l.status = 'running';

  -- The streak is known by its first failure: the row that counted to one.
  select l.id into v_streak
  from public.cron_execution_logs l
  where l.status in ('failed', 'timed_out', 'abandoned')
    and l.consecutive_failures = 1
    and l.id <= p_run_id
  order by l.id desc
  limit 1;

  if v_failures >= v_settings.failure_threshold then
    perform reminder.raise_alert(
      'consecutive_failures', v_streak, p_run_id,
      format(
        'The reminder job failed %s times in a row. Run %s %s: %s (SQLSTATE %s).',
        v_failures, p_run_id, replace(p_status, '_', ' '),
        coalesce(p_error_message, 'no message'), coalesce(p_error_code, 'none')
      )
    );
  elsif p_status = 'succeeded' and exists (
    select from reminder.alerts a
    where a.kind = 'consecutive_failures' and a.subject_id = v_streak
  ) then
    perform reminder.raise_alert(
      'recovered', v_streak, p_run_id,
      format('The reminder job works again: run %s succeeded.', p_run_id)
    );
  end if;
  return v_failures;
end
$$;
comment on function reminder.close_run(bigint, text, text, text) is
  'Completes the row of a run, counts the failures in a row, and raises the alert at the threshold in the same transaction.';

-- A cancel that arrives between two steps, outside every block that could catch it, ends the CALL
-- without its last lines.  pg_cron's session ends with it and frees the lock; the session of a SQL
-- tool stays open and would keep it for as long as somebody leaves the window open.  A run is one
-- statement: while it lives, its session is active.  An idle one that holds the lock is of a dead
-- run if its row still says running or, where the cancel came before that row was committed, if its
-- last statement was the call.  Anybody else holds the lock on purpose and is left alone.
create function reminder.end_dead_session() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pid integer;
  v_since timestamptz;
  v_holder integer;
begin
  select a.pid, a.state_change into v_pid, v_since
  from pg_catalog.pg_stat_activity a
  where a.pid = reminder.lock_holder()
    and a.state <> 'active'
    and (
      a.query ~* '\mcall\s+reminder\.run_(job|manually)\M'
      or exists (
        select from public.cron_execution_logs l
        where l.status = 'running' and l.backend_pid = a.pid
      )
    );
  if v_pid is null then
    return false;
  end if;
  -- A run that comes to its end at this moment holds the lock at one look and is idle at the next.
  -- Only a session that was idle before and after it was seen to hold the lock is a dead one.
  v_holder := reminder.lock_holder();
  perform pg_catalog.pg_stat_clear_snapshot();
  return v_holder is not distinct from v_pid
    and exists (
      select from pg_catalog.pg_stat_activity a
      where a.pid = v_pid and a.state <> 'active' and a.state_change = v_since
    )
    and pg_terminate_backend(v_pid, 2000);
exception when insufficient_privilege then
  -- Somebody ran it as a superuser.  The view stuck_lock shows the session.
  return false;
end
$$;
comment on function reminder.end_dead_session() is
  'Ends the session that holds the lock of a run although its run is over; true when it did.';

create function reminder.close_abandoned_runs() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_run_id bigint;
  v_closed integer := 0;
begin
  -- Whoever has the lock knows that no run is alive: a row that still says "running" lost its
  -- session.  Without the lock nothing may be closed.  And with nothing to close it is not taken:
  -- the watchdog, due in the same minute as the job, would hold it to the end of its transaction
  -- and make the run of the day a skipped one.
  if not exists (select from public.cron_execution_logs l where l.status = 'running') then
    return 0;
  end if;
  perform reminder.end_dead_session();
  if not pg_catalog.pg_try_advisory_xact_lock(reminder.lock_key()) then
    return 0;
  end if;
  for v_run_id in
    select l.id from public.cron_execution_logs l where l.status = 'running' order by l.id
  loop
    perform reminder.close_run(
      v_run_id, 'abandoned', null,
      'The session of this run ended before it could log its result.'
    );
    perform reminder.raise_alert(
      'abandoned_run', v_run_id, v_run_id,
      format('Run %s of the reminder job ended without logging its result.', v_run_id));
    v_closed := v_closed + 1;
  end loop;
  return v_closed;
end
$$;
comment on function reminder.close_abandoned_runs() is
  'Closes rows that say running although no run holds the lock; returns how many. Does nothing while a run is alive.';

create function reminder.open_run(
  p_trigger_source text, p_triggered_by text, p_reason text
) returns table (run_id bigint, resume_after_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_resume bigint;
begin
  perform reminder.close_abandoned_runs();
  -- A run that stopped early is taken up where it stopped, so that its last assignments are not
  -- the ones that never have their turn.
  select case when l.status = 'succeeded' then null else l.last_assignment_id end into v_resume
  from public.cron_execution_logs l
  where l.status not in ('running', 'skipped')
  order by l.id desc
  limit 1;
  return query
    insert into public.cron_execution_logs
      (trigger_source, triggered_by, trigger_reason, status, consecutive_failures,
       last_assignment_id)
    values
      (p_trigger_source, p_triggered_by, p_reason, 'running', reminder.consecutive_failures(),
       v_resume)
    returning id, v_resume;
end
$$;
comment on function reminder.open_run(text, text, text) is
  'Closes abandoned rows, writes the row of a new run, and says after which assignment to begin; null is from the first.';

create function reminder.next_batch(p_after_id bigint, p_stop_id bigint, p_size bigint)
returns table (up_to_id bigint, assignments bigint)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
  select max(b.id), count(*)
  from (
    select a.id
    from public.assignments a
    where a.status = 'active'
      and a.id > coalesce(p_after_id, -9223372036854775808)
      and (p_stop_id is null or a.id <= p_stop_id)
    order by a.id
    limit p_size
  ) b
$$;
comment on function reminder.next_batch(bigint, bigint, bigint) is
  'The last assignment of the batch that follows an assignment, or null when none is left, and how many it has.';

create function reminder.run_batch(
  p_run_id bigint, p_after_id bigint, p_up_to_id bigint, p_assignments bigint,
  p_skip_locked boolean
) returns bigint[]
language plpgsql
set search_path = pg_catalog, pg_temp
-- The application's own transactions are shorter than this; a row that is held for longer is passed
-- over instead of making the run wait.
set lock_timeout = '2s'
as $$
declare
  -- Of the transaction, as in dispatched_at: a run that crosses midnight goes on with the new day.
  v_today constant date := (now() at time zone 'utc')::date;
  v_dispatched bigint;
  v_passed_over bigint[];
begin
  v_dispatched := reminder.reminder_dispatch_service(
    p_run_id, v_today, p_after_id, p_up_to_id, p_skip_locked);
  if p_skip_locked then
    select array_agg(due.assignment_id order by due.assignment_id) into v_passed_over
    from reminder.reminder_scheduler_service(v_today, p_after_id, p_up_to_id) due;
  end if;
  update public.cron_execution_logs l
  set
    assignments_evaluated = l.assignments_evaluated + p_assignments,
    reminders_dispatched = l.reminders_dispatched + v_dispatched,
    last_assignment_id = p_up_to_id
  where l.id = p_run_id;
  return v_passed_over;
end
$$;
comment on function reminder.run_batch(bigint, bigint, bigint, bigint, boolean) is
  'One batch of a run in one transaction: dispatches what is due and counts it in the log. Returns the assignments that were passed over because they are locked.';

create function reminder.pass_over_batch(p_run_id bigint, p_up_to_id bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  update public.cron_execution_logs l
  set last_assignment_id = p_up_to_id
  where l.id = p_run_id
$$;
comment on function reminder.pass_over_batch(bigint, bigint) is
  'Notes that a run goes on after an assignment that failed.';

create function reminder.with_passed_over(p_message text, p_assignments bigint[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select format('%s; passed over: assignment %s', rtrim(p_message, '.'), array_to_string(p_assignments[:20], ', '))
    || case when cardinality(p_assignments) > 20 then format(' and %s more', cardinality(p_assignments) - 20) else '' end
    || '.'
$$;
comment on function reminder.with_passed_over(text, bigint[]) is
  'The error of a run, with the first assignments that it passed over.';

create procedure reminder.run_job(
  p_requested_by pg_catalog.text default null,
  p_reason pg_catalog.text default null
)
language plpgsql
as $$
declare
  -- No search_path can be set here: names that are not the grammar's own say their schema.
  v_started constant pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  v_trigger_source pg_catalog.text;
  v_triggered_by pg_catalog.text;
  v_reason pg_catalog.text;
  v_run_id bigint;
  v_resume bigint;
  v_position bigint;
  v_up_to bigint;
  v_assignments bigint;
  v_locked boolean := false;
  v_wrapped boolean;
  v_batch_size bigint;
  v_size bigint;
  v_skip_locked boolean := false;
  v_held bigint[];
  v_passed_over bigint[] := '{}';
  v_some_done boolean := false;
  v_failures integer := 0;
  v_error_code pg_catalog.text;
  v_error_message pg_catalog.text;
  v_limit interval;
  v_status pg_catalog.text := 'succeeded';
  v_code pg_catalog.text;
  v_message pg_catalog.text;
begin
  commit;

  select w.trigger_source, w.triggered_by, w.trigger_reason
  into strict v_trigger_source, v_triggered_by, v_reason
  from reminder.what_triggered(p_requested_by, p_reason) w;
  begin
    v_locked := pg_catalog.pg_try_advisory_lock(reminder.lock_key());
    if not v_locked and reminder.end_dead_session() then
      v_locked := pg_catalog.pg_try_advisory_lock(reminder.lock_key());
    end if;
    if v_locked then
      select o.run_id, o.resume_after_id into strict v_run_id, v_resume
      from reminder.open_run(v_trigger_source, v_triggered_by, v_reason) o;
      select
        case v_trigger_source when 'manual' then s.manual_run_time_limit else s.run_time_limit end,
        s.batch_size
      into strict v_limit, v_batch_size
      from reminder.settings s;
    end if;
  exception when query_canceled or others then
    -- A session that stays open, such as psql, would keep the lock.
    if v_locked then
      perform pg_catalog.pg_advisory_unlock(reminder.lock_key());
    end if;
    raise;
  end;
  if not v_locked then
    perform reminder.log_skipped_run(v_trigger_source, v_triggered_by, v_reason);
    return;
  end if;
  commit;

  -- From where the last run stopped to the end, then from the beginning to there.
  v_position := v_resume;
  v_wrapped := v_resume is null;
  v_size := v_batch_size;
  loop
    if pg_catalog.clock_timestamp() - v_started >= v_limit then
      if v_status = 'succeeded' then
        v_status := 'timed_out';
        v_code := '57014';
        v_message := pg_catalog.format(
          'Stopped after its time limit of %s; the next run goes on from here.', v_limit);
      end if;
      exit;
    end if;

    v_up_to := null;
    v_held := null;
    v_error_code := null;
    begin
      select b.up_to_id, b.assignments into v_up_to, v_assignments
      from reminder.next_batch(v_position, case when v_wrapped then v_resume end, v_size) b;
      if v_up_to is not null then
        v_held := reminder.run_batch(v_run_id, v_position, v_up_to, v_assignments, v_skip_locked);
      end if;
    exception when query_canceled or others then
      get stacked diagnostics v_error_code = returned_sqlstate, v_error_message = message_text;
    end;
    commit;

    -- Deleted meanwhile, or locked for too long: once more, without waiting.
    if v_error_code in ('23503', '55P03') and v_up_to is not null and not v_skip_locked then
      v_skip_locked := true;
      continue;
    end if;
    if v_held is not null then
      v_passed_over := pg_catalog.array_cat(v_passed_over, v_held);
      v_error_code := '55P03';
      v_error_message := 'Assignments are locked by another session.';
    end if;
    -- The first error is the one that is logged.
    if v_error_code is not null and v_code is null then
      v_code := v_error_code;
      v_message := v_error_message;
      -- The statement timeout and a cancel by hand share one SQLSTATE; the clock tells them apart.
      v_status := case
        when v_code = '57014' and pg_catalog.clock_timestamp() - v_started >= v_limit then 'timed_out'
        else 'failed'
      end;
    end if;
    if v_error_code is null or v_held is not null then
      v_some_done := v_some_done or v_up_to is not null;
      v_failures := 0;
      -- Waiting once is enough.
      v_skip_locked := v_skip_locked and pg_catalog.cardinality(v_passed_over) > 0;
      v_size := least(v_size * 2, v_batch_size);
    else
      -- Cancelled, or no batch to repeat.
      exit when v_error_code = '57014' or v_up_to is null;
      if v_assignments > 1 then
        v_size := v_assignments / 2;
        continue;
      end if;
      perform reminder.pass_over_batch(v_run_id, v_up_to);
      commit;
      v_passed_over := pg_catalog.array_append(v_passed_over, v_up_to);
      v_failures := v_failures + 1;
      exit when v_failures = 100;
    end if;

    v_position := v_up_to;
    if v_position is null then
      exit when v_wrapped;
      v_wrapped := true;
    end if;
  end loop;
  -- Where nothing could be done it is not these assignments that are broken.
  if v_some_done and pg_catalog.cardinality(v_passed_over) > 0 then
    v_message := reminder.with_passed_over(v_message, v_passed_over);
  end if;

  begin
    perform reminder.close_run(v_run_id, v_status, v_code, v_message);
    -- The lock is handed from the session to this transaction, and is free in the moment in which
    -- the result can be seen.  An unlock after the commit would be lost to a cancel in between.
    perform pg_catalog.pg_try_advisory_xact_lock(reminder.lock_key());
    perform pg_catalog.pg_advisory_unlock(reminder.lock_key());
  exception when query_canceled or others then
    perform pg_catalog.pg_advisory_unlock(reminder.lock_key());
    raise;
  end;
  commit;

  -- After the lock is free: what goes wrong with an alert must not hold up the next run, and is
  -- put right by the watchdog.
  begin
    perform reminder.send_alerts();
  exception when others then
    raise warning 'Alerts stay queued (SQLSTATE %).', sqlstate;
  end;
  commit;

  if v_status = 'succeeded' then
    begin
      perform reminder.send_heartbeat();
    exception when others then
      raise warning 'No heartbeat was sent (SQLSTATE %).', sqlstate;
    end;
    commit;
  end if;

  if v_status <> 'succeeded' then
    raise exception using
      errcode = v_code,
      message = pg_catalog.format('Reminder run %s %s: %s', v_run_id, pg_catalog.replace(v_status, '_', ' '), v_message),
      hint = pg_catalog.format('See public.cron_execution_logs where id = %s. What it had done is kept.', v_run_id);
  end if;
end
$$;
comment on procedure reminder.run_job(text, text) is
  'One run of the reminder job. Called by pg_cron with no arguments; for a run by hand use reminder.run_manually.';

create procedure reminder.run_manually(requested_by pg_catalog.text, reason pg_catalog.text)
language plpgsql
as $$
begin
  commit;
  if not reminder.is_filled_in(requested_by) or not reminder.is_filled_in(reason) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'A run by hand needs the name of the person who starts it and a reason.',
      hint = 'call reminder.run_manually(requested_by => ''...'', reason => ''...'')';
  end if;
  call reminder.run_job(pg_catalog.btrim(requested_by), pg_catalog.btrim(reason));
end
$$;
comment on procedure reminder.run_manually(text, text) is
  'Starts the reminder job by hand. It takes the same lock as a scheduled run, so the two cannot overlap.';

revoke all on function
  reminder.lock_key(),
  reminder.lock_holder(),
  reminder.consecutive_failures(),
  reminder.log_skipped_run(text, text, text),
  reminder.close_run(bigint, text, text, text),
  reminder.end_dead_session(),
  reminder.close_abandoned_runs(),
  reminder.open_run(text, text, text),
  reminder.next_batch(bigint, bigint, bigint),
  reminder.run_batch(bigint, bigint, bigint, bigint, boolean),
  reminder.pass_over_batch(bigint, bigint),
  reminder.with_passed_over(text, bigint[])
  from public;
revoke all on procedure
  reminder.run_job(text, text),
  reminder.run_manually(text, text)
  from public;
