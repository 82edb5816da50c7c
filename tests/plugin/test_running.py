from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.databases import Database, Template, open_template
from sql_snippets.model import Column, Outcome
from sql_snippets.plan import RunOptions
from sql_snippets.profiles import POSTGRES, SUPABASE
from sql_snippets.running.editor import (
    needs_clone,
    run_as_editor,
    run_isolated,
)
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import open_cluster
from sql_snippets.servers.server import ServerUnavailable
from tests.plugin.small_recipe import require, write_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA = """
create table public.child (parent int references public.parent deferrable initially deferred);
create sequence public.counted;
create function public.count_one() returns bigint language sql as $$ select nextval('counted') $$;
create procedure public.quiet_commit() language plpgsql as $$
begin
  begin
    insert into item (name) values ('before');
  end;
  commit;
exception when others then
  insert into item (name) values (sqlstate);
end
$$;
"""


@pytest.fixture(scope="module", params=["embedded", "system"])
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Template]:
    require(request.param)
    folder = tmp_path_factory.mktemp("running")
    recipe = write_recipe(folder / "recipe", **{"3_extra": EXTRA})
    with open_template(request.param, recipe, cache_dir=folder / "cache") as opened:
        yield opened


@pytest.fixture
def database(template: Template) -> Iterator[Database]:
    with template.clone() as clone:
        yield clone


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Database]:
    with template.clone() as clone:
        yield clone


def _count(database: Database) -> object:
    with database.connect() as connection:
        row = connection.execute("select count(*) from item").fetchone()
        assert row is not None
        return row[0]


def test_a_block_is_sent_and_shown_as_the_editor_does(
    template: Template, shared: Database, database: Database
) -> None:
    many = "select * from generate_series(1, 150) n"
    last_empty = "select 1 as a; select 2 as b where false"
    none = "select 1 as a where false; select 2 as b where false"
    for profile, rows, column in ((SUPABASE, 100, "a"), (POSTGRES, 150, "b")):
        options = RunOptions("postgres", editor=profile.editor)
        found = [
            [
                run_isolated(template, shared, sql, options),
                run_as_editor(database, sql, options),
            ]
            for sql in (many, last_empty, none)
        ]
        assert [len(outcome.rows) for outcome in found[0]] == [rows, rows]
        assert {outcome.added for outcome in found[0]} == {" limit 100" if rows == 100 else ""}
        assert [_names(outcome) for outcome in found[1]] == [[column], [column]]
        assert [_names(outcome) for outcome in found[2]] == [["b"], ["b"]]


def _names(outcome: Outcome) -> list[str]:
    return [column.name for column in outcome.columns or ()]


def test_the_session_is_the_editors(database: Database) -> None:
    outcome = run_as_editor(
        database,
        "select current_setting('application_name') as app, session_user::text as login, "
        "current_setting('statement_timeout') as cap",
        RunOptions("postgres", editor=replace(POSTGRES.editor, application_name="an editor")),
    )
    assert outcome.columns == (
        Column("app", "text"),
        Column("login", "text"),
        Column("cap", "text"),
    )
    assert outcome.rows == (("an editor", "postgres", "0"),)


def test_values_are_the_servers_own_text(database: Database) -> None:
    outcome = run_as_editor(
        database,
        "create type mood as enum ('fine'); select true, null::int, 1.50::numeric(6,2), "
        "'{1,2}'::int[], interval '90 min', '\\x00ff'::bytea, 'fine'::mood, 'x'::varchar(9), 'ü'",
        RunOptions("postgres"),
    )
    assert outcome.error is None
    assert outcome.rows == (("t", None, "1.50", "{1,2}", "01:30:00", "\\x00ff", "fine", "x", "ü"),)
    assert outcome.columns is not None
    assert [column.type for column in outcome.columns] == [
        "boolean",
        "integer",
        "numeric(6,2)",
        "integer[]",
        "interval",
        "bytea",
        "mood",
        "character varying(9)",
        "text",
    ]


def test_the_last_rows_are_shown_whatever_follows(database: Database) -> None:
    outcome = run_as_editor(
        database, "select 1 as a; select 2 as b; update item set name = 'x'", RunOptions("postgres")
    )
    assert (outcome.columns, outcome.rows) == ((Column("b", "integer"),), (("2",),))
    assert outcome.tag == "UPDATE 2"
    assert _count(database) == 2
    empty = run_as_editor(database, "-- nothing", RunOptions("postgres"))
    assert (empty.columns, empty.rows, empty.tag, empty.error) == (None, (), "", None)


def test_several_statements_are_one_transaction(database: Database) -> None:
    outcome = run_as_editor(
        database, "insert into item (name) values ('gone'); select 1 / 0", RunOptions("postgres")
    )
    assert outcome.error is not None
    assert outcome.error.sqlstate == "22012"
    assert _count(database) == 2


def test_a_lone_committing_call_works_and_not_after_another_statement(database: Database) -> None:
    alone = run_as_editor(
        database, "-- by hand\ncall public.add_committing('third');", RunOptions("postgres")
    )
    assert (alone.error, alone.tag) == (None, "CALL")
    assert _count(database) == 3
    after = run_as_editor(database, "select 1; call add_committing('no')", RunOptions("postgres"))
    assert after.error is not None
    assert after.error.sqlstate == "2D000"
    assert _count(database) == 3


def test_session_locks_and_settings_vanish(database: Database) -> None:
    first = run_as_editor(
        database, "set work_mem = '7MB'; select pg_try_advisory_lock(7)", RunOptions("postgres")
    )
    assert first.rows == (("t",),)
    second = run_as_editor(
        database,
        "select count(*), current_setting('work_mem') from pg_locks where locktype = 'advisory' "
        "and database = (select oid from pg_database where datname = current_database())",
        RunOptions("postgres"),
    )
    assert second.rows == (("0", "5MB"),)


def test_a_block_that_changes_the_encoding_has_its_own_texts(database: Database) -> None:
    for encoding in ("LATIN1", "WIN1252", "EUC_JP", "SQL_ASCII", "UTF8"):
        letter = "あ" if encoding == "EUC_JP" else "é"
        sql = f"set client_encoding = '{encoding}'; select '{letter}' \"{letter}\", 0::regclass r"
        outcome = run_as_editor(database, sql, RunOptions("postgres"), watched=True)
        assert outcome.rows == ((letter, "-"),)
        assert outcome.columns == (Column(letter, "text"), Column("r", "regclass"))
        assert outcome.danger is not None


def test_what_nobody_looks_at_takes_no_room(database: Database) -> None:
    many = "select g, g::text from generate_series(1, 300000) g limit 300000"
    outcome = run_as_editor(database, many, RunOptions("postgres"))
    assert len(outcome.rows) == 300_000
    assert not isinstance(outcome.rows, tuple)
    assert outcome.rows[-1] == ("300000", "300000")
    assert list(outcome.rows[1:3]) == [("2", "2"), ("3", "3")]
    loud = "do $$ begin for i in 1..20000 loop raise notice '%', i; end loop; end $$"
    assert len(run_as_editor(database, loud, RunOptions("postgres")).notices) == 1000


def test_an_error_has_its_place_and_words(database: Database) -> None:
    outcome = run_as_editor(database, "select 'ü';\nselect nam from item", RunOptions("postgres"))
    error = outcome.error
    assert error is not None
    assert (error.sqlstate, error.offset) == ("42703", len("select 'ü';\nselect "))
    assert error.hint is not None
    assert "item.name" in error.hint
    thrown = run_as_editor(
        database,
        "do $$ begin raise notice 'first'; raise exception using errcode = 'P9999', "
        "message = 'no', detail = 'why', hint = 'how'; end $$",
        RunOptions("postgres"),
    )
    assert thrown.notices == ("NOTICE:  first",)
    assert thrown.error is not None
    assert (
        thrown.error.sqlstate,
        thrown.error.message,
        thrown.error.detail,
        thrown.error.hint,
    ) == (
        "P9999",
        "no",
        "why",
        "how",
    )
    assert thrown.error.context is not None
    # The server gives no position: the statement that failed.
    later = run_as_editor(database, "select 1;\n  select 1 / 0;\nselect 2", RunOptions("postgres"))
    assert later.error is not None
    assert later.error.offset == len("select 1;\n  ")


def test_a_run_that_takes_too_long_is_cancelled_on_the_server(
    template: Template, database: Database, shared: Database
) -> None:
    for outcome in (
        run_as_editor(database, "select pg_sleep(60)", RunOptions("postgres", timeout=0.2)),
        run_isolated(template, shared, "select pg_sleep(60)", RunOptions("postgres", timeout=0.2)),
    ):
        assert outcome.error is not None
        assert outcome.error.sqlstate == "57014"
        assert "0.2 s" in outcome.error.message
        assert outcome.seconds < 30
    with database.server.connect(database.name) as admin:
        assert admin.execute(
            "select count(*) from pg_stat_activity "
            "where query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()"
        ).fetchone() == (0,)


def test_a_limit_of_the_server_keeps_its_own_words(database: Database) -> None:
    outcome = run_as_editor(
        database, "set statement_timeout = '50ms'; select pg_sleep(60)", RunOptions("postgres")
    )
    assert outcome.error is not None
    assert outcome.error.message == "canceling statement due to statement timeout"


def test_a_terminated_backend_is_an_outcome(database: Database) -> None:
    found: list[Outcome] = []
    options = RunOptions("postgres")
    thread = threading.Thread(
        target=lambda: found.append(run_as_editor(database, "select pg_sleep(60)", options))
    )
    thread.start()
    with database.server.connect(database.name) as admin:
        while (
            thread.is_alive()
            and not admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where query like 'select pg_sleep(60)%' and datname = current_database()"
            ).fetchone()
        ):
            time.sleep(0.01)
    thread.join()
    assert found
    assert found[0].error is not None
    assert found[0].error.sqlstate == "57P01"
    assert run_as_editor(database, "select 1", RunOptions("postgres")).rows == (("1",),)


def test_a_server_that_dies_is_an_error_and_no_hang() -> None:
    with open_cluster(find_binaries("embedded")) as running:
        running.initialize()
        server = running.start({})
        database = Database(server, "postgres", "sql_snippets_admin")
        watching = server.connect("postgres")

        def stop() -> None:
            while not watching.execute(
                "select 1 from pg_stat_activity where query like 'select pg_sleep(600)%'"
            ).fetchone():
                time.sleep(0.01)
            running.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        outcome = run_as_editor(database, "select pg_sleep(600)", RunOptions("sql_snippets_admin"))
        thread.join()
        watching.close()
        assert outcome.error is not None
        assert outcome.error.sqlstate in {"57P01", "08006"}
        with pytest.raises(ServerUnavailable, match="Cannot log in"):
            run_as_editor(database, "select 1", RunOptions("sql_snippets_admin"))


def test_copy_is_refused_as_the_editor_cannot_do_it(database: Database) -> None:
    for sql in ("copy item to stdout", "copy item from stdin"):
        outcome = run_as_editor(database, sql, RunOptions("postgres", timeout=180))
        assert outcome.error is not None
        assert outcome.error.sqlstate == "0A000"


READS = [
    "select count(*) from item",
    "select now() = statement_timestamp() as same",
    "with found as (select 1 as a) select * from found",
    "table item",
    "values (1), (2)",
    "(select 1) union (select 2) order by 1",
    "show statement_timeout",
    "select nope from item",
    "select 1; select 1 / 0; select 3",
    "-- only a comment",
    "",
    "select 1 as a; -- end",
    "set work_mem = '6MB'; show work_mem",
]
WRITES = [
    "selec 1",
    "insert into item (name) values ('a') returning id",
    "insert into item (name) values ('a'); select count(*) from item",
    "insert into child values (99)",
    "insert into child values (99); select 1",
    "insert into child values (99); delete from child",
    "select count_one()",
    "select setval('counted', 50)",
    "truncate item restart identity",
    "create table made (a int); insert into made values (1); table made",
    "create table item (a int)",
    "drop table no_such",
    "alter table item add column more int default 3; select more from item order by id limit 1",
    "alter role postgres set work_mem = '9MB'",
    "create index concurrently on item (name)",
    "create database another",
    "comment on table item is 'said'",
    "notify somebody",
    "vacuum item",
    "call add_committing('x')",
    "call quiet_commit(); ",
    "select 1; call quiet_commit()",
    "do $$ begin commit; end $$",
    "begin; insert into item (name) values ('kept'); commit; select count(*) from item",
    "rollback",
    "savepoint s",
    "select 1; savepoint s",
    "set local work_mem = '6MB'; show work_mem",
    "set local work_mem = '6MB'",
    "lock table item",
    "declare c cursor for select 1",
    "explain (costs off) select 1",
    "select application_name, query from pg_stat_activity where pid = pg_backend_pid()",
    "select pg_advisory_lock(3); select pg_advisory_unlock(3)",
    "copy item to stdout",
    "prepare transaction 'p'",
    "set constraints all deferred; insert into child values (99)",
]


@pytest.mark.parametrize("sql", READS + WRITES)
def test_isolated_has_the_outcome_of_a_clone_and_leaves_nothing(
    template: Template, shared: Database, sql: str
) -> None:
    before = _state(shared)
    with template.clone() as fresh:
        expected = run_as_editor(fresh, sql, RunOptions("postgres"), watched=True)
    with template.server.connect(template.maintenance) as admin:
        admin.execute("drop database if exists another")
    # Twice, because what the first leaves behind would change the second.
    for _ in range(2):
        found = run_isolated(template, shared, sql, RunOptions("postgres"))
        assert _but_how(found) == _but_how(expected)
        assert found.danger is not None
        assert expected.danger is not None
        assert found.danger.level is expected.danger.level, (found.danger, expected.danger)
        with template.server.connect(template.maintenance) as admin:
            admin.execute("drop database if exists another")
    assert _state(shared) == before
    if sql in READS:
        assert found.isolation == "transaction"


def _but_how(outcome: Outcome) -> Outcome:
    return replace(outcome, seconds=0, isolation="", danger=None)


def _state(database: Database) -> object:
    with database.server.connect(database.name) as admin:
        return admin.execute(
            "select (select json_agg(item order by id) from item)::text, "
            "(select json_agg(json_build_array(seqrelid, pg_sequence_last_value(seqrelid))) "
            "from pg_sequence)::text, (select count(*) from pg_class), "
            "(select json_agg(setconfig) from pg_db_role_setting)::text"
        ).fetchone()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1; select 2;", False),
        ("select 'call x' -- call\n/* do */", False),
        ("create function f() returns int begin atomic select 1; select 2; end", False),
        ("call x()", True),
        ("select 1; /* c */ call x()", True),
        ("select n_dead_tup from pg_stat_user_tables", True),
        ("select pg_terminate_backend(1)", True),
        ("select pg_total_relation_size('item')", True),
    ],
)
def test_what_needs_a_clone(sql: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert needs_clone(sql) is expected


def test_a_role_that_cannot_log_in_is_no_outcome(database: Database) -> None:
    with pytest.raises(ServerUnavailable, match="as nobody_known"):
        run_as_editor(database, "select 1", RunOptions("nobody_known"))
