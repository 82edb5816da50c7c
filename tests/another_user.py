"""Programs of ours as a user who is not root, whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def run_unprivileged(
    arguments: Sequence[str], *, home: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, as root as the user nobody; ``home`` is where it may write.

    Nothing of the environment comes along but what is needed to find programs and modules.
    """
    kept = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(env or {}),
    }
    somebody: dict[str, Any] = {}
    if os.geteuid() == 0:
        somebody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    return subprocess.run(
        [_python_of_everybody(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=kept,
        cwd=cwd,
        **somebody,
    )


def _python_of_everybody() -> str:
    """Return an interpreter of this version that is not below a closed home directory."""
    if os.geteuid() != 0:
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with suppress(OSError):
            done = subprocess.run(
                [candidate, "-c", ""], check=False, user="nobody", group="nogroup", cwd="/"
            )
            if done.returncode == 0:
                return candidate
    pytest.fail(f"No {version} that the user nobody can run.")
