"""Resolve the requirements again.  What is written names versions and hashes, and no address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scripts.tasks.common import CACHE, ROOT, TaskError, must_run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

SETS = ("lock", "node", "dev", "site", "bench")
LOWEST_PYTHON = "3.11"


def main(arguments: Sequence[str]) -> int:
    """Write requirements/*.txt and package-lock.json; packages named in ``arguments`` move up."""
    for name in arguments:
        if name.startswith("-"):
            raise TaskError(f"{name} is not a package name: scripts/lock [PACKAGE ...]")
    home = CACHE / "lock"
    tool = home / "bin" / "uv"
    if not tool.exists():
        say("Installing the resolver")
        must_run([sys.executable, "-m", "venv", home], f"No virtual environment in {home}.")
        must_run(
            [
                *(home / "bin" / "python", "-m", "pip", "--quiet", "install"),
                *("--require-hashes", "-r", ROOT / "requirements" / "lock.txt"),
            ],
            "The resolver could not be installed (see above).",
        )
    upgrades = [part for name in arguments for part in ("--upgrade-package", name)]
    for name in SETS:
        say(f"Resolving requirements/{name}.in")
        must_run(
            [
                *(tool, "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
                *("--python-version", LOWEST_PYTHON, "--no-header", "--no-annotate"),
                *("--no-emit-index-url", "--no-emit-find-links", *upgrades),
                *(f"requirements/{name}.in", "-o", f"requirements/{name}.txt"),
            ],
            f"requirements/{name}.in could not be resolved (see above).",
        )
    say("Resolving package.json")
    must_run(
        ["npm", "install", "--package-lock-only", "--loglevel=error"],
        "package.json could not be resolved (see above).",
    )
    return 0
