"""The file of queries behind a table of facts: what it holds, or what is wrong with it.

The queries stand in a file of their own, so that the page stays readable wherever it is read:

    -- fact: Schedule
    select schedule from cron.job where jobname = 'nightly';

    -- unchecked: Owner: people decide it

Each query returns one row: its columns are the values of the row of the table with that label, from
left to right.  A file without ``-- fact:`` is one query for a whole table: its columns are named as
the table's headers, and its first one tells the rows apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sql_snippets.model import Fact, Location, Unchecked
from sql_snippets.sqltext.lexer import Kind, pieces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEADER = re.compile(r"^--[ \t]*(?P<word>fact|unchecked):[ \t]*(?P<text>.*?)[ \t]*$", re.MULTILINE)
_REASON = re.compile(r"(?P<label>.+?):\s+(?P<reason>\S.*)")


class FactsError(ValueError):
    """A file of facts cannot be used; ``location`` is the place in it, if it has one."""

    def __init__(self, message: str, location: Location | None = None) -> None:
        self.location = location
        super().__init__(message)


def read_facts(path: Path, name: str) -> tuple[tuple[Fact, ...], tuple[Unchecked, ...]]:
    """Return the queries of a file, and the rows it says no query can check.

    ``name`` is what locations call the file.  Raises FactsError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as err:
        raise FactsError(f"the facts in {name} cannot be read: {err.strerror}.") from err
    except UnicodeDecodeError as err:
        raise FactsError(f"{name} is not UTF-8: byte {err.start}. Save the file as UTF-8.") from err
    facts: list[Fact] = []
    unchecked: list[Unchecked] = []
    headers = list(_HEADER.finditer(text))
    first = headers[0].start() if headers else len(text)
    if _holds_sql(text[:first]):
        facts.append(Fact(None, text[:first], Location(name, 1)))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    for header, end in zip(headers, ends, strict=False):
        place = Location(name, text.count("\n", 0, header.start()) + 1)
        entry = _read_entry(header["word"], header["text"], text[header.end() : end], place)
        if isinstance(entry, Fact):
            facts.append(entry)
        else:
            unchecked.append(entry)
    _reject_twice([*facts, *unchecked])
    if not facts:
        raise FactsError(f"{name} has no query, so it checks nothing.")
    if facts[0].label is None and len(facts) > 1:
        raise FactsError(
            "SQL stands above the first `-- fact:`: a file has one query for the whole table, or "
            "one below each `-- fact: ROW`.",
            facts[0].location,
        )
    return tuple(facts), tuple(unchecked)


def _read_entry(word: str, header: str, body: str, place: Location) -> Fact | Unchecked:
    if word == "fact":
        if not header:
            raise FactsError("`-- fact:` needs the text of the row's first cell.", place)
        if not _holds_sql(body):
            raise FactsError(
                f'the fact "{header}" has no query below it. A row that no query can check is '
                "`-- unchecked: ROW: reason`.",
                place,
            )
        return Fact(header, body, place)
    reason = _REASON.fullmatch(header)
    if reason is None:
        raise FactsError("`-- unchecked:` needs a row and a reason: `ROW: reason`.", place)
    if _holds_sql(body):
        raise FactsError(f'"{reason["label"]}" is unchecked and has a query: drop one.', place)
    return Unchecked(reason["label"], reason["reason"], place)


def _holds_sql(text: str) -> bool:
    return any(
        piece.kind is not Kind.COMMENT and text[piece.start : piece.end].strip()
        for piece in pieces(text)
    )


def _reject_twice(entries: Sequence[Fact | Unchecked]) -> None:
    seen: dict[str | None, Location] = {}
    for entry in entries:
        if entry.label in seen:
            raise FactsError(
                f'the row "{entry.label}" stands in {seen[entry.label]} already.', entry.location
            )
        seen[entry.label] = entry.location
