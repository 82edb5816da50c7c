"""Take pictures of the site as a reader sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, VENV_PYTHON, run
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Build the site and photograph it, with the packages of the virtual environment."""
    prepare("dev")
    return run([VENV_PYTHON, ROOT / "scripts" / "tasks" / "photograph.py", *arguments])
