"""Where the cells of a Markdown table, and the values in them, stand in the author's line.

What a cell holds is decided by the HTML that the reader gets (`rendered`).  This finds the same
things again in the source, so that a failure has a column and an update knows which characters to
replace.  Where the two do not agree the source wins nothing: the value then has no place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING

from sql_snippets.model import CellValue, Location, Span, TableRow, ValueKind
from sql_snippets.reading.source import TracedLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# "06:00" and "1.5" are one number; what touches a letter ("5xx", "v2", "2026-11-23") is none.
NUMBER = re.compile(r"(?<![\w.:-])\d+(?:[.:,]\d+)*(?![\w-])")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)(?P<text>.+?)(?<!`)\1(?!`)", re.DOTALL)
# Inline code ends with its paragraph at the latest.
_CODE_IN_TEXT = re.compile(
    r"(?<![\\`])(`+)(?!`)(?P<text>(?:(?!\n[ \t>]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL
)
_IN_CELL = re.compile(
    rf"""(?<![\\`])(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)
    | \]\(\s*(?P<link>[^\s()]*)(?:\s+"[^"]*")?\s*\)
    | <!--.*?-->
    | <[^<>]*>
    | &\#?\w+;
    | (?P<number>{NUMBER.pattern})
    """,
    re.VERBOSE,
)
_KINDS = {"code": ValueKind.CODE, "link": ValueKind.LINK, "number": ValueKind.NUMBER}
_QUOTE = " \t>"


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a cell as rendered; ``code`` is its number among the page's inline code."""

    kind: ValueKind
    text: str
    code: int | None = None


def numbers_in(text: str) -> list[Part]:
    """Return the numbers in plain text."""
    return [Part(ValueKind.NUMBER, match[0]) for match in NUMBER.finditer(text)]


def split_row(line: str) -> list[tuple[int, int]]:
    """Return start and end of each cell of a row, without the blanks around it.

    A bar that is escaped or stands in inline code separates nothing.
    """
    start = len(line) - len(line.lstrip(_QUOTE))
    end = len(line.rstrip())
    if line[start:end].startswith("|"):
        start += 1
    if end > start and line[end - 1] == "|" and line[end - 2] != "\\":
        end -= 1
    codes = [match.span() for match in _CODE.finditer(line, start, end)]
    bars = [
        match.start()
        for match in re.finditer(r"(?<!\\)\|", line[:end])
        if match.start() >= start and not any(a < match.start() < b for a, b in codes)
    ]
    edges = [start - 1, *bars, end]
    return [_strip(line, a + 1, b) for a, b in pairwise(edges)]


def place_row(
    line: str, location: Location, cells: tuple[str, ...], parts: Sequence[Sequence[Part]]
) -> TableRow:
    """Return a body row whose source is ``line``, with the places that are known."""
    if not isinstance(line, TracedLine):
        return TableRow(location, cells, (None,) * len(cells), _unplaced(parts))
    found = split_row(line)
    spans = [
        _span(line, *found[index]) if index < len(found) else None for index in range(len(cells))
    ]
    values = [
        tuple(_place_values(line, found[index], of_cell)) if index < len(found) else plain
        for index, (of_cell, plain) in enumerate(zip(parts, _unplaced(parts), strict=True))
    ]
    return TableRow(location, cells, tuple(spans), tuple(values))


def _unplaced(parts: Sequence[Sequence[Part]]) -> tuple[tuple[CellValue, ...], ...]:
    return tuple(
        tuple(CellValue(part.kind, part.text, None, part.code) for part in cell) for cell in parts
    )


def _strip(line: str, start: int, end: int) -> tuple[int, int]:
    while start < end and line[start] in " \t":
        start += 1
    while end > start and line[end - 1] in " \t":
        end -= 1
    return start, end


def _span(line: TracedLine, start: int, end: int) -> Span:
    return Span(line.location(start), line.location(end).column, line[start:end])


def _place_values(
    line: TracedLine, cell: tuple[int, int], parts: Sequence[Part]
) -> Iterator[CellValue]:
    start, end = cell
    if [part.kind for part in parts] == [ValueKind.TEXT]:
        # Only where no mark stands in the text does the source hold it as it is read.
        is_plain = line[start:end] == parts[0].text
        yield CellValue(
            ValueKind.TEXT, parts[0].text, _span(line, start, end) if is_plain else None
        )
        return
    written = []
    for match in _IN_CELL.finditer(line, start, end):
        group = next((name for name in _KINDS if match[name] is not None), None)
        if group:
            a, b = _strip(line, *match.span(group))
            written.append((_KINDS[group], line[a:b], a, b))
    agree = [(kind, text) for kind, text, *_ in written] == [(p.kind, p.text) for p in parts]
    for index, part in enumerate(parts):
        span = _span(line, *written[index][2:]) if agree else None
        yield CellValue(part.kind, part.text, span, part.code)


def place_codes(shown: Sequence[str], lines: Sequence[str]) -> list[Location | None]:
    """Return where each inline code that is shown stands in the page's lines.

    The lines hold more than is shown (comments, indented code), so the two are aligned.
    """
    text = "\n".join(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    written: list[tuple[str, int]] = []
    for match in _CODE_IN_TEXT.finditer(text):
        inner = match["text"]
        blanks = len(inner) - len(inner.lstrip())
        written.append((" ".join(inner.split()), match.start("text") + blanks))
    places: list[Location | None] = [None] * len(shown)
    wanted = [" ".join(code.split()) for code in shown]
    matcher = SequenceMatcher(None, wanted, [code for code, _ in written], autojunk=False)
    row = 0
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            at = written[block.b + offset][1]
            while starts[row + 1] <= at:
                row += 1
            line = lines[row]
            if isinstance(line, TracedLine):
                places[block.a + offset] = line.location(at - starts[row])
    return places
