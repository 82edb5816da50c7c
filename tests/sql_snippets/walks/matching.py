"""Which of the outcomes that a page lists is the one that came back.

Pure: no database and no page is touched.  An outcome is read as its reader would: phrase by phrase,
with the one that says most of the answer before those that say less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sql_snippets.walks.phrases import Truth, Weighed, together, weigh_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sql_snippets.walks.answers import Answer


@dataclass(frozen=True, slots=True)
class Match:
    """The outcome that fits, by its place in the list, and others that fit as well."""

    index: int | None
    rivals: tuple[int, ...] = ()
    rows: frozenset[int] | None = None
    is_rest: bool = False
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One outcome as written: a text, or a cell for each column of a table of causes."""

    cells: tuple[tuple[str, str], ...]


def of_text(text: str) -> Condition:
    """Return the condition of an item of a list."""
    return Condition((("", text),))


_REST = re.compile(
    r"^(?:anything else|any other error|none of these|neither|another one"
    r"|anything else, or no row|any other answer)$",
    re.IGNORECASE,
)


def choose(answer: Answer, conditions: Sequence[Condition]) -> Match:
    """Return which condition an answer meets: the one that says most of it."""
    weighed = [weigh(answer, condition) for condition in conditions]
    rest = [index for index, condition in enumerate(conditions) if _is_rest(answer, condition)]
    for wanted in (Truth.YES, Truth.OPEN):
        found = [
            (one.weight, index)
            for index, one in enumerate(weighed)
            if one.truth is wanted and one.weight > 0 and index not in rest
        ]
        if found:
            best = max(weight for weight, _ in found)
            first, *others = [index for weight, index in found if weight == best]
            rivals = tuple(
                index for index in others if _same_rows(weighed[first].rows, weighed[index].rows)
            )
            return Match(first, rivals, weighed[first].rows, is_open=wanted is Truth.OPEN)
    if rest:
        return Match(rest[0], is_rest=True)
    return Match(None)


def _same_rows(one: frozenset[int] | None, other: frozenset[int] | None) -> bool:
    """Whether two conditions speak of the same row; where they do not, both may be true."""
    return one is None or other is None or bool(one & other)


def _is_rest(answer: Answer, condition: Condition) -> bool:
    ((_, text), *_) = condition.cells
    plain = text.strip().rstrip(".")
    if not _REST.match(plain):
        return False
    return answer.is_error or "error" not in plain.lower()


def weigh(answer: Answer, condition: Condition) -> Weighed:
    """Say whether a condition holds for an answer."""
    whole: list[Weighed] = []
    candidates: frozenset[int] | None = None
    for column, text in condition.cells:
        one = weigh_text(answer, column, text)
        if one.truth is Truth.NO:
            return one
        if one.rows is not None:
            candidates = one.rows if candidates is None else candidates & one.rows
            if not candidates:
                return Weighed(Truth.NO)
        whole.append(one)
    return together(whole, candidates)
