"""What the documented database is built from, and a digest that changes when any of it does."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_bytes
from sql_snippets.database.foreign import why_foreign
from sql_snippets.profiles import POSTGRES
from sql_snippets.sqltext.advice import for_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.model import Location, ServerError
    from sql_snippets.profiles import Profile

_STAND_IN = re.compile(r"--\s*stand-in for extension:\s*(?P<name>[A-Za-z0-9_-]+)\s*$")


class RecipeError(Exception):
    """A file of the recipe is missing or cannot be read as UTF-8 text."""


class MigrationFailed(Exception):  # noqa: N818 - the name says what happened
    """A file of the recipe or its command failed; the message says where, and what was said."""

    @classmethod
    def at(cls, location: Location, error: ServerError, role: str | None) -> MigrationFailed:
        """Return the failure of a file at a place in it, which runs as the role."""
        lines = [f"{location}: {error.sqlstate} {error.message}"]
        lines += [f"  DETAIL: {error.detail}"] if error.detail else []
        lines += [f"  HINT: {error.hint}"] if error.hint else []
        lines += [f"  CONTEXT: {error.context}"] if error.context else []
        advice = for_file(error, role)
        return cls("\n".join([*lines, f"  {advice}"] if advice else lines))


_COMMAND = re.compile(r"\s*(run|files)\s*:")
_COMMAND_LINE = re.compile(r"(?P<word>run|files)\s*:\s*(?P<rest>\S.*)")
_NOTATION = (
    "Write `run: PROGRAM ARGUMENT ...` once and, if you like, `files: PATTERN ...` once, on a line "
    "of its own."
)


@dataclass(frozen=True, slots=True)
class Command:
    """A program that makes the documented schema in an empty database, and what it reads.

    It runs in ``folder``.  ``patterns`` are those of the author for the files it reads; without
    them nobody knows when it would make another schema.  ``where`` it is configured, for errors.
    """

    text: str
    folder: Path
    where: str
    patterns: tuple[str, ...] = ()

    @staticmethod
    def is_one(text: str) -> bool:
        """Tell a command from the name of a folder."""
        return _COMMAND.match(text) is not None

    @classmethod
    def read(cls, text: str, folder: Path, where: str) -> Command:
        """Read ``run: PROGRAM ARGUMENT ...`` and, on another line, ``files: PATTERN ...``.

        Raises RecipeError.
        """
        words: dict[str, str] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            match = _COMMAND_LINE.fullmatch(line)
            if match is None or match["word"] in words:
                raise RecipeError(f"{where} has the line {line!r}. {_NOTATION}")
            words[match["word"]] = match["rest"]
        if "run" not in words:
            raise RecipeError(f"{where} names no command. {_NOTATION}")
        try:
            patterns = tuple(shlex.split(words.get("files", "")))
            shlex.split(words["run"])
        except ValueError as err:
            raise RecipeError(f"{where} cannot be split into words: {err}.") from None
        return cls(words["run"], folder, where, patterns)

    @property
    def arguments(self) -> list[str]:
        """The program and its arguments, split as a shell does; no shell runs."""
        return shlex.split(self.text)

    def files(self) -> Iterator[Path]:
        """Yield the files that the author named, in the order of their names.

        Raises RecipeError for a pattern that names none.
        """
        for pattern in self.patterns:
            found = sorted(
                path
                for name in glob(pattern, root_dir=self.folder, recursive=True)  # noqa: PTH207 - it takes absolute patterns too
                if (path := self.folder / name).is_file()
            )
            if not found:
                raise RecipeError(
                    f"{self.where} says `files: {pattern}`, and no file in {self.folder} has such "
                    "a name."
                )
            yield from found


@dataclass(frozen=True, slots=True)
class Recipe:
    """The files that make the documented database, in the order in which they run.

    ``platform`` runs as the superuser, ``migrations`` and ``seed`` log in as ``role``.  The seed
    runs in each database that is made, so that what it dates from now is dated from now.  A
    ``command`` makes the schema where there are no migrations.
    """

    platform: tuple[Path, ...]
    migrations: tuple[Path, ...]
    seed: Path | None
    role: str
    command: Command | None = None
    profile: Profile = POSTGRES

    @classmethod
    def from_folders(
        cls,
        *,
        platform: Path | None,
        migrations: Path | Command | None,
        seed: Path | None,
        role: str,
        profile: Profile = POSTGRES,
    ) -> Recipe:
        """Take the ``*.sql`` files of two folders in the order of their names.

        Raises RecipeError when a folder or the seed that was named does not exist, and for the
        migrations of another tool.
        """
        if seed is not None and not seed.is_file():
            raise RecipeError(f"The seed {seed} does not exist. The setting sql_seed names it.")
        if isinstance(migrations, Command):
            made: tuple[Path, ...] = ()
            command = migrations
        else:
            made, command = _sql_files(migrations, "sql_migrations"), None
            _refuse_foreign(migrations, made)
        return cls(_sql_files(platform, "sql_platform"), made, seed, role, command, profile)

    @property
    def is_known(self) -> bool:
        """Whether all that the database is built from is known, and so in the digest."""
        return self.command is None or bool(self.command.patterns)

    @property
    def migration_head(self) -> str | None:
        """The name of the last migration, without its ending."""
        return self.migrations[-1].stem if self.migrations else None

    def stand_ins(self) -> dict[str, Path]:
        """Return the platform files that stand in for an extension, by the extension's name."""
        named = ((stand_in_for(read_sql(path)), path) for path in self.platform)
        return {name: path for name, path in named if name is not None}

    def digest(self) -> str:
        """Return a hash of names, contents, role and what the profile gives the server.

        Equal digests build equal databases, if the recipe `is_known`.
        """
        seeds = (self.seed,) if self.seed else ()
        kinds = {"platform": self.platform, "migration": self.migrations, "seed": seeds}
        parts = [
            part
            for kind, paths in kinds.items()
            for path in paths
            for part in (kind, path.name, read_sql(path))
        ]
        if self.command is not None:
            parts += ["command", self.command.text]
            for path in self.command.files():
                name = os.path.relpath(path, self.command.folder)
                parts += ["file", name, hash_bytes(_read(path))]
        parts += ["role", self.role, self.profile.superuser]
        for setting in sorted(self.profile.server_settings.items()):
            parts += ["setting", *setting]
        return hash_bytes(*(part.encode() for part in parts))


def stand_in_for(sql: str) -> str | None:
    """Return the extension that the first line says the file stands in for."""
    match = _STAND_IN.match(sql.partition("\n")[0].rstrip())
    return match["name"] if match else None


def read_sql(path: Path) -> str:
    """Return the text of a file of the recipe, without a byte-order mark.

    Raises RecipeError that names the file.
    """
    try:
        return _read(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as err:
        raise RecipeError(
            f"{path} is not UTF-8: byte {err.start} is 0x{err.object[err.start]:02x}. "
            "Save the file as UTF-8."
        ) from err


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise RecipeError(f"{path} cannot be read: {err.strerror}.") from err


def _sql_files(folder: Path | None, setting: str) -> tuple[Path, ...]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise RecipeError(f"The folder {folder} does not exist. The setting {setting} names it.")
    return tuple(sorted(folder.glob("*.sql"), key=lambda path: path.name))


def _refuse_foreign(folder: Path | None, files: tuple[Path, ...]) -> None:
    if folder is None:
        return
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    if why := why_foreign(shown, {path.name: read_sql(path) for path in files}):
        raise RecipeError(why)
