"""Set up what a task needs, say so while it happens, and do nothing when it is there already."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scripts.tasks import sandbox
from scripts.tasks.common import CACHE, ROOT, VENV, VENV_PYTHON, TaskError, must_run, say

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["site", "dev"]

NODE_FOLDER = CACHE / "node"
NPM_AT_LEAST = 7  # the first that reads this lock file
LIBRARY = NODE_FOLDER / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
SHIM = NODE_FOLDER / "node_modules" / "iframe-worker" / "shim" / "index.js"
AXE = NODE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
PGLITE = NODE_FOLDER / "node_modules" / "@electric-sql" / "pglite"
VENDOR = ROOT / "docs" / "assets" / "javascripts" / "vendor"
VENDORED = VENDOR / "mermaid.min.js"
VENDORED_SHIM = VENDOR / "iframe-worker.js"
VENDORED_PGLITE = VENDOR / "pglite"

_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-qq")
_PIP_INSTALL = (*_PIP, "install", "--root-user-action=ignore")


def prepare(kind: Kind) -> None:
    """Make the virtual environment, install the locked requirements, fetch the site's scripts."""
    CACHE.mkdir(exist_ok=True)
    with _alone():
        _make_environment()
        _install(kind)
        _fetch_scripts()
        if PGLITE.is_dir():
            sandbox.bring(PGLITE, VENDORED_PGLITE, Path(_npm()).with_name("node"))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let only one set-up run at a time: a test run and a server may be started together."""
    with (CACHE / "prepare.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up in this folder to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*paths: Path, more: str = "") -> str:
    digest = hashlib.sha256(more.encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _is_stamped(stamp: Path, digest: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == digest


def _make_environment() -> None:
    if VENV_PYTHON.exists():
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise TaskError(
            f"{sys.executable} cannot make virtual environments (no venv or ensurepip). On Debian "
            "and Ubuntu: apt install python3-venv"
        )
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"Making a virtual environment in .venv (Python {version})")
    shutil.rmtree(VENV, ignore_errors=True)  # half of one, or one whose Python has gone
    must_run(
        [sys.executable, "-m", "venv", VENV],
        f"{sys.executable} could not make a virtual environment in {VENV} (see above).",
    )


def _stamp_of(kind: Kind) -> tuple[Path, str]:
    requirements = ROOT / "requirements"
    files = [requirements / f"{kind}.txt", ROOT / "pyproject.toml"]
    return VENV / f".installed-{kind}", _digest(*files, more=str((VENV / "bin").resolve()))


def _install(kind: Kind) -> None:
    # What development needs is a superset of what the site needs.
    kinds: tuple[Kind, ...] = ("site", "dev") if kind == "site" else ("dev",)
    if any(_is_stamped(*_stamp_of(each)) for each in kinds):
        return
    locked = ROOT / "requirements" / f"{kind}.txt"
    count = sum(1 for line in locked.read_text(encoding="utf-8").splitlines() if "==" in line)
    say(f"Installing {count} pinned packages from {locked.relative_to(ROOT)} (a minute at most)")
    must_run(
        [VENV_PYTHON, *_PIP_INSTALL, "--require-hashes", "-r", locked],
        "The packages could not be installed (see above). Is the package registry reachable?",
    )
    say("Installing the checker itself")
    must_run(
        [VENV_PYTHON, *_PIP_INSTALL, "--no-deps", "--no-build-isolation", "--editable", ROOT],
        "The checker could not be installed (see above).",
    )
    stamp, digest = _stamp_of(kind)
    stamp.write_text(digest, encoding="utf-8")


def _fetch_scripts() -> None:
    """Bring the scripts the site serves.  npm compares each package with the hash in the lock."""
    inputs = [ROOT / name for name in ("package.json", "package-lock.json", ".npmrc")]
    stamp = NODE_FOLDER / "stamp"
    wanted = _digest(*inputs)
    served = (VENDORED, VENDORED_SHIM)
    if all(map(Path.is_file, served)) and _is_stamped(stamp, _digest(*served, more=wanted)):
        return
    say("Fetching the scripts that the site serves itself")
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    for path in inputs:
        shutil.copy(path, NODE_FOLDER / path.name)
    must_run(
        [_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        "The site's scripts could not be fetched (see above). Is the npm registry reachable?",
        cwd=NODE_FOLDER,
    )
    VENDORED.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(LIBRARY, VENDORED)
    shutil.copyfile(SHIM, VENDORED_SHIM)
    stamp.write_text(_digest(*served, more=wanted), encoding="utf-8")


def _npm() -> str:
    """Return an npm: the machine's, or one that comes as a Python package."""
    found = shutil.which("npm")
    if found and shutil.which("node") and _is_new_enough(found):
        return found
    bundled = VENV / "bin" / "npm"
    if not bundled.exists():
        say("Installing Node.js into .venv, as the machine has none that is new enough")
        must_run(
            [
                *(VENV_PYTHON, *_PIP_INSTALL, "--require-hashes", "-r"),
                ROOT / "requirements" / "node.txt",
            ],
            "Node.js could not be installed (see above). Is the package registry reachable?",
        )
    return str(bundled)


def _is_new_enough(npm: str) -> bool:
    command = [npm, "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    major = answer.stdout.strip().partition(".")[0]
    return major.isdigit() and int(major) >= NPM_AT_LEAST
