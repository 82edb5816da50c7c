"""Whether what a page says about a block or a table is what the database did or holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import psycopg

from sql_snippets.catalog import CatalogColumn, columns_of, nearest, nearest_relation, suggest
from sql_snippets.model import (
    BoundTable,
    Failure,
    Location,
    Mark,
    Outcome,
    Problem,
    ServerError,
    Snippet,
    Step,
    TableRow,
)
from sql_snippets.psql import compare
from sql_snippets.servers.server import ServerUnavailable

READ_ONLY_VIOLATION = "25006"
QUERY_CANCELED = "57014"
RESOLVED = "resolved"

Suggest = Callable[[ServerError, str], str | None]
CheckShown = Callable[[Snippet, Outcome], list[Failure]]
"""What is done about the output a page shows: compare it (`check_output`), or accept another."""


class Connectable(Protocol):
    """A database that can be looked into."""

    def connect(self, role: str | None = None, application_name: str = "") -> psycopg.Connection:
        """Open a session; ``None`` is the role of the page's reader."""


def start_of(snippet: Snippet) -> Location:
    """Return the place of the first character of the SQL, or of the fence when it is empty."""
    return snippet.locate(0) if snippet.origins else snippet.fence


def problems_of(problems: Sequence[Problem]) -> list[Failure]:
    """Turn what was wrong before the run into failures of the item."""
    return [Failure(problem.location, problem.message) for problem in problems]


def _notes(error: ServerError, found: str | None) -> tuple[str, ...]:
    notes = [
        ("detail", error.detail),
        ("hint", error.hint),
        ("context", error.context),
        ("nearest", f'did you mean "{found}"?' if found else None),
    ]
    return tuple(f"{label}: {text}" for label, text in notes if text)


def describe_error(
    snippet: Snippet, error: ServerError, sql: str, suggest: Suggest | None, prefix: str = ""
) -> Failure:
    """Return the failure that shows a server error at its place on the page.

    ``sql`` is what was sent, which differs from the block when it has placeholders; ``offset`` of
    the error already counts in the block.
    """
    place = start_of(snippet) if error.offset is None else snippet.locate(error.offset)
    message = error.message
    if error.sqlstate == READ_ONLY_VIOLATION and snippet.claims.mark is Mark.READ:
        message = f"the page says READ but it writes: {message}"
    if error.sqlstate == QUERY_CANCELED:
        message = f'block "{snippet.name}" was stopped: {message}'
    found = suggest(error, sql) if suggest is not None else None
    return Failure(place, prefix + message, error.sqlstate, _notes(error, found))


def _check_error(
    snippet: Snippet, outcome: Outcome, sql: str, suggest: Suggest | None
) -> list[Failure]:
    expected = snippet.claims.error
    error = outcome.error
    if expected is None:
        return [] if error is None else [describe_error(snippet, error, sql, suggest)]
    if error is None:
        message = f"the page says error={expected}, but the block ran without an error"
        return [Failure(start_of(snippet), message)]
    if error.sqlstate != expected:
        prefix = f"the page says error={expected}, the error is {error.sqlstate}: "
        return [describe_error(snippet, error, sql, suggest, prefix)]
    return []


def row_count(outcome: Outcome) -> int | None:
    """Return the rows that came back, or the rows a statement without a result changed."""
    if outcome.columns is not None:
        return len(outcome.rows)
    count = re.search(r" (\d+)$", outcome.tag)
    return int(count[1]) if count else None


def _check_rows(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    expected = snippet.claims.rows
    count = row_count(outcome)
    if expected is None or count == expected:
        return []
    got = f"{outcome.tag} has no rows" if count is None else f"there are {count}"
    return [Failure(start_of(snippet), f"the page says rows={expected}, {got}")]


def check_output(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Compare the output below the block with what came back."""
    output = snippet.claims.output
    if output is None:
        return []
    difference = compare(output.text, outcome, snippet.claims.volatile)
    if difference is None:
        return []
    message = f"the output is not what the block gives: {difference}"
    return [Failure(output.location, message)]


def check_confirm(snippet: Snippet, outcome: Outcome, *, present: bool) -> list[Failure]:
    """Check that a diagnosis returns rows if, and only if, the incident is ``present``."""
    count = len(outcome.rows)
    if present and outcome.columns is None:
        return [Failure(start_of(snippet), "step=confirm must return rows; this returns none")]
    if present and count == 0:
        message = "step=confirm must return at least 1 row with the incident; it returned 0"
        return [Failure(start_of(snippet), message)]
    if not present and count > 0:
        message = f"step=confirm must return 0 rows on a healthy database; it returned {count}"
        return [Failure(start_of(snippet), message)]
    return []


def check_verify(snippet: Snippet, outcome: Outcome, *, resolved: bool) -> list[Failure]:
    """Check that a verification returns one row that says whether the incident is ``resolved``."""
    names = [column.name for column in outcome.columns or ()]
    place = start_of(snippet)
    if RESOLVED not in names:
        has = f"the columns are {', '.join(names)}" if names else "there are no columns"
        return [Failure(place, f'step=verify must return a boolean column "{RESOLVED}"; {has}')]
    index = names.index(RESOLVED)
    type_ = (outcome.columns or ())[index].type
    if type_ != "boolean":
        return [Failure(place, f'step=verify: column "{RESOLVED}" is {type_}, not boolean')]
    if len(outcome.rows) != 1:
        message = f"step=verify must return exactly 1 row; it returned {len(outcome.rows)}"
        return [Failure(place, message)]
    value = {"t": "true", "f": "false", None: "null"}.get(outcome.rows[0][index])
    wanted = "true" if resolved else "false"
    if value != wanted:
        when = "after the fix" if resolved else "while the incident is there"
        message = f"step=verify must say {RESOLVED} = {wanted} {when}; it says {value}"
        return [Failure(place, message)]
    return []


def check_run(
    snippet: Snippet,
    outcome: Outcome,
    *,
    sql: str | None = None,
    suggest: Suggest | None = None,
) -> list[Failure]:
    """Check what holds for every run of a block: its error and its number of rows.

    ``sql`` is what was sent when that is not the block itself.
    """
    sent = snippet.sql if sql is None else sql
    return _check_error(snippet, outcome, sent, suggest) or _check_rows(snippet, outcome)


def check_snippet(
    snippet: Snippet,
    outcome: Outcome,
    *,
    sql: str | None = None,
    suggest: Suggest | None = None,
    shown: CheckShown = check_output,
) -> list[Failure]:
    """Return everything the page says about the block that the run did not bear out.

    A block marked READ must have been run read-only; one with a step, against its incident.
    What stands below a verification is its output *after* the fix, so only a drill compares it.
    """
    failures = check_run(snippet, outcome, sql=sql, suggest=suggest)
    if outcome.error is not None and failures:
        return failures
    if snippet.claims.step is Step.VERIFY:
        return failures + check_verify(snippet, outcome, resolved=False)
    if snippet.claims.step is Step.CONFIRM:
        failures += check_confirm(snippet, outcome, present=True)
    return failures + shown(snippet, outcome)


# What a header cell may say, and what the column below it then claims.
_HEADERS: Mapping[str, str] = {
    "column": "name",
    "name": "name",
    "type": "type",
    "null": "nullable",
    "nullable": "nullable",
    "default": "default",
    "purpose": "comment",
    "meaning": "comment",
    "description": "comment",
    "comment": "comment",
}


def _plain(text: str) -> str:
    """Return the text as a table cell shows it: one line, without backticks."""
    return " ".join(text.replace("`", "").split())


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which cell of a row claims what."""

    cells: Mapping[str, int]

    def cell(self, row: TableRow, claim: str) -> str | None:
        index = self.cells.get(claim)
        return None if index is None or index >= len(row.cells) else row.cells[index].strip()


def _read_header(table: BoundTable) -> tuple[_Layout, list[Failure]]:
    cells: dict[str, int] = {}
    failures = []
    for index, header in enumerate(table.header):
        claim = _HEADERS.get(header.strip().lower())
        if claim is None:
            found = nearest(header.strip().lower(), _HEADERS)
            meant = f'; did you mean "{found.capitalize()}"?' if found else ""
            known = ", ".join(word.capitalize() for word in _HEADERS)
            message = f'a column "{header}" of the table cannot be checked{meant} (known: {known})'
            failures.append(Failure(table.location, message))
        elif claim in cells:
            message = f'column "{header}" says the same as "{table.header[cells[claim]]}"'
            failures.append(Failure(table.location, message))
        else:
            cells[claim] = index
    if "name" not in cells and not failures:
        message = "the table has no column named Column or Name, so its rows cannot be checked"
        failures.append(Failure(table.location, message))
    return _Layout(cells), failures


def _check_row(row: TableRow, column: CatalogColumn, layout: _Layout) -> list[Failure]:
    wrong: list[str] = []
    type_ = layout.cell(row, "type")
    if type_ is not None and " ".join(type_.split()) != column.type:
        wrong.append(f'the page says type "{type_}", the database has "{column.type}"')
    nullable = layout.cell(row, "nullable")
    if nullable is not None:
        actual = "yes" if column.nullable else "no"
        if nullable.lower() not in {"yes", "no"}:
            wrong.append(f'nullable is "{nullable}"; write yes or no (here: {actual})')
        elif nullable.lower() != actual:
            wrong.append(f"the page says nullable {nullable}, the database says {actual}")
    default = layout.cell(row, "default")
    if default is not None and _plain(default) != _plain(column.default or ""):
        has = f'"{column.default}"' if column.default is not None else "none (leave it empty)"
        wrong.append(f'the page says default "{default}", the database has {has}')
    comment = layout.cell(row, "comment")
    if comment is not None and column.comment is None:
        wrong.append("the column has no COMMENT in the database to compare the text with")
    elif comment is not None and _plain(comment) != _plain(column.comment or ""):
        actual = _plain(column.comment or "")
        wrong.append(f"the text is not the column's COMMENT\n  - {comment}\n  + {actual}")
    return [Failure(row.location, f'column "{column.name}": {message}') for message in wrong]


def _check_order(
    rows: Sequence[tuple[TableRow, str]], columns: Sequence[CatalogColumn], relation: str
) -> list[Failure]:
    """Report the first row that does not stand where the catalog has it."""
    shown = {name for _, name in rows}
    order = [column.name for column in columns if column.name in shown]
    for (row, name), wanted in zip(rows, order, strict=True):
        if name != wanted:
            message = (
                f'column "{name}" stands where {relation} has "{wanted}"; list the columns in '
                "the table's own order"
            )
            return [Failure(row.location, message)]
    return []


def _check_columns(
    table: BoundTable, columns: Sequence[CatalogColumn], layout: _Layout
) -> list[Failure]:
    by_name = {column.name: column for column in columns}
    written = [(row, layout.cell(row, "name") or "") for row in table.rows]
    names = {name for _, name in written}
    failures: list[Failure] = []
    rows: list[tuple[TableRow, str]] = []
    seen: set[str] = set()
    meant_by_mistake: set[str | None] = set()
    for row, name in written:
        if name not in by_name:
            found = nearest(name, by_name.keys() - names) or nearest(name, by_name)
            meant_by_mistake.add(found)
            meant = f'; did you mean "{found}"?' if found else ""
            message = f'{table.relation} has no column "{name}"{meant}'
            failures.append(Failure(row.location, message))
        elif name in seen:
            failures.append(Failure(row.location, f'column "{name}" is listed twice'))
        else:
            seen.add(name)
            rows.append((row, name))
            failures += _check_row(row, by_name[name], layout)
    failures += _check_order(rows, columns, table.relation)
    last = table.rows[-1].location if table.rows else table.location
    failures += [
        Failure(last, f'the table does not list column "{column.name}" ({column.type})')
        for column in columns
        if column.name not in seen | meant_by_mistake
    ]
    return sorted(failures, key=lambda failure: failure.location)


def check_table(table: BoundTable, database: Connectable) -> list[Failure]:
    """Compare a Markdown table with the relation it is bound to, row by row."""
    layout, failures = _read_header(table)
    if failures:
        return failures
    with database.connect(application_name="sql-snippets") as connection:
        columns = columns_of(connection, table.relation)
        found = None if columns is not None else nearest_relation(connection, table.relation)
    if columns is None:
        meant = f'; did you mean "{found}"?' if found else ""
        message = f'there is no relation "{table.relation}"{meant}'
        return [Failure(table.location, message)]
    return _check_columns(table, columns, layout)


def suggest_from(database: Connectable) -> Suggest:
    """Return a look-up of nearest names that never hides the error it is about."""

    def look_up(error: ServerError, sql: str) -> str | None:
        try:
            with database.connect(application_name="sql-snippets") as connection:
                return suggest(connection, error, sql)
        except (psycopg.Error, ServerUnavailable):
            return None

    return look_up
