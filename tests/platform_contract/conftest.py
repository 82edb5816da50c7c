"""One suite, two servers: the stand-ins, and the real extensions where they are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lane_fixtures import database, superuser, template

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database

__all__ = ["database", "postgres", "superuser", "template"]


@pytest.fixture
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The role that everything is called as: not a superuser, with the platform's grants."""
    with database.connect() as connection:
        yield connection
