"""The real pg_cron, its schedule really firing, on a server of its own.

pg_cron starts a job at most once a minute, so what is to be seen is spread over four servers that
run at the same time, and each is watched by a thread.  Every wait has a deadline and ends as soon
as there is something to see.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sql_snippets.database.databases import Database, open_live_database
from sql_snippets.servers.server import ServerUnavailable
from tests.reminder_system.lanes import cache_dir, missing, open_own_server, reminder_recipe
from tests.reminder_system.people import add_assignments, add_mentors
from tests.reminder_system.runs import (
    break_dispatch,
    close_gate,
    eventually,
    lock_holder,
    log,
    one,
    open_gate,
)
from tests.sql_snippets.http_receiver import Request, http_receiver
from tests.sql_snippets.net_worker import running_net_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = psycopg.Connection[Any]
Row = dict[str, Any]

# A schedule of every minute fires within one; the rest is for a machine that is busy.
FIRING = 300.0
JOB = "peer-mentor-reminders"
PLATFORM = Path(__file__).parents[1] / "sql_snippets" / "platform"
PRELOADED = {"shared_preload_libraries": "pg_cron", "cron.database_name": "postgres"}
# Off on Supabase; a project of one's own may have it on.
WORKERS = {**PRELOADED, "cron.use_background_workers": "on"}

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Fired:
    """A run that pg_cron started, while it ran and after it."""

    during: Row
    details_during: Row
    after: Row
    details_after: Row


@dataclass(frozen=True, slots=True)
class Disabled:
    """A run whose job was disabled in the middle."""

    row: Row
    details: Row
    was_held_by: int
    sessions_left: int
    is_held_by: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Runs that failed until the alert went out."""

    rows: list[Row]
    details: list[Row]
    requests: list[Request]
    alert: Row


@dataclass(frozen=True, slots=True)
class Dropped:
    """What the system said while pg_cron was gone, and after it was made again."""

    is_real: bool
    ours: list[str]
    ours_without: list[str]
    health: Row
    health_without: Row
    drift_without: list[str]
    registered: dict[str, str]
    health_after: Row
    drift_after: list[str]
    run: Row


@dataclass(frozen=True, slots=True)
class Observed:
    """What the servers showed."""

    normal: Future[tuple[Fired, Disabled]]
    failing: Future[Failed]
    as_worker: Future[Row]
    dropped: Future[Dropped]

    @property
    def fired(self) -> Fired:
        return self.normal.result()[0]

    @property
    def disabled(self) -> Disabled:
        return self.normal.result()[1]

    @property
    def failed(self) -> Failed:
        return self.failing.result()


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    with ExitStack() as stack:
        normal, failing = (_open_live(stack) for _ in range(2))
        workers = stack.enter_context(open_own_server("system", migrate=True, **WORKERS))
        remade = stack.enter_context(open_own_server("system", migrate=True, **PRELOADED))
        pool = stack.enter_context(ThreadPoolExecutor(4))
        yield Observed(
            pool.submit(_watch_normal, normal),
            pool.submit(_watch_failing, failing),
            pool.submit(_watch_worker, workers.database),
            pool.submit(_watch_dropped, remade.database),
        )


def _open_live(stack: ExitStack) -> Database:
    try:
        database = stack.enter_context(
            open_live_database("system", reminder_recipe(), cache_dir=cache_dir())
        )
    except ServerUnavailable as err:
        missing(f"There is no PostgreSQL of the system to run pg_cron on: {err}")
    if not any(part.startswith("pg_cron ") for part in database.server.real_parts):
        missing("pg_cron is not installed for the PostgreSQL of the system.")
    return database


def _watch_normal(database: Database) -> tuple[Fired, Disabled]:
    with database.connect() as postgres:
        add_mentors(postgres)
        add_assignments(postgres, 3)
        close_gate(postgres)
        _every_minute(postgres)
        during = _wait_for_running(postgres, after_run=0)
        details_during = _details(postgres, during["backend_pid"])
        open_gate(postgres)
        eventually(lambda: log(postgres)[0]["status"] != "running", "the run ends")
        pid = during["backend_pid"]
        eventually(lambda: _details(postgres, pid)["status"] != "running", "pg_cron notes the end")
        fired = Fired(during, details_during, log(postgres)[0], _details(postgres, pid))

        # Something is due again, and the run is held at it.
        postgres.execute("delete from reminder.dispatched_reminders")
        close_gate(postgres)
        running = _wait_for_running(postgres, after_run=during["id"])
        pid = running["backend_pid"]
        held_by = lock_holder(postgres)
        postgres.execute(
            "select cron.alter_job(jobid, active := false) from cron.job where jobname = %s", (JOB,)
        )
        # The gate stays closed: the session can end by losing its client only.
        eventually(lambda: lock_holder(postgres) is None, "the lock is free")
        eventually(lambda: _sessions(postgres, pid) == 0, "the session has ended")
        eventually(lambda: _details(postgres, pid)["status"] != "running", "pg_cron notes the end")
        disabled = Disabled(
            log(postgres)[-1],
            _details(postgres, pid),
            held_by or 0,
            _sessions(postgres, pid),
            lock_holder(postgres),
        )
    assert held_by == pid
    return fired, disabled


def _watch_failing(database: Database) -> Failed:
    with (
        database.connect() as postgres,
        http_receiver() as receiver,
        running_net_worker(database),
    ):
        add_mentors(postgres)
        add_assignments(postgres, 3)
        break_dispatch(postgres)
        postgres.execute(
            "select vault.create_secret(%s, 'REMINDER_ALERT_WEBHOOK_URL')", (receiver.url,)
        )
        _every_minute(postgres)
        for count in (1, 2, 3):
            eventually(lambda count=count: len(log(postgres)) >= count, f"run {count}", FIRING)  # type: ignore[misc]  # an int
        requests = receiver.wait_for(1)
        rows = log(postgres)
        pids = [row["backend_pid"] for row in rows]
        eventually(
            lambda: all(_details(postgres, pid)["status"] == "failed" for pid in pids),
            "pg_cron notes the failures",
        )
        eventually(
            lambda: one(postgres, "select count(*) from net._http_response") == 1,
            "the answer is noted",
        )
        postgres.execute("select reminder.deliver_alerts()")
        with postgres.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            (alert,) = cursor.execute("select * from reminder.alerts").fetchall()
        return Failed(rows, [_details(postgres, pid) for pid in pids], requests, alert)


def _watch_worker(database: Database) -> Row:
    with database.connect() as postgres:
        add_mentors(postgres)
        add_assignments(postgres, 3)
        _every_minute(postgres)
        eventually(
            lambda: [row["status"] for row in log(postgres)][:1] == ["succeeded"],
            "pg_cron runs the job in a worker",
            FIRING,
        )
        return log(postgres)[0]


_OURS = """
select pg_describe_object(classid, objid, 0) from (
  select 'pg_class'::regclass, oid, relnamespace from pg_class
  union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
) o(classid, objid, place)
where place::regnamespace::text in ('public', 'reminder') order by 1
"""


def _watch_dropped(database: Database) -> Dropped:
    def named(sql: str) -> list[str]:
        return [str(row[0]) for row in postgres.execute(sql.encode()).fetchall()]

    def health() -> Row:
        rows = "select what, ok, finding, section from reminder.health"
        return {str(what): tuple(row) for what, *row in postgres.execute(rows)}

    with database.connect() as postgres, database.server.connect(database.name) as superuser:
        add_mentors(postgres)
        add_assignments(postgres, 3)
        is_real = bool(named("select extname from pg_extension where extname = 'pg_cron'"))
        ours, before = named(_OURS), health()
        superuser.execute("drop extension pg_cron cascade")
        without = named(_OURS), health(), named("select object from reminder.drift")
        # What the platform does where somebody switches it on.
        superuser.execute("create extension pg_cron with schema pg_catalog")
        superuser.execute((PLATFORM / "60_cron_grants.sql").read_bytes())
        said = postgres.execute("select * from reminder.register_jobs()").fetchall()
        registered = {str(job): str(done) for job, done in said}
        after = health(), named("select object from reminder.drift")
        _every_minute(postgres)
        eventually(
            lambda: [row["status"] for row in log(postgres)][:1] == ["succeeded"],
            "pg_cron that was made again runs the job",
            FIRING,
        )
        run = log(postgres)[0]
    return Dropped(is_real, ours, without[0], before, *without[1:], registered, *after, run)


def _every_minute(postgres: Connection) -> None:
    # The watchdog and the clearing of old rows would only disturb the picture.
    postgres.execute(
        "select cron.alter_job(jobid, active := false) from cron.job where jobname <> %s", (JOB,)
    )
    postgres.execute(
        "select cron.alter_job(jobid, schedule := '* * * * *') from cron.job where jobname = %s",
        (JOB,),
    )


def _wait_for_running(postgres: Connection, *, after_run: int) -> Row:
    found: list[Row] = []

    def look() -> bool:
        found[:] = [
            row for row in log(postgres) if row["status"] == "running" and row["id"] > after_run
        ]
        return bool(found)

    eventually(look, "pg_cron starts the job", FIRING)
    return found[0]


def _details(postgres: Connection, pid: int) -> Row:
    """Return what pg_cron itself says about the run of one process."""
    with postgres.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row: Row | None = cursor.execute(
            "select d.* from cron.job_run_details d where d.job_pid = %s "
            "order by d.runid desc limit 1",
            (pid,),
        ).fetchone()
    return row or {"status": "unknown"}


def _sessions(postgres: Connection, pid: int) -> int:
    count = one(postgres, "select count(*) from pg_stat_activity where pid = %s", pid)
    assert isinstance(count, int)
    return count


class TestFiring:
    def test_leaves_a_row_that_says_running_and_then_succeeded(self, observed: Observed) -> None:
        fired = observed.fired
        assert fired.during["status"] == "running"
        assert fired.after["status"] == "succeeded"
        assert fired.after["id"] == fired.during["id"]
        assert (fired.after["trigger_source"], fired.after["triggered_by"]) == ("cron", JOB)
        assert fired.after["reminders_dispatched"] == 3

    def test_is_of_one_mind_with_pg_cron_about_the_run(self, observed: Observed) -> None:
        fired = observed.fired
        assert fired.details_during["status"] == "running"
        assert fired.details_after["status"] == "succeeded"
        assert fired.details_after["return_message"] == "CALL"
        assert fired.details_after["command"] == "call reminder.run_job()"
        assert fired.details_after["username"] == "postgres"
        assert fired.details_after["job_pid"] == fired.after["backend_pid"]


class TestFiringInABackgroundWorker:
    def test_is_known_to_be_pg_cron_and_does_the_same(self, observed: Observed) -> None:
        row = observed.as_worker.result()
        assert (row["status"], row["reminders_dispatched"]) == ("succeeded", 3)
        assert (row["trigger_source"], row["triggered_by"]) == ("cron", JOB)


class TestThreeFailures:
    def test_are_logged_and_counted(self, observed: Observed) -> None:
        failed = observed.failed
        assert [row["status"] for row in failed.rows] == ["failed"] * 3
        assert [row["consecutive_failures"] for row in failed.rows] == [1, 2, 3]
        assert {row["trigger_source"] for row in failed.rows} == {"cron"}
        assert {row["error_code"] for row in failed.rows} == {"53100"}

    def test_are_failures_to_pg_cron_as_well(self, observed: Observed) -> None:
        for details in observed.failed.details:
            assert details["status"] == "failed"
            assert "the disk is full" in details["return_message"]

    def test_make_one_alert_arrive(self, observed: Observed) -> None:
        (request,) = observed.failed.requests
        assert isinstance(request.body, dict)
        assert request.body["alert"] == "consecutive_failures"
        assert request.body["run_id"] == 3
        assert "failed 3 times in a row" in request.body["text"]
        assert "the disk is full" in request.body["text"]
        assert observed.failed.alert["status"] == "delivered"


class TestDisabledInTheMiddle:
    def test_the_session_ends_and_the_lock_is_free(self, observed: Observed) -> None:
        disabled = observed.disabled
        assert disabled.was_held_by == disabled.row["backend_pid"]
        assert disabled.sessions_left == 0
        assert disabled.is_held_by is None

    def test_the_row_still_says_running_until_somebody_closes_it(self, observed: Observed) -> None:
        assert observed.disabled.row["status"] == "running"

    def test_pg_cron_calls_it_failed(self, observed: Observed) -> None:
        assert observed.disabled.details["status"] == "failed"
        assert observed.disabled.details["return_message"] == "job canceled"


class TestDroppedAndMadeAgain:
    def test_it_takes_nothing_of_ours_along(self, observed: Observed) -> None:
        dropped = observed.dropped.result()
        assert dropped.is_real
        assert len(dropped.ours) > 50
        assert dropped.ours_without == dropped.ours

    def test_health_says_what_is_gone_and_tells_all_else_as_before(
        self, observed: Observed
    ) -> None:
        dropped = observed.dropped.result()
        assert dropped.drift_without == ["extension pg_cron"]
        assert dropped.health_without.keys() == dropped.health.keys()
        # Whether a run was missed depends on the schedule.
        for what in ("jobs", "last success"):
            ok, finding, section = dropped.health_without[what]
            assert (ok, section) == (False, "what-differs")
            assert finding.startswith('cannot be told: relation "cron.job" does not exist')
        for what in dropped.health.keys() - {"jobs", "last success"}:
            assert dropped.health_without[what] == dropped.health[what]

    def test_jobs_come_back_by_the_call_of_the_runbook_and_fire(self, observed: Observed) -> None:
        dropped = observed.dropped.result()
        assert set(dropped.registered.values()) == {"registered"}
        assert len(dropped.registered) == 3
        assert dropped.drift_after == []
        assert dropped.health_after == dropped.health
        assert dropped.health["jobs"][0]
        assert (dropped.run["trigger_source"], dropped.run["triggered_by"]) == ("cron", JOB)
