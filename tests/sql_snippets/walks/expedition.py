"""From a fault to the ends of the walks that begin at it, and what the oracle says of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from tests.sql_snippets.faults.oracle import ALERTS, HEARTBEAT, hold
from tests.sql_snippets.net_worker import NetWorker
from tests.sql_snippets.scenarios import UNTIL_IT_IS_OLD
from tests.sql_snippets.walks.book import Book
from tests.sql_snippets.walks.walker import Walk, Walker, run_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql_snippets.faults.catalogue import Fault
    from tests.sql_snippets.faults.ground import Faulty, Ground

HEALTH = "check-health"
# As long as the threshold of failures needs.
DAYS = 3
# What tells of no trouble.
NO_TROUBLE = {"", "recovered", "send-a-test-alert"}
# The deployed schedule, which the page's own facts tell.
SCHEDULE = "0 6 * * *"


@dataclass(frozen=True, slots=True)
class Walked:
    """One walk, and why the promise was broken before it and at its end."""

    faults: tuple[Fault, ...]
    walk: Walk
    broken: str | None
    after: str | None

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults)


def broken(ground: Ground, *faults: Fault) -> str | None:
    """Say why the promise is broken; "" where it is kept, None where the faults are refused."""
    with ground.faulty(*faults) as faulty:
        if faulty.refused is not None:
            return None
        return ground.oracle(faulty).verdict() or ""


def walk_from_health(
    ground: Ground, *faults: Fault, broken: str | None = None, book: Book | None = None
) -> Walked:
    """Walk from the first block of a page (none: the runbook), as soon as the faults are there."""
    with ground.faulty(*faults) as faulty, _at_work(ground, faulty) as world:
        world.book = book
        walk = world.walk(HEALTH)
        return Walked(faults, walk, broken, world.verdict())


def walks_from_alerts(
    ground: Ground, *faults: Fault, broken: str | None = None
) -> Iterator[Walked]:
    """Walk from each alert that arrives when nobody does anything for some days."""
    todo, seen = [""], set()
    while todo:
        start = todo.pop()
        with ground.faulty(*faults) as faulty, _at_work(ground, faulty) as world:
            told = [link.partition("#")[2] for link in world.live(DAYS)]
            if not start:
                todo = [anchor for anchor in dict.fromkeys(told) if anchor not in NO_TROUBLE]
                if not todo:
                    return
                start = todo.pop(0)
            if start in seen:
                continue
            seen.add(start)
            walk = world.walk(start)
            yield Walked(faults, walk, broken, world.verdict())


@dataclass(slots=True)
class _World:
    """A database with faults in it, in which the platform is at work."""

    ground: Ground
    faulty: Faulty
    god: psycopg.Connection[Any]
    holder: psycopg.Connection[Any] | None
    stack: ExitStack
    book: Book | None = None

    def live(self, days: int) -> list[str]:
        """Let days go by, and return the links of the alerts that arrived."""
        oracle = self.ground.oracle(self.faulty)
        oracle.live(self.god, self.holder, days)
        self.faulty = replace(self.faulty, lived=days)
        return oracle.heard_of()

    def walk(self, start: str) -> Walk:
        where = self.ground.receiver.url.removesuffix(self.ground.receiver.path)
        known = {
            "webhook_url": where + ALERTS + self.faulty.path,
            "heartbeat_url": where + HEARTBEAT + self.faulty.path,
            "schedule": SCHEDULE,
        }
        book = self.book or Book.of_page()
        run = partial(run_in, self.faulty.database)
        return Walker(book, run, known, self._deliver, self._wait).walk(start)

    def verdict(self) -> str | None:
        """Ask the oracle, which uses the database up."""
        if self.holder is not None and not _is_alive(self.god, self.holder):
            self.faulty = replace(self.faulty, session=())
        self.stack.close()
        return self.ground.oracle(self.faulty).verdict()

    def _deliver(self) -> None:
        with suppress(psycopg.Error):
            while self.god.execute("select from net.http_request_queue limit 1").rowcount:
                NetWorker().one_batch(self.god, self.ground.pool)

    def _wait(self) -> None:
        self.ground.oracle(self.faulty).watch(self.god, self.holder)


@contextmanager
def _at_work(ground: Ground, faulty: Faulty) -> Iterator[_World]:
    database = faulty.database
    with ExitStack() as stack:
        god = stack.enter_context(
            database.server.connect(database.name, options="-c lock_timeout=10s")
        )
        stack.enter_context(_scheduler(faulty))
        holder = None
        if faulty.session:
            holder = stack.enter_context(_held(faulty))
            god.execute(UNTIL_IT_IS_OLD, [holder.info.backend_pid])
        yield _World(ground, faulty, god, holder, stack)


@contextmanager
def _scheduler(faulty: Faulty) -> Iterator[None]:
    with faulty.database.server.connect(faulty.database.name, application_name="pg_cron scheduler"):
        yield


@contextmanager
def _held(faulty: Faulty) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Hold what the fault holds, until the walk or the end of it ends the session."""
    with suppress(psycopg.OperationalError), hold(faulty.database, faulty.session) as holder:
        yield holder


def _is_alive(god: psycopg.Connection[Any], holder: psycopg.Connection[Any]) -> bool:
    found = god.execute(
        "select from pg_stat_activity where pid = %s", [holder.info.backend_pid]
    ).rowcount
    return bool(found)
