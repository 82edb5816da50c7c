"""From a fault to the ends of the walks that begin at it, and what the oracle says of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from sql_snippets.servers.server import ServerUnavailable
from tests.reminder_system.runs import PG_CRON
from tests.sql_snippets.faults.ground import Faulty
from tests.sql_snippets.faults.oracle import ALERTS, HEARTBEAT, hold
from tests.sql_snippets.net_worker import NetWorker
from tests.sql_snippets.scenarios import UNTIL_IT_IS_OLD
from tests.sql_snippets.walks.walker import Book, Walk, Walker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sql_snippets.faults.catalogue import Fault
    from tests.sql_snippets.faults.ground import Ground

HEALTH = "check-health"
# The deployed schedule, which the page's own facts tell.
SCHEDULE = "0 6 * * *"


@dataclass(frozen=True, slots=True)
class Walked:
    """One walk, and whether the promise was broken before and after it."""

    faults: tuple[Fault, ...]
    walk: Walk
    before: str | None
    after: str | None

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults)


def walk_from_health(ground: Ground, *faults: Fault) -> Walked | None:
    """Walk from the first block of the page; None where the system refuses the fault."""
    with ground.faulty(*faults) as faulty:
        if faulty.refused is not None:
            return None
        before = ground.oracle(faulty).verdict()
    with ground.faulty(*faults) as faulty:
        walk, left = _walk(ground, faulty, HEALTH)
        after = ground.oracle(left).verdict()
    return Walked(faults, walk, before, after)


def _walk(ground: Ground, faulty: Faulty, start: str) -> tuple[Walk, Faulty]:
    """Walk in a database in which the platform is at work; return what is left of the fault."""
    database = faulty.database
    where = ground.receiver.url.removesuffix(ground.receiver.path)
    known = {
        "webhook_url": where + ALERTS + faulty.path,
        "heartbeat_url": where + HEARTBEAT + faulty.path,
        "schedule": SCHEDULE,
    }
    with ExitStack() as stack:
        god = stack.enter_context(database.server.connect(database.name))
        with suppress(ServerUnavailable):
            stack.enter_context(_scheduler(faulty))
        holder = None
        if faulty.session:
            holder = stack.enter_context(_held(faulty))
            god.execute(UNTIL_IT_IS_OLD, [holder.info.backend_pid])

        def deliver() -> None:
            with suppress(psycopg.Error):
                while god.execute("select from net.http_request_queue limit 1").rowcount:
                    NetWorker().one_batch(god, ground.pool)

        def wait() -> None:
            ground.oracle(faulty).watch(god)

        walk = Walker(Book.of_page(), database, known, deliver, wait).walk(start)
        gone = holder is not None and not _is_alive(god, holder)
    return walk, replace(faulty, session=()) if gone else faulty


@contextmanager
def _scheduler(faulty: Faulty) -> Iterator[None]:
    with faulty.database.server.connect(
        faulty.database.name, application_name="pg_cron scheduler"
    ):
        yield


@contextmanager
def _held(faulty: Faulty) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Hold what the fault holds, until the walk or the end of it ends the session."""
    with suppress(psycopg.OperationalError), hold(faulty.database, faulty.session) as holder:
        yield holder


def _is_alive(god: psycopg.Connection, holder: psycopg.Connection[tuple[object, ...]]) -> bool:
    found = god.execute(
        "select from pg_stat_activity where pid = %s", [holder.info.backend_pid]
    ).rowcount
    return bool(found)


__all__ = ["HEALTH", "PG_CRON", "Walked", "walk_from_health"]
