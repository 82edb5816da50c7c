"""The lexical structure of PostgreSQL's SQL, as far as it is needed to tell code from text.

Follows the documentation's chapter "Lexical Structure": nested block comments, dollar quotes,
doubled quotes, and backslashes that escape in E'' strings only (standard_conforming_strings is on).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(Enum):
    """What a piece of SQL is; everything that is none of the others is CODE."""

    CODE = auto()
    COMMENT = auto()
    STRING = auto()
    ESCAPE_STRING = auto()
    UNICODE_STRING = auto()
    IDENTIFIER = auto()
    UNICODE_IDENTIFIER = auto()
    DOLLAR = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of characters of a kind, quotes included; ``end`` is exclusive."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a message: where it starts, and its first words in lower case."""

    start: int
    end: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One token: a word, a number, an operator, or a quoted piece as a whole; ``end`` exclusive."""

    kind: Kind
    start: int
    end: int


# What is not ASCII is part of a name to PostgreSQL.  Said by what is left out, as Python compiles
# a range of a million characters for twenty times as long.
_NAME_START = r"[^\x00-@\[-^`{-\x7f]"
_NAME_PART = r"[^\x00-/:-@\[-^`{-\x7f]"
_IDENTIFIER_PART = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
_OPENING = re.compile(
    rf"""
    (?P<line>--[^\r\n]*)
  | (?P<block>/\*)
  | (?P<escape>(?<!{_IDENTIFIER_PART})[eE]')
  | (?P<ustring>(?<!{_IDENTIFIER_PART})[uU]&')
  | (?P<uident>(?<!{_IDENTIFIER_PART})[uU]&")
  | (?P<string>')
  | (?P<ident>")
  | (?P<dollar>(?<!{_IDENTIFIER_PART})\$(?:{_NAME_START}{_NAME_PART}*)?\$)
    """,
    re.VERBOSE,
)
_BLOCK_MARK = re.compile(r"/\*|\*/")
_PLAIN_END = re.compile(r"(?:[^']|'')*'?")
_ESCAPE_END = re.compile(r"(?:[^'\\]|''|\\.|\\\Z)*'?", re.DOTALL)
_IDENT_END = re.compile(r'(?:[^"]|"")*"?')
_TOKEN = re.compile(
    rf"""
    (?P<word>{_NAME_START}{_IDENTIFIER_PART}*)
  | (?P<number>(?:0[xX][0-9A-Fa-f_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?))
  | (?P<parameter>\$\d+)
  | (?P<fixed>::|:=|=>|\.\.)
  | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
  | (?P<other>\S)
    """,
    re.VERBOSE,
)
_MAY_END_IN_SIGN = re.compile(r"[~!@#%^&|`?]")
_KINDS = {
    "escape": (Kind.ESCAPE_STRING, _ESCAPE_END),
    "ustring": (Kind.UNICODE_STRING, _PLAIN_END),
    "uident": (Kind.UNICODE_IDENTIFIER, _IDENT_END),
    "string": (Kind.STRING, _PLAIN_END),
    "ident": (Kind.IDENTIFIER, _IDENT_END),
}


def pieces(sql: str) -> Iterator[Piece]:
    """Yield pieces that cover ``sql`` from start to end; what is left open ends with the text."""
    at = 0
    while at < len(sql):
        opening = _OPENING.search(sql, at)
        if opening is None:
            yield Piece(Kind.CODE, at, len(sql))
            return
        if opening.start() > at:
            yield Piece(Kind.CODE, at, opening.start())
        kind, at = _close(sql, opening)
        yield Piece(kind, opening.start(), at)


def tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens of ``sql`` as the server's scanner takes them, comments left out."""
    for piece in pieces(sql):
        if piece.kind is Kind.COMMENT:
            continue
        if piece.kind is not Kind.CODE:
            yield Token(piece.kind, piece.start, piece.end)
            continue
        at = piece.start
        while match := _TOKEN.search(sql, at, piece.end):
            at = match.end()
            if match.lastgroup == "operator" and not _MAY_END_IN_SIGN.search(match[0]):
                # "=-" is two operators, "@-" is one.
                kept = match[0][0] + match[0][1:].rstrip("+-")
                at = match.start() + len(kept)
            yield Token(Kind.CODE, match.start(), at)


def statements(sql: str) -> list[Statement]:
    """Split a message at the semicolons that end statements; empty statements are left out.

    Semicolons in parentheses (rules) and in ``begin atomic ... end`` bodies end nothing.
    """
    found: list[Statement] = []
    start: int | None = None
    words: list[str] = []
    depth = 0
    end = 0
    for piece in pieces(sql):
        if piece.kind is Kind.COMMENT:
            continue
        if piece.kind is not Kind.CODE:
            start = piece.start if start is None else start
            end = piece.end
            continue
        for token in re.finditer(r"[A-Za-z_][A-Za-z0-9_$]*|[;()]|\S", sql[piece.start : piece.end]):
            word = token[0].lower()
            if word == ";" and depth == 0:
                if start is not None:
                    found.append(Statement(start, end, tuple(words)))
                start, words = None, []
                continue
            if start is None:
                start = piece.start + token.start()
            end = piece.start + token.end()
            depth = _depth(depth, word, words)
            words.append(word)
    if start is not None:
        found.append(Statement(start, end, tuple(words)))
    return found


def _depth(depth: int, word: str, before: list[str]) -> int:
    if word == "(" or (word == "atomic" and before[-1:] == ["begin"]):
        return depth + 1
    if word == "case" and "atomic" in before:
        return depth + 1
    if word == ")" or (word == "end" and "atomic" in before):
        return max(depth - 1, 0)
    return depth


def _close(sql: str, opening: re.Match[str]) -> tuple[Kind, int]:
    group = opening.lastgroup or ""
    if group == "line":
        return Kind.COMMENT, opening.end()
    if group == "block":
        return Kind.COMMENT, _end_of_block(sql, opening.end())
    if group == "dollar":
        closing = sql.find(opening[0], opening.end())
        return Kind.DOLLAR, len(sql) if closing < 0 else closing + len(opening[0])
    kind, pattern = _KINDS[group]
    match = pattern.match(sql, opening.end())
    return kind, match.end() if match else len(sql)


def _end_of_block(sql: str, at: int) -> int:
    depth = 1
    for mark in _BLOCK_MARK.finditer(sql, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(sql)
