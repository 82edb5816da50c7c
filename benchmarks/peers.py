"""The programs that we are compared with, in an environment of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from typing import TYPE_CHECKING

from scripts.tasks.common import CACHE, ROOT, must_run, say

if TYPE_CHECKING:
    from pathlib import Path

PEERS = CACHE / "bench"
PEERS_PYTHON = PEERS / "bin" / "python"
_LOCKED = ROOT / "requirements" / "bench.txt"


def prepare_peers() -> Path:
    """Install what requirements/bench.txt locks, if it is not there, and return its Python."""
    stamp = PEERS / ".installed"
    digest = hashlib.sha256(_LOCKED.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return PEERS_PYTHON
    say("Installing the programs to compare with")
    shutil.rmtree(PEERS, ignore_errors=True)
    must_run([sys.executable, "-m", "venv", PEERS], f"No virtual environment in {PEERS}.")
    must_run(
        [
            *(PEERS_PYTHON, "-m", "pip", "--disable-pip-version-check", "-qq", "install"),
            *("--root-user-action=ignore", "--require-hashes", "-r", _LOCKED),
        ],
        "The programs to compare with could not be installed (see above).",
    )
    stamp.write_text(digest, encoding="utf-8")
    return PEERS_PYTHON


def clean_environment() -> dict[str, str]:
    """Return the environment without what would change how pytest or the checker runs.

    Compiled modules are kept, as they are for a user: a start is not to compile them again.
    """
    prefixes = ("SQL_SNIPPETS_", "PYTEST_", "PYTHON", "GITHUB_", "PG", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
