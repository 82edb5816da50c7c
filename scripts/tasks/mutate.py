"""Break the database under the pages' blocks, and list those that do not notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.tasks.common import VENV_PYTHON, run
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def command(*arguments: str) -> list[str | Path]:
    """Return what tries the blocks of the pages that are named."""
    plugin = ("--sql-mutate", "-p", "no:cacheprovider")
    return [VENV_PYTHON, "-m", "pytest", "-q", *plugin, *arguments]


def main(arguments: Sequence[str]) -> int:
    """Return 0 when every page's score reaches the threshold; arguments go to pytest."""
    prepare("dev")
    pages = [] if any(not argument.startswith("-") for argument in arguments) else ["docs"]
    return run(command(*arguments, *pages))
