"""A migrated database for each test, on either server; for the conftest of a folder to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lanes import LANES, open_lane

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
def superuser(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.server.connect(database.name) as connection:
        yield connection
