"""A migrated database of its own for each test, on either server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lane_fixtures import database, open_lanes, superuser, template
from tests.reminder_system.people import add_mentors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database

__all__ = ["database", "open_lanes", "postgres", "superuser", "template"]


@pytest.fixture
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The operator's session, in a database with two mentors."""
    with database.connect() as connection:
        add_mentors(connection)
        yield connection
