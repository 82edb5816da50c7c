"""Which migration broke a block: the first one after which it fails."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from sql_snippets.database.databases import Template, open_revisions
from sql_snippets.database.recipes import MigrationFailed, RecipeError
from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sql_snippets.database.recipes import Recipe

MOST_SECONDS = 120.0  # some thirty times what it takes here, so that no busy machine reaches it
MOST_REVISIONS = 60


def find_migration(
    template: Template, recipe: Recipe, passes: Callable[[Template], bool]
) -> str | None:
    """Return since which migration ``passes`` says no, as a sentence; None when there is none.

    A command makes all of them at once, and there is no state in between to look at: then that is
    what the sentence says.

    The revisions are built in their order and looked at as they come.  To bisect would build the
    same migrations over and over, and would find nothing: before its table is there, a block fails
    as well.  The newest ones only, and not for ever, as a block may take long by itself: where the
    time is over, the sentence says so.
    """
    if recipe.command is not None:
        return f"not looked for, as `{recipe.command.text}` makes them all at once"
    last: str | None = None
    broken: str | None = None
    names = ["", *(path.stem for path in recipe.migrations)]
    deadline = monotonic() + MOST_SECONDS
    try:
        with open_revisions(template, recipe) as revisions:
            for number, revision in enumerate(revisions):
                if monotonic() > deadline:
                    return f"not found in {MOST_SECONDS:.0f} s, in which {number} were tried"
                if number < len(names) - MOST_REVISIONS:
                    continue
                if _passes(revision, passes):
                    last, broken = names[number], None
                elif last is not None and broken is None:
                    broken = names[number]
    except (MigrationFailed, RecipeError, ServerUnavailable, psycopg.Error):
        # The failure itself is told; this was to be more.
        return None
    # It passes at the newest, if the rebuilt one is not what the block failed on.
    if last is None or broken is None:
        return None
    before = f"passes at {last}" if last else "passes without any migration"
    return f"{before}, fails since {broken}.sql"


def _passes(revision: Template, passes: Callable[[Template], bool]) -> bool:
    try:
        return passes(revision)
    except MigrationFailed:
        # The seed is that of today's schema; many a block does not need its rows.
        return passes(replace(revision, seed=None))
