"""The last contact date after any sequence of changes, held against a model in Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reminder_system.days import day
from tests.reminder_system.people import (
    ADMIN,
    COORDINATOR,
    MENTOR,
    SERVER,
    add_assignments,
    add_mentors,
)
from tests.reminder_system.runbook import runbook_block
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from sql_snippets.database.databases import Template

Connection = psycopg.Connection[Any]

CONTACTS = frozenset({"home_visit", "meeting", "phone_call", "text_message", "video_call"})
TYPES = (*sorted(CONTACTS), "admin_note", "no_show")
# Who registers by which path; the operator, who is none of the callers, may name any.
PATHS = (
    (MENTOR, "direct"),
    (SERVER, "proxy"),
    (SERVER, "bulk"),
    (COORDINATOR, "coordinator_proxy"),
    (None, "bulk"),
)

days = st.integers(0, 12).map(day)
slots = st.integers(0, 1)
positions = st.integers(0, 30)
rows = st.tuples(slots, st.sampled_from(TYPES), days)
writers = st.sampled_from((SERVER, None))
admins = st.sampled_from((ADMIN, None))
operations = st.one_of(
    st.tuples(st.just("insert"), st.sampled_from(PATHS), st.lists(rows, min_size=1, max_size=4)),
    st.tuples(st.just("change type"), writers, positions, st.sampled_from(TYPES)),
    st.tuples(st.just("change date"), writers, positions, days),
    st.tuples(st.just("move"), writers, positions, slots),
    st.tuples(st.just("delete"), writers, positions),
    st.tuples(st.just("delete all of"), writers, slots),
    st.tuples(st.just("correct"), admins, slots, st.none() | days),
    st.tuples(st.just("switch type"), writers, st.sampled_from(TYPES)),
)


@dataclass(slots=True)
class Activity:
    slot: int
    kind: str
    occurred_on: dt.date
    registered: int


@dataclass(slots=True)
class Model:
    """What the rules say: the latest contact, but a correction outranks what came before it."""

    assignments: list[int]
    activities: dict[int, Activity] = field(default_factory=dict)
    corrections: dict[int, tuple[int, dt.date | None]] = field(default_factory=dict)
    contacts: set[str] = field(default_factory=lambda: set(CONTACTS))
    clock: int = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def last_contact(self, slot: int) -> dt.date | None:
        corrected, date = self.corrections.get(slot, (0, None))
        dates = [] if date is None else [date]
        dates += [
            activity.occurred_on
            for activity in self.activities.values()
            if activity.slot == slot
            and activity.kind in self.contacts
            and activity.registered > corrected
        ]
        return max(dates, default=None)


@pytest.fixture(scope="module")
def shared(template: Template) -> Iterator[Connection]:
    with template.clone() as database, database.connect() as connection:
        add_mentors(connection)
        yield connection


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(operations, min_size=1, max_size=8))
def test_last_contact_date_follows_the_rules(shared: Connection, steps: list[Any]) -> None:
    shared.execute(
        "update public.activity_types set counts_as_contact = code = any(%s)", ([*CONTACTS],)
    )
    assignments = add_assignments(shared, 2)
    model = Model(assignments)
    for step in steps:
        _apply(shared, model, step)
        found = [
            one(shared, "select last_contact_date from public.assignments where id = %s", key)
            for key in assignments
        ]
        assert found == [model.last_contact(slot) for slot in (0, 1)], step
    for view in ("stale_last_contact", "lately_stale_contact"):
        behind = f"select count(*) from reminder.{view} where assignment_id = any(%s)"  # noqa: S608 - its name
        assert one(shared, behind, assignments) == 0


def _apply(connection: Connection, model: Model, step: Any) -> None:
    kind, who, *arguments = step
    caller, path = who if kind == "insert" else (who, "")
    with connection.transaction():
        if caller is not None:
            connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                (caller.role, caller.claims()),
            )
        if kind == "insert":
            _insert(connection, model, path, arguments[0])
        elif kind == "correct":
            slot, date = arguments
            connection.execute(
                "select reminder.correct_last_contact_date(%s, %s, 'why', 'Dana')"
                if caller is None
                else "select public.correct_last_contact_date(%s, %s, 'why')",
                (model.assignments[slot], date),
            )
            model.corrections[slot] = (model.tick(), date)
        elif kind == "switch type":
            connection.execute(
                "update public.activity_types set counts_as_contact = not counts_as_contact "
                "where code = %s",
                arguments,
            )
            model.contacts ^= {*arguments}
        elif kind == "delete all of":
            connection.execute(
                "delete from public.activities where assignment_id = %s",
                (model.assignments[arguments[0]],),
            )
            model.activities = {
                key: activity
                for key, activity in model.activities.items()
                if activity.slot != arguments[0]
            }
        elif model.activities:
            keys = sorted(model.activities)
            _change_one(connection, model, kind, keys[arguments[0] % len(keys)], arguments[1:])


def _insert(
    connection: Connection,
    model: Model,
    path: str,
    values: list[tuple[int, str, dt.date]],
) -> None:
    found = connection.execute(
        "insert into public.activities "
        "(assignment_id, activity_type, occurred_on, registration_path) "
        "select a, t, d, %s from unnest(%s::bigint[], %s::text[], %s::date[]) "
        "with ordinality as r (a, t, d, n) order by n returning id",
        (
            path,
            [model.assignments[slot] for slot, _, _ in values],
            [kind for _, kind, _ in values],
            [date for _, _, date in values],
        ),
    ).fetchall()
    registered = model.tick()
    for (key,), (slot, kind, date) in zip(found, values, strict=True):
        model.activities[key] = Activity(slot, kind, date, registered)


def _change_one(
    connection: Connection,
    model: Model,
    kind: str,
    key: int,
    arguments: list[Any],
) -> None:
    activity = model.activities[key]
    if kind == "delete":
        connection.execute("delete from public.activities where id = %s", (key,))
        del model.activities[key]
    elif kind == "change type":
        connection.execute(
            "update public.activities set activity_type = %s where id = %s", (*arguments, key)
        )
        (activity.kind,) = arguments
    elif kind == "change date":
        connection.execute(
            "update public.activities set occurred_on = %s where id = %s", (*arguments, key)
        )
        (activity.occurred_on,) = arguments
    else:
        (activity.slot,) = arguments
        connection.execute(
            "update public.activities set assignment_id = %s where id = %s",
            (model.assignments[activity.slot], key),
        )


def test_health_and_the_runbook_look_at_what_was_registered_last(template: Template) -> None:
    """By key, whatever its time says; the whole view, the daily look and the repair look at all."""
    finding = "select ok, finding from reminder.check_contact_dates()"
    confirm = runbook_block("confirm-stale-contact")
    insert = (
        "insert into public.activities (assignment_id, activity_type, occurred_on, registered_at) "
        "values (%s, 'phone_call', current_date - 1000, now() - %s * interval '1 day')"
    )
    with template.clone() as database, database.connect() as postgres:
        add_mentors(postgres)
        # Neither is among the latest dates.
        long_ago, lately = add_assignments(postgres, 2, started_days_ago=1500)
        (busy, *_) = add_assignments(postgres, 998)
        postgres.execute("alter table public.activities disable trigger user")
        postgres.execute(insert, (long_ago, 0))
        postgres.execute(
            "insert into public.activities (assignment_id, activity_type, occurred_on) "
            "select %s, 'admin_note', current_date from generate_series(1, 499)",
            (busy,),
        )
        # Up to a thousand assignments all are looked at.
        assert postgres.execute(finding).fetchall() == [(False, "1 not as logged")]
        add_assignments(postgres, 1)
        assert postgres.execute(finding).fetchall() == [
            (False, "1 not as logged, never all looked at")
        ]
        # A load of old records: registered long ago, by what it says.
        postgres.execute(insert, (lately, 900))
        assert [row[0] for row in postgres.execute(confirm).fetchall()] == [lately]
        assert one(postgres, "select count(*) from reminder.stale_last_contact") == 2
        # What retention finds at night stays in sight.
        postgres.execute("call reminder.clear_old_rows()")
        assert postgres.execute(finding).fetchall() == [(False, "2 not as logged")]
        assert one(postgres, "select reminder.repair_last_contact()") == 2
        assert postgres.execute(finding).fetchall() == [(True, "as logged")]
        assert postgres.execute(confirm).fetchall() == []
        postgres.execute(
            "update reminder.full_looks set looked_at = looked_at - interval '49 hours'"
        )
        ((is_well, said),) = postgres.execute(finding).fetchall()
        assert not is_well
        assert str(said).startswith("last all looked at on ")


def test_what_the_daily_look_found_is_well_when_it_was_mended_one_by_one(
    template: Template,
) -> None:
    finding = "select ok, finding from reminder.check_contact_dates()"
    with template.clone() as database, database.connect() as postgres:
        add_mentors(postgres)
        ids = add_assignments(postgres, 3000, started_days_ago=1500)
        postgres.execute("alter table public.assignments disable trigger user")
        moved = "update public.assignments set last_contact_date = started_on where id = any(%s)"
        postgres.execute("select reminder.look_at_all()")
        # In the middle, where nothing was registered.
        postgres.execute(moved, (ids[1000:2500],))
        assert postgres.execute(finding).fetchall() == [(True, "as logged")], "until the next look"
        postgres.execute("select reminder.look_at_all()")
        assert postgres.execute(finding).fetchall() == [(False, "1500 not as logged")]
        mended = "update public.assignments set last_contact_date = null where id = any(%s)"
        postgres.execute(mended, (ids[:2001],))
        # A thousand are kept by name; of the others nobody knows until the next look.
        assert postgres.execute(finding).fetchall() == [(False, "500 not as logged")]
        postgres.execute(mended, (ids,))
        postgres.execute("select reminder.look_at_all()")
        assert postgres.execute(finding).fetchall() == [(True, "as logged")]


def test_guard_is_looked_at_for_everybody(template: Template) -> None:
    guard = "select ok, finding from reminder.check_guard()"
    with template.clone() as database, database.connect() as postgres:
        add_mentors(postgres)
        ids = add_assignments(postgres, 5001)
        assert postgres.execute(guard).fetchall() == [(True, "in place")]
        postgres.execute("select reminder.look_at_all()")
        assert postgres.execute(guard).fetchall() == [(True, "in place")]
        postgres.execute("alter table reminder.dispatched_reminders disable trigger user")
        postgres.execute(
            "insert into reminder.dispatched_reminders "
            "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
            "select id, current_date, mentor_id, 0, now() + interval '9 days' "
            "from public.assignments where id = %s",
            (ids[-1],),
        )
        postgres.execute("select reminder.look_at_all()")
        assert postgres.execute(guard).fetchall() == [
            (False, f"reminders are dated in the future, such as of assignment {ids[-1]}")
        ]
