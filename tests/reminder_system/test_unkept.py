"""reminder.unkept: who is due and has no reminder, by a rule of its own."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import psycopg

from tests.reminder_system.people import AMARA
from tests.reminder_system.runs import one, run, set_settings

Connection = psycopg.Connection[Any]
DAY = dt.timedelta(days=1)


def due_on(waiting_since: dt.date, today: dt.date, after: int, repeat: int) -> dt.date | None:
    """Count the due days one by one, as a person with a calendar would."""
    day, latest = waiting_since + after * DAY, None
    while day <= today:
        latest, day = day, day + repeat * DAY
    return latest


def unkept(connection: Connection) -> dict[int, dt.date | None]:
    rows = connection.execute("select assignment_id, due_on from reminder.unkept").fetchall()
    return {int(row[0]): row[1] for row in rows}


def test_unkept_is_what_a_calendar_says_and_empty_after_a_run(postgres: Connection) -> None:
    rng = random.Random(18)
    # Whose clock is on another day than UTC counts the days of UTC all the same.
    hour = dt.datetime.now(dt.UTC).hour
    postgres.execute(f"set timezone = '{'Etc/GMT+12' if hour < 12 else 'Pacific/Kiritimati'}'")
    today: dt.date = one(postgres, "select (now() at time zone 'utc')::date")
    assert one(postgres, "select current_date") != today
    for after, repeat in ((30, 7), (1, 1), (365, 365), (10, 3)):
        set_settings(postgres, reminder_after_days=after, repeat_every_days=repeat)
        postgres.execute("delete from reminder.dispatched_reminders")
        postgres.execute("delete from public.assignments")
        expected: dict[int, dt.date] = {}
        for _ in range(60):
            status = rng.choice(("active", "active", "active", "paused", "ended"))
            since = today - rng.randrange(900) * DAY
            contact = rng.choice((None, since + rng.randrange(400) * DAY))
            contact = None if contact is None else min(contact, today)
            number = one(
                postgres,
                "insert into public.assignments "
                "(mentor_id, person_id, status, started_on, last_contact_date) "
                "values (%s, gen_random_uuid(), %s, %s, %s) returning id",
                *(AMARA, status, since, contact),
            )
            due = due_on(contact or since, today, after, repeat)
            if status == "active" and due is not None:
                expected[number] = due
        assert expected
        assert unkept(postgres) == expected
        assert run(postgres) is None
        assert unkept(postgres) == {}
        written = "select assignment_id, due_on from reminder.dispatched_reminders"
        assert dict(postgres.execute(written).fetchall()) == expected
        lost = rng.choice(sorted(expected))
        postgres.execute(
            "delete from reminder.dispatched_reminders where assignment_id = %s", (lost,)
        )
        assert unkept(postgres) == {lost: expected[lost]}


def test_reminder_of_another_day_is_none(postgres: Connection) -> None:
    today: dt.date = one(postgres, "select (now() at time zone 'utc')::date")
    number = one(
        postgres,
        "insert into public.assignments (mentor_id, person_id, started_on) "
        "values (%s, gen_random_uuid(), %s) returning id",
        *(AMARA, today - 33 * DAY),
    )
    for dispatched, kept in (
        (today - 3 * DAY, True),
        (today, True),
        (today - 4 * DAY, False),
        (today + 1 * DAY, False),
    ):
        postgres.execute("delete from reminder.dispatched_reminders")
        postgres.execute(
            "insert into reminder.dispatched_reminders "
            "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
            "values (%s, %s, %s, 1, %s::timestamp at time zone 'utc')",
            (number, dispatched, AMARA, dispatched),
        )
        assert (unkept(postgres) == {}) is kept, dispatched


def test_dates_that_make_no_sense_do_not_break_it(
    postgres: Connection, superuser: Connection
) -> None:
    postgres.execute(
        "insert into public.assignments (mentor_id, person_id, started_on) "
        "select %s, gen_random_uuid(), '2020-01-01' from generate_series(1, 6)",
        (AMARA,),
    )
    ids = [row[0] for row in postgres.execute("select id from public.assignments order by id")]
    # As a bulk load without constraints and triggers leaves them.
    for (constraint,) in superuser.execute(
        "select conname from pg_constraint "
        "where conrelid = 'public.assignments'::regclass and contype = 'c'"
    ).fetchall():
        superuser.execute(f'alter table public.assignments drop constraint "{constraint}"'.encode())
    superuser.execute("set session_replication_role = replica")
    for number, date in zip(
        ids, ("infinity", "-infinity", "4713-01-01 BC", "5874897-01-01", "9999-12-31"), strict=False
    ):
        superuser.execute(
            "update public.assignments set last_contact_date = %s::date where id = %s",
            (date, number),
        )
    rows = postgres.execute(
        "select assignment_id, waiting_since::text, due_on is null from reminder.unkept"
    ).fetchall()
    found = {number: (since, unknown) for number, since, unknown in rows}
    assert found[ids[0]] == ("infinity", True)
    assert found[ids[1]] == ("-infinity", True)
    assert ids[2] in found
    assert ids[3] not in found
    assert ids[4] not in found
    assert ids[5] in found
    assert one(postgres, "select count(*) from reminder.health where what = 'promise'") == 1
    finding = one(postgres, "select finding from reminder.health where what = 'promise'")
    assert "cannot be told" not in finding
