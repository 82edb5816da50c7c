"""How much of the runbook somebody with a phone meets, and that nothing of it stands twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.site.opening import open_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

RUNBOOK = "operations/cron-reminder-runbook/"
PHONE = (390, 844)
MOST_SCREENS = 50
MOST_WORDS = 7000
LONGEST_SECTION = 4  # screens

# A stamp of a block that was not run is longer than the tick of one that passed.
_MEASURE = """() => {
    for (const stamp of document.querySelectorAll("article .sql-stamp--unchecked")) stamp.remove()
    const article = document.querySelector("article")
    const headings = [...article.querySelectorAll("h2, h3")]
    const tops = headings.map(e => e.getBoundingClientRect().top)
    tops.push(article.getBoundingClientRect().bottom)
    return {
        words: article.innerText.split(/\\s+/).filter(Boolean).length,
        screens: document.documentElement.scrollHeight / innerHeight,
        sections: headings.map((e, i) => [e.id, (tops[i + 1] - tops[i]) / innerHeight]),
        blocks: [...article.querySelectorAll(".sql-block code")].map(e => e.textContent),
        folds: article.querySelectorAll("details:not([class])").length,
    }
}"""

# What is folded, text by text, and what of it has no place on the page.
_HIDDEN = """() => {
    const texts = [...document.querySelectorAll("article details *:not(script)")]
        .filter(e => [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim()))
    const hidden = texts.filter(e => !e.checkVisibility() || !e.getBoundingClientRect().height)
    return [texts.length, hidden.map(e => e.textContent.slice(0, 60))]
}"""


@pytest.fixture(scope="module")
def phone(browser: Browser, site: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    open_page(page, site + RUNBOOK)
    yield page
    page.close()


@pytest.fixture(scope="module")
def measured(phone: Page) -> dict[str, Any]:
    found: dict[str, Any] = phone.evaluate(_MEASURE)
    return found


def test_the_page_is_short(measured: dict[str, Any]) -> None:
    assert measured["words"] <= MOST_WORDS
    assert measured["screens"] <= MOST_SCREENS


def test_no_section_is_long(measured: dict[str, Any]) -> None:
    assert len(measured["sections"]) >= 50
    assert {name: n for name, n in measured["sections"] if n > LONGEST_SECTION} == {}


def test_no_block_stands_twice(measured: dict[str, Any]) -> None:
    blocks = measured["blocks"]
    assert len(blocks) >= 45
    assert len(set(blocks)) == len(blocks)


def test_a_link_opens_what_is_folded_in_its_section(phone: Page) -> None:
    fold = phone.locator("#facts-at-a-glance + details")
    expect(fold).not_to_have_attribute("open", "")
    phone.evaluate("location.hash = 'facts-at-a-glance'")
    expect(fold).to_have_attribute("open", "")
    # What comes back from a block stays folded, whoever is led there.
    phone.evaluate("location.hash = 'trigger-a-run'")
    expect(phone.locator("details[open]:has(.sql-output)")).to_have_count(0)


def test_without_scripts_nothing_is_folded(browser: Browser, site: str) -> None:
    context = browser.new_context(
        java_script_enabled=False, viewport={"width": PHONE[0], "height": PHONE[1]}
    )
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        texts, hidden = page.evaluate(_HIDDEN)
        assert texts > 300
        assert hidden == []
    finally:
        context.close()
