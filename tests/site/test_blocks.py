"""However a reader arrives: each block shows, and its button copies, what the checks have run.

The SQL to compare with is what ``sql-snippets list`` says, byte for byte.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections import defaultdict
from html.entities import entitydefs
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page
from sql_snippets.sqltext.placeholders import fill, find
from tests.site.opening import open_page, search
from tests.site.project_copy import RUN_AT

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.usefixtures("no_drawing")

RUNBOOK = "operations/cron-reminder-runbook"
PHONE, DESKTOP = (390, 844), (1280, 800)
# How the theme writes a quote in HTML, and how others do.
ESCAPED = ("39", "#39", "039", "x27", "34", "quot", "apos", "amp", "lt", "gt", "nbsp", "mark")
NASTY = "O'Hara & <b> &#39; $1"
WORDS = "The reminder job failed 3 times in a row"  # an alert says so
_SHOWN = """() => [...document.querySelectorAll("article .sql-block")].map(block => {
    const code = block.querySelector("pre > code") ?? block.querySelector("code")
    return [block.id, code.textContent, code.innerText]
})"""
# A browser lets a script copy for a few seconds after a press, which is too few for all blocks:
# what the theme has selected when it gives the order is what the clipboard would get.
_COPIED = """() => {
    const copied = {}
    const order = document.execCommand
    for (const block of document.querySelectorAll("article .sql-block")) {
        document.execCommand = (command) => {
            copied[block.id] = command === "copy" ? document.activeElement.value : command
            return true
        }
        block.querySelector("[data-md-type=copy], .md-clipboard").click()
    }
    document.execCommand = order
    return copied
}"""


def _listed() -> dict[str, dict[str, str]]:
    """Return the SQL of each block by its anchor, for each page as its address names it."""
    command = [str(Path(sys.executable).with_name("sql-snippets")), "list", "docs", "--json"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for block in json.loads(said)["blocks"]:
        page, section, name = block["id"].split("::")
        found[page.removeprefix("docs/").removesuffix(".md")][f"block-{section}-{name}"] = block[
            "sql"
        ]
    return found


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, str]]:
    found = _listed()
    assert len(found[RUNBOOK]) >= 40
    return found


def _differences(page: Page, checked: dict[str, str], *, copied: bool = True) -> list[str]:
    """Return what differs on a page that is open from what was checked."""
    shown = {anchor: (whole, seen) for anchor, whole, seen in page.evaluate(_SHOWN)}
    found = [f"{anchor} is not shown" for anchor in checked.keys() - shown.keys()]
    found += [f"{anchor} is not checked" for anchor in shown.keys() - checked.keys()]
    buttons = page.evaluate(_COPIED) if copied else {}
    for anchor in checked.keys() & shown.keys():
        sql, (whole, seen) = checked[anchor], shown[anchor]
        for what, text in ("has", whole.removesuffix("\n")), ("shows", seen.removesuffix("\n")):
            if text != sql:
                found.append(f"{anchor} {what} {text!r} where {sql!r} was checked")
        if copied and buttons.get(anchor) != sql:
            found.append(f"{anchor} copies {buttons.get(anchor)!r} where {sql!r} was checked")
    return found


def _hostile(sql: dict[str, str]) -> list[str]:
    """Return what is written in HTML by a name or a number, and every word and number of blocks."""
    words = {word for text in sql.values() for word in re.findall(r"\w+", text)}
    words |= {str(ord(sign)) for sign in "'\"<>&"} | {name for name in entitydefs if len(name) < 4}
    return [*ESCAPED, *sorted(words - {*ESCAPED}), WORDS]


def _open(page: Page, site: str) -> None:
    open_page(page, f"{site}{RUNBOOK}/")


def _open_by_alert(page: Page, site: str) -> None:
    open_page(page, f"{site}{RUNBOOK}/#stuck-lock")


def _open_by_old_search(page: Page, site: str) -> None:
    """Go where a search of an older site led, which somebody may have kept."""
    open_page(page, f"{site}{RUNBOOK}/?h=39+lt+quot+select+3#stuck-lock")


def _open_by_search(page: Page, site: str) -> None:
    open_page(page, site)
    search(page, WORDS)
    page.locator(".md-search-result__link").first.click()
    page.wait_for_url(f"**/{RUNBOOK}/**")
    expect(page.locator(".sql-block").first).to_be_attached()
    page.wait_for_load_state("networkidle")


def _fill_and_clear(page: Page, site: str) -> None:
    _open(page, site)
    fields = page.locator(".sql-form input").all()
    assert len(fields) >= 8
    for value in (NASTY, "39", ""):
        for field in fields:
            field.fill(value)


def _open_in_the_dark(page: Page, site: str) -> None:
    page.emulate_media(color_scheme="dark")
    _open(page, site)
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")


def _come_back_from_paper(page: Page, site: str) -> None:
    _open(page, site)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.pdf()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")


def _go_back(page: Page, site: str) -> None:
    _open_by_search(page, site)
    page.go_back()
    expect(page.locator(".home")).to_be_attached()
    page.go_forward()
    expect(page.locator(".sql-block").first).to_be_attached()
    page.wait_for_load_state("networkidle")


def _practise(page: Page, site: str) -> None:
    _open(page, site)
    panel = page.locator(".practice[data-section='reminders-after-contact']")
    panel.get_by_role("button", name="Practise").click()
    status = page.locator(".practice__status")
    expect(status).to_contain_text("The incident is there", timeout=240_000)


WAYS = [
    _open,
    _open_by_alert,
    _open_by_old_search,
    _open_by_search,
    _fill_and_clear,
    _open_in_the_dark,
    _come_back_from_paper,
    _go_back,
    _practise,
]


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("arrive", WAYS, ids=lambda arrive: arrive.__name__.strip("_"))
def test_every_block_is_what_was_checked(
    page: Page,
    site: str,
    listed: dict[str, dict[str, str]],
    arrive: Callable[[Page, str], None],
    size: tuple[int, int],
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    arrive(page, site)
    assert _differences(page, listed[RUNBOOK]) == []


def test_every_block_is_what_was_checked_on_every_page(
    page: Page, site: str, listed: dict[str, dict[str, str]]
) -> None:
    for name, checked in listed.items():
        open_page(page, f"{site}{name}/")
        assert _differences(page, checked) == []


# What a page loads anew where it does not know its address.
@pytest.mark.parametrize(
    "arrive",
    [_open_by_alert, _open_by_search, _go_back, _fill_and_clear],
    ids=lambda arrive: arrive.__name__.strip("_"),
)
def test_every_block_is_what_was_checked_without_an_address(
    page: Page,
    site_without_address: str,
    listed: dict[str, dict[str, str]],
    arrive: Callable[[Page, str], None],
) -> None:
    arrive(page, site_without_address)
    assert _differences(page, listed[RUNBOOK]) == []


def _values() -> dict[str, str]:
    """Return what to fill in: what the page fills in itself, and names that no name should be."""
    snippets = read_page(ROOT / f"docs/{RUNBOOK}.md", load_site(ROOT)).snippets
    values = {name: str(value) for each in snippets for name, value in each.claims.fill.items()}
    taken = {name: "8" for each in snippets for name in each.claims.taken}
    asked = {one.name for each in snippets for one in find(each.sql)}
    hostile = dict.fromkeys(asked - values.keys() - taken.keys() | {"your_name", "reason"}, NASTY)
    return {**taken, **values, **hostile}


@pytest.mark.parametrize("published", [True, False], ids=["instant", "loaded"])
def test_every_block_that_is_filled_in_is_what_the_checks_would_run(
    page: Page,
    request: pytest.FixtureRequest,
    listed: dict[str, dict[str, str]],
    *,
    published: bool,
) -> None:
    _open(page, request.getfixturevalue("site" if published else "site_without_address"))
    values, fields = _values(), page.locator(".sql-form input")
    names = fields.evaluate_all("all => all.map(field => field.name)")
    assert {*names} == values.keys()
    for name in values:
        page.locator(f".sql-form input[name='{name}']").first.fill(values[name])
    filled = {anchor: fill(sql, values).sql for anchor, sql in listed[RUNBOOK].items()}
    assert sum(filled[anchor] != sql for anchor, sql in listed[RUNBOOK].items()) >= 10
    assert _differences(page, filled) == []


def test_all_else_works_without_an_address(page: Page, site_without_address: str) -> None:
    page.clock.set_system_time(RUN_AT + dt.timedelta(days=2))
    open_page(page, site_without_address)
    page.evaluate("window.isSameDocument = true")
    page.locator(f".home a[href*='{RUNBOOK}'][href$='#trigger-a-run']").first.click()
    page.wait_for_url("**#trigger-a-run")
    expect(page.locator("#trigger-a-run")).to_be_in_viewport()
    assert not page.evaluate("window.isSameDocument"), "nothing was loaded"

    block = page.locator("#block-trigger-a-run-trigger-run")
    for stamp in page.locator(".sql-block + .sql-stamp").all():
        expect(stamp).to_contain_text("2 days ago")
    assert page.locator(".sql-stamp--passed").count() == page.locator(".sql-block").count()
    page.locator("#sql-fill-trigger-a-run-your_name").fill(NASTY)
    expect(block.locator("pre > code")).to_contain_text(NASTY.replace("'", "''"))
    assert NASTY.replace("'", "''") in page.evaluate(_COPIED)["block-trigger-a-run-trigger-run"]

    search(page, WORDS)
    page.locator(".md-search-result__link").first.click()
    expect(page.locator("#repeated-failures")).to_be_in_viewport()


@pytest.mark.parametrize("zoom", [2, 4])
def test_every_block_is_what_was_checked_in_large_print(
    browser: Browser, site: str, listed: dict[str, dict[str, str]], zoom: int
) -> None:
    """A browser that zooms has a smaller page with more pixels to each of its own."""
    width, height = (side // zoom for side in DESKTOP)
    page = browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=zoom,
    )
    _open_by_alert(page, site)
    assert _differences(page, listed[RUNBOOK]) == []
    page.context.close()


def test_every_block_is_what_was_checked_on_paper(
    page: Page, site: str, listed: dict[str, dict[str, str]]
) -> None:
    _open(page, site)
    page.emulate_media(media="print")
    assert _differences(page, listed[RUNBOOK], copied=False) == []


def test_every_block_is_what_was_checked_without_javascript(
    browser: Browser, site: str, listed: dict[str, dict[str, str]]
) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{site}{RUNBOOK}/?h=39#stuck-lock")
    assert page.locator(".md-clipboard, [data-md-type=copy]").count() == 0
    assert _differences(page, listed[RUNBOOK], copied=False) == []
    page.close()


def test_every_block_is_what_was_checked_from_a_folder(
    page: Page, unpacked: Path, listed: dict[str, dict[str, str]]
) -> None:
    open_page(page, (unpacked / "index.html").as_uri())
    search(page, WORDS)
    page.locator(".md-search-result__link").first.click()
    page.wait_for_url(f"**/{RUNBOOK}.html*")
    expect(page.locator(".md-clipboard, [data-md-type=copy]").first).to_be_attached()
    assert _differences(page, listed[RUNBOOK]) == []


def test_no_search_leads_to_another_address_of_a_page(
    page: Page, site: str, listed: dict[str, dict[str, str]]
) -> None:
    """What an address says after its "?" is what could change a page, whatever was searched."""
    open_page(page, site)
    words = _hostile(listed[RUNBOOK])
    assert len(words) > 300
    found = {link.partition("#")[0] for hits in search(page, *words).values() for link in hits}
    assert {f"{site}{RUNBOOK}/"} <= {address.partition("?")[0] for address in found}
    asked = {address for address in found if urlsplit(address).query}
    for address in sorted(asked):
        name = urlsplit(address).path.strip("/")
        open_page(page, address)
        assert _differences(page, listed.get(name, {})) == [], address
