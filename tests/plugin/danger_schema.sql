-- What the statements of danger_corpus.sql read, write and call.
create table public.orders (
  id int primary key,
  state text not null default 'new',
  amount numeric(8, 2) default 0
);
insert into public.orders (id) values (1), (2), (3);
create table public.lines (order_id int references public.orders on delete cascade, note text);
insert into public.lines values (1, 'a'), (1, 'b');
create table public.history (at timestamptz default now(), what text);
create table public.empty_one (id int);
create table public.parts (id int, kind text) partition by list (kind);
create table public.parts_a partition of public.parts for values in ('a');
create table public.parts_b partition of public.parts for values in ('b');
insert into public.parts values (1, 'a');
create sequence public.ticket;
create index orders_state on public.orders (state);

create view public.open_orders as select id, state from public.orders where state = 'new';
create view public.ruled as select id, state from public.orders;
create rule closing as on update to public.ruled do instead
  update public.orders set state = new.state where id = old.id;
create view public.guarded as select id, state from public.orders;
create function public.guard() returns trigger language plpgsql as $$
begin
  delete from public.orders where id = old.id;
  return old;
end
$$;
create trigger guarding instead of update on public.guarded
  for each row execute function public.guard();
create materialized view public.totals as select state, count(*) from public.orders group by 1;
create unique index on public.totals (state);

create table public.audited (id int, name text);
insert into public.audited values (1, 'x');
create function public.audit() returns trigger language plpgsql as $$
begin
  insert into public.history (what) values ('audited');
  return new;
end
$$;
create trigger auditing after update on public.audited
  for each row execute function public.audit();

create function public.reads_only() returns bigint language sql as $$
  select count(*) from public.orders
$$;
create function public.writes_quietly() returns int language plpgsql as $$
begin
  update public.orders set amount = amount + 1;
  return 1;
end
$$;
create function public.by_text(p_table text) returns void language plpgsql as $$
begin
  execute format('delete from public.%I', p_table);
end
$$;
create function public.next_ticket() returns bigint language sql as $$ select nextval('ticket') $$;
create function public.locks_rows() returns int language sql as $$
  select id from public.orders where id = 1 for update
$$;
create function public.drops_it() returns void language plpgsql as $$
begin
  drop table public.empty_one;
end
$$;
create function public.tells() returns void language plpgsql as $$
begin
  perform pg_notify('orders', 'changed');
end
$$;
create function public.tells_through() returns void language sql as $$ select public.tells() $$;
create function public.ends_sleepers() returns bigint language sql as $$
  select count(pg_terminate_backend(pid)) from pg_stat_activity
  where application_name = 'sleeper' and datname = current_database()
$$;
create procedure public.housekeeping() language plpgsql as $$
begin
  insert into public.history (what) values ('run');
  commit;
  delete from public.lines where note = 'a';
  commit;
end
$$;
create procedure public.appends() language plpgsql as $$
begin
  insert into public.history (what) values ('run');
  commit;
end
$$;
create procedure public.appends_slowly() language plpgsql as $$
begin
  insert into public.history (what) values ('run');
  commit;
  perform pg_sleep(1.2);
end
$$;
create procedure public.only_looks() language plpgsql as $$
begin
  perform count(*) from public.orders;
  commit;
end
$$;
create function public.tries_and_fails() returns void language plpgsql as $$
begin
  begin
    insert into public.orders (id) values (1);
  exception when unique_violation then
    null;
  end;
end
$$;
create type public.mood as enum ('fine');
create schema aside;
create table aside.kept (id int primary key);
select lo_create(4711);
do $$
begin
  if not exists (select from pg_roles where rolname = 'sql_other') then
    create role sql_other;
  end if;
end
$$;
