"""Photograph the site: the home page and the runbook, phone and desktop, light and dark."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import sync_playwright

from scripts.tasks.common import ROOT, TaskError, say, say_error
from scripts.tasks.local_site import BROWSER_ARGUMENTS, build, find_chromium, serve_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Browser

RUNBOOK = "operations/cron-reminder-runbook/"
PAGES = {
    "home": "",
    "health": f"{RUNBOOK}#check-health",
    "diagram": f"{RUNBOOK}#architecture-diagram",
    "stuck-lock": f"{RUNBOOK}#stuck-lock",
    "lock-holder": f"{RUNBOOK}#who-holds-the-lock",
    "missed": f"{RUNBOOK}#missed-runs",
    "schema": f"{RUNBOOK}#execution-log-schema",
    "trigger": f"{RUNBOOK}#trigger-a-run",
    "fill-in": f"{RUNBOOK}#correct-one-assignment",
    "alerts": f"{RUNBOOK}#alerts-and-where-they-lead",
    "verification": "verification/",
    "authors": "authors-guide/",
    "maintainers": "maintainers/",
    "missing": "missed_run",
}
SIZES = {"phone": (390, 844, 2.0), "desktop": (1280, 800, 1.0)}
SCHEMES = ("light", "dark")


def _photograph(browser: Browser, address: str, folder: Path, names: Sequence[str]) -> None:
    for size, (width, height, scale) in SIZES.items():
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=scale,
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            for name in names:
                page.goto("about:blank")
                page.goto(address + PAGES[name], wait_until="networkidle")
                page.wait_for_timeout(300)  # the theme moves its header after the fonts are laid
                page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")
            context.close()


def main() -> int:
    """Write the pictures of what is named, else of everything."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    kept = Path("reports") / "screenshots"
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / kept, help=f"default {kept}")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=[*PAGES], metavar="NAME")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    chromium = find_chromium()
    if chromium is None:
        raise TaskError("Chromium is not installed. On Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as built, serve_folder(Path(built)) as address:
        say("Building the site")
        build(Path(built), address)
        say("Taking the pictures")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=list(BROWSER_ARGUMENTS)
            )
            _photograph(browser, address, folder, arguments.only)
            browser.close()
    say(f"The pictures are in {folder}")
    return 0


try:
    sys.exit(main())
except TaskError as err:
    say_error(str(err))
    sys.exit(1)
