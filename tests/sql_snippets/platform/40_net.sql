-- stand-in for extension: pg_net
-- pg_net 0.20 by its names, signatures, columns, grants and errors.  Requests are queued as there; the
-- background worker that sends them is a separate program (see the tests), so without it nothing
-- is sent, exactly as when the real worker is down.

create schema net;

create domain net.http_method as text
check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

-- Unlogged as in the extension: a crash empties both tables.
create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
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

create function net._urlencode_string(string varchar) returns text
language sql immutable strict
as $$
  select coalesce(string_agg(
    case
      when c ~ '[A-Za-z0-9._~-]' then c
      else regexp_replace(upper(encode(convert_to(c, 'utf8'), 'hex')), '(..)', '%\1', 'g')
    end,
    '' order by place
  ), '')
  from string_to_table(string, null) with ordinality as s(c, place)
$$;

create function net._params(params jsonb) returns text[]
language sql immutable
as $$
  select coalesce(
    array_agg(net._urlencode_string(p.key) || '=' || net._urlencode_string(p.value)), '{}'
  )
  from jsonb_each_text(params) p
$$;

-- Splits an address as libcurl does, or says with its words why it cannot be split.
create function net._split_url(
  url text,
  out refusal text, out scheme text, out login text, out host text, out port text,
  out path text, out query text, out fragment text
)
language plpgsql immutable
as $$
declare
  unseen constant text := '[\u0001-\u0020\u007f]';
  schemes constant text[] := array[
    'http', 'https', 'file', 'ftp', 'ftps', 'sftp', 'scp', 'smb', 'smbs', 'smtp', 'smtps', 'imap',
    'imaps', 'pop3', 'pop3s', 'ldap', 'ldaps', 'telnet', 'dict', 'tftp', 'rtsp', 'gopher',
    'gophers', 'mqtt'
  ];
  slashes text;
  authority text;
  code text;
begin
  scheme := lower(substring(url from '^([A-Za-z0-9+.-]{1,39}):'));
  if scheme = 'file' then
    -- Its host is nobody or this machine.
    select r[1], r[2], r[3] into path, query, fragment
    from regexp_match(
      url, '^.....(?://(?:localhost|127\.0\.0\.1)?(?=/)|(?!//))([^?#]*)(\?[^#]*)?(#.*)?$', 'i'
    ) r;
    host := '';
    refusal := case
      when path is null or length(url) <= 6 then 'Bad file:// URL'
      when fragment ~ unseen then 'Bad fragment'
      when query ~ unseen then 'Bad query'
      when path ~ unseen then 'Bad path'
    end;
  else
    select r[1], r[2], r[3], r[4], r[5] into slashes, authority, path, query, fragment
    from regexp_match(url, '^[^:]*:(/*)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$') r;
    login := substring(authority from '^[^@]*@');
    host := substr(authority, coalesce(length(login), 0) + 1);
    select r[1], r[2] into host, port from regexp_match(host, '^(\[[^\]]*\]|[^:]*)(.*)$') r;
    path := coalesce(nullif(path, ''), '/');
    refusal := case
      when scheme is null then 'Bad scheme'
      when scheme <> all (schemes) then 'Unsupported URL scheme'
      when length(slashes) not between 1 and 3
        then 'Unsupported number of slashes following scheme'
      when authority = '' then 'No host part in the URL'
      when fragment ~ unseen then 'Bad fragment'
      when query ~ unseen then 'Bad query'
      when path ~ unseen then 'Bad path'
      when split_part(login, ':', 1) ~ unseen then 'Bad user'
      when login ~ unseen then 'Bad password'
      when host ~ '^\[' and host !~ '^\[[0-9A-Fa-f:.]+(%[^\]]+)?\]$' then 'Bad IPv6 address'
      when port !~ '^(:0*([0-5]?[0-9]{0,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$'
        then 'Port number was not a decimal number between 0 and 65535'
      when host = '' then 'No host part in the URL'
      when host ~* ('%[01][0-9a-f]|' || unseen) then 'Bad hostname'
    end;
    port := regexp_replace(port, '^:(0+(?=[0-9])|$)', ':');
  end if;

  if host like '[%' then
    host := regexp_replace(host, '%(25)?', '%25');
    begin
      refusal := coalesce(
        refusal, case when family(substring(host from '[^\[\]%]+')::inet) <> 6 then 'Bad IPv6 address' end
      );
    exception when invalid_text_representation then
      refusal := coalesce(refusal, 'Bad IPv6 address');
    end;
  else
    for code in select upper(m[1]) from regexp_matches(host, '%([2-7][0-9A-Fa-f])', 'g') m loop
      host := regexp_replace(host, '%' || code, chr(get_byte(decode(code, 'hex'), 0)), 'i');
    end loop;
    refusal := coalesce(
      refusal, case when host ~ ($re$[ :/#?!@{}[\]\\$'"^`*<>=;,+&()]$re$) then 'Bad hostname' end
    );
    host := replace(host, '%', '%25');
  end if;
end
$$;

-- What libcurl cannot parse is refused when the request is queued, not when it is sent; the rest is
-- queued as libcurl writes it.  Two things of that are left out, as they refuse nothing: "." and ".."
-- in a path, and IPv4 addresses that are not four decimal numbers.
create function net._encode_url_with_params_array(url text, params_array text[]) returns text
language plpgsql immutable strict
as $$
declare
  part record;
  param text;
begin
  part := net._split_url(url);
  if part.refusal is not null then
    raise exception using
      errcode = 'internal_error', message = format('invalid URL "%s": %s', url, part.refusal);
  end if;
  part.query := coalesce(part.query, '?');
  foreach param in array array_remove(params_array, null) loop
    part.query := part.query || case when part.query ~ '[?&]$' then '' else '&' end || param;
  end loop;
  return concat(
    part.scheme, '://', part.login, part.host, nullif(part.port, ':'), part.path,
    case when part.scheme <> 'file' then nullif(part.query, '?') end, nullif(part.fragment, '#')
  );
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
  values ('GET', net._encode_url_with_params_array(url, net._params(params)), headers, timeout_milliseconds)
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
    headers := headers || '{"Content-Type": "application/json"}';
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST', net._encode_url_with_params_array(url, net._params(params)), headers,
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
    'DELETE', net._encode_url_with_params_array(url, net._params(params)), headers,
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

-- The real one sets a sign in shared memory that the worker heeds, and changes nothing in the
-- database; the worker of the tests needs no such sign.
create function net.worker_restart() returns boolean
language sql
as $$ select true $$;

-- The extension gives everybody everything here, and no project can take it back.
grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;
