"""Texts made to break out of their quotes, and what they must leave as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import Kind, Token, statements, tokens
from sql_snippets.sqltext.placeholders import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sql_snippets.model import Parameter

TEXT_TYPES = frozenset({"text", "character varying", "character", "name", '"char"', "unknown"})
SYNTAX_ERROR = "42601"
# Errors that say that a value became a part of the statement.
BROKEN = frozenset({SYNTAX_ERROR, "42P01", "42703", "42883", "42602", "42622"})
# Ends what a careless author would have opened, in each way there is.  It is short enough for a
# column of a few dozen characters, and no zero byte is in it, which no text can hold.
HOSTILE = "O'Hara\"\\'); drop table x; --/* $$ $q$ \u2028 \N{PILE OF POO}"


def hostile_values(
    sql: str, parameters: Iterable[Parameter], values: Mapping[str, object]
) -> dict[str, object] | None:
    """Return the values with a hostile one for each text, None where no value is a text.

    One that stands without quotes takes no text, whatever the server would take there.
    """
    bare = {place.name for place in find(sql) if place.kind is Kind.CODE}
    texts = [each.name for each in parameters if each.type in TEXT_TYPES and each.name not in bare]
    return {**values, **dict.fromkeys(texts, HOSTILE)} if texts else None


def same_statements(first: str, second: str) -> bool:
    """Whether two texts differ in what stands inside literals and quoted names only."""
    return _shape(first) == _shape(second)


def _shape(sql: str) -> tuple[int, list[tuple[Kind, str]]]:
    """Return the number of statements and the tokens, of literals and names only that they are."""

    def text(token: Token) -> str:
        return sql[token.start : token.end] if token.kind is Kind.CODE else ""

    return len(statements(sql)), [(token.kind, text(token)) for token in tokens(sql)]
