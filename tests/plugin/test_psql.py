from __future__ import annotations

import os
import subprocess
from time import process_time
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.databases import Database, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.model import Column, Outcome, ServerError
from sql_snippets.plan import RunOptions
from sql_snippets.running.editor import run_as_editor
from sql_snippets.servers.binaries import Binaries, find_binaries
from sql_snippets.sqltext.psql import (
    Difference,
    accept,
    compare,
    format_outcome,
    psql_could_print,
)
from sql_snippets.sqltext.widths import display_width

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = "text"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    cache = tmp_path_factory.mktemp("cache")
    recipe = Recipe((), (), None, "sql_snippets_admin")
    with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as clone:
        yield clone


def _psql(binaries: Binaries, database: Database, sql: str) -> str:
    server = database.server
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [
            binaries.tool("psql"),
            *("--no-psqlrc", "--host", server.host, "--port", str(server.port)),
            *("--username", server.superuser, "--dbname", database.name, "--command", sql),
        ],
        env=environment,
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(
            "select 1::smallint s, 20::integer i, -300000::bigint b, 1.5::real r, 2.25::float8 d,"
            " 12.340::numeric(6,3) n, 3.5::money m, 17::oid o, '9'::xid x, '10'::xid8 x8,"
            " '11'::cid c union all select 10000, 20000000, 3, 1.25e10, 2e100, 1, '30000',"
            " '170000', '90000', '100000', '110000'",
            id="numbers",
        ),
        pytest.param(
            "select 'text' t, 'c'::char(3) c, true yes, false no, null::text nothing,"
            " '2026-01-02'::date d, '2026-01-02 03:04:05.678+00'::timestamptz ts,"
            " interval '1 day 2 hours' i, '{1,2}'::int[] a, '{\"k\": 1}'::jsonb j,"
            " '\\x00ff'::bytea b",
            id="other-types",
        ),
        pytest.param(
            "select i, null::int n from generate_series(8, 11) i", id="right-aligned-rows"
        ),
        pytest.param("select E'a\\nlonger line\\nc' left_one, 1 n, E'x\\ny' last", id="newlines"),
        pytest.param("select E'x\\ny' v from generate_series(1, 2)", id="newlines-one-column"),
        pytest.param("select 1 n, E'\\n' v, 'after' w", id="empty-lines"),
        pytest.param("select '日本語' wide, 'é' e, 'x' \"größe\"", id="wide-characters"),
        pytest.param("select E'a\\tb' tab, E'\\r' cr, E'\\x01' control, 'a|b' bar", id="control"),
        pytest.param('select 1 as "a\nheader of\nthree lines", 2 as b', id="header-of-lines"),
        pytest.param("select 1 as n, 'x' as t where false", id="no-rows"),
        pytest.param("select from generate_series(1, 2)", id="no-columns"),
        pytest.param("select 'longer than its header' h, 1 as a_long_header", id="widths"),
        pytest.param(
            "select oid, relname, relkind, reltuples from pg_class limit 20", id="catalog"
        ),
        pytest.param("explain (costs off) select 1 from pg_class where oid = 1", id="explain"),
        pytest.param("create table t (i int)", id="tag"),
        pytest.param("do $$ begin end $$", id="do"),
    ],
)
def test_output_is_what_psql_prints(database: Database, sql: str) -> None:
    printed = _psql(find_binaries("embedded"), database, sql)
    if sql.startswith("create"):
        _psql(find_binaries("embedded"), database, "drop table t")

    outcome = run_as_editor(database, sql, RunOptions("sql_snippets_admin"))

    assert outcome.error is None
    assert format_outcome(outcome) == printed.removesuffix("\n\n").removesuffix("\n")
    assert compare(printed, outcome) is None


def _outcome(
    columns: str, *rows: tuple[str | None, ...], tag: str = "", types: str = ""
) -> Outcome:
    names = columns.split()
    kinds = types.split() or [TEXT] * len(names)
    described = tuple(Column(name, kind) for name, kind in zip(names, kinds, strict=True))
    return Outcome(described, rows, tag, None, (), 0.0, "clone")


RUNS = _outcome(
    "id status started",
    ("1", "succeeded", "2026-01-01 06:00:00.25+00"),
    ("2", "failed", None),
    ("13", "skipped", "2026-01-03 06:00:00+00"),
    types="bigint text text",
)
SHOWN = """\
 id |  status   |          started
----+-----------+---------------------------
  1 | succeeded | 2026-01-01 06:00:00.25+00
  2 | failed    |
 13 | skipped   | 2026-01-03 06:00:00+00
(3 rows)
"""


def test_what_the_page_shows_is_accepted() -> None:
    assert compare(SHOWN, RUNS) is None


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("\n".join(line + "  " for line in SHOWN.split("\n")), id="trailing-blanks"),
        pytest.param(
            "id|status|started\n-+-+-\n1|succeeded|2026-01-01 06:00:00.25+00\n2|failed|\n"
            "13|skipped|2026-01-03 06:00:00+00",
            id="widths",
        ),
        pytest.param(SHOWN.replace("succeeded", "...      "), id="any-cell"),
        pytest.param(SHOWN.replace("  2 | failed    |\n", "...\n"), id="any-rows-between"),
        pytest.param("\n".join(SHOWN.split("\n")[:3]) + "\n...", id="any-rows-after"),
        pytest.param(SHOWN.replace("  2 | failed", "...\n  2 | failed"), id="any-rows-none"),
        pytest.param("...", id="anything"),
    ],
)
def test_what_may_differ(shown: str) -> None:
    assert compare(shown, RUNS) is None


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        pytest.param(
            SHOWN.replace("failed   ", "succeeded"),
            'row 2, column "status": the page shows "succeeded", the result has "failed"',
            id="cell",
        ),
        pytest.param(
            SHOWN.replace("status ", "state  "),
            "the columns differ: the page shows id, state, started, the result has id, status",
            id="header",
        ),
        pytest.param(
            SHOWN.replace("  2 | failed    |\n", ""), 'row 2, column "id"', id="row-missing"
        ),
        pytest.param(SHOWN.replace("(3 rows)", "(4 rows)"), "the page says (4 rows)", id="count"),
        pytest.param(
            SHOWN.replace(" 13 |", "... \n 14 |"), "around the `...`", id="rows-after-any"
        ),
        pytest.param(
            SHOWN.replace("failed    |", "failed    | x"),
            'the page shows "x", the result has nothing',
            id="null",
        ),
        pytest.param("CALL", "the output differs", id="no-table"),
        pytest.param("", "the output differs", id="empty"),
    ],
)
def test_what_may_not_differ(shown: str, message: str) -> None:
    difference = compare(shown, RUNS)
    assert difference is not None
    assert message in difference.text


def test_the_difference_shows_only_lines_that_differ() -> None:
    difference = compare(SHOWN.replace("failed   ", "succeeded"), RUNS)
    assert difference is not None
    assert difference.text == (
        'row 2, column "status": the page shows "succeeded", the result has "failed"\n'
        "    ----+-----------+---------------------------\n"
        "      1 | succeeded | 2026-01-01 06:00:00.25+00\n"
        "  -   2 | succeeded |\n"
        "  +   2 | failed    |\n"
        "     13 | skipped   | 2026-01-03 06:00:00+00\n"
        "    (3 rows)"
    )


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param("failed   ", "succeeded", 3, id="changed"),
        pytest.param("  1 | succeeded | 2026-01-01 06:00:00.25+00\n", "", 2, id="missing"),
        pytest.param("(3 rows)", "(4 rows)", 5, id="count"),
        pytest.param("\n(3 rows)", "\n 14 | skipped   |\n(4 rows)", 5, id="one-too-many"),
        pytest.param("started", "begun  ", 0, id="header"),
        pytest.param(
            " 13 | skipped   | 2026-01-03 06:00:00+00\n(3 rows)\n", "", 3, id="missing-at-the-end"
        ),
    ],
)
def test_the_difference_is_at_the_first_line_that_differs(old: str, new: str, line: int) -> None:
    assert SHOWN.count(old) == 1
    for before in ("", "\n\n"):
        difference = compare(before + SHOWN.replace(old, new), RUNS)
        assert difference is not None
        assert difference.line == len(before) + line


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param("06:00:00.25+00", "23:59:01+00", True, id="numbers"),
        pytest.param(" 13 ", "9   ", True, id="number-of-another-length"),
        pytest.param("2026-01-03 06:00:00+00", "", False, id="null"),
        pytest.param("2026-01-03", "yesterday", True, id="words"),
        pytest.param("  2 | failed    |\n", "  2 | failed    | now\n", False, id="no-null"),
        pytest.param("skipped", "failed ", False, id="another-column"),
    ],
)
def test_a_volatile_column_may_be_any_value_but_none(old: str, new: str, *, same: bool) -> None:
    shown = SHOWN.replace(old, new)
    assert shown != SHOWN
    assert (compare(shown, RUNS, ["started", "id"]) is None) == same
    assert compare(shown, RUNS) is not None


def test_a_volatile_column_must_exist() -> None:
    assert compare(SHOWN, RUNS, ["startet"]) == Difference(
        "volatile=startet: the result has no such column"
    )


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"),
        ("0/15D3B28", "1/A0"),
        ("March", "November"),
        ("00:00:03", "1 day 00:00:05"),
        ("5", "-1e+20"),
        ("2026-01-01", "infinity"),
        ("127.0.0.1", "::1"),
        ("\\xabcdef", "\\x"),
        ("f", "t"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", "0d4e92d2-0000-4000-8000-00000000000a"),
        ("a 0.5+\n b", "a 1\nb\nc"),
        ("one line", "two\nlines"),
        ("two+\n lines", "one line"),
    ],
)
def test_any_value_of_a_volatile_column(shown: str, value: str) -> None:
    outcome = _outcome("v", (value,))
    page = f" v\n---\n {shown}\n(1 row)"
    assert compare(page, outcome, ["v"]) is None
    assert compare(page, outcome) is not None
    assert compare(page, _outcome("v", (None,)), ["v"]) is not None
    assert compare(" v\n---\n\n(1 row)", outcome, ["v"]) is not None


def test_every_character_is_as_wide_as_psql_has_it(database: Database) -> None:
    # The planes that have characters of each width, and where those of other planes begin and end.
    sql = (
        "select chr(i) as c, i from generate_series(160, 918015) i"
        " where i < 131080 and i not between 55296 and 57343 or i between 196600 and 196616"
        " or i between 262130 and 262150 or i > 917500"
    )
    lines = _psql(find_binaries("embedded"), database, sql).split("\n")[2:-3]
    cells = [line.rpartition(" | ") for line in lines]
    assert len(cells) > 120_000
    wrong = [
        f"{int(code):x}"
        for cell, _, code in cells
        if display_width(chr(int(code))) != 2 - len(cell[2:])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("\u26a0\ufe0f a|b", "1"), ("\u2705|", "22")], id="emoji"),
        pytest.param([("\u0e01\u0e34\u0e19|\n\u0e2a\u0e2d\u0e07", "x|y")], id="thai"),
        pytest.param([("(1 row)", "----+----"), ("...", "a +"), ("", "+")], id="layout"),
        pytest.param([("----", "----"), ("(7 rows)", "")], id="rules"),
    ],
)
def test_a_cell_that_looks_like_layout_is_a_cell(rows: list[tuple[str, str]]) -> None:
    outcome = _outcome("note n", *rows)
    shown = format_outcome(outcome)
    assert compare(shown, outcome) is None
    assert compare(shown.replace(rows[0][0][0], "!", 1), outcome) is not None


def test_what_a_psql_before_16_prints_is_accepted() -> None:
    outcome = _outcome("note n", ("\u200da|b", "1"))  # a format character took a column there
    shown = " note | n\n------+---\n \u200da|b | 1\n(1 row)"
    assert compare(shown, outcome, ["n"]) is None
    assert compare(shown.replace("a|b", "a|c"), outcome, ["n"]) is not None


def test_a_difference_without_end_is_told_in_some_dozen_lines() -> None:
    many = _outcome("g", *((str(number),) for number in range(200_000)))
    short = " g\n---\n 0\n 2\n(2 rows)"
    blanks = _outcome("x n", ("a" + " " * 60_000 + "b", "1"))
    long_page = format_outcome(_outcome("g", *((str(number),) for number in range(3000))))
    for page, outcome in [
        (short, many),
        (long_page, many),
        (long_page, _outcome("g", ("0",), ("2999",))),
        ("  x | n\n---+---\n a | 1\n(1 row)", blanks),
        ("nothing", many),
    ]:
        began = process_time()
        difference = compare(page, outcome)
        assert process_time() - began < 5  # it took minutes, and grew with the square
        assert difference is not None
        assert len(difference.text.split("\n")) <= 40
        assert len(difference.text) < 5000
    assert compare(" x\n---\n 1\n...", _outcome("x", ("1",), *many.rows)) is None
    assert accept(short, many) is None
    assert accept(" g\n---\n 0\n...", many) is not None


def test_a_long_cell_is_shown_where_it_differs() -> None:
    difference = compare(" x\n---\n " + "a" * 500 + "c", _outcome("x", ("a" * 500 + "b" * 500,)))
    assert difference is not None
    first = difference.text.partition("\n")[0]
    assert 'aaac" (501 characters)' in first
    assert "aaabbb" in first
    assert "(1000 characters)" in first


def test_what_is_no_output_is_told_from_one() -> None:
    outputs = [SHOWN, "INSERT 0 1", "CREATE TABLE", "ERROR:  no", "NOTICE:  x\nDO", "..."]
    assert all(map(psql_could_print, outputs))
    others = ["runs -> failed -> Escalate", "+---+\n| a |", "key = value", "1 | 2", "ok", "a\nb"]
    assert not any(map(psql_could_print, others))


def test_values_of_several_lines() -> None:
    outcome = _outcome("a b", ("x\ny", "1"), ("C++", "2"))
    shown = format_outcome(outcome)
    assert compare(shown, outcome) is None
    assert compare(shown.replace("y   |", "z   |"), outcome) is not None
    assert compare(" a | b\n---+--\n ... | 1\n C++ | 2\n(2 rows)", outcome) is None


def test_a_bar_inside_a_cell() -> None:
    outcome = _outcome("a b", ("x|y", "z"))
    assert compare(format_outcome(outcome), outcome) is None
    assert compare(format_outcome(outcome).replace("x|y", "x|z"), outcome) is not None


def test_a_tag_is_compared_when_no_rows_came_back() -> None:
    outcome = Outcome(None, (), "UPDATE 1", None, (), 0.0, "clone")
    assert compare("UPDATE 1\n", outcome) is None
    assert compare("UPDATE 2", outcome) == Difference(
        "the output differs\n  - UPDATE 2\n  + UPDATE 1"
    )


def test_errors() -> None:
    error = ServerError("22012", "division by zero", detail="D", hint="H")
    outcome = Outcome(None, (), "", error, (), 0.0, "clone")
    assert compare("ERROR:  division by zero", outcome) is None
    assert compare("ERROR:  22012: division by zero\nLINE 1: x\n   ^\nHINT:  H", outcome) is None
    assert compare("ERROR:  division by one", outcome) is not None
    assert compare("HINT:  H\nERROR:  division by zero", outcome) is not None


NEW = _outcome(
    "id status started",
    ("1", "succeeded", "2026-02-02 06:00:00.5+00"),
    ("2", "repaired", "2026-02-02 07:00:00+00"),
    ("13", "skipped", "2026-02-03 06:00:00+00"),
    types="bigint text text",
)


def test_accepting_touches_only_what_differs() -> None:
    accepted = accept(SHOWN, NEW, ["started"])
    assert accepted is not None
    assert compare(accepted, NEW, ["started"]) is None
    assert accepted == SHOWN.rstrip("\n").replace(
        "  2 | failed    |\n", "  2 | repaired  | 2026-02-02 07:00:00+00\n"
    )


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("\n".join(SHOWN.split("\n")[:3]) + "\n...", id="rows-after"),
        pytest.param(SHOWN.replace("  2 | failed    |\n", "...\n"), id="rows-between"),
        pytest.param(" id | status | started\n----+---+---\n  7 | ... | ...\n", id="columns"),
        pytest.param("no table at all", id="none"),
        pytest.param(" a | b\n---+---\n 1 | 2\n(1 row)", id="other-columns"),
    ],
)
def test_what_was_accepted_is_right_and_accepted_once(shown: str) -> None:
    accepted = accept(shown, NEW)
    assert accepted is not None
    assert compare(accepted, NEW) is None
    assert accept(accepted, NEW) == accepted
    assert ("..." in accepted) == ("..." in shown)
    assert all(line == line.rstrip() for line in accepted.split("\n"))
