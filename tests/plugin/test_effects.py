"""Blocks that do nothing, and blocks that do what nothing shows: found by what is run and said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.databases import Database, Template, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.judging.effect import check_effect
from sql_snippets.judging.marks import contradiction
from sql_snippets.model import (
    Claims,
    Danger,
    ExpectedOutput,
    LineOrigin,
    Location,
    Mark,
    Order,
    Outcome,
    Snippet,
)
from sql_snippets.plan import RunOptions
from sql_snippets.running.danger import Facts, Lock, Relation, RowCounts, Told, danger_of
from sql_snippets.running.editor import run_as_editor, run_isolated
from sql_snippets.sqltext.bodies import names_in_bodies
from sql_snippets.sqltext.effects import (
    beyond_undoing,
    deleted_from,
    effects_in,
    executed_text,
    settings_in,
    skipped,
)
from sql_snippets.sqltext.transactions import lost_in
from tests.plugin.small_recipe import write_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = RunOptions("postgres")


def snippet_of(sql: str, claims: Claims | None = None, order: Order | None = None) -> Snippet:
    lines = sql.split("\n")
    origins = tuple(
        LineOrigin("x.md", 11 + number, tuple(range(1, len(line) + 2)))
        for number, line in enumerate(lines)
    )
    place = Location("x.md", 10)
    return Snippet("x.md", "s", "n", sql, origins, place, 12, claims or Claims(), order=order)


WRITES = [
    ("select pg_create_physical_replication_slot('a')", "WRITE create of a replication slot"),
    ("select * from pg_create_logical_replication_slot('a', 'b')", "WRITE create of a repl"),
    ("select pg_copy_physical_replication_slot('a', 'b')", "WRITE create of a replication slot"),
    ("select pg_replication_slot_advance('a', '0/0')", "WRITE replication slot moved"),
    ("select pg_drop_replication_slot('a')", "STOP drop of a replication slot"),
    ("select pg_drop_replication_slot(slot_name) from pg_replication_slots", "STOP drop of a repl"),
    ("SELECT PG_CATALOG.PG_DROP_REPLICATION_SLOT ('a')", "STOP drop of a replication slot"),
    ("select pg_catalog.\"pg_drop_replication_slot\"('a')", "STOP drop of a replication slot"),
    (
        "do $$ begin perform pg_drop_replication_slot('a'); end $$",
        "STOP drop of a replication slot",
    ),
    ("do 'begin perform pg_drop_replication_slot(''a''); end'", "STOP drop of a replication slot"),
    ("do $$ begin execute 'select pg_switch_wal()'; end $$", "WRITE WAL switched"),
    ("do $a$ begin execute $b$select pg_switch_wal()$b$; end $a$", "WRITE WAL switched"),
    ("select * from pg_logical_slot_get_changes('a', null, null)", "STOP changes taken out of"),
    ("select pg_replication_origin_drop('a')", "STOP drop of a replication origin"),
    ("select pg_replication_origin_create('a')", "WRITE change of a replication origin"),
    ("select pg_stat_reset()", "WRITE statistics reset"),
    ("select pg_stat_reset_single_table_counters('x'::regclass)", "WRITE statistics reset"),
    ("select pg_stat_reset_shared('io')", "WRITE server statistics reset"),
    ("select pg_stat_reset_slru('notify')", "WRITE server statistics reset"),
    ("select pg_stat_statements_reset()", "WRITE server statistics reset"),
    ("select pg_switch_wal()", "WRITE WAL switched"),
    ("select pg_create_restore_point('a')", "WRITE restore point written"),
    ("select pg_backup_start('a')", "WRITE backup begun or ended"),
    ("select pg_rotate_logfile()", "WRITE log rotated"),
    ("select pg_log_backend_memory_contexts(1)", "WRITE server log written"),
    ("select pg_logical_emit_message(false, 'a', 'b')", "WRITE logical message written"),
    ("select pg_export_snapshot()", "WRITE snapshot exported"),
    ("select pg_promote()", "STOP promotion of the server"),
    ("select pg_wal_replay_pause()", "WRITE replay of the WAL changed"),
    ("select lo_export(1, '/tmp/x')", "WRITE file of the server used"),
    ("select lo_unlink(1)", "STOP delete of a large object"),
    ("select pg_advisory_lock(1), pg_advisory_unlock(1)", "WRITE advisory lock held"),
    ("select pg_try_advisory_xact_lock_shared(1)", "WRITE advisory lock held"),
    ("copy (select 1) to '/tmp/x'", "WRITE file or program of the server used (COPY)"),
    ("copy x from '/tmp/x' with (format csv)", "WRITE file or program of the server used (COPY)"),
    ("copy (select 1) to program 'cat'", "WRITE file or program of the server used (COPY)"),
    ("do $$ begin execute 'copy (select 1) to ''/tmp/zz'''; end $$", "WRITE file or program"),
    ("do $$ begin copy x to '/tmp/zz'; end $$", "WRITE file or program of the server used (COPY)"),
    ("do $$ begin checkpoint; end $$", "WRITE maintenance (CHECKPOINT)"),
    ("do $$ begin execute 'checkpoint'; end $$", "WRITE maintenance (CHECKPOINT)"),
    ("create table x as select pg_switch_wal()", "WRITE WAL switched"),
    ("create materialized view x as select pg_switch_wal()", "WRITE WAL switched"),
    ("explain analyze select pg_switch_wal()", "WRITE WAL switched"),
    ("select 1; select pg_switch_wal(); select 2", "WRITE WAL switched"),
]
NOTHING = [
    *("select 'pg_switch_wal()'", "select 1 -- pg_switch_wal()", "select 1 /* pg_switch_wal() */"),
    *(
        "select $$pg_switch_wal()$$",
        "explain select pg_switch_wal()",
        "prepare p as select pg_promote()",
    ),
    *("create function f() returns void language sql as $$ select pg_promote() $$", "select 1"),
    *(
        "create view v as select pg_switch_wal()",
        "select my_pg_switch_wal()",
        "select pg_switch_wal",
    ),
    *("comment on table x is 'pg_promote()'", "select pg_stat_get_numscans(1)", "copy x to stdout"),
    *(
        "select * from pg_replication_slots",
        "select checkpoint from x",
        "select pg_advisory_unlock(1)",
    ),
    *("select pg_current_wal_lsn()", "select pg_relation_filepath('x')", "copy x from stdin"),
]


@pytest.mark.parametrize(("sql", "expected"), WRITES)
def test_what_leaves_no_trace_is_told_by_the_text(sql: str, expected: str) -> None:
    found = [f"{effect.level} {effect.text}" for effect in effects_in(executed_text(sql))]
    assert [text for text in found if text.startswith(expected)]


@pytest.mark.parametrize("sql", NOTHING)
def test_what_is_not_executed_does_nothing(sql: str) -> None:
    assert list(effects_in(executed_text(sql))) == []


@pytest.mark.parametrize(
    ("sql", "ours", "theirs"),
    [
        ("select 1", False, False),
        ("create database x", False, False),
        ("select pg_create_physical_replication_slot('a')", False, False),
        ("select pg_drop_replication_slot('a')", False, True),
        ("select pg_switch_wal()", False, True),
        ("do $$ begin perform pg_stat_reset_shared('io'); end $$", False, True),
        ("select pg_rotate_logfile()", False, True),
        ("copy (select 1) to '/dev/null'", False, True),
        ("copy (select 1) to '/tmp/x'", True, True),
        ("copy t to '/tmp/x' (format csv)", True, True),
        ("copy t to stdout", False, False),
        ("do $$ begin execute 'copy t to ''/tmp/zz'''; end $$", True, True),
        ("copy (select 1) to program 'cat'", True, True),
        ("copy t from program 'cat'", True, True),
        ("select lo_export(1, '/tmp/x')", True, True),
        ("create tablespace x location '/tmp/x'", True, True),
        ("drop tablespace x", True, True),
        ("select 1 -- create tablespace x", False, False),
    ],
)
def test_what_nothing_undoes_is_not_run(sql: str, *, ours: bool, theirs: bool) -> None:
    assert (beyond_undoing(sql, ours=True) is not None) is ours
    assert (beyond_undoing(sql, ours=False) is not None) is theirs


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("delete from a where false", "a"),
        ("delete from only public.a", "a"),
        ('delete from "public"."a"', "a"),
        ("with d as (delete from a returning 1) select 1", "a"),
        ("do $$ begin delete from a; end $$", "a"),
        ("do $$ begin execute 'delete from a'; end $$", "a"),
        ("do $$ begin execute format('delete from %I', 'a'); end $$", "*"),
        ("do $$ begin execute 'delete from ' || 'a'; end $$", "*"),
        ("merge into a using b on true when matched then delete", "a"),
        ("merge into a using b on true when matched then update set x = 1", ""),
        ("update a set x = 'delete from b' where false", ""),
        ("select 1 -- delete from a", ""),
        ("explain delete from a", ""),
        ("create function f() returns void language sql as 'delete from a'", ""),
    ],
)
def test_the_text_tells_what_it_deletes_from(sql: str, names: str) -> None:
    assert deleted_from(executed_text(sql)) == frozenset(names.split())


@pytest.mark.parametrize(
    ("notice", "sql", "expected"),
    [
        ('table "x" does not exist', "drop table if exists x", (Mark.STOP, 'drop of table "x"')),
        (
            'table "x" does not exist',
            "drop table if exists x; create table x (a int)",
            (Mark.STOP, "d"),
        ),
        ('table "x" does not exist', "drop table if exists x; create temp table x ()", None),
        (
            'column "c" of relation "x" does not exist',
            "alter table x drop column if exists c",
            (Mark.STOP, "drop"),
        ),
        (
            'policy "p" for relation "x" does not exist',
            "drop policy if exists p on x",
            (Mark.STOP, "drop"),
        ),
        (
            'policy "p" for relation "x" does not exist',
            "drop policy if exists p on x; create policy p on x",
            None,
        ),
        (
            'trigger "t" for relation "x" does not exist',
            "drop trigger if exists t on x; create trigger t",
            None,
        ),
        (
            "function f() does not exist",
            "drop function if exists f()",
            (Mark.STOP, "drop of function f()"),
        ),
        (
            'relation "x" does not exist',
            "alter table if exists x add c int",
            (Mark.WRITE, "change of"),
        ),
        (
            'relation "x" already exists',
            "create table if not exists x ()",
            (Mark.WRITE, "create of"),
        ),
        ('schema "s" already exists', "create schema if not exists s", (Mark.WRITE, "create of")),
    ],
)
def test_if_exists_is_judged_by_what_it_would_do(
    notice: str, sql: str, expected: tuple[Mark, str] | None
) -> None:
    found = list(skipped([f"NOTICE:  {notice}, skipping"], sql))
    assert len(found) == (expected is not None)
    if expected:
        assert found[0][0] is expected[0]
        assert found[0][1].startswith(expected[1])
    assert list(skipped(["NOTICE:  hello"], sql)) == []


@pytest.mark.parametrize(
    ("sql", "lost", "is_open"),
    [
        ("update t set a = 1", 0, False),
        ("begin; update t set a = 1; commit", 0, False),
        ("begin; update t set a = 1; end", 0, False),
        ("begin; update t set a = 1", 0, True),
        ("start transaction; select 1", 0, True),
        ("BEGIN; update t set a = 1; COMMIT AND CHAIN", 0, True),
        ("begin; update t set a = 1; rollback", 1, False),
        ("begin; update t set a = 1; abort", 1, False),
        ("begin; update t set a = 1; rollback and chain", 1, True),
        ("begin; update t set a = 1; rollback and no chain", 1, False),
        ("update t set a = 1; rollback", 1, False),
        ("update t set a = 1; begin; delete from t; rollback", 2, False),
        ("begin; update t set a = 1; commit; begin; delete from t; rollback", 1, False),
        ("begin; savepoint a; update t set a = 1; rollback to a; commit", 0, False),
        ("begin; update t set a = 1; rollback to savepoint a; commit", 0, False),
        ("begin; select 1; rollback", 0, False),
        ("begin; set local work_mem = '5MB'; select 1; rollback", 0, False),
        ("begin; with d as (delete from t returning 1) select 1; rollback", 1, False),
        ("begin; select * into u from t; rollback", 1, False),
        ("begin; call p(); rollback", 1, False),
        ("begin; create table u (); rollback", 1, False),
        ("begin; update t set a = 1; prepare transaction 'x'", 0, False),
        ("rollback prepared 'x'", 0, False),
        ("commit prepared 'x'", 0, False),
        ("begin /* commit; */; update t set a = 'commit;'", 0, True),
        ("do $$ begin update t set a = 1; end $$", 0, False),
        ("create function f() returns int begin atomic select 1; end", 0, False),
    ],
)
def test_what_a_block_takes_back_or_leaves_open(sql: str, lost: int, *, is_open: bool) -> None:
    found = lost_in(sql)
    assert (len(found.rolled_back), found.opened is not None) == (lost, is_open)
    failures = check_effect(snippet_of(sql), _done(Danger(Mark.WRITE, ("x",))))
    assert bool(failures) is bool(lost or is_open)
    said = snippet_of(sql, Claims(no_effect="a preview"))
    assert (check_effect(said, _done(Danger(Mark.WRITE, ("x",)))) == []) is bool(lost or is_open)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("set hnsw.ef_serach = 1", "hnsw.ef_serach"),
        ("set local hnsw.ef_search to 1; select 1", "hnsw.ef_search"),
        ("select set_config('a.b', 'x', true)", "a.b"),
        ("alter role postgres set a.b = 'x'", "a.b"),
        ("alter database x set a.b.c to 1", "a.b.c"),
        ("alter function f() set a.b = 1", "a.b"),
        ("do $$ begin set a.b = 1; end $$", "a.b"),
        ("do $$ begin execute 'set a.b = 1'; end $$", "a.b"),
        ("set a.b = 1; select current_setting('a.b')", ""),
        ("set a.b = 1; show a.b", ""),
        ("set work_mem = '5MB'", ""),
        ("update t set a.b = 1", ""),
        ("insert into t select 1 on conflict do update set a.b = 1", ""),
        ("select 1 -- set a.b = 1", ""),
    ],
)
def test_the_settings_that_a_block_sets(sql: str, names: str) -> None:
    assert settings_in(sql) == names.split()


def _done(danger: Danger | None, tag: str = "UPDATE 0") -> Outcome:
    return Outcome(None, (), tag, None, (), 0.1, "clone", danger=danger)


ORDERS = Relation(20001, "public", "orders", "r")
LINES = Relation(20002, "public", "lines", "r")
LOCKED = Facts(tags=("DO",), locks=(Lock(ORDERS, "RowExclusiveLock"),))


@pytest.mark.parametrize(
    ("facts", "told", "danger"),
    [
        (LOCKED, Told(), "WRITE None True"),
        (LOCKED, Told(deletes=frozenset({"orders"})), "STOP None True"),
        (LOCKED, Told(deletes=frozenset({"ORDERS"})), "STOP None True"),
        (LOCKED, Told(deletes=frozenset({"*"})), "STOP None True"),
        (LOCKED, Told(deletes=frozenset({"lines"})), "WRITE None True"),
        (LOCKED, Told(perhaps_deletes=frozenset({"orders"})), "WRITE STOP True"),
        (
            replace(LOCKED, counts=(RowCounts(LINES, inserted=1),)),
            Told(deletes=frozenset({"orders"})),
            "STOP None False",
        ),
        (replace(LOCKED, counts=(RowCounts(LINES, inserted=1),)), Told(), "WRITE None False"),
        (
            replace(LOCKED, counts=(RowCounts(ORDERS, updated=1),)),
            Told(deletes=frozenset({"orders"})),
            "WRITE None False",
        ),
        (Facts(tags=("SELECT 1",)), Told(unmeasured=("f()",)), "READ STOP False"),
        (LOCKED, Told(unmeasured=("f()",)), "WRITE None False"),
        (Facts(tags=("SET",)), Told(), "READ None True"),
        (Facts(tags=("SET", "SELECT 1")), Told(), "READ None False"),
        (Facts(tags=("BEGIN", "COMMIT")), Told(), "READ None True"),
        (Facts(tags=("ROLLBACK",)), Told(), "READ None True"),
        (Facts(tags=("CREATE TABLE", "INSERT 0 3")), Told(), "READ None False"),
        (Facts(tags=("CREATE TABLE", "INSERT 0 0")), Told(), "READ None True"),
        (Facts(tags=("SHOW",)), Told(), "READ None False"),
        (Facts(tags=("DO",)), Told(), "READ None False"),
    ],
)
def test_the_danger_of_what_found_nothing(facts: Facts, told: Told, danger: str) -> None:
    found = danger_of(facts, {}, told)
    assert f"{found.level} {found.at_most} {found.idle}" == danger


@pytest.mark.parametrize(
    ("mark", "danger", "vouched", "is_right"),
    [
        (Mark.READ, Danger(Mark.READ, unmeasured=("f()",), at_most=Mark.STOP), False, False),
        (Mark.READ, Danger(Mark.READ, unmeasured=("f()",), at_most=Mark.STOP), True, True),
        (Mark.WRITE, Danger(Mark.READ, unmeasured=("f()",), at_most=Mark.STOP), False, True),
        (Mark.STOP, Danger(Mark.READ, unmeasured=("f()",), at_most=Mark.STOP), False, True),
        (Mark.STOP, Danger(Mark.WRITE, ("x",), at_most=Mark.STOP), False, True),
        (Mark.READ, Danger(Mark.WRITE, ("x",), at_most=Mark.STOP), False, False),
        (Mark.READ, Danger(Mark.WRITE, ("x",), at_most=Mark.STOP), True, False),
    ],
)
def test_a_mark_where_not_all_is_measured(
    *, mark: Mark, danger: Danger, vouched: bool, is_right: bool
) -> None:
    assert (contradiction(mark, danger, failed=False, vouched=vouched) is None) is is_right


@pytest.mark.parametrize(
    ("claims", "outcome", "order", "message"),
    [
        (Claims(), _done(Danger(Mark.WRITE, ("found no row",), idle=True)), None, "say `rows=0`"),
        (Claims(rows=0), _done(Danger(Mark.WRITE, ("x",), idle=True)), None, None),
        (Claims(rows=1), _done(Danger(Mark.WRITE, ("x",), idle=True)), None, "did nothing here"),
        (Claims(), _done(Danger(Mark.WRITE, ("x",), idle=True), "DO"), None, "`no-effect=`"),
        (Claims(no_effect="y"), _done(Danger(Mark.WRITE, ("x",), idle=True), "DO"), None, None),
        (Claims(no_effect="y"), _done(Danger(Mark.WRITE, ("x",))), None, "Drop the word"),
        (Claims(), _done(Danger(Mark.READ, idle=True), "SET"), None, "ends with its session"),
        (Claims(), _done(Danger(Mark.READ, idle=True), "SET"), Order.SESSION, None),
        (Claims(), _done(Danger(Mark.READ, idle=True), "SET"), Order.SESSIONS, "ends with its"),
        (Claims(), replace(_done(Danger(Mark.READ)), unread=("a.b",)), None, "nobody reads the"),
        (Claims(), _done(None), None, None),
        (
            Claims(output=ExpectedOutput("UPDATE 0", Location("x.md", 1), 1)),
            _done(Danger(Mark.WRITE, ("x",), idle=True)),
            None,
            None,
        ),
    ],
)
def test_what_is_said_of_a_block_that_did_nothing(
    claims: Claims, outcome: Outcome, order: Order | None, message: str | None
) -> None:
    found = check_effect(snippet_of("select 1", claims, order), outcome)
    assert len(found) == (message is not None)
    if message:
        assert message in found[0].message


def _body(text: str) -> str:
    return f"create function f() returns void language plpgsql as $$ begin {text} end $$"


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (_body("perform * from public.nowhere;"), "relation public.nowhere"),
        (_body("delete from nowhere;"), "relation nowhere"),
        (_body("insert into s.nowhere values (1);"), "relation s.nowhere"),
        (_body("update nowhere set a = 1;"), "relation nowhere"),
        (_body("perform 1 from a join b on true;"), "relation a relation b"),
        (_body("perform nothing(1);"), "function nothing"),
        (_body("call s.nothing();"), "function s.nothing"),
        (_body("x := s.nothing(1);"), "function s.nothing"),
        (_body("execute 'delete from nowhere';"), ""),
        (_body("-- delete from nowhere\n"), ""),
        (_body("with q as (select 1) select * from q into x;"), ""),
        (_body("if old.a is distinct from new.a then end if;"), ""),
        (_body("x := extract(epoch from y);"), ""),
        (_body("x := trim(both from y) || substring(z from 1);"), ""),
        (_body("fetch next from c into x;"), ""),
        (_body("create temp table t (a int); insert into t values (1);"), ""),
        (_body("perform * from generate_series(1, 2);"), ""),
        (_body("insert into t values (1) on conflict do update set a = excluded.a;"), "relation t"),
        (_body("perform 1 from t for update;"), "relation t"),
        ("{}; create table t (a int)".format(_body("delete from t;")), ""),
        ("create function f() returns int language sql as 'select 1 from nowhere'", ""),
        ("do $$ begin delete from nowhere; end $$", ""),
        ("select 1 from nowhere", ""),
    ],
)
def test_the_names_in_the_body_of_a_function(sql: str, names: str) -> None:
    found = names_in_bodies(sql)
    assert " ".join(f"{each.kind} {each}" for each in found) == names


SCHEMA = """
create table public.orders (id int primary key, state text);
insert into public.orders values (1, 'new'), (2, 'new');
create function public.purge() returns int language sql as $$
  with gone as (delete from public.orders where state = 'old' returning 1)
  select count(*)::int from gone
$$;
create function public.exports() returns text language sql as $$
  select pg_catalog.pg_export_snapshot()
$$;
create function public.reads() returns text language sql as $$
  select current_setting('shop.tenant', true)
$$;
create view public.seen as select current_setting('shop.viewer', true) as who;
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("effects")
    write_recipe(folder / "recipe", **{"3_effects": SCHEMA})
    # Only a superuser may make it, and only the platform is one.
    dblink = folder / "recipe" / "platform" / "40_dblink.sql"
    dblink.write_text("create extension dblink;", encoding="utf-8")
    recipe = Recipe.from_folders(
        platform=dblink.parent,
        migrations=folder / "recipe" / "migrations",
        seed=None,
        role="postgres",
    )
    with open_template("embedded", recipe, cache_dir=folder / "cache") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Database]:
    with template.clone() as clone:
        yield clone


RUNS = [
    # idle, as nothing was found
    ("update orders set state = 'x' where false", "WRITE None idle"),
    ("delete from orders where id = -1", "STOP None idle"),
    (
        "with d as (delete from orders where id = -1 returning id) select count(*) from d",
        "STOP None idle",
    ),
    ("do $$ begin delete from orders where id = -1; end $$", "STOP None idle"),
    (
        "merge into orders o using (values (-1)) v(id) on o.id = v.id when matched then delete",
        "STOP None idle",
    ),
    ("insert into orders select 9, 'x' where false", "WRITE None idle"),
    ("select purge()", "WRITE STOP idle"),
    ("drop table if exists nowhere", "STOP None idle"),
    ("drop table if exists nowhere cascade", "STOP None idle"),
    ("alter table orders drop column if exists note", "STOP None busy"),
    ("create table if not exists orders ()", "WRITE None idle"),
    ("set client_min_messages = warning; drop table if exists orders_old", "READ None idle"),
    # idle, as nothing stays
    ("set statement_timeout = '10min'", "READ None idle"),
    ("create temp table x (a int)", "READ None idle"),
    ("rollback", "READ None idle"),
    ("commit", "READ None idle"),
    ("listen x", "READ None idle"),
    ("prepare p as select 1", "READ None idle"),
    # busy
    ("update orders set state = 'x' where id = 1", "WRITE None busy"),
    ("delete from orders where id = 1; delete from orders where id = -1", "STOP None busy"),
    ("create temp table x (a int); insert into x values (1); select * from x", "READ None busy"),
    ("set work_mem = '8MB'; select 1", "READ None busy"),
    ("select 1", "READ None busy"),
    ("show work_mem", "READ None busy"),
    ("drop table if exists nowhere; insert into orders values (5, 'x')", "STOP None busy"),
    # not to be seen
    ("select exports()", "READ STOP busy"),
    ("select dblink_connect('a', 'host=/nowhere') where false", "READ STOP busy"),
]


def test_what_a_run_found_to_do(template: Template, shared: Database) -> None:
    wrong = []
    for sql, expected in RUNS:
        with template.clone() as own:
            outcomes = {
                "isolated": run_isolated(template, shared, sql, OPTIONS),
                "editor": run_as_editor(own, sql, OPTIONS, watched=True),
            }
        for how, outcome in outcomes.items():
            danger = outcome.danger or Danger(Mark.READ)
            idle = "idle" if danger.idle else "busy"
            found = f"{danger.level} {danger.at_most} {idle}"
            if outcome.error or found != expected:
                wrong.append((how, sql, found, expected, danger, outcome.error))
    assert wrong == []


def test_what_a_function_names_is_looked_up(template: Template, shared: Database) -> None:
    for text, unknown in (
        ("delete from orders; delete from public.orders;", ()),
        ("delete from public.oders;", ("relation public.oders",)),
        ("perform 1 from rec.field;", ()),
        ("perform purge(); perform pg_sleep(0); perform pg_catalog.now();", ()),
        ("perform public.purg();", ("function public.purg",)),
    ):
        snippet = snippet_of(_body(text))
        outcome = run_isolated(template, shared, snippet.sql, OPTIONS)
        assert (outcome.error, outcome.unknown) == (None, unknown), text
        assert len(check_effect(snippet, outcome)) == len(unknown)


def test_settings_that_somebody_reads(template: Template, shared: Database) -> None:
    for sql, unread in (
        ("set hnsw.ef_serach = 1; select 1", ("hnsw.ef_serach",)),
        ("set shop.tenant = 'a'; select reads()", ()),
        ("select set_config('shop.viewer', 'a', true)", ()),
        ("select set_config('shop.viewr', 'a', true)", ("shop.viewr",)),
        ("set plpgsql.extra_warnings = 'all'; select 1", ()),
        ("set request.jwt.claims = '{}'; select 1", ()),
    ):
        outcome = run_isolated(template, shared, sql, OPTIONS)
        assert (outcome.error, outcome.unread) == (None, unread), sql
