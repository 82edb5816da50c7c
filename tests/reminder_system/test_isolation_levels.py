"""Two sessions at once, at every isolation level: a right date or a serialization failure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.reminder_system.people import add_assignments
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from concurrent.futures import Future

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

COMMITTED, REPEATABLE, SERIALIZABLE = (
    IsolationLevel.READ_COMMITTED,
    IsolationLevel.REPEATABLE_READ,
    IsolationLevel.SERIALIZABLE,
)
# Whoever of two waits for the other may be told that it is a deadlock, which is a failure too.
REFUSED = {"40001", "40P01"}

INSERT = (
    "insert into public.activities (assignment_id, activity_type, occurred_on) "
    "values (%(a)s, '{}', current_date - {})"
)
OPERATIONS = {
    "registers the latest contact": INSERT.format("phone_call", 1),
    "registers an older contact": INSERT.format("home_visit", 10),
    "registers a meeting": INSERT.format("meeting", 3),
    "deletes the latest contact": (
        "delete from public.activities where assignment_id = %(a)s and activity_type = 'phone_call'"
    ),
    "moves the meeting to yesterday": (
        "update public.activities set occurred_on = current_date - 1 "
        "where assignment_id = %(a)s and activity_type = 'meeting'"
    ),
    "makes the latest contact a meeting": (
        "update public.activities set activity_type = 'meeting' "
        "where assignment_id = %(a)s and activity_type = 'phone_call'"
    ),
    "corrects the date": (
        "select reminder.correct_last_contact_date(%(a)s, current_date - 15, 'why', 'Dana')"
    ),
    "switches meetings": (
        "update public.activity_types set counts_as_contact = not counts_as_contact "
        "where code = 'meeting'"
    ),
    "repairs": "select reminder.repair_last_contact()",
    # Each a code of its own, so that what is known of one case is not there in the next.
    "adds a type that counts, and registers it": (
        "with added as (insert into public.activity_types "
        "values (translate(%(a)s::text, '0123456789', 'abcdefghij'), 'Letter', true) "
        "on conflict do nothing) "
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values (%(a)s, translate(%(a)s::text, '0123456789', 'abcdefghij'), current_date - 2)"
    ),
    # From the last to the first, as no rule says in which order a file is written.
    "loads many at once": (
        "insert into public.activities "
        "(assignment_id, activity_type, occurred_on, registration_path) "
        "select %(a)s::bigint - n %% 2, case when n %% 3 = 0 then 'meeting' else 'phone_call' end, "
        "current_date - n, 'bulk' from generate_series(40, 5, -1) n"
    ),
}
# Takes all of the others' activities along, so it is tried by itself.
STATEMENTS = {**OPERATIONS, "truncates": "truncate public.activities"}


@pytest.fixture
def sessions(database: Database) -> Iterator[tuple[Connection, Connection]]:
    with (
        database.connect(autocommit=False) as first,
        database.connect(autocommit=False) as second,
    ):
        yield first, second


def logged(postgres: Connection, assignment: int) -> dt.date | None:
    """Work the date out in Python, from the rows that are committed."""
    counts = dict(
        postgres.execute("select code, counts_as_contact from public.activity_types").fetchall()
    )
    correction = postgres.execute(
        "select new_date, corrected_at from reminder.last_contact_corrections "
        "where assignment_id = %s order by id desc limit 1",
        (assignment,),
    ).fetchone()
    dates = [] if correction is None or correction[0] is None else [correction[0]]
    dates += [
        day
        for kind, day, registered in postgres.execute(
            "select activity_type, occurred_on, registered_at from public.activities "
            "where assignment_id = %s",
            (assignment,),
        ).fetchall()
        if counts[kind] and (correction is None or registered > correction[1])
    ]
    return max(dates, default=None)


def dated(postgres: Connection, assignment: int) -> dt.date | None:
    """Return the date that the job goes by."""
    date: dt.date | None = one(
        postgres, "select last_contact_date from public.assignments where id = %s", assignment
    )
    return date


def attempt(session: Connection, operation: str, assignment: int) -> str | None:
    try:
        session.execute(STATEMENTS[operation].encode(), {"a": assignment})
        session.commit()
    except psycopg.Error as err:
        session.rollback()
        return err.sqlstate
    return None


def is_over_or_waits(postgres: Connection, end: Future[str | None], pid: int) -> bool:
    return end.done() or bool(one(postgres, "select cardinality(pg_blocking_pids(%s)) > 0", pid))


@pytest.mark.parametrize("overlap", ["before", "during"])
@pytest.mark.parametrize(
    ("level", "others"),
    list(product((COMMITTED, REPEATABLE, SERIALIZABLE), repeat=2)),
)
def test_a_date_is_right_or_refused(
    postgres: Connection,
    sessions: tuple[Connection, Connection],
    level: IsolationLevel,
    others: IsolationLevel,
    overlap: str,
) -> None:
    """The first has its snapshot when the second writes; that one commits before or meanwhile."""
    first, second = sessions
    first.isolation_level, second.isolation_level = level, others
    done = 0
    with ThreadPoolExecutor(1) as pool:
        for mine, other in product(OPERATIONS, OPERATIONS):
            # It waits for the registration of the other for two seconds, then gives up.
            if overlap == "during" and "switches" in mine and other != mine:
                continue
            other_one, assignment = add_assignments(postgres, 2)
            for kind, ago in (("phone_call", 4), ("meeting", 20)):
                postgres.execute(INSERT.format(kind, ago).encode(), {"a": assignment})
            first.execute("select count(*) from public.activities")
            if overlap == "before":
                seconds_end = attempt(second, other, assignment)
                firsts_end = attempt(first, mine, assignment)
            else:
                try:
                    second.execute(OPERATIONS[other].encode(), {"a": assignment})
                    seconds_end = None
                except psycopg.Error as err:
                    second.rollback()
                    seconds_end = err.sqlstate
                end = pool.submit(attempt, first, mine, assignment)
                while not is_over_or_waits(postgres, end, first.info.backend_pid):
                    pass
                second.commit()
                firsts_end = end.result()
            case = f"{mine} while the other {other}: {firsts_end}, {seconds_end}"
            assert {firsts_end, seconds_end} <= {None, *REFUSED}, case
            done += firsts_end is None
            for each in (other_one, assignment):
                assert dated(postgres, each) == logged(postgres, each), case
            postgres.execute(
                "update public.activity_types set counts_as_contact = true where code = 'meeting'"
            )
    # Not by refusing everybody.
    assert done >= 8


def test_repair_does_not_overwrite_a_contact_that_is_registered_meanwhile(
    postgres: Connection, superuser: Connection, sessions: tuple[Connection, Connection]
) -> None:
    first, second = sessions
    (assignment,) = add_assignments(postgres, 1)
    postgres.execute(INSERT.format("phone_call", 4).encode(), {"a": assignment})
    with superuser.transaction():
        superuser.execute("set local session_replication_role = replica")
        superuser.execute("update public.assignments set last_contact_date = null")
    second.execute(OPERATIONS["registers the latest contact"].encode(), {"a": assignment})
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(attempt, first, "repairs", assignment)
        while not is_over_or_waits(postgres, end, first.info.backend_pid):
            pass
        second.commit()
        assert end.result() is None
    assert dated(postgres, assignment) == logged(postgres, assignment)


@pytest.mark.parametrize("level", [REPEATABLE, SERIALIZABLE])
def test_activities_that_cannot_all_be_seen_cannot_be_truncated(
    postgres: Connection, sessions: tuple[Connection, Connection], level: IsolationLevel
) -> None:
    first, _ = sessions
    first.isolation_level = level
    first.execute("select 1")
    (assignment,) = add_assignments(postgres, 1)
    postgres.execute(INSERT.format("phone_call", 4).encode(), {"a": assignment})
    with pytest.raises(psycopg.errors.SerializationFailure, match="cannot be truncated at"):
        first.execute("truncate public.activities")
    first.rollback()
    assert dated(postgres, assignment) == logged(postgres, assignment) is not None


@pytest.mark.parametrize("others", [COMMITTED, REPEATABLE, SERIALIZABLE])
@pytest.mark.parametrize("comes", ["before", "after"])
@pytest.mark.parametrize("other", OPERATIONS)
def test_a_truncation_and_whatever_comes_with_it_leave_the_right_date(
    postgres: Connection,
    sessions: tuple[Connection, Connection],
    other: str,
    comes: str,
    others: IsolationLevel,
) -> None:
    """Whichever comes first holds its locks until the other waits for them."""
    truncating, second = sessions
    second.isolation_level = others
    other_one, assignment = add_assignments(postgres, 2)
    for kind, ago in (("phone_call", 4), ("meeting", 20)):
        postgres.execute(INSERT.format(kind, ago).encode(), {"a": assignment})
    second.execute("select count(*) from public.assignments")
    waits, holds = (truncating, second) if comes == "before" else (second, truncating)
    mine, theirs = ("truncates", other) if comes == "before" else (other, "truncates")
    try:
        holds.execute(STATEMENTS[theirs].encode(), {"a": assignment})
    except psycopg.errors.SerializationFailure:
        # What changes the types is refused at once, whoever comes with it.
        assert others is not COMMITTED
        holds.rollback()
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(attempt, waits, mine, assignment)
        while not is_over_or_waits(postgres, end, waits.info.backend_pid):
            pass
        holds.commit()
        assert end.result() in {None, *REFUSED, "55P03"}
    for each in (other_one, assignment):
        assert dated(postgres, each) == logged(postgres, each)
