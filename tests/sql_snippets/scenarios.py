"""The incidents of the troubleshooting chapter, each really produced.

A scenario is a pytest fixture.  It puts the block's own database into the state its section is
about and yields how to tell, without the page's help, whether that state is still there.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from sql_snippets.model import Scenario
from tests.sql_snippets.http_receiver import http_receiver
from tests.sql_snippets.net_worker import running_net_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Database

LOCK_KEY = 741852963


def _is_true(database: Database, condition: str) -> bool:
    """Say whether a SQL condition holds, asked from a session of its own."""
    with database.connect() as connection:
        row = connection.execute(f"select {condition}").fetchone()
    return bool(row and row[0])


def _wait_until(database: Database, condition: str) -> None:
    for _ in range(200):
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


@pytest.fixture
def missed_run(sql_database: Database) -> Scenario:
    """Nothing has succeeded for three days because the job was switched off."""
    with sql_database.connect() as session:
        session.execute(
            "update public.cron_execution_logs set"
            " started_at = started_at - interval '3 days',"
            " finished_at = finished_at - interval '3 days'"
        )
        session.execute(
            "select cron.alter_job(jobid, active := false)"
            " from cron.job where jobname = 'peer-mentor-reminders'"
        )
    return Scenario(
        is_present=lambda: _is_true(
            sql_database,
            "not exists (select from public.cron_execution_logs"
            " where status = 'succeeded' and finished_at > now() - interval '1 day')",
        )
    )


@pytest.fixture
def stuck_lock(sql_database: Database) -> Iterator[Scenario]:
    """A tool took the lock in a session that it keeps open and idle."""

    def lock_is_taken() -> bool:
        with sql_database.connect() as other:
            # For this statement only: the session is still there for a moment when we are gone.
            row = other.execute("select pg_try_advisory_xact_lock(%s)", [LOCK_KEY]).fetchone()
        return row == (False,)

    holder = sql_database.connect(application_name="psql")
    try:
        holder.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
        yield Scenario(is_present=lock_is_taken)
    finally:
        holder.close()


@pytest.fixture
def blocked_service(sql_database: Database) -> Iterator[Scenario]:
    """A session left a transaction open on the assignments; the run gave up on its lock."""

    def last_run_failed() -> bool:
        return _is_true(
            sql_database,
            "(select status <> 'succeeded' from public.cron_execution_logs"
            " where status not in ('running', 'skipped') order by id desc limit 1)",
        )

    with sql_database.connect() as session:
        session.execute("delete from reminder.dispatched_reminders")
    blocker = sql_database.connect(application_name="psql")
    try:
        blocker.execute("begin")
        blocker.execute("select from public.assignments for update")
        _run_job_and_expect_failure(sql_database)
        yield Scenario(is_present=last_run_failed)
    finally:
        blocker.close()


@pytest.fixture
def failing_job(sql_database: Database) -> Scenario:
    """A migration renamed a column the job reads, and three runs have failed since."""
    with sql_database.connect() as session:
        session.execute("alter table public.assignments rename last_contact_date to last_contact")
    for _ in range(3):
        _run_job_and_expect_failure(sql_database)
    return Scenario(
        is_present=lambda: _is_true(sql_database, "reminder.consecutive_failures() = 3")
    )


@pytest.fixture
def alert_not_delivered(sql_database: Database) -> Iterator[Scenario]:
    """The secret with the webhook's address is gone, and an alert waits for it."""
    with http_receiver() as receiver, running_net_worker(sql_database):
        with sql_database.connect() as session:
            session.execute("delete from vault.secrets where name = 'REMINDER_ALERT_WEBHOOK_URL'")
            session.execute("select reminder.send_test_alert('the scenario')")

        def not_arrived() -> bool:
            if _is_true(
                sql_database, "exists (select from reminder.alerts where status = 'queued')"
            ):
                return True
            # Handed to pg_net, which sends it when it likes.
            return not receiver.wait_for(1)

        yield Scenario(is_present=not_arrived, values={"webhook_url": receiver.url})


@pytest.fixture
def duplicate_reminders(sql_database: Database) -> Scenario:
    """The primary key was lost in a restore, and two overlapping runs wrote everything twice."""
    with sql_database.connect() as session:
        session.execute(
            "alter table reminder.dispatched_reminders drop constraint dispatched_reminders_pkey"
        )
        session.execute(
            "insert into reminder.dispatched_reminders select * from reminder.dispatched_reminders"
        )
    return Scenario(
        is_present=lambda: _is_true(
            sql_database,
            "(select count(*) <> count(distinct (assignment_id, due_on))"
            " from reminder.dispatched_reminders)",
        )
    )


@pytest.fixture
def hook_disabled(sql_database: Database) -> Scenario:
    """A bulk load switched the hook off, wrote a contact, and left the hook off."""
    with sql_database.connect() as session:
        session.execute("alter table public.activities disable trigger user")
        session.execute(
            "insert into public.activities"
            " (assignment_id, activity_type, occurred_on, registration_path)"
            " values (8, 'phone_call', (now() at time zone 'utc')::date - 1, 'bulk')"
        )
    return Scenario(
        is_present=lambda: _is_true(
            sql_database,
            "(select last_contact_date < (now() at time zone 'utc')::date - 1"
            " from public.assignments where id = 8)",
        )
    )


@pytest.fixture
def watchdog_pass(sql_database: Database) -> Scenario:
    """The watchdog has looked and found nothing."""
    with sql_database.connect(application_name="pg_cron") as session:
        session.execute("select reminder.watch()")
    return Scenario(
        is_present=lambda: _is_true(
            sql_database, "exists (select from reminder.watchdog_log where missed_since is null)"
        )
    )


@pytest.fixture
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
        session.execute("select reminder.watch()")
    return Scenario(
        is_present=lambda: _is_true(
            sql_database,
            "(select status = 'abandoned' from public.cron_execution_logs"
            " where status not in ('running', 'skipped') order by id desc limit 1)",
        )
    )
