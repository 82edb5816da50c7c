"""Whether a Markdown table bound to a relation says what the catalog says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sql_snippets.model import BoundTable, CatalogColumn, Failure, Fix, Span, TableRow
from sql_snippets.sqltext.nearest import meaning, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sql_snippets.evidence import RelationFound

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
# Marks that would make something else of a text in a cell, and of one in inline code.
_NOT_PLAIN = re.compile(r"[|*<>\[\]\\\n]")
_NOT_CODE = re.compile(r"[|`\n]")
_BY_HAND = "by hand: --sql-update cannot write this into a cell"


def _plain(text: str) -> str:
    """Return the text as a table cell shows it: one line, without backticks."""
    return " ".join(text.replace("`", "").split())


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which cell of a row claims what."""

    cells: Mapping[str, int]

    def cell(self, row: TableRow, claim: str) -> str | None:
        index = self.cells.get(claim)
        if index is None or index >= len(row.cells):
            return None
        # A bar has to be escaped for GitHub, in code too, where the site shows the backslash.
        return row.cells[index].strip().replace(r"\|", "|")

    def span(self, row: TableRow, claim: str) -> Span | None:
        index = self.cells.get(claim)
        return None if index is None or index >= len(row.spans) else row.spans[index]


def _read_header(table: BoundTable) -> tuple[_Layout, list[Failure]]:
    cells: dict[str, int] = {}
    failures = []
    for index, header in enumerate(table.header):
        claim = _HEADERS.get(header.strip().lower())
        if claim is None:
            found = nearest(header.strip().lower(), _HEADERS)
            meant = meaning(found and found.capitalize())
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
    wrong: list[tuple[str, str, str | None]] = []  # claim, what is wrong, what is right
    type_ = layout.cell(row, "type")
    if type_ is not None and " ".join(type_.split()) != column.type:
        message = f'the page says type "{type_}", the database has "{column.type}"'
        wrong.append(("type", message, column.type))
    nullable = layout.cell(row, "nullable")
    if nullable is not None:
        actual = "yes" if column.nullable else "no"
        if nullable.lower() not in {"yes", "no"}:
            message = f'nullable is "{nullable}"; write yes or no (here: {actual})'
            wrong.append(("nullable", message, actual))
        elif nullable.lower() != actual:
            message = f"the page says nullable {nullable}, the database says {actual}"
            wrong.append(("nullable", message, actual))
    default = layout.cell(row, "default")
    if default is not None and _plain(default) != _plain(column.default or ""):
        has = f'"{column.default}"' if column.default is not None else "none (leave it empty)"
        message = f'the page says default "{default}", the database has {has}'
        wrong.append(("default", message, column.default or ""))
    comment = layout.cell(row, "comment")
    if comment is not None and column.comment is None:
        message = "the column has no COMMENT in the database to compare the text with"
        wrong.append(("comment", message, None))
    elif comment is not None and _plain(comment) != _plain(column.comment or ""):
        actual = _plain(column.comment or "")
        message = f"the text is not the column's COMMENT\n  - {comment}\n  + {actual}"
        wrong.append(("comment", message, " ".join((column.comment or "").split())))
    failures = []
    for claim, message, right in wrong:
        fixes = _fix_cell(layout.span(row, claim), claim, right)
        notes = () if fixes or right is None else (_BY_HAND,)
        text = f'column "{column.name}": {message}'
        failures.append(Failure(row.location, text, fixes=fixes, notes=notes))
    return failures


def _written(claim: str, text: str, *, in_code: bool) -> str | None:
    """Return a text as a cell can hold it: in code where it was, or has to be and may."""
    may_be_code = bool(text) and not _NOT_CODE.search(text)
    if in_code and may_be_code:
        return f"`{text}`"
    if not _NOT_PLAIN.search(text):
        return text
    return f"`{text}`" if may_be_code and claim != "comment" else None


def _fix_cell(span: Span | None, claim: str, right: str | None) -> tuple[Fix, ...]:
    """Return the change that makes a cell right, in backticks where it was."""
    if span is None or right is None:
        return ()
    new = _written(claim, right, in_code=re.fullmatch(r"`[^`]+`", span.text) is not None)
    if new is None:
        return ()
    start = span.start
    if not span.text:  # an empty cell ends where the bar is
        new += " "
    return (Fix(start.path, start.line, start.line, span.text, new, (start.column, span.end)),)


def _missing_rows(
    table: BoundTable,
    columns: Sequence[CatalogColumn],
    shown: Mapping[str, TableRow],
    missing: Sequence[CatalogColumn],
    layout: _Layout,
) -> dict[str, tuple[Fix, ...]]:
    """Return, for each column that is not listed, what puts its row where the catalog has it."""
    if not all(row.spans and all(row.spans) for row in table.rows) or not table.rows:
        return {}
    first = table.rows[0].location
    above = first.line - 1  # the line of dashes
    groups: dict[int, list[CatalogColumn]] = {}
    lacking = {column.name for column in missing}
    for column in columns:
        if column.name in shown:
            above = shown[column.name].location.line
        elif column.name in lacking:
            groups.setdefault(above, []).append(column)
    fixes: dict[str, tuple[Fix, ...]] = {}
    for line, group in groups.items():
        rows = "\n".join(_write_row(table, column, layout) for column in group)
        # Neighbours share one change: two of them at one place would have no order.
        fixes |= {column.name: (Fix(first.path, line, line, "", rows, (0, 0)),) for column in group}
    return fixes


def _write_row(table: BoundTable, column: CatalogColumn, layout: _Layout) -> str:
    """Return the row of a column as the others are written."""
    texts = {
        "name": column.name,
        "type": column.type,
        "nullable": "yes" if column.nullable else "no",
        "default": column.default or "",
        "comment": " ".join((column.comment or "").split()),
    }
    cells = [""] * len(table.header)
    for claim, index in layout.cells.items():
        span = table.rows[0].spans[index]
        in_code = span is not None and span.text.startswith("`")
        text = _written(claim, texts[claim], in_code=in_code)
        cells[index] = texts[claim].replace("|", r"\|") if text is None else text
    return f"| {' | '.join(cells)} |"


def _check_order(
    rows: Sequence[tuple[TableRow, str]], columns: Sequence[CatalogColumn], relation: str
) -> list[Failure]:
    """Report the first row that does not stand where the catalog has it."""
    shown = {name for _, name in rows}
    order = [column.name for column in columns if column.name in shown]
    for (row, name), wanted in zip(rows, order, strict=True):
        if name != wanted:
            message = (
                f'column "{name}" is where {relation} has "{wanted}"; list the columns in '
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
    seen: dict[str, TableRow] = {}
    meant_by_mistake: set[str | None] = set()
    for row, name in written:
        if name not in by_name:
            found = nearest(name, by_name.keys() - names) or nearest(name, by_name)
            meant_by_mistake.add(found)
            message = f'{table.relation} has no column "{name}"{meaning(found)}'
            fixes = _fix_cell(layout.span(row, "name"), "name", found) if found not in names else ()
            failures.append(Failure(row.location, message, fixes=fixes))
        elif name in seen:
            failures.append(Failure(row.location, f'column "{name}" is listed twice'))
        else:
            seen[name] = row
            rows.append((row, name))
            failures += _check_row(row, by_name[name], layout)
    failures += _check_order(rows, columns, table.relation)
    last = table.rows[-1].location if table.rows else table.location
    missing = [column for column in columns if column.name not in seen.keys() | meant_by_mistake]
    added = _missing_rows(table, columns, seen, missing, layout)
    for column in missing:
        message = f'the table does not list column "{column.name}" ({column.type})'
        failures.append(Failure(last, message, fixes=added.get(column.name, ())))
    return sorted(failures, key=lambda failure: failure.location)


def check_table(table: BoundTable, found: RelationFound) -> list[Failure]:
    """Compare a Markdown table with the relation it is bound to, row by row."""
    layout, failures = _read_header(table)
    if failures:
        return failures
    if found.columns is None:
        message = f'there is no relation "{table.relation}"{meaning(found.nearest)}'
        return [Failure(table.location, message)]
    return _check_columns(table, found.columns, layout)
