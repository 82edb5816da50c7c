"""One suite for all servers: the stand-ins, and the real extensions where they are installed.

``SQL_CONTRACT_URL`` names one more, such as that of a real Supabase started on this machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lane_fixtures import database, open_lanes, superuser
from tests.reminder_system.lanes import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from sql_snippets.database.databases import Database, Template

__all__ = ["database", "open_lanes", "postgres", "superuser", "template"]

_URL = os.environ.get("SQL_CONTRACT_URL")
_SERVERS = [*LANES, *([pytest.param(_URL, id="url")] if _URL else [])]


@pytest.fixture(scope="session", params=_SERVERS)
def template(request: pytest.FixtureRequest, open_lanes: Callable[[str], Template]) -> Template:
    return open_lanes(request.param)


@pytest.fixture
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The role that everything is called as: not a superuser, with the platform's grants."""
    with database.connect() as connection:
        yield connection
