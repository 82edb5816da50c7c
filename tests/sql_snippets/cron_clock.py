"""The part of pg_cron that plain SQL cannot stand in for: the clock that starts the jobs."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from sql_snippets.servers.server import ServerUnavailable
from tests.sql_snippets.faults.model import firings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets import Database

# The names by which the job and the page know these sessions.
SCHEDULER = "pg_cron scheduler"
SESSION = "pg_cron"
_JOBS = "select jobid, schedule, command, database, username from cron.job where active"
_BEGIN = """
insert into cron.job_run_details
  (runid, jobid, job_pid, database, username, command, status, start_time)
select coalesce(max(runid), 0) + 1, %s, %s, %s, %s, %s, 'running', clock_timestamp()
from cron.job_run_details
returning runid
"""
_END = """
update cron.job_run_details
set status = %s, return_message = %s, end_time = clock_timestamp()
where runid = %s
"""


# What is numbered here and by hand is not numbered again by the real one.
_GO_ON = """
select setval('cron.runid_seq', (select max(runid) from cron.job_run_details))
where to_regclass('cron.runid_seq') is not null
"""


def go_on_numbering(god: psycopg.Connection[Any]) -> None:
    """Let the real pg_cron, where it is, number its next run behind those that are there."""
    god.execute(_GO_ON)


def fire(database: Database, job: tuple[Any, ...]) -> None:
    """Run one job as pg_cron does, in a session of its user, and note how it ended."""
    id_, _, command, name, user = job
    with database.server.connect(database.name) as god:
        try:
            session = database.connect(user, SESSION)
        except ServerUnavailable as err:
            god.execute(_BEGIN, (id_, None, name, user, command))
            god.execute(
                "update cron.job_run_details set status = 'failed', return_message = %s "
                "where runid = (select max(runid) from cron.job_run_details)",
                (f"connection failed: {err}",),
            )
            return
        with session:
            pid = session.info.backend_pid
            row = god.execute(_BEGIN, (id_, pid, name, user, command)).fetchone()
            assert row
            go_on_numbering(god)
            try:
                done = session.execute(command.encode())
                ended = ("succeeded", done.statusmessage)
            except psycopg.Error as err:
                ended = ("failed", str(err))
            god.execute(_END, (*ended, row[0]))


@contextmanager
def running_cron(database: Database) -> Iterator[None]:
    """Start each job in the minute in which its schedule fires, for as long as the block lasts."""
    with database.server.connect(database.name) as god:
        # A job remembers the port that its server had when the job was made.
        god.execute("update cron.job set nodeport = %s", (database.server.port,))
    ended = threading.Event()

    def tick() -> None:
        last = _minute()
        with (
            ThreadPoolExecutor(8, thread_name_prefix="pg_cron") as pool,
            database.connect(application_name=SCHEDULER) as scheduler,
        ):
            while not ended.wait(0.2):
                now = _minute()
                if now == last:
                    continue
                last = now
                with suppress(psycopg.Error):
                    for job in scheduler.execute(_JOBS).fetchall():
                        with suppress(ValueError):
                            if now.hour * 60 + now.minute in firings(str(job[1]), now.date()):
                                pool.submit(fire, database, job)

    thread = threading.Thread(target=tick, name="pg_cron", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _minute() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
