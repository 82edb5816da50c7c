"""Dates that the due rule reads: refused when they are impossible, found and mended when wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.days import day
from tests.reminder_system.people import (
    ADMIN,
    COORDINATOR,
    MENTOR,
    SERVER,
    add_assignments,
    data_api,
)
from tests.reminder_system.runbook import runbook_block
from tests.reminder_system.runs import one, reminders, run

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

CHECK = "select ok, finding, section from reminder.check_contact_dates()"
WELL = [(True, "as logged", "reminders-after-contact")]
IMPOSSIBLE = ["-infinity", "infinity", "4713-01-01 BC", "1899-12-31", "2200-01-01", "5874897-12-31"]
REFUSALS = (
    psycopg.errors.CheckViolation,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.InsufficientPrivilege,
    # A time has less room than a date.
    psycopg.errors.DatetimeFieldOverflow,
)


@pytest.fixture
def assignment(postgres: Connection) -> int:
    (assignment,) = add_assignments(postgres, 1)
    return assignment


def register(connection: Connection, assignment: int, ago: int, kind: str = "phone_call") -> None:
    connection.execute(
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values (%s, %s, %s)",
        (assignment, kind, day(ago)),
    )


def last_contact(connection: Connection, assignment: int) -> object:
    return one(
        connection, "select last_contact_date from public.assignments where id = %s", assignment
    )


ACTIVITY = (
    "insert into public.activities (assignment_id, activity_type, occurred_on, registration_path) "
    "values ({a}, 'phone_call', '{day}', '{path}')"
)
WAYS = {
    "a mentor registers": (MENTOR, ACTIVITY.replace("{path}", "direct")),
    "a coordinator registers": (COORDINATOR, ACTIVITY.replace("{path}", "coordinator_proxy")),
    "the server registers": (SERVER, ACTIVITY.replace("{path}", "bulk")),
    "the server registers at that time": (
        SERVER,
        (
            "insert into public.activities "
            "(assignment_id, activity_type, occurred_on, registered_at) "
            "values ({a}, 'phone_call', '{day}', '{day}')"
        ),
    ),
    "the server changes": (
        SERVER,
        "update public.activities set occurred_on = '{day}' where assignment_id = {a}",
    ),
    "the server changes both": (
        SERVER,
        (
            "update public.activities set occurred_on = '{day}', registered_at = '{day}' "
            "where assignment_id = {a}"
        ),
    ),
    "the server assigns": (
        SERVER,
        (
            "insert into public.assignments (mentor_id, person_id, started_on) "
            "values (gen_random_uuid(), gen_random_uuid(), '{day}')"
        ),
    ),
    "the server moves the start": (
        SERVER,
        "update public.assignments set started_on = '{day}' where id = {a}",
    ),
    "the server writes the date": (
        SERVER,
        "update public.assignments set last_contact_date = '{day}' where id = {a}",
    ),
    "an admin corrects": (
        ADMIN,
        "select public.correct_last_contact_date({a}, '{day}', 'why')",
    ),
}


class TestImpossibleDay:
    @pytest.mark.parametrize("impossible", IMPOSSIBLE)
    @pytest.mark.parametrize("way", WAYS)
    def test_is_refused_on_every_way_in(
        self, database: Database, postgres: Connection, assignment: int, way: str, impossible: str
    ) -> None:
        register(postgres, assignment, 40)
        (other,) = add_assignments(postgres, 1)
        caller, statement = WAYS[way]
        with pytest.raises(REFUSALS), data_api(database, caller) as request:
            request.execute(statement.format(a=assignment, day=impossible).encode())
        assert last_contact(postgres, assignment) == day(40)
        assert run(postgres) is None
        assert [row[0] for row in reminders(postgres)] == [assignment, other]

    @pytest.mark.parametrize("impossible", IMPOSSIBLE)
    @pytest.mark.parametrize(
        "statement",
        [
            "update public.assignments set last_contact_date = '{}'",
            "update public.assignments set started_on = '{}'",
            "update public.activities set occurred_on = '{}'",
            "update public.activities set occurred_on = '{0}', registered_at = '{0}'",
            (
                "select reminder.correct_last_contact_date(id, '{}', 'why', 'Dana') "
                "from public.assignments"
            ),
            (
                "insert into reminder.last_contact_corrections "
                "(assignment_id, new_date, reason, corrected_by) "
                "select id, '{}', 'why', 'Dana' from public.assignments"
            ),
            (
                "insert into reminder.last_contact_corrections "
                "(assignment_id, new_date, reason, corrected_by, corrected_at) "
                "select id, '{0}', 'why', 'Dana', 'infinity' from public.assignments"
            ),
        ],
    )
    def test_is_refused_of_the_operator_too(
        self, postgres: Connection, assignment: int, statement: str, impossible: str
    ) -> None:
        register(postgres, assignment, 40)
        with pytest.raises(REFUSALS):
            postgres.execute(statement.format(impossible).encode())

    def test_would_cost_its_own_reminder_and_no_other(self, postgres: Connection) -> None:
        ids = add_assignments(postgres, 50)
        postgres.execute(
            "alter table public.assignments drop constraint assignments_dates_are_plausible"
        )
        postgres.execute(
            "update public.assignments set last_contact_date = '-infinity' where id = %s", ids[9:10]
        )
        assert run(postgres) == "22008"
        assert [row[0] for row in reminders(postgres)] == ids[:9] + ids[10:]


class TestFarDay:
    @pytest.mark.parametrize("ahead", [2, 400, 20000])
    @pytest.mark.parametrize(
        "way", [way for way in WAYS if "start" not in way and way != "the server assigns"]
    )
    def test_of_a_contact_is_refused(
        self, database: Database, postgres: Connection, assignment: int, way: str, ahead: int
    ) -> None:
        register(postgres, assignment, 40)
        caller, statement = WAYS[way]
        with pytest.raises(REFUSALS), data_api(database, caller) as request:
            request.execute(statement.format(a=assignment, day=day(-ahead)).encode())
        assert last_contact(postgres, assignment) == day(40)

    def test_of_a_start_is_refused_after_a_year(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        caller, statement = WAYS["the server moves the start"]
        with data_api(database, caller) as request:
            request.execute(statement.format(a=assignment, day=day(-366)).encode())
        with (
            pytest.raises(psycopg.errors.CheckViolation, match="more than a year ahead"),
            data_api(database, caller) as request,
        ):
            request.execute(statement.format(a=assignment, day=day(-367)).encode())
        assert postgres.execute(CHECK).fetchall() == WELL


class TestDirectWrite:
    @pytest.mark.parametrize(
        "statement",
        [
            "update public.assignments set last_contact_date = current_date - 1",
            "update public.assignments set last_contact_date = null",
            (
                "insert into public.assignments (mentor_id, person_id, last_contact_date) "
                "values (gen_random_uuid(), gen_random_uuid(), current_date)"
            ),
        ],
    )
    def test_of_the_server_is_refused_with_a_way_out(
        self, database: Database, postgres: Connection, assignment: int, statement: str
    ) -> None:
        register(postgres, assignment, 40)
        with (
            pytest.raises(
                psycopg.errors.InsufficientPrivilege, match="written directly"
            ) as refused,
            data_api(database, SERVER) as request,
        ):
            request.execute(statement.encode())
        assert "correct_last_contact_date" in str(refused.value.diag.message_hint)

    def test_of_the_same_date_with_the_rest_of_the_row_is_none(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(postgres, assignment, 40)
        with data_api(database, SERVER) as request:
            request.execute(
                "update public.assignments set status = 'paused', started_on = started_on, "
                "last_contact_date = last_contact_date"
            )
        assert last_contact(postgres, assignment) == day(40)


CHANGES = {
    "truncated": ("truncate public.activities", [None, None, None, 9]),
    "a type replaced": (
        (
            "with gone as (delete from public.activity_types where code = 'meeting' returning *) "
            "insert into public.activity_types select code, label, false from gone"
        ),
        [40, 5, None, 9],
    ),
}


class TestSeenAtOnce:
    """What changes the dates by another way than a registration."""

    @pytest.mark.parametrize("change", CHANGES)
    def test_is_worked_out_anew(self, postgres: Connection, change: str) -> None:
        met, called, missed, corrected = add_assignments(postgres, 4)
        register(postgres, met, 40)
        register(postgres, met, 4, "meeting")
        register(postgres, called, 5)
        register(postgres, missed, 6, "no_show")
        postgres.execute(
            "select reminder.correct_last_contact_date(%s, %s, 'why', 'Dana')", (corrected, day(9))
        )
        register(postgres, corrected, 3, "meeting")
        statement, expected = CHANGES[change]
        postgres.execute(statement.encode())
        assert [last_contact(postgres, key) for key in (met, called, missed, corrected)] == [
            None if ago is None else day(ago) for ago in expected
        ]
        assert postgres.execute(CHECK).fetchall() == WELL

    def test_a_new_type_locks_nobody_out(self, database: Database, postgres: Connection) -> None:
        (assignment,) = add_assignments(postgres, 1)
        with database.connect(autocommit=False) as mentor:
            register(mentor, assignment, 4)
            with database.connect(options="-c lock_timeout=100ms") as application:
                application.execute(
                    "insert into public.activity_types values ('letter', 'Letter', true)"
                )


UNSEEN = {
    "a date set ahead": "update public.assignments set last_contact_date = current_date + 3000",
    "a date set a little later": (
        "update public.assignments set last_contact_date = last_contact_date + 1"
    ),
    "a date set back": "update public.assignments set last_contact_date = current_date - 900",
    "a date taken away": "update public.assignments set last_contact_date = null",
    "activities gone": "delete from public.activities",
    "all activities gone": "truncate public.activities",
    "an activity from the future": (
        "insert into public.activities (assignment_id, activity_type, occurred_on, registered_at) "
        "select id, 'meeting', current_date + 700, now() + interval '701 days' "
        "from public.assignments; "
        "update public.assignments set last_contact_date = current_date + 700"
    ),
    "a type that no longer counts": (
        "update public.activity_types set counts_as_contact = false where code = 'phone_call'"
    ),
    "a correction that came later than its activities": (
        "insert into reminder.last_contact_corrections "
        "(assignment_id, new_date, reason, corrected_by) "
        "select id, current_date - 99, 'why', 'Dana' from public.assignments"
    ),
}


_KEEPING = (
    "create function public.keep() returns trigger language plpgsql as $$ begin {} end $$; "
    "create trigger keep {} update on public.assignments for each row "
    "execute function public.keep()"
)
# Ways in which an application undoes, without an error, what is written to a date.
KEEPERS = {
    "the old date is put back": _KEEPING.format(
        "new.last_contact_date := old.last_contact_date; return new;", "before"
    ),
    "the row is left out": _KEEPING.format("return null;", "before"),
    "a rule does nothing": (
        "create rule keep as on update to public.assignments do instead nothing"
    ),
    "it is taken back afterwards": _KEEPING.format(
        "if new.last_contact_date is not null then update public.assignments "
        "set last_contact_date = null where id = new.id; end if; return null;",
        "after",
    ),
}


class TestUnseen:
    """With the triggers off, as in a restore: found, and mended by one call."""

    @pytest.mark.parametrize("change", UNSEEN)
    def test_is_found_and_mended(
        self, postgres: Connection, superuser: Connection, assignment: int, change: str
    ) -> None:
        register(postgres, assignment, 40)
        register(postgres, assignment, 50, "meeting")
        assert postgres.execute(CHECK).fetchall() == WELL
        with superuser.transaction():
            superuser.execute("set local session_replication_role = replica")
            superuser.execute(UNSEEN[change].encode())
        confirm = runbook_block("confirm-stale-contact")
        assert [row[0] for row in postgres.execute(confirm).fetchall()] == [assignment]
        ((ok, finding, _),) = postgres.execute(CHECK).fetchall()
        assert not ok
        assert finding.startswith("1 not as logged")
        assert one(postgres, "select reminder.repair_last_contact()") == 1
        assert postgres.execute(CHECK).fetchall() == WELL
        assert one(postgres, "select reminder.repair_last_contact()") == 0
        expected = {
            "activities gone": None,
            "all activities gone": None,
            "a type that no longer counts": day(50),
            "a correction that came later than its activities": day(99),
        }
        assert last_contact(postgres, assignment) == expected.get(change, day(40))

    @pytest.mark.parametrize("keeper", KEEPERS)
    def test_no_date_is_said_to_be_set_that_the_application_keeps(
        self, database: Database, postgres: Connection, assignment: int, keeper: str
    ) -> None:
        postgres.execute(KEEPERS[keeper].encode())
        register(postgres, assignment, 40)
        correct = "select * from reminder.correct_last_contact_date(%s, current_date - 9, 'w', 'D')"
        for setting, values in (
            ("select reminder.repair_last_contact()", ()),
            (correct, (assignment,)),
        ):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as raised:
                postgres.execute(setting, values)
            assert "changed back at once" in str(raised.value)
            assert str(assignment) in str(raised.value)
        # What differs has the object, and its block takes it off.
        assert postgres.execute("select * from reminder.redeploy()").fetchall()
        # A session that has seen the rule goes on doing nothing.
        with database.connect() as later:
            assert one(later, "select reminder.repair_last_contact()") == 1
        assert last_contact(postgres, assignment) == day(40)

    def test_start_far_ahead_is_found(
        self, postgres: Connection, superuser: Connection, assignment: int
    ) -> None:
        with superuser.transaction():
            superuser.execute("set local session_replication_role = replica")
            superuser.execute(
                "update public.assignments set started_on = '2199-12-31' where id = %s",
                (assignment,),
            )
        assert postgres.execute(CHECK).fetchall() == [
            (False, "1 more than a year ahead", "reminders-after-contact")
        ]
