"""Statements of known danger, each run as a block of a page is run, on every lane."""

from __future__ import annotations

import re
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from sql_snippets.database.databases import Database, Template, open_template
from sql_snippets.judging.marks import contradiction
from sql_snippets.model import Danger, Mark, Outcome
from sql_snippets.plan import RunOptions
from sql_snippets.running.danger import Facts, Lock, Relation, RowCounts, Told, danger_of
from sql_snippets.running.editor import run_as_editor, run_isolated
from tests.plugin.small_recipe import require, write_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
# What goes along with a change of an object: locks, indexes, catalogs, the word of the server.
_ALONG = re.compile(
    r"\w+Lock on .+|alter of .+|index .+ built again|change of catalog pg_auth\w+"
    r"|sequence cron\.\w+ moved|maintenance \(.+\)"
)
_HEAD = re.compile(r"-- (name|danger|with|role|error): (.*)")


@dataclass(frozen=True, slots=True)
class Case:
    """One statement of the corpus."""

    name: str
    sql: str
    level: Mark
    seen: tuple[str, ...] = ()
    beside: str | None = None
    role: str = "postgres"
    error: str | None = None


def _read(text: str) -> Iterator[Case]:
    for entry in re.split(r"^(?=-- name: )", text, flags=re.MULTILINE)[1:]:
        lines = entry.splitlines()
        head: dict[str, str] = {}
        while match := _HEAD.fullmatch(lines[0]):
            head[match[1]] = match[2]
            lines.pop(0)
        level, _, seen = head["danger"].partition(": ")
        sql = "\n".join(line for line in lines if not line.startswith("-- == ")).strip()
        yield Case(
            name=head["name"],
            sql=sql,
            level=Mark(level),
            seen=tuple(seen.split("; ")) if seen else (),
            beside=head.get("with"),
            role=head.get("role", "postgres"),
            error=head.get("error"),
        )


CASES = list(_read((HERE / "danger_corpus.sql").read_text(encoding="utf-8")))


def test_the_corpus_is_large_and_has_every_level() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    for level in Mark:
        assert sum(case.level is level for case in CASES) >= 20


ORDERS = Relation(1, "public", "orders", "r")
LINES = Relation(2, "public", "lines", "r")
VIEW = Relation(3, "public", "open_orders", "m")
INDEX = Relation(4, "public", "orders_pkey", "i")
TICKET = Relation(5, "public", "ticket", "S")


def _catalog(name: str) -> Relation:
    return Relation(9, "pg_catalog", name, "r")


# All that can be seen of a run, each by itself, and what is said of it.
EFFECTS: list[tuple[Facts, list[str]]] = [
    (Facts(), []),
    (Facts(("SELECT 1",)), []),
    (Facts(sessions_ended=1), ["STOP: work of another session ended"]),
    (Facts(sessions_ended=2), ["STOP: work of 2 other sessions ended"]),
    (Facts(sessions_cancelled=1), ["STOP: work of another session cancelled"]),
    (Facts(sessions_cancelled=3), ["STOP: work of 3 other sessions cancelled"]),
    (
        Facts(counts=(RowCounts(ORDERS, 1, 2, 3), RowCounts(LINES, 4))),
        [
            "STOP: delete from public.orders (3 rows)",
            "WRITE: update of public.orders (2 rows)",
            "WRITE: insert into public.orders (1 row)",
            "WRITE: insert into public.lines (4 rows)",
        ],
    ),
    (Facts(counts=(RowCounts(VIEW, 0, 0, 5),)), ["WRITE: delete from public.open_orders (5 rows)"]),
    (Facts(counts=(RowCounts(ORDERS, 1, 2, 3),), new=frozenset({1})), []),
    (Facts(replaced=(ORDERS,)), ["STOP: truncate or rewrite of public.orders"]),
    (Facts(replaced=(ORDERS,), new=frozenset({1})), []),
    (
        Facts(replaced=(VIEW, INDEX, TICKET)),
        [
            "WRITE: refresh of public.open_orders",
            "WRITE: index public.orders_pkey built again",
            "WRITE: sequence public.ticket moved",
        ],
    ),
    (
        Facts(
            dropped=("index public.i", "table public.a", "table public.b"),
            created=("type public.c", "table public.c"),
            altered=("table public.d",),
        ),
        [
            "STOP: drop of table public.a",
            "STOP: drop of table public.b",
            "WRITE: create of table public.c",
        ],
    ),
    (Facts(dropped=("index public.i",)), ["STOP: drop of index public.i"]),
    (
        Facts(altered=("table a.b", "view c.d")),
        ["WRITE: alter of table a.b", "WRITE: alter of view c.d"],
    ),
    (
        Facts(counts=(RowCounts(_catalog("pg_class"), 1), RowCounts(_catalog("pg_depend"), 1))),
        [],
    ),
    (
        Facts(counts=(RowCounts(_catalog("pg_db_role_setting"), 1),)),
        ["WRITE: configuration of a role or database changed"],
    ),
    (
        Facts(counts=(RowCounts(_catalog("pg_largeobject_metadata"), 0, 0, 1),)),
        ["STOP: delete of a large object"],
    ),
    (
        Facts(counts=(RowCounts(_catalog("pg_largeobject"), 0, 0, 1),)),
        ["WRITE: change of a large object"],
    ),
    (Facts(counts=(RowCounts(_catalog("pg_authid"), 1),)), ["WRITE: change of catalog pg_authid"]),
    (
        Facts(("VACUUM", "ALTER SYSTEM", "COPY 3", "DROP DATABASE", "CREATE DATABASE")),
        [
            "STOP: DROP DATABASE",
            "WRITE: maintenance (VACUUM)",
            "WRITE: configuration of the server changed",
            "WRITE: file or program of the server used (COPY)",
            "WRITE: CREATE DATABASE",
        ],
    ),
    (Facts(advisory_locks=1), ["WRITE: advisory lock held"]),
    (
        Facts(("SELECT 1",), locks=(Lock(ORDERS, "RowShareLock"), Lock(INDEX, "RowShareLock"))),
        ["WRITE: lock on rows of public.orders"],
    ),
    (Facts(("EXPLAIN",), locks=(Lock(ORDERS, "RowShareLock"),)), []),
    (
        Facts(("EXPLAIN",), locks=(Lock(ORDERS, "RowShareLock"),), executed_plan=True),
        ["WRITE: lock on rows of public.orders"],
    ),
    (
        Facts(("UPDATE 0",), locks=(Lock(ORDERS, "RowExclusiveLock"),)),
        ["WRITE: write to public.orders that found no row to change"],
    ),
    (
        Facts(("DELETE 0",), locks=(Lock(ORDERS, "RowExclusiveLock"),)),
        ["STOP: delete from public.orders that found no row to change"],
    ),
    (
        Facts(
            ("UPDATE 1",),
            counts=(RowCounts(ORDERS, 0, 1),),
            locks=(Lock(ORDERS, "RowExclusiveLock"), Lock(LINES, "ShareLock")),
        ),
        ["WRITE: update of public.orders (1 row)", "WRITE: ShareLock on public.lines"],
    ),
    (Facts(("SELECT 1",), locks=(Lock(TICKET, "x"),)), ["WRITE: sequence public.ticket moved"]),
    (Facts(sequences=("a.b", "c.d")), ["WRITE: sequence a.b moved", "WRITE: sequence c.d moved"]),
    (Facts(notified=True), ["WRITE: notification queued"]),
    (Facts(reloaded=True), ["WRITE: configuration of the server reloaded"]),
    (Facts(took_xid=True), ["WRITE: transaction id taken"]),
]


def test_every_effect_is_said_and_no_other() -> None:
    for facts, effects in EFFECTS:
        danger = danger_of(facts, {}, Told())
        levels = [Mark(effect.partition(": ")[0]) for effect in effects]
        assert danger.seen == tuple(effect.partition(": ")[2] for effect in effects), facts
        assert danger.level is (levels[0] if levels else Mark.READ), facts


def test_no_effect_hides_another() -> None:
    together = Facts(
        tags=("VACUUM", "ALTER SYSTEM", "COPY 3", "DROP DATABASE", "CREATE DATABASE"),
        counts=(RowCounts(ORDERS, 1, 2, 3),),
        locks=(Lock(LINES, "AccessExclusiveLock"), Lock(TICKET, "x")),
        advisory_locks=1,
        replaced=(LINES,),
        created=("view public.v",),
        dropped=("view public.w",),
        sequences=("public.other",),
        sessions_ended=1,
        sessions_cancelled=1,
        notified=True,
        reloaded=True,
    )
    seen = danger_of(together, {str(ORDERS): "a message queued"}, Told()).seen
    assert set(seen) == {
        "work of another session ended",
        "work of another session cancelled",
        "a message queued (public.orders, 6 rows)",
        "truncate or rewrite of public.lines",
        "drop of view public.w",
        "create of view public.v",
        "DROP DATABASE",
        "maintenance (VACUUM)",
        "configuration of the server changed",
        "file or program of the server used (COPY)",
        "CREATE DATABASE",
        "advisory lock held",
        "AccessExclusiveLock on public.lines",
        "sequence public.ticket moved",
        "sequence public.other moved",
        "notification queued",
        "configuration of the server reloaded",
    }
    assert len(seen) == len(set(seen))


@pytest.fixture(scope="module", params=["embedded", "system"])
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Template]:
    require(request.param)
    folder = tmp_path_factory.mktemp("danger")
    schema = (HERE / "danger_schema.sql").read_text(encoding="utf-8")
    recipe = write_recipe(folder / "recipe", **{"3_danger": schema})
    with open_template(request.param, recipe, cache_dir=folder / "cache") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Database]:
    with template.clone() as clone:
        yield clone


@contextmanager
def sleeper(database: Database) -> Iterator[None]:
    """Have another session at work in the database."""

    def sleep() -> None:
        with pytest.raises(psycopg.Error), session:
            session.execute("select pg_sleep(60)")

    session = database.connect("postgres", "sleeper")
    thread = threading.Thread(target=sleep)
    thread.start()
    with database.server.connect(database.name) as admin:
        while not admin.execute(
            "select 1 from pg_stat_activity where query ~ 'pg_sleep' and state = 'active' "
            "and application_name = 'sleeper'"
        ).fetchone():
            time.sleep(0.01)
        try:
            yield
        finally:
            session.cancel_safe()
            thread.join()


def _beside(case: Case, database: Database) -> AbstractContextManager[None]:
    return sleeper(database) if case.beside == "sleeper" else nullcontext()


def _check(case: Case, outcome: Outcome) -> None:
    assert (outcome.error.sqlstate if outcome.error else None) == case.error, outcome.error
    assert outcome.danger is not None
    assert outcome.danger.level is case.level, outcome.danger
    seen = set(outcome.danger.seen)
    assert set(case.seen) <= seen, outcome.danger
    if case.level is Mark.READ:
        assert not seen, outcome.danger
    assert all(_ALONG.fullmatch(text) for text in seen - set(case.seen)), outcome.danger


def test_looking_waits_for_no_lock_of_an_incident(template: Template) -> None:
    with (
        template.clone() as database,
        database.connect("postgres", autocommit=False) as incident,
    ):
        incident.execute("lock table orders; alter sequence ticket increment 2")
        outcome = run_as_editor(database, "select 1", RunOptions("postgres"), watched=True)
        incident.rollback()
    assert outcome.danger == Danger(Mark.READ)


def test_what_others_write_meanwhile_is_not_the_blocks(template: Template) -> None:
    with template.clone() as database:
        stop = threading.Event()

        def write() -> None:
            with database.connect("postgres") as other:
                while not stop.is_set():
                    other.execute("insert into history (what) values ('other')")
                    other.execute("delete from history; select pg_stat_force_next_flush()")

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for sql, level in (("call only_looks()", Mark.READ), ("call appends()", Mark.WRITE)):
                outcome = run_as_editor(database, sql, RunOptions("postgres"), watched=True)
                assert outcome.danger is not None
                assert outcome.danger.level is level, outcome.danger
        finally:
            stop.set()
            thread.join()


def test_relations_are_named_as_what_their_rows_order(template: Template, shared: Database) -> None:
    options = RunOptions("postgres", effects={"public.lines": "print ordered"})
    for outcome in (
        run_isolated(template, shared, "delete from lines", options),
        run_isolated(
            template,
            shared,
            "do 'begin delete from lines; end'",
            options,
        ),
    ):
        assert outcome.danger == Danger(Mark.WRITE, ("print ordered (public.lines, 2 rows)",))


@pytest.mark.parametrize(
    ("mark", "danger", "failed", "message"),
    [
        (Mark.READ, Danger(Mark.READ), False, None),
        (
            Mark.READ,
            Danger(Mark.WRITE, ("update of a.b (3 rows)",)),
            False,
            "the page says READ, but the run wrote: update of a.b (3 rows)",
        ),
        (
            Mark.WRITE,
            Danger(Mark.STOP, ("a", "b", "c", "d", "e", "f")),
            False,
            "the page says WRITE, but the run can lose work: a, b, c, d and 2 more",
        ),
        (
            Mark.STOP,
            Danger(Mark.WRITE, ("insert into a.b (1 row)",)),
            False,
            "the page says STOP, but nothing worse than WRITE was seen: insert into a.b (1 row)",
        ),
        (
            Mark.WRITE,
            Danger(Mark.READ),
            False,
            (
                "the page says WRITE, but nothing worse than READ was seen: "
                "the run changed nothing and held no lock"
            ),
        ),
        (Mark.STOP, Danger(Mark.READ), True, None),
        (
            Mark.READ,
            Danger(Mark.WRITE, ("x",)),
            True,
            "the page says READ, but the run wrote: x",
        ),
    ],
)
def test_what_a_wrong_mark_is_told(
    *, mark: Mark, danger: Danger, failed: bool, message: str | None
) -> None:
    assert contradiction(mark, danger, failed=failed) == message


@pytest.mark.parametrize("case", [c for c in CASES if not c.beside], ids=lambda case: case.name)
def test_danger_as_a_block_is_run(template: Template, shared: Database, case: Case) -> None:
    # Twice, because what the first leaves behind would change the second.
    for _ in range(2):
        _check(case, run_isolated(template, shared, case.sql, RunOptions(case.role)))


# Only the database around it differs from a block by itself: what is seen of a run is tried on
# every lane above.
@pytest.mark.parametrize("template", ["embedded"], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_danger_with_an_incident(template: Template, case: Case) -> None:
    with template.clone() as database, _beside(case, database):
        _check(case, run_as_editor(database, case.sql, RunOptions(case.role), watched=True))
