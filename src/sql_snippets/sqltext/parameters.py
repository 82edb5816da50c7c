"""The values of a block's placeholders: their types, and that they stay values whatever they hold.

A type is asked by preparing the statement with ``$1`` in the placeholder's place, which runs
nothing.  Where the grammar has no parameters, or the placeholder is only a part of a literal or a
name, the value that is filled in tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from psycopg.pq import DiagnosticField, ExecStatus

from sql_snippets.model import Failure, Parameter
from sql_snippets.sqltext.lexer import Kind, Token, statements, tokens
from sql_snippets.sqltext.placeholders import Placeholder, PlaceholderError, fill, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from sql_snippets.model import Snippet

TEXT_TYPES = frozenset({"text", "character varying", "character", "name", '"char"', "unknown"})
SYNTAX_ERROR = "42601"
# Errors that say that a value became a part of the statement.
BROKEN = frozenset({SYNTAX_ERROR, "42P01", "42703", "42883", "42602", "42622"})
# Ends what a careless author would have opened, in each way there is.  It is short enough for a
# column of a few dozen characters, and no zero byte is in it, which no text can hold.
HOSTILE = "O'Hara\"\\'); drop table x; --/* $$ $q$ \u2028 \N{PILE OF POO}"
_QUOTED = frozenset({Kind.STRING, Kind.ESCAPE_STRING, Kind.UNICODE_STRING})


def source_of(snippet: Snippet, name: str) -> str:
    """Return where a placeholder's value comes from, as the page says it."""
    claims = snippet.claims
    if name in claims.fill:
        return f"fill.{name}"
    if name in claims.taken:
        return f"@{claims.taken[name].block}.{claims.taken[name].column}"
    return f"scenario {claims.scenario}" if claims.scenario else "nothing"


def describe(
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
    return tuple(Parameter(name, type_, source_of(snippet, name)) for name, type_ in found.items())


def check_structure(
    connection: psycopg.Connection[tuple[object, ...]],
    snippet: Snippet,
    values: Mapping[str, object],
    hostile: Mapping[str, object],
) -> list[Failure]:
    """Return what hostile values change in the statement, by our scanner and the server's."""
    usual, filled = fill(snippet.sql, values), fill(snippet.sql, hostile)
    failures = []
    for place in find(snippet.sql):
        if place.kind is Kind.CODE and not _is_refused(snippet.sql, place, values):
            message = f"<{place.name}> stands without quotes and takes more than a plain value"
            failures.append(Failure(snippet.locate(place.start), message))
    first = snippet.locate(find(snippet.sql)[0].start)
    if _shape(usual.sql) != _shape(filled.sql):
        message = "a value with quotes in it would change the statement, not only the value"
        failures.append(Failure(first, message))
    for statement in statements(filled.sql):
        error = _error_of_prepare(connection, filled.sql[statement.start : statement.end])
        if error is not None and error[0] == SYNTAX_ERROR:
            message = f"a value with quotes in it would break the statement: {error[1]}"
            failures.append(Failure(first, message, error[0]))
    return failures


def _is_refused(sql: str, place: Placeholder, values: Mapping[str, object]) -> bool:
    try:
        fill(sql, {**values, place.name: HOSTILE})
    except PlaceholderError:
        return True
    return False


def _shape(sql: str) -> tuple[int, list[tuple[Kind, str]]]:
    """Return the number of statements and the tokens, of literals and names only that they are."""

    def text(token: Token) -> str:
        return sql[token.start : token.end] if token.kind is Kind.CODE else ""

    return len(statements(sql)), [(token.kind, text(token)) for token in tokens(sql)]


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


def hostile_values(
    parameters: Iterable[Parameter], values: Mapping[str, object]
) -> dict[str, object] | None:
    """Return the values with a hostile one for each text, None where no value is a text."""
    texts = [parameter.name for parameter in parameters if parameter.type in TEXT_TYPES]
    return {**values, **dict.fromkeys(texts, HOSTILE)} if texts else None
