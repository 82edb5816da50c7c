"""Which pages the site has, searching it, and going to one until its scripts have prepared it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The frame in which the page's own scripts prepare what they show: they asked for it before.
_PREPARED = """() => new Promise((prepared) =>
    document$.subscribe(() => requestAnimationFrame(() => requestAnimationFrame(prepared))))"""
# Milliseconds, for a machine that builds and checks at the same time.
_LONGEST = 120_000


_SEARCH = """async (queries) => {
    const field = document.querySelector(".md-search__input")
    const state = document.querySelector(".md-search-result__meta")
    const ask = async (words, said) => {
        field.value = words
        field.dispatchEvent(new InputEvent("input"))
        const end = performance.now() + 60_000
        while (!said.test(state.textContent)) {
            if (performance.now() > end) throw new Error(`No answer to: ${words}`)
            await new Promise(requestAnimationFrame)
        }
    }
    const hits = {}
    for (const words of queries) {
        await ask("", /Type to start/)
        await ask(words, /matching document/)
        const links = document.querySelectorAll(".md-search-result__link")
        hits[words] = [...links].map(({ href }) => href)
    }
    return hits
}"""


def open_page(page: Page, address: str) -> None:
    """Go to ``address``, whose scripts may run, and return when they have prepared the page."""
    # A quiet network alone says nothing: on a busy processor no script may have run yet.
    page.goto(address, wait_until="load", timeout=_LONGEST)
    page.wait_for_load_state("networkidle")
    page.evaluate(_PREPARED)


def addresses(page: Page, site: str) -> list[str]:
    """Return every page of the site, as its own map lists them."""
    tree = ET.fromstring(page.request.get(site + "sitemap.xml").text())  # noqa: S314 - our own
    found = [element.text or "" for element in tree.iter() if element.tag.endswith("}loc")]
    assert len(found) >= 3
    return found


def search(page: Page, *queries: str) -> dict[str, list[str]]:
    """Search for each on an open page, and return the addresses of its hits, best first."""
    # On a phone the field is out of sight until the search is open, which it is with the focus.
    page.locator(".md-search__input").focus()
    found: dict[str, list[str]] = page.evaluate(_SEARCH, list(queries))
    return found
