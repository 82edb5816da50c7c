"""The small bugs that a maintainer could put into a migration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.tasks.mutant import Mutant
from sql_snippets.sqltext.lexer import Kind, statements, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMPARED = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "=": ("<>",),
    "<>": ("=",),
}
_RECKONED = {"+": "-", "-": "+", "/": "*"}
_CALLED = {
    "min": "max",
    "max": "min",
    "least": "greatest",
    "greatest": "least",
    "any": "all",
    "all": "any",
    "now": "clock_timestamp",
    "clock_timestamp": "now",
    "bool_and": "bool_or",
    "bool_or": "bool_and",
}
# Where a condition, or the list behind ORDER BY, ends if nothing closes around it.
_CLAUSE_ENDS = {
    *("and", "or", "then", "where", "group", "order", "limit", "for", "returning", "loop", "union"),
    *("intersect", "except", "on", "into", "join", "left", "cross", "inner", "having", "offset"),
    *("when", "else", "end", "window", "do", ";", ","),
}
_CONDITION_BEGINS = {"where", "on", "when", "if", "having", "while", "elsif", "("}
_STATEMENT_BEGINS = {";", "begin", "then", "else", "loop"}
_NOT_SIMPLE = {
    *("end", "if", "loop", "while", "for", "foreach", "case", "when", "elsif", "else"),
    *("exception", "begin", "declare", ";"),
}
_HEADER_ENDS = {"set", "as", "security", "language", "return", "begin", "rows", "cost"}
# What stands just before a text for people.
_SAID = {"exception", "notice", "warning", "format", "message", "hint", "detail"}
_TIME = re.compile(r"'(\d+)(\s*(?:ms|s|min|(?:second|minute|hour|day|week|month|year)s?))'")
_WORD = re.compile(r"'[a-z][a-z_-]*'")


@dataclass(frozen=True, slots=True)
class _Token:
    """A token; ``depth`` counts parentheses, CASE and BEGIN, ``body`` tells a function's body."""

    text: str
    start: int
    end: int
    depth: int
    body: bool
    within: str  # what is open around it: "(", "case", "begin" or nothing


_Found = tuple[str, int, int, str]  # kind, start, end, what is put there


def mutants_of(path: str, sql: str) -> list[Mutant]:
    """Return all mutants of a file of SQL; some of them no server will take."""
    rules = (_words, _strings, _conditions, _clauses, _calls, _headers, _simple)
    found: list[_Found] = []
    for statement in statements(sql):
        if statement.words[:2] == ("comment", "on"):
            continue
        read = _tokens(sql, statement.start, statement.end)
        found += [each for rule in rules for each in rule(sql, read)]
        # With its semicolon, which the statement leaves out.
        found += _whole(statement.words, read, statement.end + 1)
    return [Mutant(path, start, end, new, kind) for kind, start, end, new in found]


def _tokens(sql: str, start: int, end: int) -> list[_Token]:
    """Return the tokens of a statement, those of a function's body among them."""
    raw: list[tuple[str, int, int, bool]] = []
    for token in tokens(sql[start:end]):
        text = sql[start + token.start : start + token.end].lower()
        at = start + token.start
        if token.kind is Kind.DOLLAR and raw and raw[-1][0] in {"as", "do"}:
            mark = text[: text.index("$", 1) + 1]
            inner = text[len(mark) : -len(mark)]
            first = at + len(mark)
            raw.append((";", first, first, True))
            raw += [
                (inner[each.start : each.end], first + each.start, first + each.end, True)
                for each in tokens(inner)
            ]
        else:
            raw.append((text, at, start + token.end, False))
    return list(_nested(raw))


def _nested(raw: Sequence[tuple[str, int, int, bool]]) -> Iterator[_Token]:
    around: list[str] = []
    for index, (text, start, end, body) in enumerate(raw):
        before = raw[index - 1][0] if index else ""
        after = raw[index + 1][0] if index + 1 < len(raw) else ""
        closes = (text == ")" and around[-1:] == ["("]) or (
            text == "end" and around[-1:] in (["case"], ["begin"]) and after not in {"if", "loop"}
        )
        if closes:
            around.pop()
        yield _Token(text, start, end, len(around), body, around[-1] if around else "")
        if text == "(" or (text == "case" and before != "end") or (text == "begin" and body):
            around.append(text)


def _clause_end(read: Sequence[_Token], index: int, ends: set[str]) -> int:
    """Return the index behind the clause that begins at ``index``."""
    depth = read[index].depth
    for at in range(index, len(read)):
        token = read[at]
        if token.depth < depth or (token.depth == depth and token.text in ends):
            return at
    return len(read)


def _drop(kind: str, read: Sequence[_Token], first: int, behind: int) -> _Found:
    """Leave out the tokens from ``first`` to the one before ``behind``."""
    return kind, read[first].start, read[behind - 1].end, ""


def _pairs_of_between(read: Sequence[_Token]) -> set[int]:
    """Return the indexes of the ANDs that belong to a BETWEEN."""
    waiting: dict[int, int] = {}
    found = set()
    for index, token in enumerate(read):
        if token.text == "between":
            waiting[token.depth] = waiting.get(token.depth, 0) + 1
        elif token.text == "and" and waiting.get(token.depth):
            waiting[token.depth] -= 1
            found.add(index)
    return found


def _words(_: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Change comparisons, boundaries, signs, AND and OR, NOT, true and false, numbers."""
    between = _pairs_of_between(read)
    for index, token in enumerate(read):
        before = read[index - 1].text if index else ""
        after = read[index + 1].text if index + 1 < len(read) else ""
        for new in _COMPARED.get(token.text, ()):
            yield "comparison", token.start, token.end, new
        if token.text in _RECKONED and re.search(r"[\w)\"']$", before):
            yield "arithmetic", token.start, token.end, _RECKONED[token.text]
        if token.text in {"and", "or"} and index not in between:
            yield "and/or", token.start, token.end, "or" if token.text == "and" else "and"
        if token.text in {"true", "false"}:
            yield "constant", token.start, token.end, "false" if token.text == "true" else "true"
        if token.text.isdecimal() and before not in {"rows", "cost", "offset"}:
            yield "constant", token.start, token.end, str(int(token.text) + 1)
        if token.text == "not" and not (before == "if" and after == "exists"):
            last = read[index + 1] if after == "null" and before != "is" else token
            yield "not dropped", token.start, last.end, ""


def _strings(sql: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Change a length of time, or a name such as a status, but nothing that is said to people."""
    for index, token in enumerate(read):
        text = sql[token.start : token.end]
        before = {each.text for each in read[max(index - 2, 0) : index] if each.text != "using"}
        if before & _SAID:
            continue
        if time := _TIME.fullmatch(text):
            yield "constant", token.start, token.end, f"'{int(time[1]) + 1}{time[2]}'"
        elif _WORD.fullmatch(text):
            yield "name", token.start, token.end, f"{text[:-1]}_'"


def _conditions(_: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Leave out a conjunct, or an alternative."""
    between = _pairs_of_between(read)
    for index, token in enumerate(read):
        if token.text not in {"and", "or"} or index in between or index + 1 >= len(read):
            continue
        yield _drop("condition dropped", read, index, _clause_end(read, index + 1, _CLAUSE_ENDS))
        first = _condition_start(read, index, between)
        if first < index:
            yield _drop("condition dropped", read, first, index + 1)


def _condition_start(read: Sequence[_Token], index: int, between: set[int]) -> int:
    """Return where the operand before an AND or OR begins; ``index`` where that is not told."""
    depth = read[index].depth
    for at in range(index - 1, -1, -1):
        token = read[at]
        if token.depth < depth:
            return at + 1 if token.text == "(" else index
        if token.depth == depth and at not in between:
            if token.text in _CONDITION_BEGINS:
                return at + 1
            if token.text in {"and", "or", ";"}:
                return index
    return index


def _clauses(_: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Leave out ORDER BY, LIMIT, a lock on rows, and words on which nothing seems to depend."""
    for index, token in enumerate(read[:-1]):
        after = read[index + 1].text
        ends = _CLAUSE_ENDS - {","}
        if token.text == "order" and after == "by":
            yield _drop("order dropped", read, index, _clause_end(read, index + 1, ends))
        elif token.text == "limit":
            yield _drop("limit dropped", read, index, _clause_end(read, index + 1, ends))
        elif token.text == "for" and after in {"update", "share", "no", "key"}:
            yield _drop("lock dropped", read, index, _clause_end(read, index + 1, ends))
        elif token.text == "skip" and after == "locked":
            yield _drop("lock dropped", read, index, index + 2)
        elif token.text == "left" and after == "join":
            yield _drop("outer join", read, index, index + 1)
        elif token.text == "desc":
            yield _drop("order dropped", read, index, index + 1)
        elif token.text == "distinct" and after not in {"from", "on"}:
            yield _drop("distinct dropped", read, index, index + 1)
        elif token.text == "strict" and read[index - 1].text == "into":
            yield _drop("strict dropped", read, index, index + 1)


def _calls(sql: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Call another function of the same kind, or leave out a fallback."""
    for index, token in enumerate(read[:-1]):
        if read[index + 1].text != "(":
            continue
        if token.text in _CALLED:
            yield "function", token.start, token.end, _CALLED[token.text]
        if token.text == "coalesce":
            close = _clause_end(read, index + 2, set())
            comma = _clause_end(read, index + 2, {","})
            if comma < close < len(read):
                only = sql[read[index + 2].start : read[comma - 1].end]
                yield "fallback dropped", token.start, read[close].end, only


def _headers(_: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Leave out a setting of a function, or SECURITY DEFINER."""
    if not read or read[0].text != "create":
        return
    for index, token in enumerate(read[:-2]):
        if token.body:
            return
        if token.text == "set" and read[index + 2].text in {"=", "to"}:
            yield _drop("setting dropped", read, index, _clause_end(read, index + 1, _HEADER_ENDS))
        elif token.text == "security" and read[index + 1].text == "definer":
            yield _drop("setting dropped", read, index, index + 2)


def _simple(sql: str, read: Sequence[_Token]) -> Iterator[_Found]:
    """Leave out a statement of a body, or let it change places with the next one."""
    before: tuple[int, int] | None = None
    for index in range(1, len(read)):
        first = read[index]
        if (
            read[index - 1].text not in _STATEMENT_BEGINS
            or first.within not in {"begin", "case"}
            or first.text in _NOT_SIMPLE
        ):
            continue
        end = _clause_end(read, index, {";"})
        if end == len(read) or read[end].text != ";" or read[end].depth != first.depth:
            continue
        here = (first.start, read[end].end)
        yield "statement dropped", *here, ""
        if before and read[index - 1].text == ";" and read[index - 1].end == before[1]:
            between = sql[before[1] : here[0]]
            one, other = sql[slice(*before)], sql[slice(*here)]
            yield "statements swapped", before[0], here[1], f"{other}{between}{one}"
        before = here


def _whole(words: Sequence[str], read: Sequence[_Token], end: int) -> Iterator[_Found]:
    """Leave out a grant, a revoke, a policy or a trigger, or one of those that a list names."""
    if words[:1] in (("grant",), ("revoke",)) or words[:3] == ("alter", "default", "privileges"):
        yield "grant or revoke dropped", read[0].start, end, ""
        yield from _listed(read)
    elif words[:2] in (("create", "policy"), ("create", "trigger")) or "security" in words[-2:]:
        yield "rule dropped", read[0].start, end, ""


def _listed(read: Sequence[_Token]) -> Iterator[_Found]:
    ends = {",", "on", "to", "from", ";", "with"}
    objects = next((index for index, token in enumerate(read) if token.text == "on"), 0)
    for index, token in enumerate(read):
        # Behind ON, what is in parentheses are the arguments of a function.
        if token.text == "," and token.depth <= (1 if index < objects else 0):
            behind = _clause_end(read, index + 1, ends)
            yield _drop("one of a grant or revoke dropped", read, index, behind)
