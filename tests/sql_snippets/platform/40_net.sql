-- stand-in for extension: pg_net
-- pg_net 0.20 by its names, signatures, columns and grants.  Requests are queued as there; the
-- background worker that sends them is a separate program (see the tests), so without it nothing
-- is sent, exactly as when the real worker is down.

create schema net;

-- Unlogged as in the extension: a crash empties both tables.
create unlogged table net.http_request_queue (
  id bigserial,
  method text not null check (method in ('GET', 'POST', 'DELETE')),
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

-- An address that cannot be parsed is refused when the request is queued, not when it is sent.
create function net._with_params(url text, params jsonb) returns text
language plpgsql immutable
as $$
begin
  if url !~* '^[a-z][a-z0-9+.-]*://[^\s/]+' then
    raise exception using errcode = 'internal_error', message = format('cannot parse the URL %s', url);
  end if;
  if params = '{}'::jsonb then
    return url;
  end if;
  return url
    || case when strpos(url, '?') > 0 then '&' else '?' end
    || (select string_agg(p.key || '=' || p.value, '&') from jsonb_each_text(params) p);
end
$$;

-- The worker is woken when the transaction commits; a rollback sends nothing.
create function net.wake() returns void
language sql
as $$
  select pg_notify('pg_net_wake', '')
$$;

create function net.http_get(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._with_params(url, params), headers, timeout_milliseconds)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql
as $$
declare
  content_type text;
  request_id bigint;
begin
  select h.value into content_type
  from jsonb_each_text(coalesce(headers, '{}')) h
  where lower(h.key) = 'content-type'
  limit 1;
  if content_type is null then
    headers := coalesce(headers, '{}') || '{"Content-Type": "application/json"}';
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST', net._with_params(url, params), headers,
    convert_to(body::text, 'utf8'), timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds integer default 5000,
  body jsonb default null
) returns bigint
language plpgsql
as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE', net._with_params(url, params), headers,
    convert_to(body::text, 'utf8'), timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.check_worker_is_up() returns void
language plpgsql
as $$
begin
  if not exists (select from pg_stat_activity where application_name like 'pg_net %') then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

-- The real one sets a sign in shared memory that the worker heeds.  A row stands for it, so that the
-- checks see that calling it changes something; the worker of the tests needs no such sign.
create unlogged table net.worker_restarts (
  told_at timestamptz not null default clock_timestamp()
);

create function net.worker_restart() returns boolean
language sql
as $$ insert into net.worker_restarts default values returning true $$;

-- The extension gives everybody everything here, and no project can take it back.
grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;
