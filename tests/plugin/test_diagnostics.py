from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.catalog import columns_of, suggest
from sql_snippets.database.databases import Database, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.model import Failure, Location
from sql_snippets.plan import RunOptions
from sql_snippets.results.diagnostics import draw, draw_failure, github_annotation
from sql_snippets.running.editor import run_as_editor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

SOURCE = ["# Page", "", "```sql", "select id,", "       statuss", "from orders", "```"]
TABLES = """
create schema app;
create table public.orders (id int primary key, status varchar(20) not null default 'new');
create table app.customers (id int generated always as identity, "Full Name" text);
create view app.open_orders as select * from public.orders;
create function app.count_orders() returns bigint language sql as 'select count(*) from orders';
comment on column public.orders.status is 'how far it is';
"""


def test_an_error_is_drawn_under_the_line_of_the_author() -> None:
    drawn = draw(
        SOURCE,
        Location("docs/x.md", 5, 8),
        'column "statuss" does not exist',
        sqlstate="42703",
        notes=("hint: look\nharder", 'nearest: did you mean "status"?'),
    )
    assert drawn.split("\n") == [
        'docs/x.md:5:8: error[42703]: column "statuss" does not exist',
        "  |",
        "3 | ```sql",
        "4 | select id,",
        "5 |        statuss",
        "  |        ^~~~~~~",
        "6 | from orders",
        "7 | ```",
        "  |",
        "  = hint: look",
        "          harder",
        '  = nearest: did you mean "status"?',
    ]


@pytest.mark.parametrize(
    ("line", "column", "shown", "marks"),
    [
        pytest.param("\tselect x", 9, "    select x", "           ^", id="tab"),
        pytest.param("a\tb", 3, "a   b", "    ^", id="tab-after-text"),
        pytest.param("'日本' || x", 9, "'日本' || x", "          ^", id="wide"),
        pytest.param("日本 x", 1, "日本 x", "^~~~", id="wide-word"),
        pytest.param("e\N{COMBINING ACUTE ACCENT} xy", 4, None, "  ^~", id="combining"),
        pytest.param("select", 7, "select", "      ^", id="past-the-end"),
        pytest.param("select", 99, "select", "      ^", id="far-past-the-end"),
        pytest.param("a.b_c = 1", 1, "a.b_c = 1", "^~~~~", id="qualified"),
        pytest.param("x = 1", 3, "x = 1", "  ^", id="operator"),
    ],
)
def test_the_caret_stands_below_its_word(
    line: str, column: int, shown: str | None, marks: str
) -> None:
    drawn = draw([line], Location("x.md", 1, column), "m").split("\n")
    assert drawn[2:4] == [f"1 | {line if shown is None else shown}", f"  | {marks}"]


def test_a_long_line_is_cut_around_the_caret() -> None:
    drawn = draw(["x " * 500 + "here " + "y " * 500], Location("x.md", 1, 1001), "m").split("\n")
    assert all(len(line) < 200 for line in drawn)
    caret = drawn[3].index("^")
    assert drawn[2][caret : caret + 4] == "here"


def test_numbers_of_lines_are_aligned() -> None:
    drawn = draw(["x"] * 12, Location("x.md", 9), "m").split("\n")
    assert drawn[1:6] == ["   |", " 7 | x", " 8 | x", " 9 | x", "   | ^"]


def test_a_place_outside_the_file_is_named_without_source() -> None:
    assert draw([], Location("x.md", 9), "m") == "x.md:9:1: error: m"


def test_further_lines_of_the_message_stand_below_the_source() -> None:
    assert draw(["x"], Location("x.md", 1), "m\n- a\n+ b").endswith("  |\n- a\n+ b")


def test_a_failure_is_drawn_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_bytes(b"\xef\xbb\xbfone\r\ntwo\x0cstill two\r\nthree\r\n")
    drawn = draw_failure(tmp_path, Failure(Location("x.md", 2, 5), "m", "42P01"))
    assert drawn.split("\n")[:4] == [
        "x.md:2:5: error[42P01]: m",
        "  |",
        "1 | one",
        drawn.split("\n")[3],
    ]
    assert "3 | three" in drawn
    assert "\r" not in drawn
    assert draw_failure(tmp_path, Failure(Location("no.md", 1), "m")) == "no.md:1:1: error: m"


def test_annotations_are_escaped() -> None:
    failure = Failure(Location("a,b:c.md", 3, 4), "50 %\nnext", "42P01", ("hint: x",))
    assert github_annotation(failure) == (
        "::error file=a%2Cb%3Ac.md,line=3,col=4::[42P01] 50 %25%0Anext%0Ahint: x"
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    cache = tmp_path_factory.mktemp("cache")
    recipe = Recipe((), (), None, "supabase_admin")
    with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as clone:
        assert run_as_editor(clone, TABLES, RunOptions("supabase_admin")).error is None
        yield clone


@pytest.fixture
def connection(
    database: Database,
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with database.connect() as session:
        yield session


@pytest.mark.parametrize(
    ("sql", "nearest"),
    [
        ("select statuss from orders", "status"),
        ("select o.statuss from orders o", "status"),
        ("update orders set sttus = 1", "status"),
        ('select "FullName" from app.customers', "Full Name"),
        ("select * from ordres", "orders"),
        ("select * from app.custmers", "app.customers"),
        ("select * from public.custmers", "app.customers"),
        ("select * from appp.customers", "app.customers"),
        ("select * from customers", "app.customers"),
        ("select app.count_order()", "app.count_orders"),
        ("select cuont(*) from orders", "count"),
        ("create table apq.x (i int)", "app"),
        ("select 1::integr", "integer"),
        ("select * from qqqqqqqq", None),
        ("select 1/0", None),
        ("do $$ begin execute 'select * from ordres'; end $$", "orders"),
    ],
)
def test_the_nearest_name(
    database: Database,
    connection: psycopg.Connection[tuple[object, ...]],
    sql: str,
    nearest: str | None,
) -> None:
    error = run_as_editor(database, sql, RunOptions("supabase_admin")).error
    assert error is not None
    assert suggest(connection, error, sql) == nearest


def test_columns_come_in_the_order_of_the_catalog(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    columns = columns_of(connection, "public.orders")
    assert columns is not None
    assert [(c.name, c.type, c.nullable, c.default, c.comment) for c in columns] == [
        ("id", "integer", False, None, None),
        ("status", "character varying(20)", False, "'new'::character varying", "how far it is"),
    ]
    assert columns_of(connection, "orders") == columns
    assert [c.name for c in columns_of(connection, "app.open_orders") or ()] == ["id", "status"]
    assert columns_of(connection, "app.customers") is not None
    assert columns_of(connection, "customers") is None
    assert columns_of(connection, "a.b.c") is None
