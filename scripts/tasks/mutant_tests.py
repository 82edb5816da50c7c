"""Which tests are asked about a bug: those that name what it is in, the most specific first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# How much less it says of a test that it names what calls the thing, and not the thing itself.
_FADES = 0.1
_LEVELS = 3
_MADE = re.compile(
    r"create (?:or replace )?(?:unique )?(?:function|procedure|view|table|trigger|policy|index|type"
    r"|schema) (?:if not exists )?([\w.]+)"
)
_NAMED = re.compile(r"\b(?:reminder|public|cron|net|vault)\.(\w+)")


def made_by(statement: str) -> set[str]:
    """Return what a statement of a migration makes, or gives and takes rights on."""
    text = re.sub(r"\s+", " ", statement.lower())
    found = _MADE.match(text)
    if found:
        about = re.search(r"^create (?:trigger|policy|index|unique index)\b.*? on ([\w.]+)", text)
        return {name.rpartition(".")[2] for name in (found[1], *(about.groups() if about else ()))}
    return set(_NAMED.findall(text))


def users(migrations: Iterable[str]) -> dict[str, set[str]]:
    """Return of each thing that the migrations make what else of them names it."""
    found: dict[str, set[str]] = {}
    for sql in migrations:
        for statement in statements(sql):
            text = sql[statement.start : statement.end]
            if not _MADE.match(re.sub(r"\s+", " ", text.lower())):
                continue
            made = made_by(text)
            for name in set(_NAMED.findall(text)) - made:
                found.setdefault(name, set()).update(made)
    return found


def statement_at(sql: str, place: int) -> str:
    """Return the statement that a place of a migration stands in."""
    around = (sql[each.start : each.end] for each in statements(sql) if place <= each.end)
    return next(around, "")


def ranked(
    names: set[str],
    used_by: Mapping[str, set[str]],
    tests: Mapping[str, str],
    stem: str = "",
) -> list[str]:
    """Return the paths of the tests, those first that say most of ``names`` for their length.

    ``stem`` is what the file with the bug is called: a test of the same name knows it best.
    """
    weights = _weights(names, used_by)
    scores = {path: _score(text, weights) for path, text in tests.items()}
    for path in scores:
        if stem and path.endswith(f"/test_{stem}.py"):
            scores[path] += 1
    return sorted(tests, key=lambda path: (-scores[path], path))


def _weights(names: set[str], used_by: Mapping[str, set[str]]) -> dict[str, float]:
    weights = dict.fromkeys(names, 1.0)
    level = names
    for number in range(1, _LEVELS):
        level = {user for name in level for user in used_by.get(name, ())} - weights.keys()
        weights.update(dict.fromkeys(level, _FADES**number))
    return weights


def _score(text: str, weights: Mapping[str, float]) -> float:
    words = re.findall(r"\w+", text)
    return sum(weights.get(word, 0) for word in words) / max(len(words), 1)
