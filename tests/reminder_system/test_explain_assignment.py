"""One assignment, explained in rows that a support person can read out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reminder_system.days import day
from tests.reminder_system.people import AMARA, add_assignments, add_mentors
from tests.reminder_system.runs import one, run, set_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Template

Connection = psycopg.Connection[Any]


def explained(connection: Connection, assignment: int) -> list[tuple[str, dt.date | None, str]]:
    return connection.execute(
        "select * from reminder.explain_assignment(%s)", (assignment,)
    ).fetchall()


def register(connection: Connection, assignment: int, kind: str, ago: int) -> int:
    found = one(
        connection,
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values (%s, %s, %s) returning id",
        assignment,
        kind,
        day(ago),
    )
    assert isinstance(found, int)
    return found


def test_everything_is_there_and_says_whether_it_counts(postgres: Connection) -> None:
    (assignment,) = add_assignments(postgres, 1)
    before = register(postgres, assignment, "phone_call", 2)
    for ago in (90, 60):
        postgres.execute(
            "select reminder.correct_last_contact_date(%s, %s, 'typing error', 'Dana')",
            (assignment, day(ago)),
        )
    older = register(postgres, assignment, "meeting", 50)
    latest = register(postgres, assignment, "home_visit", 40)
    note = register(postgres, assignment, "admin_note", 1)
    assert run(postgres) is None
    said = [
        (what, on, text.split(": ", 1)[-1] if "activity" in what else text)
        for what, on, text in explained(postgres, assignment)
    ]
    due = one(postgres, "select due_on from reminder.dispatched_reminders")
    assert due == day(3)
    assert said[:6] == [
        ("assignment", day(200), f"active, began on this day, mentor {AMARA}"),
        (f"activity {note}", day(1), "does not count, this type is no contact"),
        (
            f"activity {before}",
            day(2),
            "does not count, the date was corrected by hand after that",
        ),
        (f"activity {latest}", day(40), "counts, the latest contact"),
        (f"activity {older}", day(50), "counts, but is not the latest contact"),
        ("correction 2", day(60), said[5][2]),
    ]
    assert "by Dana, from " in said[5][2]
    assert said[6][2].endswith("typing error (a later correction replaced it)")
    assert said[7:] == [
        ("last contact date", day(40), "as the rows above give"),
        ("reminder", day(0), f"written by run 1, fell due on {due}"),
        ("next reminder", day(-4), "falls due again, every 7 days"),
    ]


def test_a_date_that_is_not_as_logged_is_said(postgres: Connection) -> None:
    (assignment,) = add_assignments(postgres, 1)
    register(postgres, assignment, "meeting", 5)
    postgres.execute("update public.assignments set last_contact_date = null")
    rows = {what: (on, text) for what, on, text in explained(postgres, assignment)}
    assert rows["last contact date"] == (None, f"wrong: the rows above give {day(5)}")


@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_a_date_that_no_day_can_be_counted_from_is_said(postgres: Connection, value: str) -> None:
    (assignment,) = add_assignments(postgres, 1)
    postgres.execute(
        "alter table public.assignments drop constraint assignments_dates_are_plausible"
    )
    postgres.execute("update public.assignments set last_contact_date = %s", (value,))
    found = postgres.execute(
        "select what, explanation from reminder.explain_assignment(%s)", (assignment,)
    ).fetchall()
    assert found[-1] == (
        "next reminder",
        "cannot be told: no day can be counted from the date above",
    )


@pytest.mark.parametrize("status", ["paused", "ended"])
def test_only_active_assignments_have_a_next_reminder(postgres: Connection, status: str) -> None:
    (assignment,) = add_assignments(postgres, 1, status=status)
    assert explained(postgres, assignment)[-1] == (
        "next reminder",
        None,
        "none, only active assignments are reminded of",
    )


def test_an_assignment_that_is_not_there_is_said(postgres: Connection) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="There is no assignment 99"):
        explained(postgres, 99)


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Connection]:
    with template.clone() as database, database.connect() as connection:
        add_mentors(connection)
        yield connection


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    waited=st.integers(0, 100),
    after=st.integers(1, 60),
    repeat=st.integers(1, 30),
    reminded=st.none() | st.integers(0, 30),
)
def test_the_next_reminder_is_on_the_day_on_which_a_run_writes_it(
    shared: Connection, *, waited: int, after: int, repeat: int, reminded: int | None
) -> None:
    """Held against the due days counted in Python."""
    with shared.transaction(force_rollback=True):
        set_settings(shared, reminder_after_days=after, repeat_every_days=repeat)
        (assignment,) = add_assignments(shared, 1, started_days_ago=waited)
        if reminded is not None:
            shared.execute(
                "insert into reminder.dispatched_reminders "
                "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
                "values (%s, %s, %s, 1, now() - %s * interval '1 day')",
                (assignment, day(reminded), AMARA, reminded),
            )
        (_, on, text) = explained(shared, assignment)[-1]
    due = day(waited) + dt.timedelta(days=after)
    past = [
        due + dt.timedelta(days=repeat * n)
        for n in range(200)
        if due + dt.timedelta(days=repeat * n) <= day(0)
    ]
    served = bool(past) and reminded is not None and day(reminded) >= past[-1]
    expected = due if not past else past[-1] + dt.timedelta(days=repeat) if served else past[-1]
    assert on == expected
    assert ("the next run writes it" in text) == (bool(past) and not served)
