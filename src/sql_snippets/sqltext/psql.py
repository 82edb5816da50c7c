"""Results as ``psql`` prints them, and the comparison of what a page shows with what came back.

The layout is that of ``psql`` with its default settings (aligned, border 1, ASCII lines, null as
nothing), because that is what readers know and can paste from a terminal.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise, zip_longest
from typing import TYPE_CHECKING

from sql_snippets.sqltext.widths import display_width, display_width_before_16

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sql_snippets.model import Column, Outcome, ServerError

ANY = "..."
"""What an author writes for a cell, or for a line of rows, that may be anything."""

# The types that psql's column_type_alignment() sets to the right.
_RIGHT_ALIGNED = frozenset(
    {
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "numeric",
        "money",
        "oid",
        "xid",
        "xid8",
        "cid",
    }
)
_TAB_STOP = 8
_LAST_ASCII = 0x7F
_RULE = re.compile(r"-+(\+-+)*")
_TAG = re.compile(r"[A-Z]+(?: [A-Z]+)*(?: \d+)*|\.\.\.|")
_FOOTER = re.compile(r"\((\d+) rows?\)")
_TAG_WITH_ROWS = re.compile(r"\s*[A-Z]{4,}(?: \d+)+\s*")
_NOTICE = re.compile(r"(?:NOTICE|WARNING|INFO|LOG|DEBUG): ")
_CONTEXT_LINES = 2
# What is shown of a difference: enough to see it, however much came back.
_MOST_LINES = 12
_MOST_CHARACTERS = 160
_LONGEST_CELL = 80
# As far as lines are matched with each other to find what differs.
_WINDOW = 100
# More rows than this are no output that anyone would want on a page.
_MOST_ROWS = 1000

Cells = tuple[str, ...]


def _printable(line: str) -> str:
    """Spell control characters and expand tabs the way psql does in an aligned cell."""
    parts: list[str] = []
    width = 0
    for character in line:
        if character == "\t":
            shown = " " * (_TAB_STOP - width % _TAB_STOP)
        elif character == "\r":
            shown = "\\r"
        elif unicodedata.category(character) == "Cc":
            code = ord(character)
            shown = f"\\x{code:02X}" if code <= _LAST_ASCII else f"\\u{code:04X}"
        else:
            shown = character
        parts.append(shown)
        width += display_width(shown)
    return "".join(parts)


def _cell_lines(value: str | None) -> list[str]:
    return [_printable(line) for line in (value or "").split("\n")]


def _is_right_aligned(column: Column) -> bool:
    return re.sub(r"\(.*?\)", "", column.type) in _RIGHT_ALIGNED


def _header_lines(headers: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    lines = []
    for number in range(max(map(len, headers))):
        cells = []
        for lines_of_header, width in zip(headers, widths, strict=True):
            text = lines_of_header[number] if number < len(lines_of_header) else ""
            space = width - display_width(text)
            more = "+" if number + 1 < len(lines_of_header) else " "
            cells.append(f" {' ' * (space // 2)}{text}{' ' * ((space + 1) // 2)}{more}")
        lines.append("|".join(cells))
    return lines


def _row_lines(
    cells: Sequence[Sequence[str]], widths: Sequence[int], right_aligned: Sequence[bool]
) -> list[str]:
    last = len(cells) - 1
    lines = []
    for number in range(max(map(len, cells))):
        parts = []
        for index, (lines_of_cell, width) in enumerate(zip(cells, widths, strict=True)):
            present = number < len(lines_of_cell)
            text = lines_of_cell[number] if present else ""
            more = number + 1 < len(lines_of_cell)
            space = " " * (width - display_width(text))
            if present and right_aligned[index]:
                padded = space + text
            elif index < last or more:
                padded = text + space
            else:
                padded = text
            end = "+" if more else " " if index < last else ""
            parts.append(f" {padded}{end}")
        lines.append("|".join(parts))
    return lines


def _footer(count: int) -> str:
    return f"({count} row)" if count == 1 else f"({count} rows)"


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
    """Return the result as ``psql`` prints it, without the empty line psql puts after it."""
    if not columns:
        return f"--\n{_footer(len(rows))}"
    headers = [_cell_lines(column.name) for column in columns]
    cells = [[_cell_lines(value) for value in row] for row in rows]
    widths = [
        max(display_width(line) for lines in column for line in lines)
        for column in zip(headers, *cells, strict=True)
    ]
    right_aligned = [_is_right_aligned(column) for column in columns]
    lines = _header_lines(headers, widths)
    lines.append("+".join("-" * (width + 2) for width in widths))
    for row in cells:
        lines += _row_lines(row, widths, right_aligned)
    lines.append(_footer(len(rows)))
    return "\n".join(lines)


def format_error(error: ServerError) -> str:
    """Return the error as ``psql`` prints it, without the excerpt of the statement."""
    lines = [f"ERROR:  {error.message}"]
    lines += [f"DETAIL:  {error.detail}"] if error.detail else []
    lines += [f"HINT:  {error.hint}"] if error.hint else []
    return "\n".join(lines)


def format_outcome(outcome: Outcome) -> str:
    """Return what the reader of the page would see: the error, the rows or the command tag."""
    if outcome.error is not None:
        return format_error(outcome.error)
    if outcome.columns is None:
        return outcome.tag
    return format_table(outcome.columns, outcome.rows)


def _tidy(text: str) -> str:
    """Drop what only the layout made at the end of a cell: blanks, also those before a ``+``.

    The blanks before that are the value's, or those of a column that is set to the right.
    """
    text = text.rstrip()
    return f"{text[:-1].rstrip()}+" if text.endswith("+") else text


@dataclass(frozen=True, slots=True)
class _Shown:
    """The table an author wrote: header, lines of cells (``None`` for a line ``...``), count.

    ``rest`` are the lines below the count, the first of which is line ``rest_at`` of the output.
    """

    header: Cells
    lines: tuple[Cells | None, ...]
    count: int | None
    rest: tuple[str, ...] = ()
    rest_at: int = 0


def _boundaries(rule: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\+", rule)]


def _split(line: str, boundaries: Sequence[int]) -> Cells:
    """Split a line at the rule's crossings where it keeps to them, else at every bar."""
    parts = line.split("|")
    for width_of in (display_width, display_width_before_16):
        positions = _bars_at(line, boundaries, width_of)
        if len(positions) == len(boundaries):
            edges = [-1, *positions, len(line)]
            parts = [line[start + 1 : end] for start, end in pairwise(edges)]
            break
    # A blank stands between each bar and what the cell holds.
    return tuple(_tidy(part.removeprefix(" ")) for part in parts)


def _bars_at(
    line: str, boundaries: Sequence[int], width_of: Callable[[str], int]
) -> tuple[int, ...]:
    """Return the bars of a line that stand at a crossing, by a way to count columns."""
    wanted = set(boundaries)
    bars = [index for index, character in enumerate(line) if character == "|"]
    widths = accumulate(width_of(line[start:end]) for start, end in pairwise([0, *bars]))
    return tuple(bar for bar, width in zip(bars, widths, strict=True) if width in wanted)


def _parse(text: str) -> _Shown | None:
    """Read a table in psql's layout; ``None`` when there is no rule line and so no table."""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    start = next((i for i, line in enumerate(lines) if _RULE.fullmatch(line.strip())), None)
    if start is None:
        return None
    indent = len(lines[start]) - len(lines[start].lstrip())
    inner = _boundaries(lines[start].strip())
    boundaries = [indent + position for position in inner]
    parts = [_split(line, boundaries) for line in lines[:start]]
    header = tuple(
        "\n".join(part.strip().removesuffix("+").strip() for part in column if part.strip())
        for column in zip_longest(*parts, fillvalue="")
    )
    count = None
    rest: list[str] = []
    body: list[Cells | None] = []
    number = start
    for number, line in enumerate(lines[start + 1 :], start + 1):
        footer = _FOOTER.fullmatch(line.strip())
        if footer:
            count = int(footer[1])
            rest = lines[number + 1 :]
            break
        several = bool(boundaries)
        if line.strip() == ANY and (several or _is_row_wildcard(line)):
            body.append(None)
        else:
            body.append(_split(line[indent:] if not line[:indent].strip() else line, inner))
    while body and body[-1] is not None and not any(body[-1]) and count is None:
        body.pop()
    while rest and not rest[0]:
        rest.pop(0)
        number += 1
    return _Shown(header, tuple(body), count, tuple(rest), number + 1)


def _aligned(shown: _Shown, columns: Sequence[Column]) -> _Shown:
    """Drop the blanks that the alignment of the columns made, and those around ``...``."""
    right = [_is_right_aligned(column) for column in columns]
    lines = tuple(
        line
        if line is None or len(line) != len(right)
        else tuple(
            cell.strip() if set_right or cell.strip() == ANY else cell
            for cell, set_right in zip(line, right, strict=True)
        )
        for line in shown.lines
    )
    return replace(shown, lines=lines)


def psql_could_print(text: str) -> bool:
    """Whether psql could print a text: a table, a tag of a command, or an error.

    Stricter than `looks_like_output`, which asks whether a person would take it for a result.
    """
    lines = text.strip().split("\n")
    is_tag = len(lines) == 1 and _TAG.fullmatch(lines[0]) is not None
    is_error = any(re.match(r"\s*(?:ERROR|FATAL|NOTICE|WARNING):", line) for line in lines)
    return is_tag or is_error or _parse(text) is not None


def _is_row_wildcard(line: str) -> bool:
    """In a table of one column ``...`` at the very edge is a line, after a blank it is a cell."""
    return not line.startswith(" ")


def _same(expected: str, actual: str, *, volatile: bool) -> bool:
    """Whether a cell is as shown: one that is volatile may be any value, but must be one."""
    if expected == ANY:
        return True
    return bool(expected) == bool(actual) if volatile else expected == actual


def _physical_cells(cells: Sequence[Sequence[str]]) -> list[Cells]:
    """Return the lines psql needs for one row, each as the texts between the bars."""
    return [
        tuple(
            _tidy(lines[number] + ("+" if number + 1 < len(lines) else ""))
            if number < len(lines)
            else ""
            for lines in cells
        )
        for number in range(max(map(len, cells), default=1))
    ]


def _match_row(
    shown: Sequence[Cells | None],
    start: int,
    row: Sequence[str | None],
    volatile: Sequence[bool],
) -> int | None:
    """Return how many shown lines from ``start`` on are this row, ``None`` when they are not.

    A cell ``...`` stands for a value of any number of lines, so only the other cells say how many
    lines the row takes.  One that may change has as many as the page shows.
    """
    first = shown[start] if start < len(shown) else None
    if first is None or len(first) != len(row):
        return None
    kept = [
        [""]
        if first[index] == ANY
        else _lines_shown(shown, start, index)
        if volatile[index] and value
        else _cell_lines(value)
        for index, value in enumerate(row)
    ]
    physical = _physical_cells(kept)
    if len(shown) - start < len(physical):
        return None
    for number, actual in enumerate(physical):
        line = shown[start + number]
        if line is None or len(line) != len(actual):
            return None
        for expected, got, may_change in zip(line, actual, volatile, strict=True):
            if not _same(expected, got, volatile=may_change):
                return None
    return len(physical)


def _lines_shown(shown: Sequence[Cells | None], start: int, index: int) -> list[str]:
    """Return something for each line that the page shows of one cell: psql marks all but the last.

    A value that may change is never nothing, so that its absence on the page is seen.
    """
    lines = ["..."]
    for line in shown[start:]:
        if line is None or len(line) <= index or not line[index].endswith("+"):
            break
        lines.append("...")
    return lines


def _matches(
    shown: Sequence[Cells | None],
    rows: Sequence[Sequence[str | None]],
    volatile: Sequence[bool],
) -> bool:
    """Say whether the shown lines are these rows; a line ``...`` stands for any number of them."""
    # Reachable row counts before each shown line: linear in memory, no recursion on long results.
    reachable: dict[int, set[int]] = {0: {0}}
    last_any = max((number for number, line in enumerate(shown) if line is None), default=None)
    for position in range(len(shown) + 1):
        starts = reachable.pop(position, set())
        if not starts:
            continue
        if position == len(shown):
            return len(rows) in starts
        if shown[position] is None:
            first = min(starts)
            if position == last_any:
                # No line below is more than one row, so most rows cannot be reached from here.
                first = max(first, len(rows) - (len(shown) - position - 1))
            reachable.setdefault(position + 1, set()).update(range(first, len(rows) + 1))
            continue
        for start in starts:
            if start < len(rows):
                taken = _match_row(shown, position, rows[start], volatile)
                if taken is not None:
                    reachable.setdefault(position + taken, set()).add(start + 1)
    return False


def _header_of(columns: Sequence[Column]) -> Cells:
    return tuple("\n".join(line.strip() for line in _cell_lines(column.name)) for column in columns)


def _first_difference(shown: _Shown, outcome: Outcome, volatile: Sequence[bool]) -> str:
    """Name the first row and column where a page without ``...`` lines differs."""
    position = 0
    for number, row in enumerate(outcome.rows, start=1):
        line = shown.lines[position] if position < len(shown.lines) else None
        if line is None:
            break
        taken = _match_row(shown.lines, position, row, volatile)
        if taken is not None:
            position += taken
            continue
        if len(line) != len(row):
            return f"row {number}: the page shows {len(line)} cells, the result has {len(row)}"
        actual = _physical_cells([_cell_lines(value) for value in row])[0]
        for column, expected, got, may_change in zip(
            outcome.columns or (), line, actual, volatile, strict=True
        ):
            if not _same(expected, got, volatile=may_change):
                kind = " (volatile, so any value but none)" if may_change else ""
                return (
                    f'row {number}, column "{column.name}"{kind}: '
                    f"the page shows {_quoted(expected, got)}, the result has "
                    f"{_quoted(got, expected)}"
                )
        return f"row {number} has a value of several lines that differs"
    if None in shown.lines:
        return "the rows do not match the lines around the `...`"
    rows_shown = "fewer" if position >= len(shown.lines) else "more"
    return f"the page shows {rows_shown} rows than the result has ({len(outcome.rows)})"


def _quoted(cell: str, other: str) -> str:
    """Return a cell for a message, a long one as far as shows how it differs from another."""
    if not cell:
        return "nothing"
    if len(cell) <= _LONGEST_CELL:
        return f'"{cell}"'
    same = next((i for i, (a, b) in enumerate(zip(cell, other, strict=False)) if a != b), None)
    at = min(len(cell), len(other)) if same is None else same
    start = max(0, min(at - _LONGEST_CELL // 4, len(cell) - _LONGEST_CELL))
    end = start + _LONGEST_CELL
    before, after = "…" * (start > 0), "…" * (end < len(cell))
    return f'"{before}{cell[start:end]}{after}" ({len(cell)} characters)'


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, for a person, and in which line of the page's output, counted from 0."""

    text: str
    line: int = 0


def _diff(message: str, expected: str, actual: str, key: Callable[[str], object]) -> Difference:
    """Show the lines that differ, with a little around them; ``-`` the page, ``+`` the result.

    Of a difference without end the beginning is shown.
    """
    left = [line.rstrip() for line in expected.strip("\n").split("\n")]
    right = [line.rstrip() for line in actual.split("\n")]
    first = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if key(a) != key(b)),
        min(len(left), len(right)),
    )
    blank = len(expected) - len(expected.lstrip("\n"))
    # Where a line is missing at the end, the last one is as near as it gets.
    line = blank + min(first, len(left) - 1)
    start = max(first - _CONTEXT_LINES, 0)
    lines = _excerpt(left[start:], right[start:], key)
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], "  ⋮ and more that differs"]
    return Difference("\n".join([message, *map(_clip, lines)]), line)


def _excerpt(left: list[str], right: list[str], key: Callable[[str], object]) -> list[str]:
    """Return the lines that differ from their beginning on, as far as the window goes."""
    shown_left, shown_right = left[:_WINDOW], right[:_WINDOW]
    keys = [key(line) for line in shown_left], [key(line) for line in shown_right]
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    lines: list[str] = []
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        lines += ["  ⋮"] if lines else []
        for operation, i1, i2, j1, j2 in group:
            is_cut = (i2 == _WINDOW < len(left)) or (j2 == _WINDOW < len(right))
            if operation == "equal":
                lines += [f"    {line}".rstrip() for line in shown_left[i1:i2]]
            elif not (is_cut and lines):  # else it differs only because the window ends there
                lines += [f"  - {line}" for line in shown_left[i1:i2]]
                lines += [f"  + {line}" for line in shown_right[j1:j2]]
    return lines


def _clip(line: str) -> str:
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def _line_key(
    columns: Sequence[Column], volatile: Sequence[bool], boundaries: Sequence[int]
) -> Callable[[str], object]:
    header = _header_of(columns)
    right = [_is_right_aligned(column) for column in columns]

    @cache
    def key(line: str) -> object:
        if _RULE.fullmatch(line.strip()):
            return "rule"
        cells = _split(line, boundaries)
        if len(cells) != len(volatile):
            return line.strip()
        plain = tuple(cell.strip() for cell in cells)
        if plain == header:
            return "header"
        return tuple(
            bool(text) if may_change else text if set_right else cell
            for cell, text, may_change, set_right in zip(cells, plain, volatile, right, strict=True)
        )

    return key


def _compare_error(expected: str, error: ServerError) -> Difference | None:
    """Compare the lines an author kept of an error; the statement's excerpt is not compared."""

    def tidy(line: str) -> str:
        # The SQL Editor and psql's VERBOSITY verbose put the SQLSTATE before the message.
        return re.sub(r"^ERROR:\s+(?:[0-9A-Z]{5}:\s+)?", "ERROR: ", " ".join(line.split()))

    excerpt = re.compile(r"LINE \d+:|\s*\^\s*$")
    wanted = [line for line in expected.splitlines() if line.strip() and not excerpt.match(line)]
    got = format_error(error)
    available = iter([tidy(line) for line in got.splitlines()])
    found = all(
        line.strip() == ANY or any(tidy(line) == other for other in available) for line in wanted
    )
    if wanted and found:
        return None
    return _diff("the error is not the one the page shows", expected, got, tidy)


def _compare_table(
    expected: str, shown: _Shown, outcome: Outcome, volatile: Collection[str]
) -> Difference | None:
    columns = outcome.columns or ()
    unknown = sorted(set(volatile) - {column.name for column in columns})
    if unknown:
        return Difference(f"volatile={','.join(unknown)}: the result has no such column")
    may_change = [column.name in volatile for column in columns]
    if _is_printed(expected, outcome):
        return None
    shown = _aligned(shown, columns)
    if shown.header != _header_of(columns):
        difference = (
            f"the columns differ: the page shows {', '.join(shown.header)}, "
            f"the result has {', '.join(_header_of(columns))}"
        )
    elif not _matches(shown.lines, outcome.rows, may_change):
        difference = _first_difference(shown, outcome, may_change)
    elif shown.count is not None and shown.count != len(outcome.rows):
        difference = f"the page says {_footer(shown.count)}, the result has {len(outcome.rows)}"
    else:
        return _compare_rest(shown, outcome)
    rule = next(line for line in expected.splitlines() if _RULE.fullmatch(line.strip()))
    key = _line_key(columns, may_change, _boundaries(rule))
    return _diff(difference, expected, _beginning(outcome, len(shown.lines)), key)


def _is_printed(expected: str, outcome: Outcome) -> bool:
    """Whether the page shows to the letter what psql prints, whatever its cells look like."""
    lines = [line.rstrip() for line in expected.strip("\n").split("\n")]
    if len(outcome.rows) > len(lines):
        return False
    printed = format_outcome(outcome).strip("\n").split("\n")
    return lines == [line.rstrip() for line in printed]


def _beginning(outcome: Outcome, lines: int) -> str:
    """Return a result as far as can differ from so many lines of a page, and a little more."""
    most = lines + _MOST_LINES
    if len(outcome.rows) <= most:
        return format_outcome(outcome)
    columns = outcome.columns or ()
    return format_table(columns, outcome.rows[:most]).rpartition("\n")[0] + "\n  ⋮"


def _compare_rest(shown: _Shown, outcome: Outcome) -> Difference | None:
    """Compare what stands below the count: psql prints the tag there of a statement that wrote."""
    below = [line.strip() for line in shown.rest if line.strip()]
    if not below or below == [outcome.tag]:
        return None
    what = f"below the row count the page shows {_quoted(below[0], outcome.tag)}"
    if len(below) == 1 and not _FOOTER.fullmatch(below[0]):
        return Difference(
            f"{what}, the command tag is {_quoted(outcome.tag, below[0])}", shown.rest_at
        )
    how = "what comes below it is not compared. Keep only the last result"
    return Difference(f"{what}, and {how}", shown.rest_at)


def _split_notices(text: str) -> tuple[list[str], str]:
    """Return the notices that an output begins with, as psql prints them, and what follows."""
    lines = text.strip("\n").split("\n")
    count = next((n for n, line in enumerate(lines) if not _NOTICE.match(line)), len(lines))
    notices = [" ".join(line.split()) for line in lines[:count]]
    return notices, "\n".join(lines[count:]) if notices else text


def compare(expected: str, outcome: Outcome, volatile: Collection[str] = ()) -> Difference | None:
    """Return ``None`` when the page shows what came back, else what differs, for a person.

    Trailing blanks and the width of columns do not count.  ``...`` as a whole cell is any value,
    as a whole line any number of rows.  A cell of a column in ``volatile`` may be any value, but
    nothing stays nothing.  The ``(n rows)`` line counts where the page has it, and so do the
    notices above the result and the command tag below it.
    """
    if expected.strip() == ANY:
        return None
    if outcome.error is not None:
        return _compare_error(expected, outcome.error)
    notices, expected = _split_notices(expected)
    if notices:
        difference = _compare_result(expected, outcome, volatile) if expected.strip() else None
        if notices != [" ".join(notice.split()) for notice in outcome.notices]:
            given = ", ".join(f'"{_clip(notice)}"' for notice in outcome.notices) or "none"
            return Difference(f"the notices differ: the page shows others, the block gives {given}")
        return difference and replace(difference, line=difference.line + len(notices))
    return _compare_result(expected, outcome, volatile)


def _compare_result(
    expected: str, outcome: Outcome, volatile: Collection[str]
) -> Difference | None:
    shown = _parse(expected)
    if shown is not None and outcome.columns:
        return _compare_table(expected, shown, outcome, volatile)
    actual = format_outcome(outcome)
    if expected.split() == actual.split():
        return None
    return _diff("the output differs", expected, actual, str.strip)


def accept(expected: str, outcome: Outcome, volatile: Collection[str] = ()) -> str | None:
    """Return the text that replaces ``expected`` on the page, without trailing blanks.

    None where it would be too long for any page.

    The author's wildcards live on: a column of ``...`` stays one, a ``...`` line keeps the number
    of rows before and after it, and a volatile cell that still fits is not touched.  Notices and a
    command tag are written where the page has some.
    """
    columns = outcome.columns
    notices, expected = _split_notices(expected) if outcome.error is None else ([], expected)
    shown = _parse(expected)
    if shown is not None and columns:
        shown = _aligned(shown, columns)
    above = [*outcome.notices] if notices else []
    below = ["", outcome.tag] if shown and any(map(_TAG_WITH_ROWS.fullmatch, shown.rest)) else []
    if len(outcome.rows) > _MOST_ROWS and (shown is None or None not in shown.lines):
        return None
    if outcome.error is not None or not columns or shown is None:
        text = format_outcome(outcome)
    elif shown.header != _header_of(columns):
        text = format_table(columns, outcome.rows)
    else:
        text = _accept_rows(shown, columns, outcome.rows, volatile)
    if notices and not expected.strip():
        text = ""
    lines = [*above, *(text.split("\n") if text else ()), *below]
    return "\n".join(line.rstrip() for line in lines)


def _accept_rows(
    shown: _Shown,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | None]],
    volatile: Collection[str],
) -> str:
    written = [line for line in shown.lines if line is not None]
    width = len(columns)
    any_columns = {
        index
        for index in range(width)
        if written and all(len(line) == width and line[index] == ANY for line in written)
    }
    one_line_each = len(written) == len(rows) == len(shown.lines)

    def keep(number: int, index: int, value: str | None) -> str | None:
        if index in any_columns:
            return ANY
        old = written[number][index] if one_line_each and len(written[number]) == width else None
        if old is not None and (
            old == ANY
            or (columns[index].name in volatile and _same(old, value or "", volatile=True))
        ):
            return old
        return value

    kept = [
        tuple(keep(number, index, value) for index, value in enumerate(row))
        for number, row in enumerate(rows)
    ]
    if None not in shown.lines:
        return format_table(columns, kept)
    before = shown.lines.index(None)
    after = len(shown.lines) - 1 - max(i for i, line in enumerate(shown.lines) if line is None)
    head = kept[:before]
    tail = kept[max(len(kept) - after, before) :] if after else []
    lines = format_table(columns, [*head, *tail]).split("\n")
    middle = len(format_table(columns, head).split("\n")) - 1
    footer = [_footer(len(rows))] if shown.count is not None else []
    return "\n".join([*lines[:middle], ANY, *lines[middle:-1], *footer])
