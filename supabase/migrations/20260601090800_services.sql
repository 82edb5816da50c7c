-- ReminderSchedulerService finds what is due, ReminderDispatchService writes it down.  Both work on
-- a range of assignments at a time and never row by row.
--
-- To undo, after every later migration:
--   drop function reminder.reminder_dispatch_service(bigint, date, bigint, bigint, boolean);
--   drop function reminder.reminder_scheduler_service(date, bigint, bigint);
--   drop function reminder.due_on(date, date, integer, integer);

-- Written as an expression and not as text: its names are settled here and for good, so it needs no
-- search_path of its own, and without that setting it is inlined.  A call for each assignment took
-- half of the time of a run.
create function reminder.due_on(
  p_waiting_since date, p_today date, p_after_days integer, p_repeat_days integer
) returns date
language sql immutable parallel safe
return case
  when p_today - p_waiting_since >= p_after_days then
    p_waiting_since + p_after_days
      + ((p_today - p_waiting_since - p_after_days) / p_repeat_days) * p_repeat_days
end;
comment on function reminder.due_on(date, date, integer, integer) is
  'The latest day up to today on which a reminder fell due, or null. It depends on the last contact and not on the day of the run, so a late run dispatches the same reminder.';

-- A due day is served by a reminder that was written on it or later.  So a change of settings that
-- moves the due days back does not remind again those who have just been reminded.
create function reminder.reminder_scheduler_service(
  p_today date, p_after_id bigint, p_up_to_id bigint
) returns table (assignment_id bigint, mentor_id uuid, due_on date)
language sql stable rows 10000
set search_path = pg_catalog, pg_temp
as $$
  select due.id, due.mentor_id, due.due_on
  from (
    select
      a.id,
      a.mentor_id,
      reminder.due_on(
        coalesce(a.last_contact_date, a.started_on), p_today,
        s.reminder_after_days, s.repeat_every_days
      ) as due_on
    from public.assignments a
    cross join reminder.settings s
    where a.status = 'active'
      and a.id > coalesce(p_after_id, -9223372036854775808)
      and a.id <= p_up_to_id
  ) due
  where due.due_on is not null
    -- One step down the primary key for each, whatever the planner thinks of the table.
    and due.due_on > coalesce(
      (
        select max(r.dispatched_on)
        from reminder.dispatched_reminders r
        where r.assignment_id = due.id and r.dispatched_on <= p_today
      ),
      '-infinity'
    )
$$;
comment on function reminder.reminder_scheduler_service(date, bigint, bigint) is
  'ReminderSchedulerService: the active assignments in a key range for which a reminder is due and not written. After null is from the first.';

create function reminder.reminder_dispatch_service(
  p_run_id bigint, p_today date, p_after_id bigint, p_up_to_id bigint,
  p_skip_locked boolean default false
) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_written bigint;
begin
  if p_skip_locked then
    -- The lock is the one that the foreign key is about to take.
    insert into reminder.dispatched_reminders (assignment_id, due_on, mentor_id, run_id)
    select due.assignment_id, due.due_on, due.mentor_id, p_run_id
    from reminder.reminder_scheduler_service(p_today, p_after_id, p_up_to_id) due
    join public.assignments a on a.id = due.assignment_id
    where a.id > coalesce(p_after_id, -9223372036854775808) and a.id <= p_up_to_id
    for key share of a skip locked
    on conflict on constraint dispatched_reminders_pkey do nothing;
  else
    insert into reminder.dispatched_reminders (assignment_id, due_on, mentor_id, run_id)
    select due.assignment_id, due.due_on, due.mentor_id, p_run_id
    from reminder.reminder_scheduler_service(p_today, p_after_id, p_up_to_id) due
    on conflict on constraint dispatched_reminders_pkey do nothing;
  end if;
  get diagnostics v_written = row_count;
  return v_written;
end
$$;
comment on function reminder.reminder_dispatch_service(bigint, date, bigint, bigint, boolean) is
  'ReminderDispatchService: writes the due reminders of a key range, each at most once, and returns how many were new. It waits for locked assignments, or skips them.';

revoke all on function
  reminder.due_on(date, date, integer, integer),
  reminder.reminder_scheduler_service(date, bigint, bigint),
  reminder.reminder_dispatch_service(bigint, date, bigint, bigint, boolean)
  from public;
