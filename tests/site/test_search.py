"""The search leads to the section that helps, at the first hit."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.hooks.search_rank import OWN_WORDS
from scripts.tasks.common import ROOT
from tests.raised_errors import raised_errors
from tests.site.opening import open_page, search
from tests.sql_snippets.decisions import slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

RUNBOOK = "operations/cron-reminder-runbook/"

TITLES = {
    "missed runs": "missed-runs",
    "stuck lock": "stuck-lock",
    "service timeout": "service-timeout",
    "alert not delivered": "alert-not-delivered",
    "duplicate reminders": "duplicate-reminders",
    "reminders after contact": "reminders-after-contact",
    "abandoned run": "abandoned-run",
    "repeated failures": "repeated-failures",
    "trigger a run": "trigger-a-run",
    "registered jobs": "see-the-registered-jobs",
    "release a stuck lock": "release-a-stuck-lock",
    "who holds the lock": "who-holds-the-lock",
    "change the schedule": "change-the-schedule",
    "activity registration hook": "activity-registration-hook",
}
ASKED = {
    # in the words of somebody who was woken
    "timed_out": "service-timeout",
    "same reminder twice": "duplicate-reminders",
    "contact was logged": "reminders-after-contact",
    "failed several times in a row": "repeated-failures",
    "No reminders today": "missed-runs",
    "has been running since": "stuck-lock",
    "running too long": "stuck-lock",
    "nobody was alerted": "alert-not-delivered",
    "heartbeat": "heartbeat",
    "skipped": "stuck-lock",
    "scheduler service": "service-timeout",
    "execution_logs": "execution-log-schema",
    "stamp": "how-to-run-a-block",  # the pages on the checks say it more often
    # in words that the page has no reason to say
    "pause": "disable-the-job",
    "rollback": "what-differs",
    "slack": "change-the-destination",
    "webhook": "change-the-destination",
    "duplicate": "duplicate-reminders",
    "reminders late": "missed-runs",
    "restore": "after-a-restore",
    # as PostgreSQL says it, and a tool passes it on
    "permission denied": "repeated-failures",
    "ERROR:  42501: permission denied for table assignments": "repeated-failures",
    "DBeaver: permission denied for schema reminder": "repeated-failures",
    "'2026-11-23'::date: permission denied for function now": "repeated-failures",
    'ERROR:  42P01: relation "public.assignments" does not exist'
    "LINE 3: from public.assignments where status = 'active'": "repeated-failures",
    "function reminder.next_batch(bigint, bigint, bigint) does not exist": "repeated-failures",
    'could not extend file "base/5/16384": No space left on device': "repeated-failures",
    "out of memory": "repeated-failures",
    "FATAL: sorry, too many clients already": "repeated-failures",
    "canceling statement due to statement timeout": "service-timeout",
    "could not obtain lock": "service-timeout",
    'could not obtain lock on row in relation "assignments"': "service-timeout",
    "must be a superuser to terminate superuser process": "what-does-not-work",
    "WARNING: you don\u2019t own a lock of type ExclusiveLock": "what-does-not-work",
    "you don't own a lock": "what-does-not-work",
    "Error: Failed to run sql query: ERROR:  P0002: There is no assignment 999."
    "HINT:  Look it up in public.assignments.": "correct-one-assignment explain-one-assignment",
    # with what the migrations leave open
    "Reminder run 21 failed": "repeated-failures",
    "Reminder run 21 failed: column a.last_contact_date does not exist": "repeated-failures",
    "Reminder run 21 failed: canceling statement due to user request": "service-timeout",
    "Reminder run 21 timed out": "service-timeout",
    "pg_net refused the request (SQLSTATE 22023)": "alert-not-delivered",
    "HTTP status 503": "alert-not-delivered",
}
ELSEWHERE = ("DBeaver", "DataGrip", "TablePlus")  # made of words that the site has
PAGES = ROOT / "docs"
RUNBOOK_TEXT = (PAGES / "operations" / "cron-reminder-runbook.md").read_text(encoding="utf-8")
MIGRATIONS = {
    path.stem.partition("_")[2]: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
}
SQL = "".join(MIGRATIONS.values())
_LINK = re.compile(r"\]\([^)#]*#(?P<anchor>[^)]+)\)")
_TEXT = r"'((?:[^']|'')*)'"
_ALERT = r"'{0}',(?:(?!;).)*?format\(\s*" + _TEXT
_WHY = re.compile(r"(?:\bthen|\belse|\berror =)\s+(?:format\()?'(\w+ \S+ (?:[^']|'')*)'")


def _sections() -> dict[str, str]:
    parts = re.split(r"^#{2,3} (.+)$", RUNBOOK_TEXT, flags=re.MULTILINE)
    return dict(zip(map(slug, parts[1::2]), parts[2::2], strict=True))


SECTIONS = _sections()


def _tables(section: str) -> list[list[list[str]]]:
    tables = re.findall(r"(?:^\|.*\n)+", SECTIONS[section] + "\n", re.MULTILINE)
    return [[line.strip("| ").split(" | ") for line in table.splitlines()] for table in tables]


def _runbook_rows(section: str) -> list[list[str]]:
    rows = [row for table in _tables(section) for row in table]
    return [row for row in rows if any(_LINK.search(cell) for cell in row)]


def _plain(text: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[`*]", "", text).split())


def _anchor(cell: str) -> str:
    found = _LINK.search(cell)
    assert found
    return found["anchor"]


def _sent(text: str) -> str:
    """Return a text of the migrations with a number for what it leaves open."""
    return text.replace("''", "'").replace("%s", "21")


def _leads_to_one(said: list[tuple[str, str]]) -> dict[str, str]:
    """Return what one section alone says, and no other goes on from."""
    return {
        words: anchor
        for words, anchor in said
        if {to for other, to in said if other.startswith(words)} == {anchor}
    }


def symptoms() -> dict[str, str]:
    """Return the rows of the runbook's symptoms and the section that each leads to."""
    return {
        _plain(row[0]).removeprefix("Alert: "): _anchor(row[1])
        for row in _runbook_rows("find-your-symptom")
    }


def tiles() -> dict[str, str]:
    """Return the titles of the home page's tiles."""
    text = (
        (PAGES / "index.md").read_text(encoding="utf-8").partition("## What do you have to do")[0]
    )
    found = re.findall(r"^- \[\*\*(.+?)\*\*.*?#([\w-]+)\)", text, re.MULTILINE)
    return {_plain(title): anchor for title, anchor in found if title != "Something else"}


def alerts() -> dict[str, str]:
    """Return the names of the alerts, and their texts as they are sent."""
    found = {}
    for row in _runbook_rows("alerts-and-where-they-lead"):
        kind, anchor = _plain(row[0]), _anchor(row[-1])
        found[kind] = anchor
        message = re.search(_ALERT.format(kind), SQL, re.DOTALL)
        assert message, f"no migration sends {kind}"
        found[_sent(message[1]).partition(". Run")[0]] = anchor
    return found


def sentences() -> dict[str, str]:
    """Return each sentence of the symptom that a section begins with."""
    return _leads_to_one(
        [
            (sentence, anchor)
            for anchor, text in SECTIONS.items()
            for symptom in re.findall(r"^\*\*Symptom\.\*\* (.+)$", text, re.MULTILINE)
            for sentence in re.split(r"(?<=\.) ", _plain(symptom))
        ]
    )


def _leads_on(row: list[str]) -> str:
    """Return where a row of the table of errors leads: to another incident, or nowhere else."""
    incidents = set(symptoms().values())
    found = [anchor for anchor in _LINK.findall(row[1]) if anchor in incidents]
    return found[0] if found else "repeated-failures"


def causes() -> dict[str, str]:
    """Return what a section's table says is seen there, if it is more than a word."""
    return _leads_to_one(
        [
            (_plain(row[0]), _leads_on(row) if header[0] == "`error_code`" else anchor)
            for anchor in SECTIONS
            for header, _, *rows in _tables(anchor)
            for row in rows
            # The rest of what may be seen is said by no word of its own.
            if header[1] == "Resolve" and " " in row[0] and row[0] != "anything else"
        ]
    )


def codes() -> dict[str, str]:
    """Return the SQLSTATEs of the table of errors, and the section that ends each."""
    return {
        code: _leads_on(row)
        for row in _tables("repeated-failures")[0][2:]
        for code in re.findall(r"`(\d\w{4})`", row[0])
    }


def quoted() -> dict[str, str]:
    """Return the errors that one section quotes."""
    said = [
        (code, anchor)
        for anchor, text in SECTIONS.items()
        for code in re.findall(
            r"`((?:\w+: )?[a-zA-Z']+(?: [a-z']+)+(?: [a-zA-Z]+)+|ERROR: [a-z ]+)`", text
        )
    ]
    times = Counter(error for error, _ in said)
    return {error: anchor for error, anchor in said if times[error] == 1}


def _all_with(used: str) -> str:
    blocks = {to: re.findall(r"```sql\n(.*?)```", text, re.DOTALL) for to, text in SECTIONS.items()}
    return " ".join(to for to, sql in blocks.items() if any(used in block for block in sql))


def _statuses() -> dict[str, str]:
    """Return how a run can end that does not go well, and the section for it."""
    rows = [row for row in _runbook_rows("status-values") if row[0] != "`running`"]
    return {_plain(row[0]): _anchor(row[-1]) for row in rows}


def raised() -> dict[str, str]:
    """Return the errors of functions, and the sections whose blocks call the function."""
    found = {}
    for error in raised_errors():
        name = error.routine
        fired = re.search(rf"\bon (\S+)\s+for each statement execute function {name}\(", SQL)
        if name == "reminder.run_job":
            for status, anchor in _statuses().items():
                text = error.text.replace("%s", "21", 1)
                found[text.replace("%s", status.replace("_", " "), 1)] = anchor
        else:
            used = fired[1] if fired else name.partition(".")[2] + "("
            # What only the application can meet is on no page for operators.
            if sections := _all_with(used):
                text = _sent(error.text)
                found[text] = f"{found.get(text, '')} {sections}".strip()
    return found


def stored() -> dict[str, str]:
    """Return what is kept with an alert that did not arrive, or with a run that ended badly."""
    found = {_sent(text): "alert-not-delivered" for text in _WHY.findall(MIGRATIONS["alerts"])}
    for status, anchor in _statuses().items():
        after = rf"'{status}'[,;](?! ')(.*?);\n\s*(?:end|perform)|\Z"
        for kept in re.findall(after, MIGRATIONS["run"], re.DOTALL):
            for text in re.findall(r"'([A-Z]\w+ [^']+)'", kept.partition("$$")[0]):
                found[_sent(text)] = anchor
    return found


# Where all that is said is read from, and how much that is at the least.
GENERATED = {
    symptoms: 12,
    tiles: 10,
    alerts: 14,
    sentences: 10,
    causes: 35,
    codes: 9,
    quoted: 7,
    raised: 11,
    stored: 11,
}


def _results(page: Page, *queries: str) -> dict[str, list[str]]:
    """Search for each, and return the addresses of its hits within the site, best first."""
    return {
        words: [f"{urlsplit(link).path[1:]}#{urlsplit(link).fragment}" for link in links]
        for words, links in search(page, *queries).items()
    }


@pytest.fixture
def home(page: Page, site: str) -> Page:
    open_page(page, site)
    return page


def _leads_elsewhere(page: Page, queries: dict[str, str]) -> dict[str, str]:
    first = {words: next(iter(hits), "") for words, hits in _results(page, *queries).items()}
    return {
        words: first[words]
        for words, to in queries.items()
        if first[words] not in {f"{RUNBOOK}#{section}" for section in to.split()}
    }


@pytest.mark.parametrize("queries", [TITLES, ASKED], ids=["titles", "asked"])
def test_first_row_is_the_section(home: Page, queries: dict[str, str]) -> None:
    assert _leads_elsewhere(home, queries) == {}


@pytest.mark.parametrize("said", GENERATED, ids=lambda said: said.__name__)
def test_all_that_is_said_of_a_section_leads_to_it(
    home: Page, said: Callable[[], dict[str, str]]
) -> None:
    queries = said()
    assert len(queries) >= GENERATED[said]
    assert _leads_elsewhere(home, queries) == {}


def test_own_words_lead_to_a_section_that_has_what_they_mean(home: Page) -> None:
    wrong = {}
    for word, said in OWN_WORDS.items():
        titled = {anchor for anchor in SECTIONS if word in anchor}
        answers = titled or {to for to, text in SECTIONS.items() if word in text.lower()}
        assert answers, f"no section says {word}"
        for words, hits in _results(home, *said.split("; ")).items():
            if hits[:1] not in [[f"{RUNBOOK}#{anchor}"] for anchor in answers]:
                wrong[words] = hits[:1]
    assert wrong == {}


def test_only_what_people_wrote_for_operators_is_searched(page: Page, site: str) -> None:
    """No generated page, no text of a source file, and nothing for maintainers."""
    index = page.request.get(f"{site}search/search_index.json").json()
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert found == {"", RUNBOOK, "authors-guide/"}


def test_quotes_change_nothing(home: Page) -> None:
    plain = _results(home, *quoted())
    for opened, closed in ('""', "\u201c\u201d", "\u201e\u201c", "«»", "\u2018\u2019", "''", "``"):
        same = {f"{opened}{words}{closed}": hits for words, hits in plain.items()}
        assert _results(home, *same) == same


def test_name_of_a_tool_is_not_taken_apart(home: Page) -> None:
    assert _results(home, *ELSEWHERE) == {words: [] for words in ELSEWHERE}


def test_words_that_are_typed_are_searched(home: Page) -> None:
    home.locator(".md-search__input").click()
    home.keyboard.type("aband")
    expect(home.locator(".md-search-result__link").first).to_have_attribute(
        "href", re.compile("#abandoned-run$")
    )


def test_first_row_opens_the_section(home: Page) -> None:
    _results(home, "abandoned run")
    home.locator(".md-search-result__link").first.click()
    expect(home.locator("#abandoned-run")).to_be_in_viewport()


def test_pasted_words_are_searched(home: Page) -> None:
    home.locator(".md-search__input").click()
    home.keyboard.insert_text("57014")
    expect(home.locator(".md-search-result__meta")).to_contain_text("matching document")
    expect(home.locator(".md-search-result__link").first).to_be_visible()


def test_page_that_has_the_words_in_its_title_opens_at_its_top(home: Page) -> None:
    words = "cron reminder runbook"
    assert _results(home, words)[words][0] == f"{RUNBOOK}#"
