"""A migrated database of its own for each test, on either server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lanes import LANES, open_lane
from tests.reminder_system.people import add_mentors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database, Template


@pytest.fixture(scope="session", params=LANES)
def template(request: pytest.FixtureRequest) -> Iterator[Template]:
    with open_lane(request.param) as template:
        yield template


@pytest.fixture
def database(template: Template) -> Iterator[Database]:
    with template.clone() as database:
        yield database


@pytest.fixture
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The operator's session, in a database with two mentors."""
    with database.connect() as connection:
        add_mentors(connection)
        yield connection


@pytest.fixture
def superuser(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.server.connect(database.name) as connection:
        yield connection
