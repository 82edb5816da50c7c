"""What the section of the reminders found, as tables, aims and a plot."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measured import Aim, Findings, Plot, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench_reminders import Scale

# How far from in proportion still counts as it.
PROPORTION = 1.5
SHOWN = 8


@dataclass(frozen=True, slots=True)
class QueryTimes:
    """Seconds of one block in a new session, and then again, and what the page promises."""

    name: str
    first: float
    then: float
    promised: float


def of_runs(scales: Sequence[Scale]) -> Findings:
    """Return the runs beside their floor, and whether their ratio grows."""
    runs = [statistics.median(scale.run_seconds) for scale in scales]
    floors = [statistics.median(scale.floor_seconds) for scale in scales]
    table = Table(
        "One reminder run, two thirds of the assignments due",
        ("Assignments", "Run, s", "Bare insert, s", "Ratio", "Nothing new, s"),
        tuple(
            (
                f"{scale.assignments:,}",
                f"{run:.2f}",
                f"{floor:.2f}",
                f"{scale.ratio:.2f}",
                f"{scale.again_seconds:.2f}",
            )
            for scale, run, floor in zip(scales, runs, floors, strict=True)
        ),
        "Run and bare insert in turn on the same server.",
    )
    largest = scales[-1]
    aims = (
        Aim(
            f"Reminder run of {largest.assignments:,} assignments, beside a bare insert",
            f"{PROPORTION:g} times its time",
            f"{largest.ratio:.2f} times",
            largest.ratio <= PROPORTION,
        ),
    )
    sizes = [float(scale.assignments) for scale in scales]
    plot = Plot(
        "reminders",
        "Time of a reminder run by its assignments",
        "assignments",
        "seconds",
        (
            ("run", tuple(zip(sizes, runs, strict=True))),
            ("bare insert", tuple(zip(sizes, floors, strict=True))),
        ),
    )
    return Findings((table,), aims, (plot,))


def of_queries(times: Sequence[QueryTimes], assignments: int, activities: int) -> Findings:
    """Return the slowest of the operator's queries, and whether all keep what the page promises.

    The editor opens a session for each, so the first time in a session is what counts.
    """
    slowest = sorted(times, key=lambda each: each.first / each.promised, reverse=True)
    over = [each for each in times if each.first > each.promised]
    table = Table(
        f"The operator's queries: {assignments:,} assignments, {activities:,} activities, ten "
        "years of logs",
        ("Block", "First in a session, ms", "Then, ms", "Promised, ms", "Ratio"),
        tuple(
            (
                f"`{each.name}`",
                f"{each.first * 1000:.1f}",
                f"{each.then * 1000:.1f}",
                f"{each.promised * 1000:,.0f}",
                f"{each.first / each.promised:.2f}",
            )
            for each in slowest[:SHOWN]
        ),
        f"Of the {len(times)} `READ` blocks of the runbook those nearest to their limit.",
    )
    aim = Aim(
        f"The operator's {len(times)} queries, first in a session",
        "100 ms for health, else what the line of the block says",
        f"{len(over)} above" + "".join(f", {each.name}" for each in over),
        not over,
    )
    return Findings((table,), (aim,))
