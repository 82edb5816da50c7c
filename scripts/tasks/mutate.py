"""Break something on purpose, and list what no check notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.tasks.common import VENV_PYTHON, TaskError, run
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BLOCKS = "blocks"
KINDS = (BLOCKS, "migrations", "runbook", "plugin", "site")


def command(*arguments: str) -> list[str | Path]:
    """Return what tries the blocks of the pages that are named."""
    plugin = ("--sql-mutate", "-p", "no:cacheprovider")
    return [VENV_PYTHON, "-m", "pytest", "-q", *plugin, *arguments]


def main(arguments: Sequence[str]) -> int:
    """Break what the first argument names.

    Of the blocks, return 0 when every page's score reaches the threshold; the other arguments go
    to pytest, and pages are docs when there are none.
    """
    kind, *rest = arguments or [""]
    if kind not in KINDS:
        raise TaskError(f"Say first what is to be broken: scripts/mutate {'|'.join(KINDS)}")
    prepare("dev")
    if kind != BLOCKS:
        return run([VENV_PYTHON, "-m", "scripts.tasks.mutants", kind, *rest])
    pages = [] if any(not argument.startswith("-") for argument in rest) else ["docs"]
    return run(command(*rest, *pages))
