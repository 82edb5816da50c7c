"""What stands below a SQL block: its output, and what looks like one and is compared by nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sql_snippets.reading.fences import Fence, is_sql
from sql_snippets.reading.rendered import Block, DirectiveMark, Heading, Item, Table, Text
from sql_snippets.sqltext.looks import looks_like_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OUTPUT_LANGUAGE = "text"
# What stands between a block and what looks like its output does not make it another's.
_NO_PROGRAMS = frozenset(
    {
        *("", "text", "txt", "plain", "plaintext", "none", "output", "console", "psql", "result"),
        *("postgresql-console", "postgres-console", "mysql", "mariadb", "sqlite", "sqlite3"),
        *("tsql", "mssql", "plsql", "oracle", "duckdb", "clickhouse", "bigquery", "snowflake"),
    }
)
_ABOUT_PAGES = frozenset({"markdown", "md", "html", "yaml", "yml", "mermaid", "diff"})


@dataclass(slots=True)
class Below:
    """The fence of the output, and what looks like one, each with where it stands instead.

    ``unread`` has no fence for what is none.  ``tables`` are those in sight: their headers tell.
    """

    output: Fence | None = None
    unread: list[tuple[Fence | None, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def find_below(
    following: Sequence[Item], fences: Sequence[Fence], says_not_output: Callable[[int], bool]
) -> Below:
    """Return what stands below a block, up to the next one, a heading or a program of its own.

    The output is the first fence that is not said to be something else, if it is text.
    ``says_not_output`` is asked about a directive by its number.
    """
    below = Below()
    is_first, is_other = True, False
    for number, item in enumerate(following):
        if isinstance(item, DirectiveMark):
            is_other = is_other or says_not_output(item.number)
            continue
        if isinstance(item, Heading):
            # A result without a fence: Markdown takes its header and rule for a heading.
            if number == 0 and any(_is_result(text) for text in following[1:2]):
                below.unread.append((None, "no fence"))
            break
        if isinstance(item, Block):
            fence = fences[item.fence]
            if is_sql(fence.language):
                break
            if not is_other:
                if not _take_fence(below, fence, is_first=is_first):
                    break
                is_first = False
        elif not is_other:
            _take_other(below, item)
        is_other = False
    return below


def _take_other(below: Below, item: Table | Text) -> None:
    if isinstance(item, Table):
        below.tables.append(item)
    elif _is_result(item):
        below.unread.append((None, "no fence"))


def _take_fence(below: Below, fence: Fence, *, is_first: bool) -> bool:
    """Say whether what comes below the fence may still be about the block."""
    language = fence.language.lower()
    if is_first and language == OUTPUT_LANGUAGE:
        below.output = fence
    elif language not in _ABOUT_PAGES and looks_like_output("\n".join(fence.code)):
        named = f"a fence of the language `{language}`" if language else "a fence of no language"
        is_text = language == OUTPUT_LANGUAGE
        below.unread.append(
            (fence, "a fence that is not the first one below it" if is_text else named)
        )
    return language in _NO_PROGRAMS


def _is_result(item: Item) -> bool:
    """Whether a text outside of a fence has the shape of a result."""
    return isinstance(item, Text) and looks_like_output(item.words.text)
