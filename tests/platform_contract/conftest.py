"""One suite, two servers: the stand-ins, and the real extensions where they are installed."""

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
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The role that everything is called as: not a superuser, with the platform's grants."""
    with database.connect() as connection:
        yield connection


@pytest.fixture
def superuser(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.server.connect(database.name) as connection:
        yield connection
