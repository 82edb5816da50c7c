"""Every limit of the system, just on the one side of it and just on the other."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.people import add_assignments
from tests.reminder_system.runs import one, set_settings

if TYPE_CHECKING:
    from collections.abc import Callable

Connection = psycopg.Connection[Any]

# The least and the most that each setting takes, and what is one too few and one too many.
BOUNDS = {
    "reminder_after_days": (["1", "365"], ["0", "366"]),
    "repeat_every_days": (["1", "365"], ["0", "366"]),
    "failure_threshold": (["1", "100"], ["0", "101"]),
    "batch_size": (["1", "100000"], ["0", "100001"]),
    "run_time_limit": (["0 s", "119.999 s"], ["-0.001 s", "120 s"]),
    "manual_run_time_limit": (["0 s", "59.999 s"], ["-0.001 s", "60 s"]),
    "run_hard_limit": (["120 s", "20 min"], ["119.999 s", "1200.001 s"]),
    "long_run_after": (["20 min"], ["1199.999 s"]),
    "missed_run_grace": (["1 min"], ["59.999 s"]),
    "keep_logs": (["30 days"], ["29 days 23:59:59"]),
    "keep_reminders": (["400 days"], ["399 days 23:59:59"]),
    "keep_cron_history": (["1 day"], ["23:59:59"]),
    "alert_max_attempts": (["1", "100"], ["0", "101"]),
}
# What makes just sense, and what just does not any more.
SENSE = {
    "run_time_limit": ("10 s", "9.999 s"),
    "manual_run_time_limit": ("5 s", "4.999 s"),
    "batch_size": ("100", "99"),
    "failure_threshold": ("7", "8"),
    "missed_run_grace": ("12 h", "12:00:01"),
    "run_hard_limit": ("1 h", "01:00:01"),
    "long_run_after": ("6 h", "06:00:01"),
    "repeat_every_days": ("90", "91"),
    "reminder_after_days": ("180", "181"),
    "alert_max_attempts": ("2", "1"),
    "keep_logs": ("100 years", "100 years 1 s"),
    "keep_reminders": ("100 years", "100 years 1 s"),
    "keep_cron_history": ("100 years", "100 years 1 s"),
}


def is_taken(connection: Connection, attempt: Callable[[], object]) -> bool:
    """Whether something is not refused; nothing of it stays."""
    try:
        with connection.transaction(force_rollback=True):
            attempt()
    except (psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue):
        return False
    return True


def test_settings_are_taken_up_to_their_bounds_and_no_further(postgres: Connection) -> None:
    bounded = postgres.execute(
        "select attname from pg_attribute where attrelid = 'reminder.settings'::regclass "
        "and attnum > 0 and attname not in ('only_row', 'heartbeat_waived', 'runbook_url')"
    ).fetchall()
    assert BOUNDS.keys() == {name for (name,) in bounded}, "a setting whose bounds are not tried"
    for name, (taken, refused) in BOUNDS.items():
        for value in (*taken, *refused):
            attempt = partial(set_settings, postgres, **{name: value})
            assert is_taken(postgres, attempt) == (value in taken), (name, value)


def test_settings_that_just_make_sense_are_ok_and_others_are_named(postgres: Connection) -> None:
    for name, values in SENSE.items():
        for value, makes_sense in zip(values, (True, False), strict=True):
            with postgres.transaction(force_rollback=True):
                # Where no other limit is in the way.
                set_settings(postgres, long_run_after="6 h", keep_reminders="9 years")
                set_settings(postgres, **{name: value})
                ((ok, finding),) = postgres.execute(
                    "select ok, finding from reminder.check_settings()"
                ).fetchall()
                assert ok == makes_sense, (name, value, finding)
                assert finding.startswith(f"{name}: ") != makes_sense, (name, value, finding)
    for kept, is_short in (("401 days", False), ("400 days", True)):
        with postgres.transaction(force_rollback=True):
            set_settings(postgres, reminder_after_days=300, repeat_every_days=50)
            set_settings(postgres, keep_reminders=kept)
            ((finding,),) = postgres.execute(
                "select finding from reminder.check_settings()"
            ).fetchall()
            assert ("keep_reminders: shorter than" in finding) == is_short, finding


@dataclass(frozen=True, slots=True)
class Age:
    """What is asked of something that is as old as a limit, less or more a little."""

    minutes: int
    made: str
    asked: str
    answers: tuple[object, object]


AGES = {
    "the last look of the watchdog": Age(
        15,
        "insert into reminder.watchdog_log (watched_at) values (clock_timestamp() - {age})",
        "select ok from reminder.check_watchdog()",
        (True, False),
    ),
    "an alert that was not sent": Age(
        15,
        (
            "insert into reminder.alerts (kind, message, created_at) "
            "values ('test', 'x', clock_timestamp() - {age})"
        ),
        "select ok from reminder.check_alerts()",
        (True, False),
    ),
    "an answer that nobody has read": Age(
        15,
        (
            "insert into reminder.alerts (kind, message, status, created_at, next_attempt_at) "
            "values ('test', 'x', 'sent', clock_timestamp() - {age}, 'infinity'); "
            "insert into reminder.requests (alert_id, request_id, numbered_by) "
            "select id, 7, reminder.request_numbering() from reminder.alerts; "
            "insert into net._http_response (id, status_code) values (7, 200); "
        ),
        "select finding from reminder.check_alerts()",
        ("0 not delivered", "1 not delivered: its answer is not read"),
    ),
    "a heartbeat without an answer": Age(
        10,
        (
            "insert into reminder.requests (request_id, numbered_by, sent_at) "
            "values (7, reminder.request_numbering(), clock_timestamp() - {age})"
        ),
        "select max(outcome) from reminder.answers()",
        (None, "unknown"),
    ),
    "a success without a heartbeat": Age(
        15,
        (
            "select vault.create_secret('https://example.org/', 'REMINDER_HEARTBEAT_URL'); "
            "update vault.secrets set updated_at = now() - interval '2 days'; "
            "update reminder.heartbeat set accepted_at = now() - interval '1 day'; "
            "insert into public.cron_execution_logs "
            "(trigger_source, triggered_by, status, started_at, finished_at) "
            "values ('cron', 'x', 'succeeded', now() - {age}, clock_timestamp() - {age}); "
        ),
        "select ok from reminder.check_heartbeat()",
        (True, False),
    ),
}


def test_is_left_alone_up_to_its_limit_and_then_found(superuser: Connection) -> None:
    # Half a minute of a busy machine must not make the younger one the older.
    for what, age in AGES.items():
        for seconds, answer in zip((-30, 1), age.answers, strict=True):
            with superuser.transaction(force_rollback=True):
                interval = f"interval '{age.minutes * 60 + seconds} s'"
                superuser.execute(age.made.format(age=interval).encode())
                found = superuser.execute(age.asked.encode()).fetchall()
                assert found == [(answer,)], (what, seconds)


# A view with the columns of reminder.blocking_session, and one session in it.
BLOCKING = """
create or replace view reminder.blocking_session as
select 7 as pid, 'postgres'::text collate "C" as role, 'psql'::text as application_name,
  null::inet as client_addr, '{state}'::text as state, interval '{since}' as since,
  'public.assignments'::text collate "C" as locks, {whole} as is_whole_table
"""


def test_a_transaction_is_left_open_after_five_seconds_of_nothing(postgres: Connection) -> None:
    for state, whole, since, is_free in (
        ("idle in transaction", False, "5 s", True),
        ("idle in transaction", False, "5.001 s", False),
        ("idle in transaction (aborted)", False, "5.001 s", False),
        ("active", False, "1 h", True),
        ("active", True, "5 s", True),
        ("active", True, "5.001 s", False),
        ("idle", False, "1 h", True),
    ):
        with postgres.transaction(force_rollback=True):
            postgres.execute(BLOCKING.format(state=state, since=since, whole=whole).encode())
            found = postgres.execute("select ok, section from reminder.check_lock()").fetchall()
            assert found == [(is_free, "stuck-lock" if is_free else "service-timeout")], state


def test_a_day_is_taken_up_to_its_limit_and_no_further(postgres: Connection) -> None:
    (assignment,) = add_assignments(postgres, 1)
    today = one(postgres, "select (now() at time zone 'utc')::date")
    oldest = dt.date(1900, 1, 1)
    activity = (
        "insert into public.activities (assignment_id, activity_type, occurred_on, registered_at) "
        "values (%(a)s, 'meeting', %(day)s, clock_timestamp() + %(ahead)s)"
    )
    correction = "select reminder.correct_last_contact_date(%(a)s, %(day)s, 'why', 'Dana')"
    kept = (
        "insert into reminder.last_contact_corrections "
        "(assignment_id, new_date, reason, corrected_by) values (%(a)s, %(day)s, 'why', 'Dana')"
    )
    start = "update public.assignments set started_on = %(day)s where id = %(a)s"
    one_day = dt.timedelta(days=1)
    tomorrow, next_year = today + one_day, today + dt.timedelta(days=366)
    for statement, first, last in (
        (activity, oldest, tomorrow),
        (correction, oldest, tomorrow),
        (kept, oldest, tomorrow),
        (start, oldest, next_year),
    ):
        days = (first - one_day, first, last, last + one_day)
        for day, taken in zip(days, (False, True, True, False), strict=True):
            values = {"a": assignment, "day": day, "ahead": dt.timedelta()}
            attempt = partial(postgres.execute, statement, values)
            assert is_taken(postgres, attempt) == taken, (statement, day)
    # The clock of another server may be five minutes ahead.
    for seconds, taken in ((299, True), (330, False)):
        values = {"a": assignment, "day": today, "ahead": dt.timedelta(seconds=seconds)}
        attempt = partial(postgres.execute, activity, values)
        assert is_taken(postgres, attempt) == taken, seconds


@pytest.mark.usefixtures("postgres")
def test_a_contact_in_the_future_counts_from_tomorrow_backwards(superuser: Connection) -> None:
    """With the triggers off nothing refuses it."""
    for ahead, counts in ((1, True), (2, False)):
        with superuser.transaction(force_rollback=True):
            (assignment,) = add_assignments(superuser, 1)
            superuser.execute("set local session_replication_role = replica")
            superuser.execute(
                "insert into public.activities "
                "(assignment_id, activity_type, occurred_on, registered_at) values "
                "(%s, 'meeting', (now() at time zone 'utc')::date + %s, now() + interval '5 days')",
                (assignment, ahead),
            )
            ((found,),) = superuser.execute(
                "select worked_out is not null from reminder.contact_dates"
            ).fetchall()
            assert found == counts, ahead


@pytest.mark.usefixtures("postgres")
def test_a_correction_outranks_what_was_registered_up_to_its_very_moment(
    superuser: Connection,
) -> None:
    """And of two corrections the one that was made last, whatever the clock said."""
    (assignment,) = add_assignments(superuser, 1)
    superuser.execute("set session_replication_role = replica")
    superuser.execute(
        "insert into reminder.last_contact_corrections "
        "(assignment_id, new_date, reason, corrected_by, corrected_at) values "
        "(%(a)s, '2026-01-02', 'why', 'Dana', '2026-03-03 10:00'), "
        "(%(a)s, '2026-01-01', 'why', 'Dana', '2026-03-03 09:00')",
        {"a": assignment},
    )
    for registered, found in (
        ("2026-03-03 08:59:59.999999", "2026-01-01"),
        ("2026-03-03 09:00", "2026-01-01"),
        ("2026-03-03 09:00:00.000001", "2026-02-02"),
    ):
        superuser.execute("delete from public.activities")
        superuser.execute(
            "insert into public.activities "
            "(assignment_id, activity_type, occurred_on, registered_at) "
            "values (%s, 'meeting', '2026-02-02', %s)",
            (assignment, registered),
        )
        rows = superuser.execute("select worked_out::text from reminder.contact_dates").fetchall()
        assert rows == [(found,)], registered


# What a receiver may say: the status, its headers, and what is known of the alert then.
ANSWERS = [
    (199, "{}", "failed"),
    (200, "{}", "arrived"),
    (201, '{"Location": "/messages/1"}', "arrived"),
    (200, '{"Location": "/login"}', "redirected"),
    (204, '{"LOCATION": "/login"}', "redirected"),
    (299, "{}", "arrived"),
    (300, "{}", "failed"),
    (302, "{}", "failed"),
    (302, '{"Location": "/login"}', "failed"),
    (304, "{}", "failed"),
    (400, "{}", "failed"),
    (500, "{}", "failed"),
    (None, "{}", "failed"),
]


def test_only_an_answer_that_is_a_success_is_one(superuser: Connection) -> None:
    for number, (status, headers, _) in enumerate(ANSWERS, 1):
        superuser.execute(
            "with a as (insert into reminder.alerts (kind, message, status) "
            "values ('test', 'x', 'sent') returning id) "
            "insert into reminder.requests (alert_id, request_id, numbered_by) "
            "select id, %s, reminder.request_numbering() from a",
            (number,),
        )
        superuser.execute(
            "insert into net._http_response (id, status_code, headers, timed_out) "
            "values (%s, %s, %s, %s)",
            (number, status, headers, status is None),
        )
    found = superuser.execute("select outcome from reminder.answers() order by alert_id").fetchall()
    assert [(*answer[:2], outcome) for answer, (outcome,) in zip(ANSWERS, found, strict=True)] == (
        ANSWERS
    )


def test_the_wait_before_another_try_doubles_up_to_six_hours(postgres: Connection) -> None:
    minutes = postgres.execute(
        "select extract(epoch from reminder.alert_back_off(n)) / 60 "
        "from unnest('{-1,0,1,2,3,4,5,6,7,8,9,100,2147483647}'::integer[]) n"
    ).fetchall()
    assert [int(row[0]) for row in minutes] == [
        *(5, 5, 5, 10, 20, 40, 80, 160, 320),
        *(360, 360, 360, 360),
    ]


def test_an_alert_waits_for_its_answer_and_before_each_next_try(superuser: Connection) -> None:
    """As a sequence: ten minutes for an answer, then five minutes, and twice as long each time."""
    superuser.execute(
        "select vault.create_secret('https://example.org/', 'REMINDER_ALERT_WEBHOOK_URL'); "
        "insert into reminder.alerts (kind, message) values ('test', 'x')"
    )
    waits = "select status, attempts, next_attempt_at - clock_timestamp() from reminder.alerts"
    most = dt.timedelta(seconds=30)  # of a busy machine
    for attempt, minutes in enumerate((5, 10, 20, 40, 80), 1):
        superuser.execute("select reminder.send_alerts()")
        ((status, attempts, wait),) = superuser.execute(waits).fetchall()
        assert (status, attempts) == ("sent", attempt)
        assert dt.timedelta(minutes=10) - most < wait <= dt.timedelta(minutes=10)
        superuser.execute(
            "insert into net._http_response (id, status_code) "
            "select request_id, 500 from reminder.requests"
        )
        superuser.execute("select reminder.collect_answers()")
        ((status, attempts, wait),) = superuser.execute(waits).fetchall()
        assert (status, attempts) == ("queued", attempt)
        assert dt.timedelta(minutes=minutes) - most < wait <= dt.timedelta(minutes=minutes)
        superuser.execute("update reminder.alerts set next_attempt_at = clock_timestamp()")


def test_a_loss_that_is_older_than_its_alert_is_kept_is_not_raised_again(
    superuser: Connection,
) -> None:
    for seconds, kinds in ((-30, ["test", "undelivered_alert"]), (1, ["test"])):
        with superuser.transaction(force_rollback=True):
            superuser.execute(
                "insert into reminder.alerts (kind, message, status, created_at) "
                "select 'test', 'x', 'undelivered', now() - keep_logs - %s "
                "from reminder.settings",
                (dt.timedelta(seconds=seconds),),
            )
            superuser.execute("select reminder.watch()")
            found = superuser.execute("select kind from reminder.alerts order by id").fetchall()
            assert [kind for (kind,) in found] == kinds, seconds


@pytest.mark.usefixtures("postgres")
def test_a_start_is_far_ahead_after_a_year_and_a_day(superuser: Connection) -> None:
    """With the triggers off nothing refuses it."""
    for ahead, is_well in ((366, True), (367, False)):
        with superuser.transaction(force_rollback=True):
            add_assignments(superuser, 1)
            superuser.execute("set local session_replication_role = replica")
            superuser.execute(
                "update public.assignments set started_on = (now() at time zone 'utc')::date + %s",
                (ahead,),
            )
            assert one(superuser, "select ok from reminder.check_contact_dates()") == is_well


def test_who_waits_is_shown_from_the_day_on_which_a_reminder_falls_due(
    postgres: Connection,
) -> None:
    for days, late in ((29, None), (30, 0), (31, 1), (36, 6), (37, 0)):
        with postgres.transaction(force_rollback=True):
            add_assignments(postgres, 1, started_days_ago=days)
            found = postgres.execute(
                "select (clock_timestamp() at time zone 'utc')::date - due_on from reminder.unkept"
            ).fetchall()
            assert found == ([] if late is None else [(late,)]), days


def test_answers_are_kept_for_as_long_as_the_watchdog_needs(superuser: Connection) -> None:
    superuser.execute(
        "select vault.create_secret('https://example.org/', 'REMINDER_ALERT_WEBHOOK_URL')"
    )
    for kept, is_short in (("15 min", False), ("899 s", True)):
        superuser.execute("select set_config('pg_net.ttl', %s, false)", (kept,))
        ((finding,),) = superuser.execute(
            "select finding from reminder.check_alert_address()"
        ).fetchall()
        assert finding.startswith("pg_net.ttl is") == is_short, finding


def test_an_error_names_the_first_twenty_that_were_passed_over(postgres: Connection) -> None:
    def said(many: int) -> Any:
        ((text,),) = postgres.execute(
            "select reminder.with_passed_over('Locked.', %s)", (list(range(1, many + 1)),)
        ).fetchall()
        return text

    twenty = ", ".join(map(str, range(1, 21)))
    assert said(1) == "Locked; passed over: assignment 1."
    assert said(20) == f"Locked; passed over: assignment {twenty}."
    assert said(21) == f"Locked; passed over: assignment {twenty} and 1 more."


def test_a_batch_begins_behind_the_last_and_ends_with_where_the_run_began(
    postgres: Connection,
) -> None:
    first, second, third, fourth = add_assignments(postgres, 4)
    postgres.execute("update public.assignments set status = 'paused' where id = %s", (third,))
    for after, stop, size, batch in (
        (None, None, 2, (second, 2)),
        (None, None, 3, (fourth, 3)),
        (first, None, 1, (second, 1)),
        (first, None, 2, (fourth, 2)),
        (first, second, 9, (second, 1)),
        (first, first, 9, (None, 0)),
        (fourth, None, 9, (None, 0)),
    ):
        rows = postgres.execute(
            "select * from reminder.next_batch(%s, %s, %s)", (after, stop, size)
        ).fetchall()
        assert rows == [batch], (after, stop, size)


# A row of each table as old as it is kept, to the microsecond, or to the day.
KEPT = {
    "cron_execution_logs": (
        "insert into public.cron_execution_logs "
        "(trigger_source, triggered_by, status, started_at, finished_at) "
        "select 'cron', 'x', 'succeeded', now() - keep_logs - {older}, now() from reminder.settings"
    ),
    "watchdog_log": (
        "insert into reminder.watchdog_log (watched_at) "
        "select now() - keep_logs - {older} from reminder.settings"
    ),
    "alerts": (
        "insert into reminder.alerts (kind, message, status, created_at) "
        "select 'test', 'x', 'delivered', now() - keep_logs - {older} from reminder.settings"
    ),
    "dispatched_reminders": (
        "insert into reminder.dispatched_reminders "
        "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
        "select a.id, (now() - keep_reminders)::date - extract(day from {older})::integer, "
        "a.mentor_id, 1, now() - {older} from reminder.settings, public.assignments a"
    ),
    "job_run_details": (
        "insert into cron.job_run_details (jobid, runid, command, status, end_time) "
        "select 1, (select count(*) from cron.job_run_details), 'select reminder.watch()', "
        "'succeeded', now() - keep_cron_history - {older} from reminder.settings"
    ),
}


@pytest.mark.usefixtures("postgres")
def test_rows_are_kept_for_exactly_as_long_as_the_setting_says(superuser: Connection) -> None:
    add_assignments(superuser, 1)
    for table, insert in KEPT.items():
        unit = "1 day" if table == "dispatched_reminders" else "1 microsecond"
        for older, cleared in ((f"0 * interval '{unit}'", 0), (f"interval '{unit}'", 1)):
            with superuser.transaction(force_rollback=True):
                superuser.execute(insert.format(older=older).encode())
                # The latest of each stays anyway.
                latest = "interval '-1 hour'" if unit != "1 day" else "interval '-2 days'"
                superuser.execute(insert.format(older=latest).encode())
                ((found,),) = superuser.execute(
                    "select reminder.clear_batch(%s, 10)", (table,)
                ).fetchall()
                assert found == cleared, (table, older)
