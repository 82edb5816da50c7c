"""Pass the tests: lint, types, spelling, every test, teeth of the blocks, a strict build."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from scripts.tasks import mutate
from scripts.tasks.common import REPORT, VENV, VENV_PYTHON, TaskError, is_ci, run, say
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORKERS = "2"


def main(arguments: Sequence[str]) -> int:
    """Run pytest with ``arguments``, or everything when there are none."""
    prepare("dev")
    if is_ci():
        _require_every_part()
    if arguments:
        return run([VENV_PYTHON, "-m", "pytest", *arguments])
    tools = VENV / "bin"
    pytest: list[str | Path] = [VENV_PYTHON, "-m", "pytest", "-n", WORKERS]
    # The site is to show what was seen with the most parts real.
    real: list[str | Path] = [*pytest, "docs", "--sql-server", "system", "--sql-report", REPORT]
    steps: list[tuple[str, list[str | Path]]] = [
        ("Lint", [tools / "ruff", "check"]),
        ("Format", [tools / "ruff", "format", "--check"]),
        ("Types", [tools / "mypy"]),
        ("Spelling", [tools / "codespell"]),
        ("Tests", [*pytest, "--sql-report", REPORT]),
        *([("Pages with the real pg_cron", real)] if _has_pg_cron() else []),
        ("Teeth", mutate.command("--sql-mutation-seed", "1", "docs")),
        ("Site", [tools / "mkdocs", "build", "--strict"]),
    ]
    failed = []
    for name, command in steps:
        say(name)
        if run(command) != 0:
            failed.append(name)
    if failed:
        say(f"FAILED: {', '.join(failed)}")
        return 1
    say(f"PASSED: {', '.join(name for name, _ in steps)}")
    return 0


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
    if not shutil.which("chromium"):
        missing.append("Chromium")
    if missing:
        raise TaskError(f"CI is set and this machine lacks {' and '.join(missing)}: run .ci/run")
