"""What the documented database is built from, and a digest that changes when any of it does."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STAND_IN = re.compile(r"--\s*stand-in for extension:\s*(?P<name>[A-Za-z0-9_-]+)\s*$")


class RecipeError(Exception):
    """A file of the recipe is missing or cannot be read as UTF-8 text."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The files that make the documented database, in the order in which they run.

    ``platform`` runs as the superuser, ``migrations`` and ``seed`` log in as ``role``.  The seed
    runs in each database that is made, so that what it dates from now is dated from now.
    """

    platform: tuple[Path, ...]
    migrations: tuple[Path, ...]
    seed: Path | None
    role: str

    @classmethod
    def from_folders(
        cls,
        *,
        platform: Path | None,
        migrations: Path | None,
        seed: Path | None,
        role: str,
    ) -> Recipe:
        """Take the ``*.sql`` files of two folders in the order of their names.

        Raises RecipeError when a folder or the seed that was named does not exist.
        """
        if seed is not None and not seed.is_file():
            raise RecipeError(f"The seed {seed} does not exist.")
        return cls(_sql_files(platform), _sql_files(migrations), seed, role)

    @property
    def migration_head(self) -> str | None:
        """The name of the last migration, without its ending."""
        return self.migrations[-1].stem if self.migrations else None

    def stand_ins(self) -> dict[str, Path]:
        """Return the platform files that stand in for an extension, by the extension's name."""
        named = ((stand_in_for(read_sql(path)), path) for path in self.platform)
        return {name: path for name, path in named if name is not None}

    def digest(self) -> str:
        """Return a hash of names, contents and role; equal digests build equal databases."""
        digest = hashlib.sha256()
        seeds = (self.seed,) if self.seed else ()
        for kind, paths in (("platform", self.platform), ("migration", self.migrations)):
            for path in paths:
                _add(digest, kind, path.name, read_sql(path))
        for path in seeds:
            _add(digest, "seed", path.name, read_sql(path))
        _add(digest, "role", self.role)
        return digest.hexdigest()


def stand_in_for(sql: str) -> str | None:
    """Return the extension that the first line says the file stands in for."""
    match = _STAND_IN.match(sql.partition("\n")[0].rstrip())
    return match["name"] if match else None


def read_sql(path: Path) -> str:
    """Return the text of a file of the recipe, without a byte-order mark.

    Raises RecipeError that names the file.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as err:
        raise RecipeError(f"{path} cannot be read: {err.strerror}.") from err
    except UnicodeDecodeError as err:
        raise RecipeError(
            f"{path} is not UTF-8: byte {err.start} is 0x{err.object[err.start]:02x}. "
            "Save the file as UTF-8."
        ) from err


def _sql_files(folder: Path | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise RecipeError(f"The folder {folder} does not exist.")
    return tuple(sorted(folder.glob("*.sql"), key=lambda path: path.name))


def _add(digest: hashlib._Hash, *parts: str) -> None:
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
