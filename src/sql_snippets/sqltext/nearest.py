"""The name most like a wrong one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CUTOFF = 0.6


def nearest(name: str, candidates: Iterable[str], *, cutoff: float = _CUTOFF) -> str | None:
    """Return the candidate most like ``name``, ``None`` when none is like it."""
    matches = difflib.get_close_matches(name, sorted(set(candidates)), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def meaning(found: str | None) -> str:
    """Return the end of a message that offers what was found, empty when nothing was."""
    return f'; did you mean "{found}"?' if found else ""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the end of a message that offers the nearest of the candidates."""
    return meaning(nearest(name, candidates))
