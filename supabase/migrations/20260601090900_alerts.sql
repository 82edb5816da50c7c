-- Alerts: queued in the transaction that logs the failure, sent through pg_net, and followed until
-- the receiver has answered.  pg_net itself neither retries nor treats an HTTP error as one, and
-- its answers are gone after six hours or a crash; what is kept here is not.
--
-- The webhook's address is read from Vault at the moment of sending and is written nowhere else.
--
-- To undo, after every later migration:
--   drop function reminder.send_test_alert(text);
--   drop function reminder.retry_alerts();
--   drop function reminder.deliver_alerts();
--   drop function reminder.send_alerts();
--   drop function reminder.collect_alert_responses();
--   drop function reminder.alert_back_off(integer);
--   drop view reminder.alert_answers;
--   drop table reminder.alert_requests;
--   drop function reminder.request_numbering();
--   drop table reminder.alerts;  -- loses the alerts that have not arrived
--   drop table reminder.alert_kinds;

create table reminder.alert_kinds (
  kind text primary key,
  runbook_anchor text not null unique,
  meaning text not null
);
comment on table reminder.alert_kinds is 'Every alert the database can send, and the runbook section it leads to.';
comment on column reminder.alert_kinds.kind is 'Name of the alert.';
comment on column reminder.alert_kinds.runbook_anchor is 'Anchor of the section in the runbook.';
comment on column reminder.alert_kinds.meaning is 'What the alert says, in one sentence.';

insert into reminder.alert_kinds (kind, runbook_anchor, meaning) values
  ('consecutive_failures', 'repeated-failures', 'The reminder job failed several times in a row.'),
  ('abandoned_run', 'abandoned-run', 'A run ended without logging its result.'),
  ('long_run', 'stuck-lock', 'A run takes far too long.'),
  ('missed_run', 'missed-runs', 'The scheduled run did not take place.'),
  ('undelivered_alert', 'alert-not-delivered', 'An earlier alert never arrived.'),
  ('recovered', 'recovered', 'The reminder job succeeded again after an alert.'),
  ('test', 'send-a-test-alert', 'Somebody tests the way to this channel.');

create table reminder.alerts (
  id bigint generated always as identity primary key,
  kind text not null references reminder.alert_kinds (kind),
  streak_run_id bigint,
  run_id bigint,
  message text not null,
  status text not null default 'queued'
    check (status in ('queued', 'sent', 'delivered', 'undelivered')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  error text,
  created_at timestamptz not null default now(),
  delivered_at timestamptz,
  -- Once a streak: a second insert for the same streak is refused, not checked for.
  constraint alerts_once_per_streak unique (kind, streak_run_id)
);
comment on table reminder.alerts is 'Alerts and what became of them.';
comment on column reminder.alerts.id is 'Key of the alert.';
comment on column reminder.alerts.kind is 'Which alert it is.';
comment on column reminder.alerts.streak_run_id is 'What it is about, so that it is raised once: the first run of the streak, the run that is late or lost, the last run before the gap, or the alert that did not arrive. Null for a test.';
comment on column reminder.alerts.run_id is 'The run that it names; null for a test.';
comment on column reminder.alerts.message is 'The text that is sent.';
comment on column reminder.alerts.status is 'queued, sent, delivered or undelivered.';
comment on column reminder.alerts.attempts is 'How often it was handed to pg_net.';
comment on column reminder.alerts.next_attempt_at is 'Not tried again before this time.';
comment on column reminder.alerts.error is 'Why the last attempt failed; null when it did not.';
comment on column reminder.alerts.created_at is 'When it was raised.';
comment on column reminder.alerts.delivered_at is 'When the receiver had answered with a 2xx status.';

create index alerts_open_idx on reminder.alerts (next_attempt_at) where status in ('queued', 'sent');

-- pg_net numbers its requests by a sequence of an unlogged table.  After a crash, and after a
-- restore, both of its tables are empty and from PostgreSQL 15 on it counts from 1 again: the answer
-- with the number of an alert may be that to another request, of this project's application for
-- example.  An answer has no address and no body to tell it by.
--
-- So the number is kept where it is lost in the same moment: in an unlogged table.  What is there
-- was numbered by the sequence as it is now.  If the extension is dropped and made again, or the
-- sequence restarted, it has another file; this is kept beside the number.
create function reminder.request_numbering() returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select pg_catalog.pg_relation_filenode(
    pg_catalog.pg_get_serial_sequence('net.http_request_queue', 'id')::regclass)
$$;
comment on function reminder.request_numbering() is
  'File of the sequence that numbers the requests of pg_net: another one where it counts anew without a crash.';

create unlogged table reminder.alert_requests (
  alert_id bigint primary key references reminder.alerts (id) on delete cascade,
  request_id bigint not null,
  numbered_by oid not null
);
comment on table reminder.alert_requests is
  'The request of the last attempt of each alert on its way. Unlogged: emptied by a crash together with pg_net''s own tables.';
comment on column reminder.alert_requests.alert_id is 'The alert.';
comment on column reminder.alert_requests.request_id is 'Its request, in net._http_response for six hours.';
comment on column reminder.alert_requests.numbered_by is 'The numbering that the request_id belongs to.';

create view reminder.alert_answers with (security_invoker = true) as
  select q.alert_id, r.status_code, r.timed_out, r.error_msg, r.created
  from reminder.alert_requests q
  join net._http_response r on r.id = q.request_id
  where q.numbered_by = reminder.request_numbering();
comment on view reminder.alert_answers is
  'Answers of the receiver to alerts; answers to other requests that have the same number are not among them.';
comment on column reminder.alert_answers.alert_id is 'The alert.';
comment on column reminder.alert_answers.status_code is 'HTTP status; null when there was no answer.';
comment on column reminder.alert_answers.timed_out is 'Whether the receiver took too long.';
comment on column reminder.alert_answers.error_msg is 'Why there was no answer, in the words of pg_net.';
comment on column reminder.alert_answers.created is 'When the request was taken up.';

-- Reads the answers that have come in.  An answer counts as a failure when it timed out, never
-- connected, or carries any status but 2xx.  No answer after ten minutes: the worker is down.  No
-- request any more: it was lost in a crash, and whether it was sent before is not known.
create function reminder.collect_alert_responses() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
begin
  with answered as (
    select
      a.id,
      coalesce(r.status_code between 200 and 299, false) as ok,
      case
        when q.alert_id is null
          then 'The request was lost in a crash or a restore of the database.'
        when r.alert_id is null then 'No answer from pg_net after ten minutes: is its worker running?'
        when r.timed_out then 'The receiver did not answer in time.'
        when r.error_msg is not null then 'The receiver could not be reached.'
        else format('The receiver answered with HTTP status %s.', r.status_code)
      end as why
    from reminder.alerts a
    left join reminder.alert_requests q
      on q.alert_id = a.id and q.numbered_by = reminder.request_numbering()
    left join reminder.alert_answers r on r.alert_id = a.id
    where a.status = 'sent'
      and (
        q.alert_id is null
        or r.alert_id is not null
        or a.next_attempt_at <= clock_timestamp()
      )
  )
  update reminder.alerts a
  set
    status = case
      when w.ok then 'delivered'
      when a.attempts >= s.alert_max_attempts then 'undelivered'
      else 'queued'
    end,
    delivered_at = case when w.ok then clock_timestamp() end,
    error = case when not w.ok then w.why end,
    next_attempt_at = clock_timestamp() + reminder.alert_back_off(a.attempts)
  from answered w, reminder.settings s
  where a.id = w.id;
  get diagnostics v_changed = row_count;
  return v_changed;
end
$$;
comment on function reminder.collect_alert_responses() is
  'Marks sent alerts as delivered, or for another try, by the answers pg_net has received; returns how many changed.';

create function reminder.alert_back_off(p_attempts integer) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  -- The exponent is bounded because an interval overflows long before a hundred attempts.
  select least(interval '5 minutes' * power(2, least(greatest(p_attempts - 1, 0), 10)), interval '6 hours')
$$;
comment on function reminder.alert_back_off(integer) is
  'The wait before the next attempt: five minutes, doubled each time, six hours at most.';

create function reminder.send_alerts() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_url text;
  v_alert record;
  v_request_id bigint;
  v_sent integer := 0;
begin
  for v_alert in
    select
      a.id, a.kind, a.run_id, a.message, a.attempts, s.alert_max_attempts,
      s.runbook_url || '#' || k.runbook_anchor as runbook
    from reminder.alerts a
    join reminder.alert_kinds k on k.kind = a.kind
    cross join reminder.settings s
    where a.status = 'queued' and a.next_attempt_at <= clock_timestamp()
    order by a.id
    -- Two deliveries at once share the work instead of sending everything twice.
    for update of a skip locked
  loop
    if v_url is null then
      select d.decrypted_secret into v_url
      from vault.decrypted_secrets d
      where d.name = 'REMINDER_ALERT_WEBHOOK_URL';
    end if;
    if coalesce(v_url, '') = '' then
      -- Not an attempt: nothing was tried, and the alert waits for the secret.
      update reminder.alerts a
      set error = 'Vault has no secret named REMINDER_ALERT_WEBHOOK_URL.'
      where a.id = v_alert.id;
      continue;
    end if;
    begin
      v_request_id := net.http_post(
        url := v_url,
        body := jsonb_build_object(
          'text', v_alert.message || E'\n' || v_alert.runbook,
          'alert', v_alert.kind,
          'run_id', v_alert.run_id,
          'runbook', v_alert.runbook
        ),
        timeout_milliseconds := 5000
      );
      insert into reminder.alert_requests as q (alert_id, request_id, numbered_by)
      values (v_alert.id, v_request_id, reminder.request_numbering())
      on conflict (alert_id) do update
        set request_id = excluded.request_id, numbered_by = excluded.numbered_by;
      update reminder.alerts a
      set
        status = 'sent',
        attempts = a.attempts + 1,
        error = null,
        next_attempt_at = clock_timestamp() + interval '10 minutes'
      where a.id = v_alert.id;
      v_sent := v_sent + 1;
    exception when others then
      -- pg_net raises for an address it cannot parse.  Its message may hold the address, so only
      -- the code is kept.
      update reminder.alerts a
      set
        status = case
          when a.attempts + 1 >= v_alert.alert_max_attempts then 'undelivered'
          else 'queued'
        end,
        attempts = a.attempts + 1,
        error = format('pg_net refused the request (SQLSTATE %s): is the address in the secret well formed?', sqlstate),
        next_attempt_at = clock_timestamp() + reminder.alert_back_off(a.attempts + 1)
      where a.id = v_alert.id;
    end;
  end loop;
  return v_sent;
end
$$;
comment on function reminder.send_alerts() is
  'Hands every queued alert that is due to pg_net; returns how many.';

create function reminder.deliver_alerts() returns table (id bigint, kind text, status text, error text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform reminder.collect_alert_responses();
  perform reminder.send_alerts();
  return query
    select a.id, a.kind, a.status, a.error
    from reminder.alerts a
    where a.status <> 'delivered'
    order by a.id;
end
$$;
comment on function reminder.deliver_alerts() is
  'Collects answers, sends what is due, and returns the alerts that have not arrived yet.';

create function reminder.retry_alerts() returns table (id bigint, kind text, status text, error text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update reminder.alerts a
  set status = 'queued', attempts = 0, next_attempt_at = clock_timestamp()
  where a.status = 'undelivered'
     or (a.status = 'queued' and a.error is not null);
  return query select d.id, d.kind, d.status, d.error from reminder.deliver_alerts() d;
end
$$;
comment on function reminder.retry_alerts() is
  'Sends again, at once, every alert that failed; for use after the cause was removed.';

create function reminder.send_test_alert(p_requested_by text) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  if not reminder.is_filled_in(p_requested_by) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'A test alert needs the name of the person who sends it.',
      hint = 'Whoever receives it will want to ask.';
  end if;
  insert into reminder.alerts (kind, message)
  values (
    'test',
    format('Test of the reminder job''s alert channel, sent by %s. Nothing is wrong.', p_requested_by)
  )
  returning alerts.id into v_id;
  perform reminder.send_alerts();
  return v_id;
end
$$;
comment on function reminder.send_test_alert(text) is
  'Sends an alert that says it is a test; returns its id in reminder.alerts.';

revoke all on function
  reminder.request_numbering(),
  reminder.collect_alert_responses(),
  reminder.alert_back_off(integer),
  reminder.send_alerts(),
  reminder.deliver_alerts(),
  reminder.retry_alerts(),
  reminder.send_test_alert(text)
  from public;
