"""The options of the catalogue of faults, its score below the run, and its table on the site."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

PROPERTY = "faults"
# Every fault by itself and 100 pairs, as a run without options tries them.  Shown, never required:
# no verdict depends on how busy a machine is.
AIM_SECONDS, AIM_WORKERS = 120, 2
CATALOGUE = "tests/sql_snippets/test_faults.py"
PAIRS = "pairs of these"
COLUMNS = ("What was put wrong", "Faults", "Refused", "Broken", "Seen by health")


@dataclass(frozen=True, slots=True)
class Score:
    """Of one kind of fault: how many, which health names, and what the oracle says of them.

    Unless everything is judged, the oracle is asked only of what health does not name.
    """

    kind: str
    faults: int = 0
    refused: int = 0
    named: int = 0
    judged: int = 0
    broken: int = 0
    seen: int = 0
    # What health did not say, and for each row of health what it alone said.
    unseen: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    def row(self) -> tuple[str, ...]:
        """Return the row of the published table."""
        return (self.kind, *map(str, (self.faults, self.refused, self.broken, self.seen)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the catalogue."""
    group = parser.getgroup("faults", "the catalogue of faults")
    group.addoption(
        "--fault-pairs",
        default="100",
        metavar="N",
        help="as many pairs of faults (default: 100), or 'all', which takes hours",
    )
    group.addoption(
        "--fault-seed", type=int, default=1, metavar="N", help="the seed of the pairs (default: 1)"
    )
    group.addoption(
        "--faults-keep",
        action="store_true",
        help="ask the oracle of every fault, and write the score to docs/figures.md",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the score of what was run, and what was broken and not seen."""
    scores = added_up(
        Score(*value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and report.when == "call"
    )
    if not scores:
        return
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    tried = {
        report.nodeid
        for report in reports
        if any(name == PROPERTY for name, _ in getattr(report, "user_properties", ()))
    }
    seconds = sum(
        getattr(report, "duration", 0)
        for report in reports
        if getattr(report, "nodeid", "") in tried
    )
    faults, named, judged, broken, seen = (
        sum(getattr(score, name) for score in scores)
        for name in ("faults", "named", "judged", "broken", "seen")
    )
    terminalreporter.section("faults")
    terminalreporter.line(
        f"{faults} faults, of which health names {named}; of the {judged} that were judged, "
        f"{broken} broke the promise, and health names {seen} of these"
    )
    terminalreporter.line(
        f"{seconds:.0f} s of one worker, {seconds / AIM_WORKERS:.0f} s of each of {AIM_WORKERS}; "
        f"the aim without options is {AIM_SECONDS} s of each"
    )
    for score in scores:
        for name in score.unseen:
            terminalreporter.line(f"UNSEEN {score.kind}: {name}")
    alone = [what for score in scores for what in score.alone]
    for what in sorted(set(alone)):
        terminalreporter.line(f"{alone.count(what):5} broken faults showed in {what!r} alone")
    if config.getoption("--faults-keep"):
        _keep(scores)


def added_up(scores: Iterable[Score]) -> list[Score]:
    """Return one score a kind; the pairs are tried in several parts."""
    kinds: dict[str, Score] = {}
    for score in scores:
        known = kinds.get(score.kind, Score(score.kind))
        kinds[score.kind] = Score(
            score.kind,
            *(a + b for a, b in zip(astuple(known)[1:], astuple(score)[1:], strict=True)),
        )
    return list(kinds.values())


def _keep(scores: Sequence[Score]) -> None:
    from benchmarks import figures, measured  # noqa: PLC0415 - for this option alone

    table = measured.Table(
        "Faults put into the seeded database, one at a time and in pairs",
        COLUMNS,
        tuple(score.row() for score in scores),
    )
    # Here the oracle was asked of every fault, which takes far longer than a run of every day.
    seconds = _seconds_without_options()
    aim = measured.Aim(
        f"The catalogue of faults with 100 pairs, {AIM_WORKERS} workers",
        f"{AIM_SECONDS} s",
        f"{seconds:.0f} s",
        seconds <= AIM_SECONDS,
    )
    measured.write("faults", measured.Findings((table,), (aim,)), os.getloadavg()[0])
    figures.update()


def _seconds_without_options() -> float:
    """Run the catalogue once more, as `scripts/test` does, and return the seconds."""
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", str(AIM_WORKERS), CATALOGUE], check=True
    )
    return time.monotonic() - begin
