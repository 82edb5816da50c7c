"""The small bugs that a maintainer could put into the words of a page of the runbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scripts.tasks.mutant import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEADING = re.compile(r"#{1,6} (.+)")
_LINK = re.compile(r"\]\(#([\w-]+)\)")
_MARK = re.compile(r"^\*\*(READ|WRITE|STOP)\*\* ·")
_UNDO = re.compile(r" · (?:no )?undo: [^·\n]*(?= ·|$)")
_OTHER_MARK = {"READ": "WRITE", "WRITE": "READ", "STOP": "WRITE"}
_OTHER_WORD = {
    "severity": {"high": "low", "medium": "high", "low": "high", "now": "today", "today": "now"},
    "word": {
        "first": "last",
        "last": "first",
        "before": "after",
        "after": "before",
        "nothing": "something",
        "not": "",
        "no": "a",
        "old": "new",
        "new": "old",
        "above": "below",
        "below": "above",
        "disable": "enable",
        "enable": "disable",
        "developers": "platform on-call",
    },
}
_SEVERITY = re.compile(r"\b(high|medium|low|now|today)\b(?=,|\.\*\*| \||$)", re.IGNORECASE)
_WORD = re.compile(rf"\b({'|'.join(_OTHER_WORD['word'])})\b")
_NUMBER = re.compile(r"\b(\d+)(?= (?:seconds?|s|minutes?|hours?|days?|failures|in a row)\b)")
_ANSWER = re.compile(r"`([tf])`")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of prose, and where it stands in the page."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def mutants_of(path: str, page: str) -> list[Mutant]:
    """Return all mutants of what a page says to people; its blocks and outputs stay as they are."""
    lines = list(_prose(page))
    anchors = [_anchor(match[1]) for line in lines if (match := _HEADING.fullmatch(line.text))]
    rules = (_swapped, _outcomes, _cells, _marks, _answers, _words)
    found = [each for rule in rules for each in rule(lines)]
    found += _links(lines, anchors)
    return [Mutant(path, start, end, new, kind) for kind, start, end, new in found]


_Found = tuple[str, int, int, str]  # kind, start, end, what is put there


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.strip().lower().replace(" ", "-"))


def _prose(page: str) -> Iterator[_Line]:
    """Yield the lines outside of fences."""
    at = 0
    fence = ""
    for whole in page.splitlines(keepends=True):
        text = whole.rstrip("\n")
        opening = re.match(r"\s*(```+)", text)
        if fence:
            fence = "" if text.strip().startswith(fence) else fence
        elif opening:
            fence = opening[1]
        elif not text.startswith("<"):
            yield _Line(text, at)
        at += len(whole)


def _parts(line: _Line) -> tuple[int, int] | None:
    """Return where what is to be done about an outcome begins and ends in the page."""
    hidden = re.sub(r"`[^`]*`", lambda code: "x" * len(code[0]), line.text)
    colon = hidden.find(": ")
    return (
        None if not line.text.startswith("- ") or colon < 0 else (line.start + colon + 2, line.end)
    )


def _neighbours(lines: Sequence[_Line]) -> Iterator[tuple[_Line, _Line]]:
    for one, other in pairwise(lines):
        if one.end + 1 == other.start:
            yield one, other


def _swapped(lines: Sequence[_Line]) -> Iterator[_Found]:
    """Let what two outcomes of a list lead to change places."""
    for one, other in _neighbours(lines):
        first, second = _parts(one), _parts(other)
        if first is None or second is None:
            continue
        to_do = one.text[first[0] - one.start :]
        instead = other.text[second[0] - other.start :]
        if to_do != instead:
            between = other.text[: second[0] - other.start]
            yield "outcomes swapped", first[0], second[1], f"{instead}\n{between}{to_do}"


def _outcomes(lines: Sequence[_Line]) -> Iterator[_Found]:
    """Leave out an outcome, or the undo of a block."""
    for line in lines:
        if _parts(line):
            yield "outcome dropped", line.start, line.end + 1, ""
        for undo in _UNDO.finditer(line.text):
            yield "undo dropped", line.start + undo.start(), line.start + undo.end(), ""


def _cells(lines: Sequence[_Line]) -> Iterator[_Found]:
    """Give a cell of a table what stands in the row below it."""
    for one, other in _neighbours(lines):
        cells, below = _row(one), _row(other)
        if len(cells) != len(below) or not cells or set(other.text) <= set("|- "):
            continue
        for (start, end), (start_below, end_below) in zip(cells, below, strict=True):
            new = other.text[start_below:end_below]
            if one.text[start:end] != new and not set(one.text) <= set("|- "):
                yield "cell", one.start + start, one.start + end, new


def _row(line: _Line) -> list[tuple[int, int]]:
    if not line.text.startswith("| "):
        return []
    hidden = re.sub(r"`[^`]*`|\\\|", lambda code: "x" * len(code[0]), line.text)
    return [match.span(1) for match in re.finditer(r"(?<=\| )(.*?)(?= \|)", hidden)]


def _marks(lines: Sequence[_Line]) -> Iterator[_Found]:
    for line in lines:
        if match := _MARK.match(line.text):
            start, end = match.span(1)
            yield "mark", line.start + start, line.start + end, _OTHER_MARK[match[1]]


def _answers(lines: Sequence[_Line]) -> Iterator[_Found]:
    for line in lines:
        for match in _ANSWER.finditer(line.text):
            start, end = match.span(1)
            yield "answer", line.start + start, line.start + end, "f" if match[1] == "t" else "t"


def _words(lines: Sequence[_Line]) -> Iterator[_Found]:
    """Change how bad it is, a length of time, and words that turn a sentence round."""
    for line in lines:
        if _HEADING.fullmatch(line.text):
            continue
        for match in _SEVERITY.finditer(line.text):
            new = _OTHER_WORD["severity"][match[1].lower()]
            new = new.capitalize() if match[1][0].isupper() else new
            yield "severity", line.start + match.start(), line.start + match.end(), new
        for match in _NUMBER.finditer(line.text):
            new = str(int(match[1]) + 1)
            yield "number", line.start + match.start(), line.start + match.end(), new
        shown = re.sub(r"`[^`]*`|\]\([^)]*\)", lambda code: "\0" * len(code[0]), line.text)
        for match in _WORD.finditer(shown):
            new = _OTHER_WORD["word"][match[1]]
            yield "word", line.start + match.start(), line.start + match.end(), new


def _links(lines: Sequence[_Line], anchors: Sequence[str]) -> Iterator[_Found]:
    """Let a link lead to the section after the right one."""
    for line in lines:
        for match in _LINK.finditer(line.text):
            start, end = match.span(1)
            at = anchors.index(match[1]) if match[1] in anchors else -1
            yield "link", line.start + start, line.start + end, anchors[(at + 1) % len(anchors)]
