"""What is promised, in Python: due dates, contacts, schedules, and who may do what.

Nothing here asks the system: it is what the system is held against.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

NEVER, ALWAYS = dt.date.max, dt.date.min


def day(text: str | None) -> dt.date | None:
    """Return a date of PostgreSQL as Python's; what lies outside of its years is its end."""
    if text is None:
        return None
    if text == "-infinity" or text.endswith(" BC"):
        return ALWAYS
    if text == "infinity" or len(text.split("-", maxsplit=1)[0]) > 4:
        return NEVER
    return dt.date.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers of the due rule."""

    after: int
    repeat: int

    def due_on(self, waiting_since: dt.date, today: dt.date) -> dt.date | None:
        """Return the latest day up to today on which a reminder fell due."""
        if waiting_since in {NEVER, ALWAYS}:
            return None
        late = (today - waiting_since).days - self.after
        if late < 0:
            return None
        return today - dt.timedelta(days=late % self.repeat)


@dataclass(frozen=True, slots=True)
class Activity:
    """What was logged; ``registered`` counts seconds."""

    assignment: int
    type: str
    occurred: dt.date
    registered: float


@dataclass(frozen=True, slots=True)
class Correction:
    """A date that was set by hand, in the order of ``id``."""

    id: int
    assignment: int
    new: dt.date | None
    corrected: float


def last_contacts(
    activities: Iterable[Activity],
    corrections: Iterable[Correction],
    counting: Collection[str],
    today: dt.date,
) -> Mapping[int, dt.date]:
    """Return the last contact of each assignment that had one.

    The latest correction outranks what was registered before it.  A day without end or in the
    future is no contact.
    """
    latest: dict[int, Correction] = {}
    for correction in sorted(corrections, key=lambda c: c.id):
        latest[correction.assignment] = correction
    days: defaultdict[int, list[dt.date]] = defaultdict(list)
    for activity in activities:
        corrected = latest.get(activity.assignment)
        if activity.type in counting and (
            corrected is None or activity.registered > corrected.corrected
        ):
            days[activity.assignment].append(activity.occurred)
    for correction in latest.values():
        if correction.new is not None:
            days[correction.assignment].append(correction.new)
    tomorrow = today + dt.timedelta(days=1)
    possible = {
        assignment: [at for at in found if ALWAYS < at <= tomorrow]
        for assignment, found in days.items()
    }
    return {assignment: max(found) for assignment, found in possible.items() if found}


_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def firings(schedule: str, on: dt.date) -> list[int]:
    """Return the minutes of a day, in GMT, at which a schedule fires.

    It knows what the catalogue writes; anything else is a ValueError.
    """
    words = _MACROS.get(schedule, schedule).split()
    if len(words) != 5:
        raise ValueError(f"No schedule of five fields: {schedule!r}")
    minutes, hours = _field(words[0], 0, 59), _field(words[1], 0, 23)
    days, months = _field(words[2], 1, 31), _field(words[3], 1, 12, _MONTHS)
    weekdays = {number % 7 for number in _field(words[4], 0, 7, _DAYS)}
    of_month, of_week = on.day in days, on.isoweekday() % 7 in weekdays
    one_is_free = words[2].startswith("*") or words[4].startswith("*")
    fits = (of_month and of_week) if one_is_free else (of_month or of_week)
    if on.month not in months or not fits:
        return []
    return [hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)]


def _field(text: str, low: int, high: int, names: Sequence[str] = ()) -> set[int]:
    numbers: set[int] = set()
    for item in text.lower().split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            ends = [low + names.index(end) if end in names else int(end) for end in span.split("-")]
            first, last = ends[0], ends[-1]
        numbers |= set(range(first, last + 1, int(step or 1)))
    return numbers


# Who may do what through the Data API and with a session of these roles.  Whatever is not named
# here is for the owner alone.
PEOPLE = ("anon", "authenticated", "service_role")
_ALL = {"SELECT", "INSERT", "UPDATE", "DELETE"}
TABLE_RIGHTS: Mapping[tuple[str, str], Collection[str]] = {
    ("authenticated", "public.assignments"): {"SELECT"},
    ("authenticated", "public.activities"): {"SELECT"},
    ("authenticated", "public.activity_types"): {"SELECT"},
    ("authenticated", "public.cron_execution_logs"): {"SELECT"},
    ("authenticated", "public.reminders"): {"SELECT"},
    ("service_role", "public.assignments"): _ALL,
    ("service_role", "public.activities"): _ALL,
    ("service_role", "public.activity_types"): _ALL,
    ("service_role", "public.cron_execution_logs"): {"SELECT"},
}
COLUMN_RIGHTS: Mapping[tuple[str, str, str], Collection[str]] = {
    ("authenticated", "public.activities", "INSERT"): {
        "assignment_id",
        "activity_type",
        "occurred_on",
        "registration_path",
    },
    ("authenticated", "reminder.dispatched_reminders", "SELECT"): {
        "assignment_id",
        "due_on",
        "mentor_id",
        "dispatched_at",
    },
}
CALLS = {
    ("authenticated", "public.correct_last_contact_date(bigint,date,text)"),
}
