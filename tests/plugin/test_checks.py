from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.databases import Database, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.evidence import Answer, NamesFound
from sql_snippets.judging.checks import check_snippet, row_count
from sql_snippets.judging.facts import check_facts
from sql_snippets.judging.identifiers import Mentions, check_identifiers, names_on
from sql_snippets.judging.tables import check_table
from sql_snippets.model import (
    BoundTable,
    CellValue,
    Claims,
    Column,
    Danger,
    ExpectedOutput,
    Fact,
    FactsTable,
    Failure,
    InlineCode,
    LineOrigin,
    Location,
    Mark,
    Outcome,
    Page,
    ServerError,
    Snippet,
    Span,
    Step,
    TableRow,
    ValueKind,
)
from sql_snippets.plan import RunOptions
from sql_snippets.running.asking import ask_relation
from sql_snippets.running.editor import run_as_editor

if TYPE_CHECKING:
    from collections.abc import Iterator

SQL = "select one\nfrom two;"
ORIGINS = (
    LineOrigin("x.md", 11, tuple(range(5, 16))),
    LineOrigin("x.md", 12, tuple(range(5, 16))),
)
TABLES = """
create table public.item (
  id int generated always as identity,
  name varchar(20) not null default 'new',
  price numeric(10, 2),
  bare text
);
comment on column public.item.id is 'Number';
comment on column public.item.name is 'What it is
called';
comment on column public.item.price is 'In `EUR`';
create table public."oddTable" ("userId" int);
create table public."odd Table" (
  "a|b" text default 'x|y', j jsonb default '{"a": [1]}', list text[] default '{}',
  cut text default 'p|q', said timestamptz default now()
);
"""


def _snippet(claims: Claims | None = None) -> Snippet:
    return Snippet("x.md", "s", "n", SQL, ORIGINS, Location("x.md", 10), 13, claims or Claims())


def _error(sqlstate: str, offset: int | None = 16, nearest: str | None = None) -> Outcome:
    error = ServerError(sqlstate, "no", detail="d", hint="h", offset=offset, nearest=nearest)
    return Outcome(None, (), "", error, (), 0.1, "clone")


def _rows(*values: str | None, name: str = "resolved", type_: str = "boolean") -> Outcome:
    rows = tuple((value,) for value in values)
    return Outcome((Column(name, type_),), rows, f"SELECT {len(rows)}", None, (), 0.1, "clone")


NOTHING = "the run changed nothing and held no lock"
DONE = Outcome(None, (), "UPDATE 2", None, (), 0.1, "clone")


def _messages(failures: list[Failure]) -> list[str]:
    return [failure.message for failure in failures]


def test_an_error_is_a_failure_at_its_place() -> None:
    (failure,) = check_snippet(_snippet(), _error("42P01", nearest="three"))
    assert failure == Failure(
        Location("x.md", 12, 10),
        "no",
        "42P01",
        ("detail: d", "hint: h", 'nearest: did you mean "three"?'),
    )


def test_an_error_without_a_place_is_at_the_first_line() -> None:
    (failure,) = check_snippet(_snippet(), _error("P0001", None))
    assert failure.location == Location("x.md", 11, 5)


@pytest.mark.parametrize(
    ("claims", "outcome", "messages"),
    [
        (Claims(), DONE, []),
        (Claims(mark=Mark.READ), replace(DONE, danger=Danger(Mark.READ)), []),
        (
            Claims(mark=Mark.READ),
            replace(DONE, danger=Danger(Mark.WRITE, ("insert into a.b (1 row)",))),
            ["the page says READ, but the run wrote: insert into a.b (1 row)"],
        ),
        (
            Claims(mark=Mark.STOP),
            replace(DONE, danger=Danger(Mark.WRITE, ("a", "b", "c", "d", "e"))),
            ["the page says STOP, but nothing worse than WRITE was seen: a, b, c, d and 1 more"],
        ),
        (
            Claims(mark=Mark.WRITE),
            replace(DONE, danger=Danger(Mark.READ)),
            [f"the page says WRITE, but nothing worse than READ was seen: {NOTHING}"],
        ),
        # One thing that is wrong hides no other.
        (
            Claims(mark=Mark.READ, rows=1),
            replace(DONE, danger=Danger(Mark.STOP, ("delete from a.b (2 rows)",))),
            [
                "the page says rows=1, there are 2",
                "the page says READ, but the run can lose work: delete from a.b (2 rows)",
            ],
        ),
        (
            Claims(mark=Mark.READ, step=Step.CONFIRM),
            replace(_rows(), danger=Danger(Mark.WRITE, ("lock on rows of a.b",))),
            [
                "the page says READ, but the run wrote: lock on rows of a.b",
                "step=confirm must return at least 1 row with the incident; it returned 0",
            ],
        ),
        (Claims(mark=Mark.WRITE), replace(_error("42P01"), danger=Danger(Mark.READ)), ["no"]),
        (
            Claims(mark=Mark.WRITE, error="42P01"),
            replace(_error("42P01"), danger=Danger(Mark.READ)),
            [],
        ),
        (Claims(), _error("57014"), ['block "n" was stopped: no']),
        (Claims(error="42P01"), _error("42P01"), []),
        (
            Claims(error="42P01"),
            _error("42703"),
            ["the page says error=42P01, the error is 42703: no"],
        ),
        (
            Claims(error="42P01"),
            DONE,
            ["the page says error=42P01, but the block ran without an error"],
        ),
        (Claims(rows=2), DONE, []),
        (Claims(rows=1), DONE, ["the page says rows=1, there are 2"]),
        (Claims(rows=0), replace(DONE, tag="CALL"), ["the page says rows=0, CALL has no rows"]),
        (Claims(rows=1), _rows("t"), []),
        (Claims(rows=0), _rows(), []),
        (Claims(rows=0), _rows("t"), ["the page says rows=0, there are 1"]),
        (Claims(step=Step.CONFIRM), _rows("t"), []),
        (
            Claims(step=Step.CONFIRM),
            _rows(),
            ["step=confirm must return at least 1 row with the incident; it returned 0"],
        ),
        (Claims(step=Step.CONFIRM), DONE, ["step=confirm must return rows; this returns none"]),
        (Claims(step=Step.RESOLVE), DONE, []),
        (Claims(step=Step.RESOLVE), _error("42501"), ["no"]),
        (Claims(step=Step.VERIFY), _rows("f"), []),
        (
            Claims(step=Step.VERIFY),
            _rows("t"),
            ["step=verify must say resolved = false while the incident is there; it says true"],
        ),
        (
            Claims(step=Step.VERIFY),
            _rows(None),
            ["step=verify must say resolved = false while the incident is there; it says null"],
        ),
        (
            Claims(step=Step.VERIFY),
            _rows("f", "f"),
            ["step=verify must return exactly 1 row; it returned 2"],
        ),
        (
            Claims(step=Step.VERIFY),
            _rows(),
            ["step=verify must return exactly 1 row; it returned 0"],
        ),
        (
            Claims(step=Step.VERIFY),
            _rows("f", type_="text"),
            ['step=verify: column "resolved" is text, not boolean'],
        ),
        (
            Claims(step=Step.VERIFY),
            _rows("f", name="done"),
            ['step=verify must return a boolean column "resolved"; the columns are done'],
        ),
        (
            Claims(step=Step.VERIFY),
            DONE,
            ['step=verify must return a boolean column "resolved"; there are no columns'],
        ),
    ],
)
def test_claims(claims: Claims, outcome: Outcome, messages: list[str]) -> None:
    assert _messages(check_snippet(_snippet(claims), outcome)) == messages


def test_output_is_a_failure_at_the_output() -> None:
    place = Location("x.md", 16, 1)
    shown = ExpectedOutput(" resolved\n----------\n t\n(1 row)", place, 19)
    assert check_snippet(_snippet(Claims(output=shown)), _rows("t")) == []
    (failure,) = check_snippet(_snippet(Claims(output=shown)), _rows("f"))
    assert failure.location == replace(place, line=18)
    assert failure.notes == ()
    drawing = replace(shown, text="resolved -> done")
    (failure,) = check_snippet(_snippet(Claims(output=drawing)), _rows("f"))
    assert "put a heading between them" in failure.notes[0]
    # Below a verification stands what it says after the fix.
    assert check_snippet(_snippet(Claims(output=shown, step=Step.VERIFY)), _rows("f")) == []


def test_rows_of_a_tag() -> None:
    assert row_count(replace(DONE, tag="INSERT 0 3")) == 3
    assert row_count(replace(DONE, tag="CREATE TABLE")) is None


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    cache = tmp_path_factory.mktemp("cache")
    recipe = Recipe((), (), None, "sql_snippets_admin")
    with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as clone:
        assert run_as_editor(clone, TABLES, RunOptions("sql_snippets_admin")).error is None
        yield clone


def _table(text: str, relation: str = "public.item") -> BoundTable:
    lines = [
        tuple(cell.strip() for cell in line.strip().split("|")) for line in text.strip().split("\n")
    ]
    rows = tuple(TableRow(Location("x.md", 22 + i), cells) for i, cells in enumerate(lines[1:]))
    return BoundTable("x.md", "s", relation, relation, lines[0], rows, Location("x.md", 20))


def _failures(text: str, database: Database, relation: str = "public.item") -> list[Failure]:
    return check_table(_table(text, relation), ask_relation(database, relation))


RIGHT = """
Column | Type                  | Null | Default                      | Purpose
id     | integer               | no   | generated always as identity | Number
name   | character varying(20) | No   | 'new'::character varying     | What it is called
price  | numeric(10,2)         | YES  |                              | In EUR
"""
BARE = "bare | text | yes | | "


@pytest.mark.parametrize(
    "text",
    [
        "Column\nid\nname\nprice\nbare",
        "name | TYPE\nid | integer\nname | character varying(20)\nprice | numeric(10,2)\nbare|text",
        (
            "Type | Column | nullable\ninteger|id|no\ncharacter varying(20)|name|no\n"
            "numeric(10,2)|price|yes\ntext|bare|yes"
        ),
        RIGHT.replace("Purpose", "")
        .replace("| Number", "")
        .replace("| What it is called", "")
        .replace("| In EUR", "")
        .replace("Default                      | ", "Default")
        + "bare | text | yes |",
    ],
)
def test_tables_that_are_right(database: Database, text: str) -> None:
    assert _failures(text, database) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "integer ",
            "bigint ",
            22,
            'column "id": the page says type "bigint", the database has "integer"',
        ),
        ("| no ", "| yes ", 22, 'column "id": the page says nullable yes, the database says no'),
        (
            "| YES",
            "| maybe",
            24,
            'column "price": nullable is "maybe"; write yes or no (here: yes)',
        ),
        ("'new'::", "'old'::", 23, 'column "name": the page says default'),
        (
            "| Number",
            "| Name",
            22,
            'column "id": the text is not the column\'s COMMENT\n  - Name\n  + Number',
        ),
        # What differs by a capital letter differs.
        ("integer ", "Integer ", 22, 'column "id": the page says type "Integer"'),
        ("'new'::", "'NEW'::", 23, 'column "name": the page says default'),
        ("| Number", "| number", 22, 'column "id": the text is not the column\'s COMMENT'),
        ("\nid ", "\nID ", 22, 'public.item has no column "ID"'),
        ("\nid ", "\nid2 ", 22, 'public.item has no column "id2"; did you mean "id"?'),
        ("\nprice ", "\nzzz ", 24, 'public.item has no column "zzz"'),
        ("\nprice ", "\nname ", 24, 'column "name" is listed twice'),
    ],
)
def test_a_wrong_row_is_a_failure_at_its_line(
    database: Database, old: str, new: str, line: int, message: str
) -> None:
    assert RIGHT.count(old) >= 1
    failures = _failures(RIGHT.replace(old, new, 1), database)
    assert any(f.location.line == line and f.message.startswith(message) for f in failures)


def test_a_missing_column_is_a_failure_at_the_last_line(database: Database) -> None:
    assert _failures(RIGHT, database) == [
        Failure(Location("x.md", 24), 'the table does not list column "bare" (text)')
    ]


def test_a_column_without_a_comment_has_nothing_to_compare_with(database: Database) -> None:
    assert _messages(_failures(RIGHT + BARE, database)) == [
        'column "bare": the column has no COMMENT in the database to compare the text with'
    ]


def test_order(database: Database) -> None:
    (failure,) = _failures("Column\nid\nprice\nname\nbare", database)
    assert failure.location.line == 23
    assert failure.message.startswith('column "price" is where public.item has "name"')


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Type", "the table has no column named Column or Name"),
        ("Column | Tpye", 'a column "Tpye" of the table cannot be checked; did you mean "Type"?'),
        ("Column | Name", 'column "Name" says the same as "Column"'),
    ],
)
def test_headers(database: Database, header: str, message: str) -> None:
    (failure,) = _failures(f"{header}\nid | id", database)
    assert failure.location.line == 20
    assert failure.message.startswith(message)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("public.oddTable", 'public."oddTable"'),
        ('public."odd Tabel"', 'public."odd Table"'),
        ("Public.items", '"public.item"'),
    ],
)
def test_a_relation_is_offered_as_sql_writes_it(
    database: Database, written: str, meant: str
) -> None:
    (failure,) = _failures(RIGHT, database, written)
    assert failure.message.endswith(f"; did you mean {meant}?")


def test_what_a_cell_can_hold_is_written_and_the_rest_is_left_to_people(
    database: Database,
) -> None:
    written = [("a|b", "`x`"), ("j", "`x`"), ("list", "x"), ("cut", "x"), ("said", "y")]
    rows = []
    for number, (name, default) in enumerate(written):
        start = Location("x.md", 22 + number, 9)
        span = Span(start, 9 + len(default), default)
        cells = (name.replace("|", "\\|"), default.strip("`"))
        rows.append(TableRow(replace(start, column=1), cells, (None, span)))
    table = BoundTable(
        *("x.md", "s", "t", 'public."odd Table"'),
        ("Column", "Default"),
        tuple(rows),
        Location("x.md", 20),
    )
    failures = check_table(table, ask_relation(database, table.relation))
    new = [[fix.new for fix in failure.fixes] for failure in failures]
    assert new == [[], ["`'{\"a\": [1]}'::jsonb`"], ["`'{}'::text[]`"], [], ["now()"]]
    assert [bool(failure.notes) for failure in failures] == [not fixes for fixes in new]


def test_a_relation_that_does_not_exist(database: Database) -> None:
    assert _failures(RIGHT, database, "public.itme") == [
        Failure(
            Location("x.md", 20), 'there is no relation "public.itme"; did you mean "public.item"?'
        )
    ]


FACT = Fact("Limit", "select 1", Location("f.sql", 3))


def _facts(answer: Answer, *values: str) -> list[str]:
    cells = tuple(CellValue(ValueKind.CODE, value) for value in values)
    label = CellValue(ValueKind.TEXT, "Limit")
    row = TableRow(Location("x.md", 22), ("Limit", *values), values=((label,), cells))
    where = ("x.md", "s", "facts", "f.sql", (FACT,), ())
    table = FactsTable(*where, ("Fact", "Value"), (row,), Location("x.md", 20))
    return _messages(check_facts(table, [answer]))


def test_a_fact_is_one_row_and_each_of_its_values() -> None:
    assert _facts(Answer(((("a", "b"), (("1", "x"),)),)), "1", "x") == []
    assert _facts(Answer(((("a",), (("X",),)),)), "x") == [
        '"Limit": the page says "x", the database says "X"'
    ]
    assert _facts(Answer(((("a", "b"), (("1", "x"),)),)), "1") == [
        '"Limit": the page has 1 value ("1"), the query gives 2 values ("1", "x")'
    ]
    for rows in ((), (("1",), ("1",)), (("1",), ("2",))):
        assert _facts(Answer(((("a",), rows),)), "1") == [
            f'the query of the fact "Limit" must return 1 row; it returned {len(rows)}'
        ]
    one = (("a",), (("1",),))
    for results in ((), (one, one)):
        assert _facts(Answer(results), "1") == [
            'the query of the fact "Limit" must be one query that returns rows'
        ]


NAMES = NamesFound(
    schemas={"shop", "auth", "pg_catalog"},
    relations={("shop", "orders"), ("auth", "users"), ("pg_catalog", "pg_class")},
    functions={("shop", "close_order")},
    types={("shop", "state")},
    members={("shop", "orders", "reason"), ("auth", "users", "email")},
    columns={("orders", "reason"), ("users", "email")},
    words={"orders", "reason", "close_order"},
)


def _wrong_names(*names: str) -> list[str]:
    codes = tuple(InlineCode(name, Location("x.md", n)) for n, name in enumerate(names, 1))
    page = Page("x.md", codes=codes)
    mentions = Mentions(page, tuple(names_on(page, bare=True)))
    failures = check_identifiers(mentions, NAMES)
    return [names[failure.location.line - 1] for failure in failures]


def test_a_name_is_right_in_its_own_schema_and_relation_only() -> None:
    right = ["shop.orders", "auth.users", "shop.orders.reason", "orders.reason", "shop.state"]
    right += ["shop.close_order()", "close_order()", "select shop.close_order(1) from shop.orders"]
    assert _wrong_names(*right) == []
    wrong = ["auth.orders", "shop.users", "pg_catalog.orders", "auth.orders.reason"]
    wrong += ["orders.email", "users.reason", "shop.users.email", "shop.orders.email"]
    wrong += ["auth.close_order()", "auth.state", "shop.orders()", "orders.close_order()"]
    wrong += ["select * from auth.orders", "select auth.close_order(1)"]
    assert _wrong_names(*wrong) == wrong
