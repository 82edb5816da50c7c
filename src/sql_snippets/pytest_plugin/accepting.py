"""With ``--sql-update``, what differs becomes an edit of the page instead of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.results.rewrite import CellEdit, Edit
from sql_snippets.sqltext.psql import accept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sql_snippets.model import ExpectedOutput, Fix, Outcome


def edit_of_output(
    output: ExpectedOutput,
    outcome: Outcome,
    volatile: Sequence[str],
    *,
    root: Path,
    digests: Mapping[Path, str],
) -> Edit:
    """Return the edit that makes an output what came back."""
    path = root / output.location.path
    return Edit(
        path=path,
        first_line=output.location.line,
        last_line=output.end_line,
        old=output.text,
        new=accept(output.text, outcome, volatile),
        digest=digests[path],
    )


def edits_of_cells(
    fixes: Iterable[Fix], *, root: Path, digests: Mapping[Path, str]
) -> list[CellEdit]:
    """Return the edits that make cells what is true."""
    edits = []
    for fix in fixes:
        path = root / fix.path
        place = (fix.line, fix.start, fix.end)
        edits.append(CellEdit(path, *place, fix.old, fix.new, digests[path]))
    return edits
