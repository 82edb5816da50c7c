"""The healthy database that every fault starts from, and one clone of it for each fault."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

import psycopg

from sql_snippets.database.databases import open_template
from sql_snippets.servers.server import ServerUnavailable
from sql_snippets.servers.whole_server import state_of
from tests.reminder_system.lanes import cache_dir, reminder_recipe
from tests.reminder_system.runs import PG_CRON
from tests.sql_snippets.faults.catalogue import MOSTLY_HARMLESS
from tests.sql_snippets.faults.oracle import (
    ALERTS,
    HEARTBEAT,
    Healthy,
    Oracle,
    first_line,
    hold,
    known_healthy,
)
from tests.sql_snippets.http_receiver import Receiver, http_receiver
from tests.sql_snippets.net_worker import NetWorker
from tests.sql_snippets.scenarios import UNTIL_IT_IS_OLD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sql_snippets.database.databases import Database, Template
    from tests.sql_snippets.faults.catalogue import Fault

# The seed's people fall due far apart.  Here some fall due on each of the days that the oracle lets
# go by, for the first time or again.
_PEOPLE = """
-- What retention has to clear.
insert into public.cron_execution_logs
  (id, trigger_source, triggered_by, status, started_at, finished_at)
overriding system value
values (0, 'cron', 'x', 'succeeded', now() - interval '3 years', now() - interval '3 years');

insert into public.assignments (mentor_id, person_id, started_on, created_at)
select
  format('00000000-0000-4000-8000-00000000000%s', 1 + n % 3)::uuid,
  format('00000000-0000-4000-9000-0000000001%s', lpad(n::text, 2, '0'))::uuid,
  (now() at time zone 'utc')::date - 300, now() - interval '300 days'
from generate_series(1, 15) n;

insert into public.activities
  (assignment_id, activity_type, occurred_on, registered_at)
select
  id, 'phone_call', (now() at time zone 'utc')::date - (25 + n)::integer, now() - interval '1 day'
from (
  select id, row_number() over (order by id) % 5 + 7 * (row_number() over (order by id) % 2) as n
  from public.assignments where id > 12
) a;
-- One who never had a contact, and one whose date was corrected.
insert into public.assignments (mentor_id, person_id, started_on, created_at)
select
  '00000000-0000-4000-8000-000000000002', gen_random_uuid(),
  (now() at time zone 'utc')::date - 29, now() - interval '29 days';
select * from reminder.correct_last_contact_date(
  13, (now() at time zone 'utc')::date - 29, 'Told by telephone', 'the ground of the faults');
"""
_ADDRESSES = """
delete from vault.secrets
where name in ('REMINDER_ALERT_WEBHOOK_URL', 'REMINDER_HEARTBEAT_URL');
select vault.create_secret(%(alerts)s, 'REMINDER_ALERT_WEBHOOK_URL');
select vault.create_secret(%(heartbeat)s, 'REMINDER_HEARTBEAT_URL');
select reminder.send_test_alert('the ground of the faults');
"""
# Nothing runs in it, so after a quarter of an hour its watchdog would count as silent, and every
# fault as seen.
FRESH_SECONDS = 240.0
# So many faults that are mostly harmless are tried at once.
TOGETHER = 12
# Health waits for nobody: as long as the SQL Editor would.
_HEALTH = "select what, ok, coalesce(finding, '') from reminder.health order by step"
_HEALTH_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=30s"


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    ok: bool | None
    finding: str

    def __str__(self) -> str:
        return f"{self.what}: {self.finding}"


# The error that came instead, where one came.
Health = tuple[Row, ...] | str


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of one fault: whether it could be made, what is broken, and what health says."""

    faults: tuple[Fault, ...]
    refused: str | None = None
    broken: str | None = None
    not_ok: tuple[str, ...] = ()
    # Whether the oracle was asked; if not, nothing is known of the promise.
    is_judged: bool = False

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults)

    @property
    def is_unseen(self) -> bool:
        return self.broken is not None and not self.not_ok


@dataclass(frozen=True, slots=True)
class Faulty:
    """A database with faults in it; ``path`` tells its requests from those of others."""

    database: Database
    path: str
    session: tuple[str, ...] = ()
    refused: str | None = None
    lived: int = 0


@dataclass(slots=True)
class Ground:
    """The healthy database of today as a template, and what the oracle needs beside it."""

    template: Template
    receiver: Receiver
    pool: ThreadPoolExecutor
    # What health names needs no oracle to pass: it is asked all the same for the published score.
    judge_all: bool = False
    _day: dt.date = dt.date.min
    _since: float = 0.0
    _healthy: Healthy = field(init=False)
    _rows: frozenset[str] = frozenset()
    _prepared: Template = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterator[int] = field(default_factory=count)

    def clone(self) -> AbstractContextManager[Database]:
        """Give a database of its own, prepared today and lately."""
        today = dt.datetime.now(dt.UTC).date()
        if self._day != today or time.monotonic() - self._since > FRESH_SECONDS:
            self._stack.close()
            self._prepare()
            self._day, self._since = today, time.monotonic()
        return self._prepared.clone()

    def copy(self, database: Database) -> AbstractContextManager[Database]:
        """Give a copy of a clone as it is now, in which nobody may have a session meanwhile."""
        with database.server.connect(self._prepared.maintenance) as admin:
            # A fault may lie outside of the database: what is put back afterwards includes it.
            now = state_of(admin)
        template = replace(self._prepared, name=database.name, has_settings=True, whole_server=now)
        return template.clone()

    def close(self) -> None:
        """Drop the healthy database."""
        self._stack.close()

    def look_at_each(self, faults: Sequence[Fault]) -> Iterator[Looked]:
        """Look at one fault after the other; those that wait for a session, at the same time."""
        held = [fault for fault in faults if fault.session]
        if held:
            # Prepared now, so that no thread does it under the eyes of the others.
            self._since = -FRESH_SECONDS
            with self.clone():
                pass
        with ThreadPoolExecutor(max(len(held), 1)) as waiting:
            yield from waiting.map(self.look, held)
        together: list[Fault] = []
        for fault in faults:
            if fault.session:
                continue
            if fault.kind not in MOSTLY_HARMLESS:
                yield self.look(fault)
            elif self.judge_all or not (seen := self.look(fault, ask=False)).not_ok:
                together.append(fault)
            else:
                yield seen
        for start in range(0, len(together), TOGETHER):
            yield from self._together(together[start : start + TOGETHER])

    def _together(self, faults: Sequence[Fault]) -> Iterator[Looked]:
        """Ask the oracle of several faults at once, and of fewer where something is broken."""
        looked = self.look(*faults, ask=True)
        if len(faults) == 1:
            yield looked
        elif looked.broken is None and looked.refused is None:
            yield from (Looked((fault,), is_judged=True) for fault in faults)
        else:
            half = len(faults) // 2
            yield from self._together(faults[:half])
            yield from self._together(faults[half:])

    def look(self, *faults: Fault, ask: bool | None = None) -> Looked:
        """Put faults into one database, read its health, and try in it whether all is kept.

        ``ask`` says whether the oracle is asked; unless told, it is where health names nothing.
        """
        while True:
            looked = self._look(faults, ask=True if self.judge_all else ask)
            # What was begun on one day and ended on the next says nothing.
            if self._day == dt.datetime.now(dt.UTC).date():
                return looked

    def _look(self, faults: tuple[Fault, ...], *, ask: bool | None) -> Looked:
        with self.faulty(*faults) as faulty:
            if faulty.refused is not None:
                return Looked(faults, refused=faulty.refused)
            database, session = faulty.database, faulty.session
            rows = _health_while_held(database, session) if session else read_health(database)
            not_ok = self._not_ok(rows)
            if ask is False or (not_ok and not ask):
                return Looked(faults, not_ok=not_ok)
            broken = self.oracle(faulty).verdict()
            return Looked(faults, None, broken, not_ok, is_judged=True)

    @contextmanager
    def faulty(self, *faults: Fault) -> Iterator[Faulty]:
        """Give a healthy database with faults put into it."""
        with self.clone() as database:
            path = f"/{next(self._numbers)}"
            _lead_to(database, path)
            session = tuple(statement for fault in faults for statement in fault.session)
            refused = None
            for fault in faults:
                with database.server.connect(database.name) as god:
                    try:
                        god.execute(fault.sql.encode())
                    except psycopg.Error as err:
                        if not fault.may_be_refused and len(faults) == 1:
                            raise
                        refused = first_line(err)
                        break
            yield Faulty(database, path, session, refused)

    def oracle(self, faulty: Faulty) -> Oracle:
        """Ask whether the promise holds, which uses the database up."""
        return Oracle(
            faulty.database,
            self._healthy,
            self.receiver,
            faulty.path,
            self.pool,
            faulty.session,
            faulty.lived,
        )

    def _not_ok(self, rows: Health) -> tuple[str, ...]:
        """Return what a reader of health sees that is not well; a row that is gone is none."""
        if isinstance(rows, str):
            return (rows,)
        missing = self._rows - {row.what for row in rows}
        return (
            *(str(row) for row in rows if not row.ok),
            *(f"{what}: no row" for what in sorted(missing)),
        )

    def _prepare(self) -> None:
        database = self._stack.enter_context(self.template.clone())
        where = self.receiver.url.removesuffix(self.receiver.path)
        with database.server.connect(database.name) as god, database.connect() as postgres:
            postgres.execute(_PEOPLE)
            for statement in _ADDRESSES.strip().split(";\n"):
                postgres.execute(
                    statement.encode(),
                    {"alerts": where + ALERTS, "heartbeat": where + HEARTBEAT},
                )
            for command in ("call reminder.run_job()", "select reminder.watch()") * 2:
                with database.connect(application_name=PG_CRON) as session:
                    session.execute(command.encode())
                while NetWorker().one_batch(god, self.pool):
                    pass
            self._healthy = known_healthy(god)
        self._prepared = replace(self.template, name=database.name, seed=None)
        rows = read_health(database)
        assert not isinstance(rows, str), rows
        self._rows = frozenset(row.what for row in rows)


def _lead_to(database: Database, path: str) -> None:
    """Let the requests of one clone be told from those of another; nothing else is to differ."""
    with database.server.connect(database.name) as god:
        for id_, secret, updated in god.execute(
            "select id, decrypted_secret, updated_at from vault.decrypted_secrets"
        ).fetchall():
            god.execute("select vault.update_secret(%s, %s)", (id_, f"{secret}{path}"))
            god.execute("update vault.secrets set updated_at = %s where id = %s", (updated, id_))


def _health_while_held(database: Database, session: Sequence[str]) -> Health:
    with hold(database, session) as holder:
        with database.server.connect(database.name) as god:
            god.execute(UNTIL_IT_IS_OLD, [holder.info.backend_pid])
        return read_health(database)


def read_health(database: Database) -> Health:
    """Return the rows of health as the operator sees them, or the error that came instead."""
    try:
        with database.connect(options=_HEALTH_OPTIONS) as session:
            return tuple(Row(*row) for row in session.execute(_HEALTH).fetchall())  # type: ignore[arg-type]
    except (psycopg.Error, ServerUnavailable) as err:
        return first_line(err)


@contextmanager
def open_ground(*, judge_all: bool = False) -> Iterator[Ground]:
    """Give the healthy database: seeded, with people due on the next days, run and watched."""
    with (
        http_receiver() as receiver,
        ThreadPoolExecutor(4) as pool,
        open_template("embedded", reminder_recipe(seed=True), cache_dir=cache_dir()) as template,
    ):
        ground = Ground(template, receiver, pool, judge_all)
        try:
            yield ground
        finally:
            ground.close()
