-- Alerts: queued in the transaction that logs the failure, sent through pg_net, and followed until
-- the receiver has answered.  pg_net itself neither retries nor treats an HTTP error as one, and
-- its answers are gone after six hours or a crash; what is kept here is not.
--
-- The webhook's address is read from Vault at the moment of sending and is written nowhere else.
--
-- Collecting answers, reading the address and sending are apart: what goes wrong with one stands on
-- the alerts that it concerns, and does not keep the others from their work.  pg_net and Vault are
-- named only inside of functions, so that an extension can be dropped, and made again, without
-- taking anything of this system along.
--
-- To undo, after every later migration:
--   drop function reminder.check_alerts();
--   drop function reminder.check_alert_address();
--   drop function reminder.send_test_alert(text);
--   drop function reminder.retry_alerts();
--   drop function reminder.deliver_alerts();
--   drop function reminder.send_alerts();
--   drop function reminder.collect_answers();
--   drop function reminder.answers();
--   drop function reminder.note_request(bigint, bigint);
--   drop table reminder.requests;
--   drop function reminder.request_numbering();
--   drop function reminder.set_address(text, text);
--   drop function reminder.address_changed_at(text);
--   drop function reminder.address_of(text);
--   drop function reminder.is_address(text);
--   drop function reminder.alert_back_off(integer);
--   drop function reminder.raise_alert(text, bigint, bigint, text);
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
  ('undelivered_alert', 'alert-not-delivered', 'An earlier alert never arrived, or nobody knows.'),
  ('recovered', 'recovered', 'The reminder job succeeded again after an alert.'),
  ('test', 'send-a-test-alert', 'Somebody tests the way to this channel.');

create table reminder.alerts (
  id bigint generated always as identity primary key,
  kind text not null references reminder.alert_kinds (kind),
  subject_id bigint,
  run_id bigint,
  message text not null,
  status text not null default 'queued'
    check (status in ('queued', 'sent', 'delivered', 'unconfirmed', 'undelivered')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  error text,
  created_at timestamptz not null default now(),
  delivered_at timestamptz,
  -- Once a subject: a second insert for the same one is refused, not checked for.
  constraint alerts_once_per_subject unique (kind, subject_id)
);
comment on table reminder.alerts is 'Alerts and what became of them.';
comment on column reminder.alerts.id is 'Key of the alert.';
comment on column reminder.alerts.kind is 'Which alert it is.';
comment on column reminder.alerts.subject_id is 'What it is about, so that it is raised once: the first run of the streak, the run that is late or lost, the last finished run before the gap, or the alert that did not arrive. Null for a test.';
comment on column reminder.alerts.run_id is 'The run that it names; null for a test.';
comment on column reminder.alerts.message is 'The text that is sent.';
comment on column reminder.alerts.status is 'queued, sent, delivered, unconfirmed (sent, and its answer is gone) or undelivered.';
comment on column reminder.alerts.attempts is 'How often it was handed to pg_net.';
comment on column reminder.alerts.next_attempt_at is 'Not tried again before this time; of a sent one, when its answer is late.';
comment on column reminder.alerts.error is 'What is wrong with it at present; null when nothing is.';
comment on column reminder.alerts.created_at is 'When it was raised.';
comment on column reminder.alerts.delivered_at is 'When the receiver had answered with a 2xx status.';

create index alerts_not_delivered_idx on reminder.alerts (next_attempt_at) where status <> 'delivered';

create function reminder.raise_alert(
  p_kind text, p_subject_id bigint, p_run_id bigint, p_message text
) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  insert into reminder.alerts (kind, subject_id, run_id, message)
  values (p_kind, p_subject_id, p_run_id, p_message)
  on conflict on constraint alerts_once_per_subject do nothing
$$;
comment on function reminder.raise_alert(text, bigint, bigint, text) is
  'Queues an alert, once for each kind and subject.';

create function reminder.alert_back_off(p_attempts integer) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  -- The exponent is bounded because an interval overflows long before a hundred attempts.
  select least(interval '5 minutes' * power(2, least(greatest(p_attempts - 1, 0), 10)), interval '6 hours')
$$;
comment on function reminder.alert_back_off(integer) is
  'The wait before the next attempt: five minutes, doubled each time, six hours at most.';

-- The addresses.

create function reminder.is_address(p_text text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    p_text ~ '^https?://([^[:space:]/?#@<>]+@)?(\[[0-9a-fA-F:.]+\]|[^][:space:]/:@?#<>[]+)(:[0-9]{1,5})?([/?#][^[:space:]<>]*)?$',
    false)
$$;
comment on function reminder.is_address(text) is
  'True for an http or https address with a host and without blanks; pg_net takes more than that and sends it nowhere.';

create function reminder.address_of(p_secret text) returns table (url text, trouble text)
language plpgsql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    select d.decrypted_secret into url from vault.decrypted_secrets d where d.name = p_secret;
  exception
    when undefined_table or invalid_schema_name then
      trouble := 'Vault is not there: the extension supabase_vault was dropped.';
    when insufficient_privilege then
      trouble := format('The role %s may not read Vault.', current_user);
    when others then
      trouble := format('Vault cannot decrypt the secret %s (SQLSTATE %s): set the address again.', p_secret, sqlstate);
  end;
  if trouble is null and coalesce(btrim(url), '') = '' then
    trouble := format('Vault has no secret named %s.', p_secret);
  elsif trouble is null and not reminder.is_address(url) then
    trouble := format('The secret %s holds no address: https://, a host, and no blanks.', p_secret);
  end if;
  if trouble is not null then
    url := null;
  end if;
  return next;
end
$$;
comment on function reminder.address_of(text) is
  'The address that a Vault secret holds, or what is wrong with it, in words that never hold the address.';

create function reminder.address_changed_at(p_secret text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select s.updated_at from vault.secrets s where s.name = p_secret);
exception when others then
  -- What stands in the way of reading it is said by reminder.address_of.
  return null;
end
$$;
comment on function reminder.address_changed_at(text) is
  'When the secret with an address was last written; null where that cannot be told.';

create function reminder.set_address(p_secret text, p_url text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not an error: with one, the server's log would keep the statement and what was filled in.
  if p_secret not in ('REMINDER_ALERT_WEBHOOK_URL', 'REMINDER_HEARTBEAT_URL')
    or not reminder.is_address(btrim(p_url))
  then
    return false;
  end if;
  -- Made new, as vault.update_secret fails where the old value cannot be decrypted.
  delete from vault.secrets s where s.name = p_secret;
  perform vault.create_secret(btrim(p_url), p_secret, 'Set with reminder.set_address');
  return true;
end
$$;
comment on function reminder.set_address(text, text) is
  'Sets the secret with the address of the alerts or of the heartbeat, whatever is there before; false, and nothing changed, for another secret or a text that is no address.';

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

create unlogged table reminder.requests (
  alert_id bigint unique nulls not distinct references reminder.alerts (id) on delete cascade,
  request_id bigint,
  numbered_by oid,
  sent_at timestamptz not null default clock_timestamp(),
  primary key (request_id, numbered_by)
);
comment on table reminder.requests is
  'The request of the last attempt of each alert on its way, and of the last heartbeat. Unlogged: emptied by a crash together with pg_net''s own tables.';
comment on column reminder.requests.alert_id is 'The alert; null for the heartbeat.';
comment on column reminder.requests.request_id is 'Its request, in net._http_response for as long as pg_net.ttl says.';
comment on column reminder.requests.numbered_by is 'The numbering that the request_id belongs to.';
comment on column reminder.requests.sent_at is 'When it was handed to pg_net.';

create function reminder.note_request(p_alert_id bigint, p_request_id bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  delete from reminder.requests q
  where q.alert_id is not distinct from p_alert_id
    or (q.request_id = p_request_id and q.numbered_by = reminder.request_numbering());
  insert into reminder.requests (alert_id, request_id, numbered_by)
  values (p_alert_id, p_request_id, reminder.request_numbering());
$$;
comment on function reminder.note_request(bigint, bigint) is
  'Notes the request that an alert, or for null the heartbeat, is on its way with.';

-- What is known of each request on its way.
--
-- pg_net follows a redirect, makes a GET without a body of the POST, and reports the status at the
-- end, often 200 of a login page.  But it keeps the headers of the first answer, and a redirect has
-- a Location among them.  So has a 201, which is none.  A 307 or 308, which keeps the POST, cannot
-- be told from the others and counts as a redirect too.  A receiver that answers 200 and throws
-- the message away cannot be known here; the test alert is for that.
--
-- A request that still is in the queue was not answered, whether the worker has begun with it or
-- not: it is not sent again, and comes once the worker does.  One that is in neither table was
-- answered, and the answer is gone.
create function reminder.answers() returns table (alert_id bigint, outcome text, why text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- On a replica there are no unlogged tables, and nothing is known of any request.
  if pg_is_in_recovery() then
    return;
  end if;
  return query
    select
      w.alert_id,
      o.outcome,
      case o.outcome
        when 'lost' then 'The request was lost in a crash or a restore of the database, or with pg_net.'
        when 'waiting' then 'No answer from pg_net after ten minutes, and the request is still queued: is its worker running?'
        when 'unknown' then format(
          'The answer is gone, so nobody knows whether it arrived: pg_net keeps answers for %s.',
          coalesce(current_setting('pg_net.ttl', true), 'some hours'))
        when 'redirected' then 'The receiver redirects to another address, where the message does not arrive.'
        when 'failed' then case
          when r.timed_out then 'The receiver did not answer in time.'
          when r.error_msg is not null then 'The receiver could not be reached.'
          else format('The receiver answered with HTTP status %s.', r.status_code)
        end
      end
    from (
      select a.id as alert_id, a.next_attempt_at as late_at from reminder.alerts a where a.status = 'sent'
      union all
      select null, q.sent_at + interval '10 minutes' from reminder.requests q where q.alert_id is null
    ) w
    left join reminder.requests q
      on q.alert_id is not distinct from w.alert_id and q.numbered_by = reminder.request_numbering()
    left join net._http_response r
      -- The second condition is for the only index there is.
      on r.id = q.request_id
      and r.created > (select min(e.sent_at) from reminder.requests e) - interval '10 minutes'
    cross join lateral (
      select case
        when q.request_id is null then 'lost'
        when r.id is null and exists (
          select from net.http_request_queue u where u.id = q.request_id
        ) then 'waiting'
        when r.id is null then 'unknown'
        when r.status_code between 200 and 299 and r.status_code <> 201 and exists (
          select from jsonb_object_keys(r.headers) h(name) where lower(h.name) = 'location'
        ) then 'redirected'
        when r.status_code between 200 and 299 then 'arrived'
        else 'failed'
      end as outcome
    ) o
    where o.outcome not in ('waiting', 'unknown') or w.late_at <= clock_timestamp();
end
$$;
comment on function reminder.answers() is
  'What is known of each alert on its way, and for null of the heartbeat: arrived, failed, redirected, lost, waiting (for more than ten minutes) or unknown, and why it did not arrive.';

create function reminder.collect_answers() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
begin
  with answered as materialized (
    select * from reminder.answers()
  ),
  beat as (
    update reminder.heartbeat h
    set accepted_at = case when w.outcome = 'arrived' then clock_timestamp() else h.accepted_at end, error = w.why
    from answered w
    where w.alert_id is null
  ),
  done as (
    delete from reminder.requests q
    using answered w
    where q.alert_id is null and w.alert_id is null and w.outcome <> 'waiting'
  )
  update reminder.alerts a
  set
    status = case
      when w.outcome = 'arrived' then 'delivered'
      when w.outcome = 'waiting' then 'sent'
      -- Sent again it would only lose its answer again, and go on arriving.
      when w.outcome = 'unknown' then 'unconfirmed'
      when a.attempts >= s.alert_max_attempts then 'undelivered'
      else 'queued'
    end,
    delivered_at = case when w.outcome = 'arrived' then clock_timestamp() end,
    error = w.why,
    next_attempt_at = clock_timestamp() + reminder.alert_back_off(a.attempts)
  from answered w, reminder.settings s
  where a.id = w.alert_id and a.status = 'sent';
  get diagnostics v_changed = row_count;
  return v_changed;
exception when others then
  update reminder.alerts a
  set error = format('The answers of pg_net cannot be read: %s (SQLSTATE %s).', sqlerrm, sqlstate)
  where a.status = 'sent';
  return 0;
end
$$;
comment on function reminder.collect_answers() is
  'Marks what was sent as delivered, or for another try, by the answers pg_net has received; returns how many alerts changed.';

create function reminder.send_alerts() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address record;
  v_alert record;
  v_error text;
  v_sent integer := 0;
begin
  for v_alert in
    select
      a.id, a.kind, a.run_id, a.message,
      s.runbook_url || '#' || k.runbook_anchor as runbook
    from reminder.alerts a
    join reminder.alert_kinds k on k.kind = a.kind
    cross join reminder.settings s
    where a.status = 'queued' and a.next_attempt_at <= clock_timestamp()
    order by a.id
    -- Two deliveries at once share the work instead of sending everything twice.
    for update of a skip locked
  loop
    if v_address is null then
      select * into v_address from reminder.address_of('REMINDER_ALERT_WEBHOOK_URL');
    end if;
    v_error := v_address.trouble;
    if v_error is null then
      begin
        perform reminder.note_request(v_alert.id, net.http_post(
          url := v_address.url,
          body := jsonb_build_object(
            'text', v_alert.message || E'\n' || v_alert.runbook,
            'alert', v_alert.kind,
            'run_id', v_alert.run_id,
            'runbook', v_alert.runbook
          ),
          timeout_milliseconds := 5000
        ));
        update reminder.alerts a
        set
          status = 'sent',
          attempts = a.attempts + 1,
          error = null,
          next_attempt_at = clock_timestamp() + interval '10 minutes'
        where a.id = v_alert.id;
        v_sent := v_sent + 1;
        continue;
      exception
        when undefined_function or invalid_schema_name then
          v_error := 'pg_net is not there: the extension was dropped.';
        when others then
          -- Its message may hold the address, so only the code is kept.
          v_error := format('pg_net refused the request (SQLSTATE %s): is the address in the secret well formed?', sqlstate);
      end;
    end if;
    -- Not an attempt: nothing was sent, and the alert waits until it can be.
    update reminder.alerts a set error = v_error where a.id = v_alert.id;
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
  perform reminder.collect_answers();
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
  -- An answer that lies unread may say that a sent one failed too.
  perform reminder.collect_answers();
  update reminder.alerts a
  set status = 'queued', attempts = 0, next_attempt_at = clock_timestamp()
  where a.status in ('undelivered', 'unconfirmed')
     or (a.status = 'queued' and (a.error is not null or a.next_attempt_at > clock_timestamp()));
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

-- For reminder.health.

create function reminder.check_alert_address() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    f.trouble is null,
    coalesce(f.trouble, 'set'),
    case
      when f.trouble = a.trouble then 'change-the-destination'
      when f.trouble = u.trouble then 'send-a-test-alert'
      else 'alert-not-delivered'
    end
  from reminder.address_of('REMINDER_ALERT_WEBHOOK_URL') a
  -- An address is known to be right when something has arrived there.
  cross join lateral (
    select format('changed at %s UTC, and no alert has arrived since.',
      to_char(c.changed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')) as trouble
    from (select reminder.address_changed_at('REMINDER_ALERT_WEBHOOK_URL') as changed_at) c
    where c.changed_at > coalesce(
      (select max(k.delivered_at) from reminder.alerts k where k.status = 'delivered'), '-infinity')
    union all
    select null
    order by trouble nulls last
    limit 1
  ) u
  cross join lateral (
    select coalesce(
      a.trouble,
      case
        when to_regproc('net.http_post') is null or to_regclass('net._http_response') is null
          then 'pg_net is not there: the extension was dropped.'
        -- On some versions of the platform its functions run as their owner, who may always.
        when not (select p.prosecdef from pg_proc p where p.oid = to_regproc('net.http_post'))
          and not has_table_privilege('net.http_request_queue', 'insert')
          then format('The role %s may not hand requests to pg_net.', current_user)
      end,
      case when current_setting('pg_net.ttl', true)::interval < interval '15 minutes'
        then format('pg_net.ttl is %s: answers are gone before the watchdog reads them.', current_setting('pg_net.ttl'))
      end,
      u.trouble
    ) as trouble
  ) f
$$;
comment on function reminder.check_alert_address() is
  'Whether alerts can be sent: the address is there, can be read and was proven by an alert that arrived, and pg_net is there and keeps its answers for long enough.';

create function reminder.check_alerts() returns table (ok boolean, finding text, section text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    count(*) = 0,
    count(*) || ' not delivered' || coalesce(': ' || min(w.trouble), ''),
    'alert-not-delivered'
  from reminder.alerts a
  left join reminder.answers() r on r.alert_id = a.id
  cross join lateral (
    select coalesce(
      r.why,
      a.error,
      case
        -- It stands in the way of the alert of that run.
        when a.subject_id > coalesce((select max(l.id) from public.cron_execution_logs l), 0)
          and a.kind <> 'undelivered_alert'
        then format('%s of run %s, which has not taken place', a.kind, a.subject_id)
        when a.status not in ('queued', 'sent') then a.status
        -- The first wait before another try, and two looks of the watchdog.
        when a.created_at < clock_timestamp() - interval '15 minutes' and r.outcome is distinct from 'arrived'
          then concat_ws(' ', 'open since', to_char(a.created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'), 'UTC')
        when a.created_at < clock_timestamp() - interval '15 minutes' then 'its answer is not read'
      end
    ) as trouble
  ) w
  where w.trouble is not null
    and (
      a.status <> 'delivered'
      or a.subject_id > coalesce((select max(l.id) from public.cron_execution_logs l), 0)
        and a.kind <> 'undelivered_alert'
    )
$$;
comment on function reminder.check_alerts() is
  'Whether every alert has arrived or is on its way for no longer than 15 minutes; answers that lie unread are read for it.';

revoke all on reminder.alert_kinds, reminder.alerts, reminder.requests
  from public, anon, authenticated, service_role;
revoke all on sequence reminder.alerts_id_seq from public, anon, authenticated, service_role;
revoke all on function
  reminder.raise_alert(text, bigint, bigint, text),
  reminder.alert_back_off(integer),
  reminder.is_address(text),
  reminder.address_of(text),
  reminder.address_changed_at(text),
  reminder.set_address(text, text),
  reminder.request_numbering(),
  reminder.note_request(bigint, bigint),
  reminder.answers(),
  reminder.collect_answers(),
  reminder.send_alerts(),
  reminder.deliver_alerts(),
  reminder.retry_alerts(),
  reminder.send_test_alert(text),
  reminder.check_alert_address(),
  reminder.check_alerts()
  from public, anon, authenticated, service_role;
