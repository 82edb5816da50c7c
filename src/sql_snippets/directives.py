"""The words of a ``<!-- sql: ... -->`` comment: what they mean and what is wrong with them.

Words are split as a shell splits them, so quotes hold a value with spaces together.  Each keeps its
place, and a bad one is a `Problem` at that place and takes nothing else down with it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from sql_snippets.model import Claims, Location, Problem, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BLOCK_WORDS = (
    "name",
    "scenario",
    "step",
    "after",
    "within",
    "role",
    "error",
    "rows",
    "volatile",
    "once",
    "skip",
)
TABLE_WORDS = ("table", "name")
HEADING_WORDS = ("drill",)
_FLAGS = frozenset({"once"})
_KNOWN = tuple(dict.fromkeys((*BLOCK_WORDS, *TABLE_WORDS, *HEADING_WORDS)))
_FILL = "fill."

_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""", re.DOTALL)

_SLUG = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_PLACEHOLDER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_RELATION = re.compile(r"[^\s.]+\.[^\s.]+")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: ``key`` alone, or ``key=value``."""

    key: str
    value: str | None
    location: Location

    def __str__(self) -> str:
        return self.key if self.value is None else f"{self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Directive:
    """The words of one comment, and what keeps it from being read."""

    location: Location
    words: tuple[Word, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockDirective:
    """What directives say about a block."""

    claims: Claims
    name: Word | None
    skip: str | None
    step: Word | None
    after: Word | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class TableDirective:
    """What directives say about a table; ``relation`` is None where they do not bind it."""

    relation: str | None
    name: Word | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class HeadingDirective:
    """What directives say about a heading; ``scenario`` is None where they make no drill of it."""

    scenario: str | None
    problems: tuple[Problem, ...]


def parse_directive(text: str, location: Location, locate: Callable[[int], Location]) -> Directive:
    """Split the text after ``sql:`` into words; ``locate`` gives the place of a character of it."""
    words: list[Word] = []
    problems: list[Problem] = []
    position = 0
    while match := _SPACE.match(text, position):
        position = match.end()
        if position == len(text):
            break
        token = _TOKEN.match(text, position)
        if token is None or not _ends_word(text, token.end()):
            at = position if token is None else token.end()
            problems.append(
                Problem(locate(at), f"a quote opened here is not closed: {text[at:].strip()}")
            )
            break
        key, equals, value = "".join(shlex.split(token.group())).partition("=")
        words.append(Word(key, value if equals else None, locate(position)))
        position = token.end()
    if not words and not problems:
        problems.append(Problem(location, "a directive without words says nothing: take it out."))
    return Directive(location, tuple(words), tuple(problems))


def _ends_word(text: str, position: int) -> bool:
    return position == len(text) or text[position].isspace()


def bind_block(directives: Sequence[Directive]) -> BlockDirective:
    """Return what the directives above a block say about it."""
    words, problems = _sort_words(directives, BLOCK_WORDS, "a block")
    read = _ValueReader(words, problems)
    step = read.value("step", _step)
    scenario = read.value("scenario", _fixture)
    error = read.value("error", _sqlstate)
    rows = read.value("rows", _count)
    once = read.value("once", _flag) is not None
    if once and step is not Step.RESOLVE:
        read.reject("once", "it says that a fix must not run twice, so it goes with step=resolve")
    if error is not None and rows is not None:
        read.reject("rows", "a block that is expected to fail returns no rows; drop one of the two")
    within = read.value("within", _seconds)
    if within is not None and step is not Step.VERIFY:
        read.reject(
            "within", "it says how long a verification may take, so it goes with step=verify"
        )
    claims = Claims(
        role=read.value("role", _text),
        scenario=scenario,
        step=step,
        after=read.value("after", _slug),
        within=within,
        error=error,
        rows=rows,
        volatile=read.value("volatile", _columns) or (),
        once=once,
        fill={
            key.removeprefix(_FILL): word.value or ""
            for key, word in words.items()
            if key.startswith(_FILL) and read.value(key, _filling) is not None
        },
    )
    name = words.get("name") if read.value("name", _slug) else None
    skip = read.value("skip", _text)
    return BlockDirective(
        claims=claims,
        name=name,
        skip=skip,
        step=words.get("step") if step else None,
        after=words.get("after") if claims.after else None,
        problems=tuple(problems),
    )


def bind_table(directives: Sequence[Directive]) -> TableDirective:
    """Return what the directives above a table say about it."""
    words, problems = _sort_words(directives, TABLE_WORDS, "a table")
    read = _ValueReader(words, problems)
    name = words.get("name") if read.value("name", _slug) else None
    return TableDirective(read.value("table", _relation), name, tuple(problems))


def bind_heading(directives: Sequence[Directive]) -> HeadingDirective:
    """Return what the directives above a heading say about it."""
    words, problems = _sort_words(directives, HEADING_WORDS, "a heading")
    read = _ValueReader(words, problems)
    return HeadingDirective(read.value("drill", _fixture), tuple(problems))


def _sort_words(
    directives: Sequence[Directive], allowed: tuple[str, ...], target: str
) -> tuple[dict[str, Word], list[Problem]]:
    """Return the words that are known, fit the target and stand there once; and the others."""
    words: dict[str, Word] = {}
    problems = [problem for directive in directives for problem in directive.problems]
    for word in (word for directive in directives for word in directive.words):
        wrong = _why_unfit(word, allowed, target)
        if wrong is None and word.key in words:
            wrong = f"`{word}` repeats a word: `{words[word.key]}` is said already. Keep one."
        if wrong is None:
            words[word.key] = word
        else:
            problems.append(Problem(word.location, wrong))
    return words, problems


def _why_unfit(word: Word, allowed: tuple[str, ...], target: str) -> str | None:
    if word.key.startswith(_FILL):
        name = word.key.removeprefix(_FILL)
        if not _PLACEHOLDER_NAME.fullmatch(name):
            return (
                f"`{word}`: {name!r} is not the name of a placeholder (lower-case letters, digits "
                "and _)."
            )
        fits = allowed is BLOCK_WORDS
    elif word.key in _KNOWN:
        fits = word.key in allowed
    else:
        return _unknown(word, allowed)
    if not fits:
        listing = _listing(allowed, with_fill=allowed is BLOCK_WORDS)
        return f"`{word}` does not fit above {target}; {target} takes {listing}."
    return None


def _unknown(word: Word, allowed: tuple[str, ...]) -> str:
    key = word.key.lower()
    if key.startswith("fill") and allowed is BLOCK_WORDS:
        return f"unknown word `{word}`: a placeholder is filled with fill.NAME=VALUE."
    close = get_close_matches(key, allowed, n=1) or get_close_matches(key, _KNOWN, n=1)
    if close:
        return f"unknown word `{word}`: did you mean `{close[0]}`?"
    return f"unknown word `{word}`: known are {_listing(allowed, allowed is BLOCK_WORDS)}."


def _listing(words: Iterable[str], with_fill: bool) -> str:  # noqa: FBT001
    names = [word if word in _FLAGS else f"{word}=" for word in words]
    return ", ".join([*names, "fill.NAME="] if with_fill else names)


T = TypeVar("T")


class _ValueReader:
    """Read the values of words; a bad one becomes a problem of its word."""

    def __init__(self, words: dict[str, Word], problems: list[Problem]) -> None:
        self._words = words
        self._problems = problems

    def value(self, key: str, read: Callable[[str | None], T]) -> T | None:
        word = self._words.get(key)
        if word is None:
            return None
        try:
            return read(word.value)
        except ValueError as err:
            self.reject(key, str(err))
            return None

    def reject(self, key: str, why: str) -> None:
        word = self._words[key]
        self._problems.append(Problem(word.location, f"`{word}`: {why}."))


def _text(value: str | None) -> str:
    if not value or not value.strip():
        raise ValueError("it needs a value that is not empty")
    return value


def _flag(value: str | None) -> bool:
    if value is not None:
        raise ValueError("it takes no value")
    return True


def _filling(value: str | None) -> str:
    if value is None:
        raise ValueError("it needs a value: fill.NAME=VALUE")
    return value


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str | None], str]:
    def read(value: str | None) -> str:
        if value is None or not pattern.fullmatch(value):
            raise ValueError(f"it needs {expected}")
        return value

    return read


_slug = _matching(_SLUG, "letters and digits, joined by - _ or .")
_fixture = _matching(re.compile(r"[A-Za-z_]\w*"), "the name of a fixture")
_sqlstate = _matching(_SQLSTATE, "a SQLSTATE: five digits or upper-case letters, such as 42P01")
_relation = _matching(_RELATION, "a relation with its schema, such as public.assignments")


def _step(value: str | None) -> Step:
    try:
        return Step(value or "")
    except ValueError:
        close = get_close_matches(value or "", list(Step), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"a step is confirm, resolve or verify{hint}") from None


def _count(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("it needs a number of rows, 0 or more")
    return int(value)


def _seconds(value: str | None) -> float:
    if value is None or not re.fullmatch(r"[1-9][0-9]{0,2}", value):
        raise ValueError("it needs a whole number of seconds, from 1 to 999")
    return float(value)


def _columns(value: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (value or "").split(","))
    if not all(names):
        raise ValueError("it needs the names of columns, with commas between them")
    return names
