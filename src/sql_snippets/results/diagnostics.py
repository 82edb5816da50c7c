"""Failures drawn on the author's own lines, the way a good compiler does it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sql_snippets.sqltext.widths import display_width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sql_snippets.model import Failure, Location

_TAB_STOP = 4
_CONTEXT = 2
_LONGEST_LINE = 160
_TOKEN = re.compile(r"[^\W\d]\w*(?:\.\w+)*|\d+|.")


def _show(line: str) -> tuple[str, list[int]]:
    """Return the line as a terminal shows it, and the display column of each character.

    The table has one more entry than the line has characters, for a caret just past its end.
    """
    parts: list[str] = []
    columns: list[int] = []
    width = 0
    for character in line:
        columns.append(width)
        if character == "\t":
            shown = " " * (_TAB_STOP - width % _TAB_STOP)
        elif character.isprintable():
            shown = character
        else:
            shown = "\N{REPLACEMENT CHARACTER}"
        parts.append(shown)
        width += display_width(shown)
    return "".join(parts), [*columns, width]


def _caret(line: str, column: int) -> str:
    """Return the marks below ``line``: a caret at ``column`` (1-based), tildes below its word."""
    _, columns = _show(line)
    index = min(max(column - 1, 0), len(line))
    token = _TOKEN.match(line, index)
    end = min(token.end() if token else index, len(line))
    length = max(columns[end] - columns[index], 1)
    return " " * columns[index] + "^" + "~" * (length - 1)


def _clip(shown: str, marks: str) -> tuple[str, str]:
    """Keep the part around the caret of a line too long for any terminal."""
    caret = marks.index("^")
    if len(shown) <= _LONGEST_LINE:
        return shown, marks
    start = max(0, caret - _LONGEST_LINE // 2)
    end = start + _LONGEST_LINE
    return shown[start:end], (" " * (caret - start) + marks[caret:])[:_LONGEST_LINE]


def draw(
    source_lines: Sequence[str],
    location: Location,
    message: str,
    *,
    sqlstate: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the failure with the source around it and a caret under the place.

    ``source_lines`` are all lines of the file, without their ends.  Only the first line of
    ``message`` goes above the source; what follows it stands below.
    """
    headline, _, rest = message.partition("\n")
    code = f"[{sqlstate}]" if sqlstate else ""
    lines = [f"{location}: error{code}: {headline}"]
    if 1 <= location.line <= len(source_lines):
        first = max(1, location.line - _CONTEXT)
        last = min(len(source_lines), location.line + _CONTEXT)
        gutter = len(str(last))
        lines.append(f"{'':{gutter}} |")
        for number in range(first, last + 1):
            line = source_lines[number - 1]
            shown, _ = _show(line)
            marks = ""
            if number == location.line:
                shown, marks = _clip(shown, _caret(line, location.column))
            else:
                shown = shown[:_LONGEST_LINE]
            lines.append(f"{number:>{gutter}} | {shown}".rstrip())
            if marks:
                lines.append(f"{'':{gutter}} | {marks}")
        lines.append(f"{'':{gutter}} |")
    lines += rest.split("\n") if rest else []
    for note in notes:
        label, _, text = note.partition(": ")
        lines.append(f"  = {label}: " + text.replace("\n", "\n" + " " * (len(label) + 6)))
    return "\n".join(lines)


@lru_cache(maxsize=64)
def _read_lines(path: Path, _modified: int) -> tuple[str, ...]:
    # Not splitlines(): a form feed or U+2028 inside a line is no new line to an editor.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return tuple(line.removesuffix("\r") for line in text.split("\n"))


def draw_failure(root: Path, failure: Failure) -> str:
    """Draw one failure from the file below ``root`` that it names."""
    path = root / failure.location.path
    try:
        lines = _read_lines(path, path.stat().st_mtime_ns)
    except OSError:
        lines = ()
    return draw(
        lines,
        failure.location,
        failure.message,
        sqlstate=failure.sqlstate,
        notes=failure.notes,
    )


def github_annotation(failure: Failure) -> str:
    """Return the workflow command that puts the failure on the line in a pull request."""

    def escape(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def escape_property(text: str) -> str:
        return escape(text).replace(":", "%3A").replace(",", "%2C")

    place = failure.location
    code = f"[{failure.sqlstate}] " if failure.sqlstate else ""
    text = "\n".join([f"{code}{failure.message}", *failure.notes])
    return (
        f"::error file={escape_property(place.path)},line={place.line},col={place.column}"
        f"::{escape(text)}"
    )
