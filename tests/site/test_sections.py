"""Sections are found: by an alert's name in a wrong address, and by the names they once had."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.hooks.alert_sections import read_alerts
from scripts.tasks.local_site import build, serve_folder
from tests.site.opening import open_page
from tests.site.project_copy import copy_project

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

RUNBOOK = "operations/cron-reminder-runbook/"
ALERTS = {
    "consecutive_failures": "repeated-failures",
    "missed_run": "missed-runs",
    "long_run": "stuck-lock",
    "abandoned_run": "abandoned-run",
    "undelivered_alert": "alert-not-delivered",
    "recovered": "recovered",
    "test": "send-a-test-alert",
}


@pytest.mark.parametrize(
    ("asked", "anchor"),
    [
        *ALERTS.items(),
        ("runbooks/missed-run/", "missed-runs"),
        ("MissedRun.html", "missed-runs"),
        ("operations/cron-reminder-runbok/#stuck_lock", "stuck-lock"),
        ("alert-not-deliverd", "alert-not-delivered"),
        ("heartbeat", "heartbeat"),
        ("watchdog", "watchdog-silent"),
        ("lock", "stuck-lock"),
        ("runs", "missed-runs"),
    ],
)
def test_wrong_address_offers_the_nearest_section(
    page: Page, site: str, asked: str, anchor: str
) -> None:
    open_page(page, site + asked)
    offer = page.locator(".nearest")
    expect(offer).to_be_visible()
    link = offer.locator("a")
    assert urlsplit(link.get_attribute("href") or "").fragment == anchor
    link.click()
    page.wait_for_url(lambda url: url.endswith(f"{RUNBOOK}#{anchor}"))
    expect(page.locator(f"[id='{anchor}']")).to_be_in_viewport()


@pytest.mark.parametrize(
    "asked",
    ["failed", "job-failed", "no-such-page", "operations/old-name/", "x", "a%E0b", "%25"],
)
def test_address_like_no_section_offers_the_check_that_names_one(
    page: Page, site: str, asked: str
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, site + asked)
    expect(page.locator("h1")).to_have_text("This page is not here")
    expect(page.locator(".nearest")).to_contain_text("Not sure which section?")
    link = page.locator(".nearest a")
    assert urlsplit(link.get_attribute("href") or "").fragment == "check-health"
    assert errors == []


def test_page_for_wrong_addresses_lists_all_alerts_without_javascript(
    browser: Browser, site: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site + "missed_run")
        names = page.locator(".md-content li code").all_inner_texts()
        assert names == list(ALERTS), "what is wrong comes first"
        expect(page.locator(".nearest a")).to_have_text("Check health")
    finally:
        context.close()


def test_alerts_are_read_from_their_table_alone() -> None:
    row = '<tr><td><code>{0}</code></td><td><code>x</code></td><td><a href="#{1}">T</a></td></tr>'
    html = (
        f"<table>{row.format('before', 'b')}</table>"
        '<h3 id="alerts-and-where-they-lead">A</h3><p><a href="#no">no</a></p>'
        f"<table>{row.format('missed_run', 'missed-runs')}{row.format('test', 'send')}</table>"
        f"<table>{row.format('after', 'a')}</table>"
    )
    assert read_alerts(html) == {"missed_run": "missed-runs", "test": "send"}


def test_section_stays_in_sight_while_its_page_grows(page: Page, site: str) -> None:
    for index in range(8):
        open_page(page, site)
        link = page.locator(".home-symptoms li > a").nth(index)
        anchor = urlsplit(link.get_attribute("href") or "").fragment
        link.click()
        page.wait_for_selector("div.mermaid", state="attached")
        page.wait_for_timeout(200)
        expect(page.locator(f"[id='{anchor}']")).to_be_in_viewport()


def test_reader_who_scrolls_away_is_not_taken_back(page: Page, site: str) -> None:
    open_page(page, site)
    page.locator(f".home a[href*='{RUNBOOK}#stuck-lock']").first.click()
    expect(page.locator("#stuck-lock")).to_be_in_viewport()
    page.mouse.wheel(0, 1)
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.querySelector('.md-content__inner').style.paddingTop = '900px'")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") < 100


def test_old_name_of_a_renamed_section_still_leads_to_it(page: Page, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(project)
    file = project / "docs" / "operations" / "cron-reminder-runbook.md"
    text = file.read_text(encoding="utf-8")
    old = "### Recovered\n"
    assert old in text
    text = text.replace(old, '<a id="recovered"></a>\n\n### Good again\n')
    file.write_text(text, encoding="utf-8")
    folder = tmp_path / "site"
    folder.mkdir()
    with serve_folder(folder) as address:
        build(folder, address, project=project)
        open_page(page, f"{address}{RUNBOOK}#recovered")
        expect(page.locator("#good-again")).to_be_in_viewport()
        shown = page.evaluate("document.querySelector('#good-again').getBoundingClientRect().top")
        assert 0 < shown < 200
        empty = page.locator("p:has(> #recovered)")
        assert empty.evaluate("e => e.getBoundingClientRect().height") == 0
