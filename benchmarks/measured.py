"""What a section of the benchmark found: tables, aims and plots, on paper and as JSON.

Cells are text, as they are to be read; code in them stands between backticks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, TaskError, say_error
from sql_snippets.codec import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FORMAT = 1
KEPT = ROOT / "docs" / "assets" / "figures"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a line that says what they are; ``note`` says how they were come by."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """What was aimed at, and what came out."""

    what: str
    limit: str
    value: str
    met: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """Named lines of points, for two logarithmic axes; ``name`` is that of the file."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What kind of machine it was, and how busy; nothing that tells which one."""

    cores: int
    processor: str
    memory_gb: int
    python: str
    load_before: float
    load_after: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What one section found."""

    tables: tuple[Table, ...]
    aims: tuple[Aim, ...] = ()
    plots: tuple[Plot, ...] = field(default=())
    # What the thing that was measured is told by, where it may change without being measured again.
    of: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one section, with the day and the machine."""

    name: str
    day: str
    machine: Machine
    findings: Findings


def run_section(
    name: str,
    arguments: Sequence[str],
    measure: Callable[[argparse.Namespace], Findings],
    add_options: Callable[[argparse.ArgumentParser], None],
    description: str | None,
) -> int:
    """Be the program of a section: read its options, measure, print, and write what is asked."""
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=description)
    add_options(parser)
    parser.add_argument(
        "--keep", action="store_true", help="keep the findings for the page of figures"
    )
    options = parser.parse_args(list(arguments))
    before = os.getloadavg()[0]
    try:
        findings = measure(options)
    except TaskError as err:
        say_error(str(err))
        return 1
    print(as_text(findings))
    if options.keep:
        write(name, findings, before)
    return 0


def write(name: str, findings: Findings, load_before: float, folder: Path = KEPT) -> None:
    """Keep the findings of a section, with the day and the machine."""
    day = datetime.now(UTC).date().isoformat()
    section = Section(name, day, this_machine(load_before), findings)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(to_json(section), encoding="utf-8")


def joined(found: Iterable[Findings]) -> Findings:
    """Return several findings as one."""
    parts = list(found)
    return Findings(
        tuple(table for part in parts for table in part.tables),
        tuple(aim for part in parts for aim in part.aims),
        tuple(plot for part in parts for plot in part.plots),
    )


def this_machine(load_before: float) -> Machine:
    """Return the kind of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cores=os.cpu_count() or 1,
        processor=_processor(),
        memory_gb=round(memory / 2**30),
        python=platform.python_version(),
        load_before=round(load_before, 1),
        load_after=round(os.getloadavg()[0], 1),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine()


def to_json(section: Section) -> str:
    """Return the text of the file that is kept."""
    values = {"format": FORMAT, **asdict(section)}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str) -> Section:
    """Read what `to_json` wrote.  Raises ValueError for what is no such text."""
    values = json.loads(text)
    if values.get("format") != FORMAT:
        raise ValueError(f"These are no findings of format {FORMAT}.")
    return decode(Section, values)


def as_text(findings: Findings) -> str:
    """Return the tables and aims for a terminal."""
    parts = [_table_as_text(table) for table in findings.tables]
    parts += [
        f"{'met   ' if aim.met else 'MISSED'}  {aim.what}: {aim.value} (aim: {aim.limit})"
        for aim in findings.aims
    ]
    return "\n".join(parts).replace("`", "")


def _table_as_text(table: Table) -> str:
    rows = [[cell.replace("`", "") for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, *([table.note] if table.note else []), *lines, ""])
