"""Measure how the time of a run grows with its blocks, and how it falls with workers.

Workers beyond the cores of this machine are simulated, twice.  By calculation: the part of a run
that more workers make shorter follows from the times of one and of two.  And by blocks that only
wait, of which two cores can carry many at once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus
from benchmarks.measured import Aim, Findings, Plot, Table, run_section

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

SIZES = (100, 1000)
LARGEST = 10_000
ON_A_PAGE = 50
WORKERS = (1, 2)
SIMULATED = (1, 2, 4, 8)
WAIT_SECONDS = 0.05
# Of the time of a block at the smallest size: what still counts as the same.
SAME = 1.25
_STATEMENTS = (
    ("READ", "select count(*) from orders where id <= {n};"),
    ("READ", "select id, status from open_orders order by id limit 3 offset {n} % 90;"),
    ("WRITE", "update orders set status = 'closed {n}' where id = 1 + {n} % 100;"),
    ("WRITE", "insert into orders (status) values ('new {n}');"),
    ("WRITE", "create table scratch_{n} (id int primary key, note text);"),
)
_WAITING = (("READ", f"select pg_sleep({WAIT_SECONDS}), {{n}} as n;"),)


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points, and how far the points are off it at most."""

    start: float
    slope: float
    off: float


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("scaling", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="(100 1000)")
    parser.add_argument("--ten-thousand", action="store_true", help="10,000 blocks as well")
    parser.add_argument("--waiting", type=int, default=200, help="so many that wait (200)")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Measure blocks that work, then blocks that wait."""
    sizes = [*options.sizes, *((LARGEST,) if options.ten_thousand else ())]
    times: dict[int, dict[int, float]] = {workers: {} for workers in WORKERS}
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
        for size in sizes:
            project = _project(Path(folder) / str(size), size, _STATEMENTS)
            rounds = 1 if size >= LARGEST else options.rounds
            for workers in WORKERS:
                times[workers][size] = _seconds(project, size, workers, rounds)
        project = _project(Path(folder) / "waiting", options.waiting, _WAITING)
        waiting = {workers: _seconds(project, options.waiting, workers, 1) for workers in SIMULATED}
    lines = {workers: fit(sorted(of.items())) for workers, of in times.items()}
    return Findings(
        (_growth(times, lines), _calculated(times), _waited(waiting, options.waiting)),
        _aims(times[1]),
        (_plot(times),),
    )


def _project(folder: Path, size: int, statements: Sequence[tuple[str, str]]) -> corpus.Project:
    project = corpus.Project(folder)
    for start in range(0, size, ON_A_PAGE):
        blocks = []
        for n in range(start, min(start + ON_A_PAGE, size)):
            mark, statement = statements[n % len(statements)]
            blocks.append((mark, statement.format(n=n)))
        project.write(f"page_{start}.md", corpus.page(f"Page {start}", "sql", blocks))
    project.run("docs", "-k", "page_0.md")  # the server is prepared
    return project


def _seconds(project: corpus.Project, size: int, workers: int, rounds: int) -> float:
    more = ("-n", str(workers)) if workers > 1 else ()
    return statistics.median(
        project.run("docs", "--sql-no-cache", *more, expects=f"{size} passed").seconds
        for _ in range(rounds)
    )


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line of least squares, of relative errors so that small sizes count as much."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    together = sum(
        w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points, strict=True)
    )
    slope = together / spread if spread else 0.0
    start = y_mean - slope * x_mean
    return Line(start, slope, max(abs(start + slope * x - y) / y for x, y in points))


def with_workers(one: float, two: float, workers: int) -> float:
    """Return the seconds with so many workers, each on a core of its own, after Amdahl.

    What two workers save over one is half of the part that can be shared out; the rest stays.
    """
    shared = min(max(2 * (one - two), 0.0), one)
    return one - shared + shared / workers


def _growth(times: dict[int, dict[int, float]], lines: dict[int, Line]) -> Table:
    rows = [
        (f"{size:,}", *(f"{times[workers][size]:.2f}" for workers in WORKERS)) for size in times[1]
    ]
    rows += [
        ("a block more, ms", *(f"{lines[workers].slope * 1000:.2f}" for workers in WORKERS)),
        ("start, s", *(f"{lines[workers].start:.2f}" for workers in WORKERS)),
        ("farthest from the line", *(f"{lines[workers].off:.0%}" for workers in WORKERS)),
    ]
    return Table(
        "Blocks and workers, s",
        ("Blocks", "1 worker", "2 workers"),
        tuple(rows),
        "On a prepared server, no verdict cached. The line is a linear fit.",
    )


def _calculated(times: dict[int, dict[int, float]]) -> Table:
    return Table(
        "More workers by calculation, s",
        ("Blocks", *(f"{workers} workers" for workers in SIMULATED[2:]), "Part that is shared out"),
        tuple(
            (
                f"{size:,}",
                *(f"{with_workers(one, times[2][size], n):.2f}" for n in SIMULATED[2:]),
                f"{(one - with_workers(one, times[2][size], sys.maxsize)) / one:.0%}",
            )
            for size, one in times[1].items()
        ),
        "From the measured times of one and two workers, as if each had a core of its own: two "
        "save half of the part that is shared out.",
    )


def _waited(waiting: dict[int, float], count: int) -> Table:
    return Table(
        f"More workers with {count} blocks that wait {WAIT_SECONDS * 1000:.0f} ms",
        ("Workers", "Time, s", "Ratio to one worker"),
        tuple(
            (str(workers), f"{seconds:.2f}", f"{seconds / waiting[1]:.2f}")
            for workers, seconds in waiting.items()
        ),
        "Measured: a block that waits needs no core, so that few cores can carry many workers.",
    )


def _aims(times: dict[int, float]) -> tuple[Aim, ...]:
    sizes = sorted(times)
    if len(sizes) < 2:  # noqa: PLR2004 - a slope is between two points
        return ()
    first = times[sizes[0]] / sizes[0]
    last = times[sizes[-1]] / sizes[-1]
    return (
        Aim(
            f"Time of a block among {sizes[-1]:,}, beside one among {sizes[0]:,}, one worker",
            f"linear: at most {SAME:g} times",
            f"{last / first:.2f} times",
            last <= SAME * first,
        ),
    )


def _plot(times: dict[int, dict[int, float]]) -> Plot:
    names = {1: "1 worker", 2: "2 workers"}
    return Plot(
        "scaling",
        "Time of a run by its blocks",
        "blocks",
        "seconds",
        tuple(
            (names[workers], tuple((float(x), y) for x, y in sorted(of.items())))
            for workers, of in times.items()
        ),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
