"""The author's text: read as MkDocs reads it, with a way back from every character.

A line that passes through the Markdown pipeline is a `TracedLine`: an ordinary string that also
knows where it stands.  Preprocessors that hand on the strings they were given keep it by
themselves; `carry` follows the others.
"""

from __future__ import annotations

import os
import re
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Self

import yaml

from sql_snippets.model import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

# Markdown needs about a second for each 100 kB; what is larger than this is not a page.
MAX_BYTES = 8_000_000

# Markdown removes the first pair from every text, pymdownx's tab preserving mode the second.
_REMOVED = "\x02\x03\x01\x04"

_YAML_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)(?:\.\.\.|---)[ \t]*\n", re.DOTALL)
_META_KEY = re.compile(r" {0,3}[A-Za-z0-9_-]+:")
_META_MORE = re.compile(r"(?: {4}|\t)")


class PageError(Exception):
    """A page cannot be read or rendered; the message names the file."""


class TracedLine(str):
    """A line that knows its file, its number there and the column of each of its characters."""

    __slots__ = ("columns", "number", "path")

    path: str
    number: int
    columns: Sequence[int]

    def __new__(
        cls, text: str, path: str, number: int, columns: Sequence[int] | None = None
    ) -> Self:
        """Make a line of ``text``; without ``columns`` it stands in its file as it is."""
        line = super().__new__(cls, text)
        line.path = path
        line.number = number
        line.columns = range(1, len(text) + 2) if columns is None else columns
        return line

    def __radd__(self, indent: str) -> TracedLine:
        """Keep the trace when an include indents the line as the include itself is."""
        columns = [self.columns[0]] * len(indent) + list(self.columns)
        return TracedLine(indent.__add__(self), self.path, self.number, columns)

    def location(self, index: int = 0) -> Location:
        """Return the author's place of the character ``index`` (0-based) of this line."""
        return Location(self.path, self.number, self.columns[min(index, len(self))])


def cut(line: str, start: int, end: int) -> str:
    """Return a slice of a line, traced if the line is."""
    if not isinstance(line, TracedLine):
        return line[start:end]
    return TracedLine(line[start:end], line.path, line.number, line.columns[start : end + 1])


def read_text(path: Path) -> str:
    """Return the text of a page as MkDocs reads it: UTF-8, no byte order mark, line feeds only."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PageError(
                f"{path} has {size / 1e6:.0f} MB; a page of more than {MAX_BYTES / 1e6:.0f} MB is "
                "not rendered. Split it, or leave it out."
            )
        data = path.read_bytes()
    except OSError as err:
        raise PageError(f"{path} cannot be read: {err.strerror}.") from err
    if b"\0" in data:
        raise PageError(f"{path} is not text: it holds a zero byte at offset {data.index(0)}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        raise PageError(
            f"{path}:{line} is not UTF-8: byte 0x{data[err.start]:02x} at offset {err.start} "
            "cannot be decoded. Save the file as UTF-8."
        ) from err
    return text.replace("\r\n", "\n").replace("\r", "\n")


def trace(text: str, path: str) -> list[TracedLine]:
    """Split a text into lines that know that they stand in ``path``."""
    return [TracedLine(line, path, number) for number, line in enumerate(text.split("\n"), 1)]


def count_front_matter(text: str) -> int:
    """Return how many lines MkDocs takes off the top: YAML or MultiMarkdown, and blank lines."""
    if block := _YAML_FRONT_MATTER.match(text):
        try:
            is_front_matter = isinstance(yaml.safe_load(block.group(1)), dict)
        except (yaml.YAMLError, ValueError):
            is_front_matter = False
        if not is_front_matter:
            return 0
        taken = text.count("\n", 0, block.end())
    else:
        taken = _count_multimarkdown(text.split("\n"))
    rest = text.split("\n")[taken:]
    return taken + next((i for i, line in enumerate(rest) if line), len(rest))


def _count_multimarkdown(lines: list[str]) -> int:
    taken = 0
    for line in lines:
        if not line.strip():
            return taken + 1
        if not (_META_KEY.match(line) or (taken and _META_MORE.match(line))):
            return taken
        taken += 1
    return taken


def retrace(new: str, old: TracedLine, tab_length: int) -> TracedLine:
    """Return ``new``, which some step made of ``old``, with the columns that are still known.

    A character that is not in ``old`` gets the column of the one before it.
    """
    if isinstance(new, TracedLine):
        return new
    columns = _columns_after(new, old, tab_length)
    return TracedLine(new, old.path, old.number, columns)


def _columns_after(new: str, old: TracedLine, tab_length: int) -> Sequence[int]:
    if old.endswith(new):
        return old.columns[len(old) - len(new) :]
    expanded, columns = _expand(old, tab_length)
    if expanded.endswith(new):
        return columns[len(expanded) - len(new) :]

    aligned = [columns[0]] * (len(new) + 1)
    aligned[-1] = columns[-1]
    matcher = SequenceMatcher(None, expanded, new, autojunk=False)
    for _tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for j in range(j1, j2):
            aligned[j] = columns[min(i1 + j - j1, max(i1, i2 - 1))]
    return aligned


def _expand(line: TracedLine, tab_length: int) -> tuple[str, list[int]]:
    """Do to a line what Markdown's whitespace step does, and keep the columns."""
    text: list[str] = []
    columns: list[int] = []
    for char, column in zip(line, line.columns, strict=False):
        if char in _REMOVED:
            continue
        width = tab_length - len(text) % tab_length if char == "\t" else 1
        text += (" " if char == "\t" else char) * width
        columns += [column] * width
    return "".join(text), [*columns, line.columns[-1]]


def carry(
    before: Sequence[str], after: Sequence[str], tab_length: int, *, in_step: bool = False
) -> list[str]:
    """Return ``after`` with the traces that its lines had in ``before``.

    ``in_step`` says that line ``i`` came of line ``i``.  Otherwise the two are compared, and a line
    that has no counterpart stays untraced: a missing location beats a wrong one.
    """
    if all(isinstance(line, TracedLine) for line in after):
        return list(after)
    if in_step or len(before) == len(after):
        pairs = list(zip(range(len(before)), range(len(after)), strict=False))
    else:
        pairs = []
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal" or i2 - i1 == j2 - j1:
                pairs += zip(range(i1, i2), range(j1, j2), strict=True)
    carried = list(after)
    for i, j in pairs:
        old = before[i]
        if isinstance(old, TracedLine):
            carried[j] = retrace(after[j], old, tab_length)
    return carried


def relative_name(path: Path, root: Path) -> str:
    """Return a path as reports name it: by its way from the folder of the project."""
    return Path(os.path.relpath(path, root)).as_posix()
