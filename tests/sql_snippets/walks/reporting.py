"""The options of the walks, and their table on the site."""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from scripts.hooks.walked import AGAIN, digest_of, is_walked
from tests.sql_snippets.decisions import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

PROPERTY = "walks"
DOCS = PAGE.parents[1]
ALL = "all"
COLUMNS = (
    "What was put wrong",
    "Walks",
    "Broken",
    "Mended",
    "Escalated",
    "Done, still broken",
    "In a circle or lost",
    "Oracle asked",
    "Statements",
)
TOTAL = "all"
# How many faults of each kind are walked every day, and how long that may take there.
DAILY = 2
CORES, MOST_SECONDS = 2, 120.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of the walks from one kind of fault; ``statements`` has one number a walk."""

    kind: str
    walks: int = 0
    broken: int = 0
    mended: int = 0
    escalated: int = 0
    well: int = 0
    untrue: int = 0
    astray: int = 0
    statements: tuple[int, ...] = ()
    # How often the oracle was asked between two statements.
    asked: int = 0
    # How long the first ones took, as many as are walked every day.
    seconds: float = 0.0

    def row(self) -> tuple[str, ...]:
        """Return the row of the published table: of the statements, the median and the most."""
        numbers = (self.walks, self.broken, self.mended, self.escalated)
        shown = f"{median(self.statements):g}, at most {max(self.statements)}"
        return (self.kind, *map(str, (*numbers, self.untrue, self.astray, self.asked)), shown)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the walks."""
    group = parser.getgroup("walks", "the runbook, walked by a machine")
    group.addoption(
        "--walks",
        default=str(DAILY),
        metavar="N",
        help="walk from as many faults of each kind (default: %(default)s), or from 'all', "
        "for half an hour",
    )
    group.addoption(
        "--walks-keep",
        action="store_true",
        help="write the table of the walks to docs/figures.md",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print how the walks ended, and what is to be said about the page."""
    found = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and report.when == "call"
    ]
    if not found:
        return
    tallies = added_up(Tally(*tally) for tally, _ in found)
    total = sum_of(tallies)
    terminalreporter.section("walks")
    terminalreporter.line(
        f"{total.walks} walks: {total.broken} from something broken, {total.mended} of them mended "
        f"by the page, {total.escalated} escalated; {total.untrue} done and still broken, "
        f"{total.astray} astray; median of {median(total.statements):g} statements; the oracle "
        f"was asked {total.asked} times on the way"
    )
    remarks = [remark for _, some in found for remark in some]
    for remark in sorted(set(remarks), key=lambda one: (-remarks.count(one), one)):
        terminalreporter.line(f"{remarks.count(remark):4} {remark}")
    if config.getoption("--walks-keep"):
        if exitstatus > 1 or terminalreporter.stats.get("deselected"):
            terminalreporter.line("Not kept: not every walk that was asked for came to its end.")
        else:
            _keep(tallies, config.getoption("--walks"))
    if not is_walked(DOCS):
        terminalreporter.line(f"The table on the site is of an older runbook. Walk again: {AGAIN}")


def added_up(tallies: Iterable[Tally]) -> list[Tally]:
    """Return one tally a kind; one kind may be walked in several parts."""
    kinds: dict[str, Tally] = {}
    for tally in tallies:
        known = kinds.get(tally.kind, Tally(tally.kind))
        kinds[tally.kind] = _plus(known, tally)
    return list(kinds.values())


def sum_of(tallies: Iterable[Tally], kind: str = TOTAL) -> Tally:
    """Return several tallies as one."""
    total = Tally(kind)
    for tally in tallies:
        total = _plus(total, tally)
    return total


def _plus(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.kind,
        walks=one.walks + other.walks,
        broken=one.broken + other.broken,
        mended=one.mended + other.mended,
        escalated=one.escalated + other.escalated,
        well=one.well + other.well,
        untrue=one.untrue + other.untrue,
        astray=one.astray + other.astray,
        # A run on several workers has made a list of it.
        statements=(*one.statements, *other.statements),
        asked=one.asked + other.asked,
        seconds=one.seconds + other.seconds,
    )


def _keep(tallies: Sequence[Tally], of_each_kind: str) -> None:
    from benchmarks import figures, measured  # noqa: PLC0415 - for this option alone

    table = measured.Table(
        "The runbook walked by a machine, from Check health and from each alert that arrived",
        COLUMNS,
        tuple(tally.row() for tally in (*tallies, sum_of(tallies))),
        "Walked from all faults of each kind."
        if of_each_kind == ALL
        else f"Walked from {of_each_kind} faults of each kind, drawn at random, "
        "and from all of a kind that has no more.",
    )
    # Never asserted: how busy a machine was says nothing of the page.
    took = sum_of(tallies).seconds / CORES
    aim = measured.Aim(
        f"The runbook walked from {DAILY} faults of each kind, on {CORES} cores",
        f"{MOST_SECONDS:.0f} s",
        f"{took:.0f} s",
        met=took <= MOST_SECONDS,
    )
    found = measured.Findings((table,), (aim,), of=digest_of(PAGE.read_text(encoding="utf-8")))
    measured.write("walks", found, os.getloadavg()[0])
    figures.update()
