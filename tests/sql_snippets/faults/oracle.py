"""Whether the promise is kept, by trying it: people register, days pass, jobs fire, alerts arrive.

The oracle asks neither the page nor `health`, `unkept` or `drift`.  It reads tables, runs what
`cron.job` holds as pg_cron would, and compares with the model.
"""

# ruff: noqa: S608 - put together from constants

from __future__ import annotations

import datetime as dt
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from sql_snippets.servers.server import ServerUnavailable
from tests.reminder_system.people import Caller
from tests.reminder_system.runs import PG_CRON, Call
from tests.sql_snippets.faults import model
from tests.sql_snippets.incidents import AT_WORK, LOCK_KEY
from tests.sql_snippets.net_worker import NetWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from sql_snippets import Database
    from tests.sql_snippets.http_receiver import Receiver, Request

Connection = psycopg.Connection[Any]

ALERTS, HEARTBEAT = "/alerts", "/heartbeat"
# A reminder that falls due is lost when the next one falls due before a run has found it.
HORIZON_DAYS = 7
# So many failures in a row may pass before somebody has to hear of them.
MOST_FAILURES = 7
# Each step of the system waits two seconds for a lock; the holder of a fault never lets go.
# A job that fires more often in a day watches; it is not the run.
MANY = 24
BLOCKED_SECONDS = 6.0
# A session that was told to give up does so at once.
CANCEL_SECONDS = 10.0
# Only a bound: a job that is not blocked ends by itself.
JOB_SECONDS = 60.0


class Broken(Exception):  # noqa: N818 - it is the state of the system
    """The promise is not kept; the message says which part, and of what it was seen."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of ``cron.job``."""

    id: int
    name: str | None
    schedule: str
    command: str
    node: tuple[str, int]
    database: str
    user: str
    active: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    id: int
    mentor: str
    status: str
    started: dt.date
    last_contact: dt.date | None


@dataclass(frozen=True, slots=True)
class Reminder:
    assignment: int
    due: dt.date
    mentor: str
    day: dt.date


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables hold, read as a superuser."""

    today: dt.date
    rule: model.Rule
    threshold: int
    heartbeat_waived: bool
    assignments: tuple[Assignment, ...]
    contacts: dict[int, dt.date]
    reminders: tuple[Reminder, ...]


@dataclass(frozen=True, slots=True)
class Healthy:
    """What is known of the database before anything was put wrong in it."""

    node: tuple[str, int]
    database: str
    reminders: tuple[Reminder, ...]
    assignments: frozenset[int]


_FACTS = """
select json_build_object(
  'today', (now() at time zone 'utc')::date,
  'settings', (select json_agg(s) from reminder.settings s),
  'assignments', (
    select json_agg(json_build_array(
      id, mentor_id, status, started_on::text, last_contact_date::text) order by id)
    from public.assignments),
  'counting', (select json_agg(code) from public.activity_types where counts_as_contact),
  'activities', (
    select json_agg(json_build_array(
      assignment_id, activity_type, occurred_on::text, extract(epoch from registered_at)::float8))
    from public.activities),
  'corrections', (
    select json_agg(json_build_array(
      id, assignment_id, new_date::text, extract(epoch from corrected_at)::float8))
    from reminder.last_contact_corrections),
  'reminders', (
    select json_agg(json_build_array(
      assignment_id, due_on::text, mentor_id, (dispatched_at at time zone 'utc')::date::text))
    from reminder.dispatched_reminders)
)
"""
# Every day and every time that is stored goes back, so that now is so many days later.
_TIMES = """
select string_agg(
  case
    -- A key of days would meet its neighbours on the way.
    when t.name = 'reminder.dispatched_reminders' then format(
      'with gone as (delete from %%1$s returning *) insert into %%1$s (%%2$s)'
      ' select %%3$s from gone order by 1', t.name, t.columns, t.earlier)
    else format('update %%s set (%%s) = row(%%s)', t.name, t.times, t.earlier_times)
  end, ';')
from (
  select
    c.oid::regclass::text as name,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns,
    string_agg(e.earlier, ', ' order by a.attnum) as earlier,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where e.is_time) as times,
    string_agg(e.earlier, ', ' order by a.attnum) filter (where e.is_time) as earlier_times
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and attnum > 0 and not attisdropped
    and attgenerated = ''
  cross join lateral (
    select
      a.atttypid in ('date'::regtype, 'timestamptz'::regtype) as is_time,
      case a.atttypid
        when 'date'::regtype then format('%%I - %%s', attname, %(days)s::integer)
        when 'timestamptz'::regtype
          then format('%%I - interval ''%%s days''', attname, %(days)s::integer)
        else quote_ident(attname)
      end as earlier
  ) e
  where c.relkind = 'r'
    and relnamespace = any (
      array(
        select oid from pg_namespace
        where nspname in ('public', 'reminder', 'cron', 'net', 'vault'))
    )
  group by c.oid
) t
where t.times is not null
"""
_JOBS = """
select jobid, jobname, schedule, command, nodename, nodeport, database, username, active
from cron.job order by jobid
"""
_OTHER_RULE = "update reminder.settings set reminder_after_days = reminder_after_days + 1"
_SAME_RULE = "update reminder.settings set reminder_after_days = reminder_after_days - 1"
_HANGING = """
insert into public.cron_execution_logs
  (trigger_source, triggered_by, status, started_at, backend_pid)
values ('cron', 'x', 'running', now() - interval '1 day', %s)
"""
_LEFT = """
select count(*) from public.cron_execution_logs l, reminder.settings s
where l.started_at < now() - s.keep_logs - make_interval(days => %s)
"""
_FAILURE = """
create schema if not exists oracle;
create or replace function oracle.fail() returns trigger language plpgsql as $$
begin
  raise exception using errcode = '53100', message = 'the disk is full';
end
$$;
create or replace trigger oracle_fails before insert on reminder.dispatched_reminders
  for each statement execute function oracle.fail();
"""
_MENDED = "drop trigger oracle_fails on reminder.dispatched_reminders"


def _mentor(number: int, app_role: str | None = None) -> Caller:
    return Caller("authenticated", UUID(f"00000000-0000-4000-8000-{number:012d}"), app_role)


MENTOR = _mentor(1)
OTHER = _mentor(2)
COORDINATOR = _mentor(101, "coordinator")
ADMIN = _mentor(102, "admin")
ANYBODY = Caller("anon")
SERVER = Caller("service_role")


@dataclass(slots=True)
class Oracle:
    """One database with a fault in it, which is used up by the trying."""

    database: Database
    healthy: Healthy
    receiver: Receiver
    # Behind the addresses, for the requests of this database.
    path: str
    pool: ThreadPoolExecutor
    # Statements of a session that a fault keeps open.
    session: Sequence[str] = ()
    # So many days the database has lived through since it was healthy.
    lived: int = 0
    # So many parts of the promise were kept, in the order in which they are tried.
    parts_kept: int = 0
    god: Connection = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _holder: Connection | None = None
    _shifted: int = 0
    # So many requests had arrived before: what was sent then is not what is waited for.
    _heard_before: int = field(init=False)
    _open: tuple[str, ...] = ()
    _writers: set[int] = field(default_factory=set)
    # What the tables held before the jobs of the day fired, and when that was last judged.
    _morning: Facts = field(init=False)
    _evening: Facts = field(init=False)

    def __post_init__(self) -> None:
        self._heard_before = len(self.receiver.requests)

    def verdict(self) -> str | None:
        """Return why the promise is broken, None where it is kept."""
        with self._stack:
            self.god = self._stack.enter_context(
                self.database.server.connect(self.database.name, options="-c lock_timeout=10s")
            )
            self._shifted = self.lived
            try:
                self._open = self._open_alerts()
                for part in self._parts():
                    part()
                    self.parts_kept += 1
            except Broken as err:
                return str(err)
            except psycopg.Error as err:
                return f"What was possible in the healthy database failed: {first_line(err)}"
        return None

    def _parts(self) -> Iterator[Callable[[], None]]:
        """Yield what is tried, one part after the other: what fails earlier is worse."""
        yield self._rights
        yield self._next_days
        yield self._registration
        if self._holder is None:
            yield from (self._failures, self._again, self._silence)

    # Days and jobs.

    def _pass(self, days: int) -> None:
        """Let days go by, and note what the tables hold then."""
        self._shift(days)
        self._morning = self._facts()

    def _shift(self, days: int) -> None:
        try:
            with self.god.transaction():
                self.god.execute("set local session_replication_role = replica")
                (statements,) = self.god.execute(_TIMES, {"days": days}).fetchone() or ("",)
                self.god.execute(statements)
        except psycopg.Error as err:
            raise Broken(f"The tables cannot be written: {first_line(err)}") from None
        self._shifted += days

    def _jobs(self) -> list[Job]:
        try:
            rows = self.god.execute(_JOBS).fetchall()
        except psycopg.Error:
            return []
        return [
            Job(row[0], row[1], row[2], row[3], (row[4], row[5]), row[6], row[7], row[8])
            for row in rows
        ]

    def _next_days(self) -> None:
        """Go through the days on which some job fires for the first time."""
        today = self._facts().today
        firsts = set()
        for job in self._jobs():
            for days in range(1, HORIZON_DAYS + 1):
                if job.active and model.firings(job.schedule, today + dt.timedelta(days=days)):
                    firsts.add(days)
                    break
        begun = self._shifted
        for days in sorted(firsts | {1}):
            self._pass(days - (self._shifted - begun))
            if self.session and self._holder is None:
                self._holder = self._stack.enter_context(hold(self.database, self.session))
            self._fire()
        self._kept()
        self._cleared()
        if not self._morning.heartbeat_waived and not self._arrived(HEARTBEAT):
            raise Broken("A success was not told to the dead-man switch.")

    def _fire(self) -> None:
        """Run each job at the time at which it last fires today."""
        jobs = self._due_jobs()
        for job in sorted(jobs, key=lambda job: (jobs[job][-1], job.id)):
            before = self._count()
            failure = self.run(job)
            if self._holder and failure and len(jobs[job]) > MANY:
                raise Broken(f"The session keeps job {job.name} from its end: {failure}.")
            if self._count() > before:
                self._writers.add(job.id)
        self._deliver()

    def _count(self) -> int:
        with suppress(psycopg.Error):
            row = self.god.execute("select count(*) from reminder.dispatched_reminders").fetchone()
            return int(row[0]) if row else 0
        return 0

    def _due_jobs(self) -> dict[Job, list[int]]:
        today = dt.datetime.now(dt.UTC).date()
        due = {job: model.firings(job.schedule, today) for job in self._jobs() if job.active}
        return {job: minutes for job, minutes in due.items() if minutes}

    def run(self, job: Job) -> str | None:
        """Run a job as pg_cron does; return the SQLSTATE of its failure."""
        if job.node != self.healthy.node or job.database != self.healthy.database:
            return "08001"
        try:
            session = self.database.connect(job.user, PG_CRON)
        except ServerUnavailable:
            return "28000"
        with session:
            session.pgconn.send_query(job.command.encode())
            call = Call(session, session.info.backend_pid)
            try:
                if self._holder is None:
                    return call.finish(JOB_SECONDS)
                with suppress(TimeoutError):
                    return call.finish(BLOCKED_SECONDS)
                blocked = self.god.execute(
                    "select %s = any (pg_blocking_pids(%s))",
                    (self._holder.info.backend_pid, call.pid),
                ).fetchone()
                if blocked and blocked[0]:
                    return "hangs"
                return call.finish(JOB_SECONDS)
            finally:
                session.pgconn.finish()

    def _deliver(self) -> None:
        """Send what pg_net has queued, as its worker does."""
        with suppress(psycopg.Error):
            while self.god.execute("select from net.http_request_queue limit 1").rowcount:
                NetWorker().one_batch(self.god, self.pool)

    def _arrived(self, address: str) -> list[Request]:
        return [
            r for r in self.receiver.requests[self._heard_before :] if r.path == address + self.path
        ]

    def heard_of(self) -> list[str]:
        """Return the links of the alerts that have arrived, in order."""
        bodies = [r.body for r in self._arrived(ALERTS)]
        return [str(body.get("runbook", "")) for body in bodies if isinstance(body, dict)]

    # What is so, and what should be.

    def _facts(self) -> Facts:
        try:
            row = self.god.execute(_FACTS).fetchone()
        except psycopg.Error as err:
            raise Broken(f"The tables cannot be read: {first_line(err)}") from None
        assert row
        return read_facts(row[0])

    def _kept(self) -> None:
        self._evening = facts = self._facts()
        if gone := self.healthy.assignments - {a.id for a in facts.assignments}:
            raise Broken(f"{len(gone)} assignments are gone.")
        check_reminders(facts, self._morning.reminders, self._remembered())

    def _remembered(self) -> frozenset[tuple[int, dt.date]]:
        """Return the reminders of before the fault, as their days read now."""
        back = dt.timedelta(days=self._shifted)
        return frozenset((r.assignment, r.due - back) for r in self.healthy.reminders)

    def _cleared(self) -> None:
        """Look for what is kept for longer than the settings say."""
        try:
            row = self.god.execute(_LEFT, (HORIZON_DAYS + 1,)).fetchone()
        except psycopg.Error as err:
            raise Broken(f"How long to keep runs cannot be read: {first_line(err)}") from None
        if row and row[0]:
            raise Broken(f"{row[0]} runs are kept for longer than they may be.")

    # Failures, and that somebody hears of them.

    def _failures(self) -> None:
        """Let the run fail until somebody has to hear of it, then let it work again."""
        self._pass(1)
        facts = self._morning
        if facts.threshold > MOST_FAILURES:
            raise Broken(f"Nobody hears of {MOST_FAILURES} failures in a row.")
        self.god.execute(_FAILURE)
        for times in range(facts.threshold):
            if not (failing := [job for job in self._writing() if self.run(job)]):
                raise Broken(f"Nothing failed at attempt {times + 1}, and nothing was written.")
        self._deliver()
        if not self._heard("consecutive_failures"):
            self._look()
        if (heard := self._heard("consecutive_failures")) != 1:
            raise Broken(f"{facts.threshold} failures in a row, and {heard} alerts arrived.")
        self.god.execute(_MENDED)
        for job in failing:
            self.run(job)
        self._kept()

    def _again(self) -> None:
        """Run everything once more on the same day, by another rule: nobody hears twice."""
        self.god.execute(_OTHER_RULE)
        for job in self._writing():
            self.run(job)
        facts = self._facts()
        times = Counter(r.assignment for r in facts.reminders if r.day == facts.today)
        if twice := [assignment for assignment, count in times.items() if count > 1]:
            raise Broken(f"Reminded twice on one day: {_some(twice)}.")
        self.god.execute(_SAME_RULE)

    def _silence(self) -> None:
        """Let no run take place for longer than any schedule waits, and one hang since yesterday.

        The watchdog has to tell of the first, and to end the second or to tell of it.
        """
        self._pass(HORIZON_DAYS + 2)
        with self.database.connect(application_name=PG_CRON) as session:
            session.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
            session.pgconn.send_query(b"select pg_sleep(3600)")
            call = Call(session, session.info.backend_pid)
            try:
                self.god.execute(_HANGING, (call.pid,))
                self._look()
                if not self._heard("missed_run"):
                    raise Broken(f"No run for {HORIZON_DAYS + 2} days, and no alert arrived.")
                if not self._heard("long_run"):
                    call.finish(CANCEL_SECONDS)
            except TimeoutError:
                raise Broken("A run hangs since yesterday and nobody hears of it.") from None
            finally:
                call.hang_up()
        # What was told before is told.
        told = [str(r.body) for r in self.receiver.requests if r.path == ALERTS + self.path]
        for message in self._open:
            if not any(message in text for text in told):
                raise Broken(f"An alert never arrived: {message}")

    def _heard(self, alert: str) -> int:
        """Return how often an alert has arrived."""
        return sum(_kind(request) == alert for request in self._arrived(ALERTS))

    def _open_alerts(self) -> tuple[str, ...]:
        """Return what was raised and has not arrived."""
        with suppress(psycopg.Error):
            rows = self.god.execute(
                "select message from reminder.alerts where status <> 'delivered'"
            ).fetchall()
            return tuple(row[0] for row in rows)
        return ()

    def _writing(self) -> list[Job]:
        """Return the jobs that wrote reminders when they fired."""
        return [job for job in self._jobs() if job.active and job.id in self._writers]

    def _look(self) -> None:
        """Run what fires all day long, as the watchdog does."""
        for job, minutes in self._due_jobs().items():
            if len(minutes) > MANY:
                self.run(job)
        self._deliver()

    def watch(self, god: Connection, holder: Connection | None) -> None:
        """Do what happens within five minutes, without judging it."""
        self.god, self._holder = god, holder
        with suppress(Broken, TimeoutError):
            self._look()

    def live(self, god: Connection, holder: Connection | None, days: int) -> None:
        """Let days go by with all their jobs, without judging them."""
        self.god, self._holder = god, holder
        for _ in range(days):
            with suppress(Broken, TimeoutError):
                self._shift(1)
                self._fire()

    # Who may do what.

    def _rights(self) -> None:
        try:
            check_rights(self.god)
        except psycopg.Error as err:
            raise Broken(f"Rights cannot be read: {first_line(err)}") from None

    # Registration.

    def _registration(self) -> None:
        """Register, change, correct and read, as each of the people who may and may not."""
        try:
            connection = self._stack.enter_context(
                self.database.connect("authenticator", "PostgREST", autocommit=True)
            )
        except ServerUnavailable as err:
            raise Broken(f"The Data API is down: {err}") from None
        people = People(connection)
        facts = self._evening
        mine = [a for a in facts.assignments if a.mentor == str(MENTOR.user)]
        others = [a for a in facts.assignments if a.mentor == str(OTHER.user)]
        active = [a.id for a in others if a.status == "active"]
        own = [a.id for a in mine if a.status == "active"]
        for caller, what, sql, parameters in registrations(own, active):
            try:
                rows = people.do(caller, sql, parameters)
            except psycopg.Error as err:
                raise Broken(f"Could not {what}: {first_line(err)}") from None
            if not rows:
                raise Broken(f"To {what} did nothing.")
            if what in TELLING:
                self._contacts(f"after an attempt to {what}")
        for caller, what, sql, parameters in refusals(own, active):
            with suppress(psycopg.Error):
                count = people.do(caller, sql, parameters)
                if count:
                    raise Broken(f"It was possible to {what}.")
        self._what_is_seen(people)

    def _contacts(self, when: str) -> None:
        facts = self._facts()
        for a in facts.assignments:
            if a.last_contact != facts.contacts.get(a.id):
                raise Broken(
                    f"Assignment {a.id} has the last contact {a.last_contact} {when}; "
                    f"what was registered gives {facts.contacts.get(a.id)}."
                )

    def _what_is_seen(self, people: People) -> None:
        facts = self._facts()
        own = {a.id for a in facts.assignments if a.mentor == str(MENTOR.user)}
        everybody = {a.id for a in facts.assignments}
        reminded = {r.assignment for r in facts.reminders if r.mentor == str(MENTOR.user)}
        logged = {row[0] for row in self.god.execute("select assignment_id from public.activities")}
        runs = {row[0] for row in self.god.execute("select id from public.cron_execution_logs")}
        types = {row[0] for row in self.god.execute("select code from public.activity_types")}
        expected: list[tuple[str, Caller, str, set[Any]]] = [
            ("own assignments", MENTOR, "id from public.assignments", own),
            ("all assignments", COORDINATOR, "id from public.assignments", everybody),
            ("all assignments", SERVER, "id from public.assignments", everybody),
            ("own activities", MENTOR, "assignment_id from public.activities", logged & own),
            ("all activities", COORDINATOR, "assignment_id from public.activities", logged),
            ("own reminders", MENTOR, "assignment_id from public.reminders", reminded),
            ("all types", MENTOR, "code from public.activity_types", types),
            ("no runs", MENTOR, "id from public.cron_execution_logs", set()),
            ("all runs", ADMIN, "id from public.cron_execution_logs", runs),
        ]
        for what, caller, sql, rows in expected:
            try:
                seen = people.see(caller, f"select {sql}")
            except psycopg.Error as err:
                raise Broken(f"{caller.role} cannot read {what}: {first_line(err)}") from None
            if seen != rows:
                raise Broken(
                    f"{caller.app_role or caller.role} should see {what} in {sql} and sees "
                    f"{len(seen)} instead of {len(rows)}."
                )


@dataclass(frozen=True, slots=True)
class People:
    """The Data API: one transaction a request, with role and claims as PostgREST sets them."""

    connection: Connection

    @contextmanager
    def _as(self, caller: Caller) -> Iterator[None]:
        with self.connection.transaction():
            self.connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                (caller.role, caller.claims()),
            )
            yield

    def do(self, caller: Caller, sql: str, parameters: Sequence[object]) -> int:
        with self._as(caller):
            return self.connection.execute(sql, parameters).rowcount

    def see(self, caller: Caller, sql: str) -> set[Any]:
        with self._as(caller):
            return {row[0] for row in self.connection.execute(sql).fetchall()}


_TODAY = "(now() at time zone 'utc')::date"
_LOG = (
    "insert into public.activities (assignment_id, activity_type, occurred_on, registration_path) "
)
Request_ = tuple[Caller, str, str, "Sequence[object]"]


# After these the dates are looked at: each could be undone by what comes next.
TELLING = {"load a file", "change a visit", "delete a call", "make a kind count", "correct a date"}


def registrations(own: Sequence[int], others: Sequence[int]) -> list[Request_]:
    """Return what must be possible, one request after the other."""
    one = f"{_LOG} values (%s, %s, {_TODAY} - %s::integer, %s)"
    many = f"{_LOG} select id, 'meeting', {_TODAY} - 1, 'bulk' from unnest(%s::bigint[]) id"
    begin = "insert into public.assignments (mentor_id, person_id) values (%s, gen_random_uuid())"
    return [
        (SERVER, "begin an assignment", begin, (MENTOR.user,)),
        (MENTOR, "register a visit", one, (own[0], "home_visit", 0, "direct")),
        (MENTOR, "register an old visit", one, (own[0], "home_visit", 50, "direct")),
        (MENTOR, "register a note", one, (own[1], "admin_note", 0, "direct")),
        (COORDINATOR, "register for a mentor", one, (own[1], "phone_call", 1, "coordinator_proxy")),
        (SERVER, "register as told by telephone", one, (others[0], "phone_call", 0, "proxy")),
        (SERVER, "load a file", many, (list(others[1:3]),)),
        (
            SERVER,
            "change a visit",
            f"update public.activities set occurred_on = {_TODAY} - 2 "
            "where assignment_id = %s and occurred_on = " + _TODAY,
            (own[0],),
        ),
        (
            SERVER,
            "delete a call",
            f"delete from public.activities where assignment_id = %s and occurred_on = {_TODAY}",
            (others[0],),
        ),
        (
            SERVER,
            "make a kind count",
            "update public.activity_types set counts_as_contact = true where code = 'admin_note'",
            (),
        ),
        (
            SERVER,
            "make a kind no longer count",
            "update public.activity_types set counts_as_contact = false where code = 'admin_note'",
            (),
        ),
        (
            ADMIN,
            "correct a date",
            f"select * from public.correct_last_contact_date(%s, {_TODAY} - 3, 'late')",
            (own[0],),
        ),
    ]


def refusals(own: Sequence[int], others: Sequence[int]) -> list[Request_]:
    """Return what must not be possible, or not reach a row."""
    one = f"{_LOG} values (%s, 'home_visit', {_TODAY} + %s::integer, %s)"
    odd = f"{_LOG} values (%s, %s, {_TODAY}, %s)"
    contact = "update public.assignments set last_contact_date = null where id = %s"
    correct = f"select * from public.correct_last_contact_date(%s, {_TODAY} + %s::integer, %s)"
    nobody = max(*own, *others) + 1000
    return [
        (MENTOR, "register on the assignment of another mentor", one, (others[0], 0, "direct")),
        (MENTOR, "register for a mentor without being one", one, (own[0], 0, "coordinator_proxy")),
        (MENTOR, "register as the server", one, (own[0], 0, "bulk")),
        (MENTOR, "register a visit of next week", one, (own[0], 7, "direct")),
        (ANYBODY, "register without a name", one, (own[0], 0, "direct")),
        (SERVER, "register on no assignment", one, (nobody, 0, "proxy")),
        (SERVER, "register an unknown kind", odd, (own[0], "unknown", "proxy")),
        (SERVER, "register on an unknown way", odd, (own[0], "home_visit", "unknown")),
        (MENTOR, "write a date", contact, (own[0],)),
        (MENTOR, "correct a date", correct, (own[0], -4, "mine")),
        (COORDINATOR, "correct a date as a coordinator", correct, (own[0], -4, "mine")),
        (ANYBODY, "correct a date without a name", correct, (own[0], -4, "mine")),
        (ADMIN, "correct a date without a reason", correct, (own[0], -4, "<reason>")),
        (ADMIN, "correct a date to next week", correct, (own[0], 7, "a reason")),
    ]


_RELATION_RIGHTS = """
select n.nspname || '.' || c.relname, r.role, p.privilege
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(%s::text[]) r(role)
cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p(privilege)
where n.nspname in ('public', 'reminder') and c.relkind in ('r', 'v', 'm', 'p')
  and has_schema_privilege(r.role, n.oid, 'USAGE')
  and has_table_privilege(r.role, c.oid, p.privilege)
"""
_COLUMN_RIGHTS = """
select n.nspname || '.' || c.relname, r.role, p.privilege, a.attname
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
cross join unnest(%s::text[]) r(role)
cross join unnest(array['SELECT', 'INSERT', 'UPDATE']) p(privilege)
where n.nspname in ('public', 'reminder') and c.relkind in ('r', 'v', 'm', 'p')
  and has_schema_privilege(r.role, n.oid, 'USAGE')
  and a.attacl is not null
  and has_column_privilege(r.role, c.oid, a.attnum, p.privilege)
  and not has_table_privilege(r.role, c.oid, p.privilege)
"""
_CALLS = """
select p.oid::regprocedure::text, r.role
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
cross join unnest(%s::text[]) r(role)
where n.nspname in ('public', 'reminder') and p.prorettype <> 'trigger'::regtype
  and has_schema_privilege(r.role, n.oid, 'USAGE')
  and has_function_privilege(r.role, p.oid, 'EXECUTE')
"""
_SEQUENCES = """
select c.oid::regclass::text, r.role
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join unnest(%s::text[]) r(role)
where n.nspname in ('public', 'reminder') and c.relkind = 'S'
  and has_schema_privilege(r.role, n.oid, 'USAGE')
  and (has_sequence_privilege(r.role, c.oid, 'USAGE')
    or has_sequence_privilege(r.role, c.oid, 'UPDATE'))
"""
_SCHEMAS = """
select n.nspname::text, r.role
from pg_namespace n cross join unnest(%s::text[]) r(role)
where n.nspname in ('public', 'reminder') and has_schema_privilege(r.role, n.oid, 'CREATE')
"""


def check_rights(god: Connection) -> None:
    """Compare what the server grants the roles of the Data API with the model."""
    people = (list(model.PEOPLE),)
    tables = {(role, of, right) for of, role, right in god.execute(_RELATION_RIGHTS, people)}
    expected = {
        (role, of, right) for (role, of), rights in model.TABLE_RIGHTS.items() for right in rights
    }
    _same("table", tables, expected)
    columns = {
        (role, of, right, column) for of, role, right, column in god.execute(_COLUMN_RIGHTS, people)
    }
    _same(
        "column",
        columns,
        {
            (role, of, right, column)
            for (role, of, right), names in model.COLUMN_RIGHTS.items()
            for column in names
        },
    )
    with god.transaction():
        # Names as they are when nothing is on the path.
        god.execute("set local search_path = ''")
        calls = {(role, of) for of, role in god.execute(_CALLS, people)}
    _same("function", calls, set(model.CALLS))
    _same("sequence", set(god.execute(_SEQUENCES, people)), set())
    _same("schema", set(god.execute(_SCHEMAS, people)), set())


def _same(of_what: str, found: set[Any], expected: set[Any]) -> None:
    if more := found - expected:
        raise Broken(f"Somebody may do on a {of_what} what nobody granted: {_some(more)}.")
    if less := expected - found:
        raise Broken(f"Somebody may not do on a {of_what} what is needed: {_some(less)}.")


def read_facts(rows: dict[str, Any]) -> Facts:
    """Return what the tables hold, and what the model makes of it."""
    found = {name: value or [] for name, value in rows.items()}
    if len(found["settings"]) != 1:
        raise Broken(f"There are {len(found['settings'])} rows of settings.")
    (settings,) = found["settings"]
    if missing := {"reminder_after_days", "repeat_every_days", "failure_threshold"} - {*settings}:
        raise Broken(f"Settings are gone: {_some(missing)}.")
    today = dt.date.fromisoformat(rows["today"])
    activities = [
        model.Activity(assignment, type_, model.day(on) or model.NEVER, at or 0.0)
        for assignment, type_, on, at in found["activities"]
    ]
    corrections = [
        model.Correction(id_, assignment, model.day(new), at or 0.0)
        for id_, assignment, new, at in found["corrections"]
    ]
    contacts = model.last_contacts(activities, corrections, set(found["counting"]), today)
    return Facts(
        today=today,
        rule=model.Rule(settings["reminder_after_days"], settings["repeat_every_days"]),
        threshold=settings["failure_threshold"],
        heartbeat_waived=bool(settings.get("heartbeat_waived")),
        assignments=tuple(
            Assignment(id_, mentor, status, model.day(started) or model.ALWAYS, model.day(last))
            for id_, mentor, status, started, last in found["assignments"]
        ),
        contacts=dict(contacts),
        reminders=tuple(
            Reminder(a, model.day(due) or model.NEVER, mentor, model.day(at) or model.NEVER)
            for a, due, mentor, at in found["reminders"]
        ),
    )


def due_reminders(facts: Facts) -> dict[tuple[int, dt.date], str]:
    """Return which assignment is due since when, and the mentor who has to hear of it."""
    expected: dict[tuple[int, dt.date], str] = {}
    for a in facts.assignments:
        if a.status != "active":
            continue
        contact = facts.contacts.get(a.id)
        if a.last_contact != contact:
            raise Broken(
                f"Assignment {a.id} has the last contact {a.last_contact}; what was registered "
                f"gives {contact}."
            )
        since = contact or a.started
        if since in {model.NEVER, model.ALWAYS}:
            raise Broken(f"Assignment {a.id} can never fall due.")
        due = facts.rule.due_on(since, facts.today)
        if due is not None:
            expected[a.id, due] = a.mentor
    return expected


def check_reminders(
    facts: Facts, morning: Iterable[Reminder], remembered: frozenset[tuple[int, dt.date]]
) -> None:
    """Compare the reminders with the due rule, after the jobs of a day.

    ``morning`` are those of before the jobs, ``remembered`` those of before the fault.
    """
    expected = due_reminders(facts)
    before = {(r.assignment, r.due): r.day for r in morning}
    times = Counter((r.assignment, r.due) for r in facts.reminders)
    if twice := [key for key, count in times.items() if count > 1]:
        raise Broken(f"Reminded twice: {_some(twice)}.")
    told: dict[int, dt.date] = {}
    for r in facts.reminders:
        told[r.assignment] = max(r.day, told.get(r.assignment, r.day))
    # Whoever heard on that day or later has heard of it, whatever rule held then.
    if waiting := [(id_, due) for id_, due in expected if told.get(id_, model.ALWAYS) < due]:
        raise Broken(f"Due and not reminded: {_some(waiting)}.")
    if gone := before.keys() - times.keys():
        raise Broken(f"Reminders are gone: {_some(gone)}.")
    for reminder in facts.reminders:
        key = (reminder.assignment, reminder.due)
        if reminder.day > facts.today or reminder.day < reminder.due:
            raise Broken(f"Reminded before the day: {reminder}.")
        if before.get(key) == reminder.day:
            continue
        if key in before or key in remembered:
            raise Broken(f"Reminded again of the same day: {_some([key])}.")
        if expected.get(key) != reminder.mentor:
            raise Broken(f"Reminded and not due, or not the mentor: {_some([key])}.")


def known_healthy(god: Connection) -> Healthy:
    """Return what is to be known of a database before something is put wrong in it."""
    ((name, port, served),) = god.execute(
        "select distinct nodename, nodeport, database from cron.job"
    ).fetchall()
    reminders = god.execute(
        "select assignment_id, due_on, mentor_id::text, dispatched_at::date "
        "from reminder.dispatched_reminders"
    ).fetchall()
    assignments = god.execute("select id from public.assignments").fetchall()
    return Healthy(
        (name, port),
        served,
        tuple(Reminder(*row) for row in reminders),
        frozenset(row[0] for row in assignments),
    )


@contextmanager
def hold(database: Database, statements: Sequence[str]) -> Iterator[Connection]:
    """Keep a session of somebody's tool open that has done these statements."""
    with database.connect(application_name="psql") as session:
        for statement in statements:
            if statement == AT_WORK:
                session.pgconn.send_query(statement.encode())
            else:
                session.execute(statement.encode())
        yield session
        if AT_WORK in statements:
            session.cancel()
            while session.pgconn.get_result():
                pass
        session.execute("rollback")


def _kind(request: Request) -> str:
    return str(request.body.get("alert")) if isinstance(request.body, dict) else ""


def first_line(err: Exception) -> str:
    """Return what went wrong, without the hints."""
    return str(err).splitlines()[0]


def _some(found: Any) -> str:
    first = sorted(found, key=str)
    return ", ".join(map(str, first[:3])) + (f" and {len(first) - 3} more" if first[3:] else "")
