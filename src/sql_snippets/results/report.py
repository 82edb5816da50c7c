"""The report of a run: one JSON file with what was run, on what, and each verdict.

Beside this module, ``report.schema.json`` says what may stand in it, for programs of others.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sql_snippets.results.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sql_snippets.model import Danger, Snippet

FORMAT = 2

Kind = Literal["block", "table", "facts", "fact", "identifiers", "drill", "fault"]
Verdict = Literal["passed", "failed", "excluded"]


class ReportError(Exception):
    """A report cannot be written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of the report; ``seconds`` is the time of the statement or, for a drill, of all.

    ``id`` names it by its page's place in the site, ``nodeid`` is what pytest runs it by.
    ``line`` is counted in ``file``, which is another than ``page`` for text that was included.
    ``sql_sha256`` and ``claims_sha256`` are those of a block as it was run: see `hash_sql` and
    `hash_claims`.
    ``drawn`` are its failures as a terminal shows them, each below the author's own line.
    ``danger`` is what the run was seen to do: ``level``, a mark, and ``seen``, its reasons.
    ``placeholders`` are its placeholders: ``name``, ``type`` by the server, ``source``.
    A ``cached`` verdict is of an earlier run, in which nothing was different: ``checked`` is when.
    """

    id: str
    nodeid: str
    page: str
    file: str
    section: str
    name: str
    line: int
    kind: Kind
    verdict: Verdict
    mark: str | None = None
    role: str | None = None
    sql_sha256: str | None = None
    claims_sha256: str | None = None
    seconds: float | None = None
    isolation: str | None = None
    rows: int | None = None
    danger: Mapping[str, object] | None = None
    placeholders: Sequence[Mapping[str, str]] = ()
    reason: str | None = None
    drawn: str | None = None
    cached: bool = False
    checked: str | None = None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server of a run: how it was chosen, its version, and which platform parts were real."""

    kind: str
    version: str
    real_parts: tuple[str, ...]
    stand_ins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run.  A run that needed no server has one with an empty ``version``.

    One that is not ``complete`` was written while the run went on.
    With a ``database_error`` there was no database: what needed one failed, and was not run.
    A ``check_error`` is written when the checks were run again and came to no verdict.
    """

    created: str
    server: ServerFacts
    migration_head: str | None
    recipe: str | None
    database_error: str | None
    items: tuple[Entry, ...]
    complete: bool = True
    check_error: str | None = None


def hash_sql(sql: str) -> str:
    """Return the hash by which a reader of the report knows a block again."""
    return hashlib.sha256(sql.encode()).hexdigest()


def hash_claims(snippet: Snippet) -> str:
    """Return the hash of what the page says about a block: marks, words and expected output.

    Also of the blocks before it that it needs.  Where any of it stands does not count.
    """
    said = plain([snippet.claims, snippet.excluded, snippet.earlier])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def make_report(
    entries: Iterable[Entry],
    *,
    server: ServerFacts,
    migration_head: str | None,
    recipe: str | None,
    database_error: str | None = None,
) -> Report:
    """Return the report, its items in the order of pages and lines whatever order they ran in."""
    items = sorted(entries, key=lambda entry: (entry.page, entry.line, entry.id))
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(created, server, migration_head, recipe, database_error, tuple(items))


def to_json(report: Report) -> str:
    """Return the report as it is written to a file."""
    content = {"format": FORMAT, **asdict(report)}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def write_report(report: Report, path: Path) -> None:
    """Write the file as a whole, so that nobody reads half of one; raise `ReportError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(to_json(report), encoding="utf-8")
        temporary.replace(path)
    except OSError as err:
        with suppress(OSError):
            temporary.unlink()
        raise ReportError(f"{path}: the report cannot be written: {err.strerror}") from err


def describe_danger(danger: Danger | None) -> dict[str, object] | None:
    """Return what was seen of a run, as plain values."""
    return None if danger is None else {"level": danger.level.value, "seen": list(danger.seen)}
