"""What a heading says of everything below it: run in order, or left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sql_snippets.model import Failure, Location, Order, Snippet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sql_snippets.reading.directives import HeadingDirective, Word


@dataclass(slots=True)
class _Scope:
    """The section of one heading; ``blocks`` are those of an order that were read so far."""

    level: int
    location: Location
    order: Order | None
    skip: str | None
    blocks: list[Snippet] = field(default_factory=list)


class Scopes:
    """The sections that the reader is in, innermost last."""

    def __init__(self) -> None:
        self._open: list[_Scope] = []

    @property
    def skipped(self) -> str | None:
        """Why what comes now is left out, if it is."""
        return next((scope.skip for scope in reversed(self._open) if scope.skip), None)

    @property
    def _ordered(self) -> _Scope | None:
        return next((scope for scope in self._open if scope.order), None)

    @property
    def order(self) -> Order | None:
        """How the blocks follow one another that come now; None where each stands by itself."""
        return self._ordered.order if self._ordered else None

    def enter(self, level: int, bound: HeadingDirective, location: Location) -> Iterator[Failure]:
        """Begin the section of a heading, and yield what is wrong with it."""
        outer = self._ordered
        if outer is not None and (bound.order or bound.scenario):
            yield Failure(
                bound.words["in-order" if bound.order else "drill"].location,
                f"the section is inside one that is run in order ({outer.location}), which "
                "includes its blocks already.",
            )
            return
        if bound.order and bound.scenario:
            yield Failure(
                bound.words["in-order"].location,
                "a drill is followed from top to bottom already; drop one of the two.",
            )
            return
        if bound.order or bound.skip:
            self._open.append(_Scope(level, location, bound.order, bound.skip))

    def leave(self, level: int) -> Iterator[Failure]:
        """End the sections that end at a heading of this level; yield what they lack."""
        while self._open and self._open[-1].level >= level:
            scope = self._open.pop()
            if scope.order and not scope.blocks and not scope.skip:
                yield Failure(scope.location, "there is no SQL block here to run in order.")

    def before(self) -> tuple[Snippet, ...]:
        """Return the blocks of the order so far, which a block that comes now stands on."""
        return tuple(self._ordered.blocks) if self._ordered else ()

    def misfits(self, words: Sequence[Word | None]) -> Iterator[Failure]:
        """Yield the words that have no place above a block that is run in order."""
        for word in words if self._ordered else ():
            if word is not None:
                yield Failure(
                    word.location,
                    f"`{word}` does not fit blocks run in order: these are run from top to bottom, "
                    "in one database.",
                )

    def add(self, snippet: Snippet) -> None:
        """Add a block to the order, if there is one and the block is run."""
        if self._ordered and snippet.skipped is None:
            # Each has its forerunners beside it already; it keeps those that give it a value.
            sources = {source.block for source in snippet.claims.taken.values()}
            given = [replace(e, earlier=()) for e in snippet.earlier if e.name in sources]
            self._ordered.blocks.append(replace(snippet, earlier=tuple(given)))
