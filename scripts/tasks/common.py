"""What every task uses: where things are, how to say what is done, how to run a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
HOST = "127.0.0.1"
REPORT = CACHE / "sql-snippets" / "report.json"


class TaskError(Exception):
    """A task cannot go on; the message is one line that says what is missing and what to do."""


def say(text: str) -> None:
    """Say what is being done, at once: what follows may take a minute."""
    print(f"==> {text}", flush=True)


def say_error(text: str) -> None:
    """Say what stops the task."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a program of the virtual environment."""
    return {
        **os.environ,
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(VENV),
        # The theme's notice about the next major version of MkDocs, which is pinned out.
        "NO_MKDOCS_2_WARNING": "1",
        **(extra or {}),
    }


def run(
    command: Sequence[str | Path],
    *,
    extra: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> int:
    """Run a program to its end, its output going where ours goes, and return its status.

    An interrupt reaches the program too; it gets the time to clean up after itself.
    """
    arguments = [str(part) for part in command]
    with subprocess.Popen(arguments, cwd=cwd, env=environment(extra)) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise


def must_run(command: Sequence[str | Path], failure: str, *, cwd: Path = ROOT) -> None:
    """Run a program that has to succeed; raise `TaskError` with ``failure`` when it does not."""
    if run(command, cwd=cwd) != 0:
        raise TaskError(failure)


def is_ci() -> bool:
    """Return whether this is a run where nothing may be left out for want of a part."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}
