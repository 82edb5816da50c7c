"""Whether the mark on a page is the one that a run was seen to deserve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.model import Danger, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

_ORDER = tuple(Mark)
_SHOWN = 4


def contradiction(mark: Mark, danger: Danger, *, failed: bool, vouched: bool = False) -> str | None:
    """Say how the mark on a page differs from what was seen, or None.

    A block that ``failed``, as the page says that it does, was rolled back: it may have been going
    to do more than was seen, so that its mark can be too weak but not too strong.  ``vouched`` is
    what the page says has no effect, though nobody can measure it.
    """
    if mark is Mark.READ is danger.level and danger.unmeasured and not vouched:
        unseen = _listed(danger.unmeasured)
        return (
            f"the page says READ, but what this does is not measured: {unseen}. Say WRITE or STOP, "
            "by what it can do; or, if it changes nothing, say `no-effect=` and the reason"
        )
    if mark is danger.level:
        return None
    seen = _listed(danger.seen)
    if _ORDER.index(mark) > _ORDER.index(danger.level):
        if failed or (danger.at_most and _ORDER.index(mark) <= _ORDER.index(danger.at_most)):
            return None
        return f"the page says {mark}, but nothing worse than {danger.level} was seen: {seen}"
    did = "wrote" if danger.level is Mark.WRITE else "can lose work"
    return f"the page says {mark}, but the run {did}: {seen}"


def _listed(seen: Sequence[str]) -> str:
    if not seen:
        return "the run changed nothing and held no lock"
    more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
    return ", ".join(seen[:_SHOWN]) + more
