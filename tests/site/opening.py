"""Which pages the site has, and going to one until its scripts have prepared it."""

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
