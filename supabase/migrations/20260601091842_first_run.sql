-- Before the first night: who would be reminded, and how to begin without a backlog.
--
-- To undo, after every later migration:
--   drop function reminder.begin_without_backlog(text, text);
--   drop function reminder.preview(date);

-- By the very function that the run asks, so that the two cannot differ.
create function reminder.preview(on_date date default (now() at time zone 'utc')::date + 1)
returns table (assignment_id bigint, mentor_id uuid, waiting_since date, due_on date)
language sql stable rows 10000
set search_path = pg_catalog, pg_temp
as $$
  select d.assignment_id, d.mentor_id, coalesce(a.last_contact_date, a.started_on), d.due_on
  from reminder.reminder_scheduler_service(on_date, null, 9223372036854775807) d
  join public.assignments a on a.id = d.assignment_id
$$;
comment on function reminder.preview(date) is
  'The reminders that a run on this day would write if none ran before it and nothing changed; without a day, tomorrow''s. Writes nothing.';

-- Whoever is due is written down as served.  Such a row is the guard that any reminder is, and
-- the policy of the table hides it: the mentor sees nothing.  A setting would go on keeping reminders
-- back.
create function reminder.begin_without_backlog(p_requested_by text, p_reason text) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_today constant date := (now() at time zone 'utc')::date;
  v_passed_over bigint;
begin
  if not reminder.is_filled_in(p_requested_by) or not reminder.is_filled_in(p_reason) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'Your name and a reason are needed.',
      hint = 'Fill in p_requested_by and p_reason.';
  end if;
  -- With the lock of a run, so that none begins in between.
  if not pg_try_advisory_xact_lock(reminder.lock_key()) then
    raise exception using
      errcode = 'object_in_use',
      message = 'A run is at work, so it is too late to pass over what is due.',
      hint = 'The reminders of that run stand.';
  end if;
  if exists (select from reminder.dispatched_reminders r where not r.passed_over) then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = 'Reminders were written already: passing over what is due would break the promise.',
      hint = 'This is only for the time before the first run.';
  end if;
  insert into reminder.dispatched_reminders (assignment_id, due_on, mentor_id, run_id, passed_over)
  select d.assignment_id, d.due_on, d.mentor_id, 0, true
  from reminder.reminder_scheduler_service(v_today, null, 9223372036854775807) d
  on conflict on constraint dispatched_reminders_pkey do nothing;
  get diagnostics v_passed_over = row_count;
  insert into reminder.changes (object, new_value, changed_by, reason)
  values (
    'backlog before the first run', v_passed_over || ' passed over',
    btrim(p_requested_by), btrim(p_reason));
  return v_passed_over;
end
$$;
comment on function reminder.begin_without_backlog(text, text) is
  'Before the first run: passes over every reminder that is due today, so that only those are written that fall due from tomorrow on. Returns how many.';

revoke all on function
  reminder.preview(date),
  reminder.begin_without_backlog(text, text)
  from public;
