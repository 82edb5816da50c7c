"""The log of drills that people did: a YAML file that is read strictly, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

RESULTS = ("done", "escalated")
_KEYS = {"date", "section", "by", "minutes", "result", "notes"}


class DrillLogError(Exception):
    """The log cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class DoneDrill:
    """One drill that somebody did: when, which section, who, how long, how it ended."""

    date: date
    section: str
    by: str
    minutes: int
    result: str
    notes: str


def read_drill_log(path: Path, sections: Collection[str]) -> tuple[DoneDrill, ...]:
    """Return the drills of the log, latest first; ``sections`` are those that are drills.

    The file holds ``drills``: a list of entries with ``date`` (YYYY-MM-DD), ``section`` (its
    anchor), ``by``, ``minutes`` (a whole number above 0), ``result`` (done or escalated) and
    ``notes``.  Raise `DrillLogError` for anything else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise DrillLogError(f"{path} cannot be read: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise DrillLogError(f"{path} is not YAML: {err}") from err
    if (
        not isinstance(data, dict)
        or set(data) != {"drills"}
        or not isinstance(data["drills"], list)
    ):
        raise DrillLogError(f'{path} must hold one list, "drills" (empty: "drills: []")')
    entries = [_read(path, at, entry, sections) for at, entry in enumerate(data["drills"], 1)]
    return tuple(sorted(entries, key=lambda entry: entry.date, reverse=True))


def _read(path: Path, at: int, entry: Any, sections: Collection[str]) -> DoneDrill:
    def refuse(what: str) -> DrillLogError:
        return DrillLogError(f"{path}, drill {at}: {what}")

    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise refuse(f"it needs {', '.join(sorted(_KEYS))}, and nothing else")
    day, minutes = entry["date"], entry["minutes"]
    if not isinstance(day, date) or isinstance(day, datetime):
        raise refuse(f"date is {day!r}; write YYYY-MM-DD")
    if day > datetime.now(UTC).date():
        raise refuse(f"{day} is in the future; only drills that were done are logged")
    if entry["section"] not in sections:
        known = ", ".join(sorted(sections)) or "none"
        raise refuse(f"section {entry['section']!r} is not a drill; the drills are {known}")
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes <= 0:
        raise refuse(f"minutes is {minutes!r}; write a whole number above 0")
    if entry["result"] not in RESULTS:
        raise refuse(f"result is {entry['result']!r}; write {' or '.join(RESULTS)}")
    for key in ("by", "notes"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise refuse(f"{key} is {entry[key]!r}; write a few words")
    return DoneDrill(day, entry["section"], entry["by"], minutes, entry["result"], entry["notes"])
