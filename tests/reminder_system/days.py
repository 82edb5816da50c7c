"""Days as the reminder system counts them: in UTC."""

from __future__ import annotations

import datetime as dt


def day(ago: int) -> dt.date:
    """Return the day that many days before today; below zero, a day to come.

    Asked anew each time: a run of all tests may begin before midnight and end after it.
    """
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=ago)
