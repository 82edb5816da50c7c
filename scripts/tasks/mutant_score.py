"""The score of a sample of mutants, for a terminal and for the page For maintainers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.measured import Findings, Table, write
from scripts.tasks.common import ROOT
from scripts.tasks.mutant_run import OUT_OF_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.tasks.mutant_run import Tried

PAGE = ROOT / "docs" / "maintainers.md"
KEPT = ROOT / "docs" / "assets" / "mutants"
_SIZE_OF_A_NIGHT = 200
_ALL = "all"


def findings(tried: Sequence[Tried], possible: int, seed: int, seconds: float) -> Findings:
    """Return what a sample of the ``possible`` mutants says; ``seconds`` is how long it took."""
    counted = [one for one in tried if one.verdict.fate != "refused"]
    rows = [_row(kind, counted) for kind in sorted({one.mutant.kind for one in counted})]
    refused = len(tried) - len(counted)
    hours = seconds / max(len(counted), 1) * _SIZE_OF_A_NIGHT / 3600
    note = (
        f"Seed {seed}, {len(counted)} of {possible} possible. "
        + (f"{refused} more were refused by the server and do not count. " if refused else "")
        + f"{_SIZE_OF_A_NIGHT} of them take a night of {hours:.1f} hours on two cores."
    )
    survivors = [one for one in counted if one.verdict.fate == "survived"]
    if survivors:
        late = sum(one.verdict.by == OUT_OF_TIME for one in survivors)
        diffs = "".join(one.diff for one in survivors)
        note += (
            f"\n\nNot noticed: {len(survivors)}, of which {late} by what tests there was time for."
            f"\n\n```diff\n{diffs}```"
        )
    columns = ("Small bug", "Tried", "Noticed")
    table = Table("Small bugs, one at a time", columns, (*rows, _row(_ALL, counted)), note)
    return Findings((table,))


def _row(kind: str, counted: Sequence[Tried]) -> tuple[str, str, str]:
    of_kind = [one for one in counted if kind in {one.mutant.kind, _ALL}]
    noticed = sum(one.verdict.fate == "noticed" for one in of_kind)
    return kind, str(len(of_kind)), str(noticed)


def keep(name: str, found: Findings, load_before: float) -> None:
    """Write the score of one kind of mutants to the page For maintainers."""
    write(name, found, load_before, KEPT)
    figures.update(PAGE, KEPT)
