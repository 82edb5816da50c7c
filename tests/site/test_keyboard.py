"""Who has no pointer reaches everything, and sees where they are, in all colours."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.site.colours import SCHEMES, choose_scheme
from tests.site.opening import open_page
from tests.site.pixels import contrasts, count_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, FloatRect, Page, ViewportSize

    from tests.site.colours import Scheme

RUNBOOK = "operations/cron-reminder-runbook/"
SIZE: ViewportSize = {"width": 1280, "height": 800}
RING = 3  # the contrast that WCAG 2.2 asks of what shows the focus, success criterion 1.4.11
# Room for a ring around an element.
MARGIN = 8
LONGEST = 1000  # steps after which a walk is in a circle
AT_A_TIME = 20  # steps, before the page is asked whether the walk has come round
PATHS = {"home": "", "runbook": RUNBOOK, "guide": "authors-guide/"}
# Of ours, or such as the reader has chosen for the whole machine.
COLOURS: dict[str, tuple[Scheme, bool]] = {
    "light": ("light", False),
    "dark": ("dark", False),
    "chosen-light": ("light", True),
    "chosen-dark": ("dark", True),
}
in_all_colours = pytest.mark.parametrize(("scheme", "forced"), COLOURS.values(), ids=COLOURS)

# The switch of the scheme is a radio button out of sight, whose label stands for it.
_REACHABLE = """() => {
    const known = "a[href], button, input, select, textarea, summary, [tabindex]"
    const shown = e => e.checkVisibility({visibilityProperty: true, opacityProperty: true})
        && e.getBoundingClientRect().width > 0 && !e.matches(".md-option")
    return [...document.querySelectorAll(known)].filter(shown)
}"""
# Notes where each Tab leads, and of what kind it is: another of a kind looks as the first does.
_FOLLOW = """reachable => {
    window.passed = new Set()
    window.kinds = new Map()
    window.isRound = false
    window.describe = e =>
        `${e.cloneNode().outerHTML.slice(0, 200)} ${e.textContent.trim().slice(0, 40)}`
    const places = "header, nav, li, td, p, form, footer, .sql-block, .md-content, body"
    document.addEventListener("focusin", ({target: e}) => {
        if (isRound ||= passed.has(e)) return
        passed.add(e)
        const place = e.closest(places)
        const kind = [e, place, place.parentElement ?? place].flatMap(o => [o.tagName, o.className])
        const key = kind.join("|").replace(/focus-visible|--active|scrolls-on/g, "")
        if (!kinds.has(key)) kinds.set(key, e)
    })
    window.reachable = new Set(reachable)
    return window.reachable.size
}"""
_IS_ROUND = "() => isRound || document.activeElement === document.body"
_LEFT = "() => [...reachable].filter(e => !passed.has(e)).map(describe)"
_KINDS = "() => kinds.size"
# What the walk went past may be gone in other colours, and something else be there.
_OTHERS = """here => [...new Set(here).symmetricDifference(window.reachable)].map(describe)"""
# The step that leads to the first of a kind, to be taken once more, from the element beside it.
_STEP_ASIDE = """nth => {
    const asChosen = e => e.matches(".md-option") ? document.querySelector(".md-option:checked") : e
    const all = [...passed]
    const at = all.indexOf([...kinds.values()][nth])
    window.goal = asChosen(all[at])
    asChosen(all[at ? at - 1 : 1]).focus({preventScroll: true})
    return at ? "Tab" : "Shift+Tab"
}"""
_ARRIVED = """() => {
    const e = document.activeElement
    const seen = e.matches(".md-option") ? e.nextElementSibling : e
    const {x, y, width, height} = seen.getBoundingClientRect()
    return {isGoal: e === goal, name: describe(goal), box: {x, y, width, height}}
}"""


@pytest.fixture
def open_in(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a page in colours of ours, or in those that the reader has chosen."""
    with ExitStack() as contexts:

        def open_it(address: str, scheme: Scheme, *, forced: bool = False) -> Page:
            context = browser.new_context(
                viewport=SIZE,
                color_scheme=scheme,
                forced_colors="active" if forced else "none",
                reduced_motion="reduce",
            )
            contexts.callback(context.close)
            page = context.new_page()
            open_page(page, address)
            return page

        yield open_it


@dataclass(frozen=True, slots=True)
class Walked:
    """A page through which the Tab key has gone once, and what it did not reach."""

    page: Page
    left: list[str]


@pytest.fixture(scope="module", params=PATHS.values(), ids=[*PATHS])
def walked(request: pytest.FixtureRequest, browser: Browser, site: str) -> Iterator[Walked]:
    """Where the focus can be does not depend on colours: one walk is enough for all of them."""
    context = browser.new_context(viewport=SIZE, reduced_motion="reduce")
    page = context.new_page()
    open_page(page, site + request.param)
    yield Walked(page, _follow(page))
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


def _follow(page: Page) -> list[str]:
    """Go through a page by the Tab key; return what was not reached."""
    assert page.evaluate(_FOLLOW, page.evaluate_handle(_REACHABLE)) > 10
    for _ in range(LONGEST // AT_A_TIME):
        for _ in range(AT_A_TIME):
            page.keyboard.press("Tab")
        if page.evaluate(_IS_ROUND):
            return [f"not reached: {name}" for name in page.evaluate(_LEFT)]
    pytest.fail("the walk has no end")


def _unseen(page: Page, scheme: Scheme, *, forced: bool) -> list[str]:
    """Return what is not shown in these colours of what was, and what shows no focus."""
    page.evaluate("document.activeElement.blur()")  # some are shown only with the focus
    choose_scheme(page, scheme, forced=forced)
    here = page.evaluate_handle(_REACHABLE)
    found = [f"not shown: {name}" for name in page.evaluate(_OTHERS, here)]
    for nth in range(page.evaluate(_KINDS)):
        page.keyboard.press(page.evaluate(_STEP_ASIDE, nth))
        step = page.evaluate(_ARRIVED)
        assert step["isGoal"], f"not reached again: {step['name']}"
        if not _is_seen(page, step["box"]):
            found.append(f"shows no focus: {step['name']}")
    return found


def test_tab_reaches_everything(walked: Walked) -> None:
    assert not walked.left, "\n".join(walked.left)


@in_all_colours
def test_focus_is_seen_wherever_tab_leads(walked: Walked, scheme: Scheme, *, forced: bool) -> None:
    found = _unseen(walked.page, scheme, forced=forced)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("colours", SCHEMES)
def test_keyboard_changes_the_scheme(
    open_in: Callable[..., Page], site: str, colours: Scheme
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


@in_all_colours
def test_logo_is_seen(
    open_in: Callable[..., Page], site: str, scheme: Scheme, *, forced: bool
) -> None:
    page = open_in(site, scheme, forced=forced)
    logo = page.locator(".md-header .md-logo img")
    box = logo.bounding_box()
    assert box is not None
    # Its circle is what touches the left edge, and it alone: the mark inside has another colour.
    edge = (0, 0, box["width"] / 4, box["height"])
    assert contrasts(page, logo.screenshot(animations="disabled"), [edge])[0] >= RING
