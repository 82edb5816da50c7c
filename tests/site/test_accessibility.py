"""WCAG 2.2 AA, as far as a machine can tell: axe on every page, in both schemes, at two widths."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from scripts.tasks.local_site import build, serve_folder
from scripts.tasks.prepare import AXE
from tests.site.colours import SCHEMES, choose_scheme
from tests.site.opening import addresses, open_page, search
from tests.site.pixels import contrasts
from tests.site.project_copy import RUN_AT, copy_project, write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Nothing but what is wrong is told of, and that without the ways to find it by a program.
_RUN = """([parts, tags, isOfColour]) => axe.run({include: parts}, {
    resultTypes: ["violations"], selectors: false,
    runOnly: isOfColour
        ? axe.getRules(["cat.color"]).filter(rule => rule.tags.some(tag => tags.includes(tag)))
            .map(rule => rule.ruleId)
        : {type: "tag", values: tags},
})"""


# Words of code of one kind look the same wherever they stand: one of a kind is enough.
_THIN_OUT = """() => {
    const seen = new Set()
    for (const word of document.querySelectorAll("pre > code span[class]")) {
        const places = []
        for (let e = word; e.tagName !== "ARTICLE" && e !== document.body; e = e.parentElement)
            places.push(`${e.tagName}.${e.className}`)
        const key = places.join(" ")
        if (seen.has(key)) word.replaceWith(...word.childNodes)
        seen.add(key)
    }
}"""


def violations(page: Page, *parts: str, of_colour: bool = False) -> list[str]:
    """Return what the engine has against a page, or parts of it, as it stands now.

    If it is to be ``of_colour``, by the rules on colours alone.
    """
    page.evaluate(AXE.read_text(encoding="utf-8"))
    result: dict[str, Any] = page.evaluate(_RUN, [[[part] for part in parts], TAGS, of_colour])
    assert result["passes"], "axe looked at nothing"
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def violations_in_both_schemes(page: Page, *parts: str) -> list[str]:
    """Return the same in light colours and in dark ones, of the page and of the machine.

    What the two do not share is colours, and the button in the header that switches them.
    """
    parts = parts or ("html",)
    page.evaluate(_THIN_OUT)
    choose_scheme(page, "light")
    found = [f"light: {violation}" for violation in violations(page, *parts)]
    choose_scheme(page, "dark")
    dark = {*violations(page, *parts, of_colour=True), *violations(page, ".md-header")}
    return found + [f"dark: {violation}" for violation in sorted(dark)]


@pytest.mark.parametrize("width", [390, 1280])
def test_no_violation_on_any_page(browser: Browser, site: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    try:
        page = context.new_page()
        open_page(page, site)
        found = []
        for address in [*addresses(page, site), site + "no-such-page"]:
            open_page(page, address)
            found += [f"{address}: {violation}" for violation in violations_in_both_schemes(page)]
        assert not found, "\n".join(found)
    finally:
        context.close()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site with a block of each verdict that there can be."""
    project = copy_project(tmp_path_factory.mktemp("judged") / "project")
    items = write_report(project)["items"]
    runbook = [item for item in items if str(item.get("page")).endswith("reminder-runbook.md")]
    failed, skipped, unchecked, *_ = runbook
    failed.update(verdict="failed", reason="no", drawn="docs/page.md:7:3: error: no\n 7 | select")
    skipped.update(verdict="skipped", reason="not here")
    items.remove(unchecked)
    write_report(project, items=items)
    folder = tmp_path_factory.mktemp("judged-site")
    with serve_folder(folder) as address:
        build(folder, address, project=project)
        yield address


# The engine reads all of a page to judge a part of it.  What was judged elsewhere may go: the
# text, and every stamp with its block of which three look the same.
_ONE_OF_A_KIND = """() => {
    const seen = {}
    for (const stamp of document.querySelectorAll(".sql-stamp")) {
        seen[stamp.className] = (seen[stamp.className] ?? 0) + 1
        if (seen[stamp.className] > 3) {
            const block = stamp.previousElementSibling, mark = block?.previousElementSibling
            for (const e of [stamp, block, mark]) if (e?.matches("[class*=sql-]")) e.remove()
        }
    }
    for (const e of document.querySelectorAll("article > *, .md-sidebar"))
        if (!e.matches("[class*=sql-]") && !e.querySelector(".sql-stamp")) e.remove()
}"""


@pytest.mark.parametrize("days", [0, 31], ids=["new", "old"])
def test_no_violation_whatever_the_verdicts(browser: Browser, judged: str, days: int) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    kinds = {"failed", "skipped", "unchecked", "stale" if days else "passed"}
    try:
        context.clock.set_fixed_time(RUN_AT + dt.timedelta(days=days))
        page = context.new_page()
        open_page(page, judged + "operations/cron-reminder-runbook/")
        for kind in kinds:
            expect(page.locator(f".sql-stamp--{kind} .sql-stamp__verdict").first).to_be_visible()
        # The rest of the page is the same whatever was found, and has been looked at above.
        page.evaluate(_ONE_OF_A_KIND)
        for kind in kinds:
            expect(page.locator(f".sql-stamp--{kind} .sql-stamp__verdict").first).to_be_visible()
        found = violations_in_both_schemes(page, ".sql-stamp", ".sql-mark", ".sql-summary")
        open_page(page, judged + "verification/")
        found += violations_in_both_schemes(page)
        assert not found, "\n".join(found)
    finally:
        context.close()


# The engine reads all of a page to judge a part of it: what is beside the part may go.
_EMPTY = """() => {
    const text = document.querySelector("article")
    text.style.height = `${text.offsetHeight}px`
    text.replaceChildren()
}"""


def test_no_violation_once_the_table_of_contents_has_scrolled_along(
    browser: Browser, site: str
) -> None:
    """A link that is half under the list's own heading still has to be large enough to hit."""
    context = browser.new_context(viewport={"width": 1280, "height": 844}, reduced_motion="reduce")
    try:
        page = context.new_page()
        open_page(page, site + "operations/cron-reminder-runbook/")
        page.evaluate(_EMPTY)
        contents = page.locator(".md-sidebar--secondary .md-sidebar__scrollwrap")
        found = set()
        for top in range(0, 200, 10):
            contents.evaluate("(list, top) => { list.scrollTop = top }", top)
            found.update(violations(page, ".md-sidebar--secondary"))
        assert contents.evaluate("list => list.scrollTop") > 0
        assert not found, "\n".join(sorted(found))
    finally:
        context.close()


@pytest.mark.parametrize(("colour", "scheme"), [("#ddd", "light"), ("#222", "dark")])
def test_a_violation_is_found(page: Page, site: str, colour: str, scheme: str) -> None:
    open_page(page, site)
    page.evaluate("colour => { document.querySelector('h1').style.color = colour }", colour)
    (violation,) = violations_in_both_schemes(page)
    assert violation.startswith(f"{scheme}: color-contrast")


_CONTROLS = """() => [...document.querySelectorAll(
        "a[href]:not(.headerlink, .md-skip), button, summary, [role=button], " +
        "label.md-icon:not(.md-nav__icon), input:not(.md-toggle, .md-option)")]
    .filter(e => !e.closest("[hidden]"))
    .filter(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}))
    .map(e => [e, e.getBoundingClientRect()])
    .filter(([e, b]) => b.width && b.left >= 0 && b.right <= innerWidth
        && b.top >= 0 && b.bottom <= innerHeight)
    // Not what has been scrolled below the header.
    .filter(([e, b]) => e.contains(
        document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2)))
    .map(([e, b]) => [e.className || e.tagName, [b.left, b.top, b.width, b.height]])"""


def _controls_seen(page: Page, *anchors: str) -> set[str]:
    """Return which controls are in sight at some places of an open page; all have to be seen."""
    names = set()
    for anchor in anchors:
        page.locator(f"#{anchor}").evaluate("e => e.scrollIntoView()")
        controls = page.evaluate(_CONTROLS)
        found = contrasts(page, page.screenshot(), [box for _, box in controls])
        names |= {name for name, _ in controls}
        unseen = [name for (name, _), there in zip(controls, found, strict=True) if there < 3]
        assert unseen == [], anchor
    return names


@pytest.fixture(params=[390, 1280])
def sized(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a phone, and one of a desktop."""
    width: int = request.param
    page = browser.new_page(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    yield page
    page.context.close()


@pytest.mark.parametrize("is_filled", [False, True], ids=["empty", "filled"])
def test_every_control_is_seen_in_the_colours_of_the_reader(
    sized: Page, judged: str, *, is_filled: bool
) -> None:
    open_page(sized, f"{judged}operations/cron-reminder-runbook/")
    for field in sized.locator(".sql-form input").all() if is_filled else []:
        field.fill("Robin O'Hara")
    for scheme in SCHEMES:
        choose_scheme(sized, scheme, forced=True)
        places = ("check-health", "stuck-lock", "trigger-a-run", "change-the-destination")
        assert {"md-code__button", "INPUT", "SUMMARY"} <= _controls_seen(sized, *places)


def test_every_control_of_home_is_seen_in_the_colours_of_the_reader(sized: Page, site: str) -> None:
    open_page(sized, site)
    for scheme in SCHEMES:
        choose_scheme(sized, scheme, forced=True)
        places = ("what-do-you-see", "what-do-you-have-to-do")
        assert "A" in _controls_seen(sized, *places)


def test_every_control_of_the_search_is_seen_in_the_colours_of_the_reader(
    sized: Page, site: str
) -> None:
    open_page(sized, site)
    for scheme in SCHEMES:
        choose_scheme(sized, scheme, forced=True)
        search(sized, "stuck lock")
        expect(sized.locator(".md-search-result__link").first).to_be_visible()
        names = " ".join(_controls_seen(sized, "what-do-you-see"))
        for name in ("md-search__input", "md-search-result__link", "md-search__icon"):
            assert name in names


@pytest.mark.parametrize(("path", "wanted"), [("verification/", "SUMMARY"), ("no-such-page", "A")])
def test_every_control_of_a_page_is_seen_in_the_colours_of_the_reader(
    sized: Page, judged: str, path: str, wanted: str
) -> None:
    open_page(sized, judged + path)
    for scheme in SCHEMES:
        choose_scheme(sized, scheme, forced=True)
        headings = sized.locator("article :is(h1, h2, h3)[id]").evaluate_all(
            "all => all.map(e => e.id)"
        )
        # A page without any is looked at from its top.
        assert wanted in _controls_seen(sized, *(headings or ["__drawer"]))


def test_every_control_of_the_menu_is_seen_in_the_colours_of_the_reader(
    browser: Browser, site: str
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    open_page(page, site)
    page.get_by_role("button", name="Menu").click()
    expect(page.locator(".md-sidebar--primary").get_by_text("Verification")).to_be_in_viewport()
    for scheme in SCHEMES:
        choose_scheme(page, scheme, forced=True)
        names = _controls_seen(page, "what-do-you-see")
        assert any("md-nav__link" in name for name in names)
    page.context.close()


def test_every_control_of_practice_is_seen_and_has_a_name(sized: Page, site: str) -> None:
    open_page(sized, site + "operations/cron-reminder-runbook/")
    section = "reminders-after-contact"
    panel = sized.locator(f".practice[data-section='{section}']")
    panel.get_by_role("button", name="Practise").click()
    expect(sized.locator(".practice__status")).to_contain_text("The incident is there")
    _has_names_of_its_own(sized)
    for scheme in SCHEMES:
        choose_scheme(sized, scheme, forced=True)
        names = _controls_seen(sized, section, f"block-{section}-confirm-stale-contact")
        assert any("md-button" in name for name in names), names


_NAMES = """() => {
    const nameOf = e => (e.getAttribute("aria-label")
        ?? document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
        ?? (e.textContent.trim() || e.title)).trim()
    const shown = kinds => [...document.querySelectorAll(kinds)].filter(
        e => e.checkVisibility({visibilityProperty: true})).map(nameOf)
    return {
        buttons: shown("button, [role=button], summary"),
        landmarks: shown("nav, main ~ nav, aside, [role=search], section[aria-label]"),
        dialog: document.querySelectorAll("[role=dialog]").length,
        named: document.querySelectorAll("[role=dialog][aria-label]").length,
        empty: [...document.querySelectorAll("[aria-label]")]
            .filter(e => !e.getAttribute("aria-label").trim()).map(e => e.outerHTML.slice(0, 80)),
    }
}"""


def _has_names_of_its_own(page: Page) -> None:
    names = page.evaluate(_NAMES)
    for kind in ("buttons", "landmarks"):
        twice = [name for name, times in Counter(names[kind]).items() if times > 1 or not name]
        assert twice == [], kind
        assert names[kind], kind
    assert names["dialog"] == names["named"] == 1
    assert names["empty"] == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "operations/cron-reminder-runbook/",
        "operations/put-it-live/",
        "verification/",
        "authors-guide/",
    ],
)
def test_every_button_and_landmark_has_a_name_of_its_own(
    page: Page, judged: str, path: str
) -> None:
    open_page(page, judged + path)
    _has_names_of_its_own(page)
    # What is copied is named by what its mark says and by its section.
    if "runbook" in path:
        health = page.locator("#block-check-health-health .md-code__button")
        expect(health).to_have_accessible_name(re.compile("^Copy: Check health: One row a check"))


_FOCUSED = """() => {
    const e = document.activeElement, box = e.getBoundingClientRect()
    const name = e.getAttribute("aria-label") || e.textContent.trim().slice(0, 40)
    const shown = e.checkVisibility({visibilityProperty: true, opacityProperty: true})
    // The switch of the scheme is a radio button, whose label shows the focus for it.
    return [name, e.matches(".md-option") || shown && box.right > 0 && box.left < innerWidth]
}"""


# The theme opens the search at its focus.
_IS_OPEN = """() => !document.activeElement.matches(".md-search__input")
    || document.getElementById("__search").checked"""


@pytest.mark.parametrize("width", [390, 1024, 1280])
def test_keyboard_walks_through_what_is_in_sight_alone(
    browser: Browser, site: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    try:
        page = context.new_page()
        open_page(page, site + "operations/cron-reminder-runbook/")
        walked = []
        for _ in range(20):
            page.keyboard.press("Tab")
            page.wait_for_function(_IS_OPEN)
            walked.append(page.evaluate(_FOCUSED))
        assert [name for name, shown in walked if not shown] == []
        names = [name for name, _ in walked]
        assert any("Find your symptom" in name for name in names)
        assert ("Menu" in names) is (width < 1220)
    finally:
        context.close()


def test_menu_is_opened_and_left_by_the_keyboard(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    try:
        page = context.new_page()
        open_page(page, site + "operations/cron-reminder-runbook/")
        menu = page.get_by_role("button", name="Menu")
        menu.focus()
        page.keyboard.press("Enter")
        expect(menu).to_have_attribute("aria-expanded", "true")
        expect(page.locator(".md-sidebar--primary").get_by_text("Verification")).to_be_visible()
        page.keyboard.press("Escape")
        expect(menu).to_have_attribute("aria-expanded", "false")
        expect(menu).to_be_focused()
        page.keyboard.press("Space")
        page.locator(".md-sidebar--primary [for=__toc]").first.press("Enter")
        page.locator(".md-sidebar--primary").get_by_role(
            "link", name="Stuck lock", exact=True
        ).press("Enter")
        expect(page.locator("#stuck-lock")).to_be_in_viewport()
    finally:
        context.close()


def test_code_that_scrolls_is_reached_by_the_keyboard(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    try:
        page = context.new_page()
        open_page(page, site + "operations/cron-reminder-runbook/")
        unreachable = page.evaluate(
            """() => [...document.querySelectorAll("pre > code, .md-typeset__scrollwrap")]
                .filter(e => e.scrollWidth > e.clientWidth && e.tabIndex !== 0)
                .map(e => e.textContent.slice(0, 80))"""
        )
        assert unreachable == []
    finally:
        context.close()
