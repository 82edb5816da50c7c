"""When a reminder falls due, held against a model in Python."""

from __future__ import annotations

import datetime as dt
from itertools import count, pairwise, takewhile
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.reminder_system.people import AMARA, add_mentors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Template

Connection = psycopg.Connection[Any]

TODAY = dt.date(2026, 3, 1)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Around leap days, month ends and the daylight saving of any country; days know neither.
dates = st.dates(dt.date(1999, 12, 1), dt.date(2031, 3, 1))
numbers = st.integers(1, 365)


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Connection]:
    with template.clone() as database, database.connect() as connection:
        add_mentors(connection)
        yield connection


def due_days(waiting_since: dt.date, today: dt.date, after: int, repeat: int) -> list[dt.date]:
    """Return every day up to today on which a reminder fell due: the first, and each repeat."""
    first = waiting_since + dt.timedelta(days=after)
    days = (first + dt.timedelta(days=repeat * n) for n in count())
    return list(takewhile(lambda day: day <= today, days))


def due_on(connection: Connection, *arguments: Any) -> dt.date | None:
    row = connection.execute(
        "select reminder.due_on(%s::date, %s::date, %s, %s)", arguments
    ).fetchone()
    assert row is not None
    assert row[0] is None or isinstance(row[0], dt.date)
    return row[0]


@unhurried
@given(since=dates, waited=st.integers(-400, 2000), after=numbers, repeat=numbers)
@example(since=TODAY, waited=29, after=30, repeat=7)
@example(since=TODAY, waited=30, after=30, repeat=7)
@example(since=TODAY, waited=36, after=30, repeat=7)
@example(since=TODAY, waited=37, after=30, repeat=7)
@example(since=dt.date(2024, 1, 30), waited=30, after=30, repeat=1)
def test_due_on_is_the_latest_day_that_has_come(
    shared: Connection, *, since: dt.date, waited: int, after: int, repeat: int
) -> None:
    today = since + dt.timedelta(days=waited)
    expected = due_days(since, today, after, repeat)
    assert due_on(shared, since, today, after, repeat) == (expected[-1] if expected else None)


@unhurried
@given(
    since=dates,
    every=st.tuples(numbers, numbers),
    waited=st.integers(0, 700),
    late=st.integers(0, 364),
)
def test_a_late_run_finds_the_same_reminder_or_a_newer_one_never_a_shifted_one(
    shared: Connection, *, since: dt.date, every: tuple[int, int], waited: int, late: int
) -> None:
    after, repeat = every
    today = since + dt.timedelta(days=waited)
    in_time = due_on(shared, since, today, after, repeat)
    later = due_on(shared, since, today + dt.timedelta(days=late), after, repeat)
    if in_time is None:
        return
    assert later is not None
    missed = (later - in_time).days
    assert missed % repeat == 0
    assert 0 <= missed <= late + repeat


assignments = st.lists(
    st.tuples(
        st.sampled_from(["active", "paused", "ended"]),
        st.integers(0, 120),
        st.none() | st.integers(0, 120),
    ),
    max_size=12,
)


@unhurried
@given(people=assignments, after=st.integers(1, 60), repeat=st.integers(1, 30))
def test_the_scheduler_service_returns_what_is_due_and_nothing_else(
    shared: Connection, people: list[tuple[str, int, int | None]], after: int, repeat: int
) -> None:
    expected = []
    with shared.transaction(force_rollback=True):
        shared.execute(
            "update reminder.settings set reminder_after_days = %s, repeat_every_days = %s",
            (after, repeat),
        )
        for status, started_ago, contact_ago in people:
            started = TODAY - dt.timedelta(days=started_ago)
            contact = None if contact_ago is None else TODAY - dt.timedelta(days=contact_ago)
            row = shared.execute(
                "insert into public.assignments "
                "(mentor_id, person_id, status, started_on, last_contact_date) "
                "values (%s, gen_random_uuid(), %s, %s, %s) returning id",
                (AMARA, status, started, contact),
            ).fetchone()
            assert row is not None
            days = due_days(contact or started, TODAY, after, repeat)
            if status == "active" and days:
                expected.append((row[0], AMARA, days[-1]))
        found = shared.execute(
            "select * from reminder.reminder_scheduler_service(%s, 0, 9223372036854775807)",
            (TODAY,),
        ).fetchall()
    assert sorted(found) == sorted(expected)


@unhurried
@given(cuts=st.lists(st.integers(0, 60), max_size=4), people=st.integers(0, 40))
def test_ranges_of_keys_give_each_assignment_exactly_once(
    shared: Connection, cuts: list[int], people: int
) -> None:
    with shared.transaction(force_rollback=True):
        keys = [
            row[0]
            for row in shared.execute(
                "insert into public.assignments (mentor_id, person_id, started_on) "
                "select %s, gen_random_uuid(), %s::date - 100 from generate_series(1, %s) "
                "returning id",
                (AMARA, TODAY, people),
            ).fetchall()
        ]
        start = min(keys, default=1) - 1
        bounds = [start, *sorted(start + cut for cut in cuts), 9223372036854775807]
        found = [
            row[0]
            for low, high in pairwise(bounds)
            for row in shared.execute(
                "select assignment_id from reminder.reminder_scheduler_service(%s, %s, %s)",
                (TODAY, low, high),
            ).fetchall()
        ]
    assert sorted(found) == sorted(keys)
