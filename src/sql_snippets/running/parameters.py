"""The types of the values of a block's placeholders, asked of the server.

A type is asked by preparing the statement with ``$1`` in the placeholder's place, which runs
nothing.  Where the grammar has no parameters, or the placeholder is only a part of a literal or a
name, the value that is filled in tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psycopg.pq import DiagnosticField, ExecStatus

from sql_snippets.model import Parameter
from sql_snippets.sqltext.hostile import SYNTAX_ERROR
from sql_snippets.sqltext.lexer import Kind, statements
from sql_snippets.sqltext.placeholders import Placeholder, fill, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from sql_snippets.model import Snippet

_QUOTED = frozenset({Kind.STRING, Kind.ESCAPE_STRING, Kind.UNICODE_STRING})


def ask_types(
    connection: psycopg.Connection[tuple[object, ...]],
    snippet: Snippet,
    values: Mapping[str, object],
) -> tuple[Parameter, ...]:
    """Return the placeholders of a block in order, with the types that the server gives them."""
    found: dict[str, str] = {}
    sql = snippet.sql
    places = find(sql)
    whole = {place.start: _literal_around(sql, place) for place in places}
    for statement in statements(sql):
        inside = [p for p in places if statement.start <= p.start < statement.end]
        asked = [p for p in inside if whole[p.start] is not None]
        types = _ask(
            connection, _with_parameters(sql, statement.start, statement.end, asked, values)
        )
        for place, type_ in zip(asked, types, strict=False):
            found.setdefault(place.name, type_)
    for place in places:
        found.setdefault(place.name, _type_of_value(place, values.get(place.name)))
    return tuple(
        Parameter(name, type_, snippet.claims.source_of(name)) for name, type_ in found.items()
    )


def syntax_errors(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> tuple[str, ...]:
    """Return what the server's parser says to those statements of ``sql`` that it cannot read."""
    errors = [
        _error_of_prepare(connection, sql[statement.start : statement.end])
        for statement in statements(sql)
    ]
    return tuple(error[1] for error in errors if error is not None and error[0] == SYNTAX_ERROR)


def _literal_around(sql: str, place: Placeholder) -> tuple[int, int] | None:
    """Return what a parameter can stand for: the bare placeholder, or the literal it fills."""
    if place.kind is Kind.CODE:
        return place.start, place.end
    if place.kind is Kind.STRING and sql[place.start - 1] == sql[place.end : place.end + 1] == "'":
        return place.start - 1, place.end + 1
    return None


def _with_parameters(
    sql: str, start: int, end: int, asked: Iterable[Placeholder], values: Mapping[str, object]
) -> str:
    """Return one statement with ``$n`` for the placeholders asked about, values for the others."""
    text, at = "", start
    for number, place in enumerate(asked, 1):
        first, last = cast("tuple[int, int]", _literal_around(sql, place))
        text += f"{sql[at:first]} ${number} "
        at = last
    return fill(text + sql[at:end], values).sql


def _ask(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> list[str]:
    """Return the types of the parameters, none where the server does not take them there."""
    if _error_of_prepare(connection, statement) is not None:
        return []
    described = connection.pgconn.describe_prepared(b"")
    if described.status != ExecStatus.COMMAND_OK:
        return []
    oids = [described.param_type(number) for number in range(described.nparams)]
    names = []
    for oid in oids:
        row = connection.execute("select pg_catalog.format_type(%s::oid, null)", (oid,)).fetchone()
        names.append(str(row[0]) if row else "unknown")
    return names


def _error_of_prepare(
    connection: psycopg.Connection[tuple[object, ...]], statement: str
) -> tuple[str, str] | None:
    """Have the server parse a statement without running it; return SQLSTATE and message."""
    result = connection.pgconn.prepare(b"", statement.encode())
    if result.status == ExecStatus.COMMAND_OK:
        return None
    code = result.error_field(DiagnosticField.SQLSTATE) or b""
    message = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
    return code.decode(), message.decode(errors="replace")


def _type_of_value(place: Placeholder, value: object) -> str:
    if place.kind is not Kind.CODE:
        return "text" if place.kind in _QUOTED else "name"
    # One example that is a whole number does not say that the next is.
    return "boolean" if str(value).lower() in {"true", "false"} else "numeric"
