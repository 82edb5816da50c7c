"""The search leads to the section that helps, at the first hit."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUNBOOK = "operations/cron-reminder-runbook/"

SYMPTOMS = {
    "missed runs": "missed-runs",
    "stuck lock": "stuck-lock",
    "service timeout": "service-timeout",
    "alert not delivered": "alert-not-delivered",
    "duplicate reminders": "duplicate-reminders",
    "reminders after contact": "reminders-after-contact",
    "abandoned run": "abandoned-run",
    "repeated failures": "repeated-failures",
    "timed_out": "service-timeout",
    "same reminder twice": "duplicate-reminders",
    "ended without logging its result": "abandoned-run",
    "contact was logged": "reminders-after-contact",
}
FOUND = {
    # alerts
    "consecutive_failures": "repeated-failures",
    "missed_run": "missed-runs",
    "long_run": "alerts-and-where-they-lead",
    "abandoned_run": "abandoned-run",
    "undelivered_alert": "alerts-and-where-they-lead",
    "recovered": "recovered",
    # SQLSTATE
    "57014": "service-timeout",
    "55P03": "service-timeout",
    "42703": "repeated-failures",
    "42P01": "repeated-failures",
    "42501": "repeated-failures",
    "53100": "repeated-failures",
    # texts of errors
    "invalid schedule": "change-the-schedule",
    "invalid transaction termination": "trigger-a-run",
    "must be a superuser": "what-does-not-work",
    "job startup timeout": "missed-runs",
    "There is no assignment": "correct-one-assignment",
    "Vault has no secret": "alert-not-delivered",
    # what the page is asked for in the symptoms
    "failed several times in a row": "repeated-failures",
    "heartbeat": "watchdog-and-heartbeat",
    "nobody was alerted": "alert-not-delivered",
    "skipped": "stuck-lock",
}


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
    page.goto(site, wait_until="networkidle")
    return page


def test_first_hit_of_each_symptom_is_its_section(home: Page) -> None:
    wrong = {}
    for words, anchor in SYMPTOMS.items():
        first = _results(home, words)[0]
        if first != f"{RUNBOOK}#{anchor}":
            wrong[words] = first
    assert wrong == {}


def test_codes_alerts_and_errors_are_found(home: Page) -> None:
    missing = {}
    for words, anchor in FOUND.items():
        results = _results(home, words)
        if f"{RUNBOOK}#{anchor}" not in results[:8]:
            missing[words] = results[:8]
    assert missing == {}


def test_first_row_opens_the_section(home: Page) -> None:
    _results(home, "abandoned run")
    home.locator(".md-search-result__link").first.click()
    expect(home.locator("#abandoned-run")).to_be_in_viewport()


def test_page_that_has_the_words_in_its_title_opens_at_its_top(home: Page) -> None:
    assert _results(home, "cron reminder runbook")[0] == f"{RUNBOOK}#"


def test_generated_pages_are_not_found(home: Page) -> None:
    assert not [link for link in _results(home, "stuck lock") if link.startswith(("verif", "dril"))]
