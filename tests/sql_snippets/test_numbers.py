"""Every length of time in the words of the runbook is the one the system goes by.

What stands in the tables of facts is checked by the check of the page.  This is for the rest: each
number is given by the database or by a block of the page, or is listed as one that neither knows.
How long a block takes, "under 1 s", is what people can expect and is compared with no run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.sql_snippets.page_blocks import PAGE, blocks

if TYPE_CHECKING:
    from sql_snippets import Database

# A number with its unit, a time of day, and a number of rows that is a limit.
LENGTH = re.compile(
    r"\b(?:\d+|two|three|four|five|six|ten|half an?)"
    r" (?:ms|s|seconds?|minutes?|hours?|days?|weeks?)\b"
    r"|\b(?:a minute|an hour|a day|a week)\b|\b\d\d:\d\d\b|\b\d+,\d{3}\b"
)

WATCHDOG = """
select substring(schedule from '^\\*/(\\d+) ') from cron.job where jobname = 'reminder-watchdog'"""
HARD_LIMIT = "select extract(epoch from run_hard_limit)::integer / 60 from reminder.settings"
TIME_LIMIT = "select extract(epoch from run_time_limit)::integer from reminder.settings"
BY_HAND = "select extract(epoch from manual_run_time_limit)::integer from reminder.settings"
GRACE = """
select case missed_run_grace when '1 hour' then 'an hour' else missed_run_grace::text end
from reminder.settings"""
LONGEST_SILENCE = """
select case missed_run_grace when '1 hour' then 'an hour' else missed_run_grace::text end,
       24 + extract(epoch from missed_run_grace)::integer / 3600
from reminder.settings"""
LONG_RUN = "select extract(epoch from long_run_after)::integer / 60 from reminder.settings"
THRESHOLD = "select failure_threshold from reminder.settings"
THRESHOLDS = """
select substring(pg_get_constraintdef(oid) from '>= (\\d+)'),
       substring(pg_get_constraintdef(oid) from '<= (\\d+)')
from pg_constraint
where conname = 'settings_failure_threshold_check'"""
SILENCE_AND_TURN = """
select substring(p.prosrc from 'watched_at.{1,60}interval ''(\\d+) minutes'),
       substring(j.schedule from '^\\*/(\\d+) ')
from cron.job j, pg_proc p
where j.jobname = 'reminder-watchdog' and p.oid = 'reminder.check_watchdog'::regproc"""
# The look by hand is good for as long as the watchdog may be silent; then its own has to have come.
SILENCE_THEN_TURN = f"select (a::integer + b::integer)::text from ({SILENCE_AND_TURN}) x(a, b)"  # noqa: S608 - of this file
UNANSWERED = """
select substring(prosrc from 'created_at < clock_timestamp\\(\\) - interval ''(\\d+) minutes')
from pg_proc
where oid = 'reminder.check_alerts'::regproc"""
LOOKED_AT = """
select to_char(
  substring(pg_get_viewdef('reminder.lately_stale_contact'::regclass) from 'LIMIT (\\d+)')::integer,
  'FM999,999'
)"""
SCHEDULED = """
select to_char(reminder.last_due_at(schedule, now()) at time zone 'utc', 'HH24:MI')
from cron.job
where jobname = 'peer-mentor-reminders'"""
SCHEDULED_IN_BERLIN = """
select to_char(winter at time zone 'utc', 'HH24:MI'),
       to_char(winter at time zone 'Europe/Berlin', 'HH24:MI'),
       to_char(summer at time zone 'Europe/Berlin', 'HH24:MI')
from cron.job,
  reminder.last_due_at(schedule, '2026-01-15 00:00+00') winter,
  reminder.last_due_at(schedule, '2026-07-15 00:00+00') summer
where jobname = 'peer-mentor-reminders'"""

# Words of the page, with a {} for each column of the one row that the query gives.
MEASURED = [
    ("cron fires,<br>{} UTC", SCHEDULED),
    ("{} UTC is {} in Berlin in winter and {} in summer", SCHEDULED_IN_BERLIN),
    ("the next full {} minutes", WATCHDOG),
    ("no undo: as it does every {} minutes", WATCHDOG),
    ("has not looked for {} minutes; it is due every {}.", SILENCE_AND_TURN),
    ("and again in {} minutes: by then", SILENCE_THEN_TURN),
    ("On its way, for {} minutes at most", UNANSWERED),
    ("a run at work. Wait, for {} minutes at most", HARD_LIMIT),
    ("has said `running` for more than {} minutes", HARD_LIMIT),
    ("More work than fits into {} seconds", TIME_LIMIT),
    ("1 s, {} s at most", BY_HAND),
    ("no run has finished {} after the scheduled time", GRACE),
    ("the time between two runs and {}: {} hours for a daily run", LONGEST_SILENCE),
    ("no run has finished since, with {} of grace", GRACE),
    ("a run is older than {} minutes, once a run", LONG_RUN),
    ("At {} the run queues one alert", THRESHOLD),
    ('"The reminder job failed {} times in a row"', THRESHOLD),
    ("The query looks at the {} activities registered last", LOOKED_AT),
]

# Words of the page, with a {} for a number in a block, the block, and where the number is in it.
IN_A_BLOCK = [
    ("up to {} s · no undo: what it had", "release-lock", r"pid, (\d+)000\)"),
    ("not within {} seconds. Run", "release-lock", r"pid, (\d+)000\)"),
    ("up to {} s a session", "resolve-service-timeout-end", r"pid, (\d+)000\)"),
    ("idle for over {} seconds", "resolve-service-timeout-end", r"'(\d+) seconds'"),
    ("`since` over {} seconds", "resolve-service-timeout-end", r"'(\d+) seconds'"),
]

# What people decide, and what programs outside of the database do.
NOT_OURS = [
    "No answer within 20 seconds",
    "No answer within a minute",
    "when you are stuck for 30 minutes",
    "nobody to be had in 10 minutes",
    "nobody in 10 minutes",
    "no answer in 10 minutes",
    "Not ended in 10 minutes",
    "No answer after a minute",
    "falls silent again within an hour",
    "stuck again within a day",
    "One row a day",
    "· up to 5 s",
    "· up to 10 s",
    "5 s until the answer is in",  # net.http_post waits that long
    "Wait ten seconds",
]


def _text() -> str:
    """Return the page without its SQL, its outputs, the bound facts, and what a block may take."""
    text = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"```(?:sql|text)\n.*?```", "", text, flags=re.DOTALL)
    # The file of the kinds of alert binds their names and sections, not their words.
    text = re.sub(r"<!-- sql: facts=(?!facts/alert-kinds).*?\n\n.*?\n\n", "", text, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->|· under \d+ s\b", "", text, flags=re.DOTALL)


def _places(words: str) -> list[re.Match[str]]:
    """Return where the page says something, with whatever number."""
    pattern = re.escape(words).replace(r"\{\}", r"\w[\w,: ]{0,8}?")
    return list(re.finditer(pattern, _text()))


def _said(words: str) -> set[str]:
    return {place[0] for place in _places(words)}


@pytest.mark.parametrize(("words", "query"), MEASURED, ids=[words for words, _ in MEASURED])
def test_number_is_the_one_of_the_database(sql_database: Database, words: str, query: str) -> None:
    with sql_database.connect() as session:
        row = session.execute(query.encode()).fetchone()
    assert row is not None
    assert _said(words) == {words.format(*row)}


@pytest.mark.parametrize(("words", "block", "number"), IN_A_BLOCK)
def test_number_is_the_one_of_the_block(words: str, block: str, number: str) -> None:
    snippet = blocks()[block]
    found = re.search(number, snippet.sql)
    assert found, f"{snippet.id} has no {number}"
    assert _said(words) == {words.format(found[1])}


def test_bounds_in_a_block_are_those_of_the_setting(sql_database: Database) -> None:
    with sql_database.connect() as session:
        row = session.execute(THRESHOLDS.encode()).fetchone()
    assert row is not None
    assert "number of failures, from {} to {}\n".format(*row) in blocks()["change-threshold"].sql


def test_no_number_is_left_unchecked() -> None:
    text = _text()
    checked: list[range] = []
    for words in [*(words for words, *_ in MEASURED + IN_A_BLOCK), *NOT_OURS]:
        places = _places(words)
        assert places, f"the page does not say {words!r} any more"
        checked += [range(*place.span()) for place in places]
    left = [
        f"{match[0]}: {text[: match.end()].splitlines()[-1]}"
        for match in LENGTH.finditer(text)
        if not any(match.start() in span for span in checked)
    ]
    assert left == [], (
        "Say in MEASURED or IN_A_BLOCK what gives it, or in NOT_OURS that nothing can."
    )
