"""The benchmark starts, and what it found stands on the page of figures as it was kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from benchmarks import figures
from benchmarks.bench_scaling import fit, with_workers
from benchmarks.measured import (
    KEPT,
    Aim,
    Findings,
    Machine,
    Plot,
    Section,
    Table,
    as_text,
    from_json,
    to_json,
)
from scripts.hooks.walked import RUNBOOK, WALKS, digest_of, is_walked
from scripts.tasks.common import ROOT, TaskError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.site.shared_site import Site

SECTIONS = sorted(
    path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")
)
SECTION = Section(
    "starting",
    "2026-11-05",
    Machine(2, "Some CPU", 24, "3.11.7", 0.5, 1.25),
    Findings(
        (Table("Times", ("What", "s"), (("`psql`", "1.50"), ("ours", "3.00")), "Median of 3."),),
        (Aim("Start", "under 1 s", "3 s", met=False),),
        (Plot("growth", "Growth", "blocks", "seconds", (("one", ((10.0, 1.0), (20.0, 2.5))),)),),
    ),
)
PAGE = (
    "# Figures\n\n<!-- figures: aims -->\nold\n<!-- end of figures -->\n\nBy hand.\n\n"
    "<!-- figures: starting -->\n<!-- end of figures -->\n"
)


def test_findings_are_kept_as_they_are() -> None:
    assert from_json(to_json(SECTION)) == SECTION
    with pytest.raises(ValueError, match="format"):
        from_json('{"format": 0}')


def test_findings_are_printed_without_marks() -> None:
    assert as_text(SECTION.findings).splitlines() == [
        *("Times", "Median of 3."),
        *("What     s", "psql  1.50", "ours  3.00", ""),
        "MISSED  Start: 3 s (aim: under 1 s)",
    ]


def test_page_gets_tables_aims_plots_day_and_machine() -> None:
    filled = figures.fill(PAGE, {"starting": SECTION})
    for part in (
        "| **missed** | Start | under 1 s | 3 s |",
        "Measured on 5 November 2026: 2 cores of `Some CPU`, 24 GB, `Python 3.11.7`, load 0.5 to",
        "**Times**\n\n| What | s |\n| --- | --- |\n| `psql` | 1.50 |\n| ours | 3.00 |\n",
        "![Growth: one, 2.5 seconds at 20 blocks](assets/figures/growth.svg)",
        "\n\nBy hand.\n\n",
    ):
        assert part in filled
    assert "old" not in filled
    assert figures.fill(filled, {"starting": SECTION}) == filled


def test_findings_without_a_place_are_refused() -> None:
    with pytest.raises(TaskError, match="no place for starting"):
        figures.fill("# Figures\n", {"starting": SECTION})


def test_plots_can_be_read_by_a_machine_and_in_both_schemes() -> None:
    for drawing in figures.plots([SECTION]).values():
        root = ET.fromstring(drawing)  # noqa: S314 - our own
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert "currentColor" in drawing


def test_page_shows_what_is_kept() -> None:
    kept = figures.read_kept()
    page = figures.PAGE.read_text(encoding="utf-8")
    assert figures.fill(page, kept) == page, "Write it again: scripts/bench --keep"
    for name, drawing in figures.plots(kept.values()).items():
        assert (KEPT / f"{name}.svg").read_text(encoding="utf-8") == drawing


WALKED = "Do it.\n\n```sql\nselect 1;\n```\n\n- A row: go to [Here](#here).\n"


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("Do it.", "Do it now, see [the manual](https://example.org).", True),
        ("[Here]", "[There]", True),
        ("select 1", "select 2", False),
        ("#here", "#there", False),
    ],
)
def test_walks_are_of_blocks_and_links(
    tmp_path: Path, old: str, new: str, *, is_same: bool
) -> None:
    runbook, kept = tmp_path / RUNBOOK, tmp_path / WALKS
    for path in (runbook, kept):
        path.parent.mkdir(parents=True)
    kept.write_text(
        to_json(replace(SECTION, findings=replace(SECTION.findings, of=digest_of(WALKED)))),
        encoding="utf-8",
    )
    runbook.write_text(WALKED, encoding="utf-8")
    assert is_walked(tmp_path)
    runbook.write_text(WALKED.replace(old, new), encoding="utf-8")
    assert is_walked(tmp_path) is is_same


def test_page_says_when_the_runbook_has_changed_since_it_was_walked(built_site: Site) -> None:
    html = (built_site.folder / "figures" / "index.html").read_text(encoding="utf-8")
    said = "Blocks or links of the runbook have changed since" in html
    assert said is not is_walked(ROOT / "docs")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_starts(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.bench_{name}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: scripts/bench {name} ")
    assert "--keep" in done.stdout


def test_line_through_points() -> None:
    line = fit([(100, 3.0), (1000, 12.0), (10_000, 102.0)])
    assert line.slope == pytest.approx(0.01)
    assert line.start == pytest.approx(2.0)
    assert line.off == pytest.approx(0.0)


def test_workers_share_only_what_two_were_seen_to_share() -> None:
    assert with_workers(10, 6, 1) == pytest.approx(10)
    assert with_workers(10, 6, 2) == pytest.approx(6)
    assert with_workers(10, 6, 4) == pytest.approx(4)
    assert with_workers(10, 12, 8) == pytest.approx(10)
