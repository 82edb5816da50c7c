"""The errors that the functions of the migrations raise, as the SQL has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MIGRATIONS = Path(__file__).resolve().parents[1] / "supabase" / "migrations"
_ROUTINE = re.compile(r"^create (?:or replace )?(?:function|procedure) (\S+?)\(", re.MULTILINE)
_RAISED = re.compile(
    r"raise exception using\s+errcode = '?(?P<code>\w+)'?,"
    r"\s+message = (?:[\w.]*\()?'(?P<text>(?:[^']|'')*)'"
)


@dataclass(frozen=True)
class RaisedError:
    """``code`` is an SQLSTATE's name or a variable; ``text`` has ``%s`` for what it leaves open."""

    routine: str
    code: str
    text: str


def raised_errors() -> list[RaisedError]:
    """Return every error that is raised on purpose, in the order of the migrations."""
    found = []
    for path in sorted(_MIGRATIONS.glob("*.sql")):
        _, *parts = _ROUTINE.split(path.read_text(encoding="utf-8"))
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            raised = [
                RaisedError(name, each["code"], each["text"]) for each in _RAISED.finditer(body)
            ]
            assert len(raised) == body.count("raise exception"), f"{path.name}: {name}"
            found += raised
    return found
