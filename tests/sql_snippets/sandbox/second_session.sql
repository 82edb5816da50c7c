-- A second session for the browser's database, which has one.  What it locks is really locked: a
-- prepared transaction holds it.  That a session holds it, and that this session can be ended, is
-- told by what follows, in the place of the server's own views and function.
--
-- When a session has been ended, whoever runs the database rolls back the transactions that
-- sandbox.ended names: no function can.
create schema sandbox;

create table sandbox.sessions (
  transaction text primary key,
  pid integer not null,
  usename name not null,
  application_name text not null,
  state text not null,
  began timestamptz not null default now()
);
create view sandbox.ended as
  select p.gid as transaction
  from pg_prepared_xacts p
  where not exists (select from sandbox.sessions s where s.transaction = p.gid);

do $$
begin
  execute 'create view sandbox.own_activity as ' || pg_get_viewdef('pg_stat_activity'::regclass);
  execute 'create view sandbox.own_locks as ' || pg_get_viewdef('pg_locks'::regclass);
end
$$;

create or replace view pg_catalog.pg_stat_activity as
  select * from sandbox.own_activity
  union all
  select (jsonb_populate_record(null::sandbox.own_activity, jsonb_build_object(
    'datid', (select d.oid from pg_database d where d.datname = current_database()),
    'datname', current_database(),
    'pid', s.pid,
    'usesysid', s.usename::regrole::oid,
    'usename', s.usename,
    'application_name', s.application_name,
    'backend_start', s.began,
    'query_start', s.began,
    'state_change', s.began,
    'state', s.state,
    'backend_type', 'client backend'
  ))).*
  from sandbox.sessions s;

-- The locks of a prepared transaction are those of no process; they are told by its number.
do $$
begin
  execute (
    select 'create or replace view pg_catalog.pg_locks as select ' || string_agg(
      case when a.attname = 'pid' then 'coalesce(l.pid, s.pid) as pid' else 'l.' || a.attname end,
      ', ' order by a.attnum)
    from pg_attribute a
    where a.attrelid = 'sandbox.own_locks'::regclass and a.attnum > 0
  ) || '
    from sandbox.own_locks l
    left join sandbox.own_locks x
      on l.pid is null
      and x.locktype = ''transactionid''
      and x.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts p on p.transaction = x.transactionid
    left join sandbox.sessions s on s.transaction = p.gid';
end
$$;

-- Renamed and not replaced: a server calls its own functions by their number, whatever is written
-- over them.
alter function pg_catalog.pg_terminate_backend(integer, bigint) rename to own_terminate_backend;

create function pg_catalog.pg_terminate_backend(pid integer, timeout bigint default 0)
returns boolean
language plpgsql strict volatile security definer set search_path = ''
as $$
begin
  delete from sandbox.sessions s where s.pid = pg_terminate_backend.pid;
  return found or pg_catalog.own_terminate_backend(pg_terminate_backend.pid, timeout);
end
$$;
