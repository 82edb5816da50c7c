"""Measure how long a reader waits for the database in the browser: the first time, and later.

Each first use is that of a browser that has been here never before; nothing is compressed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from benchmarks.measured import Aim, Findings, Table, run_section
from scripts.tasks.common import TaskError
from scripts.tasks.local_site import build, serve_folder

if TYPE_CHECKING:
    import argparse

    from playwright.sync_api import BrowserContext

PAGE = "operations/cron-reminder-runbook/"
SECTION = "reminders-after-contact"
FIRST, LATER = 10.0, 3.0
_CHROMIUM = Path("/usr/bin/chromium")
_PATIENCE_MS = 120_000


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("practice", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Press "Practise" in new browsers, and again in the same ones."""
    if not _CHROMIUM.exists():
        raise TaskError(f"Practice is measured in a browser, and {_CHROMIUM} is not there.")
    first, later = [], []
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as name:
        folder = Path(name)
        with serve_folder(folder) as address, sync_playwright() as playwright:
            build(folder, address)
            browser = playwright.chromium.launch(
                executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            for _ in range(options.rounds):
                context = browser.new_context()
                first.append(_seconds(context, address))
                later.append(_seconds(context, address))
                context.close()
            browser.close()
    both = {"first use": (first, FIRST), "later use": (later, LATER)}
    return Findings(
        (
            Table(
                "Practise in the page: from the button until the incident is there",
                ("", "seconds", "of the limit"),
                tuple(
                    (what, f"{(s := statistics.median(times)):.2f}", f"{s / limit:.0%}")
                    for what, (times, limit) in both.items()
                ),
                f"Median of {options.rounds}.",
            ),
        ),
        tuple(
            Aim(
                f"practice, {what}",
                f"under {limit:g} s",
                f"{(s := statistics.median(times)):.1f} s",
                s < limit,
            )
            for what, (times, limit) in both.items()
        ),
    )


def _seconds(context: BrowserContext, address: str) -> float:
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(address + PAGE, wait_until="networkidle")
    button = page.locator(f"[id='{SECTION}'] + .practice").get_by_role("button", name="Practise")
    began = time.perf_counter()
    button.click()
    page.locator(".practice__status", has_text="The incident is there").wait_for()
    seconds = time.perf_counter() - began
    page.close()
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
