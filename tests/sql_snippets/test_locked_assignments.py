"""A session has locked the assignments: health says so and does not wait, and the page leads on.

The drill of the service timeout needs a failed run.  This is the state before there is one.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.sql_snippets.page_blocks import blocks
from tests.sql_snippets.scenarios import UNTIL_IT_IS_OLD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets import Database


@pytest.fixture
def block() -> dict[str, str]:
    """Return the SQL of the page's blocks by name."""
    return {name: snippet.sql for name, snippet in blocks().items()}


@pytest.fixture
def operator(sql_database: Database) -> Iterator[psycopg.Connection]:
    with sql_database.connect() as session:
        yield session


def test_cause_of_service_timeout_finds_and_ends_who_keeps_health_from_looking(
    sql_database: Database, operator: psycopg.Connection, block: dict[str, str]
) -> None:
    with closing(sql_database.connect(application_name="psql")) as blocker:
        blocker.execute("begin")
        blocker.execute("lock table public.assignments in access exclusive mode")
        rows = operator.execute(block["health"].encode()).fetchall()
        told = [finding for _, _, section, _, finding in rows if section == "service-timeout"]
        waited = [finding for finding in told if finding.startswith("cannot be told")]
        assert waited
        pid = blocker.info.backend_pid
        answer = operator.execute(block["confirm-service-timeout"].encode())
        assert answer.description
        place = [column.name for column in answer.description].index("pid")
        assert [row[place] for row in answer.fetchall()] == [pid]
        operator.execute(UNTIL_IT_IS_OLD, [pid])
        ended = operator.execute(block["resolve-service-timeout-end"].encode()).fetchall()
        assert ended == [(pid, True)]
        after = operator.execute(block["health"].encode()).fetchall()
        assert len(after) == len(rows)
        assert not [finding for *_, finding in after if "55P03" in finding]


def test_application_between_two_statements_is_not_ended(
    sql_database: Database, operator: psycopg.Connection, block: dict[str, str]
) -> None:
    # Its now() is that of the transaction: however slow the machine, it was before the update.
    operator.execute("begin")
    operator.execute("select now()")
    with closing(sql_database.connect(application_name="app")) as application:
        application.execute("begin")
        application.execute("update public.assignments set started_on = started_on where id = 8")
        ended = operator.execute(block["resolve-service-timeout-end"].encode()).fetchall()
        assert ended == []
        application.execute("commit")
