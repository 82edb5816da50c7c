"""A copy of the project, served as an author serves it: what is saved there shows in the page."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, VENV, TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FOLDERS = (
    *("docs", "overrides", "scripts", "supabase"),
    *("tests/reminder_system", "tests/sql_snippets"),
)
_FILES = ("mkdocs.yml", "pyproject.toml", "conftest.py", "tests/__init__.py")
# What scripts/serve becomes, without setting up and without a first check.
_SERVE = """
import os, pathlib, subprocess, sys
watch = [pathlib.Path(sys.executable).with_name("sql-snippets"), "watch", "tests/sql_snippets"]
subprocess.Popen([*watch, "--from-now", "--beside", str(os.getpid())])
serve = ["-m", "mkdocs", "serve", "-q", "--livereload", *sys.argv[1:]]
os.execv(sys.executable, [sys.executable, *serve])
"""
_TRIES = 600


def copy_for_serving(to: Path) -> Path:
    """Copy what the site is built from and checked with."""
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy(ROOT / name, to / name)
    (to / ".venv").symlink_to(VENV)
    return to


@contextmanager
def serve_live(
    project: Path, env: Mapping[str, str] | None = None, *, checked: bool = True
) -> Iterator[str]:
    """Serve the copy on a free port and give the address of its site.

    With its watcher; if not ``checked``, as MkDocs alone serves it.

    Raises TaskError when nothing is served.
    """
    place = f"127.0.0.1:{_free_port()}"
    log = project.parent / "log"
    environment = {
        **(env or os.environ),
        "NO_MKDOCS_2_WARNING": "1",
        "SITE_URL": f"http://{place}/",
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [
                sys.executable,
                *(["-c", _SERVE] if checked else ["-m", "mkdocs", "serve"]),
                "-a",
                place,
            ],
            cwd=project,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as server,
    ):
        try:
            if not _answers(f"http://{place}/", server):
                raise TaskError(f"The site is not served:\n{log.read_text(encoding='utf-8')}")
            yield f"http://{place}/"
        finally:
            # The watcher, and a run of the checks with it, ends when the server has.
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(30)
            _wait_for_group(server.pid)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _wait_for_group(group: int) -> None:
    """Wait until all processes of the server's session have ended, but not for ever."""
    for _ in range(_TRIES):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def _answers(address: str, server: subprocess.Popen[bytes]) -> bool:
    for _ in range(_TRIES):
        with suppress(OSError), urllib.request.urlopen(address):  # noqa: S310 - our own server
            return True
        if server.poll() is not None:
            return False
        time.sleep(0.2)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
