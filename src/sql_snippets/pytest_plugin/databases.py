"""The fixtures that give databases, and how their errors are shown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from _pytest.outcomes import Failed

from sql_snippets.database.recipes import MigrationFailed, RecipeError
from sql_snippets.model import harmless
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import python_of
from sql_snippets.servers.server import is_of_the_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Database, Template


class NoDatabase(Failed):
    """There is no database to check anything in, such as for a migration that does not apply."""

    __module__ = "builtins"  # shown by its name alone, as pytest's own are


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Show the reason why there is no database, not the way through this program to it."""
    try:
        yield
    except Exception as err:
        if isinstance(err, MigrationFailed | RecipeError | OSError) or is_of_the_server(err):
            raise NoDatabase(harmless(str(err).strip()), pytrace=False) from None
        raise


@pytest.fixture(scope="session")
def sql_template(pytestconfig: pytest.Config) -> Template:
    """Give the migrated template database; its server runs until the end of the session."""
    with in_one_sentence():
        return run_of(pytestconfig).workplace.ground.template


@contextmanager
def clone(template: Template) -> Iterator[Database]:
    """Give a database of its own, equal to the template."""
    with in_one_sentence():
        cloning = template.clone()
        database = cloning.__enter__()
    try:
        yield database
    finally:
        with in_one_sentence():
            cloning.__exit__(None, None, None)


@pytest.fixture
def sql_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database of the test's own, equal to the template."""
    workplace = run_of(request.config).workplace
    with in_one_sentence():
        function = getattr(request.node, "function", None)
        if function is not None:
            workplace.begin(python_of(request.node, [function]))
        template = workplace.ground.template
    with clone(template) as database:
        yield database
