"""The name that a wrong one was likely meant to be.

A suggestion that is wrong costs an author more than none, so it takes a slip of the pen: one or
two letters, another way to join words, or an ending left out.  Where two names are as likely,
neither is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_JOINTS = re.compile(r"[\s_.\-]+")
_TWO_SLIPS_FROM = 8
_SHORT = 4


def likely(name: str, candidates: Collection[str]) -> list[str]:
    """Return the candidates that ``name`` was likely meant to be, the most likely ones alone."""
    ranked: dict[tuple[int, int], set[str]] = {}
    for candidate in candidates:
        slips = _slips(name, candidate)
        if slips is not None:
            rank = slips, _distance(name.lower(), candidate.lower())
            ranked.setdefault(rank, set()).add(candidate)
    if ranked:
        return sorted(ranked[min(ranked)])
    wanted = _words(name)
    longer = {other for other in candidates if wanted and _words(other)[: len(wanted)] == wanted}
    return sorted(longer) if len(name) >= _SHORT else []


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return what ``name`` was likely meant to be, ``None`` when nothing is, or several are."""
    found = likely(name, list(candidates))
    return found[0] if len(found) == 1 else None


def meaning(found: str | None) -> str:
    """Return the end of a message that offers what was found, empty when nothing was."""
    return f"; {question(found)}" if found else ""


def question(found: str) -> str:
    """Return the question whether a name was meant, which may have its own quotes."""
    return f"did you mean {found}?" if '"' in found else f'did you mean "{found}"?'


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the end of a message that offers the nearest of the candidates."""
    return meaning(nearest(name, candidates))


def _words(name: str) -> list[str]:
    """Return the words of a name: parted by what joins them, or by a capital."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in _JOINTS.split(apart.lower()) if word]


def _slips(name: str, candidate: str) -> int | None:
    """Return how many slips lead from one name to another, ``None`` for more than are likely."""
    first, second = "".join(_words(name)), "".join(_words(candidate))
    if first == second:
        return 0
    shorter = min(len(first), len(second))
    begins_alike = first[:_SHORT] == second[:_SHORT]
    most = 2 if shorter >= _TWO_SLIPS_FROM or (begins_alike and shorter > _SHORT) else 1
    if abs(len(first) - len(second)) > most or not first or not second:
        return None
    digits = re.sub(r"\D", "", second)
    if digits and digits != re.sub(r"\D", "", first):
        return None  # a series of names: another number is another thing
    if shorter <= _SHORT and first[0] != second[0]:
        return None
    slips = _distance(first, second)
    return slips if slips <= most else None


def _distance(first: str, second: str) -> int:
    """Return the letters to be put in, left out, exchanged or swapped with their neighbour."""
    before: list[int] = []
    last = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        row = [i]
        for j, b in enumerate(second, start=1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
