"""The text of an outcome in parts: its alternatives, and the conditions of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIDDEN = re.compile(r"`[^`]*`|\([^)]*\)")


def _hide(text: str) -> tuple[str, list[str]]:
    """Put marks in place of what is quoted, so that its commas do not count."""
    kept: list[str] = []

    def put(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\ue000{len(kept) - 1}\ue001"

    return _HIDDEN.sub(put, text), kept


def _show(text: str, kept: Sequence[str]) -> str:
    return re.sub("\ue000(\\d+)\ue001", lambda match: kept[int(match[1])], text)


def alternatives(text: str) -> list[str]:
    """Split a text at "or", and at commas between values of the same kind."""
    hidden, kept = _hide(text)
    parts = re.split(r"(?<!\bat),? or (?!more\b|less\b|begins\b)", hidden)
    whole: list[str] = []
    for part in parts:
        pieces = re.split(r", (?!and\b)", part)
        # A list of values and not a chain of conditions.
        alike = len(parts) > 1 or len(pieces) > 1
        if alike and all(
            re.fullmatch("(?:still )?\ue000\\d+\ue001", piece.strip()) for piece in pieces
        ):
            whole += pieces
        else:
            whole.append(part)
    return [_show(part, kept) for part in whole]


_CONJUNCTION = re.compile(
    ", which .*$|, of the .*$|; |, and |, with |, but |, (?!so\\b|or\\b)"
    "| and (?=\ue000|no\\b)| with (?=\ue000)"
)


def conjuncts(text: str) -> list[str]:
    """Split a text at "and", "with" and the commas between conditions."""
    hidden, kept = _hide(text)
    parts = _CONJUNCTION.split(hidden)
    return [_show(part.strip(), kept) for part in parts if part and part.strip()]
