-- The promise: who is due has a reminder.  Asked of the tables alone.
--
-- Neither the scheduler's function nor due_on is used here, nor what a run logged: whoever finds
-- nobody must not vouch for himself.  The due day is worked out backwards from today, where due_on
-- works it out forwards from the last contact.
--
-- To undo, after every later migration:
--   drop view reminder.unkept;

create view reminder.unkept with (security_invoker = true) as
  select w.assignment_id, w.mentor_id, w.waiting_since, w.due_on
  from (
    select
      a.id as assignment_id,
      a.mentor_id,
      coalesce(a.last_contact_date, a.started_on) as waiting_since,
      case
        -- An infinite date can be subtracted from nothing.  It has no due day, and no reminder.
        when isfinite(coalesce(a.last_contact_date, a.started_on)) then
          t.today - (t.today - coalesce(a.last_contact_date, a.started_on) - s.reminder_after_days)
            % s.repeat_every_days
      end as due_on,
      t.today
    from public.assignments a
    cross join reminder.settings s
    cross join (select (clock_timestamp() at time zone 'utc')::date as today) t
    where a.status = 'active'
      and case
        when isfinite(coalesce(a.last_contact_date, a.started_on)) then
          t.today - coalesce(a.last_contact_date, a.started_on) >= s.reminder_after_days
        else true
      end
  ) w
  -- Whatever due day it names: settings and corrections move due days, and whoever was reminded
  -- since the day on which this one fell due has what was promised.
  where coalesce(
    -- One step down the primary key for each: the reminders of years must not be read for it.
    (
      select max(r.dispatched_on)
      from reminder.dispatched_reminders r
      where r.assignment_id = w.assignment_id and r.dispatched_on <= w.today
    ) < w.due_on,
    true
  );
comment on view reminder.unkept is
  'Each active assignment that is due and has no reminder for it. Empty after a good run. Reads every assignment: seconds for a million.';
comment on column reminder.unkept.assignment_id is 'The assignment.';
comment on column reminder.unkept.mentor_id is 'The mentor who should have been reminded.';
comment on column reminder.unkept.waiting_since is 'The last contact, or the start of the assignment where there is none.';
comment on column reminder.unkept.due_on is 'The day the reminder fell due; null for a date that no day can be counted from.';
