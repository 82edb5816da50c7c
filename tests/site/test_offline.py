"""The site without its server, and without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page
from tests.site.opening import open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.site.shared_site import Site

RUNBOOK = "operations/cron-reminder-runbook"
RUNBOOK_FILE = ROOT / "docs" / f"{RUNBOOK}.md"


@pytest.fixture
def alone(page: Page) -> list[str]:
    """All requests of the page for anything but files, and its errors."""
    found: list[str] = []
    schemes = ("file:", "data:", "blob:", "about:")
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(schemes) else found.append(asked.url),
    )
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_pages_and_diagram_work_from_a_folder(page: Page, unpacked: Path, alone: list[str]) -> None:
    open_page(page, (unpacked / "index.html").as_uri())
    page.locator(".home-symptoms li > a").filter(has_text="A run hangs").click()
    page.wait_for_url("**/cron-reminder-runbook.html*")
    expect(page.locator("#stuck-lock")).to_be_in_viewport()
    page.wait_for_selector("div.mermaid", state="attached")
    box = page.locator("div.mermaid").first.bounding_box()
    assert box is not None
    assert box["height"] > 200
    for name in ("verification.html", "authors-guide.html"):
        open_page(page, (unpacked / name).as_uri())
        expect(page.locator("h1")).to_be_visible()
    assert alone == []


def test_search_works_from_a_folder(page: Page, unpacked: Path, alone: list[str]) -> None:
    open_page(page, (unpacked / "index.html").as_uri())
    page.locator(".md-search__input").click()
    page.keyboard.insert_text('"Reminder run 21 timed out"')
    first = page.locator(".md-search-result__link").first
    expect(first).to_be_visible()
    expect(first).to_have_attribute(
        "href", re.compile(rf"{RUNBOOK}\.html(\?h=.*)?#service-timeout$")
    )
    assert alone == []


def test_every_link_of_the_archive_leads_to_a_file(page: Page, unpacked: Path) -> None:
    # The page for what is not found only a server shows.
    pages = [path for path in unpacked.rglob("*.html") if path.name != "404.html"]
    assert len(pages) >= 8
    for path in pages:
        page.goto(path.as_uri())
        links = page.locator("a[href]").evaluate_all("all => all.map(a => a.protocol + a.pathname)")
        files = {link for link in links if link.startswith("file:")}
        assert len(files) >= 5, path
        for link in files:
            assert Path(unquote(link.removeprefix("file:"))).is_file(), link


def test_plain_build_has_nothing_of_it(built_site: Site) -> None:
    folder = built_site.folder
    assert not list(folder.rglob("iframe-worker*"))
    assert "iframe-worker" not in (folder / "index.html").read_text(encoding="utf-8")
    assert (folder / RUNBOOK / "index.html").is_file()


def test_everything_is_there_without_javascript(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{site}{RUNBOOK}/")
        text = page.locator("article").inner_text()
        for snippet in read_page(RUNBOOK_FILE, load_site(ROOT)).snippets:
            assert snippet.sql.strip() in text.replace("\xa0", " "), snippet.id
        steps = page.locator("#architecture-diagram ~ details ol").first.locator("li")
        assert steps.count() == 8
        for step in steps.all():
            expect(step).to_be_visible()
    finally:
        context.close()
