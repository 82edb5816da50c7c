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
from sql_snippets.model import QUERY_CANCELED, Failure, Snippet, Trial
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.claims import ClaimsFailed, failures_of
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import definitions_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Template
    from sql_snippets.pytest_plugin.items import SqlItem
    from sql_snippets.running.execute import JustBefore


def check_again(item: SqlItem, template: Template, just_before: JustBefore | None = None) -> Trial:
    """Check an item again in another template, leaving no trace in it.

    ``just_before`` is called when the incident is there and the blocks before have run.  Where that
    went wrong the item was not tested, and the failures say why.  Raises MigrationFailed for the
    seed.
    """
    try:
        with (
            item.workplace.elsewhere(template) as ground,
            _produced_again(item, ground.template) as incident,
        ):
            trial = item.check_on(ground, incident, just_before)
    except MigrationFailed:
        raise
    except (Exception, pytest.fail.Exception) as err:  # noqa: BLE001 - a fixture may raise anything
        raised = Failure(item.place, f"its set-up raised {type(err).__name__}: {err}")
        return Trial(failures_of(err, item.place) or (raised,), tested=False)
    return replace(trial, failures=tuple(item.standing(trial))) if trial.tested else trial


@contextmanager
def _produced_again(item: SqlItem, template: Template) -> Iterator[Incident | None]:
    """Produce the incident once more, by a fixture that asks for a database and no more."""
    name = item.scenario_name()
    if name is None:
        yield None
        return
    (*_, definition) = definitions_of(item, name) or (None,)
    if definition is None or definition.argnames != ("sql_database",):
        why = f'fixture "{name}" needs more than sql_database, so it cannot be set up again'
        raise ClaimsFailed([Failure(item.place, why)])
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
    if any(failure.sqlstate == QUERY_CANCELED for failure in error.failures):
        # It would take as long at every revision.
        return
    run.blames_left -= 1
    error.migration = find_migration(
        opened, recipe_of(run.settings), lambda template: not check_again(item, template).failures
    )
    if error.migration is not None:
        first, *others = error.failures
        note = f"migration: {error.migration}"
        error.failures = (replace(first, notes=(*first.notes, note)), *others)
