"""The incidents of the troubleshooting chapter, each really produced.

A scenario is a pytest fixture.  It puts the block's own database into the state its section is
about and yields how to tell, without the page's help, whether that state is still there.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sql_snippets import Scenario
from tests.sql_snippets.http_receiver import http_receiver
from tests.sql_snippets.incidents import (
    ABANDONED_RUN_IS_PRESENT,
    ALERT_NOT_DELIVERED,
    BEFORE_FIRST_RUN,
    DUPLICATE_REMINDERS,
    DUPLICATE_REMINDERS_ARE_PRESENT,
    HEARTBEAT_UNSET,
    HEARTBEAT_UNSET_IS_PRESENT,
    HOOK_DISABLED,
    HOOK_DISABLED_IS_PRESENT,
    LAST_RUN_FAILED,
    LOCK_IS_TAKEN,
    LOCK_KEY,
    LOST_GRANT,
    MISSED_RUN,
    MISSED_RUN_IS_PRESENT,
    NOBODY_WAS_REMINDED,
    RESTORED,
    RESTORED_IS_PRESENT,
    WATCHDOG_OFF,
    WATCHDOG_OFF_IS_PRESENT,
)
from tests.sql_snippets.net_worker import running_net_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sql_snippets import Database

# The page leaves a session alone that has waited within its transaction for less than 5 seconds.
UNTIL_IT_IS_OLD = """
select pg_sleep_until(state_change + interval '5.1 seconds') from pg_stat_activity where pid = %s"""


INCIDENTS: dict[str, Callable[[Database], Scenario | Iterator[Scenario]]] = {}
"""What produces each incident in a database, and ends what it holds open, by its name."""


def incident(produce: Callable[[Database], Any]) -> Any:
    """Make it a fixture, and keep it for whoever produces it without pytest."""
    INCIDENTS[produce.__name__] = produce
    return pytest.fixture(produce)


def _is_true(database: Database, condition: str) -> bool:
    """Say whether a SQL condition holds, asked from a session of its own."""
    with database.connect() as connection:
        row = connection.execute(f"select {condition}").fetchone()
    return bool(row and row[0])


def _produce(database: Database, incident: str) -> None:
    with database.connect() as session:
        session.execute(incident.encode())


def _is_present(database: Database, query: str) -> bool:
    with database.connect() as session:
        row = session.execute(query.encode()).fetchone()
    return bool(row and row[0])


def _wait_until(database: Database, condition: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if _is_true(database, condition):
            return
        time.sleep(0.02)
    pytest.fail(f"The scenario waited for this in vain: {condition}")


def _run_job_and_expect_failure(database: Database) -> None:
    """Let pg_cron's command fail, as it would in a scheduled run."""
    with (
        database.connect(application_name="pg_cron") as session,
        suppress(psycopg.Error),
    ):
        session.execute("call reminder.run_job()")
        pytest.fail("The scenario wanted a failing run, and the run succeeded.")


@contextmanager
def _scheduler_session(database: Database) -> Iterator[None]:
    """Show the launcher of pg_cron at work, which has a session that others can see."""
    with database.connect(application_name="pg_cron scheduler"):
        yield


@incident
def missed_run(sql_database: Database) -> Iterator[Scenario]:
    """Nothing has succeeded for three days because the job was switched off."""
    _produce(sql_database, MISSED_RUN)
    with _scheduler_session(sql_database):
        yield Scenario(is_present=lambda: _is_present(sql_database, MISSED_RUN_IS_PRESENT))


@incident
def watchdog_off(sql_database: Database) -> Iterator[Scenario]:
    """The watchdog was switched off and has not looked for a day."""
    _produce(sql_database, WATCHDOG_OFF)
    with _scheduler_session(sql_database):
        yield Scenario(is_present=lambda: _is_present(sql_database, WATCHDOG_OFF_IS_PRESENT))


@incident
def surplus_job(sql_database: Database) -> Scenario:
    """Somebody made a job of his own that calls the run."""
    with sql_database.connect() as session:
        session.execute("select cron.schedule('nightly', '0 5 * * *', 'call reminder.run_job()')")
    return Scenario(
        is_present=lambda: _is_true(
            sql_database, "exists (select from cron.job where jobname = 'nightly')"
        )
    )


@incident
def no_jobs(sql_database: Database) -> Scenario:
    """The database was restored without its jobs."""
    with sql_database.connect() as session:
        session.execute("select cron.unschedule(jobname) from cron.job")
    return Scenario(is_present=lambda: _is_true(sql_database, "not exists (select from cron.job)"))


@incident
def given_away(sql_database: Database) -> Scenario:
    """A restore let everybody read the assignments."""
    with sql_database.connect() as session:
        session.execute("grant select on public.assignments to anon")
    return Scenario(
        is_present=lambda: _is_true(
            sql_database, "has_table_privilege('anon', 'public.assignments', 'select')"
        )
    )


@incident
def lost_function(sql_database: Database) -> Scenario:
    """A restore left out a function, and a check refuses every new assignment."""
    with sql_database.connect() as session:
        session.execute("drop function reminder.send_heartbeat()")
        session.execute(
            "alter table public.assignments add constraint odd check (id < 9) not valid"
        )
    return Scenario(
        is_present=lambda: _is_true(
            sql_database,
            "to_regprocedure('reminder.send_heartbeat()') is null "
            "or exists (select from pg_constraint where conname = 'odd')",
        )
    )


@incident
def senseless_setting(sql_database: Database) -> Scenario:
    """Somebody set the threshold so high that nobody hears of failures."""
    with sql_database.connect() as session:
        session.execute("update reminder.settings set failure_threshold = 90")
    return Scenario(
        is_present=lambda: _is_true(
            sql_database, "(select failure_threshold from reminder.settings) > 7"
        )
    )


@incident
def stuck_lock(sql_database: Database) -> Iterator[Scenario]:
    """A tool took the lock in a session that it keeps open and idle."""
    holder = sql_database.connect(application_name="psql")
    try:
        holder.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
        yield Scenario(is_present=lambda: _is_present(sql_database, LOCK_IS_TAKEN))
    finally:
        holder.close()


@incident
def blocked_service(sql_database: Database) -> Iterator[Scenario]:
    """A session left a transaction open on the assignments; the run gave up on its lock."""
    with sql_database.connect() as session:
        session.execute("delete from reminder.dispatched_reminders")
    blocker = sql_database.connect(application_name="psql")
    try:
        blocker.execute("begin")
        blocker.execute("select from public.assignments for update")
        _run_job_and_expect_failure(sql_database)
        with sql_database.connect() as session:
            session.execute(UNTIL_IT_IS_OLD, [blocker.info.backend_pid])
        yield Scenario(is_present=lambda: _is_present(sql_database, LAST_RUN_FAILED))
    finally:
        blocker.close()


@incident
def failing_job(sql_database: Database) -> Scenario:
    """A migration renamed a column the job reads, and three runs have failed since."""
    with sql_database.connect() as session:
        session.execute("alter table public.assignments rename last_contact_date to last_contact")
    for _ in range(3):
        _run_job_and_expect_failure(sql_database)
    return Scenario(
        is_present=lambda: _is_true(sql_database, "reminder.consecutive_failures() = 3")
    )


@incident
def lost_grant(sql_database: Database) -> Scenario:
    """A restore took a grant away that the job needs, and three runs have failed since."""
    _produce(sql_database, LOST_GRANT)
    for _ in range(3):
        _run_job_and_expect_failure(sql_database)
    return Scenario(is_present=lambda: _is_present(sql_database, LAST_RUN_FAILED))


@incident
def alert_not_delivered(sql_database: Database) -> Iterator[Scenario]:
    """The secret with the webhook's address is gone, and an alert waits for it."""
    with http_receiver() as receiver, running_net_worker(sql_database):
        _produce(sql_database, ALERT_NOT_DELIVERED)

        def not_arrived() -> bool:
            if _is_true(
                sql_database, "exists (select from reminder.alerts where status = 'queued')"
            ):
                return True
            # Handed to pg_net, which sends it when it likes.
            return not receiver.wait_for(1)

        yield Scenario(is_present=not_arrived, values={"webhook_url": receiver.url})


@incident
def heartbeat_unset(sql_database: Database) -> Iterator[Scenario]:
    """Nobody has set the address of the heartbeat in this project."""
    with http_receiver() as receiver, running_net_worker(sql_database):
        _produce(sql_database, HEARTBEAT_UNSET)
        yield Scenario(
            is_present=lambda: _is_present(sql_database, HEARTBEAT_UNSET_IS_PRESENT),
            values={"heartbeat_url": receiver.url},
        )


@incident
def restored(sql_database: Database) -> Iterator[Scenario]:
    """A dump was restored: no jobs, no secrets, a contact past the hook."""
    with http_receiver() as receiver, running_net_worker(sql_database):
        _produce(sql_database, RESTORED)

        def is_present() -> bool:
            # Answers are read by the watchdog, which is registered again and fires too seldom.
            _produce(sql_database, "select reminder.watch()")
            return _is_present(sql_database, RESTORED_IS_PRESENT)

        yield Scenario(
            is_present=is_present,
            values={"webhook_url": receiver.url, "heartbeat_url": receiver.url},
        )


@incident
def before_first_run(sql_database: Database) -> Scenario:
    """The system is deployed, and has reminded nobody yet."""
    _produce(sql_database, BEFORE_FIRST_RUN)
    return Scenario(is_present=lambda: _is_present(sql_database, NOBODY_WAS_REMINDED))


@incident
def duplicate_reminders(sql_database: Database) -> Scenario:
    """The primary key was lost in a restore, and two overlapping runs wrote everything twice."""
    _produce(sql_database, DUPLICATE_REMINDERS)
    return Scenario(is_present=lambda: _is_present(sql_database, DUPLICATE_REMINDERS_ARE_PRESENT))


@incident
def hook_disabled(sql_database: Database) -> Scenario:
    """A bulk load switched the hook off, wrote a contact, and left the hook off."""
    _produce(sql_database, HOOK_DISABLED)
    return Scenario(is_present=lambda: _is_present(sql_database, HOOK_DISABLED_IS_PRESENT))


@incident
def abandoned_run(sql_database: Database) -> Scenario:
    """The session of a run was ended in mid-run, and the watchdog has closed its row."""
    with sql_database.connect() as session:
        session.execute("delete from reminder.dispatched_reminders")
        # On a busy machine the run would give up on the lock before it is ended.
        session.execute("alter function reminder.run_batch set lock_timeout = '60s'")
    blocker = sql_database.connect(application_name="psql")
    try:
        # The run waits for this lock, which gives the time to end it.
        blocker.execute("begin")
        blocker.execute("select from public.assignments for update")
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(_run_job_and_expect_failure, sql_database)
            # A run that ends before its row is committed leaves nothing behind to be explained.
            _wait_until(
                sql_database,
                "exists (select from public.cron_execution_logs where status = 'running')",
            )
            with sql_database.connect() as session:
                session.execute("select pg_terminate_backend(reminder.lock_holder(), 5000)")
            run.result()
    finally:
        blocker.close()
    with sql_database.connect(application_name="pg_cron") as session:
        # As it was deployed: the incident is the lost session and nothing else.
        session.execute("alter function reminder.run_batch set lock_timeout = '2s'")
        session.execute("select reminder.watch()")
    return Scenario(is_present=lambda: _is_present(sql_database, ABANDONED_RUN_IS_PRESENT))
