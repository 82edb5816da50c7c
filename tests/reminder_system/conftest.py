"""A migrated database of its own for each test, on either server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.reminder_system.lane_fixtures import database, open_lanes, superuser, template
from tests.reminder_system.lanes import LANES, SAME_ON_BOTH
from tests.reminder_system.people import add_mentors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database

FOLDER = Path(__file__).parent

__all__ = ["database", "open_lanes", "postgres", "superuser", "template"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the twins on the second server that can only say the same again."""
    if config.getoption("--every-lane"):
        return
    twins = [item for item in items if _is_twin(item)]
    config.hook.pytest_deselected(items=twins)
    left_out = set(twins)
    items[:] = [item for item in items if item not in left_out]


def _is_twin(item: pytest.Item) -> bool:
    if item.path.parent != FOLDER or item.path.name not in SAME_ON_BOTH:
        return False
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("template") == LANES[1]


@pytest.fixture
def postgres(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The operator's session, in a database with two mentors."""
    with database.connect() as connection:
        add_mentors(connection)
        yield connection
