-- The heartbeat: after each success a request to an address outside, so that somebody notices when
-- it stops coming.  A database that is down cannot alert; a dead-man switch outside can.
--
-- The address is the Vault secret REMINDER_HEARTBEAT_URL.  Whoever wants none says so in
-- settings.heartbeat_waived; a heartbeat that was never set up is not well.
--
-- To undo, after every later migration:
--   drop function reminder.check_heartbeat();
--   drop function reminder.send_heartbeat();
--   drop table reminder.heartbeat;

create table reminder.heartbeat (
  only_row boolean primary key default true check (only_row),
  sent_at timestamptz,
  accepted_at timestamptz,
  error text
);
comment on table reminder.heartbeat is 'What became of the last heartbeat, in exactly one row.';
comment on column reminder.heartbeat.only_row is 'Always true: the primary key that keeps this one row.';
comment on column reminder.heartbeat.sent_at is 'When one was last handed to pg_net.';
comment on column reminder.heartbeat.accepted_at is 'When the last good answer was read.';
comment on column reminder.heartbeat.error is 'Why the last one was not sent or not accepted; null when nothing is wrong.';
insert into reminder.heartbeat default values;

create function reminder.send_heartbeat() returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address record;
  v_request_id bigint;
  v_error text;
begin
  -- A job that runs each minute would otherwise put a new request in the place of every answer.
  perform reminder.collect_answers();
  select * into strict v_address from reminder.address_of('REMINDER_HEARTBEAT_URL');
  v_error := v_address.trouble;
  if v_error is null then
    begin
      v_request_id := net.http_get(url := v_address.url, timeout_milliseconds := 5000);
      perform reminder.note_request(null, v_request_id);
    exception when others then
      -- Its message may hold the address, so only the code is kept.
      v_request_id := null;
      v_error := format('pg_net refused the heartbeat (SQLSTATE %s).', sqlstate);
      raise warning 'No heartbeat was sent: %', v_error;
    end;
  end if;
  update reminder.heartbeat h
  set
    sent_at = case when v_request_id is null then h.sent_at else clock_timestamp() end,
    error = case when not s.heartbeat_waived then v_error end
  from reminder.settings s;
  return v_request_id;
end
$$;
comment on function reminder.send_heartbeat() is
  'Calls the dead-man switch whose address is the Vault secret REMINDER_HEARTBEAT_URL; returns the request id, or null when it could not.';

create function reminder.check_heartbeat() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    s.heartbeat_waived or w.trouble is null,
    case
      when s.heartbeat_waived then 'waived in reminder.settings'
      else coalesce(w.trouble || ' ', '')
        || case when h.accepted_at is null then 'never accepted'
          else format('accepted %s hours ago', floor(extract(epoch from clock_timestamp() - h.accepted_at) / 3600))
        end
    end,
    'heartbeat'
  from reminder.settings s
  cross join reminder.heartbeat h
  cross join reminder.address_of('REMINDER_HEARTBEAT_URL') a
  cross join lateral (
    select coalesce(
      a.trouble,
      h.error,
      case when h.accepted_at < reminder.address_changed_at('REMINDER_HEARTBEAT_URL')
        then 'No answer since the address was changed:' end,
      case when h.accepted_at is null or h.accepted_at < (
        -- The answer is read within 5 minutes, by the watchdog.
        select l.finished_at from public.cron_execution_logs l
        where l.status = 'succeeded' and l.finished_at < clock_timestamp() - interval '15 minutes'
        order by l.id desc
        limit 1
      ) then 'No answer since the last success:' end
    ) as trouble
  ) w
$$;
comment on function reminder.check_heartbeat() is
  'Whether the heartbeat of the last success was accepted, or waived by a setting.';

revoke all on reminder.heartbeat from public, anon, authenticated, service_role;
revoke all on function reminder.send_heartbeat(), reminder.check_heartbeat()
  from public, anon, authenticated, service_role;
