"""Who has no pointer reaches everything, and sees where they are, in all colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import expect

from tests.site.opening import open_page
from tests.site.pixels import contrasts, count_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, FloatRect, Page

RUNBOOK = "operations/cron-reminder-runbook/"
SIZE = {"width": 1280, "height": 800}
RING = 3  # the contrast that WCAG 2.2 asks of what shows the focus, success criterion 1.4.11
# Room for a ring around an element.
MARGIN = 8
LONGEST = 1000  # steps after which a walk is in a circle
ORDERED = ("light", "dark", "chosen-light", "chosen-dark")

# The switch of the scheme is a radio button out of sight, whose label stands for it.
_MARK = """() => {
    const known = "a[href], button, input, select, textarea, summary, [tabindex]"
    const shown = e => e.checkVisibility({visibilityProperty: true, opacityProperty: true})
        && e.getBoundingClientRect().width > 0 && !e.matches(".md-option")
    window.reachable = new Set([...document.querySelectorAll(known)].filter(shown))
    window.passed = new Set()
    window.describe = e =>
        `${e.cloneNode().outerHTML.slice(0, 200)} ${e.textContent.trim().slice(0, 40)}`
    window.kinds = new Set()
    return reachable.size
}"""
# Where the focus is, and whether something like it has been looked at already.
_STEP = """() => {
    const e = document.activeElement
    if (e === document.body || passed.has(e)) return null
    passed.add(e)
    const seen = e.matches(".md-option") ? e.nextElementSibling : e
    const place = e.closest("header, nav, li, td, p, form, footer, .sql-block, .md-content, body")
    const kind = [e, place, place.parentElement ?? place].flatMap(o => [o.tagName, o.className])
    const key = kind.join("|").replace(/focus-visible|--active|scrolls-on/g, "")
    const isNew = !kinds.has(key)
    kinds.add(key)
    const {x, y, width, height} = seen.getBoundingClientRect()
    return {isNew, name: describe(e), box: {x, y, width, height}}
}"""
_LEFT = "() => [...reachable].filter(e => !passed.has(e)).map(e => describe(e))"


@pytest.fixture
def open_in(browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """A function that opens a page in colours of ours, or in those that the reader has chosen."""
    contexts = []

    def open_it(address: str, colours: str) -> Page:
        scheme: Literal["dark", "light"] = "dark" if colours.endswith("dark") else "light"
        made = browser.new_context(
            viewport={"width": SIZE["width"], "height": SIZE["height"]},
            color_scheme=scheme,
            forced_colors="active" if colours.startswith("chosen") else "none",
            reduced_motion="reduce",
        )
        contexts.append(made)
        page = made.new_page()
        open_page(page, address)
        return page

    yield open_it
    for context in contexts:
        context.close()


def _around(box: dict[str, float]) -> FloatRect:
    left, top = max(box["x"] - MARGIN, 0), max(box["y"] - MARGIN, 0)
    right = min(box["x"] + box["width"] + MARGIN, SIZE["width"])
    bottom = min(box["y"] + box["height"] + MARGIN, SIZE["height"])
    return {"x": left, "y": top, "width": max(right - left, 1), "height": max(bottom - top, 1)}


def _is_seen(page: Page, box: dict[str, float]) -> bool:
    """Whether what has the focus looks different there, by at least half a ring of one pixel."""
    place = _around(box)
    with_it = page.screenshot(clip=place, animations="disabled")
    page.evaluate("window.left = document.activeElement; left.blur()")
    without = page.screenshot(clip=place, animations="disabled")
    page.evaluate("left.focus({preventScroll: true})")
    return count_changed(page, without, with_it, RING) > box["width"] + box["height"]


def _walk(page: Page) -> list[str]:
    """Go through a page by the Tab key; return what shows no focus and what was not reached."""
    assert page.evaluate(_MARK) > 10
    found = []
    for _ in range(LONGEST):
        page.keyboard.press("Tab")
        step: dict[str, Any] | None = page.evaluate(_STEP)
        if step is None:
            break
        if step["isNew"] and not _is_seen(page, step["box"]):
            found.append(f"shows no focus: {step['name']}")
    else:
        pytest.fail("the walk has no end")
    return found + [f"not reached: {name}" for name in page.evaluate(_LEFT)]


@pytest.mark.parametrize("colours", ORDERED)
@pytest.mark.parametrize("path", ["", RUNBOOK, "authors-guide/"], ids=["home", "runbook", "guide"])
def test_tab_reaches_everything_and_shows_where_it_is(
    open_in: Callable[[str, str], Page], site: str, path: str, colours: str
) -> None:
    found = _walk(open_in(site + path, colours))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_keyboard_changes_the_scheme(
    open_in: Callable[[str, str], Page], site: str, colours: str
) -> None:
    page = open_in(site, colours)
    switch = page.locator(".md-header [for^=__palette]:not([hidden])")
    expect(switch).to_be_visible()
    there, back = ("slate", "default") if colours == "light" else ("default", "slate")
    for wanted in (there, back):
        page.locator(".md-option:checked").press("Enter")
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", wanted)
        expect(page.locator(".md-option:checked")).to_be_focused()
        expect(switch).to_be_visible()


@pytest.mark.parametrize("colours", ORDERED)
def test_logo_is_seen(open_in: Callable[[str, str], Page], site: str, colours: str) -> None:
    page = open_in(site, colours)
    logo = page.locator(".md-header .md-logo img")
    box = logo.bounding_box()
    assert box is not None
    # Its circle is what touches the left edge, and it alone: the mark inside has another colour.
    edge = (0, 0, box["width"] / 4, box["height"])
    assert contrasts(page, logo.screenshot(animations="disabled"), [edge])[0] >= RING
