"""What the queries of a facts table vouch for, as the page alone tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import Kind, pieces

if TYPE_CHECKING:
    from sql_snippets.model import FactsTable


def checked_codes(table: FactsTable) -> set[int]:
    """Return the inline code, by its number on the page, that a query vouches for."""
    labels = {fact.label for fact in table.facts}
    columns = bound_columns(table)
    return {
        value.code
        for row in table.rows
        for index, cell in enumerate(row.values)
        if index in columns or (index and row.label in labels)
        for value in cell
        if value.code is not None
    }


def bound_columns(table: FactsTable) -> set[int]:
    """Return the columns that the query of a whole table names, as it quotes them."""
    whole = [fact.sql for fact in table.facts if fact.label is None]
    quoted = {
        sql[piece.start + 1 : piece.end - 1].lower()
        for sql in whole
        for piece in pieces(sql)
        if piece.kind is Kind.IDENTIFIER
    }
    return {index for index, header in enumerate(table.header) if header.lower() in quoted}
