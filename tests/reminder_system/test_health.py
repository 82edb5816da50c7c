# ruff: noqa: S608 - every part of a query is a constant of this file
"""Health answers for each check by itself, changes nothing, and knows what nobody told it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.lanes import open_own_server
from tests.reminder_system.people import AMARA
from tests.reminder_system.runs import one, run

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

ORDER = [
    "lock",
    "contact dates",
    "duplicate guard",
    "deployment",
    "jobs",
    "settings",
    "watchdog",
    "last success",
    "failures in a row",
    "promise",
    "alert address",
    "alerts",
    "heartbeat",
]
ASSIGNMENT = """
insert into public.assignments (mentor_id, person_id, started_on, created_at)
values (%s, gen_random_uuid(), %s::date, now() - interval '100 days') returning id"""


def check(connection: Connection, what: str) -> tuple[bool, str, str]:
    (row,) = connection.execute(
        "select ok, finding, section from reminder.health where what = %s", (what,)
    ).fetchall()
    ok, finding, section = row
    return bool(ok), str(finding), str(section)


def not_ok(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute("select what from reminder.health where not ok")}


def had_a_watchdog_for_long(connection: Connection) -> None:
    connection.execute(
        "insert into reminder.watchdog_log "
        "(watched_at, abandoned_runs, alerts_answered, alerts_sent, alerts_undelivered) "
        "select now() - n * interval '10 days', 0, 0, 0, 0 from generate_series(0, 1) n"
    )


def test_rows_are_in_the_order_of_repair(postgres: Connection) -> None:
    rows = postgres.execute("select step, what from reminder.health order by step").fetchall()
    assert [step for step, _ in rows] == list(range(1, len(rows) + 1))
    names = [what for _, what in rows]
    assert names == [what for what in ORDER if what in names]
    assert len(names) >= 11


def test_nothing_of_it_goes_with_an_extension(superuser: Connection, postgres: Connection) -> None:
    """No view or function is bound to a table of cron, net or Vault: all of them can go."""
    before = one(postgres, "select count(*) from reminder.health")
    for schema in ("cron", "net", "vault"):
        superuser.execute(
            f"""do $$ begin
              drop schema {schema} cascade;
            exception when dependent_objects_still_exist then
              execute (select 'drop extension ' || quote_ident(e.extname) || ' cascade'
                from pg_extension e join pg_namespace n on n.nspname = '{schema}'
                join pg_depend d on d.refobjid = e.oid and d.objid = n.oid);
            end $$""".encode()
        )
    rows = postgres.execute("select what, ok, finding from reminder.health").fetchall()
    assert len(rows) == before
    assert ("jobs", False) in {(what, ok) for what, ok, _ in rows}
    assert one(postgres, "select found from reminder.drift where object = 'extension pg_cron'")


# How a check may be lost, and what its row says then.
LOSSES = {
    "gone": ("drop function reminder.{name}()", "cannot be told: function reminder.{name}()"),
    "fails": (
        "{define} language plpgsql as $f$ begin raise exception 'its disk'; end $f$",
        "cannot be told: its disk (SQLSTATE P0001)",
    ),
    "says nothing": (
        "{define} language sql as 'select true, null::text, null::text where false'",
        "cannot be told: query returned no rows",
    ),
    "says all twice": (
        "{define} language sql as $f$ select true, 'x', 'x' from generate_series(1, 2) $f$",
        "cannot be told: query returned more than one row",
    ),
    "reads what is gone": (
        (
            "{define} language plpgsql as "
            "$f$ begin return query select true, x.y, x.z from net.gone x; end $f$"
        ),
        'cannot be told: relation "net.gone" does not exist',
    ),
    "has another result": (
        (
            "drop function reminder.{name}(); create function reminder.{name}() "
            "returns boolean language sql as 'select true'"
        ),
        "cannot be told: column c.ok does not exist",
    ),
}
DEFINE = (
    "create or replace function reminder.{name}() "
    "returns table (ok boolean, finding text, section text)"
)


@pytest.mark.parametrize("loss", LOSSES)
def test_check_that_is_lost_takes_no_other_with_it(postgres: Connection, loss: str) -> None:
    """Whatever check it is, its row stays, is not ok and says why; so is that of the deployment."""
    rows = "select what, ok, finding from reminder.health"
    before = {what: (ok, finding) for what, ok, finding in postgres.execute(rows)}
    checks = postgres.execute(
        "select proname from pg_proc where pronamespace = 'reminder'::regnamespace "
        "and starts_with(proname, 'check_')"
    ).fetchall()
    assert len(checks) == len(before)
    statement, says = LOSSES[loss]
    lost = set()
    for (name,) in checks:
        define = DEFINE.format(name=name)
        with postgres.transaction(force_rollback=True):
            postgres.execute(statement.format(name=name, define=define).encode())
            after = {what: (ok, finding) for what, ok, finding in postgres.execute(rows)}
        assert after.keys() == before.keys(), name
        (what,) = [
            what
            for what, (ok, finding) in after.items()
            if not ok and finding.startswith(says.format(name=name))
        ]
        lost.add(what)
        others = before.keys() - {what, "deployment"}
        assert {each: after[each] for each in others} == {each: before[each] for each in others}
        assert not after["deployment"][0]
    assert lost == before.keys()


def test_reading_changes_nothing(database: Database) -> None:
    """As on a replica: read only, and no transaction number is used up."""
    with database.connect(options="-c default_transaction_read_only=on") as connection:
        for view in ("health", "drift", "unkept"):
            with connection.transaction():
                rows = connection.execute(f"select * from reminder.{view}".encode()).fetchall()
                assert one(connection, "select pg_current_xact_id_if_assigned()") is None
            if view == "health":
                assert not [row for row in rows if "cannot be told" in str(row[3])]


def test_a_replica_answers_as_its_primary() -> None:
    """A server in recovery, where some functions refuse to work that a read-only session allows."""

    def read() -> dict[str, list[Any]]:
        with own.database.connect() as connection:
            return {
                view: connection.execute(f"select * from reminder.{view}".encode()).fetchall()
                for view in ("health", "drift", "unkept")
            }

    with open_own_server("embedded", wal_level="replica") as own:
        with own.database.connect() as postgres:
            postgres.execute("insert into auth.users (id) values (%s)", (AMARA,))
            postgres.execute(ASSIGNMENT, (AMARA, "2026-01-01"))
        on_primary = read()
        own.become_standby()
        with own.database.connect() as postgres:
            assert one(postgres, "select pg_is_in_recovery()")
        assert read() == on_primary
    assert on_primary["unkept"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("set default_transaction_read_only = on", "default_transaction_read_only"),
        ("set default_transaction_isolation = serializable", "default_transaction_isolation"),
        ("set statement_timeout = '1s'", "statement_timeout"),
        ("set statement_timeout = 89000", "statement_timeout"),
        ("nologin", "may not log in"),
        ("connection limit 0", "may not log in"),
        ("valid until '2020-01-01'", "may not log in"),
    ],
)
def test_role_that_cannot_run_the_job_is_not_ok(
    superuser: Connection, postgres: Connection, change: str, said: str
) -> None:
    """Told from the catalogs: the session that looks began before the change."""
    with superuser.transaction(force_rollback=True):
        superuser.execute(f"alter role postgres {change}".encode())
        (row,) = superuser.execute("select ok, finding from reminder.check_settings()").fetchall()
    assert not row[0]
    assert said in row[1]
    assert check(postgres, "settings")[0]


@pytest.mark.parametrize(
    ("name", "value", "is_well"),
    [
        ("cron.launch_active_jobs", "on", True),
        ("cron.launch_active_jobs", "off", False),
        ("cron.timezone", "GMT", True),
        ("cron.timezone", "Etc/UTC", True),
        ("cron.timezone", "Europe/Berlin", False),
    ],
)
def test_pg_cron_that_starts_nothing_or_at_other_times_is_not_ok(
    postgres: Connection, name: str, value: str, *, is_well: bool
) -> None:
    postgres.execute("select set_config(%s, %s, false)", (name, value))
    well, finding, _ = check(postgres, "settings")
    assert (well, name in finding) == (is_well, not is_well)


@pytest.mark.parametrize("value", ["0", "'2min'", "'10min'", "90000"])
def test_role_with_time_enough_is_ok(superuser: Connection, value: str) -> None:
    with superuser.transaction(force_rollback=True):
        superuser.execute(f"alter role postgres set statement_timeout = {value}".encode())
        assert one(superuser, "select ok from reminder.check_settings()")


def test_server_on_which_nothing_can_be_written_is_not_ok() -> None:
    """As somebody sets it who was told to make room on a full disk."""
    with open_own_server("embedded") as own:
        with own.server.connect("template1") as admin:
            admin.execute("alter system set default_transaction_read_only = on")
            admin.execute("select pg_reload_conf()")
        is_well, finding = True, ""
        # The signal takes a moment; only a bound.
        for _ in range(600):
            with own.database.connect() as postgres:
                postgres.execute("set default_transaction_read_only = off")
                is_well, finding, _ = check(postgres, "settings")
            if not is_well:
                break
            time.sleep(0.1)
        assert finding == "default_transaction_read_only of the server is on"


def test_slow_check_takes_no_other_with_it(postgres: Connection) -> None:
    postgres.execute(
        "create or replace function reminder.check_lock() "
        "returns table (ok boolean, finding text, section text) language sql stable as "
        "$$ select true, pg_sleep(3600)::text, 'stuck-lock' $$"
    )
    postgres.execute("set statement_timeout = '2s'")
    rows = postgres.execute("select what, ok, finding from reminder.health").fetchall()
    assert [what for what, _, _ in rows] == ORDER
    assert rows[0][1:] == (
        False,
        "cannot be told: canceling statement due to statement timeout (SQLSTATE 57014)",
    )


def test_promise_is_kept_by_a_run_and_broken_by_a_reminder_that_is_gone(
    postgres: Connection,
) -> None:
    had_a_watchdog_for_long(postgres)
    due = [one(postgres, ASSIGNMENT, AMARA, f"{2020 + n}-03-01") for n in range(3)]
    ok, finding, section = check(postgres, "promise")
    assert (ok, section) == (False, "who-is-waiting")
    assert finding.startswith("3 waiting of 3 looked at")
    assert run(postgres) is None
    assert check(postgres, "promise")[0]
    postgres.execute("delete from reminder.dispatched_reminders where assignment_id = %s", due[:1])
    ok, finding, _ = check(postgres, "promise")
    assert not ok
    assert f"assignment {due[0]}" in finding


def test_scheduler_that_finds_nobody_does_not_vouch_for_itself(postgres: Connection) -> None:
    had_a_watchdog_for_long(postgres)
    one(postgres, ASSIGNMENT, AMARA, "2020-03-01")
    postgres.execute(
        "create or replace function reminder.reminder_scheduler_service"
        "(p_today date, p_after_id bigint, p_up_to_id bigint) "
        "returns table (assignment_id bigint, mentor_id uuid, due_on date) language sql stable "
        "as $$ select 1::bigint, null::uuid, null::date limit 0 $$"
    )
    postgres.execute("select * from reminder.record_deployment()")
    assert run(postgres) is None
    assert not check(postgres, "promise")[0]
    assert one(postgres, "select count(*) from reminder.unkept") == 1


def test_promise_waits_for_the_run_that_was_not_due_yet(postgres: Connection) -> None:
    """Who fell due today, was made today, or fell due by a setting of today has not waited."""
    had_a_watchdog_for_long(postgres)
    # The next run is tomorrow at the earliest, the last was yesterday.
    postgres.execute(
        "select cron.alter_job(jobid, schedule := to_char(now() + interval '2 hours', "
        "'MI HH24 * * *')) from cron.job where jobname = 'peer-mentor-reminders'"
    )
    was_due = one(
        postgres,
        "select (reminder.last_due_at(schedule, now() - interval '1 hour') at time zone 'utc')"
        "::date from cron.job where jobname = 'peer-mentor-reminders'",
    )
    for days_before in (29, 28):
        postgres.execute(ASSIGNMENT, (AMARA, f"{was_due}"))
        postgres.execute(
            "update public.assignments set started_on = started_on - %s::integer "
            "where id = (select max(id) from public.assignments)",
            (days_before,),
        )
    assert check(postgres, "promise")[0]
    postgres.execute("update reminder.settings set reminder_after_days = 28")
    assert check(postgres, "promise")[0], "the run of tomorrow is the first to know the setting"
    postgres.execute("update reminder.changes set changed_at = changed_at - interval '3 days'")
    assert check(postgres, "promise")[1].startswith("2 waiting of 2")
    # Reminded on the 35th day, a multiple of the 7 days that the last run went by.
    postgres.execute("delete from public.assignments")
    postgres.execute(ASSIGNMENT, (AMARA, f"{was_due}"))
    postgres.execute("update public.assignments set started_on = started_on - 36")
    postgres.execute(
        "insert into reminder.dispatched_reminders "
        "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
        "select id, %(day)s::date - 1, mentor_id, 1, (%(day)s::date - 1) at time zone 'utc' "
        "from public.assignments",
        {"day": was_due},
    )
    postgres.execute("update reminder.settings set repeat_every_days = 4")
    assert check(postgres, "promise")[0], "the run of tomorrow is the first to know this setting"
    postgres.execute("update reminder.changes set changed_at = changed_at - interval '3 days'")
    assert check(postgres, "promise")[1].startswith("1 waiting of 1")
    postgres.execute("delete from public.assignments")
    postgres.execute(
        "insert into public.assignments (mentor_id, person_id, started_on) "
        "values (%s, gen_random_uuid(), '2020-01-01')",
        (AMARA,),
    )
    assert check(postgres, "promise")[0], "it was not there when the run was due"
