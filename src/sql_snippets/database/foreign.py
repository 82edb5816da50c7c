"""Migrations of another tool, which are not the plain SQL files that a folder is to hold.

Read as such, the part or the file that undoes a migration would run too, or nothing would.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SHELL = "sh -c '{}'"
_URL = '"$DATABASE_URL"'
_FLYWAY = (
    'flyway -url="jdbc:postgresql://$PGHOST:$PGPORT/$PGDATABASE" -user="$PGUSER" '
    "-locations=filesystem:{folder} migrate"
)
# The comment above what undoes a migration, the tool, and how it makes the schema.
_PARTS = (
    (r"--\s*migrate:down\b.*", "dbmate", "dbmate --migrations-dir {folder} --no-dump-schema up"),
    (
        r"--\s*\+goose\s+down\b.*",
        "goose",
        _SHELL.format(f"goose -dir {{folder}} postgres {_URL} up"),
    ),
    (r"--\s*\+migrate\s+down\b.*", "sql-migrate", "sql-migrate up"),
    (r"--\s*down\s+migration\b.*", "node-pg-migrate", "npx node-pg-migrate up -m {folder}"),
)
# The name of a file that undoes a migration.
_UNDOING = (
    (
        r".+\.down\.sql",
        "golang-migrate or sqlx",
        _SHELL.format(f"migrate -path {{folder}} -database {_URL} up"),
    ),
    (r"U[\d._]+__.+\.sql", "Flyway", _SHELL.format(_FLYWAY)),
    (r".+\.undo\.sql", "Postgrator", "npx postgrator"),
    (r".+\.rollback\.sql", "yoyo", _SHELL.format(f"yoyo apply --batch -d {_URL} {{folder}}")),
)
# The file that each folder of a migration holds.
_FOLDERS = (
    ("migration.sql", "Prisma", "npx prisma migrate deploy"),
    ("up.sql", "Diesel", "diesel migration run --migration-dir {folder}"),
)
_FLYWAY_VERSION = re.compile(r"V(?P<version>\d+(?:[._]\d+)*)__.+\.sql")


def why_foreign(folder: Path, texts: Mapping[str, str]) -> str | None:
    """Return why a folder is none of plain SQL files, and what to write instead.

    ``texts`` are its SQL files by name.  A part that undoes nothing does no harm.
    """
    found = _undoing_file(texts) or _undoing_part(texts) or _order(texts) or _nested(folder, texts)
    if found is None:
        return None
    tool, why, run = found
    return (
        f"The folder {folder} holds migrations of {tool}: {why}. Let the tool make the schema, in "
        f'the settings of pytest:\n  sql_migrations = """\n  run: {run.format(folder=folder)}\n'
        f'  files: {folder}/**/*\n  """'
    )


_Found = tuple[str, str, str]


def _undoing_file(texts: Mapping[str, str]) -> _Found | None:
    for pattern, tool, run in _UNDOING:
        for name in texts:
            if re.fullmatch(pattern, name):
                return tool, f"{name} would run too, and undo another file", run
    return None


def _undoing_part(texts: Mapping[str, str]) -> _Found | None:
    for pattern, tool, run in _PARTS:
        for name, text in texts.items():
            mark = re.search(rf"^\s*{pattern}$", text, re.IGNORECASE | re.MULTILINE)
            if mark and statements(text[mark.end() :]):
                why = (
                    f'the part "{mark[0].strip()}" of {name} would run too, and undo the rest of it'
                )
                return tool, why, run
    return None


def _order(texts: Mapping[str, str]) -> _Found | None:
    versions = [
        ([int(part) for part in re.split(r"[._]", match["version"])], name)
        for name in texts
        if (match := _FLYWAY_VERSION.fullmatch(name))
    ]
    for (_, before), (_, after) in zip(versions, sorted(versions), strict=True):
        if before != after:
            why = f"{before} would run before {after}, as files run in name order"
            return "Flyway", why, _SHELL.format(_FLYWAY)
    return None


def _nested(folder: Path, texts: Mapping[str, str]) -> _Found | None:
    if texts:
        return None
    for name, tool, run in _FOLDERS:
        if any(folder.glob(f"*/{name}")):
            return tool, f"each is in a folder of its own, as {name}, and would not run", run
    return None
