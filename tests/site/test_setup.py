"""The programs that set things up: what they pin, and what they say when they cannot go on."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.tasks.common import ROOT
from scripts.tasks.prepare import (
    LIBRARY,
    PGLITE,
    SHIM,
    VENDORED,
    VENDORED_PGLITE,
    VENDORED_SHIM,
)
from scripts.tasks.sandbox import files_of

if TYPE_CHECKING:
    from pathlib import Path

TASKS = [
    task
    for script in sorted((ROOT / "scripts").iterdir())
    if script.is_file()
    for task in re.findall(r"^run_task (\w+)", script.read_text(encoding="utf-8"), re.MULTILINE)
]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
_ADDRESS = re.compile(
    r"https?:|file:|--(?:extra-)?index-url|--find-links|(?<![\w.])/(?:opt|root|home)/"
)


def test_programs_are_found() -> None:
    assert {"bench", "serve", "test"} < set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_program_starts_where_nothing_is_installed(task: str) -> None:
    # -S leaves out all that was installed.
    code = f"import scripts.tasks.{task}"
    done = _run(sys.executable, "-S", "-c", code, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_is_exact_and_hashed(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.\[\]_-]+==\S+ ", entry, re.IGNORECASE), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize(
    "name", [*(lock.name for lock in LOCKS), "package-lock.json", ".npmrc", ".ci/run"]
)
def test_no_address_of_a_registry_or_machine_is_committed(name: str) -> None:
    path = ROOT / "requirements" / name
    text = (path if path.exists() else ROOT / name).read_text(encoding="utf-8")
    assert _ADDRESS.findall(text) == []


def test_development_has_everything_of_the_site() -> None:
    def packages(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        return set(re.findall(r"^\S+==\S+", text, re.MULTILINE))

    assert packages("site.txt") < packages("dev.txt")


def test_scripts_of_the_site_are_locked_with_their_hashes() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_served_scripts_are_the_locked_ones() -> None:
    assert VENDORED.read_bytes() == LIBRARY.read_bytes()
    assert VENDORED_SHIM.read_bytes() == SHIM.read_bytes()
    assert len(files_of(PGLITE)) >= 5
    for path in files_of(PGLITE):
        assert (VENDORED_PGLITE / path.name).read_bytes() == path.read_bytes()


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_port_that_is_taken_gets_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _run(str(ROOT / "scripts" / "serve"), "--port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in done.stderr


def test_python_that_is_too_old_gets_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    done = _run(str(ROOT / "scripts" / "test"), PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed and none was found (Python 3.9.2)" in done.stderr
