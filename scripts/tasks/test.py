"""Pass the tests: lint, types, spelling, every test, teeth of the blocks, a strict build."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from scripts.tasks import mutate
from scripts.tasks.common import (
    CACHE,
    REPORT,
    ROOT,
    VENV,
    VENV_PYTHON,
    TaskError,
    environment,
    is_ci,
    run,
    say,
)
from scripts.tasks.local_site import find_chromium
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# One more than most machines of a CI have processors: a test waits for a server, a browser or the
# clock a third of its time.  With four, a whole run of two processors took longer.
WORKERS = "3"
SLOWEST = 10
TIMES = CACHE / "tests.xml"
# Written beside the report, which the site's tests read meanwhile, and put in its place at the end.
NEW_REPORT = REPORT.with_name("new-report.json")


@dataclass(slots=True)
class Part:
    """One part of the whole, and what came of it."""

    name: str
    command: list[str | Path]
    status: int | None = None
    seconds: float = 0.0

    def run(self) -> None:
        """Run it in front: its output goes where ours goes, as it comes."""
        say(self.name)
        began = time.monotonic()
        self.status = run(self.command)
        self.seconds = time.monotonic() - began

    def run_beside(self) -> None:
        """Run it beside the one in front, and show its output as a whole when it has ended."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            self.status = subprocess.run(
                [str(part) for part in self.command],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            self.seconds = time.monotonic() - began
            output.seek(0)
            text = output.read().decode(errors="replace")
        sys.stdout.write(f"\n==> {self.name}\n{text}")
        sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run pytest with ``arguments``, or everything when there are none."""
    began = time.monotonic()
    prepare("dev")
    if is_ci():
        _require_every_part()
    if arguments:
        return run([VENV_PYTHON, "-m", "pytest", *arguments])
    set_up = time.monotonic() - began
    NEW_REPORT.unlink(missing_ok=True)
    beside, tests, site = _parts()
    # What runs beside is one long queue: two more processes would only slow each other down.
    with ThreadPoolExecutor(1) as pool:
        queue = [pool.submit(part.run_beside) for part in beside]
        try:
            tests.run()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        for each in queue:
            each.result()
    if NEW_REPORT.exists():
        NEW_REPORT.replace(REPORT)
    site.run()
    parts = [*beside, tests, site]
    _say_times(set_up, parts, time.monotonic() - began)
    failed = [part.name for part in parts if part.status != 0]
    say(f"FAILED: {', '.join(failed)}" if failed else f"PASSED: {_names(parts)}")
    return 1 if failed else 0


def _parts() -> tuple[list[Part], Part, Part]:
    """Return what runs beside the tests, the tests, and what comes after both."""
    tools = VENV / "bin"
    pytest: list[str | Path] = [VENV_PYTHON, "-m", "pytest"]
    report: list[str | Path] = ["--sql-report", NEW_REPORT]
    # The site is to show what was seen with the most parts real.
    real = _has_pg_cron()
    tests: list[str | Path] = [
        *(*pytest, "-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder"),
        *("--junit-xml", TIMES, *([] if real else report)),
    ]
    return (
        [
            Part("Lint", [tools / "ruff", "check"]),
            Part("Format", [tools / "ruff", "format", "--check"]),
            Part("Types", [tools / "mypy"]),
            Part("Spelling", [tools / "codespell"]),
            *(
                [
                    Part(
                        "Pages with the real pg_cron",
                        [
                            *(*pytest, "-q", "-p", "no:cacheprovider", "docs"),
                            *("--sql-server", "system", *report),
                        ],
                    )
                ]
                if real
                else []
            ),
            Part("Teeth", mutate.command("--sql-mutation-seed", "1", "docs")),
        ],
        Part("Tests", tests),
        Part("Site", [tools / "mkdocs", "build", "--strict"]),
    )


def _names(parts: Sequence[Part]) -> str:
    return ", ".join(part.name for part in parts)


def _say_times(set_up: float, parts: Sequence[Part], whole: float) -> None:
    say(f"The {SLOWEST} slowest tests")
    for seconds, name in _slowest():
        print(f"{seconds:7.1f} s  {name}")
    say("The parts; the first ones ran beside the tests")
    for seconds, name in [
        (set_up, "Set-up"),
        *((part.seconds, part.name) for part in parts),
        (whole, "All"),
    ]:
        print(f"{seconds:7.1f} s  {name}")


def _slowest() -> list[tuple[float, str]]:
    if not TIMES.exists():
        return []
    cases = ET.parse(TIMES).iter("testcase")  # noqa: S314 - our own pytest has written it
    found = [
        (float(case.get("time", "0")), f"{case.get('classname')}::{case.get('name')}")
        for case in cases
    ]
    return sorted(found, reverse=True)[:SLOWEST]


_HAS_PG_CRON = """
import sys
from sql_snippets.servers.binaries import find_binaries
sys.exit(not find_binaries("system").has_library("pg_cron"))
"""


def _has_pg_cron() -> bool:
    """Whether the PostgreSQL that the checks would take from this machine has it."""
    asked: list[str | Path] = [VENV_PYTHON, "-c", _HAS_PG_CRON]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _require_every_part() -> None:
    """Raise `TaskError` when a part is missing for whose want tests would be skipped."""
    missing = []
    if not _has_pg_cron():
        missing.append("PostgreSQL with pg_cron")
    if not find_chromium():
        missing.append("Chromium")
    if missing:
        raise TaskError(f"CI is set and this machine lacks {' and '.join(missing)}: run .ci/run")
