"""Verdicts of former runs, kept so that what has not changed need not run again.

Only what passed is kept, under a hash of everything it rests on, and for a day: a page may well say
what is true today only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sql_snippets.results.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_AGE = timedelta(days=1)
KEPT = 20_000

_FORMAT = 1

logger = logging.getLogger("sql_snippets")


@dataclass(frozen=True, slots=True)
class Kept:
    """One verdict: when it was reached, the report's entry, and on what server."""

    at: str
    entry: Mapping[str, Any]
    facts: Mapping[str, Any]


class Verdicts:
    """The verdicts of one project, in one file of the cache folder."""

    def __init__(self, cache_dir: Path, root: Path) -> None:
        name = hashlib.sha256(str(root).encode()).hexdigest()[:32]
        self._path = cache_dir / f"verdicts-{name}.json"
        self._read: dict[str, Kept] | None = None

    def find(self, key: str) -> Kept | None:
        """Return what was kept under a key and is not too old."""
        if self._read is None:
            self._read = self._load()
        kept = self._read.get(key)
        return kept if kept is not None and not _is_old(kept) else None

    def keep(self, new: Mapping[str, Kept]) -> None:
        """Add verdicts, and drop those that are too old or too many."""
        if not new:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._path.with_suffix(".lock")):
                everything = {**self._load(), **new}
                newest = sorted(everything.items(), key=lambda item: item[1].at, reverse=True)
                content = {
                    key: [kept.at, kept.entry, kept.facts]
                    for key, kept in newest[:KEPT]
                    if not _is_old(kept)
                }
                temporary = self._path.with_suffix(f".{os.getpid()}")
                temporary.write_text(json.dumps(content), encoding="utf-8")
                temporary.replace(self._path)
        except OSError as err:
            logger.warning("Verdicts could not be kept in %s: %s", self._path, err.strerror)

    def _load(self) -> dict[str, Kept]:
        try:
            if self._path.stat().st_uid not in {0, os.geteuid()}:
                # Who can write this file decides what passes.
                return {}
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                str(key): Kept(datetime.fromisoformat(at).isoformat(), dict(entry), dict(facts))
                for key, (at, entry, facts) in content.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as err:
            logger.warning("%s is damaged; everything runs again: %s", self._path, err)
            return {}


def now() -> str:
    """Return the time that is kept with a verdict."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def key_of(subject: object, **rest: object) -> str:
    """Return the hash of what a verdict rests on: the page's part, and all else by name.

    Where the part stands does not count.
    """
    parts = [_FORMAT, _own_digest(), sys.version, plain(subject), sorted(rest.items())]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


@cache
def _own_digest() -> str:
    """Return a hash of this program: a version alone stays the same while it is worked on."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _is_old(kept: Kept) -> bool:
    age = datetime.now(UTC) - datetime.fromisoformat(kept.at)
    # A clock that was set back makes verdicts of the future.
    return not timedelta(minutes=-1) < age < MAX_AGE


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def entry_of(kept: Kept) -> dict[str, Any]:
    """Return the entry's values, with the mark that they are of an earlier run."""
    return {**cast("dict[str, Any]", kept.entry), "cached": True, "checked": kept.at}
