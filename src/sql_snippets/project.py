"""The checks' own settings, read where pytest has them, for those who do not run under pytest."""

from __future__ import annotations

import configparser
import os
import tomllib
from typing import TYPE_CHECKING

from sql_snippets.database.recipes import Recipe
from sql_snippets.settings import decide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sql_snippets.settings import Settings

_PREFIX = "sql_"
# In pytest's own order; the first that has settings for it is the one that counts.
_INI_FILES = (("pytest.ini", "pytest"), (".pytest.ini", "pytest"))
_LATER_INI_FILES = (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"))


class ProjectError(Exception):
    """The file with the settings of pytest cannot be read."""


def _from_toml(path: Path) -> dict[str, str] | None:
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as err:
        raise ProjectError(f"{path} cannot be read: {err}") from err
    pytest = tool.get("pytest", {})
    options = {**{k: v for k, v in pytest.items() if k != "ini_options"}}
    options |= pytest.get("ini_options", {})
    return {str(key): str(value) for key, value in options.items()} if "pytest" in tool else None


def _from_ini(path: Path, section: str) -> dict[str, str] | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError) as err:
        raise ProjectError(f"{path} cannot be read: {err}") from err
    return dict(parser[section]) if parser.has_section(section) else None


def read_ini(root: Path) -> Mapping[str, str]:
    """Return the checks' ini settings of the project in ``root``, without their ``sql_``.

    Raise `ProjectError` for a file that cannot be read.
    """
    found: dict[str, str] | None = None
    for name, section in _INI_FILES:
        found = _from_ini(root / name, section) if found is None else found
    found = _from_toml(root / "pyproject.toml") if found is None else found
    for name, section in _LATER_INI_FILES:
        found = _from_ini(root / name, section) if found is None else found
    names = (found or {}).items()
    return {name[len(_PREFIX) :]: value for name, value in names if name.startswith(_PREFIX)}


def present_settings(root: Path) -> Settings:
    """Return the settings of a run of ``pytest`` in ``root`` without options.

    Raise `ProjectError` or `SettingsError` when they cannot be told.
    """
    return decide(root, command_line={}, environment=os.environ, ini=read_ini(root))


def present_recipe(root: Path) -> Recipe:
    """Return the recipe of the database as its files are now.

    Raise `ProjectError`, `SettingsError` or `RecipeError` when it cannot be told.
    """
    return recipe_of(present_settings(root))


def recipe_of(settings: Settings) -> Recipe:
    """Return the recipe of the database that a run is to use."""
    return Recipe.from_folders(
        platform=settings.platform,
        migrations=settings.migrations,
        seed=settings.seed,
        role=settings.role,
    )
