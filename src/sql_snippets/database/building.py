"""Building the documented database in an empty one, the way it is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql as query

from sql_snippets.database import commands, messages
from sql_snippets.database.recipes import MigrationFailed, Recipe, read_sql, stand_in_for
from sql_snippets.model import Location
from sql_snippets.profiles import WORKER_SETTINGS
from sql_snippets.sqltext import lexer
from sql_snippets.sqltext.named import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sql_snippets.servers.server import Server

_MADE_HERE = "Made by sql-snippets, as no platform file made it."


@dataclass(frozen=True, slots=True)
class Built:
    """What the platform of a database is made of."""

    real_parts: tuple[str, ...]
    stand_ins: tuple[str, ...]


def build(
    server: Server,
    dbname: str,
    recipe: Recipe,
    after_platform: Callable[[], None] = lambda: None,
    after_file: Callable[[Path], None] = lambda _: None,
) -> Built:
    """Run platform and migrations in the empty database ``dbname``; the role is made if need be.

    Each file is one simple-query message, so one implicit transaction, as tools for
    migrations send it.  A command of the recipe takes the place of the migrations.  Raises
    MigrationFailed at the first statement that fails, RecipeError and ServerUnavailable.
    """
    with server.connect(dbname) as connection:
        built = _build_platform(connection, recipe, after_file)
        _make_role(connection, dbname, recipe.role)
    after_platform()
    if recipe.command is not None:
        failure = commands.run(recipe.command, server, dbname, recipe.role)
        if failure is not None:
            raise MigrationFailed(failure)
    for path in recipe.migrations:
        run_file(server, dbname, recipe.role, path)
        after_file(path)
    return built


def _make_role(connection: psycopg.Connection[tuple[object, ...]], dbname: str, role: str) -> None:
    """Make the reader's role where no platform file did, as the owner of the database.

    A role belongs to the server, so one that was made here is there again for the next database.
    A comment on it tells it from those of a platform file, whose rights stay as they are.
    """
    name = query.Identifier(role)
    known = connection.execute(
        "select shobj_description(oid, 'pg_authid') from pg_roles where rolname = %s", (role,)
    ).fetchone()
    if known is None:
        connection.execute(query.SQL("create role {} login").format(name))
        connection.execute(query.SQL("comment on role {} is {}").format(name, _MADE_HERE))
    elif known[0] != _MADE_HERE:
        return
    connection.execute(
        query.SQL("alter database {} owner to {}").format(query.Identifier(dbname), name)
    )


def run_file(server: Server, dbname: str, role: str, path: Path) -> None:
    """Run a migration or the seed in a session of its own, so that no setting reaches the next.

    Raises MigrationFailed, RecipeError and ServerUnavailable.
    """
    with server.connect(dbname, role) as connection:
        _run(connection, path, read_sql(path), role)


def _build_platform(
    connection: psycopg.Connection[tuple[object, ...]],
    recipe: Recipe,
    after_file: Callable[[Path], None],
) -> Built:
    real: list[str] = []
    stand_ins: list[str] = []
    for path in recipe.platform:
        text = read_sql(path)
        extension = stand_in_for(text)
        version = None if extension is None else _create_extension(connection, extension)
        if version is not None:
            real.append(f"{extension} {version}")
            continue
        if extension is not None:
            stand_ins.append(extension)
        _run(connection, path, text, None)
        after_file(path)
    return Built(tuple(real), tuple(stand_ins))


def _create_extension(connection: psycopg.Connection[tuple[object, ...]], name: str) -> str | None:
    """Create the extension where the server has it and it works there; return its version."""
    available = connection.execute(
        "select 1 from pg_available_extensions where name = %s", (name,)
    ).fetchone()
    if available is None or not _is_usable(connection, name):
        return None
    try:
        connection.execute(
            query.SQL("create extension if not exists {} cascade").format(query.Identifier(name))
        )
    except psycopg.Error:
        # Its files are there but the server is not set up for it (not preloaded, say).
        return None
    version = connection.execute(
        "select extversion from pg_extension where extname = %s", (name,)
    ).fetchone()
    return str(version[0]) if version else None


def _is_usable(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    """Whether the extension is there already, or its worker is preloaded and may be made here."""
    setting = WORKER_SETTINGS.get(name)
    if setting is None:
        return True
    found = connection.execute(
        "select exists (select from pg_extension where extname = %s), "
        "current_setting(%s, true) is not null",
        (name, setting),
    ).fetchone()
    return found is not None and any(found)


def _run(
    connection: psycopg.Connection[tuple[object, ...]], path: Path, text: str, role: str | None
) -> None:
    reply = messages.send(connection, text)
    if reply.error is not None:
        offset = reply.error.offset
        if offset is None:
            offset = place_in_statement(text, len(reply.results), reply.error.message)
        raise MigrationFailed.at(_locate(path, text, offset), reply.error, role)


def place_in_statement(text: str, number: int, message: str) -> int:
    """Return where the statement ``number`` (from 0) of a text has what a message names.

    That is its start where it has no such name.
    """
    found = lexer.statements(text)
    if not found:
        return 0
    statement = found[min(number, len(found) - 1)]
    place = place_of(message, text, statement.start, statement.end)
    return statement.start if place is None else place


def _locate(path: Path, text: str, offset: int) -> Location:
    before = text[:offset]
    shown = path
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        shown = path.relative_to(Path.cwd())
    return Location(
        shown.as_posix(),
        before.count("\n") + 1,
        offset - (before.rfind("\n") + 1) + 1,
    )
