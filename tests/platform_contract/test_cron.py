"""pg_cron by what its callers can see; run against the extension and against what stands in."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.platform_contract.catalog import (
    columns,
    may_execute,
    privileges,
    sequence_privileges,
    signatures,
)
from tests.platform_contract.places import OWN, Place, Session
from tests.reminder_system.lanes import ROOT, missing

PART = "pg_cron"
SCHEDULE = f"select cron.schedule('{OWN}', '0 6 * * *', 'select 1')"
# No job has this number, nor a run.
NOBODY = 987654321


@pytest.fixture
def version(place: Place) -> tuple[int, int]:
    """The pg_cron that is spoken for: the stand-in is one of 1.6."""
    match = re.match(r"(\d+)\.(\d+)", place.version or "1.6")
    assert match is not None
    return int(match[1]), int(match[2])


def job(connection: Session, jobid: int) -> dict[str, Any]:
    row = connection.execute(
        "select to_jsonb(j) from cron.job j where jobid = %s", (jobid,)
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], dict)
    return row[0]


def number(connection: Session, statement: str, *parameters: object) -> int:
    row = connection.execute(statement, parameters or None).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def refused(connection: Session, statement: str) -> tuple[str | None, str | None]:
    """Return SQLSTATE and message of a statement that must fail."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    return caught.value.sqlstate, caught.value.diag.message_primary


class TestShape:
    def test_functions(self, postgres: Session, version: tuple[int, int]) -> None:
        found = signatures(
            postgres, "cron", "schedule", "schedule_in_database", "unschedule", "alter_job"
        )
        # 1.6 takes the name of unscheduled jobs as text, before that it was name.
        name = "text" if version >= (1, 5) else "name"
        assert found == {
            "alter_job(job_id bigint, schedule text, command text, database text, username text, "
            "active boolean)": "job_id bigint, schedule text DEFAULT NULL::text, "
            "command text DEFAULT NULL::text, database text DEFAULT NULL::text, "
            "username text DEFAULT NULL::text, active boolean DEFAULT NULL::boolean -> void",
            "schedule(job_name text, schedule text, command text)": "job_name text, "
            "schedule text, command text -> bigint",
            "schedule(schedule text, command text)": "schedule text, command text -> bigint",
            "schedule_in_database(job_name text, schedule text, command text, database text, "
            "username text, active boolean)": "job_name text, schedule text, command text, "
            "database text, username text DEFAULT NULL::text, active boolean DEFAULT true"
            " -> bigint",
            "unschedule(job_id bigint)": "job_id bigint -> boolean",
            f"unschedule(job_name {name})": f"job_name {name} -> boolean",
        }

    def test_jobs(self, postgres: Session, version: tuple[int, int]) -> None:
        name = "text" if version >= (1, 5) else "name"
        assert columns(postgres, "cron.job") == [
            ("jobid", "bigint", True),
            ("schedule", "text", True),
            ("command", "text", True),
            ("nodename", "text", True),
            ("nodeport", "integer", True),
            ("database", "text", True),
            ("username", "text", True),
            ("active", "boolean", True),
            ("jobname", name, False),
        ]

    def test_history(self, postgres: Session) -> None:
        assert columns(postgres, "cron.job_run_details") == [
            ("jobid", "bigint", False),
            ("runid", "bigint", True),
            ("job_pid", "integer", False),
            ("database", "text", False),
            ("username", "text", False),
            ("command", "text", False),
            ("status", "text", False),
            ("return_message", "text", False),
            ("start_time", "timestamp with time zone", False),
            ("end_time", "timestamp with time zone", False),
        ]

    def test_only_index_of_the_history_is_its_key(self, postgres: Session) -> None:
        rows = postgres.execute(
            "select pg_get_indexdef(indexrelid) from pg_index "
            "where indrelid = 'cron.job_run_details'::regclass"
        ).fetchall()
        assert len(rows) == 1
        assert rows[0][0].endswith("USING btree (runid)")

    def test_name_and_role_are_unique_together(self, postgres: Session) -> None:
        rows = postgres.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint "
            "where conrelid = 'cron.job'::regclass and contype = 'u'"
        ).fetchall()
        assert rows == [("jobname_username_uniq", "UNIQUE (jobname, username)")]

    @pytest.mark.parametrize("table", ["cron.job", "cron.job_run_details"])
    def test_rows_belong_to_their_role(self, postgres: Session, table: str) -> None:
        row = postgres.execute(
            "select relrowsecurity from pg_class where oid = %s::text::regclass", (table,)
        ).fetchone()
        assert row == (True,)


class TestGrants:
    def test_of_the_operator_on_jobs_is_reading(self, postgres: Session) -> None:
        assert privileges(postgres, "postgres", "cron.job") == {"SELECT"}

    def test_of_the_operator_on_the_history_is_everything_but_triggers(
        self, postgres: Session
    ) -> None:
        assert privileges(postgres, "postgres", "cron.job_run_details") == {
            "SELECT",
            "INSERT",
            "UPDATE",
            "DELETE",
            "TRUNCATE",
            "REFERENCES",
        }

    @pytest.mark.parametrize("sequence", ["cron.jobid_seq", "cron.runid_seq"])
    def test_of_the_operator_on_the_sequences_is_reading(
        self, postgres: Session, sequence: str
    ) -> None:
        assert sequence_privileges(postgres, "postgres", sequence) == {"SELECT"}

    def test_a_row_of_the_history_without_its_number_is_refused(self, postgres: Session) -> None:
        statement = f"insert into cron.job_run_details (jobid) values ({NOBODY})"
        assert refused(postgres, statement) == (
            "42501",
            "permission denied for sequence runid_seq",
        )

    @pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
    def test_of_everybody_else_end_at_the_schema(self, postgres: Session, role: str) -> None:
        row = postgres.execute("select has_schema_privilege(%s, 'cron', 'usage')", (role,))
        assert row.fetchone() == (False,)

    def test_upstream_lets_public_read_and_call_what_is_in_the_schema(
        self, postgres: Session
    ) -> None:
        assert privileges(postgres, "anon", "cron.job") == {"SELECT"}
        assert privileges(postgres, "anon", "cron.job_run_details") == {"SELECT", "DELETE"}
        assert may_execute(postgres, "anon", "cron.schedule(text, text)")
        assert may_execute(postgres, "anon", "cron.schedule(text, text, text)")
        assert may_execute(postgres, "anon", "cron.unschedule(bigint)")
        for closed in (
            "cron.alter_job(bigint, text, text, text, text, boolean)",
            "cron.schedule_in_database(text, text, text, text, text, boolean)",
        ):
            assert not may_execute(postgres, "anon", closed)
            assert may_execute(postgres, "postgres", closed)

    @pytest.mark.parametrize(
        "statement",
        [
            "update cron.job set active = false",
            "delete from cron.job",
            "insert into cron.job (schedule, command) values ('* * * * *', 'select 1')",
        ],
    )
    def test_jobs_are_written_through_the_functions_only(
        self, postgres: Session, statement: str
    ) -> None:
        assert refused(postgres, statement) == ("42501", "permission denied for table job")


class TestSchedule:
    def test_keeps_what_it_was_given_and_runs_where_the_settings_say(
        self, place: Place, postgres: Session
    ) -> None:
        jobid = number(postgres, SCHEDULE)
        found = job(postgres, jobid)
        found.pop("nodeport")
        assert found == {
            "jobid": jobid,
            "schedule": "0 6 * * *",
            "command": "select 1",
            "nodename": "localhost",
            "database": place.served,
            "username": "postgres",
            "active": True,
            "jobname": OWN,
        }

    def test_without_a_name_has_none_and_can_be_repeated(self, postgres: Session) -> None:
        first = number(postgres, "select cron.schedule('0 6 * * *', 'select 1')")
        second = number(postgres, "select cron.schedule('0 6 * * *', 'select 1')")
        assert first != second
        assert job(postgres, first)["jobname"] is None

    def test_again_changes_the_same_job_and_keeps_it_disabled(self, postgres: Session) -> None:
        jobid = number(postgres, SCHEDULE)
        postgres.execute("select cron.alter_job(%s, active := false)", (jobid,))
        again = number(postgres, f"select cron.schedule('{OWN}', '5 7 * * *', 'select 2')")
        found = job(postgres, jobid)
        assert again == jobid
        assert (found["schedule"], found["command"]) == ("5 7 * * *", "select 2")
        assert found["active"] is False

    def test_by_another_role_makes_another_job(self, postgres: Session, superuser: Session) -> None:
        mine = number(postgres, SCHEDULE)
        theirs = number(superuser, SCHEDULE)
        assert mine != theirs
        assert job(superuser, theirs)["username"] == superuser.role

    @pytest.mark.parametrize(
        "schedule",
        [
            "* * * * *",
            "*/5 * * * *",
            "0 6 * * 1-5",
            "0 6 * * mon-fri",
            "0,30 6 1 jan *",
            "1-59/2 0-23 1-31 1-12 0-7",
            "@daily",
            "@hourly",
            "@reboot",
            "0 6 * * *;",
            "\t0 6 * * *",
            "0 6 * * *\n",
            "0 6 * * * # at six",
            "  0 6 * * *  ",
            "0\t6\t*\t*\t*",
            "5-1 * * * *",
            "* * * * *x",
            "0 6 * * * more",
        ],
    )
    def test_takes(self, postgres: Session, schedule: str) -> None:
        jobid = number(postgres, f"select cron.schedule('{OWN}', %s, 'select 1')", schedule)
        assert job(postgres, jobid)["schedule"] == schedule

    @pytest.mark.parametrize(
        "schedule",
        [
            "",
            "never",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "*/0 * * * *",
            "2/5 * * * *",
            "23-60/60 * * * *",
            "5- * * * *",
            "1, * * * *",
            "@Daily",
            "@every",
            "61 seconds",
            "0 seconds",
        ],
    )
    def test_refuses(self, postgres: Session, schedule: str) -> None:
        sqlstate, message = refused(postgres, f"select cron.schedule('{OWN}', '{schedule}', '')")
        assert sqlstate == "22023"
        assert message == f"invalid schedule: {schedule}"

    @pytest.mark.parametrize(
        ("schedule", "since"),
        [("30 seconds", (1, 5)), ("1 second", (1, 5)), ("0 6 $ * *", (1, 6))],
    )
    def test_takes_newer_forms_from_their_version_on(
        self, postgres: Session, version: tuple[int, int], schedule: str, since: tuple[int, int]
    ) -> None:
        statement = f"select cron.schedule('{OWN}', '{schedule}', 'select 1')"
        if version >= since:
            assert job(postgres, number(postgres, statement))["schedule"] == schedule
        else:
            assert refused(postgres, statement)[1] == f"invalid schedule: {schedule}"

    def test_in_another_database(self, postgres: Session) -> None:
        jobid = number(
            postgres,
            f"select cron.schedule_in_database('{OWN}', '0 6 * * *', 'select 1', 'postgres', "
            "active := false)",
        )
        found = job(postgres, jobid)
        assert (found["database"], found["active"]) == ("postgres", False)


class TestAlterJob:
    def test_changes_what_is_named_and_nothing_else(self, postgres: Session) -> None:
        jobid = number(postgres, SCHEDULE)
        before = job(postgres, jobid)
        postgres.execute("select cron.alter_job(%s, schedule := '1 2 3 4 5')", (jobid,))
        assert job(postgres, jobid) == {**before, "schedule": "1 2 3 4 5"}
        postgres.execute("select cron.alter_job(%s, command := 'select 2')", (jobid,))
        postgres.execute("select cron.alter_job(job_id := %s, active := false)", (jobid,))
        assert job(postgres, jobid) == {
            **before,
            "schedule": "1 2 3 4 5",
            "command": "select 2",
            "active": False,
        }

    def test_refuses_a_bad_schedule(self, postgres: Session) -> None:
        jobid = number(postgres, SCHEDULE)
        statement = f"select cron.alter_job({jobid}, schedule := 'x')"
        assert refused(postgres, statement) == ("22023", "invalid schedule: x")

    def test_does_not_know_a_job_of_somebody_else(
        self, postgres: Session, superuser: Session
    ) -> None:
        theirs = number(superuser, SCHEDULE)
        for jobid in (theirs, NOBODY):
            assert refused(postgres, f"select cron.alter_job({jobid}, active := false)") == (
                "XX000",
                f"Job {jobid} does not exist or you don't own it",
            )
        assert job(superuser, theirs)["active"] is True

    def test_lets_no_operator_change_the_role(self, postgres: Session) -> None:
        jobid = number(postgres, SCHEDULE)
        statement = f"select cron.alter_job({jobid}, username := 'anon')"
        assert refused(postgres, statement) == ("XX000", "must be superuser to alter username")


class TestUnschedule:
    @pytest.mark.parametrize("by", ["name", "number"])
    def test_removes_the_job_and_says_so(self, postgres: Session, by: str) -> None:
        jobid = number(postgres, SCHEDULE)
        argument = f"'{OWN}'" if by == "name" else str(jobid)
        assert postgres.execute(f"select cron.unschedule({argument})").fetchone() == (True,)
        row = postgres.execute("select count(*) from cron.job where jobid = %s", (jobid,))
        assert row.fetchone() == (0,)

    def test_keeps_the_history(self, postgres: Session) -> None:
        jobid = number(postgres, SCHEDULE)
        postgres.execute(
            "insert into cron.job_run_details (jobid, runid, status) values (%s, %s, 'succeeded')",
            (jobid, NOBODY),
        )
        postgres.execute(f"select cron.unschedule('{OWN}')")
        kept = "select count(*) from cron.job_run_details where jobid = %s"
        assert number(postgres, kept, jobid) == 1

    def test_leaves_a_job_of_somebody_else(self, postgres: Session, superuser: Session) -> None:
        theirs = number(superuser, SCHEDULE)
        assert refused(postgres, f"select cron.unschedule({theirs})") == (
            "42501",
            "permission denied for table job",
        )
        assert refused(postgres, f"select cron.unschedule({NOBODY})") == (
            "XX000",
            f"could not find valid entry for job {NOBODY}",
        )
        assert refused(postgres, f"select cron.unschedule('{OWN}')") == (
            "XX000",
            f"could not find valid entry for job '{OWN}'",
        )
        assert job(superuser, theirs)["active"] is True

    def test_by_a_superuser_reaches_every_job_by_its_number(
        self, postgres: Session, superuser: Session
    ) -> None:
        mine = number(postgres, SCHEDULE)
        assert superuser.execute("select cron.unschedule(%s)", (mine,)).fetchone() == (True,)


LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
WORDS = ("mon", "SUN", "jan", "Dec", "x", "*", "mond", "01", "-1", "", "@")


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    """Draw a field of a cron expression, right, nearly right or wrong."""
    words = st.integers(low, high).map(str) | st.integers(0, 70).map(str) | st.sampled_from(WORDS)
    heads = st.just("*") | words | st.builds("{}-{}".format, words | st.just("*"), words)
    steps = st.just("") | st.sampled_from(("/1", "/2", "/5", "/0", "/100", "/x", "/"))
    return ",".join(draw(st.lists(st.builds("{}{}".format, heads, steps), min_size=1, max_size=3)))


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """Draw an expression in which few fields are wrong at a time, else nothing would be valid."""
    chosen = ["*"] * 5
    for place in draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)):
        chosen[place] = draw(fields(*LIMITS[place]))
    chosen = chosen[: draw(st.sampled_from((5, 5, 5, 4)))]
    chosen += draw(st.sampled_from(([], [], [], ["*"], ["x"])))
    return draw(st.sampled_from((" ", "  ", "\t"))).join(chosen)


def test_the_stand_in_takes_exactly_the_schedules_that_the_extension_takes(
    place: Place, superuser: Session
) -> None:
    if place.version is None:
        if place.database.server.kind == "system":
            missing("pg_cron is not installed for the PostgreSQL of the system.")
        return
    text = (ROOT / "tests/sql_snippets/platform/50_cron.sql").read_text(encoding="utf-8")
    parser = text[
        text.index("create function cron._number") : text.index(
            "create function cron._require_schedule"
        )
    ]
    superuser.execute(f"create schema {OWN}")
    superuser.execute(parser.replace("cron._", f"{OWN}._"))

    def takes(schedule: str) -> bool:
        try:
            superuser.execute(f"select cron.schedule('{OWN}', %s, 'select 1')", (schedule,))
        except psycopg.errors.InvalidParameterValue:
            return False
        return True

    @settings(max_examples=300, deadline=None)
    @given(schedule=schedules())
    def compare(schedule: str) -> None:
        row = superuser.execute(f"select {OWN}._is_schedule(%s)", (schedule,)).fetchone()
        assert row == (takes(schedule),)

    compare()


def test_operator_sees_the_jobs_of_all(postgres: Session, superuser: Session) -> None:
    number(superuser, SCHEDULE)
    rows = postgres.execute(f"select username from cron.job where jobname = '{OWN}'").fetchall()
    assert rows == [(superuser.role,)]
