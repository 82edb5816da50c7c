"""A migrated database for each test, on either server; for the conftest of a folder to take."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lanes import LANES, open_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from sql_snippets.database.databases import Database, Template


@pytest.fixture(scope="session")
def open_lanes() -> Iterator[Callable[[str], Template]]:
    """A function that gives a lane's template, which stays open until the end of the session."""
    opened: dict[str, Template] = {}
    with ExitStack() as stack:

        def get(lane: str) -> Template:
            if lane not in opened:
                opened[lane] = stack.enter_context(open_lane(lane))
            return opened[lane]

        yield get


@pytest.fixture(scope="session", params=LANES)
def template(request: pytest.FixtureRequest, open_lanes: Callable[[str], Template]) -> Template:
    return open_lanes(request.param)


@pytest.fixture
def database(template: Template) -> Iterator[Database]:
    with template.clone() as database:
        yield database


@pytest.fixture
def superuser(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.server.connect(database.name) as connection:
        yield connection
