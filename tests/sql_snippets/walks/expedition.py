"""From a fault to the ends of the walks that begin at it, and what the oracle says of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from tests.sql_snippets.faults.oracle import ALERTS, HEARTBEAT, hold
from tests.sql_snippets.net_worker import NetWorker
from tests.sql_snippets.scenarios import UNTIL_IT_IS_OLD
from tests.sql_snippets.walks.book import Book
from tests.sql_snippets.walks.walker import Walk, Walker, run_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sql_snippets.decisions import Node
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
    # How often the oracle was asked on the way, and which statements have made it worse.
    asked: int = 0
    worse: tuple[str, ...] = ()

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
    ground: Ground,
    *faults: Fault,
    broken: str | None = None,
    book: Book | None = None,
    closely: bool = False,
) -> Walked:
    """Walk from the first block of a page (none: the runbook), as soon as the faults are there.

    ``closely`` asks the oracle before the first statement and after each that is no READ.
    """
    with ground.faulty(*faults) as faulty, _at_work(ground, faulty) as world:
        world.book = book
        return world.walked(HEALTH, faults, broken, closely=closely)


def walks_from_alerts(
    ground: Ground, *faults: Fault, broken: str | None = None, closely: bool = False
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
            yield world.walked(start, faults, broken, closely=closely)


@dataclass(slots=True)
class _World:
    """A database with faults in it, in which the platform is at work."""

    ground: Ground
    faulty: Faulty
    stack: ExitStack
    holder: psycopg.Connection[Any] | None = None
    book: Book | None = None
    god: psycopg.Connection[Any] = field(init=False)
    # The platform's own, which a copy of the database has to do without for a moment.
    _sessions: ExitStack = field(default_factory=ExitStack)
    # How much of the promise was kept when the oracle was asked last.
    _kept: int | None = None
    _asked: int = 0
    _worse: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Let the platform have its sessions."""
        server, name = self.faulty.database.server, self.faulty.database.name
        self.god = self._sessions.enter_context(server.connect(name, options="-c lock_timeout=10s"))
        self._sessions.enter_context(server.connect(name, application_name="pg_cron scheduler"))

    def close(self) -> None:
        """End them."""
        self._sessions.close()

    def live(self, days: int) -> list[str]:
        """Let days go by, and return the links of the alerts that arrived."""
        oracle = self.ground.oracle(self.faulty)
        oracle.live(self.god, self.holder, days)
        self.faulty = replace(self.faulty, lived=days)
        return oracle.heard_of()

    def walked(
        self, start: str, faults: tuple[Fault, ...], broken: str | None, *, closely: bool
    ) -> Walked:
        """Walk to an end, and ask the oracle about that."""
        if closely:
            self._ask("the start")
        walk = self._walk(start, self._ask_after if closely else lambda _: None)
        after = self._verdict()
        return Walked(faults, walk, broken, after, self._asked, tuple(self._worse))

    def _walk(self, start: str, changed: Callable[[Node], None]) -> Walk:
        where = self.ground.receiver.url.removesuffix(self.ground.receiver.path)
        known = {
            "webhook_url": where + ALERTS + self.faulty.path,
            "heartbeat_url": where + HEARTBEAT + self.faulty.path,
            "schedule": SCHEDULE,
        }
        book = self.book or Book.of_page()
        run = partial(run_in, self.faulty.database)
        return Walker(book, run, known, self._deliver, self._wait, changed).walk(start)

    def _ask_after(self, node: Node) -> None:
        self._ask(str(node))

    def _ask(self, when: str) -> None:
        """Ask the oracle in a copy, which the asking uses up.

        While a fault holds a session there can be no copy.
        """
        if self._is_held():
            return
        requests = self.ground.receiver.requests
        heard = len(requests)
        self.close()
        with self.ground.copy(self.faulty.database) as copy:
            oracle = self.ground.oracle(replace(self.faulty, database=copy, session=()))
            broken = oracle.verdict()
        self.open()
        # What the copy has sent, nobody was sent.
        del requests[heard:]
        self._asked += 1
        if self._kept is not None and oracle.parts_kept < self._kept:
            self._worse.append(f"{when} has made it worse: {broken}")
        self._kept = oracle.parts_kept

    def _is_held(self) -> bool:
        return self.holder is not None and _is_alive(self.god, self.holder)

    def _verdict(self) -> str | None:
        """Ask the oracle, which uses the database up."""
        if not self._is_held():
            self.faulty = replace(self.faulty, session=())
        self.stack.close()
        return self.ground.oracle(self.faulty).verdict()

    def _deliver(self) -> None:
        with suppress(psycopg.Error):
            while self.god.execute("select from net.http_request_queue limit 1").rowcount:
                NetWorker().one_batch(self.god, self.ground.pool)

    def _wait(self) -> None:
        if self._is_held():
            # The age of a session, which the page asks for, is real.
            self.god.execute("select pg_sleep(2)")
        self.ground.oracle(self.faulty).watch(self.god, self.holder)


@contextmanager
def _at_work(ground: Ground, faulty: Faulty) -> Iterator[_World]:
    with ExitStack() as stack:
        world = _World(ground, faulty, stack)
        stack.callback(world.close)
        world.open()
        if faulty.session:
            world.holder = stack.enter_context(_held(faulty))
            world.god.execute(UNTIL_IT_IS_OLD, [world.holder.info.backend_pid])
        yield world


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
