"""A sign that a report is being written, so that a build can wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.cache import is_locked, locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def _sign(report: Path) -> Path:
    return report.with_name(f".{report.name}.lock")


def underway(report: Path) -> AbstractContextManager[None]:
    """Hold the sign until the report at this path is written; it falls when this process ends."""
    return locked(_sign(report))


def is_underway(report: Path) -> bool:
    """Whether somebody holds the sign."""
    return is_locked(_sign(report))
