"""The documented system at work on this machine, with what an operator needs to practise on it.

A database with its jobs firing, a worker that sends, and a channel that receives.  One thing at a
time is put wrong in it; to start over is to have a new database.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from scripts.tasks.common import ROOT, TaskError
from sql_snippets.database.databases import open_live_database
from sql_snippets.database.recipes import Recipe
from sql_snippets.profiles import SUPABASE
from sql_snippets.servers.server import ServerUnavailable
from tests.sql_snippets.cron_clock import fire, go_on_numbering, running_cron
from tests.sql_snippets.faults.catalogue import Fault, catalogue
from tests.sql_snippets.http_receiver import Receiver, http_receiver
from tests.sql_snippets.net_worker import running_net_worker
from tests.sql_snippets.scenarios import INCIDENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sql_snippets import Database

ALERTS, HEARTBEAT = "/alerts", "/heartbeat"
JOBS = {
    "peer-mentor-reminders": "the daily run",
    "reminder-watchdog": "the watchdog",
}
_WELL_SECONDS = 60.0
_ADDRESS = """
select vault.update_secret(id, %s) from vault.secrets where name = %s
"""
_FIRST_TEST = "select reminder.send_test_alert('scripts/try')"
_HEALTH = "select what, ok, finding, section from reminder.health order by step"
_JOB = "select jobid, schedule, command, database, username from cron.job where jobname = %s"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What was put wrong: what to tell at once, and what only when it is asked for."""

    title: str
    secret: str


@dataclass(slots=True)
class Trial:
    """The system, which is replaced as a whole when somebody starts over."""

    choice: str
    cache_dir: Path
    receiver: Receiver
    wrong: Wrong | None = None
    _database: Database | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    # One thing at a time: a button that is pressed twice waits.
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _seen: list[str] = field(default_factory=list)
    _forgotten: int = 0

    def start_over(self) -> None:
        """Replace the database by a new one in which all is well."""
        with self._lock:
            self._stack.close()
            self._database, self.wrong = None, None
            self._forgotten = len(self.receiver.requests)
            self._seen.clear()
            with ExitStack() as stack:
                database = stack.enter_context(
                    open_live_database(self.choice, _recipe(), cache_dir=self.cache_dir)
                )
                stack.enter_context(running_net_worker(database))
                if not any(part.startswith("pg_cron ") for part in database.server.real_parts):
                    stack.enter_context(running_cron(database))
                self._make_well(database)
                self._stack = stack.pop_all()
            self._database = database

    def close(self) -> None:
        """End the server and what works on it."""
        with self._lock:
            self._stack.close()
            self._database = None

    def produce(self, name: str) -> None:
        """Produce the incident of a drill.  Raises TaskError where one is already there."""
        with self._alone() as database:
            produced = INCIDENTS[name](database)
            if hasattr(produced, "__next__"):
                next(produced)
                self._stack.callback(next, produced, None)
            with database.server.connect(database.name) as god:
                go_on_numbering(god)
            self.wrong = Wrong(name.replace("_", " "), "")

    def draw(self) -> None:
        """Put one of the faults of the catalogue into the database, whichever comes."""
        with self._alone() as database, database.server.connect(database.name) as god:
            faults = list(catalogue(god))
            random.shuffle(faults)
            for fault in faults:
                try:
                    self._put(database, god, fault)
                except (psycopg.Error, ServerUnavailable):
                    continue  # refused, which is better than to be told of afterwards
                what = "\n".join(filter(None, (f"{fault.kind}: {fault.name}", fault.sql)))
                self.wrong = Wrong("a fault from the catalogue", what)
                return

    def fire(self, name: str) -> None:
        """Let a job fire now, as it is registered, instead of at its time."""
        database = self._present()
        with database.server.connect(database.name) as god:
            job = god.execute(_JOB, (name,)).fetchone()
        if job is None:
            raise TaskError(f"There is no job {name}.")
        fire(database, job)

    def state(self) -> Mapping[str, Any]:
        """Return what the page shows, as JSON has it."""
        database = self._database
        if database is None:
            return {"ready": False}
        server = database.server
        real = ", ".join(server.real_parts) or "stand-ins for the platform's parts"
        return {
            "ready": True,
            "server": f"PostgreSQL {server.version}, {real}",
            "psql": f"psql 'host={server.host} port={server.port} "
            f"dbname={database.name} user={database.role}'",
            "health": self._health(database),
            "messages": self._messages(),
            "wrong": self.wrong and {"title": self.wrong.title, "secret": self.wrong.secret},
            "addresses": {
                "REMINDER_ALERT_WEBHOOK_URL": self._address(ALERTS),
                "REMINDER_HEARTBEAT_URL": self._address(HEARTBEAT),
            },
        }

    def _address(self, path: str) -> str:
        return self.receiver.url.removesuffix(self.receiver.path) + path

    def _present(self) -> Database:
        if self._database is None:
            raise TaskError("The database is being made; wait a moment.")
        return self._database

    @contextmanager
    def _alone(self) -> Iterator[Database]:
        with self._lock:
            if self.wrong is not None:
                raise TaskError(f"{self.wrong.title} is active already: start over first.")
            try:
                yield self._present()
            except (psycopg.Error, ServerUnavailable, pytest.fail.Exception) as err:
                raise TaskError(f"It could not be produced: {err}") from err

    def _put(self, database: Database, god: psycopg.Connection[Any], fault: Fault) -> None:
        if fault.sql:
            god.execute(fault.sql.encode())
        if fault.session:
            session = self._stack.enter_context(database.connect(application_name="psql"))
            for statement in fault.session:
                session.execute(statement.encode())

    def _make_well(self, database: Database) -> None:
        """Let it run as it does in the days after a deployment, until health is content."""
        with database.connect() as postgres:
            for name, path in (
                ("REMINDER_ALERT_WEBHOOK_URL", ALERTS),
                ("REMINDER_HEARTBEAT_URL", HEARTBEAT),
            ):
                postgres.execute(_ADDRESS, (self._address(path), name))
            postgres.execute(_FIRST_TEST)
            deadline = time.monotonic() + _WELL_SECONDS
            while True:
                for name in JOBS:
                    for job in postgres.execute(_JOB, (name,)).fetchall():
                        fire(database, job)
                bad = [row for row in self._health(database) if not row["ok"]]
                if not bad:
                    return
                if time.monotonic() > deadline:
                    said = "; ".join(f"{row['what']}: {row['finding']}" for row in bad)
                    raise TaskError(f"The system is not well before anything is wrong: {said}")
                time.sleep(0.2)

    @staticmethod
    def _health(database: Database) -> list[dict[str, Any]]:
        names = ("what", "ok", "finding", "section")
        try:
            with database.connect(options="-c statement_timeout=20s") as session:
                rows = session.execute(_HEALTH.encode()).fetchall()
        except (psycopg.Error, ServerUnavailable) as err:
            return [dict(zip(names, ("health", False, str(err), "check-health"), strict=True))]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _messages(self) -> list[dict[str, str]]:
        requests = self.receiver.requests[self._forgotten :]
        now = dt.datetime.now(dt.UTC).strftime("%H:%M:%S")
        self._seen += [now] * (len(requests) - len(self._seen))
        return [
            {
                "at": at,
                "kind": "heartbeat" if request.path == HEARTBEAT else "alert",
                "text": _text(request.body),
            }
            for at, request in zip(self._seen, requests, strict=True)
        ]


def _text(body: object) -> str:
    if isinstance(body, dict):
        return str(body.get("text") or body.get("message") or body)
    return str(body)


def _recipe() -> Recipe:
    return Recipe.from_folders(
        platform=ROOT / "tests" / "sql_snippets" / "platform",
        migrations=ROOT / "supabase" / "migrations",
        seed=ROOT / "supabase" / "seed.sql",
        role="postgres",
        profile=SUPABASE,
    )


@contextmanager
def running_trial(choice: str, cache_dir: Path) -> Iterator[Trial]:
    """Give the system at work, all well; at the end nothing of it is left."""
    with http_receiver() as receiver:
        trial = Trial(choice, cache_dir, receiver)
        try:
            with suppress(BrokenPipeError):
                trial.start_over()
                yield trial
        finally:
            trial.close()
