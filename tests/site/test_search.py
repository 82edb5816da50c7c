"""The search leads to the section that helps, at the first hit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from tests.site.opening import open_page

if TYPE_CHECKING:
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
    "heartbeat": "watchdog-and-heartbeat",
    "skipped": "stuck-lock",
    # SQLSTATE
    "57014": "service-timeout",
    "55P03": "service-timeout",
    "42703": "repeated-failures",
    "42P01": "repeated-failures",
    "42501": "repeated-failures",
    "53100": "repeated-failures",
    # texts of errors
    "permission denied": "repeated-failures",
    "permission denied for table assignments": "repeated-failures",
    "No space left on device": "repeated-failures",
    "canceling statement due to statement timeout": "service-timeout",
    "invalid schedule": "change-the-schedule",
    "invalid transaction termination": "trigger-a-run",
    "must be a superuser": "what-does-not-work",
    "job startup timeout": "missed-runs",
    "There is no assignment": "correct-one-assignment",
    "Vault has no secret": "alert-not-delivered",
}
QUERIES = ("titles", "asked", "symptoms", "tiles", "alerts")
FEWEST_QUERIES = 10
PAGES = ROOT / "docs"
_LINK = re.compile(r"\]\([^)#]*#(?P<anchor>[^)]+)\)")
_MESSAGE = r"'{0}',(?:(?!;).)*?format\(\s*'(?P<text>(?:[^']|'')*)'"


def _runbook_rows(heading: str) -> list[list[str]]:
    text = (PAGES / "operations" / "cron-reminder-runbook.md").read_text(encoding="utf-8")
    table = text.partition(f"### {heading}\n")[2].partition("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [row for row in rows if any(_LINK.search(cell) for cell in row)]


def _plain(text: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[`*]", "", text).split())


def _anchor(cell: str) -> str:
    found = _LINK.search(cell)
    assert found
    return found["anchor"]


def symptoms() -> dict[str, str]:
    """Return the rows of the runbook's symptoms and the section that each leads to."""
    return {
        _plain(row[0]).removeprefix("Alert: "): _anchor(row[1])
        for row in _runbook_rows("Find your symptom")
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
    sql = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
    )
    for row in _runbook_rows("Alerts and where they lead"):
        kind, anchor = _plain(row[0]), _anchor(row[-1])
        found[kind] = anchor
        message = re.search(_MESSAGE.format(kind), sql, re.DOTALL)
        assert message, f"no migration sends {kind}"
        text = message["text"].replace("''", "'").replace("%s", "3")
        found[text.partition(". Run")[0]] = anchor
    return found


def _results(page: Page, words: str) -> list[str]:
    """Search, and return the addresses of the hits within the site, best first."""
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").fill("")
    page.wait_for_timeout(50)
    page.keyboard.type(words)
    expect(page.locator(".md-search-result__meta")).to_contain_text("matching document")
    page.wait_for_timeout(300)  # the list is drawn after the number
    links = page.locator(".md-search-result__link").evaluate_all("all => all.map(a => a.href)")
    return [f"{urlsplit(link).path[1:]}#{urlsplit(link).fragment}" for link in links]


@pytest.fixture
def home(page: Page, site: str) -> Page:
    open_page(page, site)
    return page


@pytest.mark.parametrize("queries", [TITLES, ASKED, symptoms(), tiles(), alerts()], ids=QUERIES)
def test_first_row_is_the_section(home: Page, queries: dict[str, str]) -> None:
    assert len(queries) >= FEWEST_QUERIES
    wrong = {}
    for words, anchor in queries.items():
        first = _results(home, words)[0]
        if first != f"{RUNBOOK}#{anchor}":
            wrong[words] = first
    assert wrong == {}


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
    assert _results(home, "cron reminder runbook")[0] == f"{RUNBOOK}#"


def test_generated_pages_are_not_found(home: Page) -> None:
    assert not [link for link in _results(home, "stuck lock") if link.startswith(("verif", "dril"))]
