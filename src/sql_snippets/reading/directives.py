"""The words of a ``<!-- sql: ... -->`` comment: what they mean and what is wrong with them.

Words are split as a shell splits them, so quotes hold a value with spaces together.  Each keeps its
place, and a bad one is a `Failure` at that place and takes nothing else down with it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from sql_snippets.model import BlockColumn, Claims, Column, Failure, Location, Order, Step
from sql_snippets.sqltext.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

BLOCK_WORDS = (
    "name",
    "scenario",
    "step",
    "after",
    "within",
    "role",
    "error",
    "message",
    "rows",
    "columns",
    "volatile",
    "once",
    "no-effect",
    "skip",
)
TABLE_WORDS = ("table", "facts", "name", "not-output")
OTHER_WORDS = ("not-output",)
HEADING_WORDS = ("drill", "confirm", "resolve", "verify", "within", "in-order", "skip")
PAGE_WORDS = ("not-names",)
_FLAGS = frozenset({"once", "in-order", "not-output"})
_KNOWN = tuple(dict.fromkeys((*BLOCK_WORDS, *TABLE_WORDS, *HEADING_WORDS, *PAGE_WORDS)))
_FILL = "fill."

_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""", re.DOTALL)

_ALMOST = re.compile(r"\s*(?P<word>[A-Za-z]{2,6})(?P<colon>\s*[:;])?(?P<rest>.*)", re.DOTALL)
_WORDS_FOLLOW = re.compile(r"\s*(?:[A-Za-z][\w.-]*=\S|(?:once|in-order|not-output)\s*$)")

_SLUG = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_PLACEHOLDER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_RELATION = re.compile(r'(?:"(?:[^"]|"")+"|[^\s."]+)\.(?:"(?:[^"]|"")+"|[^\s."]+)')
_BLOCK_COLUMN = re.compile(r"@(?P<block>[A-Za-z0-9._-]+)\.(?P<column>[^.]+)")
_SHAPE_COLUMN = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>\S+))\s+(?P<type>.+?)\s*')
_COMMA_OUTSIDE = re.compile(r",(?![^()]*\))")


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
    problems: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockDirective:
    """What directives say about a block."""

    claims: Claims
    name: Word | None
    skip: str | None
    words: Mapping[str, Word]
    taken: Mapping[str, Word]
    problems: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class TableDirective:
    """What directives say about a table: what it is bound to, if to anything."""

    relation: str | None
    facts: Word | None
    name: Word | None
    not_output: bool
    problems: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class HeadingDirective:
    """What directives say about a heading; ``scenario`` is None where they make no drill of it.

    ``elsewhere`` has the blocks of other sections that are steps of this drill too, by name, and
    ``within`` is how long, in seconds, those that verify may take to come true.
    ``order`` and ``skip`` are about all blocks of the section.
    """

    scenario: str | None
    order: Order | None
    skip: str | None
    words: Mapping[str, Word]
    elsewhere: Mapping[Step, tuple[tuple[str, Word], ...]]
    within: float | None
    problems: tuple[Failure, ...]


def parse_directive(text: str, location: Location, locate: Callable[[int], Location]) -> Directive:
    """Split the text after ``sql:`` into words; ``locate`` gives the place of a character of it."""
    words: list[Word] = []
    problems: list[Failure] = []
    position = 0
    while match := _SPACE.match(text, position):
        position = match.end()
        if position == len(text):
            break
        token = _TOKEN.match(text, position)
        if token is None or not _ends_word(text, token.end()):
            at = position if token is None else token.end()
            problems.append(
                Failure(locate(at), f"a quote opened here is not closed: {text[at:].strip()}")
            )
            break
        key, equals, value = "".join(shlex.split(token.group())).partition("=")
        words.append(Word(key, value if equals else None, locate(position)))
        position = token.end()
    if not words and not problems:
        problems.append(Failure(location, "empty directive: remove it."))
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
    columns = read.value("columns", _shape)
    if error is not None and columns is not None:
        read.reject("columns", "a block that is expected to fail returns none; drop one of the two")
    message = read.value("message", _text)
    if message is not None and "error" not in words:
        read.reject("message", "it is about the message of an error, so it goes with error=")
    fill = {
        key.removeprefix(_FILL): value
        for key in words
        if key.startswith(_FILL) and (value := read.value(key, _filling)) is not None
    }
    within = read.value("within", _seconds)
    if within is not None and step is not Step.VERIFY:
        read.reject(
            "within", "it says how long a verification may take, so it goes with step=verify"
        )
    no_effect = read.value("no-effect", _text)
    if error is not None and no_effect is not None:
        read.reject("no-effect", "a block that is expected to fail has none; drop one of the two")
    claims = Claims(
        role=read.value("role", _text),
        scenario=scenario,
        step=step,
        after=read.value("after", _slug),
        within=within,
        error=error,
        message=message,
        rows=rows,
        columns=columns,
        volatile=read.value("volatile", _columns) or (),
        once=once,
        no_effect=no_effect,
        fill={key: value for key, value in fill.items() if isinstance(value, str)},
        taken={key: value for key, value in fill.items() if isinstance(value, BlockColumn)},
    )
    name = words.get("name") if read.value("name", _slug) else None
    skip = read.value("skip", _text)
    return BlockDirective(
        claims=claims,
        name=name,
        skip=skip,
        words=words,
        taken={name: words[_FILL + name] for name in claims.taken},
        problems=tuple(problems),
    )


def bind_table(directives: Sequence[Directive]) -> TableDirective:
    """Return what the directives above a table say about it."""
    words, problems = _sort_words(directives, TABLE_WORDS, "a table")
    read = _ValueReader(words, problems)
    name = words.get("name") if read.value("name", _slug) else None
    relation = read.value("table", _relation)
    facts = words.get("facts") if read.value("facts", _text) else None
    if relation is not None and facts is not None:
        read.reject("facts", "the table is bound by `table=` already; drop one of the two")
    not_output = read.value("not-output", _flag) is not None
    if not_output and (relation is not None or facts is not None):
        read.reject("not-output", "the table is compared with something already; drop the word")
    return TableDirective(relation, facts, name, not_output, tuple(problems))


def bind_other(directives: Sequence[Directive], what: str) -> tuple[Failure, ...]:
    """Return what is wrong with directives above a block that is no SQL."""
    words, problems = _sort_words(directives, OTHER_WORDS, what)
    _ValueReader(words, problems).value("not-output", _flag)
    return tuple(problems)


def bind_heading(directives: Sequence[Directive]) -> HeadingDirective:
    """Return what the directives above a heading say about it."""
    words, problems = _sort_words(directives, HEADING_WORDS, "a heading")
    read = _ValueReader(words, problems)
    scenario = read.value("drill", _fixture)
    elsewhere: dict[Step, tuple[tuple[str, Word], ...]] = {}
    for step in Step:
        names = read.value(step.value, _slugs)
        if names is not None and "drill" not in words:
            read.reject(step.value, "it names blocks that a drill follows, so it goes with drill=")
        elif names is not None:
            elsewhere[step] = tuple((name, words[step.value]) for name in names)
    within = read.value("within", _seconds)
    if within is not None and Step.VERIFY not in elsewhere:
        read.reject("within", "it says how long a verification may take, so it goes with verify=")
    order = read.value("in-order", _order)
    skip = read.value("skip", _text)
    return HeadingDirective(scenario, order, skip, words, elsewhere, within, tuple(problems))


def split_page_words(directive: Directive) -> tuple[Directive, tuple[Word, ...]]:
    """Take out the words that are about the whole page, wherever the directive stands."""
    of_page = tuple(word for word in directive.words if word.key in PAGE_WORDS)
    rest = tuple(word for word in directive.words if word.key not in PAGE_WORDS)
    return replace(directive, words=rest), of_page


def read_not_names(word: Word) -> list[str]:
    """Return the names that ``not-names=`` lists.  Raises ValueError with what is wrong."""
    return list(_columns(word.value, "names"))


def _sort_words(
    directives: Sequence[Directive], allowed: tuple[str, ...], target: str
) -> tuple[dict[str, Word], list[Failure]]:
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
            problems.append(Failure(word.location, wrong))
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
    if close := nearest(key, allowed) or nearest(key, _KNOWN):
        return f"unknown word `{word}`: did you mean `{close}`?"
    return (
        f"unknown word `{word}`: known are {_listing(allowed, with_fill=allowed is BLOCK_WORDS)}."
    )


def _listing(words: Iterable[str], *, with_fill: bool) -> str:
    names = [word if word in _FLAGS else f"{word}=" for word in words]
    return ", ".join([*names, "fill.NAME="] if with_fill else names)


T = TypeVar("T")


class _ValueReader:
    """Read the values of words; a bad one becomes a problem of its word."""

    def __init__(self, words: dict[str, Word], problems: list[Failure]) -> None:
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
        self._problems.append(Failure(word.location, f"`{word}`: {why}."))


def _text(value: str | None) -> str:
    if not value or not value.strip():
        raise ValueError("it needs a value that is not empty")
    return value


def _flag(value: str | None) -> bool:
    if value is not None:
        raise ValueError("it takes no value")
    return True


def _order(value: str | None) -> Order:
    if value is None:
        return Order.SESSIONS
    if value != "session":
        raise ValueError("it takes no value, or `session` for all blocks in one session")
    return Order.SESSION


def _filling(value: str | None) -> str | BlockColumn:
    if value is None:
        raise ValueError("it needs a value: fill.NAME=VALUE")
    if value.startswith("@@"):  # a value that begins with @ itself
        return value[1:]
    if not value.startswith("@"):
        return value
    source = _BLOCK_COLUMN.fullmatch(value)
    if source is None:
        raise ValueError("after @ it needs a block and a column of it: @block-name.column")
    return BlockColumn(source["block"], source["column"])


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


def _slugs(value: str | None) -> tuple[str, ...]:
    names = _columns(value, "the names of blocks")
    if not all(_SLUG.fullmatch(name) for name in names):
        raise ValueError("it needs the names of blocks, with commas between them")
    if len(set(names)) < len(names):
        raise ValueError("it names a block twice")
    return names


def meant_by(comment: str) -> str | None:
    """Return the directive that the text of a comment was probably meant to be, if any."""
    match = _ALMOST.match(comment)
    if match is None:
        return None
    word, rest = match["word"], match["rest"]
    # A comment may well begin with a word that is a little like it.
    is_listed = _WORDS_FOLLOW.match(rest) is not None or bool(match["colon"] and not rest.strip())
    if word.lower() != "sql":
        # Three letters: a swapped first one is a slip too.
        is_like_it = bool(get_close_matches(word.lower(), ["sql"]))
        is_meant = is_listed and bool(match["colon"]) and is_like_it
    else:
        is_meant = is_listed or match["colon"] is not None
    return f"<!-- {' '.join(('sql:', *rest.split()))} -->" if is_meant else None


def _step(value: str | None) -> Step:
    try:
        return Step(value or "")
    except ValueError:
        close = nearest(value or "", list(Step))
        hint = f"; did you mean {close}?" if close else ""
        raise ValueError(f"a step is confirm, resolve or verify{hint}") from None


def _count(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("it needs a number of rows, 0 or more")
    return int(value)


def _seconds(value: str | None) -> float:
    if value is None or not re.fullmatch(r"[1-9][0-9]{0,2}", value):
        raise ValueError("it needs a whole number of seconds, from 1 to 999")
    return float(value)


def _columns(value: str | None, what: str = "the names of columns") -> tuple[str, ...]:
    names = tuple(name.strip() for name in (value or "").split(","))
    if not all(names):
        raise ValueError(f"it needs {what}, with commas between them")
    return names


def _shape(value: str | None) -> tuple[Column, ...]:
    found = [_SHAPE_COLUMN.fullmatch(part) for part in _COMMA_OUTSIDE.split(value or "")]
    if not all(found):
        raise ValueError(
            'it needs a name and a type for each column, such as columns="id bigint, name text"'
        )
    return tuple(
        Column((m["quoted"] or "").replace('""', '"') or m["bare"], " ".join(m["type"].split()))
        for m in found
        if m
    )
