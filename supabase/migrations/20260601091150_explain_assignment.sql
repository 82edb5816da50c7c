-- Why did this mentor get a reminder, or none?  The commonest question, answered in rows that a support
-- person can read out.
--
-- To undo, after every later migration:
--   drop function reminder.explain_assignment(bigint);

create function reminder.explain_assignment(p_assignment_id bigint)
returns table (what text, day date, explanation text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_today constant date := (now() at time zone 'utc')::date;
  v_settings reminder.settings%rowtype;
  v_assignment public.assignments%rowtype;
  v_worked_out date;
  v_corrected_at timestamptz;
  v_since date;
  v_due date;
  v_last_reminder date;
begin
  select * into strict v_settings from reminder.settings;
  select * into v_assignment from public.assignments a where a.id = p_assignment_id;
  if not found then
    raise exception using
      errcode = 'no_data_found',
      message = format('There is no assignment %s.', p_assignment_id),
      hint = 'Look it up in public.assignments.';
  end if;
  select d.worked_out into v_worked_out
  from reminder.contact_dates d
  where d.assignment_id = p_assignment_id;
  select c.corrected_at into v_corrected_at
  from reminder.last_contact_corrections c
  where c.assignment_id = p_assignment_id
  order by c.id desc
  limit 1;
  return query select
    'assignment', v_assignment.started_on,
    format('%s, began on this day, mentor %s', v_assignment.status, v_assignment.mentor_id);

  return query
    select
      format('activity %s', act.id), act.occurred_on,
      format(
        '%s, registered %s UTC: %s', t.label,
        to_char(act.registered_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'),
        case
          when not t.counts_as_contact then 'does not count, this type is no contact'
          when act.registered_at <= v_corrected_at
            then 'does not count, the date was corrected by hand after that'
          when act.occurred_on > v_today + 1 then 'does not count, it lies in the future'
          when act.occurred_on < v_worked_out then 'counts, but is not the latest contact'
          else 'counts, the latest contact'
        end
      )
    from public.activities act
    join public.activity_types t on t.code = act.activity_type
    where act.assignment_id = p_assignment_id
    order by act.occurred_on desc, act.id desc;

  return query
    select
      format('correction %s', c.id), c.new_date,
      format(
        '%s UTC by %s, from %s: %s%s',
        to_char(c.corrected_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'), c.corrected_by,
        coalesce(c.old_date::text, 'no date'), c.reason,
        case when c.corrected_at < v_corrected_at then ' (a later correction replaced it)' end
      )
    from reminder.last_contact_corrections c
    where c.assignment_id = p_assignment_id
    order by c.id desc;

  return query select
    'last contact date', v_assignment.last_contact_date,
    case
      when v_assignment.last_contact_date is distinct from v_worked_out
        then format('wrong: the rows above give %s', coalesce(v_worked_out::text, 'no date'))
      when v_worked_out is null then 'no contact yet, the wait began when the assignment did'
      else 'as the rows above give'
    end;

  return query
    select
      'reminder', r.dispatched_on,
      case
        when r.passed_over then format('passed over before the first run, fell due on %s', r.due_on)
        else format('written by run %s, fell due on %s', r.run_id, r.due_on)
      end
    from reminder.dispatched_reminders r
    where r.assignment_id = p_assignment_id
    order by r.dispatched_on desc;

  v_since := coalesce(v_assignment.last_contact_date, v_assignment.started_on);
  -- From an infinite date no day can be counted, and it is what a reader wants explained.
  if not isfinite(v_since) then
    return query select
      'next reminder', null::date, 'cannot be told: no day can be counted from the date above';
    return;
  end if;
  v_due := reminder.due_on(
    v_since, v_today, v_settings.reminder_after_days, v_settings.repeat_every_days);
  select max(r.dispatched_on) into v_last_reminder
  from reminder.dispatched_reminders r
  where r.assignment_id = p_assignment_id and r.dispatched_on <= v_today;
  return query select
    'next reminder',
    case
      when v_assignment.status <> 'active' then null
      when v_due is null then v_since + v_settings.reminder_after_days
      when v_due <= v_last_reminder then v_due + v_settings.repeat_every_days
      else v_due
    end,
    case
      when v_assignment.status <> 'active' then 'none, only active assignments are reminded of'
      when v_due is null then format('falls due after %s days of waiting', v_settings.reminder_after_days)
      when v_due <= v_last_reminder
        then format('falls due again, every %s days', v_settings.repeat_every_days)
      else 'due, the next run writes it'
    end;
end
$$;
comment on function reminder.explain_assignment(bigint) is
  'One assignment in rows to read out: its state, each activity and whether it counts, corrections, the date that results, reminders, and when the next falls due.';
revoke all on function reminder.explain_assignment(bigint) from public;
