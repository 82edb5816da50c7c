"""Words that look like a mark and are none: nothing would be measured, and nobody would know."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches

from sql_snippets.model import Mark

_MARKS = frozenset(Mark)
# What goes with a mark where somebody makes a label of two words of it.
_COMPANIONS = _MARKS | {"ONLY", "SAFE", "AND", "OR", "THEN", "FIRST", "MODE", "OPERATION", "QUERY"}
_MOST_WORDS = 4
_LIKE_A_MARK = 0.75
# As near to a mark as a slip of the fingers, and words of their own.
_OWN_WORDS = frozenset(
    {
        *("READY", "STEP", "STEPS", "HEAD", "LEAD", "DEAD", "ROAD", "RED", "LOAD", "BREAD", "AREA"),
        *("THREAD", "SPREAD", "WHITE", "TOP", "SHOP", "SETUP", "SPOT", "TRADE"),
    }
)
_SEPARATOR = re.compile(r"\W*·")
_BEFORE_SEPARATOR = re.compile(r"\s*(?P<label>[^·\n]{1,40}?)\s*·")
_FIRST_WORD = re.compile(r"\W*(?P<word>\w+)")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Emphasis:
    """A part of a line that stands out, as bold, italic or code; ``start`` is its first character.

    ``is_bold`` is what a mark has to be.
    """

    start: int
    text: str
    is_bold: bool


@dataclass(frozen=True, slots=True)
class Words:
    """What a paragraph or heading says, and what of it stands out."""

    text: str = ""
    emphases: tuple[Emphasis, ...] = ()


NO_WORDS = Words()


def find_almost_mark(words: Words, *, in_heading: bool = False) -> str | None:
    """Return what looks like a mark in words that begin with none, if anything does.

    It is the first word or two: in other letters, emphasis or company than a mark's, or with a
    slip.  A mark in bold further on counts too.  In a heading, capitals alone say nothing.
    """
    text = words.text
    for part in words.emphases:
        if not _WORD.search(text[: part.start]):
            separated = _SEPARATOR.match(text, part.start + len(part.text)) is not None
            if _is_almost(part.text, separated=separated or "·" in part.text):
                return part.text.strip()
        elif part.is_bold and _plain(part.text) in _MARKS:
            return part.text.strip()
    label = _BEFORE_SEPARATOR.match(text)
    if label is not None and _is_almost(label["label"], separated=True):
        return label["label"]
    first = _FIRST_WORD.match(text)
    if first is not None and not in_heading and _plain(first["word"]) in _MARKS:
        return first["word"]
    return None


def meant_mark(written: str) -> Mark | None:
    """Return the mark that was most likely meant, if it is plain."""
    found = [_plain(word) for word in _WORD.findall(_visible(written))]
    named = [word for word in found if word.upper() in _MARKS]
    if len(set(named)) > 1 or not found:
        return None
    return _nearest_mark((named or found)[0].upper())


def _is_almost(label: str, *, separated: bool) -> bool:
    found = _WORD.findall(_visible(label))
    upper = [word.upper() for word in found]
    if not found or len(found) > _MOST_WORDS:
        return False
    if any(word in _MARKS for word in found):
        return True
    if upper[0] in _MARKS and all(word in _COMPANIONS for word in upper[1:]):
        return True
    if len(found) == 1 and (separated or found[0].isupper()) and _is_slip(upper[0]):
        return True
    # No word of ours, and yet it stands as a mark does.
    return separated and len(found) == 1 and found[0].isupper() and found[0].isalpha()


def _is_slip(word: str) -> bool:
    return word not in _OWN_WORDS and _nearest_mark(word) is not None


def _nearest_mark(word: str) -> Mark | None:
    """Return the mark that differs by one slip; letters that are swapped are one too."""
    meant = get_close_matches(word, list(Mark), n=1, cutoff=_LIKE_A_MARK)
    return Mark(meant[0]) if meant else None


def _visible(text: str) -> str:
    """Return the text with letters of other shapes as the usual ones, and without the invisible."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(character for character in normal if unicodedata.category(character) != "Cf")


def _plain(text: str) -> str:
    return _visible(text).strip(" \t\n:.;,!·-|/_*\N{EN DASH}\N{EM DASH}")
