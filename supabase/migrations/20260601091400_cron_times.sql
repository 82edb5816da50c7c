-- When a schedule was last due.  The watchdog needs it to tell a missed run from one that is not due
-- yet, for whatever schedule is registered; pg_cron itself offers no such function.
--
-- To undo: drop the functions of this file, after those of the watchdog.

create function reminder.cron_field(
  p_field text, p_low integer, p_high integer, p_names text[]
) returns integer[]
language sql immutable
set search_path = ''
as $$
  select array_agg(distinct n.value order by n.value)
  from (
    select regexp_match(lower(item), '^(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?$') as part
    from regexp_split_to_table(p_field, ',') item
  ) i
  cross join lateral (
    select
      case when part[1] = '*' then p_low
        else coalesce(p_low + array_position(p_names, part[1]) - 1, part[1]::integer) end as first,
      case when part[1] = '*' then p_high
        else coalesce(
          p_low + array_position(p_names, part[2]) - 1, part[2]::integer,
          p_low + array_position(p_names, part[1]) - 1, part[1]::integer) end as last,
      coalesce(part[3]::integer, 1) as step
  ) r
  cross join lateral generate_series(r.first, r.last, r.step) n(value)
$$;
comment on function reminder.cron_field(text, integer, integer, text[]) is
  'The numbers that one field of a cron expression stands for.';

create function reminder.last_due_at(p_schedule text, p_at timestamptz) returns timestamptz
language plpgsql immutable
set search_path = ''
as $$
declare
  v_fields text[];
  v_minutes integer[];
  v_hours integer[];
  v_days integer[];
  v_months integer[];
  v_weekdays integer[];
  v_at constant timestamp := date_trunc('minute', p_at at time zone 'utc');
  v_day timestamp := date_trunc('day', v_at);
  v_found timestamp;
  v_day_fits boolean;
  v_weekday_fits boolean;
begin
  if p_schedule ~* '^\s*[0-9]+\s+seconds?\s*$' then
    return p_at - substring(p_schedule from '[0-9]+')::integer * interval '1 second';
  end if;
  v_fields := regexp_split_to_array(
    case lower(btrim(p_schedule))
      when '@yearly' then '0 0 1 1 *'
      when '@annually' then '0 0 1 1 *'
      when '@monthly' then '0 0 1 * *'
      when '@weekly' then '0 0 * * 0'
      when '@daily' then '0 0 * * *'
      when '@midnight' then '0 0 * * *'
      when '@hourly' then '0 * * * *'
      else btrim(p_schedule)
    end,
    '\s+'
  );
  if array_length(v_fields, 1) <> 5 then
    return null;
  end if;
  v_minutes := reminder.cron_field(v_fields[1], 0, 59, '{}');
  v_hours := reminder.cron_field(v_fields[2], 0, 23, '{}');
  v_days := case when v_fields[3] <> '$' then reminder.cron_field(v_fields[3], 1, 31, '{}') end;
  v_months := reminder.cron_field(
    v_fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  v_weekdays := reminder.cron_field(v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');

  -- Four years reach the 29th of February whatever the year.
  for i in 0..1461 loop
    v_day_fits := case
      when v_days is null then extract(month from v_day + interval '1 day') <> extract(month from v_day)
      else extract(day from v_day)::integer = any (v_days)
    end;
    v_weekday_fits := extract(dow from v_day)::integer = any (v_weekdays)
      or (extract(dow from v_day) = 0 and 7 = any (v_weekdays));
    if extract(month from v_day)::integer = any (v_months)
      -- As in cron: two restricted fields mean either, one means that one.
      and (case
        when v_fields[3] like '*%' or v_fields[5] like '*%' then v_day_fits and v_weekday_fits
        else v_day_fits or v_weekday_fits
      end)
    then
      select v_day + make_interval(hours => h, mins => m) into v_found
      from unnest(v_hours) h cross join unnest(v_minutes) m
      where v_day + make_interval(hours => h, mins => m) <= v_at
      order by h desc, m desc
      limit 1;
      if found then
        return v_found at time zone 'utc';
      end if;
    end if;
    v_day := v_day - interval '1 day';
  end loop;
  return null;
end
$$;
comment on function reminder.last_due_at(text, timestamptz) is
  'The latest time up to the given one at which a pg_cron schedule was due, in GMT as pg_cron reckons; null for a schedule that is never due.';

revoke all on function
  reminder.cron_field(text, integer, integer, text[]),
  reminder.last_due_at(text, timestamptz)
  from public;
