"""Give tables of the system other names, wherever this clone says them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, TaskError, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TABLES = ("assignments", "activities", "activity_types", "cron_execution_logs", "reminders")
FOLDERS = ("supabase", "docs", "tests/sql_snippets")
SUFFIXES = {".sql", ".md", ".py"}
USAGE = "usage: scripts/rename-tables assignments=NEW_NAME [activities=NEW_NAME …]"

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def main(arguments: Sequence[str]) -> int:
    """Rename in the clone that the task belongs to."""
    names = read_names(arguments)
    for path in rename(ROOT, names):
        say(f"changed {path.relative_to(ROOT)}")
    say("Now run: .venv/bin/pytest docs --sql-update")
    return 0


def read_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return the new name of each table, by its old one."""
    names: dict[str, str] = {}
    for argument in arguments:
        old, equals, new = argument.partition("=")
        if old not in TABLES or not equals:
            raise TaskError(f"{argument!r} must name one of {', '.join(TABLES)}. {USAGE}")
        if not _NAME.fullmatch(new):
            raise TaskError(
                f"{new!r} is not a plain name: lower-case letters, digits and _, at most 40."
            )
        names[old] = new
    if not names:
        raise TaskError(USAGE)
    taken = [*names.values(), *(name for name in TABLES if name not in names)]
    if len(set(taken)) < len(taken):
        raise TaskError("two tables would have the same name.")
    return names


def rename(root: Path, names: Mapping[str, str]) -> list[Path]:
    """Change the files below a folder and return those that are different now."""
    changed = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            before = path.read_bytes().decode()
            after = renamed(before, names)
            if after != before:
                path.write_bytes(after.encode())
                changed.append(path)
    return changed


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return a text with the new names; the words of its sentences stay as they are.

    A table is named with its schema, alone in quotes, or as one of several in a pattern.  Its
    indexes begin with its name, and are in its schema: they would meet those of the other table.
    """
    olds = "|".join(map(re.escape, names))
    places = re.compile(
        rf"(?<=\bpublic\.)(?:{olds})(?=\b|_id_seq\b)"
        rf"|(?<=')(?:{olds})(?=')"
        rf"|(?<=[(|])(?:{olds})(?=[|)])"
        rf"|\b(?:{olds})(?=_\w*idx\b|_id_seq\b|_pkey\b)"
    )
    return places.sub(lambda match: names[match.group()], text)
