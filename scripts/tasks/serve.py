"""Check the runbook, then serve the site with the verdicts beside its blocks."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
from typing import TYPE_CHECKING

from scripts.tasks.common import (
    HOST,
    REPORT,
    ROOT,
    VENV,
    VENV_PYTHON,
    TaskError,
    environment,
    run,
    say,
)
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PORT = 8000
HIGHEST_PORT = 65535
TESTS_FAILED = 1
SCENARIOS = "tests/sql_snippets"


def main(arguments: Sequence[str]) -> int:
    """Set up, check, and become the server; does not return unless something is missing."""
    parser = argparse.ArgumentParser(prog="scripts/serve", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    port: int = parser.parse_args(arguments).port
    _require_free(port)
    prepare("site")
    say("Running the SQL of the pages against a fresh database")
    status = run([VENV_PYTHON, "-m", "pytest", "docs", "--sql-report", REPORT, "-q", "-rfE"])
    _say_verdict(status)
    say("Building the site")
    mkdocs = str(VENV / "bin" / "mkdocs")
    # Quiet but for warnings: what an author wants to know of a save is said by the watcher.
    command = [mkdocs, "serve", "-q", "--livereload", "-a", f"{HOST}:{port}"]
    os.chdir(ROOT)
    # Both see that their parent has gone: this process, which becomes the server.
    parent = str(os.getpid())
    watcher: list[str | Path] = [
        VENV / "bin" / "sql-snippets",
        "watch",
        SCENARIOS,
        "--beside",
        parent,
    ]
    if status in {0, TESTS_FAILED}:
        watcher.append("--from-now")
    subprocess.Popen(watcher, env=environment())
    announcer: list[str | Path] = [VENV_PYTHON, "-m", "scripts.tasks.announce", parent, str(port)]
    subprocess.Popen(announcer, env=environment())
    # In the place of this process: an interrupt ends the server and nothing is left to wait for.
    os.execve(command[0], command, environment())


def _require_free(port: int) -> None:
    if not 0 < port <= HIGHEST_PORT:
        raise TaskError(f"{port} is not a port: choose one from 1 to {HIGHEST_PORT}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as err:
            raise TaskError(
                f"Port {port} of {HOST} cannot be used ({err.strerror}). End what uses it, or "
                f"choose another: scripts/serve --port {port + 1 if port < HIGHEST_PORT else PORT}"
            ) from err


def _say_verdict(status: int) -> None:
    if status == 0:
        say("Every SQL block passed")
    elif status == TESTS_FAILED:
        say("Some checks FAILED (above). The site marks the blocks that did")
    else:
        say(f"The checks did NOT run to the end (status {status}, see above). Trying once more")
