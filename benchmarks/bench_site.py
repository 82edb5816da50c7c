"""Measure the site: building it with and without the checker's plugin, and reading it.

The build is that of many pages with blocks and their stamps.  The weight and the first picture are
those of this site's own pages.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from benchmarks import corpus
from benchmarks.children import run_measured
from benchmarks.measured import Aim, Findings, Plot, Table, joined, run_section
from scripts.tasks.common import say
from scripts.tasks.local_site import (
    BROWSER_ARGUMENTS,
    build,
    find_chromium,
    serve_folder,
)

if TYPE_CHECKING:
    import argparse

    from playwright.sync_api import Browser, Request

SIZES = (1, 100, 1000)
MANY = 1000
BLOCKS = 3
BUILD_AIM = 1.10
WEIGHT_LIMIT = 300_000
_SITE = """\
site_name: Bench
theme:
  name: material
  font: false
markdown_extensions:
  - pymdownx.highlight:
      pygments_lang_class: true
  - pymdownx.superfences
plugins:
  - search
"""
_PLUGIN = "  - sql-snippets\n"
_REPORT = ".cache/sql-snippets/report.json"

# The phone of Lighthouse: a fourth of this machine's speed, and a slow mobile network.
_CPU_RATE = 4
_NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_638_400 / 8,
    "uploadThroughput": 768_000 / 8,
}
_AFTER_DIAGRAM = ("mermaid.min.js", "/vendor/pglite/")
_FIRST_PICTURE = """() => new Promise(done => new PerformanceObserver(list => {
  const entry = list.getEntriesByName('first-contentful-paint')[0];
  if (entry) done(entry.startTime);
}).observe({type: 'paint', buffered: true}))"""
PAGES = {
    "Start here": "",
    "Runbook": "operations/cron-reminder-runbook/",
    "For authors": "authors-guide/",
    "Scale": "scale/",
}


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("site", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pages")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")
    parser.add_argument("--no-browser", action="store_true", help="leave out what needs Chromium")


def measure(options: argparse.Namespace) -> Findings:
    """Measure builds, then what needs a browser where there is one."""
    found = [_builds(options.sizes, options.rounds)]
    chromium = find_chromium()
    if options.no_browser:
        chromium = None
    elif chromium is None:
        say("Chromium is not installed: weight and first picture are left out")
    if chromium is not None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=list(BROWSER_ARGUMENTS)
            )
            found.append(_reading(browser, options.rounds))
            browser.close()
    return joined(found)


def _builds(sizes: list[int], rounds: int) -> Findings:
    without, with_plugin = [], []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
            times = _build_both(Path(folder), size, 1 if size >= MANY else rounds)
        without.append(times[0])
        with_plugin.append(times[1])
    ratios = [b / a for a, b in zip(without, with_plugin, strict=True)]
    table = Table(
        f"Building a site, {BLOCKS} blocks on a page",
        ("Pages", "Without, s", "With, s", "Ratio", "A page, ms more"),
        tuple(
            (f"{size:,}", f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}", f"{(b - a) / size * 1000:.1f}")
            for size, a, b in zip(sizes, without, with_plugin, strict=True)
        ),
        f"Material for MkDocs, taken in turn, median of {rounds}; the largest once. The plugin "
        "puts the stamp of a report below each block, after the run that wrote the report.",
    )
    aims = tuple(
        Aim(
            f"Building {size:,} pages with the plugin" if size > 1 else "Building a page with it",
            "within 10 %",
            f"{ratio - 1:+.0%}",
            ratio <= BUILD_AIM,
        )
        for size, ratio in zip(sizes, ratios, strict=True)
    )
    plot = Plot(
        "building",
        "Time of a build by its pages",
        "pages",
        "seconds",
        (
            ("without", tuple(zip(map(float, sizes), without, strict=True))),
            ("with the plugin", tuple(zip(map(float, sizes), with_plugin, strict=True))),
        ),
    )
    return Findings((table,), aims, (plot,))


def _build_both(folder: Path, size: int, rounds: int) -> tuple[float, float]:
    project = corpus.Project(folder / "project", _SITE + _PLUGIN)
    for number in range(size):
        numbers = range(number * BLOCKS, (number + 1) * BLOCKS)
        blocks = [("READ", f"select {n} as value;") for n in numbers]
        name = f"page_{number}.md" if number else "index.md"
        project.write(name, corpus.page(f"Page {number}", "sql", blocks))
    project.run("docs", "--sql-report", _REPORT, expects=f"{size * BLOCKS} passed")
    (project.folder / "without.yml").write_text(_SITE, encoding="utf-8")
    times: dict[str, list[float]] = {"without.yml": [], "mkdocs.yml": []}
    for _ in range(rounds):
        for config, seconds in times.items():
            target = folder / "site"
            command = [
                *(sys.executable, "-m", "mkdocs", "build", "-q"),
                *("-f", config, "-d", str(target)),
            ]
            environment = {**project.environment(), "NO_MKDOCS_2_WARNING": "1"}
            seconds.append(run_measured(command, cwd=project.folder, env=environment).seconds)
    stamped = "sql-stamp" in (folder / "site" / "index.html").read_text(encoding="utf-8")
    if not stamped:
        raise RuntimeError("The plugin put no stamp on the page: this would measure nothing.")
    return statistics.median(times["without.yml"]), statistics.median(times["mkdocs.yml"])


def _reading(browser: Browser, rounds: int) -> Findings:
    """Weigh the pages of this site, and see when a slow phone shows something of them."""
    rows, aims = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_folder(Path(folder), compressed=True) as address,
    ):
        build(Path(folder), address)
        for title, path in PAGES.items():
            weight = _weight(browser, Path(folder), address, path)
            shown = statistics.median(
                _first_picture(browser, address + path) for _ in range(rounds)
            )
            rows.append((title, f"{weight / 1000:.0f}", f"{shown / 1000:.2f}"))
            aims.append(
                Aim(
                    f"Weight of the page {title}",
                    f"under {WEIGHT_LIMIT / 1000:.0f} kB",
                    f"{weight / 1000:.0f} kB",
                    weight < WEIGHT_LIMIT,
                )
            )
    table = Table(
        "Reading this site on a phone",
        ("Page", "Weight, kB", "First picture, s"),
        tuple(rows),
        "Weight: all that is loaded with an empty cache, compressed, before the diagram. "
        f"First picture: `first-contentful-paint` with 1.6 Mbit/s, 150 ms, a processor slowed "
        f"{_CPU_RATE} times; median of {rounds}.",
    )
    return Findings((table,), tuple(aims))


def _weight(browser: Browser, folder: Path, address: str, path: str) -> int:
    """Return the bytes of all files a page asks for, as a host of static files compresses them."""
    asked: set[str] = set()

    def note(request: Request) -> None:
        if request.url.startswith(address):
            asked.add(urlsplit(request.url).path.lstrip("/"))

    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.context.on("request", note)
    page.goto(address + path, wait_until="networkidle")
    page.context.close()
    files = [
        folder / name / ("index.html" if name.endswith("/") or not name else "")
        for name in asked
        if not any(part in name for part in _AFTER_DIAGRAM)
    ]
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files if file.is_file())


def _first_picture(browser: Browser, address: str) -> float:
    """Return the milliseconds until a slow phone with an empty cache shows something."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.send("Network.emulateNetworkConditions", _NETWORK)
    session.send("Emulation.setCPUThrottlingRate", {"rate": _CPU_RATE})
    page.goto(address)
    milliseconds: float = page.evaluate(_FIRST_PICTURE)
    context.close()
    return milliseconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
