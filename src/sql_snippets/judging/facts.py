"""Whether the values of a table on a page are what queries return."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from sql_snippets.model import (
    CellValue,
    Fact,
    FactsTable,
    Failure,
    Fix,
    Location,
    TableRow,
    Unchecked,
    ValueKind,
)
from sql_snippets.sqltext.nearest import did_you_mean, meaning, nearest, question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sql_snippets.evidence import Answer

# What may be written into a cell without becoming something else there.
_WRITABLE = {
    ValueKind.CODE: re.compile(r"[^`|\s\\](?:[^`|\n\\]*[^`|\s\\])?"),
    ValueKind.LINK: re.compile(r"[^\s()|<>\\]+"),
    ValueKind.NUMBER: re.compile(r"\d+(?:[.:,]\d+)*"),
    ValueKind.TEXT: re.compile(r"[^`|*_<>\[\]\\&\n]+"),
}

_Row = tuple["str | None", ...]


def check_facts(table: FactsTable, answers: Sequence[Answer]) -> list[Failure]:
    """Return what the table says and the answers to its queries do not."""
    failures = list(_match_labels(table))
    for fact, answer in zip(table.facts, answers, strict=True):
        wrong = _check_answer(fact, answer)
        if wrong is not None:
            failures.append(wrong)
        elif fact.label is None:
            failures += _check_table(table, fact, *answer.results[0])
        else:
            failures += _check_fact(table, fact, *answer.results[0])
    return sorted(failures, key=lambda failure: failure.location)


def _match_labels(table: FactsTable) -> Iterator[Failure]:
    """Hold the rows of the table against the labels of the file, both ways."""
    if table.facts and table.facts[0].label is None:
        return
    shown = [row.label for row in table.rows]
    for label, group in groupby(sorted(shown)):
        if len(list(group)) > 1:
            row = table.rows[len(shown) - 1 - shown[::-1].index(label)]
            yield Failure(row.location, f'the row "{label}" is there twice')
    entries: list[Fact | Unchecked] = [*table.facts, *table.unchecked]
    known = [entry.label for entry in entries if entry.label is not None]
    for entry in entries:
        if entry.label is not None and entry.label not in shown:
            meant = did_you_mean(entry.label, shown)
            message = f'the table at {table.location} has no row "{entry.label}"{meant}'
            yield Failure(entry.location, message)
    for row in table.rows:
        if row.label not in known:
            label = row.label
            message = (
                f'nothing checks the row "{label}": add `-- fact: {label}` and a query to '
                f"{table.source}, or `-- unchecked: {label}: reason`"
            )
            yield Failure(row.location, message)


def _check_answer(fact: Fact, answer: Answer) -> Failure | None:
    """Return what is wrong with the query itself."""
    what = f'the query of the fact "{fact.label}"' if fact.label else "the query of the table"
    error = answer.error
    if error is not None:
        at = error.offset or 0
        before = fact.sql[:at]
        line = fact.location.line + before.count("\n")
        place = Location(fact.location.path, line, at - before.rfind("\n"))
        notes = (f"nearest: {question(error.nearest)}",) if error.nearest else ()
        return Failure(place, f"{what} failed: {error.message}", error.sqlstate, notes)
    if len(answer.results) != 1:
        return Failure(fact.location, f"{what} must be one query that returns rows")
    return None


def _check_fact(
    table: FactsTable, fact: Fact, _names: tuple[str, ...], rows: tuple[_Row, ...]
) -> Iterator[Failure]:
    row = next((row for row in table.rows if row.label == fact.label), None)
    if row is None:
        return
    if len(rows) != 1:
        message = f'the query of the fact "{fact.label}" must return 1 row; it returned {len(rows)}'
        yield Failure(fact.location, message)
        return
    shown = [value for cell in row.values[1:] for value in cell if value.text]
    yield from _compare(row.location, f'"{fact.label}"', shown, rows[0])


def _check_table(
    table: FactsTable, fact: Fact, names: tuple[str, ...], rows: tuple[_Row, ...]
) -> Iterator[Failure]:
    headers = [header.lower() for header in table.header]
    for name in dict.fromkeys(names):
        if name.lower() not in headers:
            meant = did_you_mean(name.lower(), headers)
            message = f'the table at {table.location} has no column "{name}"{meant}'
            yield Failure(fact.location, message)
            return
    key = headers.index(names[0].lower())
    by_key = {str(row[0]): row for row in rows}
    excepted = {entry.label for entry in table.unchecked}
    shown = [row.cells[key] for row in table.rows]
    missing = [label for label in by_key if label not in shown]
    for index, (row, label) in enumerate(zip(table.rows, shown, strict=True)):
        if label in shown[:index]:
            yield Failure(_place(row, key), f'the row "{label}" is there twice')
        elif label in by_key:
            yield from _check_table_row(row, label, headers, names, by_key[label])
        elif label not in excepted:
            found = nearest(label, missing)
            message = f'the database does not have "{label}"{meaning(found)}'
            fixes = _fix(row.values[key][0], found) if row.values else ()
            yield Failure(_place(row, key), message, fixes=fixes)
            missing = [other for other in missing if other != found]
    for label in sorted(excepted):
        if label not in shown:
            place = next(entry.location for entry in table.unchecked if entry.label == label)
            message = f'the table at {table.location} has no row "{label}"'
            yield Failure(place, message)
    last = table.rows[-1].location if table.rows else table.location
    for label in missing:
        yield Failure(last, f'the database has "{label}", the table has no row for it')


def _check_table_row(
    row: TableRow, label: str, headers: list[str], names: tuple[str, ...], values: _Row
) -> Iterator[Failure]:
    for index, header in enumerate(headers):
        wanted = [
            value for name, value in zip(names, values, strict=True) if name.lower() == header
        ]
        if wanted and index < len(row.values):
            yield from _compare(
                _place(row, index), f'"{label}", {header}', row.values[index], wanted
            )


def _place(row: TableRow, index: int) -> Location:
    span = row.spans[index] if index < len(row.spans) else None
    return span.start if span else row.location


def _compare(
    place: Location, what: str, shown: Sequence[CellValue], wanted: Sequence[str | None]
) -> Iterator[Failure]:
    """Compare values one by one; another number of them has no right and wrong ones."""
    if len(shown) != len(wanted):
        yield Failure(
            place,
            f"{what}: the page has {_list([v.text for v in shown])}, the query gives "
            f"{_list(wanted)}",
        )
        return
    for value, right in zip(shown, wanted, strict=True):
        if value.text != right:
            where = value.span.start if value.span else place
            true = "null" if right is None else f'"{right}"'
            message = f'{what}: the page says "{value.text}", the database says {true}'
            yield Failure(where, message, fixes=_fix(value, right))


def _list(values: Sequence[str | None]) -> str:
    texts = ", ".join("null" if value is None else f'"{value}"' for value in values)
    return f"{len(values)} value{'' if len(values) == 1 else 's'} ({texts})"


def _fix(value: CellValue, right: str | None) -> tuple[Fix, ...]:
    span = value.span
    if span is None or right is None or not _WRITABLE[value.kind].fullmatch(right):
        return ()
    start = span.start
    columns = start.column, span.end
    return (Fix(start.path, start.line, start.line, span.text, right, columns),)
