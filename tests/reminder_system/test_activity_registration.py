"""The activity registration hook: what becomes of ``assignments.last_contact_date``.

The runbook links here as the reference for the expected behaviour.  Each of the four registration
paths writes through the role and the claims that write it in production:

==================  ===================  =========================================================
path                database role        caller
==================  ===================  =========================================================
direct              authenticated        the mentor of the assignment
coordinator_proxy   authenticated        a coordinator (``app_metadata.role`` of the token)
proxy               service_role         the application's server, for a mentor who called in
bulk                service_role         the application's server, many rows in one statement
==================  ===================  =========================================================
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql as query
from psycopg.types.json import Jsonb

from tests.reminder_system.days import day
from tests.reminder_system.people import (
    ADMIN,
    AMARA,
    COORDINATOR,
    MENTOR,
    OTHER_MENTOR,
    SERVER,
    Caller,
    add_assignments,
    data_api,
)
from tests.reminder_system.runs import calling, eventually, one

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

PATHS = {
    "direct": MENTOR,
    "proxy": SERVER,
    "bulk": SERVER,
    "coordinator_proxy": COORDINATOR,
}
CONTACT = "phone_call"
NO_CONTACT = "admin_note"


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def assignment(postgres: Connection) -> int:
    (assignment,) = add_assignments(postgres, 1)
    return assignment


def register(
    database: Database,
    path: str,
    *activities: tuple[int, str, dt.date],
    caller: Caller | None = None,
) -> None:
    """Register activities in one request and one statement, as PostgREST writes its JSON body."""
    rows = [
        {
            "assignment_id": assignment,
            "activity_type": kind,
            "occurred_on": occurred_on.isoformat(),
            "registration_path": path,
        }
        for assignment, kind, occurred_on in activities
    ]
    with data_api(database, caller or PATHS[path]) as request:
        request.execute(
            "insert into public.activities "
            "(assignment_id, activity_type, occurred_on, registration_path) "
            "select assignment_id, activity_type, occurred_on, registration_path "
            "from jsonb_to_recordset(%s) as body (assignment_id bigint, activity_type text, "
            "occurred_on date, registration_path text)",
            (Jsonb(rows),),
        )


def last_contact(postgres: Connection, assignment: int) -> dt.date | None:
    found = one(
        postgres, "select last_contact_date from public.assignments where id = %s", assignment
    )
    assert found is None or isinstance(found, dt.date)
    return found


class TestEveryPath:
    def test_moves_the_date_to_a_first_contact(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        assert last_contact(postgres, assignment) is None
        register(database, path, (assignment, CONTACT, day(4)))
        assert last_contact(postgres, assignment) == day(4)

    def test_moves_the_date_forward(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        register(database, path, (assignment, CONTACT, day(20)))
        register(database, path, (assignment, CONTACT, day(4)))
        assert last_contact(postgres, assignment) == day(4)

    def test_never_moves_the_date_back_when_an_old_contact_is_registered_late(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        register(database, path, (assignment, CONTACT, day(4)))
        register(database, path, (assignment, CONTACT, day(20)))
        assert last_contact(postgres, assignment) == day(4)

    def test_leaves_the_date_when_the_type_does_not_count_as_contact(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        register(database, path, (assignment, CONTACT, day(20)))
        register(database, path, (assignment, NO_CONTACT, day(1)), (assignment, "no_show", day(1)))
        assert last_contact(postgres, assignment) == day(20)

    def test_leaves_other_assignments_alone(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        (other,) = add_assignments(postgres, 1)
        register(database, path, (assignment, CONTACT, day(4)))
        assert last_contact(postgres, other) is None

    def test_takes_the_latest_of_several_contacts_in_one_statement(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        register(database, path, *((assignment, CONTACT, day(ago)) for ago in (9, 2, 5)))
        assert last_contact(postgres, assignment) == day(2)

    def test_says_how_and_by_whom_it_was_registered(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        register(database, path, (assignment, CONTACT, day(4)))
        row = postgres.execute(
            "select registration_path, registered_by from public.activities"
        ).fetchall()
        assert row == [(path, PATHS[path].user)]

    def test_stops_the_reminder(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        due = (
            "select count(*) from reminder.reminder_scheduler_service("
            "(now() at time zone 'utc')::date, 0, 9223372036854775807)"
        )
        assert one(postgres, due) == 1
        register(database, path, (assignment, CONTACT, day(4)))
        assert one(postgres, due) == 0

    def test_refuses_a_contact_in_the_future(
        self, database: Database, postgres: Connection, assignment: int, path: str
    ) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            register(database, path, (assignment, CONTACT, day(-2)))
        assert last_contact(postgres, assignment) is None


class TestWhoMayRegister:
    @pytest.mark.parametrize(
        ("path", "caller"),
        [
            ("direct", OTHER_MENTOR),
            ("direct", COORDINATOR),
            ("direct", ADMIN),
            ("proxy", MENTOR),
            ("bulk", MENTOR),
            ("coordinator_proxy", MENTOR),
            ("coordinator_proxy", ADMIN),
            ("proxy", COORDINATOR),
            ("direct", Caller("authenticated")),
            ("direct", Caller("anon", AMARA)),
        ],
    )
    def test_others_are_refused_and_nothing_changes(
        self, database: Database, postgres: Connection, assignment: int, path: str, caller: Caller
    ) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            register(database, path, (assignment, CONTACT, day(4)), caller=caller)
        assert last_contact(postgres, assignment) is None
        assert one(postgres, "select count(*) from public.activities") == 0

    @pytest.mark.parametrize("column", ["registered_by", "registered_at", "id"])
    def test_a_mentor_cannot_say_who_registered_or_when(
        self, database: Database, assignment: int, column: str
    ) -> None:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            data_api(database, MENTOR) as request,
        ):
            request.execute(
                query.SQL(
                    "insert into public.activities "
                    "(assignment_id, activity_type, occurred_on, {}) "
                    "values (%s, 'phone_call', current_date, default)"
                ).format(query.Identifier(column)),
                (assignment,),
            )

    def test_a_mentor_cannot_write_the_date_itself(
        self, database: Database, assignment: int
    ) -> None:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            data_api(database, MENTOR) as request,
        ):
            request.execute(
                "update public.assignments set last_contact_date = current_date where id = %s",
                (assignment,),
            )

    def test_a_mentor_cannot_change_or_remove_what_was_registered(
        self, database: Database, assignment: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(4)))
        for statement in (
            "delete from public.activities where true",
            "update public.activities set occurred_on = current_date where true",
        ):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                data_api(database, MENTOR) as request,
            ):
                request.execute(statement)


class TestChange:
    """Changes come from the application's server."""

    def change(self, database: Database, sql: str, *parameters: object) -> None:
        with data_api(database, SERVER) as request:
            request.execute(sql, parameters)

    def test_of_the_type_away_from_contact(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(
            database, "bulk", (assignment, CONTACT, day(20)), (assignment, "home_visit", day(4))
        )
        self.change(
            database,
            "update public.activities set activity_type = 'no_show' "
            "where activity_type = 'home_visit'",
        )
        assert last_contact(postgres, assignment) == day(20)

    def test_of_the_type_towards_contact(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", (assignment, CONTACT, day(20)), (assignment, NO_CONTACT, day(4)))
        self.change(
            database,
            "update public.activities set activity_type = 'meeting' where activity_type = %s",
            NO_CONTACT,
        )
        assert last_contact(postgres, assignment) == day(4)

    def test_of_the_type_of_an_older_contact_leaves_the_date(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", (assignment, "meeting", day(20)), (assignment, CONTACT, day(4)))
        self.change(
            database,
            "update public.activities set activity_type = 'no_show' "
            "where activity_type = 'meeting'",
        )
        assert last_contact(postgres, assignment) == day(4)

    @pytest.mark.parametrize(("ago", "then"), [(2, 2), (10, 10), (30, 20)])
    def test_of_the_date(
        self, database: Database, postgres: Connection, assignment: int, ago: int, then: int
    ) -> None:
        register(
            database, "bulk", (assignment, CONTACT, day(20)), (assignment, "home_visit", day(4))
        )
        self.change(
            database,
            "update public.activities set occurred_on = %s where activity_type = 'home_visit'",
            day(ago),
        )
        assert last_contact(postgres, assignment) == day(then)

    def test_of_the_assignment_works_out_both(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        (other,) = add_assignments(postgres, 1)
        register(
            database, "bulk", (assignment, CONTACT, day(20)), (assignment, "home_visit", day(4))
        )
        self.change(
            database,
            "update public.activities set assignment_id = %s where activity_type = 'home_visit'",
            other,
        )
        assert last_contact(postgres, assignment) == day(20)
        assert last_contact(postgres, other) == day(4)

    def test_of_nothing_that_matters_writes_no_assignment(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", (assignment, CONTACT, day(4)))
        before = one(
            postgres, "select xmin::text from public.assignments where id = %s", assignment
        )
        self.change(database, "update public.activities set registered_by = %s", AMARA)
        after = one(postgres, "select xmin::text from public.assignments where id = %s", assignment)
        assert after == before

    def test_removal_of_the_latest_contact_goes_back_to_the_one_before(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", *((assignment, CONTACT, day(ago)) for ago in (20, 4)))
        self.change(database, "delete from public.activities where occurred_on = %s", day(4))
        assert last_contact(postgres, assignment) == day(20)

    def test_removal_of_an_older_contact_leaves_the_date(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", *((assignment, CONTACT, day(ago)) for ago in (20, 4)))
        self.change(database, "delete from public.activities where occurred_on = %s", day(20))
        assert last_contact(postgres, assignment) == day(4)

    def test_removal_of_one_of_two_on_the_same_day_leaves_the_date(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(
            database, "bulk", (assignment, CONTACT, day(4)), (assignment, "home_visit", day(4))
        )
        self.change(database, "delete from public.activities where activity_type = %s", CONTACT)
        assert last_contact(postgres, assignment) == day(4)

    def test_removal_of_the_only_contact_leaves_none(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", (assignment, CONTACT, day(4)))
        self.change(database, "delete from public.activities where true")
        assert last_contact(postgres, assignment) is None


class TestBulk:
    def test_writes_each_assignment_once_a_statement(
        self, database: Database, postgres: Connection
    ) -> None:
        assignments = add_assignments(postgres, 100)
        rows = [
            {"id": assignment, "day": day(ago).isoformat()}
            for assignment in assignments
            for ago in (9, 3, 7, 5)
        ]
        with data_api(database, SERVER) as request:
            request.execute(
                "insert into public.activities "
                "(assignment_id, activity_type, occurred_on, registration_path) "
                "select id, 'meeting', day, 'bulk' "
                "from jsonb_to_recordset(%s) as r (id bigint, day date)",
                (Jsonb(rows),),
            )
            written = one(
                request,
                "select pg_stat_get_xact_tuples_updated('public.assignments'::regclass)",
            )
        assert written == len(assignments)
        assert one(
            postgres, "select array_agg(distinct last_contact_date) from public.assignments"
        ) == [day(3)]

    def test_runs_the_hook_for_the_statement_and_not_for_the_row(
        self, postgres: Connection
    ) -> None:
        rows = postgres.execute(
            "select tgname, (tgtype & 1) = 1 from pg_trigger "
            "where tgrelid = 'public.activities'::regclass and not tgisinternal order by 1"
        ).fetchall()
        assert rows == [
            ("contact_changed", False),
            ("contact_registered", False),
            ("contact_removed", False),
            ("contacts_truncated", False),
        ]

    def test_by_copy_counts_too(self, postgres: Connection, assignment: int) -> None:
        with postgres.cursor().copy(
            "copy public.activities (assignment_id, activity_type, occurred_on, registration_path) "
            "from stdin"
        ) as copy:
            copy.write_row((assignment, CONTACT, day(3), "bulk"))
        assert last_contact(postgres, assignment) == day(3)

    def test_with_one_bad_row_changes_nothing(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            register(
                database, "bulk", (assignment, CONTACT, day(4)), (assignment, "unknown", day(4))
            )
        assert last_contact(postgres, assignment) is None


class TestAtTheSameTime:
    def test_two_registrations_on_one_assignment_keep_the_later_date(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        insert = (
            "insert into public.activities (assignment_id, activity_type, occurred_on) "
            "values ({}, 'phone_call', '{}')"
        )
        with database.connect(autocommit=False) as first:
            first.execute(insert.format(assignment, day(2)))
            with calling(database, insert.format(assignment, day(9))) as second:
                self.wait_until_blocked(postgres, second.pid)
                first.commit()
                assert second.finish() is None
        assert last_contact(postgres, assignment) == day(2)

    def test_a_removal_sees_the_registration_it_waited_for(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", *((assignment, CONTACT, day(ago)) for ago in (20, 3)))
        with database.connect(autocommit=False) as first:
            first.execute(
                "insert into public.activities (assignment_id, activity_type, occurred_on) "
                "values (%s, 'phone_call', %s)",
                (assignment, day(7)),
            )
            removal = f"delete from public.activities where occurred_on = '{day(3)}'"  # noqa: S608 - a date
            with calling(database, removal) as second:
                self.wait_until_blocked(postgres, second.pid)
                first.commit()
                assert second.finish() is None
        assert last_contact(postgres, assignment) == day(7)

    REGISTER = (
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values ({}, 'phone_call', '{}')"
    )
    CORRECT = "select reminder.correct_last_contact_date({}, '{}', 'typing error', 'Dana')"
    KEPT = (
        "select array_agg((old_date::text, new_date::text) order by id) "
        "from reminder.last_contact_corrections"
    )

    @pytest.mark.parametrize("ago", [2, 30])
    def test_a_registration_that_waited_for_a_correction_is_the_newer_of_the_two(
        self, database: Database, postgres: Connection, assignment: int, ago: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(4)))
        with database.connect(autocommit=False) as corrector:
            corrector.execute(self.CORRECT.format(assignment, day(15)).encode())
            with calling(database, self.REGISTER.format(assignment, day(ago))) as mentor:
                self.wait_until_blocked(postgres, mentor.pid)
                corrector.commit()
                assert mentor.finish() is None
        # Later than the corrected date it counts; earlier it does not bring the old date back.
        assert last_contact(postgres, assignment) == max(day(ago), day(15))
        assert one(postgres, self.KEPT) == [(day(4).isoformat(), day(15).isoformat())]

    def test_a_correction_that_waited_for_a_registration_has_the_last_word(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(30)))
        with database.connect(autocommit=False) as mentor:
            mentor.execute(self.REGISTER.format(assignment, day(2)).encode())
            with calling(database, self.CORRECT.format(assignment, day(15))) as corrector:
                self.wait_until_blocked(postgres, corrector.pid)
                mentor.commit()
                assert corrector.finish() is None
        assert last_contact(postgres, assignment) == day(15)
        # What it kept as the old date is what it replaced, not what it saw before it waited.
        assert one(postgres, self.KEPT) == [(day(2).isoformat(), day(15).isoformat())]

    @pytest.mark.parametrize("first", ["registration", "correction"])
    def test_a_correction_outranks_a_registration_that_was_waiting_when_it_was_made(
        self, database: Database, postgres: Connection, assignment: int, first: str
    ) -> None:
        """Both wait for a third; whichever goes on first, the correction was made knowing more."""
        register_ = self.REGISTER.format(assignment, day(2))
        correct = self.CORRECT.format(assignment, day(15))
        with database.connect(autocommit=False) as other:
            other.execute("select from public.assignments where id = %s for update", (assignment,))
            orders = [register_, correct] if first == "registration" else [correct, register_]
            with calling(database, orders[0]) as one_, calling(database, orders[1]) as another:
                for call in (one_, another):
                    self.wait_until_blocked(postgres, call.pid)
                other.commit()
                assert [one_.finish(), another.finish()] == [None, None]
        assert last_contact(postgres, assignment) == day(15)

    def test_a_registration_does_not_wait_for_a_running_job(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        with database.connect(autocommit=False) as job:
            job.execute(
                "select reminder.reminder_dispatch_service("
                "1, (now() at time zone 'utc')::date, 0, 9223372036854775807)"
            )
            with database.connect(options="-c lock_timeout=100ms") as mentor:
                mentor.execute(
                    "insert into public.activities (assignment_id, activity_type, occurred_on) "
                    "values (%s, 'phone_call', current_date)",
                    (assignment,),
                )
        assert one(postgres, "select count(*) from reminder.dispatched_reminders") == 1

    def test_many_on_several_assignments_in_opposite_order_do_not_deadlock(
        self, database: Database, postgres: Connection
    ) -> None:
        assignments = add_assignments(postgres, 8)
        random_orders = random.Random(20260601)
        sessions = 4
        start = threading.Barrier(sessions)
        latest: dict[int, dt.date] = {}
        work: list[list[list[tuple[int, dt.date]]]] = []
        for session in range(sessions):
            statements = []
            for _ in range(25):
                rows = [(key, day(random_orders.randrange(1, 300))) for key in assignments]
                rows.sort(reverse=bool(session % 2))
                statements.append(rows)
                for key, occurred_on in rows:
                    latest[key] = max(occurred_on, latest.get(key, occurred_on))
            work.append(statements)

        def write(statements: list[list[tuple[int, dt.date]]]) -> None:
            with database.connect() as connection:
                start.wait(300)
                for rows in statements:
                    connection.execute(
                        "insert into public.activities "
                        "(assignment_id, activity_type, occurred_on) "
                        "select a, 'phone_call', d "
                        "from unnest(%s::bigint[], %s::date[]) as r (a, d)",
                        ([row[0] for row in rows], [row[1] for row in rows]),
                    )

        with ThreadPoolExecutor(sessions) as pool:
            list(pool.map(write, work))
        found = dict(
            postgres.execute("select id, last_contact_date from public.assignments").fetchall()
        )
        assert found == latest

    def wait_until_blocked(self, postgres: Connection, pid: int) -> None:
        eventually(
            lambda: one(postgres, "select cardinality(pg_blocking_pids(%s)) > 0", pid),
            f"session {pid} waits for the other",
        )


class TestCorrection:
    CORRECT = "select * from reminder.correct_last_contact_date(%s, %s, 'typing error', 'Dana')"

    @pytest.mark.parametrize("ago", [2, 40, None])
    def test_sets_the_date_and_keeps_who_when_and_why(
        self, database: Database, postgres: Connection, assignment: int, ago: int | None
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(10)))
        new = None if ago is None else day(ago)
        returned = postgres.execute(self.CORRECT, (assignment, new)).fetchall()
        assert returned == [(assignment, day(10), new)]
        assert last_contact(postgres, assignment) == new
        kept = postgres.execute(
            "select assignment_id, old_date, new_date, reason, corrected_by, "
            "corrected_at between now() - interval '1 minute' and clock_timestamp() "
            "from reminder.last_contact_corrections"
        ).fetchall()
        assert kept == [(assignment, day(10), new, "typing error", "Dana", True)]

    def test_outranks_what_was_registered_before_it(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "bulk", (assignment, CONTACT, day(3)), (assignment, "meeting", day(8)))
        postgres.execute(self.CORRECT, (assignment, day(15)))
        with data_api(database, SERVER) as request:
            request.execute("delete from public.activities where activity_type = 'meeting'")
        assert last_contact(postgres, assignment) == day(15)
        with data_api(database, SERVER) as request:
            request.execute("update public.activities set occurred_on = %s", (day(4),))
        assert last_contact(postgres, assignment) == day(15)

    def test_outranks_an_older_contact_that_is_edited_into_a_later_one(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(30)))
        postgres.execute(self.CORRECT, (assignment, day(15)))
        with data_api(database, SERVER) as request:
            request.execute("update public.activities set occurred_on = %s", (day(4),))
        assert last_contact(postgres, assignment) == day(15)

    def test_gives_way_to_a_later_contact(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(3)))
        postgres.execute(self.CORRECT, (assignment, day(15)))
        register(database, "direct", (assignment, CONTACT, day(9)))
        assert last_contact(postgres, assignment) == day(9)

    def test_the_latest_one_counts(
        self, database: Database, postgres: Connection, assignment: int
    ) -> None:
        register(database, "direct", (assignment, CONTACT, day(3)))
        postgres.execute(self.CORRECT, (assignment, day(15)))
        postgres.execute(self.CORRECT, (assignment, day(25)))
        register(database, "direct", (assignment, CONTACT, day(30)))
        assert last_contact(postgres, assignment) == day(25)

    @pytest.mark.parametrize(
        ("arguments", "sqlstate"),
        [
            ("{id}, current_date, '', 'Dana'", "22023"),
            ("{id}, current_date, '  ', 'Dana'", "22023"),
            ("{id}, current_date, null, 'Dana'", "22023"),
            ("{id}, current_date, 'why', null", "22023"),
            ("{id}, current_date, 'why', ''", "22023"),
            ("{id}, current_date + 2, 'why', 'Dana'", "22023"),
            ("-1, current_date, 'why', 'Dana'", "P0002"),
            ("null, current_date, 'why', 'Dana'", "P0002"),
        ],
    )
    def test_that_is_incomplete_or_impossible_changes_nothing(
        self, postgres: Connection, assignment: int, arguments: str, sqlstate: str
    ) -> None:
        with pytest.raises(psycopg.Error) as refused:
            postgres.execute(
                "select reminder.correct_last_contact_date(" + arguments.format(id=assignment) + ")"
            )
        assert refused.value.sqlstate == sqlstate
        assert refused.value.diag.message_hint
        assert last_contact(postgres, assignment) is None
        assert one(postgres, "select count(*) from reminder.last_contact_corrections") == 0


class TestRepair:
    """For what the hook did not see, such as a load with the triggers off."""

    def load_behind_the_hook(self, superuser: Connection, assignment: int, ago: int) -> None:
        with superuser.transaction():
            superuser.execute("set local session_replication_role = replica")
            superuser.execute(
                "insert into public.activities (assignment_id, activity_type, occurred_on) "
                "values (%s, 'phone_call', %s)",
                (assignment, day(ago)),
            )

    def test_finds_and_moves_forward_what_fell_behind(
        self, postgres: Connection, superuser: Connection
    ) -> None:
        behind, true = add_assignments(postgres, 2)
        self.load_behind_the_hook(superuser, behind, 5)
        postgres.execute(
            "insert into public.activities (assignment_id, activity_type, occurred_on) "
            "values (%s, 'phone_call', %s)",
            (true, day(2)),
        )
        assert postgres.execute(
            "select assignment_id, logged_contact from reminder.stale_last_contact"
        ).fetchall() == [(behind, day(5))]
        assert one(postgres, "select reminder.repair_last_contact()") == 1
        assert last_contact(postgres, behind) == day(5)
        assert last_contact(postgres, true) == day(2)
        assert one(postgres, "select reminder.repair_last_contact()") == 0

    def test_does_not_undo_a_correction(
        self, postgres: Connection, superuser: Connection, assignment: int
    ) -> None:
        self.load_behind_the_hook(superuser, assignment, 5)
        postgres.execute(TestCorrection.CORRECT, (assignment, day(20)))
        assert one(postgres, "select reminder.repair_last_contact()") == 0
        assert last_contact(postgres, assignment) == day(20)
