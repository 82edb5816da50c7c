"""Whether a block does anything: one that does nothing passes for the wrong reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sql_snippets.model import Failure, Mark, Order
from sql_snippets.sqltext.transactions import lost_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.model import Danger, Outcome, Snippet

_MEANT = "If that is intended, say `no-effect=` and the reason"
_NO_ROW = re.compile(r"\b(?:INSERT 0|UPDATE|DELETE|MERGE|SELECT|COPY) 0\b|\(0 rows\)")


def check_effect(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Return why the block came to nothing, if it did and the page does not say so.

    Only a run that was watched can tell.  A block with an error was rolled back.
    """
    if outcome.danger is None or outcome.error is not None:
        return []
    unknown = list(_unknown(snippet, outcome))
    found = [
        *_lost(snippet),
        *_unread(snippet, outcome),
        *_idle(snippet, outcome, outcome.danger),
    ]
    if snippet.claims.no_effect is None:
        return [*unknown, *found]
    if unknown:
        return unknown
    if found or outcome.danger.unmeasured or outcome.danger.level is Mark.READ:
        return []
    seen = ", ".join(outcome.danger.seen)
    message = f"the page says no-effect, but the block has one: {seen}. Drop the word"
    return [Failure(snippet.start, message)]


def _lost(snippet: Snippet) -> Iterator[Failure]:
    lost = lost_in(snippet.sql)
    if lost.rolled_back:
        yield Failure(
            snippet.locate(lost.rolled_back[0].start),
            "the block undoes this itself, with a rollback further down: nothing of it remains. "
            f"End it with `commit`. {_MEANT}.",
        )
    # In one session, a later block may end it.
    if lost.opened is not None and snippet.order is not Order.SESSION:
        yield Failure(
            snippet.locate(lost.opened.start),
            "the transaction that begins here is left open: it ends with the session of the block, "
            f"and nothing of it remains. Add `commit`. {_MEANT}.",
        )


def _unread(snippet: Snippet, outcome: Outcome) -> Iterator[Failure]:
    for name in outcome.unread:
        at = snippet.sql.lower().find(name.lower())
        yield Failure(
            snippet.locate(max(at, 0)),
            f"nobody reads the setting {name}: the server takes any value for it, no extension of "
            "this database knows it, and no function, view or policy reads it. Check its name, "
            f"or whether the extension is installed. {_MEANT}.",
        )


def _unknown(snippet: Snippet, outcome: Outcome) -> Iterator[Failure]:
    for named in outcome.unknown:
        kind, _, name = named.partition(" ")
        at = snippet.sql.lower().find(name.rpartition(".")[2])
        yield Failure(
            snippet.locate(max(at, 0)),
            f"the body of this function names the {kind} {name}, which does not exist: the "
            "server looks it up only when the function runs. Correct the name, or make it in the "
            "block or in one before it (`after=`).",
        )


def _idle(snippet: Snippet, outcome: Outcome, danger: Danger) -> Iterator[Failure]:
    if not danger.idle or _says_no_row(snippet):
        return
    if danger.seen:
        what = f"the block did nothing here: {', '.join(danger.seen)}"
        no_row = outcome.columns is None and re.search(r" 0$", outcome.tag)
        how = "If that is right, say `rows=0`" if no_row else _MEANT
        yield Failure(snippet.start, f"{what}. Run it where there is something to do. {how}.")
    elif snippet.order is not Order.SESSION:
        yield Failure(
            snippet.start,
            f"the block leaves nothing behind and returns nothing ({outcome.tag}): what it sets or "
            f"makes ends with its session. Put it into the block that needs it. {_MEANT}.",
        )


def _says_no_row(snippet: Snippet) -> bool:
    output = snippet.claims.output
    return snippet.claims.rows == 0 or (
        output is not None and _NO_ROW.search(output.text) is not None
    )
