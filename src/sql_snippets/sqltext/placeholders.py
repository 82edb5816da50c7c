"""Values put in for ``<name>``, so that they stay values whatever they hold.

A placeholder is a lower-case name in angle brackets outside comments and dollar-quoted bodies.
Between quotes its value is escaped as that kind of quote asks; bare it must be a number, true,
false or null.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import Kind, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class PlaceholderError(ValueError):
    """A value does not fit the place of its placeholder; ``offset`` is that place, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One ``<name>``: its place in the SQL (brackets included) and what stands around it."""

    name: str
    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Filled:
    """SQL with its values, the names that got none, and the values that nothing asked for."""

    sql: str
    unfilled: tuple[str, ...]
    unused: tuple[str, ...]
    # Per replacement: start and end in the filled SQL, start and end in the original.
    _replaced: tuple[tuple[int, int, int, int], ...] = field(default=(), repr=False)

    def to_original(self, offset: int) -> int:
        """Return the place in the original SQL of the character ``offset`` of the filled one.

        Inside a value it is the start of its placeholder.
        """
        place = bisect_right(self._replaced, offset, key=lambda span: span[0]) - 1
        if place < 0:
            return offset
        _, filled_end, start, end = self._replaced[place]
        return start if offset < filled_end else offset - filled_end + end


# "<<" and ">>" are operators (shift, strictly left of), "&<" is one for ranges.
_PLACEHOLDER = re.compile(r"(?<![<&])<([a-z][a-z0-9_]*)>(?!>)")
_HTML_WITHOUT_END = {"br", "hr", "wbr"}
_BARE = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|true|false|null", re.ASCII)
_WORD_CHARACTER = re.compile(r"[\w$.]")
_TEXT = {
    Kind.STRING,
    Kind.ESCAPE_STRING,
    Kind.UNICODE_STRING,
    Kind.IDENTIFIER,
    Kind.UNICODE_IDENTIFIER,
}
_BACKSLASHED = {Kind.ESCAPE_STRING, Kind.UNICODE_STRING, Kind.UNICODE_IDENTIFIER}


def find(sql: str) -> tuple[Placeholder, ...]:
    """Return the placeholders of ``sql`` in order."""
    return tuple(_find(sql))


def describe(sql: str) -> list[dict[str, object]]:
    """Return the placeholders as plain values, for a program that fills them by the same rules.

    ``quote`` is the character to double in a value, empty where only a number may stand, and
    ``backslash`` whether backslashes are doubled too.
    """
    return [
        {
            "name": each.name,
            "start": each.start,
            "end": each.end,
            "quote": "" if each.kind is Kind.CODE else _quote(each.kind),
            "backslash": each.kind in _BACKSLASHED,
        }
        for each in find(sql)
    ]


def fill(sql: str, values: Mapping[str, object]) -> Filled:
    """Put ``values`` in for the placeholders; a name without a value stays as it is.

    Raises PlaceholderError for a value that cannot be written where its placeholder stands.
    """
    found = find(sql)
    parts: list[str] = []
    replaced: list[tuple[int, int, int, int]] = []
    at = 0
    length = 0
    for placeholder in found:
        if placeholder.name not in values:
            continue
        written = _write(sql, placeholder, values[placeholder.name])
        before = sql[at : placeholder.start]
        parts += (before, written)
        start = length + len(before)
        length = start + len(written)
        replaced.append((start, length, placeholder.start, placeholder.end))
        at = placeholder.end
    names = dict.fromkeys(placeholder.name for placeholder in found)
    return Filled(
        "".join((*parts, sql[at:])),
        unfilled=tuple(name for name in names if name not in values),
        unused=tuple(name for name in values if name not in names),
        _replaced=tuple(replaced),
    )


def _find(sql: str) -> Iterator[Placeholder]:
    for piece in pieces(sql):
        if piece.kind is not Kind.CODE and piece.kind not in _TEXT:
            continue
        for match in _PLACEHOLDER.finditer(sql, piece.start, piece.end):
            name = match[1]
            if piece.kind in _TEXT and (
                name in _HTML_WITHOUT_END or f"</{name}>" in sql[match.end() : piece.end]
            ):
                continue
            yield Placeholder(name, match.start(), match.end(), piece.kind)


def _write(sql: str, placeholder: Placeholder, value: object) -> str:
    text = _text(value)
    if placeholder.kind is Kind.CODE:
        return _write_bare(sql, placeholder, text)
    if value is None:
        raise PlaceholderError(
            f"<{placeholder.name}> stands in quotes and its value is null: between quotes null "
            "would be the text 'null'. Take the quotes off on the page.",
            placeholder.start,
        )
    if "\0" in text:
        raise PlaceholderError(
            f"The value of <{placeholder.name}> holds a zero character, which PostgreSQL cannot "
            "store in text.",
            placeholder.start,
        )
    quote = _quote(placeholder.kind)
    if placeholder.kind in _BACKSLASHED:
        text = text.replace("\\", "\\\\")
    return text.replace(quote, quote * 2)


def _quote(kind: Kind) -> str:
    return '"' if kind in {Kind.IDENTIFIER, Kind.UNICODE_IDENTIFIER} else "'"


def _write_bare(sql: str, placeholder: Placeholder, text: str) -> str:
    name, start, end = placeholder.name, placeholder.start, placeholder.end
    if not _BARE.fullmatch(text):
        raise PlaceholderError(
            f"<{name}> stands without quotes, where only a number, true, false or null can be put "
            f"in, and its value is {text!r}. Write '<{name}>' on the page.",
            start,
        )
    if _WORD_CHARACTER.match(sql[start - 1 : start]) or _WORD_CHARACTER.match(sql[end : end + 1]):
        raise PlaceholderError(
            f"<{name}> touches the word beside it, so its value would become part of that word. "
            "Put a space between them, or quotes around both, on the page.",
            start,
        )
    # "5-<n>" with a negative value would otherwise begin a comment.
    return f"({text})" if text[0] in "+-" else text


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
