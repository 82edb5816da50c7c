"""The name that a message of the server is about, and where the SQL has it."""

from __future__ import annotations

import re

from sql_snippets.sqltext.lexer import Kind, pieces

_NAMED = re.compile(
    r'has no field "(?P<field>[^"]+)"|"(?P<quoted>[^"]+)"'
    r"|(?:column|function|procedure|type) (?P<bare>[^\s(]+)"
    r"|permission denied for \w+(?: \w+)* (?P<denied>\S+)$"
)
_CHAIN = re.compile(r'(?:(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)\s*\.\s*)+$')
_NAMES = frozenset({Kind.CODE, Kind.IDENTIFIER, Kind.UNICODE_IDENTIFIER})


def name_in(message: str) -> str | None:
    """Return the name that a message is about, as it quotes it; ``None`` where it has none.

    Only the wording of an English server is known.
    """
    match = _NAMED.search(message)
    return match[match.lastgroup] if match and match.lastgroup else None


def place_of(message: str, sql: str, start: int, end: int) -> int | None:
    """Return where a part of ``sql`` has the name of a message, its schema included.

    As a name comes before the same word in a text, such as a body or ``'...'::regclass``.
    """
    name = name_in(message)
    if name is None:
        return None
    last = name.rpartition(".")[2].strip('"')
    word = re.compile(rf"(?<![\w$]){re.escape(last)}(?![\w$])", re.IGNORECASE)
    inside = [piece for piece in pieces(sql) if start <= piece.start < end or piece.end > start]
    for as_name in (True, False):
        for piece in inside:
            if piece.kind is Kind.COMMENT or (piece.kind in _NAMES) is not as_name:
                continue
            found = word.search(sql, max(piece.start, start), min(piece.end, end))
            if found is not None:
                at = piece.start if piece.kind is Kind.IDENTIFIER else found.start()
                chain = _CHAIN.search(sql, start, at)
                return chain.start() if chain else at
    return None
