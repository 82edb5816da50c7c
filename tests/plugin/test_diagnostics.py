from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.catalog import columns_of, suggest
from sql_snippets.database.databases import Database, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.model import Failure, Location
from sql_snippets.plan import RunOptions
from sql_snippets.results.diagnostics import draw, draw_failure, github_annotation
from sql_snippets.running.editor import run_as_editor
from sql_snippets.sqltext.nearest import nearest

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


def test_nothing_that_a_server_says_reaches_a_terminal() -> None:
    said = "a\x07\x1b[31m\r\u202e\x9bm\u2028\ud800"
    failure = Failure(Location("x.md", 1), f"{said}\n- {said}", "P0001", (f"detail: {said}",))
    text = draw(["x"], failure.location, failure.message, notes=failure.notes)
    assert text.count("a\\x07\\x1B[31m\\x0D\\u202E\\x9Bm\\u2028\\uD800") == 3
    assert all(character.isprintable() or character == "\n" for character in text)
    assert all(character.isprintable() for character in github_annotation(failure))
    plain = "日本 \u200d é\t|"
    assert Failure(Location("x.md", 1), plain).message == plain


def test_what_has_no_end_is_cut() -> None:
    failure = Failure(Location("x.md", 1), "x" * 10_000_000, notes=("detail: " + "y" * 10_000_000,))
    assert len(draw([], failure.location, failure.message, notes=failure.notes)) < 11_000
    assert "(10000000 characters)" in failure.message
    assert replace(failure) == failure


def test_annotations_are_escaped() -> None:
    failure = Failure(Location("a,b:c.md", 3, 4), "50 %\nnext", "42P01", ("hint: x",))
    assert github_annotation(failure) == (
        "::error file=a%2Cb%3Ac.md,line=3,col=4::[42P01] 50 %25%0Anext%0Ahint: x"
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    cache = tmp_path_factory.mktemp("cache")
    recipe = Recipe((), (), None, "sql_snippets_admin")
    with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as clone:
        assert run_as_editor(clone, TABLES, RunOptions("sql_snippets_admin")).error is None
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
        ('select "FullName" from app.customers', '"Full Name"'),
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
    error = run_as_editor(database, sql, RunOptions("sql_snippets_admin")).error
    assert error is not None
    assert suggest(connection, error, sql) == nearest


# What was written, what it was written for, and what was meant: "-" where nothing there is.
SLIPS = """
orders_2025: orders_2024 orders_2026: -
created: created_at updated_at id: created_at
createdAt: created_at updated_at: created_at
updated_at: created_at id: -
user_id: id users_id customer_id: users_id
customer_id: id name status: -
name: names title id: names
title: name id body: -
email: mail id name: mail
total: amount id: -
status: state id placed: state
assignment: assignments runs settings: assignments
asignements: assignments runs settings: assignments
run: runs alerts: runs
items: orders customers jobs: -
documents: orders customers jobs: -
posts: ports hosts: -
posts: orders roles: -
users: orders jobs user: user
order: orders border: orders
customer: customers costumes: customers
vectors: sectors orders: sectors
my_table: orders my_tables: my_tables
test: tests rest: tests
foo: foo_bar orders: -
logs: log jobs: log
queue: queues jobs: queues
job_run_detail: job_run_details jobs: job_run_details
jobrundetails: job_run_details jobs: job_run_details
schedule: scheduled_at schedule_id: schedule_id
cron: crow from: -
id: oid uid: -
v2: v1 v3: -
anon: annon admin: annon
service_rol: service_role authenticated: service_role
autenticated: service_role authenticated: authenticated
work_men: work_mem lock_mem: work_mem
statement_timout: statement_timeout lock_timeout: statement_timeout
max_conections: max_connections max_locks: max_connections
uuid_generate_v4: gen_random_uuid uuid_send: -
gen_uuid: gen_random_uuid uuid_out: -
similarity: sin similar_escape: -
crypt: crc32 encrypt: -
now_utc: now: -
coalese: concat coalesce: coalesce
datediff: date_part dateadd: -
to_date_time: to_date to_timestamp: -
strpos: strops substr: strops
jsonb_agg_strict: jsonb_agg jsonb_object: -
gen_salt: genealt sin: -
timestampz: timestamptz timestamp: timestamptz
"""


def test_what_is_offered_is_mostly_right_and_else_nothing_is() -> None:
    right, offered, wanted = 0, [], 0
    for line in SLIPS.strip().splitlines():
        written, candidates, meant = (part.strip() for part in line.split(":"))
        found = nearest(written, candidates.split())
        wanted += meant != "-"
        if found is not None:
            right += found == meant
            offered.append((written, found, meant))
    wrong = [each for each in offered if each[1] != each[2]]
    assert len(wrong) <= 0.2 * len(offered), wrong
    assert right >= 0.8 * wanted


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("select 1; drop table public.nope", "public.nope"),
        ("/* nope */ alter table nope add x int", "nope add"),
        ("grant select on public.nope to postgres", "public.nope"),
        ("create index on nope (id)", "nope"),
        ("grant select on public.orders to nobody_here", "nobody_here"),
        ("set role nobody_here", "nobody_here"),
        ('drop view app."No View"', 'app."No View"'),
        ("drop function nope(int)", "nope"),
        ("drop schema app2", "app2"),
        ("select 1 where 'app.nope'::regclass is not null", "'app.nope'"),
        ("alter table orders drop column total", "total"),
        ("insert into orders (id, status) values (1, null)", "status"),
        ("select 1; select 1/0", "select 1/0"),
        ("do $$ begin execute 'select * from ordres'; end $$", "ordres"),
    ],
)
def test_an_unknown_name_is_shown_where_it_stands(database: Database, sql: str, place: str) -> None:
    error = run_as_editor(database, sql, RunOptions("sql_snippets_admin")).error
    assert error is not None
    assert error.offset is not None
    assert sql[error.offset :].startswith(place)


@pytest.mark.parametrize(
    "sql",
    [
        "select nothing_like_it from orders",
        "select name from orders",  # other relations have one
        "select o.id from orders as p",
        "select round(1.5::float8, 2)",  # it is there, for other types
        "select uuid_generate_v4()",
        "select * from public.items",
        "set role nobody_here",
        "drop trigger nope on orders",
    ],
)
def test_where_nothing_is_likely_nothing_is_offered(
    database: Database, connection: psycopg.Connection[tuple[object, ...]], sql: str
) -> None:
    error = run_as_editor(database, sql, RunOptions("sql_snippets_admin")).error
    assert error is not None
    assert suggest(connection, error, sql) is None


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
