"""When a schedule was last due, judged by a cron library and by what pg_cron 1.6 does beside it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from cronsim import CronSim

from sql_snippets.database.databases import open_live_database
from sql_snippets.servers.server import ServerUnavailable
from tests.reminder_system.lanes import cache_dir, missing, reminder_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

Connection = psycopg.Connection[Any]

MONTHS = ["Jan", "feb", "MAR", "apr", "May", "jun", "jul", "Aug", "sep", "oct", "nov", "DEC"]
WEEKDAYS = ["Sun", "mon", "TUE", "wed", "Thu", "fri", "sat"]
NOW = datetime(2026, 11, 27, 12, 34, 56, tzinfo=UTC)


def last_due_at(
    connection: Connection, asked: Sequence[tuple[str, datetime]]
) -> list[datetime | None]:
    # In parts, as no statement may take longer than two minutes on the busiest machine.
    return [
        row[0]
        for part in (asked[start : start + 100] for start in range(0, len(asked), 100))
        for row in connection.execute(
            "select reminder.last_due_at(s, at) from unnest(%s::text[], %s::timestamptz[]) "
            "with ordinality as u(s, at, n) order by n",
            ([schedule for schedule, _ in part], [at for _, at in part]),
        )
    ]


def field(draw: random.Random, low: int, high: int, names: Sequence[str] = ()) -> str:
    """Return a field that both take: ranges run forward, and a step is no larger than the field."""

    def number(value: int) -> str:
        if names and value - low < len(names) and draw.random() < 0.5:
            return names[value - low]
        return f"{value:02}" if draw.random() < 0.1 else str(value)

    def item() -> str:
        kind = draw.choice(["number", "number", "range", "stepped range", "star", "stepped star"])
        first, last = sorted(draw.choices(range(low, high + 1), k=2))
        step = draw.randint(1, high)
        return {
            "number": number(first),
            "range": f"{number(first)}-{number(last)}",
            # The library takes 9-9/11 for a 9/11 that begins at 9, which pg_cron does not know.
            "stepped range": f"{number(first)}-{number(last)}/{step}" if first < last else "*",
            "star": "*",
            "stepped star": f"*/{step}",
        }[kind]

    return ",".join(item() for _ in range(draw.choice([1, 1, 1, 2, 3])))


def schedule(draw: random.Random) -> str:
    return " ".join(
        (
            field(draw, 0, 59),
            field(draw, 0, 23),
            draw.choice(["*", "*", "$", field(draw, 1, 31)]),
            draw.choice(["*", "*", field(draw, 1, 12, MONTHS)]),
            draw.choice(["*", "*", field(draw, 0, 7, WEEKDAYS)]),
        )
    )


def by_library(text: str, at: datetime) -> datetime | None:
    minute = at.replace(second=0, microsecond=0)
    # It names the last day of the month otherwise.  Its times end before the one that is given.
    for found in CronSim(text.replace("$", "L"), minute + timedelta(minutes=1), reverse=True):
        # It looks 50 years back, for a 30th of February.
        return found if minute - found <= timedelta(days=2922) else None
    return None


def test_is_that_of_a_cron_library(postgres: Connection) -> None:
    seed = 20261127
    draw = random.Random(seed)
    asked = [
        (
            schedule(draw),
            datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randrange(4 * 365 * 86400)),
        )
        for _ in range(10_000)
    ]
    found = last_due_at(postgres, asked)
    wrong = [
        (text, at, ours, by_library(text, at))
        for (text, at), ours in zip(asked, found, strict=True)
        if ours != by_library(text, at)
    ]
    assert not wrong, (len(wrong), wrong[:5])
    # Otherwise it would have shown little.
    assert len({text for text, _ in asked}) > 9700
    assert len(set(found)) > 3000


OVERDUE = """
create function pg_temp.overdue(p_schedule text, p_at timestamptz, p_run timestamptz)
returns timestamptz language plpgsql as $$
begin
  update cron.job set schedule = p_schedule where jobname = 'peer-mentor-reminders';
  update reminder.watchdog_log set schedule = p_schedule;
  update public.cron_execution_logs set started_at = p_run, finished_at = p_run;
  return (select o.due_at from reminder.overdue_run(p_at) o);
end
$$;
insert into reminder.watchdog_log (scheduled_since) values ('2000-01-01');
insert into public.cron_execution_logs (trigger_source, triggered_by, status, finished_at)
values ('cron', 'x', 'succeeded', now());
"""


def test_a_run_is_overdue_by_that_of_a_cron_library_and_an_hour(superuser: Connection) -> None:
    """With a last run around the time at which it was due."""
    superuser.execute(OVERDUE)
    draw = random.Random(3600)
    asked: list[tuple[str, datetime, datetime]] = []
    wanted: list[datetime | None] = []
    for _ in range(400):
        text = schedule(draw)
        looked = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=draw.random() * 30_000)
        due = by_library(text, looked - timedelta(hours=1))
        away = timedelta(microseconds=draw.choice([-(10**12), -1, 0, 1, 10**9]))
        run = (due or looked) + away
        asked.append((text, looked, run))
        wanted.append(due if due and run < due else None)
    found = superuser.execute(
        "select pg_temp.overdue(s, looked, run) "
        "from unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) u(s, looked, run)",
        [list(column) for column in zip(*asked, strict=True)],
    ).fetchall()
    wrong = [
        (*one, ours, right)
        for one, (ours,), right in zip(asked, found, wanted, strict=True)
        if ours != right
    ]
    assert not wrong, (len(wrong), wrong[:5])
    assert 100 < sum(due is None for due in wanted) < 300


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SIX = at("2026-11-27 06:00")


def test_the_29th_of_february_is_up_to_eight_years_ago(postgres: Connection) -> None:
    """No year is a leap year for being divisible by a hundred."""
    leap, eight_years = "0 6 29 2 *", (at("2104-02-29 05:59"), at("2104-02-29 06:00"))
    found = last_due_at(postgres, [(leap, time) for time in eight_years])
    assert found == [at("2096-02-29 06:00"), at("2104-02-29 06:00")]


# What pg_cron 1.6.4 does with each, worked out by its own parser.
TAKEN = {
    "0 6 * * *": SIX,
    "\t0 6 * * *": SIX,
    " \t 0 6 * * *": SIX,
    "\n0 6 * * *": SIX,
    "# daily\n  # for mentors\n0 6 * * *": SIX,
    "0 6 * * *\n": SIX,
    "0 6 * * * ": SIX,
    "0\t6  *\t * *": SIX,
    "0 6 * * *;": SIX,
    "0 6 * * * extra": SIX,
    "0 6 * * * # daily": SIX,
    "0 6 * * *\n0 7 * * *": SIX,
    "0; 6# *x *~ *!": SIX,
    "0 6 * * 1#2": at("2026-11-23 06:00"),
    "00 06 * * *": SIX,
    "0 6 * * MON-fri": SIX,
    "0 6 * * 7": at("2026-11-22 06:00"),
    "0 6 * Feb *": at("2026-02-28 06:00"),
    "0 6 $ * *": at("2026-10-31 06:00"),
    "0 6 $ * 1": at("2026-11-23 06:00"),
    "0 6 29 2 *": at("2024-02-29 06:00"),
    "0 6 */2 * 1": at("2026-11-23 06:00"),
    "0 6 1 * 1": at("2026-11-23 06:00"),
    "*/15 6-8 * * *": at("2026-11-27 08:45"),
    "34 12 * * *": at("2026-11-27 12:34"),
    "35 12 * * *": at("2026-11-26 12:35"),
    # Backwards: the ends of the bytes, 22 to 23 and 0 to 2, and in one byte nothing.
    "0 22-2 * * *": at("2026-11-27 02:00"),
    "0 5-1 * * *": None,
    "0 22-2/2 * * *": None,
    "0 6 31 2 *": None,
    "@hourly": at("2026-11-27 12:00"),
    "@daily": at("2026-11-27 00:00"),
    "@midnight": at("2026-11-27 00:00"),
    "@weekly": at("2026-11-22 00:00"),
    "@monthly": at("2026-11-01 00:00"),
    "@monthly x 2 3 4": at("2026-11-01 00:00"),
    "@yearly": None,
    "@annually": None,
    "@reboot": None,
    "@reboot 1 2 3 4 5": None,
    "30 seconds": NOW - timedelta(seconds=30),
    "1 second": NOW - timedelta(seconds=1),
    " 05 SECONDS ": NOW - timedelta(seconds=5),
    "59seconds": NOW - timedelta(seconds=59),
}
REFUSED = [
    "60 seconds",
    "0 seconds",
    "5 minutes",
    "5 second x",
    "",
    "@Daily",
    "0 6 * *",
    "0\n6 * * *",
]


@pytest.mark.parametrize("text", TAKEN)
def test_is_that_of_pg_cron_for_what_only_it_takes(postgres: Connection, text: str) -> None:
    assert last_due_at(postgres, [(text, NOW)]) == [TAKEN[text]]


def set_in_bytes(first: int, last: int) -> set[int]:
    """Return the bits that the macro of cron sets, eight to a byte and from the lowest."""
    bits = bytearray(8)
    begins, ends = 0xFF << first % 8 & 0xFF, 0xFF >> 7 - last % 8
    if first // 8 == last // 8:
        bits[first // 8] |= begins & ends
    else:
        bits[first // 8] |= begins
        for between in range(first // 8 + 1, last // 8):
            bits[between] = 0xFF
        bits[last // 8] |= ends
    return {bit for bit in range(64) if bits[bit // 8] >> bit % 8 & 1}


def test_any_range_sets_what_cron_sets_of_its_bytes(postgres: Connection) -> None:
    wrong = []
    for low, high in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)):
        span = range(low, high + 1)
        asked = [(f"{first}-{last}", first, last) for first in span for last in span]
        found = postgres.execute(
            "select reminder.cron_field(f, %s, %s, '{}') from unnest(%s::text[]) "
            "with ordinality as u(f, n) order by n",
            (low, high, [text for text, _, _ in asked]),
        ).fetchall()
        for (text, first, last), (ours,) in zip(asked, found, strict=True):
            right = {low + bit for bit in set_in_bytes(first - low, last - low)} & set(span)
            if set(ours or ()) != right:
                wrong.append((text, low, high, ours, right))
    assert not wrong, (len(wrong), wrong[:5])


@pytest.mark.parametrize("text", REFUSED)
def test_is_never_for_what_pg_cron_refuses(postgres: Connection, text: str) -> None:
    assert last_due_at(postgres, [(text, NOW)]) == [None]


@pytest.mark.slow
def test_is_known_for_all_that_the_real_pg_cron_takes() -> None:
    """Debian's is 1.4, which knows no ``$`` and no seconds; what it takes must have a time."""
    draw = random.Random(27)
    texts = [*TAKEN, *REFUSED, *(schedule(draw) for _ in range(1000))]
    never = {text for text, due in TAKEN.items() if due is None}
    try:
        with open_live_database("system", reminder_recipe(), cache_dir=cache_dir()) as database:
            if not any(part.startswith("pg_cron ") for part in database.server.real_parts):
                missing("pg_cron is not installed for the PostgreSQL of the system.")
            with database.connect() as postgres:
                taken = [text for text in texts if _is_taken(postgres, text)]
                found = last_due_at(postgres, [(text, NOW) for text in taken])
    except ServerUnavailable as err:
        missing(f"There is no PostgreSQL of the system to run pg_cron on: {err}")
    assert len(taken) > 500
    assert set(REFUSED).isdisjoint(taken)
    unknown = [t for t, due in zip(taken, found, strict=True) if due is None and t not in never]
    # A 30th of February and the like is never due, and the library says so too.
    assert [text for text in unknown if by_library(text, NOW) is not None] == []


def _is_taken(postgres: Connection, text: str) -> bool:
    try:
        postgres.execute("select cron.schedule('tried', %s, 'select 1')", (text,))
    except psycopg.Error:
        return False
    return True
