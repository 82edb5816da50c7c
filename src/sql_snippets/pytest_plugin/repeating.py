"""An item checked again in another database: to see what broke it, and whether it notices."""

from __future__ import annotations

import inspect
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.blame import find_migration
from sql_snippets.database.ground import Incident
from sql_snippets.database.recipes import MigrationFailed
from sql_snippets.model import Failure, Snippet
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.claims import ClaimsFailed
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import definitions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sql_snippets.database.databases import Template
    from sql_snippets.pytest_plugin.items import SqlItem
    from sql_snippets.running.execute import JustBefore

_CANCELLED = "57014"


def failures_on(
    item: SqlItem, template: Template, just_before: JustBefore | None = None
) -> Sequence[Failure] | None:
    """Check an item again in another template, leaving no trace in it.

    ``just_before`` is called when the incident is there and the blocks before have run.

    None when what the item itself says was not put to the test, as its incident did not come about
    or a block before it failed.  Raises MigrationFailed for the seed.
    """
    try:
        with (
            item.workplace.elsewhere(template) as ground,
            _produced_again(item, ground.template) as incident,
        ):
            trial = item.check_on(ground, incident, just_before)
    except MigrationFailed:
        raise
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a fixture may raise anything
        return None
    return item.standing(trial) if trial.tested else None


@contextmanager
def _produced_again(item: SqlItem, template: Template) -> Iterator[Incident | None]:
    """Produce the incident once more, by a fixture that asks for a database and no more."""
    name = item.scenario_name()
    if name is None:
        yield None
        return
    (*_, definition) = definitions_of(item, name) or (None,)
    if definition is None or definition.argnames != ("sql_database",):
        raise ClaimsFailed([Failure(item.place, "its incident needs more than a database")])
    with template.clone() as database, ExitStack() as stack:
        value: Any = definition.func(sql_database=database)
        if inspect.isgenerator(value):
            value = stack.enter_context(contextmanager(lambda: value)())
        yield Incident(database, value)


def _stands_on_a_failure(item: SqlItem) -> bool:
    """Whether it was not tested, because a block above it in its order failed: that one tells."""
    return isinstance(item.part, Snippet) and item.part.order is not None and not item.trial.tested


def blame(item: SqlItem, error: ClaimsFailed) -> None:
    """Add to a failure the migration since which there is one."""
    run = run_of(item.config)
    opened = item.workplace.opened
    if run.settings.no_blame or not run.blames_left or opened is None or not error.failures:
        return
    if item.texts() is None or _stands_on_a_failure(item):
        return
    if any(failure.sqlstate == _CANCELLED for failure in error.failures):
        # It would take as long at every revision.
        return
    run.blames_left -= 1
    since = find_migration(
        opened, recipe_of(run.settings), lambda template: failures_on(item, template) == []
    )
    if since is not None:
        first, *others = error.failures
        note = f"migration: {since}"
        error.failures = (replace(first, notes=(*first.notes, note)), *others)
