"""Put the findings that are kept into the page of figures: tables, aims, plots, day and machine.

The words around them are written by hand.  A pair of comments says where findings go.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from benchmarks.measured import KEPT, Section, from_json
from benchmarks.plots import Series, log_log
from scripts.tasks.common import ROOT, TaskError, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from benchmarks.measured import Aim, Machine, Plot, Table

PAGE = ROOT / "docs" / "figures.md"
AIMS = "aims"
_PLACE = re.compile(
    r"(?P<start><!-- figures: (?P<name>[a-z]+) -->\n).*?(?P<end><!-- end of figures -->\n)",
    re.DOTALL,
)


def read_kept(folder: Path = KEPT) -> dict[str, Section]:
    """Return the findings of every section that has some, by its name."""
    sections = (from_json(path.read_text(encoding="utf-8")) for path in folder.glob("*.json"))
    return {section.name: section for section in sections}


def update(page: Path = PAGE, folder: Path = KEPT) -> None:
    """Rewrite the page and its plots.  The same findings give the same bytes."""
    sections = read_kept(folder)
    for name, drawing in plots(sections.values()).items():
        (folder / f"{name}.svg").write_text(drawing, encoding="utf-8")
    page.write_text(fill(page.read_text(encoding="utf-8"), sections), encoding="utf-8")


def plots(sections: Iterable[Section]) -> dict[str, str]:
    """Return the plots of all sections as SVG, by their names."""
    return {plot.name: _draw(plot) for section in sections for plot in section.findings.plots}


def fill(text: str, sections: Mapping[str, Section]) -> str:
    """Return the page with the findings in their places.

    Raises TaskError for a section without a place: nothing that was measured is left out.
    """
    named = {match["name"] for match in _PLACE.finditer(text)}
    if missing := sections.keys() - named:
        raise TaskError(f"The page has no place for {', '.join(sorted(missing))}.")

    def place(match: re.Match[str]) -> str:
        name = match["name"]
        if name == AIMS:
            body = _aims(sections.values())
        else:
            body = _section(sections[name]) if name in sections else "Not measured yet.\n"
        return f"{match['start']}\n{body}\n{match['end']}"

    return _PLACE.sub(place, text)


def _section(section: Section) -> str:
    parts = [f"{_when(section.day)}: {_machine(section.machine)}.\n"]
    parts += [_table(table) for table in section.findings.tables]
    parts += [
        f"![{plot.title}: {_in_words(plot)}](assets/figures/{plot.name}.svg)\n"
        for plot in section.findings.plots
    ]
    return "\n".join(parts)


def _aims(sections: Iterable[Section]) -> str:
    rows = [
        (_met(aim), aim.what, aim.limit, aim.value)
        for section in sorted(sections, key=lambda section: section.name)
        for aim in section.findings.aims
    ]
    return _rows(("", "What", "Aim", "Measured"), rows)


def _met(aim: Aim) -> str:
    return "met" if aim.met else "**missed**"


def _when(day: str) -> str:
    then = date.fromisoformat(day)
    return f"Measured on {then.day} {then:%B %Y}"


def _machine(machine: Machine) -> str:
    load = f"{machine.load_before:g} to {machine.load_after:g}"
    return (
        f"{machine.cores} cores of `{machine.processor}`, {machine.memory_gb} GB, "
        f"`Python {machine.python}`, load {load}"
    )


def _table(table: Table) -> str:
    note = f"\n{table.note}\n" if table.note else ""
    return f"**{table.title}**\n\n{_rows(table.columns, table.rows)}{note}"


def _rows(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = tuple(columns)
    # The first column says what a row is, the others are numbers: both read best that way.
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _draw(plot: Plot) -> str:
    series = [Series(name, points) for name, points in plot.lines]
    return log_log(plot.title, plot.x_label, plot.y_label, series)


def _in_words(plot: Plot) -> str:
    """Say what a plot shows to whoever does not see it: where each line ends."""
    return "; ".join(
        f"{name}, {points[-1][1]:.1f} {plot.y_label} at {points[-1][0]:,.0f} {plot.x_label}"
        for name, points in plot.lines
    )


if __name__ == "__main__":
    update()
    say(f"The findings are in {PAGE}")
