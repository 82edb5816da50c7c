"""Before the first night: the preview, and a beginning without a backlog."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import psycopg
import pytest

from tests.reminder_system.people import AMARA
from tests.reminder_system.runs import one, run, set_settings

Connection = psycopg.Connection[Any]
DAY = dt.timedelta(days=1)
BEGIN = "select reminder.begin_without_backlog('Robin', 'fresh start')"


def _assign(connection: Connection, since: dt.date, status: str = "active") -> int:
    return int(
        one(
            connection,
            "insert into public.assignments (mentor_id, person_id, status, started_on) "
            "values (%s, gen_random_uuid(), %s, %s) returning id",
            *(AMARA, status, since),
        )
    )


def _today(connection: Connection) -> dt.date:
    today: dt.date = one(connection, "select (now() at time zone 'utc')::date")
    return today


def _preview(connection: Connection, day: dt.date) -> set[tuple[Any, ...]]:
    query = "select assignment_id, mentor_id, due_on from reminder.preview(%s)"
    return set(connection.execute(query, (day,)).fetchall())


def _written(connection: Connection) -> set[tuple[Any, ...]]:
    query = (
        "select assignment_id, mentor_id, due_on from reminder.dispatched_reminders "
        "where not passed_over"
    )
    return set(connection.execute(query).fetchall())


def test_the_preview_is_what_the_run_writes(postgres: Connection) -> None:
    rng = random.Random(23)
    today = _today(postgres)
    for _ in range(80):
        _assign(postgres, today - rng.randrange(200) * DAY, rng.choice(("active", "paused")))
    expected = _preview(postgres, today)
    assert 10 < len(expected) < 80
    assert run(postgres) is None
    assert _written(postgres) == expected
    assert _preview(postgres, today) == set()


def test_the_preview_of_tomorrow_is_the_default(postgres: Connection) -> None:
    today = _today(postgres)
    since = today - 29 * DAY
    tomorrow = _assign(postgres, since)
    _assign(postgres, today - 28 * DAY)
    assert _preview(postgres, today) == set()
    rows = postgres.execute("select * from reminder.preview()").fetchall()
    assert [(row[0], row[2], row[3]) for row in rows] == [(tomorrow, since, today + DAY)]
    assert postgres.execute("select from reminder.dispatched_reminders").fetchall() == []


def test_without_its_backlog_only_what_falls_due_is_written(postgres: Connection) -> None:
    today = _today(postgres)
    old = _assign(postgres, today - 100 * DAY)
    again_tomorrow = _assign(postgres, today - 36 * DAY)
    first_tomorrow = _assign(postgres, today - 29 * DAY)
    assert one(postgres, BEGIN) == 2
    assert run(postgres) is None
    assert _written(postgres) == set()
    assert postgres.execute("select * from reminder.unkept").fetchall() == []
    assert {row[0] for row in _preview(postgres, today + DAY)} == {again_tomorrow, first_tomorrow}
    assert old in {row[0] for day in range(1, 8) for row in _preview(postgres, today + day * DAY)}
    said = postgres.execute("select * from reminder.explain_assignment(%s)", (old,)).fetchall()
    assert [row[2] for row in said if row[0] == "reminder"] == [
        f"passed over before the first run, fell due on {today}"
    ]
    changes = "select new_value, changed_by, reason from reminder.changes"
    assert postgres.execute(changes).fetchall() == [("2 passed over", "Robin", "fresh start")]


def test_a_mentor_does_not_see_what_was_passed_over(postgres: Connection) -> None:
    today = _today(postgres)
    _assign(postgres, today - 100 * DAY)
    assert one(postgres, BEGIN) == 1
    seen = "select count(*) from public.reminders"
    with postgres.transaction():
        postgres.execute("set local role authenticated")
        claims = f'{{"sub": "{AMARA}"}}'
        postgres.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        assert one(postgres, seen) == 0
    _assign(postgres, today - 30 * DAY)
    assert run(postgres) is None
    with postgres.transaction():
        postgres.execute("set local role authenticated")
        postgres.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        assert one(postgres, seen) == 1


def test_a_second_time_changes_nothing(postgres: Connection) -> None:
    _assign(postgres, _today(postgres) - 100 * DAY)
    assert [one(postgres, BEGIN), one(postgres, BEGIN)] == [1, 0]


def test_after_a_reminder_it_is_too_late(postgres: Connection) -> None:
    _assign(postgres, _today(postgres) - 100 * DAY)
    assert run(postgres) is None
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="break the promise"):
        postgres.execute(BEGIN)


def test_it_does_not_overtake_a_run(postgres: Connection, superuser: Connection) -> None:
    superuser.execute("select pg_advisory_lock(reminder.lock_key())")
    with pytest.raises(psycopg.errors.ObjectInUse):
        postgres.execute(BEGIN)


@pytest.mark.parametrize("name", ["", " ", "<your_name>"])
def test_it_needs_a_name(postgres: Connection, name: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        postgres.execute("select reminder.begin_without_backlog(%s, 'x')", (name,))


def test_what_a_run_wrote_cannot_be_passed_over(postgres: Connection) -> None:
    set_settings(postgres, reminder_after_days=10)
    _assign(postgres, _today(postgres) - 20 * DAY)
    assert run(postgres) is None
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute("update reminder.dispatched_reminders set passed_over = true")
