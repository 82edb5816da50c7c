"""Verdicts of former runs, kept so that what has not changed need not run again.

Only what passed is kept, under a hash of everything it rests on, and for a day: a page may well say
what is true today only.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_of, locked, own_digest, read_entry, write_whole
from sql_snippets.codec import decode, encode
from sql_snippets.results.plain import plain
from sql_snippets.results.report import Entry, RanOn  # noqa: TC001 - `codec` reads the types of fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_AGE = timedelta(days=1)
MOST_KEPT = 20_000

_FORMAT = 2

logger = logging.getLogger("sql_snippets")


@dataclass(frozen=True, slots=True)
class Kept:
    """One verdict: when it was reached, the report's entry, and on what database."""

    at: datetime
    entry: Entry
    ran_on: RanOn


class Verdicts:
    """The verdicts of one project, in one file of the cache folder."""

    def __init__(self, cache_dir: Path, root: Path) -> None:
        name = hash_of([_FORMAT, str(root)])[:32]
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
            with locked(self._path.with_suffix(".lock")):
                everything = {**self._load(), **new}
                newest = sorted(everything.items(), key=lambda item: item[1].at, reverse=True)
                kept = {key: encode(each) for key, each in newest[:MOST_KEPT] if not _is_old(each)}
                write_whole(self._path, json.dumps(kept))
        except OSError as err:
            logger.warning("Verdicts could not be kept in %s: %s", self._path, err.strerror)

    def _load(self) -> dict[str, Kept]:
        try:
            content = read_entry(self._path) or {}
            return {str(key): decode(Kept, each) for key, each in content.items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError) as err:
            logger.warning("%s is damaged; everything runs again: %s", self._path, err)
            return {}


def key_of(subject: object, **rest: object) -> str:
    """Return the hash of what a verdict rests on: the page's part, and all else by name.

    Where the part stands does not count.
    """
    return hash_of([_FORMAT, own_digest(), sys.version, plain(subject), sorted(rest.items())])


def _is_old(kept: Kept) -> bool:
    age = datetime.now(UTC) - kept.at
    # A clock that was set back makes verdicts of the future.
    return not timedelta(minutes=-1) < age < MAX_AGE
