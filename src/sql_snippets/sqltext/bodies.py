"""The names in the bodies of plpgsql functions, which the server looks up only when they run.

What a body puts together as text and executes is not known before it is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sql_snippets.sqltext import lexer

_NAME = r"(?:[a-z_][\w$]*\s*\.\s*)?[a-z_][\w$]*"
_RELATION = re.compile(
    rf"\b(?P<verb>from|join|update|insert\s+into|merge\s+into)\s+(?:only\s+)?(?P<name>{_NAME})\b"
    r"(?!\s*[(.])",
    re.IGNORECASE,
)
_CALL = re.compile(
    rf"(?:\b(?:perform|call)\s+(?P<bare>{_NAME})|(?P<name>[a-z_][\w$]*\s*\.\s*[a-z_][\w$]*))\s*\(",
    re.IGNORECASE,
)
_QUERY_NAME = re.compile(
    r"\b([a-z_][\w$]*)\s*(?:\([^()]*\)\s*)?as\s+(?:not\s+)?(?:materialized\s+)?\(", re.IGNORECASE
)
_MADE = re.compile(
    r"\bcreate\b[^;(]*?\b(?:table|view|function|procedure|sequence)\s+(?:if\s+not\s+exists\s+)?"
    rf"(?P<name>{_NAME})",
    re.IGNORECASE,
)
# Where "from" and "update" are followed by something else than a relation.
_OTHER_FROM = re.compile(
    r"\bdistinct\s+$|\b(?:fetch|move)\b[^;]*$"
    r"|\b(?:extract|substring|trim|overlay|position)\s*\((?:[^()]|\([^()]*\))*$",
    re.IGNORECASE,
)
_OTHER_UPDATE = re.compile(r"\b(?:for|do|no\s+key)\s+$", re.IGNORECASE)
_NO_NAMES = frozenset({"lateral", "only", "select", "values", "set", "of", "current", "unnest"})
_NO_QUALIFIERS = frozenset({"new", "old", "excluded", "pg_temp"})


@dataclass(frozen=True, slots=True)
class BodyName:
    """The name of a relation, or of a function that is called; the schema if it is told."""

    kind: str
    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def names_in_bodies(sql: str) -> list[BodyName]:
    """Return what the plpgsql functions that a block makes name, and it does not make itself."""
    found: dict[BodyName, None] = {}
    made = {_split(match["name"])[1] for match in _MADE.finditer(_code(sql))}
    for body in _bodies(sql):
        made_here = made | {_split(match["name"])[1] for match in _MADE.finditer(body)}
        own = made_here | {name.lower() for name in _QUERY_NAME.findall(body)}
        for match in _RELATION.finditer(body):
            other = _OTHER_FROM if match["verb"].lower() == "from" else _OTHER_UPDATE
            if not other.search(body[: match.start()]):
                found[BodyName("relation", *_split(match["name"]))] = None
        for match in _CALL.finditer(body):
            found[BodyName("function", *_split(match["bare"] or match["name"]))] = None
        for each in [*found]:
            if each.name in own | _NO_NAMES or each.schema in _NO_QUALIFIERS:
                del found[each]
    return list(found)


def _bodies(sql: str) -> list[str]:
    """Return the bodies, without their comments and texts."""
    bodies = []
    for statement in lexer.statements(sql):
        text = sql[statement.start : statement.end]
        is_function = {"function", "procedure"} & set(statement.words[:5])
        if statement.words[:1] != ("create",) or not is_function or "plpgsql" not in text.lower():
            continue
        dollars = [piece for piece in lexer.pieces(text) if piece.kind is lexer.Kind.DOLLAR]
        inner = [re.sub(r"^\$\w*\$|\$\w*\$$", " ", text[p.start : p.end]) for p in dollars]
        bodies += [_code(body) for body in inner]
    return bodies


def _code(text: str) -> str:
    return "".join(
        text[piece.start : piece.end] if piece.kind is lexer.Kind.CODE else " '' "
        for piece in lexer.pieces(text)
    )


def _split(name: str) -> tuple[str | None, str]:
    schema, dot, last = name.rpartition(".")
    return (schema.strip().lower() if dot else None), last.strip().lower()
