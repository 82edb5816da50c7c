"""The types that the server gives to placeholders, and values made to break out of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.evidence import Probed
from sql_snippets.judging.hostile import check_probed
from sql_snippets.model import (
    Claims,
    Failure,
    LineOrigin,
    Location,
    Outcome,
    Parameter,
    ServerError,
    Snippet,
)
from sql_snippets.plan import Probe, RunOptions, Where
from sql_snippets.running.parameters import ask_types, syntax_errors
from sql_snippets.servers.cluster import open_cluster
from sql_snippets.sqltext import placeholders
from sql_snippets.sqltext.hostile import HOSTILE, hostile_values
from tests.plugin.small_recipe import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with open_cluster(require("embedded")) as running:
        running.initialize()
        with running.start({}).connect("postgres") as opened:
            opened.execute("create table t (id bigint, at date, name varchar(9), price numeric)")
            opened.execute("create procedure p(a int, b text) language sql as 'select 1'")
            yield opened


def _snippet(sql: str, **fill: str) -> Snippet:
    origins = tuple(
        LineOrigin("x.md", 2 + row, tuple(range(1, len(line) + 2)))
        for row, line in enumerate(sql.split("\n"))
    )
    return Snippet("x.md", "s", "n", sql, origins, Location("x.md", 1), 9, Claims(fill=fill))


@pytest.mark.parametrize(
    ("sql", "types"),
    [
        ("select * from t where id = <a> and at = '<b>'", {"a": "bigint", "b": "date"}),
        ("update t set name = '<b>', price = <a>", {"b": "character varying", "a": "numeric"}),
        ("call p(<a>, '<b>')", {"a": "integer", "b": "text"}),
        ("select 1; select * from t where at > '<b>' limit <a>", {"b": "date", "a": "bigint"}),
        # A part of a literal, a name and a word of a utility statement are no parameters: of a
        # number that is filled in there, nobody knows whether the next may have a fraction.
        ("select 'x-<b>', \"<c>\" from t limit <a>", {"a": "bigint", "b": "text", "c": "name"}),
        ("set statement_timeout = <a>", {"a": "numeric"}),
    ],
)  # fmt: skip
def test_types_come_from_the_server(
    connection: psycopg.Connection[tuple[object, ...]], sql: str, types: dict[str, str]
) -> None:
    values = {"a": "5", "b": "2026-01-01", "c": "id"}
    found = ask_types(connection, _snippet(sql, **values), values)
    assert {parameter.name: parameter.type for parameter in found} == types


def _check(
    connection: psycopg.Connection[tuple[object, ...]], sql: str, values: dict[str, object]
) -> list[Failure]:
    snippet, options = _snippet(sql), RunOptions("postgres")
    hostile = {**values, "b": HOSTILE}
    refused = syntax_errors(connection, placeholders.fill(sql, hostile).sql)
    probed = Probed(Probe(snippet, Where.CLONE, options), (), values, hostile, refused)
    return check_probed(snippet, Outcome(None, (), "SELECT 1", None, (), 0.1, "clone"), probed)


def test_hostile_values_change_no_statement(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    sql = "select '<b>', E'<b>', U&'<b>', \"name\" as \"<b>\" from t where id = <a>;\nselect 1"
    values: dict[str, object] = {"a": "5", "b": "x"}
    assert _check(connection, sql, values) == []


@pytest.mark.parametrize("careless", [lambda text: text, lambda text: text.replace("'", "\\'")])
def test_a_value_that_breaks_out_is_seen(
    connection: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    careless: object,
) -> None:
    monkeypatch.setattr(
        placeholders,
        "_write",
        lambda _sql, _placeholder, value: careless(str(value)),  # type: ignore[operator]  # not for null here
    )
    failures = _check(connection, "select 1 as n,\n  '<b>' as said", {"b": "x"})
    assert {str(failure.location) for failure in failures} == {"x.md:3:4"}
    assert any("would change the statement" in failure.message for failure in failures)
    assert any(failure.sqlstate == "42601" for failure in failures)


def test_a_name_that_is_not_there_has_stayed_a_name() -> None:
    """A run with a hostile name cannot find it; a function that takes it apart finds another."""
    snippet = _snippet('select * from public."<b>"', b="orders")
    values: dict[str, object] = {"b": "orders"}
    probed = Probed(
        Probe(snippet, Where.CLONE, RunOptions("postgres")), (), values, {"b": HOSTILE}, ()
    )
    usual = Outcome((), (), "SELECT 0", None, (), 0.1, "clone")
    whole = ServerError("42P01", f'relation "public.{HOSTILE}" does not exist')
    assert check_probed(snippet, usual, replace(probed, error=whole)) == []
    for message in ('relation "o" does not exist', 'syntax error at or near "Hara"'):
        error = ServerError("42601" if "syntax" in message else "42P01", message)
        (failure,) = check_probed(snippet, usual, replace(probed, error=error))
        assert "the block breaks" in failure.message


def test_what_stands_without_quotes_gets_no_text() -> None:
    """Of an overloaded call the server may say that it takes a text."""
    parameters = [Parameter("a", "text", ""), Parameter("b", "text", "")]
    sql = "select f(<a>), '<b>', g('<a>')"
    assert hostile_values(sql, parameters, {"a": "5"}) == {"a": "5", "b": HOSTILE}
    assert hostile_values("select f(<a>)", parameters[:1], {"a": "5"}) is None
