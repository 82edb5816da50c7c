from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql_snippets.servers.cluster import open_cluster
from sql_snippets.sqltext import lexer
from sql_snippets.sqltext.lexer import Kind
from sql_snippets.sqltext.placeholders import PlaceholderError, fill, find
from tests.plugin.small_recipe import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with open_cluster(require("embedded")) as running:
        running.initialize()
        with running.start({}).connect("postgres") as opened:
            yield opened


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select <a>, '<b>', \"<c>\", E'<d>', U&'<e>'", ["a", "b", "c", "d", "e"]),
        ("where id=<run_id> and n><n>", ["run_id", "n"]),
        ("select '<reason>', '<reason>'", ["reason", "reason"]),
        ("x<y and z>w", []),
        ("x < y and z > w", []),
        ("select 1 <<b>> 2, r &<b> s", []),
        ("select a <-> b, a <@ b, a @> b, a <> b, a <= b", []),
        ("select '<Name>', '<2nd>', '< a >', '<a-b>', '<>'", []),
        ("-- <a>\n/* <b> /* <c> */ <d> */ select '<e>'", ["e"]),
        ("do $$ begin perform '<a>'; end $$; select $x$ <b> $x$, <c>", ["c"]),
        ("select '<b>bold</b> and <br>', '<p>'", ["p"]),
        ("select 'it''s <a>', '<b>' -- '<c>'", ["a", "b"]),
        (r"select 'a\', <b>, E'\'<c>'", ["b", "c"]),
    ],
)
def test_only_placeholders_are_found(sql: str, names: list[str]) -> None:
    assert [placeholder.name for placeholder in find(sql)] == names
    for placeholder in find(sql):
        assert sql[placeholder.start : placeholder.end] == f"<{placeholder.name}>"


def test_what_is_missing_and_what_is_too_much_is_said() -> None:
    filled = fill("select '<a>', <b>, '<a>'", {"a": "x", "c": 1})
    assert (filled.sql, filled.unfilled, filled.unused) == ("select 'x', <b>, 'x'", ("b",), ("c",))


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("select <v>", 7, "select 7"),
        ("select <v>", "1.5e3", "select 1.5e3"),
        ("select 5-<v>", -3, "select 5-(-3)"),
        ("select <v>", True, "select true"),
        ("select <v>", None, "select null"),
        ("select '<v>'", "it's", "select 'it''s'"),
        ("select '<v>'", "a\\", "select 'a\\'"),
        ("select E'<v>'", "a\\'", "select E'a\\\\'''"),
        ('select "<v>"', 'a"b', 'select "a""b"'),
        ("select '<v>'", False, "select 'false'"),
    ],
)
def test_a_value_is_written_as_its_place_asks(sql: str, value: object, expected: str) -> None:
    assert fill(sql, {"v": value}).sql == expected


@pytest.mark.parametrize(
    ("sql", "value", "words"),
    [
        ("select <v>", "x", "Write '<v>'"),
        ("select <v>", "1; drop table item", "Write '<v>'"),
        ("select <v>", "", "Write '<v>'"),
        ("select <v>", math.inf, "Write '<v>'"),
        ("select <v>", "\u0661", "Write '<v>'"),
        ("select <v>", "1\n", "Write '<v>'"),
        ("select job<v>", 1, "touches the word"),
        ("select <v>px", 1, "touches the word"),
        ("select '<v>'", "a\0b", "zero character"),
        ("select '<v>'", None, "null"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(sql: str, value: object, words: str) -> None:
    with pytest.raises(PlaceholderError) as caught:
        fill(sql, {"v": value})
    assert words in str(caught.value)
    assert caught.value.offset == sql.index("<v>")


storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=storable | st.text("'\"\\$-/*;<>&eEuU ", max_size=12))
def test_whatever_the_value_it_stays_one_value(
    connection: psycopg.Connection[tuple[object, ...]], value: str
) -> None:
    for before, after in (("'", "'"), ("E'", "'"), ("U&'", "'")):
        filled = fill(f"select {before}<v>{after}::text, 2", {"v": value})
        assert connection.execute(filled.sql.encode()).fetchall() == [(value, 2)]
        kinds = [
            (piece.kind, filled.sql[piece.start : piece.end]) for piece in lexer.pieces(filled.sql)
        ]
        assert [text for kind, text in kinds if kind is Kind.CODE][-1] == "::text, 2"
    if 0 < len(value.encode()) < 64:
        for quoted in ('"<v>"', 'U&"<v>"'):
            filled = fill(f"select 1 as {quoted}, 2", {"v": value})
            cursor = connection.execute(filled.sql.encode())
            assert cursor.description is not None
            assert [column.name for column in cursor.description] == [value, "?column?"]


@given(
    number=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
)
def test_whatever_the_number_the_tokens_around_it_stay(number: float) -> None:
    filled = fill("select 5-<v>-<v>*2", {"v": number})
    assert [piece.kind for piece in lexer.pieces(filled.sql)] == [Kind.CODE]
    assert not fill("select <v>", {"v": number}).unfilled


@given(
    texts=st.lists(st.sampled_from(["select ", "'a' ", "\n", "ü, "]), min_size=1, max_size=5),
    value=st.text("ab'", max_size=8),
)
def test_every_place_leads_back_to_the_original(texts: list[str], value: str) -> None:
    sql = " '<v>' ".join(texts) + "."
    filled = fill(sql, {"v": value})
    mapped = [filled.to_original(offset) for offset in range(len(filled.sql) + 1)]
    assert mapped == sorted(mapped)
    assert mapped[-1] == len(sql)
    spans = [(placeholder.start, placeholder.end) for placeholder in find(sql)]
    for offset, original in enumerate(mapped[:-1]):
        if not any(start <= original < end for start, end in spans):
            assert filled.sql[offset] == sql[original]
        else:
            assert original in {start for start, _ in spans}


@given(sql=st.text("aeEuU&$'\"\\-/*;()\n ", max_size=40) | st.text(max_size=20))
def test_pieces_cover_every_text(sql: str) -> None:
    assert "".join(sql[piece.start : piece.end] for piece in lexer.pieces(sql)) == sql
    ends = [statement.end for statement in lexer.statements(sql)]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("sql", "starts"),
    [
        ("", []),
        (" ; ;-- only\n", []),
        ("select 1; select 2", [0, 10]),
        ("/* ; */ select ';' ;\n select $$;$$", [8, 22]),
        ("create rule r as on insert to t do (select 1; select 2); x", [0, 57]),
        ("create function f() begin atomic select case when a then 1 end; end; x", [0, 69]),
    ],
)
def test_statements_start_where_the_server_says(sql: str, starts: list[int]) -> None:
    assert [statement.start for statement in lexer.statements(sql)] == starts
