-- Statements of known danger.  Above each: its name, its danger, and all that it does, with ";"
-- between; beside that only what goes along with it may be seen, such as its locks.
-- "with: sleeper" runs it beside a session that does something else; "role:" is who runs it,
-- "error:" the SQLSTATE that it ends with.

-- == Reading

-- name: select
-- danger: READ
select count(*) from orders;

-- name: common table expression that only reads
-- danger: READ
with found as (select * from orders) select id from found;

-- name: values
-- danger: READ
values (1), (2);

-- name: table command
-- danger: READ
table orders;

-- name: view
-- danger: READ
select * from open_orders;

-- name: reading function
-- danger: READ
select reads_only();

-- name: procedure that only reads, and commits
-- danger: READ
call only_looks();

-- name: do that only reads
-- danger: READ
do $$ begin perform count(*) from orders; end $$;

-- name: explain of a write that is only planned
-- danger: READ
explain update orders set state = 'x';

-- name: explain of a delete that is only planned
-- danger: READ
explain (verbose, costs off) delete from orders;

-- name: explain of row locks that are only planned
-- danger: READ
explain select * from orders for update;

-- name: explain analyze of a read
-- danger: READ
explain (analyze, timing off, summary off) select * from orders;

-- name: setting of the session
-- danger: READ
set work_mem = '8MB'; show work_mem;

-- name: setting of the session by a function
-- danger: READ
select set_config('work_mem', '8MB', false);

-- name: other role for the session
-- danger: READ
set role postgres; select current_user;

-- name: prepared read
-- danger: READ
prepare p as select * from orders where id = $1; execute p(1);

-- name: prepared write that is not executed
-- danger: READ
prepare p as delete from orders; deallocate p;

-- name: cursor that reads
-- danger: READ
begin; declare c cursor for select * from orders; fetch 2 from c; commit;

-- name: temporary table
-- danger: READ
create temp table mine (id int primary key, name text default 'x');
insert into mine values (1), (2); update mine set id = 3 where id = 2; delete from mine;

-- name: temporary table as a copy
-- danger: READ
create temp table mine as select * from orders; select count(*) from mine;

-- name: temporary table emptied and dropped
-- danger: READ
create temp table mine (id serial); insert into mine default values; truncate mine; drop table mine;

-- name: select into a temporary table
-- danger: READ
select * into temp mine from orders;

-- name: temporary table that is slept on
-- danger: READ
do $$ begin
  create temp table mine (id int); insert into mine values (1); delete from mine;
  perform pg_sleep(1.2);
end $$;

-- name: temporary view and function
-- danger: READ
create temp view mine as select 1 as a;
create function pg_temp.f() returns int language sql as $$ select 1 $$;
select pg_temp.f(), a from mine;

-- name: catalog and statistics
-- danger: READ
select relname, n_live_tup from pg_stat_user_tables order by 1;

-- name: who does what
-- danger: READ
select pid, state from pg_stat_activity where datname = current_database();

-- name: a session that listens
-- danger: READ
listen orders;

-- name: value of a sequence that is only looked at
-- danger: READ
select last_value from ticket;

-- name: advisory lock given back that nobody took
-- danger: READ
select pg_advisory_unlock(5);

-- name: function of the server that is only defined
-- danger: WRITE: create of function public.switches()
create function public.switches() returns pg_lsn language sql as $$ select pg_switch_wal() $$;

-- name: words of a write in text and comments
-- danger: READ
select 'delete from orders' as said; -- drop table orders

-- name: wrong name
-- danger: READ
-- error: 42P01
select * from no_such_table;

-- name: write refused for want of rights
-- danger: READ
-- role: small_reader
-- error: 42501
delete from public.orders;

-- == Writing

-- name: insert
-- danger: WRITE: insert into public.history (1 row)
insert into history (what) values ('x');

-- name: insert returning
-- danger: WRITE: insert into public.orders (1 row)
insert into orders (id) values (9) returning id;

-- name: update
-- danger: WRITE: update of public.orders (3 rows)
update orders set state = 'done';

-- name: update that finds no row
-- danger: WRITE: write to public.orders that found no row to change
update orders set state = 'done' where id = 99;

-- name: insert on conflict do nothing
-- danger: WRITE: write to public.orders that found no row to change
insert into orders (id) values (1) on conflict do nothing;

-- name: merge
-- danger: WRITE: update of public.orders (1 row)
merge into orders o using (values (1)) v(id) on v.id = o.id when matched then update set state = 'm';

-- name: writing function in a select
-- danger: WRITE: update of public.orders (3 rows)
select writes_quietly();

-- name: writing function in the where of a select
-- danger: WRITE: update of public.orders (3 rows)
select 1 as one where writes_quietly() = 1;

-- name: common table expression that updates
-- danger: WRITE: update of public.orders (1 row)
with u as (update orders set state = 'x' where id = 1 returning id) select * from u;

-- name: do that updates
-- danger: WRITE: update of public.orders (3 rows)
do $$ begin update orders set state = 'y'; end $$;

-- name: do that updates no row
-- danger: WRITE: write to public.orders that found no row to change
do $$ begin update orders set state = 'y' where false; end $$;

-- name: explain analyze of an update
-- danger: WRITE: update of public.orders (3 rows)
explain analyze update orders set state = 'x';

-- name: explain analyze of an update that finds no row
-- danger: WRITE: write to public.orders that found no row to change
explain (analyze, format json) update orders set state = 'x' where id = 99;

-- name: explain analyze of a writing function
-- danger: WRITE: update of public.orders (3 rows)
explain (analyze, costs off) select writes_quietly();

-- name: update of a view
-- danger: WRITE: update of public.orders (3 rows)
update open_orders set state = 'done';

-- name: view with a rule
-- danger: WRITE: update of public.orders (1 row)
update ruled set state = 'x' where id = 1;

-- name: trigger with a side effect
-- danger: WRITE: insert into public.history (1 row); update of public.audited (1 row)
update audited set name = 'y';

-- name: prepared write that is executed
-- danger: WRITE: update of public.orders (1 row)
prepare p as update orders set state = 'x' where id = $1; execute p(1);

-- name: write in a transaction of its own
-- danger: WRITE: update of public.orders (1 row)
begin; update orders set state = 'x' where id = 1; commit;

-- name: procedure that inserts and commits
-- danger: WRITE: insert into public.history (1 row)
call appends();

-- name: procedure that takes longer than counts wait
-- danger: WRITE: insert into public.history (1 row)
call appends_slowly();

-- name: table made, emptied and slept on
-- danger: WRITE: create of table public.made
do $$ begin
  create table made (id int); insert into made values (1); delete from made; perform pg_sleep(1.2);
end $$;

-- name: insert that is refused at the end
-- danger: WRITE: insert into public.lines (1 row)
-- error: 23503
insert into lines values (99, 'x');

-- name: insert before an error
-- danger: WRITE: insert into public.history (1 row)
-- error: 22012
insert into history (what) values ('x'); select 1 / 0;

-- name: function that catches its own failure
-- danger: WRITE: insert into public.orders (1 row)
select tries_and_fails();

-- name: nextval
-- danger: WRITE: sequence public.ticket moved
select nextval('ticket');

-- name: nextval in a function
-- danger: WRITE: sequence public.ticket moved
select next_ticket();

-- name: nextval in a procedure's way of running
-- danger: WRITE: sequence public.ticket moved
do $$ begin perform nextval('ticket'); end $$;

-- name: setval
-- danger: WRITE: sequence public.ticket moved
select setval('ticket', 50);

-- name: alter sequence restart
-- danger: WRITE: sequence public.ticket moved
alter sequence ticket restart with 7;

-- name: select for update
-- danger: WRITE: lock on rows of public.orders
select * from orders where id = 1 for update;

-- name: select for share
-- danger: WRITE: lock on rows of public.orders
select * from orders for share;

-- name: select for update skip locked that finds no row
-- danger: WRITE: lock on rows of public.orders
select * from orders where id = 99 for update skip locked;

-- name: row lock in a function
-- danger: WRITE: lock on rows of public.orders
select locks_rows();

-- name: row lock in a transaction of its own
-- danger: WRITE: lock on rows of public.orders
begin; select * from orders where id = 1 for update; commit;

-- name: cursor that locks rows
-- danger: WRITE: lock on rows of public.orders
begin; declare c cursor for select * from orders for update; fetch 1 from c; commit;

-- name: explain analyze of row locks
-- danger: WRITE: lock on rows of public.orders
explain analyze select * from orders for update;

-- name: table lock
-- danger: WRITE: AccessExclusiveLock on public.orders
begin; lock table orders; commit;

-- name: table lock in a do
-- danger: WRITE: ShareLock on public.orders
do $$ begin lock table orders in share mode; end $$;

-- name: advisory lock of the session
-- danger: WRITE: advisory lock held
select pg_advisory_lock(5);

-- name: advisory lock taken and given back
-- danger: WRITE: advisory lock held
select pg_try_advisory_lock(5), pg_advisory_unlock(5);

-- name: logical message outside of the transaction
-- danger: WRITE: logical message written
select pg_logical_emit_message(false, 'a', 'b') is not null;

-- name: snapshot exported
-- danger: WRITE: snapshot exported
select pg_export_snapshot() is not null;

-- name: snapshot exported in a do
-- danger: WRITE: snapshot exported
do $$ begin perform pg_export_snapshot(); end $$;

-- name: table that is there already
-- danger: WRITE: create of relation "orders", which is there already
create table if not exists orders ();

-- name: advisory lock of the transaction
-- danger: WRITE: advisory lock held
select pg_try_advisory_xact_lock(5);

-- name: advisory lock of the transaction in a do
-- danger: WRITE: advisory lock held
do $$ begin perform pg_advisory_xact_lock(5); end $$;

-- name: transaction id
-- danger: WRITE: transaction id taken
select pg_current_xact_id() is not null;

-- name: notify
-- danger: WRITE: notification queued
notify orders, 'changed';

-- name: notify by a function
-- danger: WRITE: notification queued
select pg_notify('orders', 'changed');

-- name: notify two functions down
-- danger: WRITE: notification queued
select tells_through();

-- name: create table
-- danger: WRITE: create of table public.made
create table made (id int primary key); insert into made values (1); delete from made;

-- name: select into
-- danger: WRITE: create of table public.made
select * into made from orders;

-- name: create table as
-- danger: WRITE: create of table public.made
create table made as select * from orders;

-- name: create index
-- danger: WRITE: create of index public.orders_amount
create index orders_amount on orders (amount);

-- name: create index concurrently
-- danger: WRITE: create of index public.orders_amount
create index concurrently orders_amount on orders (amount);

-- name: create function
-- danger: WRITE: create of function public.made()
create function made() returns int language sql as $$ select 1 $$;

-- name: replace a function
-- danger: WRITE: alter of function public.reads_only()
create or replace function reads_only() returns bigint language sql as $$ select 1::bigint $$;

-- name: replace a view
-- danger: WRITE: alter of view public.open_orders
create or replace view open_orders as select id, state from orders where state = 'old';

-- name: add a column
-- danger: WRITE: alter of table public.orders
alter table orders add column extra text;

-- name: rename a column
-- danger: WRITE: alter of table public.orders
alter table orders rename column amount to total;

-- name: change a default
-- danger: WRITE: alter of table public.orders
alter table orders alter column state set default 'x';

-- name: rename a table
-- danger: WRITE: alter of table public.renamed
alter table history rename to renamed;

-- name: switch a trigger off
-- danger: WRITE: alter of trigger auditing on public.audited
alter table audited disable trigger auditing;

-- name: comment
-- danger: WRITE: change of catalog pg_description
comment on table orders is 'said';

-- name: grant
-- danger: WRITE: alter of table public.orders
grant select on orders to small_reader;

-- name: configuration of a role
-- danger: WRITE: configuration of a role or database changed
alter role postgres set work_mem = '9MB';

-- name: configuration of a database, in a do
-- danger: WRITE: configuration of a role or database changed
do $$ begin execute format('alter database %I set work_mem = ''9MB''', current_database()); end $$;

-- name: value added to a type
-- danger: WRITE: alter of catalog pg_enum
alter type mood add value 'sad';

-- name: index made again under its name
-- danger: WRITE: alter of index public.orders_state
drop index orders_state; create index orders_state on orders (state, amount);

-- name: right of a role
-- danger: WRITE: change of catalog pg_authid
alter role sql_other createdb;

-- name: create role
-- danger: WRITE: create of role sql_made
create role sql_made;

-- name: configuration of the server
-- danger: WRITE: configuration of the server changed
-- role: sql_snippets_admin
alter system set work_mem = '9MB';

-- name: configuration read again
-- danger: WRITE: configuration of the server reloaded
-- role: sql_snippets_admin
select pg_reload_conf();

-- name: job scheduled
-- danger: WRITE: job scheduled or unscheduled (cron.job, 1 row)
select cron.schedule('made', '* * * * *', 'select 1');

-- name: job unscheduled
-- danger: WRITE: job scheduled or unscheduled (cron.job, 1 row)
-- role: sql_snippets_admin
delete from cron.job where jobname = 'nightly';

-- name: refresh of a materialized view
-- danger: WRITE: refresh of public.totals; insert into public.totals (1 row)
refresh materialized view totals;

-- name: refresh of a materialized view beside its readers
-- danger: WRITE: delete from public.totals (1 row); update of public.orders (1 row); insert into public.totals (2 rows)
update orders set state = 'z' where id = 3; refresh materialized view concurrently totals;

-- name: analyze
-- danger: WRITE: maintenance (ANALYZE)
analyze orders;

-- name: vacuum
-- danger: WRITE: maintenance (VACUUM)
vacuum orders;

-- name: reindex
-- danger: WRITE: index public.orders_state built again
reindex index orders_state;

-- name: copy to a file
-- danger: WRITE: file or program of the server used (COPY)
-- role: sql_snippets_admin
copy public.orders to '/dev/null';

-- name: copy to a program
-- danger: WRITE: file or program of the server used (COPY)
-- role: sql_snippets_admin
copy (select 1) to program 'cat > /dev/null';

-- name: large object
-- danger: WRITE: change of a large object
select lo_from_bytea(0, '\x00') > 0;

-- name: looking for sessions to end and finding none
-- danger: READ
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'nobody';

-- == What can lose work

-- name: delete
-- danger: STOP: delete from public.lines (2 rows)
delete from lines;

-- name: delete that finds no row
-- danger: STOP: delete from public.orders that found no row to change
delete from orders where id = 99;

-- name: delete that a foreign key passes on
-- danger: STOP: delete from public.lines (2 rows); delete from public.orders (1 row)
delete from orders where id = 1;

-- name: common table expression that deletes
-- danger: STOP: delete from public.lines (2 rows)
with gone as (delete from lines returning *) select count(*) from gone;

-- name: merge that deletes
-- danger: STOP: delete from public.lines (2 rows)
merge into lines l using orders o on o.id = l.order_id when matched then delete;

-- name: deleting function with dynamic text
-- danger: STOP: delete from public.lines (2 rows)
select by_text('lines');

-- name: update of a view whose trigger deletes
-- danger: STOP: delete from public.orders (1 row)
update guarded set state = 'x' where id = 3;

-- name: procedure that deletes in a second transaction
-- danger: STOP: delete from public.lines (1 row); insert into public.history (1 row)
call housekeeping();

-- name: do that deletes
-- danger: STOP: delete from public.lines (2 rows)
do $$ begin delete from lines; end $$;

-- name: explain analyze of a delete
-- danger: STOP: delete from public.lines (2 rows)
explain (analyze, costs off) delete from lines;

-- name: row moved to another partition
-- danger: STOP: delete from public.parts_a (1 row); insert into public.parts_b (1 row)
update parts set kind = 'b';

-- name: truncate
-- danger: STOP: truncate or rewrite of public.lines
truncate lines;

-- name: truncate in a do
-- danger: STOP: truncate or rewrite of public.lines
do $$ begin execute 'truncate lines'; end $$;

-- name: truncate of an empty table
-- danger: STOP: truncate or rewrite of public.empty_one
truncate empty_one;

-- name: drop table
-- danger: STOP: drop of table public.empty_one
drop table empty_one;

-- name: drop table in a function
-- danger: STOP: drop of table public.empty_one
select drops_it();

-- name: drop column
-- danger: STOP: drop of column amount of table public.orders
alter table orders drop column amount;

-- name: column dropped and added again
-- danger: STOP: drop of column amount of table public.orders
alter table orders drop column amount, add column amount numeric(8, 2) default 0;

-- name: drop role
-- danger: STOP: drop of role sql_other
drop role sql_other;

-- name: drop schema with what is in it
-- danger: STOP: drop of table aside.kept
drop schema aside cascade;

-- name: delete of a large object
-- danger: STOP: delete of a large object
select lo_unlink(4711);

-- name: drop index
-- danger: STOP: drop of index public.orders_state
drop index orders_state;

-- name: drop index concurrently
-- danger: STOP: drop of index public.orders_state
drop index concurrently orders_state;

-- name: drop constraint
-- danger: STOP: drop of table constraint lines_order_id_fkey on public.lines
alter table lines drop constraint lines_order_id_fkey;

-- name: drop trigger
-- danger: STOP: drop of trigger auditing on public.audited
drop trigger auditing on audited;

-- name: drop function
-- danger: STOP: drop of function public.reads_only()
drop function reads_only();

-- name: drop and create again
-- danger: STOP: drop of table public.history
drop table history; create table history (at timestamptz, what text);

-- name: change of a type that rewrites
-- danger: STOP: truncate or rewrite of public.orders
alter table orders alter column amount type bigint;

-- name: cluster
-- danger: STOP: truncate or rewrite of public.orders
cluster orders using orders_pkey;

-- name: vacuum full
-- danger: STOP: truncate or rewrite of public.orders
vacuum full orders;

-- name: another session ended
-- danger: STOP: work of another session ended
-- with: sleeper
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'sleeper' and datname = current_database();

-- name: delete of no row in a common table expression
-- danger: STOP: delete from public.orders that found no row to change
with gone as (delete from orders where id = -1 returning id) select count(*) from gone;

-- name: delete of no row in a do
-- danger: STOP: delete from public.orders that found no row to change
do $$ begin delete from orders where id = -1; end $$;

-- name: delete of no row in a merge
-- danger: STOP: delete from public.orders that found no row to change
merge into orders o using (values (-1)) v(id) on o.id = v.id when matched then delete;

-- name: delete of no row beside another write
-- danger: STOP: delete from public.orders that found no row to change; insert into public.history (1 row)
insert into history (what) values ('x'); delete from orders where id = -1;

-- name: drop of what is not there
-- danger: STOP: drop of table "nowhere", which is not there
drop table if exists nowhere cascade;

-- name: column that is not there
-- danger: STOP: drop of column "nowhere" of relation "orders", which is not there
alter table orders drop column if exists nowhere;

-- name: another session ended in a function
-- danger: STOP: work of another session ended
-- with: sleeper
select ends_sleepers();

-- name: another session cancelled
-- danger: STOP: work of another session cancelled
-- with: sleeper
select pg_cancel_backend(pid) from pg_stat_activity
where application_name = 'sleeper' and datname = current_database();

-- name: another session looked at beside the words
-- danger: READ
-- with: sleeper
select pid, 'pg_terminate_backend' as not_called from pg_stat_activity
where application_name = 'sleeper' and datname = current_database();
