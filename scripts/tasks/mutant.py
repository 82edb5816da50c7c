"""A mutant: one small bug that a maintainer could make, and how a sample of them is drawn."""

from __future__ import annotations

import difflib
import random
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """``new`` in the place of what stands from ``start`` to ``end`` of a file of the project."""

    path: str
    start: int
    end: int
    new: str
    kind: str

    def applied(self, text: str) -> str:
        """Return the text of the file with the bug in it."""
        return text[: self.start] + self.new + text[self.end :]

    def line(self, text: str) -> int:
        """Return the number of the line that it begins in."""
        return text.count("\n", 0, self.start) + 1

    def diff(self, text: str) -> str:
        """Return what it changes, as a unified diff."""
        lines = difflib.unified_diff(
            text.splitlines(keepends=True),
            self.applied(text).splitlines(keepends=True),
            f"a/{self.path}",
            f"b/{self.path}",
            n=1,
        )
        return "".join(f"{line.rstrip()}\n" for line in lines)


def drawn(mutants: Iterable[Mutant], seed: int) -> Sequence[Mutant]:
    """Return all mutants in the order in which they are tried: one of each kind after the other.

    Drawn from all alike, most of a sample would be of the few kinds that are everywhere.
    """
    chance = random.Random(seed)
    kinds: dict[str, list[Mutant]] = {}
    for mutant in sorted(set(mutants)):
        kinds.setdefault(mutant.kind, []).append(mutant)
    for found in kinds.values():
        chance.shuffle(found)
    order = [kinds[kind] for kind in sorted(kinds)]
    chance.shuffle(order)
    return [mutant for turn in zip_longest(*order) for mutant in turn if mutant is not None]
