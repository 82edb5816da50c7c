"""Date what a build writes by the last commit, so that the same files give the same bytes.

The map of the site holds a date for each page, and its compressed form the time it was made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

VARIABLE = "SOURCE_DATE_EPOCH"


def last_commit(project: Path) -> str:
    """Return the time of the last commit in seconds, or 0 where there is no repository."""
    git = shutil.which("git")
    if git is None:
        return "0"
    command = [git, "-C", str(project), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "0"


def on_startup(command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:  # noqa: FBT001 - as MkDocs calls it
    """Set the variable that MkDocs reads, unless somebody has."""
    del command, dirty
    os.environ.setdefault(VARIABLE, last_commit(Path(__file__).parent))
