"""Measure the reminder run and the operator's queries at scale, each beside its floor.

The floor of a run is a bare ``insert … select … on conflict do nothing`` of the same reminders into
an equal table, taken in turn with the run on the same server.  Nothing here passes or fails: times
of a machine are printed, with the ratio, to be read.
"""

from __future__ import annotations

import re
import statistics
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks import reminder_findings
from benchmarks.measured import Findings, joined, run_section
from benchmarks.plots import Series, log_log
from benchmarks.reminder_findings import QueryTimes
from scripts.tasks.common import ROOT
from sql_snippets import Database
from sql_snippets.database.building import build
from sql_snippets.database.recipes import Recipe
from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Mark
from sql_snippets.profiles import SUPABASE
from sql_snippets.reading.pages import read_page
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import open_cluster
from sql_snippets.sqltext.placeholders import fill

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sql_snippets.model import Snippet

Connection = psycopg.Connection[Any]

RUNBOOK = ROOT / "docs" / "operations" / "cron-reminder-runbook.md"
TEN_MILLION = 10_000_000
SLOPE = (10_000, 100_000, 1_000_000)
ROUNDS = 3
# What the page promises of a block whose line says no more, and what health is held to.
PROMISED_SECONDS, HEALTH, HEALTH_SECONDS = 1.0, "health", 0.1

# About the memory of Supabase's small instances; a checkpoint in the middle would hit either side.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "statement_timeout": "0",
    "work_mem": "4MB",
    "maintenance_work_mem": "256MB",
}

_MENTORS = """
insert into auth.users (id, email)
select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.org'
from generate_series(1, 1000) n
"""
# Two thirds have waited for more than 30 days.
_ASSIGNMENTS = """
insert into public.assignments (mentor_id, person_id, started_on, last_contact_date)
select
  ('00000000-0000-4000-8000-' || lpad((1 + n %% 1000)::text, 12, '0'))::uuid,
  gen_random_uuid(), current_date - 800, current_date - (n %% 90)::integer
from generate_series(1, %s) n
"""
# The platform allows two minutes; what takes longer is measured too.
_NO_TIME_LIMIT = """
alter table reminder.settings drop constraint if exists settings_run_time_limit_check;
update reminder.settings set run_time_limit = '1 hour';
"""
_EQUAL_TABLE = """
create schema if not exists bench;
drop table if exists bench.floor;
create table bench.floor (like reminder.dispatched_reminders including all);
alter table bench.floor
  add foreign key (assignment_id) references public.assignments (id) on delete cascade;
"""
_FLOOR = """
insert into bench.floor (assignment_id, due_on, mentor_id, run_id)
select id, due_on, mentor_id, 1
from (
  select id, mentor_id, case
    when today - since >= first then since + first + ((today - since - first) / again) * again
  end as due_on
  from (
    select a.id, a.mentor_id, coalesce(a.last_contact_date, a.started_on) as since,
      (now() at time zone 'utc')::date as today, s.reminder_after_days as first,
      s.repeat_every_days as again
    from public.assignments a cross join reminder.settings s
    where a.status = 'active'
  ) waiting
) due
where due_on is not null
on conflict do nothing
"""


# Spread over ten years, evenly, up to now; written in the order in which they were registered.
_ACTIVITIES = """
insert into public.activities (assignment_id, activity_type, occurred_on, registered_at)
select
  1 + (n::bigint * 7919) %% a.count,
  (array['phone_call', 'home_visit', 'text_message', 'admin_note', 'no_show'])[1 + n %% 5],
  at.registered::date - 1, at.registered
from (select count(*) from public.assignments) a
cross join generate_series(1, %(count)s) n
cross join lateral (
  select now() - (1 - n::float / %(count)s) * interval '10 years' as registered
) at
"""
_LAST_CONTACTS = """
update public.assignments a
set last_contact_date = c.latest
from (
  select act.assignment_id, max(act.occurred_on) as latest
  from public.activities act join public.activity_types t on t.code = act.activity_type
  where t.counts_as_contact group by 1
) c
where c.assignment_id = a.id and a.last_contact_date < c.latest
"""
_HISTORY = """
insert into public.cron_execution_logs
  (trigger_source, triggered_by, status, started_at, finished_at)
select
  'cron', 'peer-mentor-reminders', case when n % 50 = 0 then 'failed' else 'succeeded' end,
  at.due, at.due + interval '9 seconds'
from generate_series(3650, 1, -1) n
cross join lateral (select now() - n * interval '1 day' as due) at;

insert into reminder.watchdog_log
  (watched_at, schedule, scheduled_since)
select now() - n * interval '5 minutes', '0 6 * * *', now() - interval '10 years'
from generate_series(1051200, 1, -1) n;

insert into cron.job_run_details
  (jobid, runid, database, username, command, status, start_time, end_time)
select
  j.jobid, 1051201 - n, current_database(), 'postgres', j.command, 'succeeded',
  now() - n * interval '5 minutes', now() - n * interval '5 minutes'
from generate_series(1051200, 1, -1) n
join cron.job j
  on j.jobname = case when n % 288 = 0 then 'peer-mentor-reminders' else 'reminder-watchdog' end;

insert into reminder.alerts (kind, subject_id, message, status)
select 'consecutive_failures', n, 'x', 'delivered' from generate_series(1, 500) n;
"""

# What looks at every assignment, or at many.
_LONG_WRITES = (
    ("(repair of the contact dates)", "select reminder.repair_last_contact()"),
    (
        "(a type ceases to count)",
        "update public.activity_types set counts_as_contact = false where code = 'home_visit'",
    ),
)


@dataclass(slots=True)
class Watched:
    """What was seen of one backend from outside while it ran."""

    longest_transaction: float = 0.0
    memory_kb: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scale:
    """One number of assignments: the times of both sides, and what the run was seen to do."""

    assignments: int
    reminders: int
    batch_size: int
    run_seconds: list[float]
    floor_seconds: list[float]
    again_seconds: float
    watched: Watched

    @property
    def ratio(self) -> float:
        """How many times as long as its floor the run took."""
        return statistics.median(self.run_seconds) / statistics.median(self.floor_seconds)


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("reminders", arguments, measure, _options, __doc__)


def measure(options: argparse.Namespace) -> Findings:
    """Measure on each server what the options do not leave out, and print it as it comes."""
    findings = []
    for choice in options.server or ["embedded"]:
        with migrated(choice) as database:
            print(f"PostgreSQL {database.server.version} ({choice})")
            if options.batch_sizes:
                compare_batch_sizes(database, options.assignments, options.batch_sizes)
                continue
            if not options.no_runs:
                sizes = (*options.sizes, *((TEN_MILLION,) if options.ten_million else ()))
                scales = measure_scales(database, sizes)
                findings.append(reminder_findings.of_runs(scales))
                if options.plot:
                    options.plot.write_text(plot(scales), encoding="utf-8")
            if not options.no_queries:
                times = measure_queries(database, options.assignments, options.activities)
                findings.append(
                    reminder_findings.of_queries(times, options.assignments, options.activities)
                )
    return joined(findings)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", action="append", choices=["embedded", "system"])
    parser.add_argument("--assignments", type=int, default=1_000_000)
    parser.add_argument("--activities", type=int, default=10_000_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SLOPE), help="assignments")
    parser.add_argument("--ten-million", action="store_true", help="10,000,000 assignments as well")
    parser.add_argument("--batch-sizes", type=int, nargs="+", help="compare these and stop")
    parser.add_argument("--plot", type=Path, help="draw the runs as SVG into this file")
    parser.add_argument("--no-runs", action="store_true", help="leave out the runs")
    parser.add_argument(
        "--no-queries", action="store_true", help="leave out the operator's queries"
    )


@contextmanager
def migrated(choice: str) -> Iterator[Database]:
    """Give the migrated database on a server of its own, with the memory of a small instance."""
    recipe = Recipe.from_folders(
        platform=ROOT / "tests" / "sql_snippets" / "platform",
        migrations=ROOT / "supabase" / "migrations",
        seed=None,
        role="postgres",
        profile=SUPABASE,
    )
    with open_cluster(find_binaries(choice), SUPABASE) as cluster:
        cluster.initialize()
        server = cluster.start(SETTINGS)
        build(server, "postgres", recipe)
        yield Database(server, "postgres", recipe.role)


def fill_assignments(superuser: Connection, count: int) -> None:
    """Make exactly ``count`` assignments and nothing else."""
    superuser.execute(
        "truncate public.assignments, public.activities, reminder.dispatched_reminders, "
        "reminder.last_contact_corrections, public.cron_execution_logs restart identity cascade"
    )
    superuser.execute("delete from auth.users")
    superuser.execute(_MENTORS)
    superuser.execute(_ASSIGNMENTS, (count,))
    superuser.execute("vacuum (analyze) public.assignments")


def measure_scales(database: Database, sizes: Sequence[int]) -> list[Scale]:
    """Run at each size, beside its floor, and print a line for each."""
    print(
        f"{'assignments':>12} {'reminders':>10} {'run s':>8} {'floor s':>8} {'ratio':>6} "
        f"{'again s':>8} {'µs each':>8} {'longest tx ms':>14} {'memory MB':>14}"
    )
    scales = []
    for size in sizes:
        scale = measure_scale(database, size, 1 if size >= TEN_MILLION else ROUNDS)
        scales.append(scale)
        run = statistics.median(scale.run_seconds)
        memory = [kb / 1024 for kb in scale.watched.memory_kb] or [0.0]
        print(
            f"{size:>12,} {scale.reminders:>10,} {run:>8.2f} "
            f"{statistics.median(scale.floor_seconds):>8.2f} {scale.ratio:>6.2f} "
            f"{scale.again_seconds:>8.2f} {run / size * 1e6:>8.2f} "
            f"{scale.watched.longest_transaction * 1000:>14.0f} "
            f"{memory[0]:>6.1f}-{max(memory):>6.1f}",
            flush=True,
        )
    return scales


def plot(scales: Sequence[Scale]) -> str:
    """Draw the median of each side over the number of assignments, as SVG."""
    run = [(s.assignments, statistics.median(s.run_seconds)) for s in scales]
    floor = [(s.assignments, statistics.median(s.floor_seconds)) for s in scales]
    largest, seconds = run[-1]
    return log_log(
        "One reminder run, and the bare insert of the same reminders",
        "active assignments",
        "seconds",
        [
            Series("run", tuple(run)),
            Series("bare insert", tuple(floor)),
            Series("in proportion", tuple((size, seconds * size / largest) for size, _ in run)),
        ],
    )


def measure_scale(database: Database, size: int, rounds: int) -> Scale:
    """Take floor and run in turn: both find the same pages in memory and the same locks."""
    floor_seconds, run_seconds = [], []
    watched = Watched()
    with (
        database.server.connect(database.name) as superuser,
        database.connect(application_name="pg_cron", options="-c statement_timeout=0") as postgres,
    ):
        fill_assignments(superuser, size)
        postgres.execute(_NO_TIME_LIMIT)
        batch_size = _one(postgres, "select batch_size from reminder.settings")
        for _ in range(rounds):
            postgres.execute(_EQUAL_TABLE)
            floor_seconds.append(_seconds(postgres, _FLOOR))
            floor = _one(postgres, "select count(*) from bench.floor")
            postgres.execute("drop table bench.floor")
            superuser.execute("vacuum public.assignments")
            postgres.execute("truncate reminder.dispatched_reminders")
            run_seconds.append(_run(database, watched))
            written = _one(postgres, "select count(*) from reminder.dispatched_reminders")
            if written != floor:
                raise SystemExit(f"The run wrote {written} reminders and the floor {floor}.")
            superuser.execute("vacuum public.assignments")
        again = _seconds(postgres, "call reminder.run_job()")
    return Scale(size, written, batch_size, run_seconds, floor_seconds, again, watched)


def _run(database: Database, watched: Watched) -> float:
    """Run the job as pg_cron does, under watch; return its seconds."""
    with (
        database.connect(application_name="pg_cron", options="-c statement_timeout=0") as runner,
        watching(database, runner.info.backend_pid, watched),
    ):
        return _seconds(runner, "call reminder.run_job()")


def compare_batch_sizes(database: Database, assignments: int, sizes: Sequence[int]) -> None:
    """Print the time and the longest transaction of a run at each batch size."""
    with (
        database.server.connect(database.name) as superuser,
        database.connect(application_name="pg_cron", options="-c statement_timeout=0") as postgres,
    ):
        fill_assignments(superuser, assignments)
        postgres.execute(_NO_TIME_LIMIT)
        print(f"{'batch_size':>10} {'run s':>8} {'longest tx ms':>14} {'memory MB':>10}")
        for size in sizes:
            seconds, watched = [], Watched()
            postgres.execute("update reminder.settings set batch_size = %s", (size,))
            for _ in range(ROUNDS):
                postgres.execute("truncate reminder.dispatched_reminders")
                superuser.execute("vacuum public.assignments")
                seconds.append(_run(database, watched))
            print(
                f"{size:>10,} {statistics.median(seconds):>8.2f} "
                f"{watched.longest_transaction * 1000:>14.0f} "
                f"{max(watched.memory_kb or [0]) / 1024:>10.1f}",
                flush=True,
            )


@contextmanager
def watching(database: Database, pid: int, watched: Watched) -> Iterator[None]:
    """Sample the age of a backend's transaction and its private memory until the block ends."""
    done = threading.Event()

    def sample() -> None:
        with database.connect() as outside:
            while not done.wait(0.02):
                row = outside.execute(
                    "select extract(epoch from clock_timestamp() - xact_start)::float "
                    "from pg_stat_activity where pid = %s and state = 'active'",
                    (pid,),
                ).fetchone()
                if row and row[0] is not None:
                    watched.longest_transaction = max(
                        watched.longest_transaction, float(str(row[0]))
                    )
                    watched.memory_kb.extend(_private_memory(pid))

    thread = threading.Thread(target=sample, name="sampler")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _private_memory(pid: int) -> list[int]:
    """Return the memory a process shares with no other, in kB; nothing where that is not known."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        return [int(next(line for line in lines if line.startswith("RssAnon:")).split()[1])]
    return []


def _seconds(connection: Connection, sql: str) -> float:
    began = time.perf_counter()
    connection.execute(sql)
    return time.perf_counter() - began


def _one(connection: Connection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


def fill_activities(superuser: Connection, count: int) -> None:
    """Add ten years: activities, runs, passes of the watchdog, pg_cron's own history, alerts."""
    superuser.execute("set session_replication_role = replica")
    superuser.execute(_ACTIVITIES, {"count": count})
    superuser.execute("set session_replication_role = default")
    superuser.execute(_LAST_CONTACTS)
    superuser.execute(_HISTORY)
    superuser.execute("vacuum (analyze)")


def measure_queries(database: Database, assignments: int, activities: int) -> list[QueryTimes]:
    """Print the time of each READ block of the runbook, the first time and after that."""
    page = read_page(RUNBOOK, load_site(ROOT))
    blocks = [block for block in page.snippets if block.claims.mark is Mark.READ]
    with database.server.connect(database.name) as superuser:
        fill_assignments(superuser, assignments)
        with database.connect(
            application_name="pg_cron", options="-c statement_timeout=0"
        ) as postgres:
            postgres.execute(_NO_TIME_LIMIT)
            postgres.execute("call reminder.run_job()")
        fill_activities(superuser, activities)
        # As the daily clearing does: health has to look at what it found.
        looked = _seconds(superuser, "select reminder.look_at_all()")
    print(f"all dates and reminders looked at in {looked:.1f} s")
    print(
        f"READ blocks of the runbook: {assignments:,} assignments, {activities:,} activities, "
        f"10 years of logs"
    )
    print(f"{'block':<34} {'first ms':>9} {'then ms':>9}")
    times = []
    for block in blocks:
        sql = fill(block.sql, block.claims.fill).sql
        # A session of its own, as in the SQL Editor: nothing is planned or cached beforehand.
        with database.connect(
            application_name="pg_cron", options="-c statement_timeout=0"
        ) as editor:
            first = _seconds(editor, sql)
            then = statistics.median(_seconds(editor, sql) for _ in range(3))
        times.append(QueryTimes(block.name, first, then, promised_seconds(block)))
        print(f"{block.name:<34} {first * 1000:>9.1f} {then * 1000:>9.1f}", flush=True)
    with database.connect(options="-c statement_timeout=0") as editor:
        for what, sql in _LONG_WRITES:
            print(f"{what:<34} {_seconds(editor, sql) * 1000:>9.1f}", flush=True)
    return times


def promised_seconds(block: Snippet) -> float:
    """Return how long a block may take, by its line on the page."""
    if block.name == HEALTH:
        return HEALTH_SECONDS
    above = RUNBOOK.read_text(encoding="utf-8").splitlines()[: block.fence.line]
    line = next(line for line in reversed(above) if line.startswith("**"))
    said = re.search(r"up to (\d+) s", line)
    return float(said[1]) if said else PROMISED_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
