"""Starting runs, holding them in the middle, breaking them, and reading what they logged."""

from __future__ import annotations

import select
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq
from psycopg import sql as query
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sql_snippets.database.databases import Database

RUN = "call reminder.run_job()"
# By this name of its sessions the job knows that pg_cron has started it.
PG_CRON = "pg_cron"
# Every wait is for something to happen; this is when to give up on a machine that is busy.
DEADLINE = 180.0


@dataclass(frozen=True, slots=True)
class Call:
    """A statement that runs in a session of its own while the test goes on."""

    connection: psycopg.Connection[Any]
    pid: int

    def finish(self, seconds: float = DEADLINE) -> str | None:
        """Wait for the end; return the SQLSTATE, ``lost`` for a lost session, None for success."""
        connection = self.connection.pgconn
        deadline = time.monotonic() + seconds
        sqlstate: str | None = None
        while True:
            while connection.is_busy():
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([connection.socket], [], [], left)[0]:
                    raise TimeoutError(f"Session {self.pid} was not done within {seconds:g} s.")
                try:
                    connection.consume_input()
                except psycopg.OperationalError:
                    return "lost"
            result = connection.get_result()
            if result is None:
                return "lost" if connection.status == pq.ConnStatus.BAD else sqlstate
            if result.status == pq.ExecStatus.FATAL_ERROR:
                code = result.error_field(pq.DiagnosticField.SQLSTATE)
                sqlstate = code.decode() if code else "lost"

    def hang_up(self) -> None:
        """Close the socket in the middle, as pg_cron does when its job is disabled."""
        self.connection.pgconn.finish()


@contextmanager
def calling(database: Database, sql: str = RUN, *, role: str | None = None) -> Iterator[Call]:
    """Start ``sql`` in a session of its own, a run as pg_cron starts it; closed at the end."""
    with database.connect(role, PG_CRON if sql == RUN else "") as connection:
        connection.pgconn.send_query(sql.encode())
        try:
            yield Call(connection, connection.info.backend_pid)
        finally:
            connection.pgconn.finish()


def eventually(is_so: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait until a condition holds.  Raises TimeoutError that says which one did not."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:g} s: {what}.")
        time.sleep(0.01)


def one(connection: psycopg.Connection[Any], sql: str, *parameters: object) -> Any:
    """Return the only value of the only row."""
    rows = connection.execute(sql, parameters or None).fetchall()
    assert len(rows) == 1, rows
    assert len(rows[0]) == 1, rows
    return rows[0][0]


def log(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the execution log, oldest run first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from public.cron_execution_logs order by id").fetchall()


def statuses(connection: psycopg.Connection[Any]) -> list[str]:
    return [row["status"] for row in log(connection)]


def lock_holder(connection: psycopg.Connection[Any]) -> int | None:
    """Look into pg_locks by the published key, not through the function that is under test."""
    row = connection.execute(
        "select l.pid from pg_locks l join pg_database d on d.oid = l.database "
        "where d.datname = current_database() and l.locktype = 'advisory' and l.granted "
        "and l.classid = 0 and l.objid = 741852963 and l.objsubid = 1"
    ).fetchone()
    return None if row is None else row[0]


def check(connection: psycopg.Connection[Any], name: str) -> tuple[bool, str, str]:
    """Return what a check of health says: whether it is well, the finding and the section."""
    row = connection.execute(
        query.SQL("select * from {}()").format(query.Identifier("reminder", f"check_{name}"))
    ).fetchone()
    assert row is not None
    ok, finding, section = row
    return ok, finding, section


def set_settings(connection: psycopg.Connection[Any], **settings: object) -> None:
    for name, value in settings.items():
        connection.execute(
            query.SQL("update reminder.settings set {} = %s").format(query.Identifier(name)),
            (value,),
        )


def run(connection: psycopg.Connection[Any], sql: str = RUN) -> str | None:
    """Run to the end in this session; return the SQLSTATE, None for success."""
    connection.execute(f"set application_name = '{PG_CRON if sql == RUN else ''}'")
    try:
        connection.execute(sql)
    except psycopg.Error as err:
        return err.sqlstate
    return None


# A run is held, or made to fail, inside its own batch and transaction, where real trouble happens:
# a trigger on the table it writes to.  Nothing of the system itself is replaced.


def close_gate(connection: psycopg.Connection[Any]) -> None:
    """Make every run wait in its first batch until the gate is opened.

    There must be an active assignment, else a run has no batch.
    """
    connection.execute(
        """
        create schema if not exists test_gate;
        create table if not exists test_gate.gate (is_open boolean not null);
        delete from test_gate.gate;
        insert into test_gate.gate values (false);
        create or replace function test_gate.wait() returns trigger language plpgsql as $$
        begin
          while not (select is_open from test_gate.gate) loop
            perform pg_catalog.pg_sleep(0.01);
          end loop;
          return null;
        end
        $$;
        create or replace trigger gate before insert on reminder.dispatched_reminders
          for each statement execute function test_gate.wait();
        """
    )


def wait_at_gate(connection: psycopg.Connection[Any], call: Call) -> None:
    """Wait until a run waits in its batch.

    Its row says running a moment earlier, between two steps, where a cancel ends it otherwise.
    """
    sleeps = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    eventually(
        lambda: connection.execute(sleeps, (call.pid,)).fetchone() is not None,
        f"session {call.pid} waits at the gate",
    )


def open_gate(connection: psycopg.Connection[Any]) -> None:
    connection.execute("update test_gate.gate set is_open = true")


def break_dispatch(connection: psycopg.Connection[Any]) -> None:
    """Make every run fail in its first batch with 53100, as on a full disk."""
    connection.execute(
        """
        create schema if not exists test_fault;
        create or replace function test_fault.fail() returns trigger language plpgsql as $$
        begin
          raise exception using errcode = '53100', message = 'the disk is full';
        end
        $$;
        create or replace trigger fault before insert on reminder.dispatched_reminders
          for each statement execute function test_fault.fail();
        """
    )


def mend_dispatch(connection: psycopg.Connection[Any]) -> None:
    connection.execute("drop trigger fault on reminder.dispatched_reminders")


def reminders(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return assignment and due day of every reminder, in order."""
    return connection.execute(
        "select assignment_id, due_on from reminder.dispatched_reminders order by 1, 2"
    ).fetchall()
