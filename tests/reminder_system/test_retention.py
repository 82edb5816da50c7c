"""Clearing of old rows: what goes, what stays whatever its age, and in how long transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql as query

from tests.reminder_system.people import AMARA, add_assignments
from tests.reminder_system.runs import calling, eventually, one, reminders, run, statuses

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

CLEAR = "call reminder.clear_old_rows()"

# For each table: rows of an age in days, and the setting that says how long they are kept.
INSERTS = {
    "public.cron_execution_logs": (
        "keep_logs",
        (
            "insert into public.cron_execution_logs "
            "(trigger_source, triggered_by, status, started_at, finished_at) "
            "select 'cron', 'x', 'succeeded', now() - %(age)s * interval '1 day', now() "
            "from generate_series(1, %(count)s)"
        ),
    ),
    "reminder.watchdog_log": (
        "keep_logs",
        (
            "insert into reminder.watchdog_log "
            "(watched_at, abandoned_runs, alerts_answered, alerts_sent, alerts_undelivered) "
            "select now() - %(age)s * interval '1 day', 0, 0, 0, 0 "
            "from generate_series(1, %(count)s)"
        ),
    ),
    "reminder.alerts": (
        "keep_logs",
        (
            "insert into reminder.alerts (kind, message, status, created_at) "
            "select 'test', 'x', 'delivered', now() - %(age)s * interval '1 day' "
            "from generate_series(1, %(count)s)"
        ),
    ),
    "reminder.dispatched_reminders": (
        "keep_reminders",
        (
            "insert into reminder.dispatched_reminders "
            "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
            "select a.id, (now() - %(age)s * interval '1 day')::date, a.mentor_id, 1, "
            "now() - %(age)s * interval '1 day' "
            "from public.assignments a order by a.id limit %(count)s"
        ),
    ),
    "cron.job_run_details": (
        "keep_cron_history",
        (
            "insert into cron.job_run_details "
            "(jobid, runid, database, username, command, status, start_time, end_time) "
            "select 1, (select coalesce(max(runid), 0) from cron.job_run_details) + n, "
            "current_database(), 'postgres', 'select reminder.watch()', 'succeeded', "
            "now() - %(age)s * interval '1 day', now() - %(age)s * interval '1 day' "
            "from generate_series(1, %(count)s) n"
        ),
    ),
}
TABLES = sorted(INSERTS)


def fill(postgres: Connection, table: str, age: float, count: int = 1) -> None:
    postgres.execute(INSERTS[table][1], {"age": age, "count": count})


def count_of(postgres: Connection, table: str) -> int:
    schema, name = table.split(".")
    statement = query.SQL("select count(*) from {}").format(query.Identifier(schema, name))
    (row,) = postgres.execute(statement).fetchall()
    return int(row[0])


def days_kept(postgres: Connection, table: str) -> int:
    setting = query.Identifier(INSERTS[table][0])
    statement = query.SQL("select extract(day from {})::int from reminder.settings").format(setting)
    (row,) = postgres.execute(statement).fetchall()
    return int(row[0])


@pytest.mark.parametrize("table", TABLES)
def test_goes_by_the_setting_and_not_by_a_constant(postgres: Connection, table: str) -> None:
    add_assignments(postgres, 1)
    kept = days_kept(postgres, table)
    fill(postgres, table, kept + 2)
    fill(postgres, table, 0)
    postgres.execute(
        query.SQL("update reminder.settings set {} = %s * interval '1 day'").format(
            query.Identifier(INSERTS[table][0])
        ),
        (kept + 10,),
    )
    postgres.execute(CLEAR)
    assert count_of(postgres, table) == 2


def test_every_table_that_grows_is_cleared(postgres: Connection) -> None:
    """A new table of the system has to be thought of here."""
    logged = postgres.execute(
        "select n.nspname || '.' || c.relname from pg_class c "
        "join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('public', 'reminder') and c.relkind = 'r'"
    ).fetchall()
    # The organisation's own records, kept as long as it wants, and tables of a few rows.
    kept = {
        "public.assignments",
        "public.activities",
        "public.activity_types",
        "reminder.last_contact_corrections",
        "reminder.settings",
        "reminder.alert_kinds",
        # One row, two, and one an object.
        "reminder.heartbeat",
        "reminder.full_looks",
        "reminder.deployed",
        # What people changed on purpose.
        "reminder.changes",
        # Goes with its alert.
        "reminder.requests",
    }
    assert {row[0] for row in logged} - kept == set(TABLES) - {"cron.job_run_details"}


def test_the_latest_finished_run_stays_whatever_its_age(postgres: Connection) -> None:
    """It carries the count of failures in a row and the place where the next run goes on."""
    for status, failures, last in (("succeeded", 0, None), ("failed", 1, 17), ("skipped", 1, None)):
        postgres.execute(
            "insert into public.cron_execution_logs (trigger_source, triggered_by, status, "
            "started_at, finished_at, consecutive_failures, last_assignment_id) "
            "values ('cron', 'x', %s, now() - interval '900 days', now(), %s, %s)",
            (status, failures, last),
        )
    postgres.execute(CLEAR)
    assert statuses(postgres) == ["failed", "skipped"]
    assert one(postgres, "select reminder.consecutive_failures()") == 1
    assert one(postgres, "select resume_after_id from reminder.open_run('cron', 'x', null)") == 17


def test_a_run_that_says_running_is_left_to_the_watchdog(postgres: Connection) -> None:
    postgres.execute(
        "insert into public.cron_execution_logs (trigger_source, triggered_by, status, started_at) "
        "values ('cron', 'x', 'running', now() - interval '900 days')"
    )
    fill(postgres, "public.cron_execution_logs", 0)
    postgres.execute(CLEAR)
    assert statuses(postgres) == ["running", "succeeded"]


@pytest.mark.parametrize("status", ["queued", "sent"])
def test_an_alert_that_is_still_on_its_way_stays(postgres: Connection, status: str) -> None:
    fill(postgres, "reminder.alerts", 900)
    postgres.execute("update reminder.alerts set status = %s", (status,))
    postgres.execute(CLEAR)
    assert count_of(postgres, "reminder.alerts") == 1


def test_runs_that_a_restart_cut_off_are_cleared_without_an_end(postgres: Connection) -> None:
    """pg_cron leaves end_time null in them, so a cut by end_time would keep them for ever."""
    table = "cron.job_run_details"
    fill(postgres, table, 30)
    fill(postgres, table, 30, 2)
    postgres.execute(
        "update cron.job_run_details set end_time = null, status = 'failed', "
        "return_message = 'server restarted' where runid = 2"
    )
    # What has neither end nor start is a run of today that pg_cron is about to start.
    fill(postgres, table, 0)
    postgres.execute(
        "update cron.job_run_details set status = 'starting', start_time = null, end_time = null "
        "where runid = 4"
    )
    postgres.execute(CLEAR)
    assert postgres.execute("select runid from cron.job_run_details").fetchall() == [(4,)]


def test_never_clears_a_reminder_that_could_fall_due_again(postgres: Connection) -> None:
    """The shortest time that may be kept, and somebody who has been silent for years."""
    postgres.execute(
        "update reminder.settings set keep_reminders = '400 days', "
        "reminder_after_days = 365, repeat_every_days = 365"
    )
    for silent_for in (365, 729, 730, 1094, 1095, 4000):
        add_assignments(postgres, 1, started_days_ago=silent_for)
    assert run(postgres) is None
    before = reminders(postgres)
    assert len(before) == 6
    postgres.execute(CLEAR)
    assert reminders(postgres) == before
    assert run(postgres) is None
    assert reminders(postgres) == before


class TestBatches:
    """With one row more than a batch there are two, and a commit stands between them."""

    def test_clears_more_than_one_batch(self, postgres: Connection) -> None:
        fill(postgres, "reminder.watchdog_log", 900, 10_001)
        postgres.execute(CLEAR)
        assert count_of(postgres, "reminder.watchdog_log") == 0

    def test_clears_no_more_than_asked_for(self, postgres: Connection) -> None:
        add_assignments(postgres, 3)
        for table in TABLES:
            fill(postgres, table, 900, 3)
            # The latest run stays, so it must not be one of the old ones.
            fill(postgres, table, 0)
            name = table.split(".")[1]
            assert one(postgres, "select reminder.clear_batch(%s, 2)", name) == 2, table
            assert one(postgres, "select reminder.clear_batch(%s, 2)", name) == 1, table
            assert one(postgres, "select reminder.clear_batch(%s, 2)", name) == 0, table

    def test_what_is_cleared_stays_cleared_when_a_later_batch_is_lost(
        self, database: Database, postgres: Connection
    ) -> None:
        table = "reminder.watchdog_log"
        fill(postgres, table, 900, 20_001)
        postgres.execute(
            "create function public.wait() returns trigger language plpgsql as $$ begin "
            "if (select count(*) from reminder.watchdog_log) < 5000 then "
            "perform pg_sleep(60); end if; return null; end $$; "
            "create trigger wait after delete on reminder.watchdog_log "
            "for each statement execute function public.wait()"
        )
        with calling(database, CLEAR) as call:
            eventually(
                lambda: one(
                    postgres,
                    "select count(*) from pg_stat_activity where pid = %s "
                    "and wait_event = 'PgSleep'",
                    call.pid,
                ),
                "the second batch is held",
            )
            postgres.execute("select pg_terminate_backend(%s)", (call.pid,))
            assert call.finish() in {"57P01", "lost"}
        # The first batch is gone for good, the second is back, the third was not reached.
        assert count_of(postgres, table) == 10_001

    def test_is_refused_in_a_transaction_block(self, postgres: Connection) -> None:
        with (
            pytest.raises(psycopg.errors.InvalidTransactionTermination),
            postgres.transaction(),
        ):
            postgres.execute(CLEAR)


def test_another_table_cannot_be_named(postgres: Connection) -> None:
    add_assignments(postgres, 1, mentor=AMARA)
    with pytest.raises(psycopg.errors.CaseNotFound):
        postgres.execute("select reminder.clear_batch('assignments', 10)")
    assert count_of(postgres, "public.assignments") == 1


def test_the_history_of_other_jobs_is_theirs(postgres: Connection) -> None:
    """By the command too: a job that was registered again has another number."""
    table = "cron.job_run_details"
    fill(postgres, table, 900, 6)
    fill(postgres, table, 0)
    for runid, jobid, command in (
        (1, 77, "call public.run_job()"),
        (2, 77, "select premium_reminder.watch_all()"),
        (3, 77, "call reminder.run_job()"),
        (4, 2, "select 1"),
    ):
        postgres.execute(
            "update cron.job_run_details set jobid = %s, command = %s where runid = %s",
            (jobid, command, runid),
        )
    postgres.execute(CLEAR)
    left = postgres.execute("select runid from cron.job_run_details order by 1").fetchall()
    assert left == [(1,), (2,), (7,)]


def test_the_latest_alert_of_a_kind_stays_and_none_is_raised_again(postgres: Connection) -> None:
    for subject, age in ((1, 900), (2, 899)):
        for kind in ("missed_run", "undelivered_alert"):
            postgres.execute(
                "insert into reminder.alerts (kind, subject_id, message, status, created_at) "
                "values (%s, %s, 'x', 'undelivered', now() - %s * interval '1 day')",
                (kind, subject, age),
            )
    postgres.execute(CLEAR)
    left = "select kind, subject_id from reminder.alerts order by 1"
    assert postgres.execute(left).fetchall() == [("missed_run", 2), ("undelivered_alert", 2)]
    postgres.execute("select reminder.watch()")
    assert postgres.execute(left).fetchall() == [("missed_run", 2), ("undelivered_alert", 2)]


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("public.cron_execution_logs", "public.cron_execution_logs_started_at_idx"),
        ("reminder.watchdog_log", "reminder.watchdog_log_watched_at_idx"),
        ("reminder.dispatched_reminders", "reminder.dispatched_reminders_due_on_idx"),
        ("reminder.alerts", "reminder.alerts_created_at_idx"),
        # pg_cron's own, which has no other: by the number of the run.
        ("cron.job_run_details", "cron.job_run_details_pkey"),
    ],
)
def test_old_rows_are_found_by_an_index_and_not_by_a_scan_a_batch(
    postgres: Connection, superuser: Connection, table: str, index: str
) -> None:
    add_assignments(postgres, 20_000)
    fill(postgres, table, 900, 2500)
    fill(postgres, table, 10, 17_500)
    superuser.execute(f"analyze {table}".encode())
    scans = (
        f"select pg_stat_get_numscans('{table}'::regclass), "
        f"pg_stat_get_numscans('{index}'::regclass)"
    )
    flush = "select pg_stat_force_next_flush()"
    name = table.partition(".")[2]
    for cleared in (1000, 1000, 500, 0):
        postgres.execute(flush)
        ((seq, by_index),) = postgres.execute(scans.encode()).fetchall()
        assert one(postgres, f"select reminder.clear_batch('{name}', 1000)") == cleared
        postgres.execute(flush)
        ((seq_after, index_after),) = postgres.execute(scans.encode()).fetchall()
        assert seq_after == seq
        assert index_after > by_index
