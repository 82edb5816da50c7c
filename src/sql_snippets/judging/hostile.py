"""Whether the values of a block's placeholders stay values, whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.judging.checks import describe_error
from sql_snippets.model import Failure
from sql_snippets.sqltext.hostile import BROKEN, HOSTILE, SYNTAX_ERROR, same_statements
from sql_snippets.sqltext.lexer import Kind
from sql_snippets.sqltext.placeholders import Placeholder, PlaceholderError, fill, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sql_snippets.evidence import Probed
    from sql_snippets.model import Outcome, Snippet


def check_probed(snippet: Snippet, usual: Outcome, probed: Probed) -> list[Failure]:
    """Return what hostile values changed in the statement: by our scanner, the server's, a run."""
    failures = _check_structure(snippet, probed)
    error = probed.error
    if failures or error is None or error.sqlstate not in BROKEN:
        return failures
    if HOSTILE in error.message and error.sqlstate != SYNTAX_ERROR:
        return []  # a name that is not there, as a whole, is a value that has stayed one
    if usual.error is not None and usual.error.sqlstate == error.sqlstate:
        return []
    prefix = "with a value that has quotes in it, the block breaks: "
    return [describe_error(snippet, error, prefix)]


def _check_structure(snippet: Snippet, probed: Probed) -> list[Failure]:
    sql = snippet.sql
    failures = [
        Failure(
            snippet.locate(place.start),
            f"<{place.name}> is not in quotes and accepts more than a plain value",
        )
        for place in find(sql)
        if place.kind is Kind.CODE and not _is_refused(sql, place, probed.values)
    ]
    first = snippet.locate(find(sql)[0].start)
    filled = fill(sql, probed.hostile or probed.values)
    if not same_statements(fill(sql, probed.values).sql, filled.sql):
        message = "a value with quotes in it would change the statement, not only the value"
        failures.append(Failure(first, message))
    for said in probed.refused:
        message = f"a value with quotes in it would break the statement: {said}"
        failures.append(Failure(first, message, SYNTAX_ERROR))
    return failures


def _is_refused(sql: str, place: Placeholder, values: Mapping[str, object]) -> bool:
    try:
        fill(sql, {**values, place.name: HOSTILE})
    except PlaceholderError:
        return True
    return False
