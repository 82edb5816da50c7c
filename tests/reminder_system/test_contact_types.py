"""A type of activity that begins or ceases to count as contact, and the dates it had given."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.days import day
from tests.reminder_system.people import MENTOR, SERVER, add_assignments, data_api
from tests.reminder_system.runs import calling, eventually, one

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

SWITCH = "update public.activity_types set counts_as_contact = not counts_as_contact where code = "
CORRECT = "select reminder.correct_last_contact_date(%s, %s, 'typing error', 'Dana')"


@pytest.fixture
def assignment(postgres: Connection) -> int:
    (assignment,) = add_assignments(postgres, 1)
    return assignment


def register(connection: Connection, assignment: int, kind: str, ago: int) -> None:
    connection.execute(
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values (%s, %s, %s)",
        (assignment, kind, day(ago)),
    )


def last_contact(connection: Connection, assignment: int) -> dt.date | None:
    date = one(
        connection, "select last_contact_date from public.assignments where id = %s", assignment
    )
    assert date is None or isinstance(date, dt.date)
    return date


def switch(connection: Connection, kind: str) -> None:
    connection.execute(f"{SWITCH}'{kind}'")


class TestThatCeasesToCount:
    def test_gives_the_date_back_to_the_contact_before(
        self, postgres: Connection, assignment: int
    ) -> None:
        register(postgres, assignment, "phone_call", 20)
        register(postgres, assignment, "meeting", 4)
        switch(postgres, "meeting")
        assert last_contact(postgres, assignment) == day(20)

    def test_leaves_no_date_where_nothing_else_was_logged(
        self, postgres: Connection, assignment: int
    ) -> None:
        register(postgres, assignment, "meeting", 4)
        switch(postgres, "meeting")
        assert last_contact(postgres, assignment) is None

    def test_leaves_a_date_that_it_had_not_set(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "meeting", 20)
        register(postgres, assignment, "phone_call", 4)
        switch(postgres, "meeting")
        assert last_contact(postgres, assignment) == day(4)

    def test_gives_all_back_when_it_counts_again(
        self, postgres: Connection, assignment: int
    ) -> None:
        register(postgres, assignment, "phone_call", 20)
        register(postgres, assignment, "meeting", 4)
        switch(postgres, "meeting")
        switch(postgres, "meeting")
        assert last_contact(postgres, assignment) == day(4)


class TestThatBeginsToCount:
    def test_moves_the_date_forward(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "phone_call", 20)
        register(postgres, assignment, "no_show", 4)
        switch(postgres, "no_show")
        assert last_contact(postgres, assignment) == day(4)

    def test_never_moves_the_date_back(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "phone_call", 4)
        register(postgres, assignment, "no_show", 20)
        switch(postgres, "no_show")
        assert last_contact(postgres, assignment) == day(4)

    def test_while_another_ceases_is_one_step(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "no_show", 9)
        register(postgres, assignment, "meeting", 4)
        postgres.execute(
            "update public.activity_types set counts_as_contact = not counts_as_contact "
            "where code in ('meeting', 'no_show')"
        )
        assert last_contact(postgres, assignment) == day(9)


class TestCorrectionByHand:
    @pytest.mark.parametrize("kind", ["meeting", "no_show"])
    def test_outranks_what_was_registered_before_it(
        self, postgres: Connection, assignment: int, kind: str
    ) -> None:
        register(postgres, assignment, kind, 4)
        postgres.execute(CORRECT, (assignment, day(15)))
        for _ in range(2):
            switch(postgres, kind)
            assert last_contact(postgres, assignment) == day(15)

    def test_to_no_contact_at_all_stays(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "no_show", 4)
        postgres.execute(CORRECT, (assignment, None))
        switch(postgres, "no_show")
        assert last_contact(postgres, assignment) is None

    def test_comes_back_when_a_later_contact_ceases_to_count(
        self, postgres: Connection, assignment: int
    ) -> None:
        postgres.execute(CORRECT, (assignment, day(15)))
        register(postgres, assignment, "meeting", 4)
        switch(postgres, "meeting")
        assert last_contact(postgres, assignment) == day(15)
        assert one(postgres, "select count(*) from reminder.last_contact_corrections") == 1


class TestNothingElse:
    def test_changes_when_only_the_label_does(self, postgres: Connection, assignment: int) -> None:
        register(postgres, assignment, "meeting", 4)
        with postgres.transaction():
            postgres.execute(
                "update public.activity_types set label = 'Meeting', counts_as_contact = true "
                "where code = 'meeting'"
            )
            locked = one(
                postgres,
                "select count(*) from pg_locks where pid = pg_backend_pid() "
                "and relation = 'public.activities'::regclass and mode like '%Exclusive%'",
            )
        assert locked == 0
        assert last_contact(postgres, assignment) == day(4)

    def test_is_written_where_the_date_stays(self, postgres: Connection, assignment: int) -> None:
        (other,) = add_assignments(postgres, 1)
        register(postgres, assignment, "meeting", 20)
        register(postgres, assignment, "phone_call", 4)
        row = "select string_agg(xmin::text, ' ' order by id) from public.assignments"
        before = one(postgres, row)
        switch(postgres, "meeting")
        assert one(postgres, row) == before
        assert last_contact(postgres, other) is None


def test_is_switched_by_the_application_and_by_no_mentor(
    database: Database, postgres: Connection, assignment: int
) -> None:
    register(postgres, assignment, "meeting", 4)
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        data_api(database, MENTOR) as request,
    ):
        switch(request, "meeting")
    assert last_contact(postgres, assignment) == day(4)
    with data_api(database, SERVER) as request:
        switch(request, "meeting")
    assert last_contact(postgres, assignment) is None


class TestAtTheSameTime:
    def test_a_registration_in_progress_is_waited_for_and_counted(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        with database.connect(autocommit=False) as mentor:
            register(mentor, assignment, "meeting", 4)
            with calling(database, f"{SWITCH}'meeting'") as call:
                _wait_until_blocked(postgres, call.pid)
                mentor.commit()
                assert call.finish() is None
        assert last_contact(postgres, assignment) is None

    def test_a_registration_that_comes_later_waits_and_reads_the_type_as_it_is_then(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        with database.connect(autocommit=False) as admin:
            switch(admin, "meeting")
            insert = (
                "insert into public.activities (assignment_id, activity_type, occurred_on) "
                "values ({}, 'meeting', '{}')"
            )
            with calling(database, insert.format(assignment, day(4))) as call:
                _wait_until_blocked(postgres, call.pid)
                admin.commit()
                assert call.finish() is None
        assert last_contact(postgres, assignment) is None

    def test_a_registration_that_takes_long_makes_it_give_up_and_change_nothing(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        postgres.execute("alter function reminder.recount_contacts set lock_timeout = '100ms'")
        with database.connect(autocommit=False) as mentor:
            register(mentor, assignment, "meeting", 4)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                switch(postgres, "meeting")
            mentor.commit()
        assert one(
            postgres,
            "select counts_as_contact from public.activity_types where code = 'meeting'",
        )
        assert last_contact(postgres, assignment) == day(4)


def _wait_until_blocked(postgres: Connection, pid: int) -> None:
    eventually(
        lambda: one(postgres, "select cardinality(pg_blocking_pids(%s)) > 0", pid),
        f"session {pid} waits for the other",
    )
