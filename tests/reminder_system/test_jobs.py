"""The jobs: every field is compared, and registering, changing and pausing say what they do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.reminder_system.runs import one

Connection = psycopg.Connection[Any]

JOBS = ("peer-mentor-reminders", "reminder-retention", "reminder-watchdog")
FIELDS = {
    "schedule": "7 7 * * *",
    "command": "select reminder.run_job()",
    "database": "template1",
    "nodename": "elsewhere",
    "nodeport": 1,
    "active": False,
}
FROM_DRIFT = "select object, found, on_purpose from reminder.drift"
REGISTER = "select * from reminder.register_jobs()"


def drift(connection: Connection) -> dict[str, tuple[str, bool]]:
    return {row[0]: (row[1], row[2]) for row in connection.execute(FROM_DRIFT.encode()).fetchall()}


def jobs_are_ok(connection: Connection) -> bool:
    return bool(one(connection, "select ok from reminder.health where what = 'jobs'"))


def done(connection: Connection, arguments: str = "") -> dict[str, str]:
    call = REGISTER.replace("()", f"({arguments})")
    return dict(connection.execute(call.encode()).fetchall())


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("job", JOBS)
def test_every_field_of_every_job_is_compared_and_comes_back(
    postgres: Connection, superuser: Connection, job: str, field: str
) -> None:
    assert jobs_are_ok(postgres)
    superuser.execute(
        sql.SQL("update cron.job set {} = %s where jobname = %s").format(sql.Identifier(field)),
        (FIELDS[field], job),
    )
    assert list(drift(postgres)) == [f"job {job}: {field}"]
    assert drift(postgres)[f"job {job}: {field}"][1] is False
    assert not jobs_are_ok(postgres)
    said = done(postgres)[job]
    # When the run takes place is for its operator to say, and for nobody else.
    if field in {"schedule", "active"} and job == JOBS[0]:
        assert ("kept: 7 7 * * *" if field == "schedule" else "left switched off") in said
        assert drift(postgres)
        said = done(postgres, "as_deployed => true")[job]
    assert str(FIELDS[field]) in said or said == "switched on"
    assert drift(postgres) == {}
    assert jobs_are_ok(postgres)
    assert set(done(postgres).values()) == {"unchanged"}


def test_job_of_another_user_is_surplus_and_the_own_one_missing(
    postgres: Connection, superuser: Connection
) -> None:
    superuser.execute("update cron.job set username = 'service_role' where jobname = %s", JOBS[:1])
    found = drift(postgres)
    assert found.pop(f"job {JOBS[0]}") == ("missing", False)
    ((surplus, (_, on_purpose)),) = found.items()
    assert surplus.startswith("surplus job ")
    assert not on_purpose
    assert done(postgres)[JOBS[0]] == "registered"
    assert list(drift(postgres)) == [surplus], "removed by nobody but a person"


def test_all_jobs_that_are_gone_come_back(postgres: Connection) -> None:
    postgres.execute("select cron.unschedule(jobname) from cron.job")
    assert set(drift(postgres).values()) == {("missing", False)}
    assert not jobs_are_ok(postgres)
    assert done(postgres) == dict.fromkeys(JOBS, "registered")
    assert drift(postgres) == {}


@pytest.mark.parametrize(
    "command",
    [
        "call reminder.run_job()",
        "CALL Reminder . run_job ( )",
        'select "reminder".watch()',
        "do $$ begin perform reminder.watch(); end $$",
        "set search_path = reminder; select watch()",
        "delete from reminder.alerts",
        "delete from public.reminders",
        'truncate only "public"."reminders"',
        "delete from reminders where due_on < now()",
        "drop schema if exists reminder cascade",
        "select public.correct_last_contact_date(1, '2026-01-01', 'x')",
        "select cron.unschedule('peer-mentor-reminders')",
        "select cron.unschedule(jobid) from cron.job",
        "update cron.job set active = false",
    ],
)
def test_surplus_job_is_named_with_how_to_remove_it(postgres: Connection, command: str) -> None:
    number = one(postgres, "select cron.schedule('mine', '1 1 * * *', %s)", command)
    found, on_purpose = drift(postgres)[f"surplus job {number}"]
    assert not on_purpose
    assert not jobs_are_ok(postgres)
    postgres.execute(found.rpartition("to remove it: ")[2].encode())
    assert drift(postgres) == {}
    assert jobs_are_ok(postgres)


@pytest.mark.parametrize(
    "command",
    [
        "select app.send_reminder(1)",
        "select 'reminder'",
        "vacuum public.reminders",
        "delete from app.reminders",
        "select net.http_post('http://a.invalid', to_jsonb(r)) from public.reminders r",
        "select cron.unschedule('mine')",
        "select cron.unschedule(9999)",
        "select count(*) from cron.job where jobname = 'peer-mentor-reminders'",
        "delete from cron.job_run_details where end_time < now() - interval '7 days'",
    ],
)
def test_job_of_the_application_is_not_named(postgres: Connection, command: str) -> None:
    postgres.execute("select cron.schedule('mine', '1 1 * * *', %s)", (command,))
    assert drift(postgres) == {}
    assert jobs_are_ok(postgres)


def test_jobs_are_registered_by_the_owner_alone(
    postgres: Connection, superuser: Connection
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="here as supabase_admin"):
        superuser.execute("select * from reminder.register_jobs()")
    assert drift(postgres) == {}


def change(connection: Connection, **values: object) -> tuple[Any, ...] | None:
    return connection.execute(
        "select * from reminder.change_job(%(job)s, 'Anna', 'window', "
        "schedule => %(schedule)s, active => %(active)s)",
        {"job": JOBS[0], "schedule": None, "active": None} | values,
    ).fetchone()


def test_changed_schedule_is_on_purpose_and_kept(postgres: Connection) -> None:
    assert change(postgres, schedule="0 7 * * *") == (JOBS[0], "0 7 * * *", True)
    assert drift(postgres) == {f"job {JOBS[0]}: schedule": ("0 7 * * *", True)}
    assert jobs_are_ok(postgres)
    assert done(postgres)[JOBS[0]] == "schedule as noted: 0 7 * * *"
    postgres.execute("select cron.unschedule(%s)", JOBS[:1])
    assert done(postgres)[JOBS[0]] == "registered, schedule as noted: 0 7 * * *"
    # A schedule of somebody else is not the one that was written down.
    postgres.execute(
        "select cron.alter_job(jobid, schedule := '0 8 * * *') from cron.job where jobname = %s",
        JOBS[:1],
    )
    assert drift(postgres)[f"job {JOBS[0]}: schedule"] == ("0 8 * * *", False)
    assert done(postgres, "as_deployed => true")[JOBS[0]] == "schedule was 0 8 * * *"
    assert drift(postgres) == {}


@pytest.mark.parametrize(
    ("off", "section"),
    [
        (JOBS, "enable-the-job"),
        (("reminder-watchdog",), "watchdog-silent"),
        (("reminder-retention", "reminder-watchdog"), "watchdog-silent"),
        (("reminder-retention",), "enable-the-job"),
    ],
)
def test_what_was_switched_off_leads_to_where_it_is_switched_on(
    postgres: Connection, off: tuple[str, ...], section: str
) -> None:
    for job in off:
        change(postgres, job=job, active=False)
    row = "select section from reminder.health where what = 'jobs'"
    assert one(postgres, row) == section


def test_planned_switch_off_is_told_from_a_forgotten_one(postgres: Connection) -> None:
    row = "select ok, finding, section from reminder.health where what = 'jobs'"
    change(postgres, active=False)
    ok, finding, section = postgres.execute(row).fetchall()[0]
    assert not ok, "nobody is reminded"
    assert "switched off by Anna" in finding
    assert section == "enable-the-job"
    assert done(postgres)[JOBS[0]] == "left switched off"
    # It ran, so somebody had switched it on; who switched it off again is not known.
    postgres.execute(
        "insert into cron.job_run_details (jobid, runid, status, start_time) "
        "select jobid, 1, 'succeeded', now() + interval '1 hour' from cron.job "
        "where jobname = %s",
        JOBS[:1],
    )
    ok, finding, section = postgres.execute(row).fetchall()[0]
    assert (ok, section) == (False, "missed-runs")
    assert finding == f"job {JOBS[0]} is switched off"


def test_change_needs_a_name_a_reason_and_a_job(postgres: Connection) -> None:
    for job, by, reason, state in (
        (JOBS[0], "", "window", "22023"),
        (JOBS[0], "Anna", "<reason>", "22023"),
        ("nightly", "Anna", "window", "P0002"),
    ):
        with pytest.raises(psycopg.Error) as refused:
            postgres.execute(
                "select reminder.change_job(%s, %s, %s, active => false)", (job, by, reason)
            )
        assert refused.value.sqlstate == state
    assert drift(postgres) == {}
