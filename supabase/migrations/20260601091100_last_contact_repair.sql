-- Finds last contact dates that differ from what is logged, too early or too late, and puts them
-- right: after a bulk load or a restore with the triggers off, or with tables in an unlucky order.
--
-- To undo, after every later migration:
--   drop function reminder.check_contact_dates();
--   drop function reminder.repair_last_contact();
--   drop function reminder.look_at_all();
--   drop function reminder.look_at_reminders();
--   drop function reminder.keep_look(text, bigint[]);
--   drop table reminder.full_looks;
--   drop view reminder.lately_stale_contact;
--   drop view reminder.stale_last_contact;

create view reminder.stale_last_contact with (security_invoker = true) as
  select d.assignment_id, d.mentor_id, d.last_contact_date, d.worked_out as logged_contact
  from reminder.contact_dates d
  where d.last_contact_date is distinct from d.worked_out;
comment on view reminder.stale_last_contact is
  'Assignments whose last contact date is not the one that was logged. Normally empty.';
comment on column reminder.stale_last_contact.assignment_id is 'The assignment.';
comment on column reminder.stale_last_contact.mentor_id is 'Its mentor.';
comment on column reminder.stale_last_contact.last_contact_date is 'The date that the job goes by.';
comment on column reminder.stale_last_contact.logged_contact is 'The latest contact that was logged, or the correction by hand. Null: none.';

-- The view above looks at every assignment: seconds for a million.  A look at many has to be quick, and
-- goes where trouble shows: what was registered last, by key and not by registered_at, as a load with
-- old times is lately too; what was corrected last; and the latest dates, which silence reminders.
create view reminder.lately_stale_contact with (security_invoker = true) as
  select s.assignment_id, s.mentor_id, s.last_contact_date, s.logged_contact
  from (
    (select act.assignment_id from public.activities act order by act.id desc limit 500)
    union
    (select c.assignment_id from reminder.last_contact_corrections c order by c.id desc limit 100)
    union
    (
      select a.id
      from public.assignments a
      where a.status = 'active'
      order by coalesce(a.last_contact_date, a.started_on) desc
      limit 100
    )
  ) lately
  -- The limit keeps the planner from reading all assignments instead of these.
  cross join lateral (
    select s.assignment_id, s.mentor_id, s.last_contact_date, s.logged_contact
    from reminder.stale_last_contact s
    where s.assignment_id = lately.assignment_id
    limit 1
  ) s;
comment on view reminder.lately_stale_contact is
  'The rows of stale_last_contact that the 500 activities registered last, the 100 latest corrections and the 100 latest dates have to do with. Quick at any size.';
comment on column reminder.lately_stale_contact.assignment_id is 'The assignment.';
comment on column reminder.lately_stale_contact.mentor_id is 'Its mentor.';
comment on column reminder.lately_stale_contact.last_contact_date is 'The date that the job goes by.';
comment on column reminder.lately_stale_contact.logged_contact is 'The latest contact that was logged, or the correction by hand. Null: none.';

-- What a first look leaves out, the daily job of retention looks at.  The few that are kept tell
-- whether what was found has been mended since.
create table reminder.full_looks (
  what text primary key check (what in ('contact dates', 'reminders')),
  looked_at timestamptz not null default clock_timestamp(),
  wrong bigint not null,
  examples bigint[] not null check (cardinality(examples) <= 1000)
);
comment on table reminder.full_looks is 'The latest look at all contact dates, and at all reminders of active assignments, one row each.';
comment on column reminder.full_looks.what is 'What was looked at.';
comment on column reminder.full_looks.looked_at is 'When.';
comment on column reminder.full_looks.wrong is 'How many assignments had a date that was not the logged one, or a reminder from the future.';
comment on column reminder.full_looks.examples is 'Up to 1,000 of these assignments.';
revoke all on reminder.full_looks from public, anon, authenticated, service_role;

create function reminder.keep_look(p_what text, p_wrong bigint[]) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  insert into reminder.full_looks as f (what, wrong, examples)
  values (p_what, coalesce(cardinality(p_wrong), 0), coalesce(p_wrong[:1000], '{}'))
  on conflict (what) do update
    set looked_at = excluded.looked_at, wrong = excluded.wrong, examples = excluded.examples
$$;
comment on function reminder.keep_look(text, bigint[]) is 'Keeps what a look at all found: the assignments with something wrong.';

create function reminder.look_at_reminders() returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  select reminder.keep_look('reminders', array(
    select a.id
    from public.assignments a
    where a.status = 'active'
      and exists (
        select from reminder.dispatched_reminders r
        where r.assignment_id = a.id and r.dispatched_on > (now() at time zone 'utc')::date
      )
    order by a.id
  ))
$$;
comment on function reminder.look_at_reminders() is
  'Looks for reminders from the future, of each active assignment, and keeps what it found for health.';

create function reminder.look_at_all() returns setof reminder.full_looks
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform reminder.keep_look('contact dates', array(
    select s.assignment_id from reminder.stale_last_contact s order by s.assignment_id));
  perform reminder.look_at_reminders();
  return query select f.* from reminder.full_looks f order by f.what;
end
$$;
comment on function reminder.look_at_all() is
  'Looks at the dates and the reminders of all assignments and keeps what it found, for health. Seconds for a million; the daily clearing calls it.';
revoke all on function
  reminder.keep_look(text, bigint[]),
  reminder.look_at_reminders(),
  reminder.look_at_all()
  from public;

create function reminder.repair_last_contact() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids bigint[];
  v_left bigint[];
begin
  -- All of them once; then only those that were found.
  select array_agg(s.assignment_id) into v_ids from reminder.stale_last_contact s;
  -- Locked first, in key order, so that a registration at the same moment is not overwritten.
  perform a.id
  from public.assignments a
  where a.id = any (v_ids)
  order by a.id
  for no key update;
  update public.assignments a
  set last_contact_date = s.logged_contact
  from reminder.stale_last_contact s
  where a.id = s.assignment_id and s.assignment_id = any (v_ids);
  -- A trigger or a rule of the application can keep a date, or set another, without a word.
  select array_agg(s.assignment_id order by s.assignment_id) into v_left
  from reminder.stale_last_contact s
  where s.assignment_id = any (v_ids);
  if v_left is not null then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('%s of %s dates were changed back at once, such as that of assignment %s.',
        cardinality(v_left), cardinality(v_ids), v_left[1]),
      hint = 'A trigger or a rule on public.assignments changes them; reminder.drift names it.';
  end if;
  perform reminder.keep_look('contact dates', '{}');
  perform reminder.look_at_reminders();
  return coalesce(cardinality(v_ids), 0);
end
$$;
comment on function reminder.repair_last_contact() is
  'Sets every last contact date that differs from what is logged to what is logged; returns how many. An error where one does not stay so.';
revoke all on function reminder.repair_last_contact() from public;

create function reminder.check_contact_dates() returns table (ok boolean, finding text, section text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stale bigint;
  v_far bigint;
  v_look reminder.full_looks%rowtype;
  v_seen_then bigint := 0;
  v_unseen text;
begin
  if not exists (select from public.assignments offset 1000) then
    select count(*) into v_stale from reminder.stale_last_contact;
  else
    select count(*) into v_stale from reminder.lately_stale_contact;
    select * into v_look from reminder.full_looks f where f.what = 'contact dates';
    v_seen_then := v_look.wrong - cardinality(v_look.examples) + (
      select count(*) from unnest(v_look.examples) e(id)
      where exists (select from reminder.stale_last_contact s where s.assignment_id = e.id));
    -- The look at the reminders comes with it.
    select case
      when count(*) < 2 then 'never all looked at'
      when min(f.looked_at) < now() - interval '2 days' or max(f.looked_at) > clock_timestamp()
        then 'last all looked at on ' || (min(f.looked_at) at time zone 'utc')::date
    end
    into v_unseen
    from reminder.full_looks f;
  end if;
  -- Refused when it is written, but not with the triggers off.
  select count(*) into v_far
  from public.assignments a
  where a.status = 'active'
    and coalesce(a.last_contact_date, a.started_on) > (now() at time zone 'utc')::date + 366;
  ok := v_stale = 0 and v_far = 0 and coalesce(v_seen_then, 0) = 0 and v_unseen is null;
  finding := concat_ws(
    ', ',
    case when greatest(v_stale, v_seen_then) > 0 then greatest(v_stale, v_seen_then) || ' not as logged' end,
    case when v_far > 0 then v_far || ' more than a year ahead' end,
    v_unseen,
    case when ok then 'as logged' end
  );
  section := 'reminders-after-contact';
  return next;
end
$$;
comment on function reminder.check_contact_dates() is
  'Row of reminder.health: whether last contact dates are those that were logged, and none lies far ahead.';
revoke all on function reminder.check_contact_dates() from public;
