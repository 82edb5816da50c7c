"""What one phrase of an outcome says of an answer: that it is so, that it is not, or neither.

A phrase speaks of a row, of none, of an error or of no answer, quotes a value, or names a number or
a time.  What else it may say is for people to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tests.sql_snippets.walks.splitting import alternatives, conjuncts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.sql_snippets.walks.answers import Answer


class Truth(Enum):
    """What can be said of a condition; OPEN is for people to judge."""

    YES = 1
    NO = 0
    OPEN = -1


@dataclass(frozen=True, slots=True)
class Weighed:
    """Of one condition: whether it holds, for which rows, and how much of it was understood."""

    truth: Truth
    weight: float = 0.0
    rows: frozenset[int] | None = None


def weigh_text(answer: Answer, column: str, text: str) -> Weighed:
    """Take the best of the alternatives of a text: "`a`, `b` or `c`"."""
    # "`a` is empty, or before `b`" speaks of `a` in both.
    named = (re.match(r"`(\w+)`", text) or ["", column])[1]
    found = [_both(answer, column, part, named) for part in alternatives(text)]
    for wanted in (Truth.YES, Truth.OPEN):
        if of_kind := [one for one in found if one.truth is wanted]:
            best = max(of_kind, key=lambda one: one.weight)
            rows = [one.rows for one in of_kind if one.rows is not None]
            return Weighed(wanted, best.weight, frozenset().union(*rows) if rows else best.rows)
    return found[0]


def _both(answer: Answer, column: str, text: str, before: str = "") -> Weighed:
    """Take each part of a text: "`a`, and `b`"."""
    parts, rows = [], None
    before = before or column
    for part in conjuncts(text):
        one = _atom(answer, column, part, before)
        before = (re.match(r"`(\w+)`", part) or ["", before])[1]
        if one.truth is Truth.NO:
            return one
        if one.rows is not None:
            rows = one.rows if rows is None else rows & one.rows
            if not rows:
                return Weighed(Truth.NO)
        parts.append(one)
    return together(parts, rows)


def together(parts: Sequence[Weighed], rows: frozenset[int] | None) -> Weighed:
    """Return what several conditions say, of the rows of which all are true."""
    truth = Truth.OPEN if any(one.truth is Truth.OPEN for one in parts) else Truth.YES
    return Weighed(truth, sum(one.weight for one in parts), rows)


# Each rule says of an answer whether it is so; None where the phrase speaks of something else.


def _atom(answer: Answer, column: str, text: str, before: str) -> Weighed:
    phrase = text.strip().rstrip(".")
    if (weighed := _compared(answer, column, phrase, before)) is not None:
        return weighed
    for rule in _RULES:
        if (weighed := rule(answer, column, phrase)) is not None:
            return weighed
    return Weighed(Truth.OPEN)


def _truth(is_so: object, weight: float, rows: Iterator[int] | None = None) -> Weighed:
    if not is_so:
        return Weighed(Truth.NO)
    return Weighed(Truth.YES, weight, None if rows is None else frozenset(rows))


def _rows_where(answer: Answer, test: Callable[[tuple[str | None, ...]], bool]) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(answer.rows) if test(row))


def _some_rows(rows: frozenset[int], weight: float) -> Weighed:
    return _truth(bool(rows), weight, iter(rows))


_ANY = re.compile(r"^(?:any|whatever)\b(?! (?:else|other))", re.IGNORECASE)


def _any_value(_: Answer, column: str, phrase: str) -> Weighed | None:
    return Weighed(Truth.YES, 0.0) if column and _ANY.match(phrase) else None


def _silence(answer: Answer, _: str, phrase: str) -> Weighed | None:
    if re.match(r"no answer\b", phrase, re.IGNORECASE) and "pg_net" not in phrase:
        return _truth(answer.is_silent, 2)
    return None


def _error(answer: Answer, column: str, phrase: str) -> Weighed | None:
    if column or not re.match(r"(?:an(?:y)?|the same) (?:other )?error\b", phrase, re.IGNORECASE):
        return None
    other = re.match(r"any other", phrase, re.IGNORECASE)
    return _truth(answer.is_error, 0.5 if other else 1)


def _no_row(answer: Answer, _: str, phrase: str) -> Weighed | None:
    if re.match(r"(?:still )?no rows?\b|both empty\b", phrase, re.IGNORECASE):
        return _truth(answer.has_rows and not answer.rows and not answer.is_error, 1)
    return None


_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
_ROWS = re.compile(
    r"^(?:(?P<count>one|two|three|four|five|ten|\d+) rows?|a row|rows?|each row|still a row)\b"
    r"(?P<rest>.*)$",
    re.IGNORECASE,
)


def _row(answer: Answer, column: str, phrase: str) -> Weighed | None:
    found = _ROWS.match(phrase)
    if column or not found:
        return None
    count = _COUNTS.get((found["count"] or "").lower(), 0)
    if not answer.rows or answer.is_error or (count and len(answer.rows) != count):
        return Weighed(Truth.NO)
    inner = re.sub(
        r"^(?: that (?:says|names|has)| whose| with| of| where| come back)\b", "", found["rest"]
    )
    every = frozenset(range(len(answer.rows)))
    if inner.strip() == "anything else":
        return Weighed(Truth.YES, 0.5, every)
    if not inner.strip() or inner.strip().startswith(("for each", "a day")):
        return Weighed(Truth.YES, 1, every)
    narrower = _both(answer, column, inner.strip())
    return Weighed(narrower.truth, 1 + narrower.weight, narrower.rows or every)


_QUOTED = re.compile(r"`([^`]*)`")
_IS = re.compile(
    r"^(?:still )?`(?P<column>\w+)` (?:is|says|stays|begins with|holds)(?: still)? "
    r"(?P<what>.*)$"
)


def _column_is(answer: Answer, _: str, phrase: str) -> Weighed | None:
    found = _IS.match(phrase)
    if not found or answer.column(found["column"]) is None:
        if found and not answer.has_rows:
            return Weighed(Truth.NO)
        return None
    what = found["what"]
    everywhere = re.search(r"\bin (?:all|every row|each)\b", what)
    if everywhere:
        what = what[: everywhere.start()].strip()
    for_row = re.search(r" for (`[^`]*`)$", what)
    among = frozenset(range(len(answer.rows)))
    if for_row:
        among = _rows_with(answer, for_row[1].strip("`"))
        what = what[: for_row.start()]
    value = weigh_text(answer, found["column"], what.rstrip(","))
    if value.truth is Truth.NO or value.rows is None:
        return value
    rows = value.rows & among
    if everywhere and len(value.rows) < len(answer.rows):
        return Weighed(Truth.NO)
    return _some_rows(rows, 2 + value.weight)


def _rows_with(answer: Answer, text: str) -> frozenset[int]:
    return _rows_where(answer, lambda row: any(_says(cell, text) for cell in row))


def _says(cell: str | None, text: str) -> bool:
    """Whether a cell says a quoted text: it is it, begins with it, or holds it as words."""
    if cell is None:
        return False
    if cell == text:
        return True
    if len(text) < 2:
        return False
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", cell, re.IGNORECASE) is not None


def _all_true(answer: Answer, column: str, phrase: str) -> Weighed | None:
    if column:
        return None
    found = re.match(r"^(?:every row|all(?: rows)?|all (?:are|say)) `t`", phrase, re.IGNORECASE)
    if not found:
        return None
    flags = _flags(answer)
    return _truth(bool(answer.rows) and all(flag == "t" for _, flag in flags) and bool(flags), 2)


def _flags(answer: Answer) -> list[tuple[int, str]]:
    return [
        (index, cell or "")
        for index, row in enumerate(answer.rows)
        for cell in row
        if cell in {"t", "f"}
    ]


def _one_flag(answer: Answer, column: str, phrase: str) -> Weighed | None:
    found = re.match(r"^(?:an? |still )?`([tf])`$", phrase, re.IGNORECASE)
    if not found:
        return None
    place = answer.column(column) if column else None
    rows = frozenset(
        index
        for index, row in enumerate(answer.rows)
        for number, cell in enumerate(row)
        if cell == found[1] and (place is None or number == place)
    )
    return _some_rows(rows, 2)


def _empty(answer: Answer, column: str, phrase: str) -> Weighed | None:
    named = re.match(r"^no `(\w+)`$", phrase, re.IGNORECASE)
    place = answer.column(named[1] if named else column)
    if named and place is not None:
        return _some_rows(_rows_where(answer, lambda row: row[place] is None), 3)
    if re.match(r"^(?:empty|none)$", phrase, re.IGNORECASE) and place is not None:
        return _some_rows(_rows_where(answer, lambda row: not row[place]), 2)
    if re.match(r"^filled$", phrase) and place is not None:
        return _some_rows(_rows_where(answer, lambda row: bool(row[place])), 2)
    if re.match(r"^an empty value\b", phrase, re.IGNORECASE):
        return _some_rows(_rows_where(answer, lambda row: not any(row)), 2)
    return None


def _number(answer: Answer, column: str, phrase: str) -> Weighed | None:
    if column or not re.match(r"^(?:a number|your number|the number)\b", phrase, re.IGNORECASE):
        return None
    return _some_rows(
        _rows_where(answer, lambda row: bool(row and row[0]) and str(row[0]).isdigit()),
        1.5,
    )


def _yours(answer: Answer, column: str, phrase: str) -> Weighed | None:
    if column or not re.match(r"^your\b", phrase, re.IGNORECASE):
        return None
    return _truth(bool(answer.rows), 1.5, iter(range(len(answer.rows))))


_AGE = re.compile(
    r"^(?P<how>at most|up to|under|over|more than|less than|at least)?\s*(?P<low>\d+)"
    r"(?: to (?P<high>\d+))? (?P<unit>second|minute|hour|day)s?\b",
    re.IGNORECASE,
)
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _age(answer: Answer, column: str, phrase: str) -> Weighed | None:
    inner = phrase
    if named := re.match(r"^`(\w+)` (.*)$", phrase):
        column, inner = named[1], named[2]
    place, found = answer.column(column), _AGE.match(inner)
    if place is None or not found:
        return None
    low, unit = int(found["low"]), _UNITS[found["unit"].lower()]
    high, how = found["high"], (found["how"] or "").lower()

    def fits(row: tuple[str | None, ...]) -> bool:
        seconds = seconds_of(row[place])
        if seconds is None:
            return False
        if high:
            return low * unit <= seconds <= int(high) * unit
        if how in {"over", "more than", "at least"}:
            return seconds > low * unit
        return seconds <= low * unit

    return _some_rows(_rows_where(answer, fits), 2)


_INTERVAL = re.compile(r"(?:(\d+) days? ?)?(?:(\d+):(\d\d):(\d\d))?")


def seconds_of(text: str | None) -> float | None:
    """Return the length of an interval as the server writes it."""
    found = _INTERVAL.match(text or "")
    if not found or not found[0]:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return days * 86400.0 + hours * 3600 + minutes * 60 + seconds


def _day(answer: Answer, _: str, phrase: str) -> Weighed | None:
    """Compare a date: "a `due_on` today", "an earlier `due_on`"."""
    found = re.match(
        r"^[Aa]n? (?P<how>earlier |later )?`(?P<column>\w+)`(?P<today> today| of today)?$", phrase
    )
    if not found or answer.column(found["column"]) is None:
        return None
    place = answer.columns.index(found["column"])
    if not found["how"] and not found["today"]:
        return None

    def fits(row: tuple[str | None, ...]) -> bool:
        value = row[place]
        if value is None:
            return False
        if found["today"]:
            return value[:10] == answer.day
        return value[:10] < answer.day if found["how"] == "earlier " else value[:10] > answer.day

    return _some_rows(_rows_where(answer, fits), 2)


_COMPARED = re.compile(
    r"^(?:`(?P<left>\w+)` )?(?P<how>at or after|after|before|later than|earlier than)"
    r" `(?P<right>\w+)`$"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?")


def _compared(answer: Answer, column: str, phrase: str, before: str) -> Weighed | None:
    """Compare two times of one row: "`a` later than `b`", "at or after `b`"."""
    found = _COMPARED.match(phrase)
    if not found:
        return None
    left, right = answer.column(found["left"] or before or column), answer.column(found["right"])
    if left is None or right is None:
        return None

    def fits(row: tuple[str | None, ...]) -> bool:
        one, other = (_TIME.match(row[place] or "") for place in (left, right))
        if not one or not other:
            return False
        if found["how"] in {"before", "earlier than"}:
            return one[0] < other[0][: len(one[0])]
        if found["how"] == "at or after":
            return one[0] >= other[0][: len(one[0])]
        return one[0] > other[0][: len(one[0])]

    return _some_rows(_rows_where(answer, fits), 1)


def _or_more(answer: Answer, column: str, phrase: str) -> Weighed | None:
    found = re.match(r"^(?P<least>\d+) or more$", phrase)
    place = answer.column(column)
    if not found or place is None:
        return None
    return _some_rows(
        _rows_where(answer, lambda row: int(row[place] or 0) >= int(found["least"])), 2
    )


def _column_and_value(answer: Answer, column: str, phrase: str) -> Weighed | None:
    """Take a column that is named in words: "status `timed_out`"."""
    found = re.match(r"^(?P<column>[a-z_]+) (?P<value>`[^`]*`)$", phrase)
    if not found or answer.column(found["column"]) is None or found["column"] == column:
        return None
    return _value(answer, found["column"], found["value"])


def _alone(answer: Answer, column: str, phrase: str) -> Weighed | None:
    """Take what every row begins with: "`x` alone"."""
    found = re.match(r"^`(?P<text>[^`]*)` alone$", phrase)
    if not found or column or answer.is_error:
        return None
    rows = _rows_where(answer, lambda row: (row[0] or "").startswith(found["text"]))
    return _truth(rows and len(rows) == len(answer.rows), 3, iter(rows))


def _value(answer: Answer, column: str, phrase: str) -> Weighed | None:
    """Look for what is quoted in the rows, the tag or the text of the error."""
    quoted = _QUOTED.findall(phrase)
    outside = _QUOTED.sub("", phrase).strip(" ,")
    if quoted and column:
        return _value_of_column(answer, column, quoted, outside)
    if len(quoted) != 1:
        return None
    if answer.is_error or answer.is_silent:
        return _value_of_error(answer, quoted[0])
    return _value_of_rows(answer, quoted[0], outside)


def _value_of_error(answer: Answer, text: str) -> Weighed:
    if answer.is_silent:
        return _truth(text == "57014", 3)
    is_code = re.fullmatch(r"[0-9A-Z]{5}", text)
    bare = text.removeprefix("ERROR:").strip()
    return _truth(answer.sqlstate == text if is_code else bare in answer.message, 3)


def _value_of_rows(answer: Answer, text: str, outside: str) -> Weighed | None:
    is_whole = not outside or _is_filler(outside)
    # Of two texts that are there, the longer one says more.
    weight = (3.0 if is_whole else 2.5) + len(text) / 1000
    if not answer.has_rows:
        return _truth(answer.tag == text or any(text in n for n in answer.notices), weight)
    if text in answer.columns and outside:
        return None
    rows = _rows_with(answer, text)
    # The word that a cell begins with says what the row is about.
    begun = _rows_where(
        answer, lambda row: any((cell or "").lower().startswith(text.lower()) for cell in row)
    )
    if begun:
        rows, weight = begun, weight + 0.5
    if not rows:
        return _truth(answer.tag == text, weight)
    return Weighed(Truth.YES if is_whole else Truth.OPEN, weight, rows)


def _is_filler(text: str) -> bool:
    return (
        re.fullmatch(
            r"(?:still|and a number|and a name|of it|an?|and|a row that says|says|in it|the|row)+",
            text,
            re.IGNORECASE,
        )
        is not None
    )


def _value_of_column(
    answer: Answer, column: str, quoted: Sequence[str], outside: str
) -> Weighed | None:
    place = answer.column(column)
    if place is None:
        return None
    begins = outside.startswith(("or begins so", "begins"))

    def fits(row: tuple[str | None, ...]) -> bool:
        cell = row[place] or ""
        return any(cell.startswith(q) if begins else _says(cell, q) for q in quoted)

    weighed = _some_rows(_rows_where(answer, fits), 2)
    if weighed.truth is Truth.YES and outside and not begins and not _is_filler(outside):
        return Weighed(Truth.OPEN, weighed.weight, weighed.rows)
    return weighed


def _words_of_column(answer: Answer, column: str, phrase: str) -> Weighed | None:
    """Look for plain words in the column that the heading names: "Vault has no secret"."""
    place = answer.column(column)
    if place is None:
        return None
    pattern = re.escape(phrase).replace("5xx", r"5\d\d")
    rows = _rows_where(
        answer, lambda row: re.search(pattern, row[place] or "", re.IGNORECASE) is not None
    )
    return _some_rows(rows, 2)


_RULES: tuple[Callable[[Answer, str, str], Weighed | None], ...] = (
    _any_value,
    _silence,
    _error,
    _no_row,
    _empty,
    _row,
    _age,
    _day,
    _column_is,
    _all_true,
    _one_flag,
    _or_more,
    _number,
    _yours,
    _column_and_value,
    _alone,
    _value,
    _words_of_column,
)
