"""Whether what a page says about a block or a table is what the database did or holds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sql_snippets.judging.effect import check_effect
from sql_snippets.judging.marks import contradiction
from sql_snippets.model import QUERY_CANCELED, Failure, Fix, Mark, Step
from sql_snippets.plan import RESOLVED
from sql_snippets.sqltext import advice
from sql_snippets.sqltext.nearest import question
from sql_snippets.sqltext.psql import accept, compare, psql_could_print

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sql_snippets.model import Column, Outcome, ServerError, Snippet

ADDS = (
    "editor: the SQL Editor adds a limit to a single select that has none at its end. A comment "
    "with `--` in the block keeps it off, and so does a limit of its own at the end"
)
_SHORTEN = "shorten: show the first rows, and a line `...` for the others"
_NO_OUTPUT = (
    "not output?: a `text` block below a block of SQL is taken for its output; if this is "
    "something else, put a heading between them"
)


def _notes(snippet: Snippet, error: ServerError) -> tuple[str, ...]:
    notes = [
        ("detail", error.detail),
        ("hint", error.hint),
        ("context", error.context),
        ("nearest", question(error.nearest) if error.nearest else None),
        ("help", advice.for_block(error, snippet.sql, snippet.claims.role)),
    ]
    return tuple(f"{label}: {text}" for label, text in notes if text)


def describe_error(snippet: Snippet, error: ServerError, prefix: str = "") -> Failure:
    """Return the failure that shows a server error at its place on the page."""
    place = snippet.start if error.offset is None else snippet.locate(error.offset)
    message = error.message
    if error.sqlstate == QUERY_CANCELED:
        message = f'block "{snippet.name}" was stopped: {message}'
    return Failure(place, prefix + message, error.sqlstate, _notes(snippet, error))


def _check_error(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    expected = snippet.claims.error
    error = outcome.error
    if expected is None:
        if error is None:
            return []
        failure = describe_error(snippet, error)
        # Past the end of the block: the editor's own words are what is wrong.
        is_added = outcome.added and (error.offset or 0) >= len(snippet.sql.rstrip("; \n"))
        return [replace(failure, notes=(*failure.notes, ADDS)) if is_added else failure]
    if error is None:
        message = f"the page says error={expected}, but the block ran without an error"
        return [Failure(snippet.start, message)]
    if error.sqlstate != expected:
        prefix = f"the page says error={expected}, the error is {error.sqlstate}: "
        return [describe_error(snippet, error, prefix)]
    wanted = _expected_message(snippet)
    if wanted is not None and wanted not in error.message:
        prefix = f'the page says message="{wanted}", the message is: '
        return [describe_error(snippet, error, prefix)]
    return []


def _expected_message(snippet: Snippet) -> str | None:
    """Return the part of the message that is expected, with the block's own values in it."""
    message = snippet.claims.message
    for name, value in snippet.claims.fill.items():
        message = message and message.replace(f"<{name}>", value)
    return message


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
    notes = (ADDS,) if outcome.added.endswith(f" {count}") else ()
    return [Failure(snippet.start, f"the page says rows={expected}, {got}", notes=notes)]


def check_limit(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Refuse a block that changes something and stops where the editor's limit does."""
    danger, count = outcome.danger, row_count(outcome)
    if danger is None or danger.level is Mark.READ or not outcome.added.endswith(f" {count}"):
        return []
    message = f"the block acts on the first {count} rows only: {', '.join(danger.seen)}"
    return [Failure(snippet.start, message, notes=(ADDS,))]


def _check_columns(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Compare names and types of the result's columns with those the page says."""
    expected = snippet.claims.columns
    if expected is None or outcome.columns == expected:
        return []

    def show(columns: Sequence[Column]) -> str:
        return ", ".join(f"{column.name} {column.type}" for column in columns)

    place = snippet.start
    if outcome.columns is None:
        return [Failure(place, f'the page says columns="{show(expected)}", nothing is returned')]
    message = "the columns are not those the page says"
    return [Failure(place, f"{message}\n  - {show(expected)}\n  + {show(outcome.columns)}")]


def check_output(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Compare the output below the block with what came back."""
    output = snippet.claims.output
    if output is None:
        return []
    difference = compare(output.text, outcome, snippet.claims.volatile)
    if difference is None:
        return []
    message = f"the output is not what the block gives: {difference.text}"
    start = output.location
    accepted = accept(output.text, outcome, snippet.claims.volatile)
    place = replace(start, line=start.line + difference.line)
    if accepted is None:
        return [Failure(place, message, notes=(_SHORTEN,))]
    fix = Fix(start.path, start.line, output.end_line, output.text, accepted)
    # What would be refused again is no fix, and who accepts it has not accepted anything.
    is_fixed = compare(accepted, outcome, snippet.claims.volatile) is None
    notes = (_NO_OUTPUT,) if not psql_could_print(output.text) else ()
    return [Failure(place, message, fixes=(fix,) if is_fixed else (), notes=notes)]


def check_tables_below(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Refuse a table below the block that shows the columns which came back: nothing compares it.

    Its header has names of the result only, or as many names as the result has columns.
    """
    names = [column.name.lower() for column in outcome.columns or ()]
    found = [
        table
        for table in snippet.tables_below
        if names and _shows(names, [cell.lower() for cell in table.header])
    ]
    what = "this table looks like the output of the block above, but it is not compared"
    do = "Put the output into a fence ```text directly below the block, or say"
    meant = "`<!-- sql: not-output -->` above the table if it is something else"
    return [Failure(table.location, f"{what}. {do} {meant}.") for table in found]


def _shows(names: Sequence[str], header: Sequence[str]) -> bool:
    if all(cell in names for cell in header):
        return True
    written = all(re.fullmatch(r"[a-z_][a-z0-9_]*|\?column\?", cell) for cell in header)
    return written and len(header) == len(names) and any("_" in cell for cell in header)


def check_confirm(snippet: Snippet, outcome: Outcome, *, present: bool) -> list[Failure]:
    """Check that a diagnosis returns rows if, and only if, the incident is ``present``."""
    count = len(outcome.rows)
    if present and outcome.columns is None:
        return [Failure(snippet.start, "step=confirm must return rows; this returns none")]
    if present and count == 0:
        message = "step=confirm must return at least 1 row with the incident; it returned 0"
        return [Failure(snippet.start, message)]
    if not present and count > 0:
        message = f"step=confirm must return 0 rows on a healthy database; it returned {count}"
        return [Failure(snippet.start, message)]
    return []


def check_verify(snippet: Snippet, outcome: Outcome, *, resolved: bool) -> list[Failure]:
    """Check that a verification returns one row that says whether the incident is ``resolved``."""
    names = [column.name for column in outcome.columns or ()]
    place = snippet.start
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


def check_run(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Check what holds for every run of a block: its error, its columns and its number of rows."""
    failures = _check_error(snippet, outcome)
    return failures or [*_check_columns(snippet, outcome), *_check_rows(snippet, outcome)]


def _check_mark(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    mark, danger = snippet.claims.mark, outcome.danger
    if mark is None or danger is None:
        return []
    message = contradiction(
        mark,
        danger,
        failed=outcome.error is not None,
        vouched=snippet.claims.no_effect is not None,
    )
    return [] if message is None else [Failure(snippet.start, message)]


def check_snippet(snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Return everything the page says about the block that the run did not bear out.

    A block with a step must have been run against its incident.  Its mark is compared where the
    run was watched.
    What stands below a verification is its output *after* the fix, so only a drill compares it.
    """
    failures = check_run(snippet, outcome)
    if outcome.error is not None and failures:
        return failures
    failures += _check_mark(snippet, outcome)
    failures += check_effect(snippet, outcome)
    failures += check_limit(snippet, outcome)
    failures += check_tables_below(snippet, outcome)
    if snippet.claims.step is Step.VERIFY:
        return failures + check_verify(snippet, outcome, resolved=False)
    if snippet.claims.step is Step.CONFIRM:
        failures += check_confirm(snippet, outcome, present=True)
    return failures + check_output(snippet, outcome)
