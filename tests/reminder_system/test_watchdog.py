"""The watchdog: what it finds that a run cannot report, and that it stands in no run's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.people import add_assignments
from tests.reminder_system.runbook import runbook_block
from tests.reminder_system.runs import (
    break_dispatch,
    calling,
    check,
    close_gate,
    eventually,
    lock_holder,
    log,
    mend_dispatch,
    one,
    run,
    set_settings,
    wait_at_gate,
)

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

# Once a year, and so far from today that nothing is due on either side of it.
HALF_A_YEAR_AWAY = f"0 0 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"
Connection = psycopg.Connection[Any]


@pytest.fixture
def watched(postgres: Connection) -> Connection:
    add_assignments(postgres, 1)
    return postgres


def long_scheduled(connection: Connection) -> None:
    """Let the watchdog have seen the schedule that is registered for a year."""
    connection.execute(
        "insert into reminder.watchdog_log (watched_at, schedule, scheduled_since) "
        "select now() - interval '10 days', schedule, now() - interval '1 year' from cron.job "
        "where jobname = 'peer-mentor-reminders'"
    )


def watch(connection: Connection) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("select * from reminder.watch()").fetchone()
    assert row is not None
    return row


def kinds(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select kind from reminder.alerts order by id")]


def test_with_nothing_to_do_does_nothing_and_says_so(watched: Connection) -> None:
    found = watch(watched)
    assert (found["missed_since"], found["long_run_id"], found["cancelled_pid"]) == (None,) * 3
    assert (found["abandoned_runs"], found["alerts_sent"], found["alerts_undelivered"]) == (0, 0, 0)
    assert kinds(watched) == []
    assert one(watched, "select count(*) from reminder.watchdog_log") == 1


def test_does_not_make_a_run_that_starts_in_the_same_moment_a_skipped_one(
    database: Database, watched: Connection
) -> None:
    # Both are due at 06:00, and the watchdog's transaction is still open when the job starts.
    with database.connect(autocommit=False) as watchdog:
        watch(watchdog)
        assert run(watched) is None
    assert [row["status"] for row in log(watched)] == ["succeeded"]


def test_closes_a_run_whose_session_is_gone(database: Database, watched: Connection) -> None:
    close_gate(watched)
    with calling(database) as call:
        wait_at_gate(watched, call)
        assert watch(watched)["abandoned_runs"] == 0
        watched.execute("select pg_terminate_backend(%s)", (call.pid,))
        call.finish()
    eventually(lambda: lock_holder(watched) is None, "the lock is free")
    assert watch(watched)["abandoned_runs"] == 1
    assert [row["status"] for row in log(watched)] == ["abandoned"]
    assert kinds(watched) == ["abandoned_run"]
    assert watch(watched)["abandoned_runs"] == 0
    assert kinds(watched) == ["abandoned_run"]


def test_cancels_a_run_past_the_hard_limit_and_leaves_a_young_one(
    database: Database, watched: Connection
) -> None:
    close_gate(watched)
    with calling(database) as call:
        wait_at_gate(watched, call)
        assert watch(watched)["cancelled_pid"] is None
        watched.execute(
            "update public.cron_execution_logs set started_at = started_at - interval '11 minutes'"
        )
        assert watch(watched)["cancelled_pid"] == call.pid
        assert call.finish() == "57014"
    assert lock_holder(watched) is None
    assert [row["status"] for row in log(watched)] == ["failed"]


def test_calls_a_session_stuck_at_the_hard_limit_that_is_set(
    database: Database, watched: Connection
) -> None:
    stuck = "select pid from reminder.stuck_lock"
    with calling(
        database, "select pg_advisory_lock(741852963), pg_sleep(1000)", role="postgres"
    ) as call:
        eventually(lambda: lock_holder(watched) == call.pid, "it holds the lock")
        assert watched.execute(stuck).fetchall() == []
        # No setting is as short as a test: the limit is moved to where the session already is.
        watched.execute(
            "alter table reminder.settings drop constraint settings_run_hard_limit_check"
        )
        set_settings(watched, run_hard_limit="0 seconds")
        assert watched.execute(stuck).fetchall() == [(call.pid,)]
        watched.execute("select pg_cancel_backend(%s)", (call.pid,))
        call.finish()


@pytest.mark.parametrize(
    ("hard", "alert", "is_accepted"),
    [
        ("10 minutes", "20 minutes", True),
        ("10 minutes", "19 minutes", False),
        ("40 minutes", "30 minutes", False),
        ("30 minutes", "30 minutes", False),
        ("2 hours", "130 minutes", True),
    ],
)
def test_must_have_tried_to_cancel_a_run_before_it_says_so(
    watched: Connection, *, hard: str, alert: str, is_accepted: bool
) -> None:
    update = "update reminder.settings set run_hard_limit = %s, long_run_after = %s"
    if is_accepted:
        watched.execute(update, (hard, alert))
    else:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            watched.execute(update, (hard, alert))
        name = "long_run_after_must_be_10_minutes_above_run_hard_limit"
        assert refused.value.diag.constraint_name == name
        assert name in str(refused.value)


# A run that a cancel does not end.
STUBBORN = """
do $$ begin
  perform pg_advisory_lock(741852963);
  loop
    begin
      perform pg_sleep(1000);
    exception when query_canceled then
      null;
    end;
  end loop;
end $$
"""


def test_cancels_first_and_says_that_it_did_not_help_when_it_did_not(
    database: Database, watched: Connection
) -> None:
    with calling(database, STUBBORN, role="postgres") as call:
        eventually(lambda: lock_holder(watched) == call.pid, "it holds the lock")
        run_id = one(
            watched,
            "insert into public.cron_execution_logs "
            "(trigger_source, triggered_by, status, backend_pid) "
            "values ('cron', 'x', 'running', %s) returning id",
            call.pid,
        )
        # Half a minute of a busy machine must not make the younger one the older.
        for age, cancelled, long in (
            ("9 minutes 30 seconds", None, None),
            ("10 minutes 1 second", call.pid, None),
            ("29 minutes 30 seconds", call.pid, None),
            ("30 minutes 1 second", call.pid, run_id),
            ("9 hours", call.pid, run_id),
        ):
            watched.execute(
                "update public.cron_execution_logs "
                "set started_at = clock_timestamp() - %s::interval",
                (age,),
            )
            found = watch(watched)
            assert (found["cancelled_pid"], found["long_run_id"]) == (cancelled, long), age
            assert kinds(watched) == ["long_run"] * (long is not None), age
        watched.execute("select pg_terminate_backend(%s)", (call.pid,))
        call.finish()


def test_a_run_answers_what_was_due_when_it_began_and_an_hour_of_grace_is_given(
    watched: Connection,
) -> None:
    set_job(watched, "0 6 * * *")
    due = datetime(2026, 11, 27, 6, tzinfo=UTC)
    second, hour = timedelta(seconds=1), timedelta(hours=1)
    add = (
        "insert into public.cron_execution_logs "
        "(trigger_source, triggered_by, status, started_at, finished_at, consecutive_failures) "
        "values ('cron', 'x', %s, %s, case when %s = 'running' then null "
        "else %s::timestamptz end, 0)"
    )
    overdue = "select due_at from reminder.overdue_run(%s)"
    for status, began, ended, looked, answered in (
        ("succeeded", due - 24 * hour, due - 24 * hour + second, due + hour - second, True),
        ("succeeded", due - 24 * hour, due - 24 * hour + second, due + hour, False),
        # It looked at whom it could before that time, and not at who fell due since.
        ("succeeded", due - second, due + second, due + hour, False),
        ("succeeded", due, due + second, due + hour, True),
        ("failed", due, due + second, due + hour, True),
        ("timed_out", due, due + second, due + hour, True),
        ("abandoned", due, due + second, due + hour, True),
        ("skipped", due, due + second, due + hour, False),
        ("running", due, None, due + hour, False),
    ):
        with watched.transaction(force_rollback=True):
            watched.execute(add, (status, began, status, ended))
            rows = watched.execute(overdue, (looked,)).fetchall()
            assert rows == ([] if answered else [(due,)]), (status, began, looked)


@pytest.mark.parametrize(
    ("schedule", "ago", "is_missed"),
    [
        ("* * * * *", "3 hours", True),
        ("* * * * *", "30 minutes", False),
        ("0 * * * *", "4 hours", True),
        pytest.param(HALF_A_YEAR_AWAY, "3 hours", False, id="half a year away"),
    ],
)
def test_finds_a_missed_run_by_the_schedule_that_is_registered(
    watched: Connection, *, schedule: str, ago: str, is_missed: bool
) -> None:
    watched.execute(
        "select cron.alter_job(jobid, schedule := %s) from cron.job "
        "where jobname = 'peer-mentor-reminders'",
        (schedule,),
    )
    long_scheduled(watched)
    watched.execute(
        "insert into public.cron_execution_logs "
        "(trigger_source, triggered_by, status, started_at, finished_at) "
        "values ('cron', 'x', 'succeeded', now() - %s::interval, now() - %s::interval)",
        (ago, ago),
    )
    assert (watch(watched)["missed_since"] is not None) == is_missed
    watch(watched)
    assert kinds(watched) == ["missed_run"] * is_missed
    if is_missed:
        assert run(watched) is None
        assert watch(watched)["missed_since"] is None


def set_job(postgres: Connection, schedule: str, *, active: bool = True) -> None:
    postgres.execute(
        "select cron.alter_job(jobid, schedule := %s, active := %s) from cron.job "
        "where jobname = 'peer-mentor-reminders'",
        (schedule, active),
    )
    long_scheduled(postgres)


def add_run(postgres: Connection, ago: str, status: str = "succeeded") -> None:
    postgres.execute(
        "insert into public.cron_execution_logs (trigger_source, triggered_by, status, "
        "started_at, finished_at, consecutive_failures) "
        "values ('cron', 'x', %s, now() - %s::interval, now() - %s::interval, %s)",
        (status, ago, ago, int(status == "failed")),
    )


LAST_SUCCESS = "select ok, section from reminder.health where what = 'last success'"


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    ("schedule", "ago", "is_missed"),
    [
        ("0 * * * *", "4 hours", True),
        ("* * * * *", "30 minutes", False),
        ("0 6 * * *", "26 hours", True),
        pytest.param(HALF_A_YEAR_AWAY, "26 hours", False, id="half a year away"),
    ],
)
def test_is_of_one_mind_with_the_runbook_and_with_health(
    watched: Connection, *, schedule: str, ago: str, is_missed: bool, active: bool
) -> None:
    set_job(watched, schedule, active=active)
    add_run(watched, "9 days")
    add_run(watched, ago)
    rows = watched.execute(runbook_block("confirm-missed-run")).fetchall()
    # The page tells of a job that is off before its time has come, too.
    assert [(row[0], bool(row[1])) for row in rows] == (
        [("active" if active else "disabled", is_missed)] if is_missed or not active else []
    )
    # The watchdog leaves a disabled job alone, which is somebody's decision.
    assert watch(watched)["missed_since"] == (rows[0][1] if rows and active else None)
    assert watched.execute(LAST_SUCCESS).fetchall() == [(not is_missed, "missed-runs")]


def test_and_the_runbook_agree_that_a_run_that_failed_was_not_missed(watched: Connection) -> None:
    set_job(watched, "0 * * * *")
    add_run(watched, "4 hours")
    add_run(watched, "1 second", "failed")
    assert watched.execute(runbook_block("confirm-missed-run")).fetchall() == []
    assert watch(watched)["missed_since"] is None
    assert watched.execute(LAST_SUCCESS).fetchall() == [(False, "repeated-failures")]
    add_run(watched, "0 seconds")
    assert watched.execute(LAST_SUCCESS).fetchall() == [(True, "missed-runs")]


def test_nothing_is_missed_on_the_day_of_the_installation(watched: Connection) -> None:
    assert watched.execute(runbook_block("confirm-missed-run")).fetchall() == []
    assert watched.execute(LAST_SUCCESS).fetchall() == [(True, "missed-runs")]


def test_a_job_that_was_deleted_is_found_by_the_runbook(watched: Connection) -> None:
    add_run(watched, "1 second")
    watched.execute("select cron.unschedule('peer-mentor-reminders')")
    rows = watched.execute(runbook_block("confirm-missed-run")).fetchall()
    assert [row[:2] for row in rows] == [("not registered", None)]
    assert watched.execute(LAST_SUCCESS).fetchall() == [(False, "missed-runs")]


def test_leaves_a_disabled_job_alone(watched: Connection) -> None:
    watched.execute(
        "insert into public.cron_execution_logs "
        "(trigger_source, triggered_by, status, started_at, finished_at) "
        "values ('cron', 'x', 'succeeded', now() - interval '9 days', now() - interval '9 days')"
    )
    watched.execute(
        "select cron.alter_job(jobid, active := false) from cron.job "
        "where jobname = 'peer-mentor-reminders'"
    )
    assert watch(watched)["missed_since"] is None


def test_says_that_an_alert_never_arrived_once(watched: Connection) -> None:
    watched.execute(
        "insert into reminder.alerts (kind, message, status, attempts) "
        "values ('test', 'hello', 'undelivered', 6)"
    )
    assert watch(watched)["alerts_undelivered"] == 1
    watch(watched)
    assert kinds(watched) == ["test", "undelivered_alert"]


def test_a_first_run_that_never_came_is_missed(postgres: Connection) -> None:
    """Nothing has ever run; the watchdog has been there for longer than the schedule allows."""
    postgres.execute("delete from public.cron_execution_logs")
    assert one(postgres, "select reminder.missed_run(clock_timestamp())") is None
    long_scheduled(postgres)
    assert one(postgres, "select reminder.missed_run(clock_timestamp())") is not None
    postgres.execute("select reminder.watch()")
    kinds = postgres.execute("select kind from reminder.alerts").fetchall()
    assert kinds == [("missed_run",)]


def move(postgres: Connection, schedule: str) -> None:
    postgres.execute(
        "select cron.alter_job(jobid, schedule := %s) from cron.job "
        "where jobname = 'peer-mentor-reminders'",
        (schedule,),
    )


# At least two hours ago, its grace over, whatever the time is now.
TWO_HOURS_AGO = f"0 {(datetime.now(UTC) - timedelta(hours=3)).hour} * * *"


def test_a_schedule_just_moved_to_a_time_that_is_past_was_not_missed(watched: Connection) -> None:
    set_job(watched, HALF_A_YEAR_AWAY)
    add_run(watched, "26 hours")
    watch(watched)
    move(watched, TWO_HOURS_AGO)
    for _ in range(3):
        assert watch(watched)["missed_since"] is None
        assert watched.execute(LAST_SUCCESS).fetchall() == [(True, "missed-runs")]
    # A day later it counts.
    assert one(watched, "select reminder.missed_run(clock_timestamp() + interval '1 day')")
    assert kinds(watched) == []


def test_a_run_that_was_missed_is_not_answered_by_moving_the_schedule(watched: Connection) -> None:
    set_job(watched, "0 * * * *")
    add_run(watched, "4 hours")
    missed = watch(watched)["missed_since"]
    assert missed is not None
    move(watched, HALF_A_YEAR_AWAY)
    assert watch(watched)["missed_since"] == missed
    assert watched.execute(LAST_SUCCESS).fetchall() == [(False, "missed-runs")]
    assert kinds(watched) == ["missed_run"]
    add_run(watched, "0 seconds")
    assert watch(watched)["missed_since"] is None


def test_a_gap_raises_one_alert_whatever_is_skipped_in_it(watched: Connection) -> None:
    set_job(watched, "* * * * *")
    add_run(watched, "9 hours")
    for hours in (8, 6, 4, 2):
        add_run(watched, f"{hours} hours", "skipped")
        assert watch(watched)["missed_since"] is not None
    assert kinds(watched) == ["missed_run"]
    add_run(watched, "90 minutes")
    add_run(watched, "80 minutes", "skipped")
    watch(watched)
    assert kinds(watched) == ["missed_run"] * 2


@pytest.mark.parametrize("schedule", ["@reboot", "@yearly", "0 6 31 2 *"])
def test_a_schedule_that_never_comes_is_said_plainly(watched: Connection, schedule: str) -> None:
    set_job(watched, schedule)
    add_run(watched, "1 second")
    assert watch(watched)["missed_since"] is None
    well, finding, section = check(watched, "last_success")
    assert (well, section) == (False, "missed-runs")
    assert f"by its schedule {schedule} the job is due at no time" in finding


# What each part of a pass leans on, broken so that the part fails; and the words it is named by.
PARTS = {
    "close_abandoned_runs()": "Dead runs",
    "lock_holder()": "Endless runs",
    "expected_run(timestamptz)": "Missed runs",
    "collect_answers()": "Answers to alerts",
    "send_alerts()": "Sending alerts",
}


@pytest.mark.parametrize("broken", PARTS)
def test_a_part_that_fails_hides_no_other_and_is_named(watched: Connection, broken: str) -> None:
    set_job(watched, "* * * * *")
    add_run(watched, "3 hours")
    watched.execute(
        "insert into reminder.alerts (kind, message, status) values ('test', 'x', 'undelivered')"
    )
    definition = one(watched, "select pg_get_functiondef(%s::regprocedure)", f"reminder.{broken}")
    head, _, _ = definition.partition("AS $function$")
    body = "begin raise exception 'broken on purpose'; end"
    head = head.replace("LANGUAGE sql", "LANGUAGE plpgsql")
    watched.execute(f"{head} AS $function$ {body} $function$".encode())
    row = watch(watched)
    assert row["error"] == f"{PARTS[broken]}: broken on purpose (SQLSTATE P0001)."
    assert row["alerts_undelivered"] == 1
    assert (row["missed_since"] is None) == (broken == "expected_run(timestamptz)")
    found = ["test", "missed_run", "undelivered_alert"]
    assert kinds(watched) == [kind for kind in found if kind != "missed_run" or row["missed_since"]]
    well, finding, section = check(watched, "watchdog")
    assert (well, section) == (False, "watchdog-silent")
    assert finding.endswith(row["error"])


def test_a_streak_that_is_older_than_the_log_is_one_streak(watched: Connection) -> None:
    set_settings(watched, keep_logs="30 days")
    break_dispatch(watched)
    for _ in range(60):
        watched.execute(
            "update public.cron_execution_logs set started_at = started_at - interval '1 day', "
            "finished_at = finished_at - interval '1 day'"
        )
        watched.execute(
            "update reminder.alerts set created_at = created_at - interval '1 day', "
            "status = 'delivered'"
        )
        assert run(watched) == "53100"
        watched.execute("call reminder.clear_old_rows()")
    assert kinds(watched) == ["consecutive_failures"]
    mend_dispatch(watched)
    assert run(watched) is None
    assert kinds(watched) == ["consecutive_failures", "recovered"]


def test_checks_of_health_say_what_was_found(watched: Connection) -> None:
    assert check(watched, "lock") == (True, "free", "stuck-lock")
    assert check(watched, "watchdog")[:2] == (False, "never")
    watch(watched)
    assert check(watched, "watchdog")[:2] == (True, "0 minutes ago")
    assert check(watched, "failures") == (True, "0", "repeated-failures")
    add_run(watched, "1 second", "failed")
    assert check(watched, "failures") == (False, "1, last failed", "repeated-failures")
