"""Run the whole system on this machine: something is put wrong, the page is followed, it is well.

A database with its jobs firing, a channel that shows alerts and heartbeats, and the site, all on
loopback.  Ctrl-C ends it, and nothing of it is left.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, VENV_PYTHON, environment
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT = 8001


def main(arguments: Sequence[str]) -> int:
    """Set up and become the system; does not return."""
    parser = argparse.ArgumentParser(prog="scripts/try", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    parser.add_argument(
        "--server",
        choices=["embedded", "system"],
        help="the PostgreSQL; unless told, the machine's where it has pg_cron",
    )
    options = parser.parse_args(arguments)
    prepare("site")
    os.chdir(ROOT)
    # In the place of this process, whose Python lacks the packages: a signal ends it all.
    python = str(VENV_PYTHON)
    chosen = [options.server] if options.server else []
    command = [python, "-m", "scripts.tasks.trial_page", str(options.port), *chosen]
    os.execve(python, command, environment())
