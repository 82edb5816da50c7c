"""A sign that a report is being written, so that a build can wait for it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _sign(report: Path) -> Path:
    return report.with_name(f".{report.name}.lock")


@contextmanager
def underway(report: Path) -> Iterator[None]:
    """Hold the sign until the report at this path is written; it falls when this process ends."""
    sign = _sign(report)
    sign.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(sign, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        # Said aloud: a process forked meanwhile may have the descriptor open still.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def is_underway(report: Path) -> bool:
    """Whether somebody holds the sign."""
    try:
        lock = os.open(_sign(report), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
