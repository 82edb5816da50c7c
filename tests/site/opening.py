"""Going to a page of the site and waiting until its scripts have prepared it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
