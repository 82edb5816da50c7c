"""The project that a site belongs to: its folder, and the settings that pytest has for it there.

pytest itself finds and reads its configuration, so a run and a site cannot see different ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.config.findpaths import locate_config

from sql_snippets.database.recipes import Recipe
from sql_snippets.profiles import PROFILES
from sql_snippets.settings import decide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sql_snippets.settings import Settings

_PREFIX = "sql_"


class ProjectError(Exception):
    """The file with the settings of pytest cannot be read."""


def find_project(folder: Path) -> tuple[Path, Mapping[str, str]]:
    """Return the folder with pytest's configuration, in ``folder`` or above, and our settings.

    The settings come without their ``sql_``.  Without a configuration the project is ``folder``.
    Raise `ProjectError` for a file that cannot be read.
    """
    try:
        root, _, found, *_ = locate_config(folder, [folder])
    except (pytest.UsageError, pytest.fail.Exception, OSError, ValueError) as err:
        raise ProjectError(str(err)) from err
    names: dict[str, Any] = found
    # Before pytest 9 the values stand there as they are.
    values = {name: getattr(value, "value", value) for name, value in names.items()}
    ini = {n[len(_PREFIX) :]: str(v) for n, v in values.items() if n.startswith(_PREFIX)}
    return root or folder, ini


def present_settings(folder: Path) -> Settings:
    """Return the settings of a run of ``pytest`` without options, for a site in ``folder``.

    Raise `ProjectError` or `SettingsError` when they cannot be told.
    """
    root, ini = find_project(folder)
    return decide(root, command_line={}, environment=os.environ, ini=ini)


def present_recipe(folder: Path) -> Recipe:
    """Return the recipe of the database as its files are now.

    Raise `ProjectError`, `SettingsError` or `RecipeError` when it cannot be told.
    """
    return recipe_of(present_settings(folder))


def recipe_of(settings: Settings) -> Recipe:
    """Return the recipe of the database that a run is to use."""
    return Recipe.from_folders(
        platform=settings.platform,
        migrations=settings.migrations,
        seed=settings.seed,
        role=settings.role,
        profile=PROFILES[settings.profile],
    )
