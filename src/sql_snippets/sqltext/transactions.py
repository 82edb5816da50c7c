"""What becomes of the statements of one message, by the transactions that it opens and ends."""

from __future__ import annotations

from dataclasses import dataclass

from sql_snippets.sqltext import lexer

_READS = {"select", "values", "table", "show", "explain", "fetch", "declare", "close", "move"}
_SETS_UP = {"set", "reset", "savepoint", "release", "lock", "discard", "deallocate", "prepare"}
_WRITE_IN_QUERY = {"insert", "update", "delete", "merge", "into"}


@dataclass(frozen=True, slots=True)
class Lost:
    """The statements of a message that change something and come to nothing.

    ``opened`` is the statement that opens a transaction which nothing ends.
    """

    rolled_back: tuple[lexer.Statement, ...] = ()
    opened: lexer.Statement | None = None


def lost_in(sql: str) -> Lost:
    """Return what a message takes back itself, or leaves open for the end of its session.

    A ``rollback`` takes back all since the last ``commit``: a message is one transaction, also
    where it does not say ``begin``.
    """
    pending: list[lexer.Statement] = []
    rolled_back: list[lexer.Statement] = []
    opened: lexer.Statement | None = None
    for statement in lexer.statements(sql):
        words = (*statement.words, "")
        if _is_rollback(words):
            rolled_back += pending
            opened, pending = _chained(words, statement), []
        elif words[0] in {"begin", "start"}:
            opened = opened or statement
        elif words[0] in {"commit", "end"} and words[1] != "prepared":
            opened, pending = _chained(words, statement), []
        elif words[:2] == ("prepare", "transaction"):
            opened, pending = None, []
        elif _changes(statement.words):
            pending.append(statement)
    return Lost(tuple(rolled_back), opened)


def _is_rollback(words: tuple[str, ...]) -> bool:
    return words[0] in {"rollback", "abort"} and not {"to", "prepared"} & set(words)


def _chained(words: tuple[str, ...], statement: lexer.Statement) -> lexer.Statement | None:
    """Return the statement if it begins the next transaction too."""
    return statement if "chain" in words and "no" not in words else None


def _changes(words: tuple[str, ...]) -> bool:
    first = words[0] if words else ""
    if first in _READS or first == "with":
        return first != "explain" and bool(_WRITE_IN_QUERY & set(words))
    return first not in _SETS_UP
