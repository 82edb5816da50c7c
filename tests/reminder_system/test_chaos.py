"""Faults at random points of the run, and what the next run makes of it.

A failure prints the seed and the round: ``--chaos-seed N --chaos-rounds M`` repeats it.  What the
server does is as fast as the machine, so a repeat hits about the same points, not exactly the same.
"""

from __future__ import annotations

import datetime as dt
import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.lanes import LANES, OwnServer, open_own_server
from tests.reminder_system.people import add_assignments, add_mentors
from tests.reminder_system.runs import DEADLINE, RUN, lock_holder, log, one, run, set_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

ASSIGNMENTS = 1200
BATCH_SIZE = 20
PAUSED_EVERY = 7
DEFAULT_SECONDS = 22.0
FEWEST, MOST = 10, 200  # rounds, however busy the machine is
# The first reminder after 30 days, and then every 7: the system's defaults.
FIRST, AGAIN = 30, 7

# What may become of a run that a fault hits, by its status and its error; nothing else does that.
Fate = tuple[str, str | None]
LOST: Fate = ("abandoned", None)
FATES: dict[str, set[Fate]] = {
    "cancel": {("failed", "57014"), LOST},
    "terminate": {LOST},
    "cut": {LOST},
    "crash": {LOST},
}
# Of one that it does not hit any more, or not yet.
UNHURT: set[Fate] = {("succeeded", None), ("skipped", None)}

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Wire:
    """A proxy between client and server whose connections can be cut."""

    target: tuple[str, int]
    listener: socket.socket
    _ends: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        port = self.listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(target=_pump, args=(source, sink), daemon=True)
                thread.start()
                self._threads.append(thread)

    def cut(self) -> None:
        """Reset every connection in both directions, without the farewell of the protocol."""
        for end in self._ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
        self.close_ends()

    def close_ends(self) -> None:
        for end in self._ends:
            end.close()
        for thread in self._threads:
            thread.join(DEADLINE)
        self._ends.clear()
        self._threads.clear()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def wire_to(database: Database) -> Iterator[tuple[Wire, Database]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire((database.server.host, database.server.port), listener)
        thread = threading.Thread(target=wire.serve, name="wire", daemon=True)
        thread.start()
        try:
            yield wire, replace(database, server=replace(database.server, port=wire.port))
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)
            wire.cut()


@dataclass(slots=True)
class Chaos:
    """One server, its randomness, and what happened so far."""

    own: OwnServer
    dice: random.Random
    typical_seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    # The faults of the round, each with the session that it was meant for.
    struck: list[tuple[str, int]] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.own.database

    def prepare(self) -> None:
        with self.database.connect() as postgres:
            add_mentors(postgres)
            add_assignments(postgres, ASSIGNMENTS)
            postgres.execute(
                "update public.assignments set status = 'paused' where id %% %s = 0",
                (PAUSED_EVERY,),
            )
            set_settings(postgres, batch_size=BATCH_SIZE)
            # Two seconds on the platform, where a run takes longer than here.
            postgres.execute("alter role postgres set client_connection_check_interval = '2ms'")
            # The stand-in of pg_cron starts nothing; the heartbeat has no address.
            self.make_due(postgres)
            began = time.monotonic()
            assert run(postgres) is None
            self.typical_seconds = time.monotonic() - began

    def make_due(self, postgres: Connection) -> None:
        """Give everybody another last contact, and take back what was written."""
        postgres.execute("truncate reminder.dispatched_reminders")
        postgres.execute(
            "update public.assignments set last_contact_date = "
            "(now() at time zone 'utc')::date - (id * %s %% 90)::integer",
            (self.dice.randrange(1, 90),),
        )

    def round(self, number: int) -> None:
        with self.database.connect() as postgres:
            self.make_due(postgres)
            first = one(postgres, "select coalesce(max(id), 0) from public.cron_execution_logs")
        faults = (self.cancel, self.terminate, self.cut, self.crash)
        self.struck.clear()
        with ExitStack() as stays:
            # Each kind in its turn, at a run that is at work; then others, whenever they come.
            faults[number % len(faults)](stays, self.dice.randrange(ASSIGNMENTS // 2))
            for _ in range(self.dice.choice([0, 0, 1, 2])):
                self.dice.choice(faults)(stays, None)
            self.next_run()
            self.check(after_run=first)

    def has_struck(self, rounds: int) -> bool:
        """Whether enough faults hit a run that was at work: one of each kind, and many in all."""
        return min(self.hits[fault] for fault in FATES) >= 1 and self.hits.total() >= rounds // 2

    def moment(self) -> float:
        """Return when to strike, in seconds after the start: mostly within the run."""
        return self.dice.uniform(0, 1.1 * self.typical_seconds)

    def cancel(self, stays: ExitStack, at: int | None) -> None:
        """Cancel, in a session that stays: a SQL tool whose user pressed the button."""
        session = stays.enter_context(self.database.connect())
        pid = session.info.backend_pid
        end = "select pg_cancel_backend(%s)"
        self._strike("cancel", session, at, lambda outside: outside.execute(end, (pid,)))

    def terminate(self, stays: ExitStack, at: int | None) -> None:
        session = stays.enter_context(self.database.connect())
        pid = session.info.backend_pid
        end = "select pg_terminate_backend(%s)"
        self._strike("terminate", session, at, lambda outside: outside.execute(end, (pid,)))

    def cut(self, _: ExitStack, at: int | None) -> None:
        with wire_to(self.database) as (wire, behind), behind.connect() as session:
            self._strike("cut", session, at, lambda _: wire.cut())

    def crash(self, _: ExitStack, at: int | None) -> None:
        with self.database.connect() as session:
            self._strike("crash", session, at, lambda _: self.own.crash())

    def _strike(
        self, fault: str, session: Connection, at: int | None, blow: Callable[[Connection], object]
    ) -> None:
        """Strike when a run has looked at so many, or without a number at a random moment."""
        pid = session.info.backend_pid
        self.ends[fault] += 1
        self.struck.append((fault, pid))
        with self.database.connect() as outside:
            thread = threading.Thread(target=_run_to_some_end, args=(session,), name="run")
            thread.start()
            if at is None:
                time.sleep(self.moment())
            else:
                while thread.is_alive() and _looked_at(outside, pid) < at:
                    pass
            blow(outside)
            thread.join(DEADLINE)
            assert not thread.is_alive(), "the session did not end"

    def next_run(self) -> None:
        """Run until a run is not skipped: the lock has to be freed, whatever struck."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with self.database.connect() as session:
                assert run(session) is None
                row = next(
                    row
                    for row in reversed(log(session))
                    if row["backend_pid"] == session.info.backend_pid
                )
            if row["status"] == "succeeded":
                self.typical_seconds = row["duration"].total_seconds()
                return
            assert row["status"] == "skipped", row
            assert time.monotonic() < deadline, f"the lock was not freed: {row}"
            time.sleep(0.02)

    def check(self, *, after_run: int) -> None:
        with self.database.connect() as postgres:
            assert lock_holder(postgres) is None
            today = one(postgres, "select (now() at time zone 'utc')::date")
            assignments = postgres.execute(
                "select id, last_contact_date, status from public.assignments"
            ).fetchall()
            written = postgres.execute(
                "select assignment_id, due_on, run_id from reminder.dispatched_reminders"
            ).fetchall()
            rows = [row for row in log(postgres) if row["id"] > after_run]
            alerts = postgres.execute(
                "select run_id from reminder.alerts where kind = 'abandoned_run'"
            ).fetchall()
        due = {
            id_: _due_on(last, today)
            for id_, last, status in assignments
            if status == "active" and (today - last).days >= FIRST
        }
        # Each due assignment once, and nobody else.
        assert sorted((id_, day) for id_, day, _ in written) == sorted(due.items())
        # Its own fault explains what became of a run, and an abandoned one has raised its alert.
        fates = {row["backend_pid"]: (row["status"], row["error_code"]) for row in rows}
        for fault, pid in self.struck:
            fate = fates.pop(pid, None)  # a run that was hit before its row was there has none
            assert fate is None or fate in UNHURT | FATES[fault], (fault, fate)
            self.hits[fault] += fate in FATES[fault]
        assert set(fates.values()) <= UNHURT, "runs that nothing struck"
        assert {row["id"] for row in rows if row["status"] == "abandoned"} <= {a for (a,) in alerts}
        assert all(row["finished_at"] is not None for row in rows)
        self.ends.update(f"run {row['status']}" for row in rows)
        # The counts in the log are the rows in the table.
        counts = Counter(run_id for _, _, run_id in written)
        assert {row["id"]: row["reminders_dispatched"] for row in rows} == {
            row["id"]: counts[row["id"]] for row in rows
        }
        assert set(counts) <= {row["id"] for row in rows}
        # The last run has looked at every active assignment once, wherever it began.
        active = sum(status == "active" for _, _, status in assignments)
        assert rows[-1]["assignments_evaluated"] == active
        assert rows[-1]["consecutive_failures"] == 0


def _due_on(last: Any, today: Any) -> dt.date:
    assert isinstance(last, dt.date)
    late = (today - last).days - FIRST
    return last + dt.timedelta(days=FIRST + late // AGAIN * AGAIN)


def _looked_at(postgres: Connection, pid: int) -> int:
    """Return how many assignments the run of a session has looked at, -1 before it began."""
    row = postgres.execute(
        "select assignments_evaluated from public.cron_execution_logs "
        "where backend_pid = %s and status = 'running'",
        (pid,),
    ).fetchone()
    return -1 if row is None else row[0]


def _run_to_some_end(session: Connection) -> None:
    with suppress(psycopg.Error):
        session.execute(RUN)


@pytest.mark.parametrize("lane", LANES)
def test_nothing_is_lost_and_nothing_comes_twice(
    lane: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = request.config.getoption("--chaos-seed")
    if seed is None:
        seed = random.SystemRandom().randrange(2**32)
    rounds = request.config.getoption("--chaos-rounds")
    done = 0
    with open_own_server(lane, synchronous_commit="on") as own:
        chaos = Chaos(own, random.Random(seed))
        chaos.prepare()
        deadline = time.monotonic() + DEFAULT_SECONDS
        try:
            while done < (rounds or FEWEST) or (
                not rounds
                and done < MOST
                and (time.monotonic() < deadline or not chaos.has_struck(done))
            ):
                chaos.round(done)
                done += 1
            assert rounds or chaos.has_struck(done), "too few faults hit a run: nothing was shown"
        except BaseException as err:
            err.add_note(
                f"{lane}: --chaos-seed {seed}, failed in round {done + 1}: "
                f"{chaos.ends}, hit {chaos.hits}"
            )
            raise
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{lane}: --chaos-seed {seed}, {done} rounds: {dict(sorted(chaos.ends.items()))}, "
            f"of which a run at work was hit by {dict(sorted(chaos.hits.items()))}"
        )
