"""Measure how long an author waits, from saving to what the open page says of it.

Saved are pages and migrations, and what no site can be built from.  The page is served as
`scripts/serve` does.  Every edit is one that was never checked before.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from benchmarks.bench_site import PAGES
from benchmarks.measured import Aim, Findings, Table, run_section
from benchmarks.peers import clean_environment
from scripts.tasks.common import TaskError
from scripts.tasks.live_site import copy_for_serving, serve_live
from scripts.tasks.local_site import BROWSER_ARGUMENTS, find_chromium

if TYPE_CHECKING:
    import argparse

    from playwright.sync_api import Page

AIM = 2.0
_TOLERANCE = 1.1
# Milliseconds, on a machine that may be busy.
_LONG = 300_000
_UNTIL_BUILT = 4_000
_MIGRATION = "supabase/migrations/20260601091900_health.sql"
_VIEW, _BLOCK = "reminder.health", "check-health-health"
_VERSION = "window.sqlSnippetsPage.version"
_FAILED = "What you see is older than what was saved"
# What a build cannot do with, and what is saved there; none takes the file away.
_BROKEN = {
    "YAML that cannot be read": ("mkdocs.yml", "nav: [\n"),
    "the runbook, taken away": ("docs/operations/cron-reminder-runbook.md", None),
}


@dataclass(frozen=True, slots=True)
class _Edit:
    """A block of a page, and a name in it after which something can be written."""

    source: str
    block: str
    name: str

    def save(self, page: Page, project: Path, number: int, verdict: str) -> float:
        """Save the block as it never was, and return the seconds until the page shows that."""
        source = project / self.source
        was = source.read_text(encoding="utf-8")
        end = was.index(self.name, was.index(f"name={self.block} ")) + len(self.name)
        added = f" -- edit {number}" if verdict == "Passed" else f"_wrong_{number}"
        stamp = f"[id^=block-][id$=-{self.block}]:has-text('{added.strip()}') + .sql-stamp"
        began = time.perf_counter()
        source.write_text(was[:end] + added + was[end:], encoding="utf-8")
        page.locator(f"{stamp}:has-text('{verdict}')").wait_for(timeout=_LONG)
        seconds = time.perf_counter() - began
        source.write_text(was, encoding="utf-8")
        page.locator(stamp).wait_for(state="detached", timeout=_LONG)
        # The next edit is to meet a server that has nothing left to do.
        page.locator(f"[id^=block-][id$=-{self.block}] + .sql-stamp:has-text('Passed')").wait_for(
            timeout=_LONG
        )
        page.wait_for_timeout(_UNTIL_BUILT)
        return seconds


_EDITS = {
    "For authors": _Edit("docs/authors-guide.md", "find-role", "pg_catalog.pg_roles"),
    "Runbook": _Edit(
        "docs/operations/cron-reminder-runbook.md", "verify-heartbeat", "reminder.health"
    ),
}


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("saving", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--edits", type=int, default=3, help="the median of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Save a block that passes, one that fails, and a migration."""
    chromium = find_chromium()
    if chromium is None:
        raise TaskError("The verdict is looked for in a browser: install Chromium.")
    numbers = range(1, options.edits + 1)
    times: dict[tuple[str, str], list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=list(BROWSER_ARGUMENTS))
        project = copy_for_serving(Path(folder) / "project")
        with serve_live(project, clean_environment()) as address:
            for title, edit in _EDITS.items():
                page = browser.new_page()
                page.goto(address + PAGES[title])
                edit.save(page, project, 0, "Passed")  # the database is prepared from here on
                for verdict in ("Passed", "Failed"):
                    times[f"a block of {title}", verdict.lower()] = [
                        edit.save(page, project, number, verdict) for number in numbers
                    ]
                page.context.close()
            page = browser.new_page()
            page.goto(address + PAGES["Runbook"])
            pairs = [_save_migration(page, project, number) for number in numbers]
            times["a migration", "of the first block that it touches"] = [a for a, _ in pairs]
            times["a migration", "of all blocks of the runbook"] = [b for _, b in pairs]
            for what, (name, text) in _BROKEN.items():
                times[what, "no site"] = [_save_broken(page, project / name, text) for _ in numbers]
        browser.close()
    return _findings(times, options.edits)


def _save_migration(page: Page, project: Path, number: int) -> tuple[float, float]:
    """Save another comment on a view, and return the seconds to the first verdict and to all."""
    source = project / _MIGRATION
    was = source.read_text(encoding="utf-8")
    began = time.perf_counter()
    source.write_text(f"{was}\ncomment on view {_VIEW} is 'Edit {number}.';\n", encoding="utf-8")
    # The verdicts on the database as it was go when the first one on the new database is there.
    page.locator(
        f"article:has(.sql-summary--unchecked) #block-{_BLOCK} + .sql-stamp:has-text('Passed')"
    ).wait_for(timeout=_LONG)
    first = time.perf_counter() - began
    page.locator(".sql-summary--passed").wait_for(timeout=_LONG)
    everything = time.perf_counter() - began
    shown = page.evaluate(_VERSION)
    source.write_text(was, encoding="utf-8")
    page.wait_for_function(f"shown => {_VERSION} !== shown", arg=shown, timeout=_LONG)
    page.locator(".sql-summary--passed").wait_for(timeout=_LONG)
    page.wait_for_timeout(_UNTIL_BUILT)
    return first, everything


def _save_broken(page: Page, source: Path, text: str | None) -> float:
    """Save what no site can be built from, and return the seconds until the page says so."""
    was = source.read_text(encoding="utf-8")
    said = page.get_by_text(_FAILED)
    began = time.perf_counter()
    if text is None:
        source.unlink()
    else:
        source.write_text(text, encoding="utf-8")
    said.first.wait_for(timeout=_LONG)
    seconds = time.perf_counter() - began
    source.write_text(was, encoding="utf-8")
    said.first.wait_for(state="detached", timeout=_LONG)
    page.locator(".sql-summary--passed").wait_for(timeout=_LONG)
    page.wait_for_timeout(_UNTIL_BUILT)
    return seconds


def _findings(times: dict[tuple[str, str], list[float]], edits: int) -> Findings:
    table = Table(
        "From saving to the new verdict in the open page",
        ("Saved", "Verdict", "Median, s", "Range, s"),
        tuple(
            (saved, verdict, f"{statistics.median(s):.1f}", f"{min(s):.1f} to {max(s):.1f}")
            for (saved, verdict), s in times.items()
        ),
        f"`scripts/serve`, {edits} edits, each new and so never checked before.",
    )
    aims = tuple(
        Aim(
            f"From saving {saved} to the verdict, {verdict}",
            f"about {AIM:g} s",
            f"{statistics.median(s):.1f} s",
            statistics.median(s) <= AIM * _TOLERANCE,
        )
        for (saved, verdict), s in times.items()
    )
    return Findings((table,), aims)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
