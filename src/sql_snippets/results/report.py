"""The report of a run: one JSON file with what was run, on what, and each verdict.

Beside this module, ``report.schema.json`` says what may stand in it, for programs of others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - `codec` reads the types of fields
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from sql_snippets.cache import hash_bytes, hash_of, write_whole
from sql_snippets.codec import NOT_WRITTEN, decode, encode
from sql_snippets.model import Danger, Parameter  # noqa: TC001 - `codec` reads the types of fields
from sql_snippets.results.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sql_snippets.model import Snippet

FORMAT = 3
"""It changes when what a field says changes, or a field goes; readers leave out new ones."""

ItemKind = Literal["block", "table", "facts", "unchecked-fact", "identifiers", "drill", "fault"]

IN_ORDER = attrgetter("page", "line", "id")
"""The key by which items are sorted."""

DEFAULT_PATH = ".cache/sql-snippets/report.json"
"""Where a site looks for its report, from the folder of its ``mkdocs.yml``."""


class ReportError(Exception):
    """A report cannot be written, or is there and cannot be read."""


class Verdict(StrEnum):
    """What a run found of an item; the last two are what a site finds of a report."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    STALE = "stale"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of the report; ``seconds`` is the time of the statement or, for a drill, of all.

    ``id`` names it by its page's place in the site, ``nodeid`` is what pytest runs it by.
    ``line`` is counted in ``file``, which is another than ``page`` for text that was included.
    ``sql_sha256`` and ``claims_sha256`` are those of a block as it was run: see `hash_sql` and
    `hash_claims`.
    ``drawn`` are its failures as a terminal shows them, each below the author's own line.
    ``migration`` says since which one it fails, where that was looked for.
    ``danger`` is what the run was seen to do.
    ``placeholders`` have their types by the server.
    A ``cached`` verdict is of an earlier run, in which nothing was different: ``checked`` is when.
    """

    id: str
    nodeid: str = ""
    page: str = ""
    file: str = ""
    section: str = ""
    name: str = ""
    line: int = 1
    kind: ItemKind
    verdict: Verdict
    mark: str | None = None
    role: str | None = None
    sql_sha256: str | None = None
    claims_sha256: str | None = None
    seconds: float | None = None
    isolation: str | None = None
    rows: int | None = None
    danger: Danger | None = None
    placeholders: tuple[Parameter, ...] = ()
    reason: str | None = None
    drawn: str | None = None
    migration: str | None = None
    cached: bool = False
    checked: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server of a run: how it was chosen, its version, and which platform parts were real.

    A run that needed no server has an empty ``version``.
    """

    kind: str
    version: str = ""
    real_parts: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The version alone, without the name and the build."""
        return self.version.removeprefix("PostgreSQL ").split(" ")[0]


@dataclass(frozen=True, slots=True)
class RanOn:
    """What a run was on: the server, the last migration, and a hash of all files behind it."""

    server: ServerFacts
    migration_head: str | None = None
    recipe: str | None = None


@dataclass(frozen=True)
class Report:
    """All of a run.

    One that is not ``complete`` was written while the run went on.
    With a ``database_error`` there was no database: what needed one failed, and was not run.
    A ``check_error`` is written when the checks were run again and came to no verdict.

    How it stands to a site's database as that is now is not written.  ``stale`` says what has
    changed since, None if nothing has.  With ``unknown`` a command makes the database, and whether
    that would make the same again is not known.  ``has_platform`` says whether there are parts of
    a platform, real or not.
    """

    created: datetime
    server: ServerFacts
    migration_head: str | None = None
    recipe: str | None = None
    database_error: str | None = None
    items: tuple[Entry, ...] = ()
    complete: bool = True
    check_error: str | None = None
    stale: str | None = field(default=None, metadata=NOT_WRITTEN)
    unknown: bool = field(default=False, metadata=NOT_WRITTEN)
    has_platform: bool = field(default=False, metadata=NOT_WRITTEN)

    @cached_property
    def by_id(self) -> Mapping[str, Entry]:
        """The items by their ids."""
        return {entry.id: entry for entry in self.items}


def hash_sql(sql: str) -> str:
    """Return the hash by which a reader of the report knows a block again."""
    return hash_bytes(sql.encode())


def hash_claims(snippet: Snippet) -> str:
    """Return the hash of what the page says about a block: marks, words and expected output.

    Also of the blocks before it that it needs.  Where any of it stands does not count.
    """
    around = [snippet.order, snippet.earlier, snippet.tables_below]
    said = plain([snippet.claims, snippet.skipped, *around])
    return hash_of(said)


def make_report(
    entries: Iterable[Entry], ran_on: RanOn, database_error: str | None = None
) -> Report:
    """Return the report, its items in the order of pages and lines whatever order they ran in."""
    items = sorted(entries, key=IN_ORDER)
    return Report(
        datetime.now(UTC).replace(microsecond=0),
        ran_on.server,
        ran_on.migration_head,
        ran_on.recipe,
        database_error,
        tuple(items),
    )


def write_report(report: Report, path: Path) -> None:
    """Write the file as a whole, so that nobody reads half of one; raise `ReportError`."""
    content = {"format": FORMAT, **encode(report)}
    try:
        write_whole(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    except OSError as err:
        raise ReportError(f"{path}: the report cannot be written: {err.strerror}") from err


def read_report(path: Path) -> Report | None:
    """Return the report at ``path``, or ``None`` where there is none yet.

    Raise `ReportError` for a file that is not a report of the format this version writes.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ReportError(
                f"{path} is a report of format {data['format']}; this version reads format "
                f"{FORMAT}. Run the checks again with --sql-report {path}."
            )
        return decode(Report, data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise ReportError(
            f"{path} is not a report that can be read ({type(err).__name__}: {err}). "
            f"Run the checks again with --sql-report {path}."
        ) from err
