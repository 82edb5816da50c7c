"""Whether a Markdown table bound to a relation says what the catalog says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sql_snippets.catalog import CatalogColumn, columns_of, nearest, nearest_relation
from sql_snippets.model import BoundTable, Failure, TableRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sql_snippets.checks import Connectable

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
