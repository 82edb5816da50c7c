"""Somebody arrives: by an alert's link on a slow phone, at the home page, or without JavaScript."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from tests.site.opening import addresses, open_page
from tests.site.test_search import symptoms

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

    from sql_snippets.database.databases import Database

RUNBOOK = "operations/cron-reminder-runbook/"
PHONE = (390, 844)
LEAST_SIZE = 11  # CSS pixels of a letter that can still be read on a phone


@pytest.fixture
def phone(page: Page) -> Page:
    width, height = PHONE
    page.set_viewport_size({"width": width, "height": height})
    return page


@pytest.mark.parametrize(
    ("fragment", "anchor"), [("stuck-lock", "stuck-lock"), ("s%74uck-lock", "stuck-lock")]
)
def test_section_is_in_sight_before_any_script_has_come(
    phone: Page, site: str, fragment: str, anchor: str
) -> None:
    held: list[Route] = []
    phone.route("**/*.js", lambda route: held.append(route))  # noqa: PLW0108 - Playwright takes no built-in
    phone.goto(f"{site}{RUNBOOK}#{fragment}", wait_until="commit")
    section = phone.locator(f"[id='{anchor}']")
    expect(section).to_be_in_viewport()
    assert held
    assert phone.evaluate("document.readyState") == "loading"
    top = section.bounding_box()
    header = phone.locator(".md-header").bounding_box()
    assert top is not None
    assert header is not None
    assert header["height"] < top["y"] < PHONE[1] / 3
    for route in held:
        route.continue_()
    phone.unroute("**/*.js")
    phone.wait_for_load_state("networkidle")
    expect(section).to_be_in_viewport()


TOPS = """() => [...document.querySelectorAll(".md-content__inner > :not([hidden])")]
  .map(e => [e.tagName + e.textContent.trim().slice(0, 40), e.getBoundingClientRect()])
  .filter(([, box]) => box.height && box.top >= 0 && box.bottom < innerHeight)
  .map(([name, box]) => [name, Math.round(box.top)])"""


@pytest.mark.parametrize("anchor", ["stuck-lock", "service-timeout", "check-health"])
def test_nothing_moves_under_the_readers_eyes(phone: Page, site: str, anchor: str) -> None:
    held: list[Route] = []
    late = True

    def hold(route: Route) -> None:
        if late:
            held.append(route)
        else:
            route.continue_()

    phone.route("**/*.js", hold)
    phone.goto(f"{site}{RUNBOOK}#{anchor}", wait_until="commit")
    expect(phone.locator(f"[id='{anchor}']")).to_be_in_viewport()
    phone.wait_for_timeout(500)
    before = dict(phone.evaluate(TOPS))
    late = False
    for route in held:
        route.continue_()
    phone.wait_for_selector("div.mermaid", state="attached")
    expect(phone.locator("[data-practice]")).to_be_attached()
    phone.wait_for_timeout(500)
    after = dict(phone.evaluate(TOPS))
    both = before.keys() & after.keys()
    assert len(both) > 2
    assert {name: before[name] for name in both} == {
        name: pytest.approx(after[name], abs=3) for name in both
    }


# Where the section stands that the address names, and whether the page may be scrolled.
_ARRIVED = """anchor => {
    const box = document.getElementById(anchor)?.getBoundingClientRect()
    const header = document.querySelector(".md-header")?.getBoundingClientRect().bottom
    const held = document.body?.hasAttribute("data-md-scrolllock")
    return box && !held && box.top >= header && box.top < innerHeight / 3
}"""
_STAYS = """anchor => new Promise(stays => {
    const top = () => Math.round(document.getElementById(anchor).getBoundingClientRect().top)
    const before = top()
    setTimeout(() => stays([before, top()]), 1500)
})"""


# The theme lets a page go a moment after the search is closed: here, once the section is there.
_SLOW_TO_LET_GO = """(() => {
    const remove = Element.prototype.removeAttribute
    Element.prototype.removeAttribute = function (name) {
        const isFast = name === "data-md-scrolllock" && this.hasAttribute(name)
        if (!isFast) return remove.call(this, name)
        const down = -parseInt(this.style.top, 10)
        let looks = 0
        const wait = setInterval(() => {
            if (!document.getElementById("ANCHOR") || ++looks < 5) return
            clearInterval(wait)
            remove.call(this, name)
            if (down) scrollTo(0, down)
        }, 100)
    }
})()"""


# Among them the first section and the last.
@pytest.mark.parametrize(
    ("start", "words"),
    [
        (RUNBOOK, "stuck lock"),
        ("", "stuck lock"),
        ("", "find your symptom"),
        ("", "missed runs"),
        ("", "trigger a run"),
        ("", "change the schedule"),
        ("", "correct one assignment"),
    ],
)
@pytest.mark.parametrize("published", [True, False], ids=["instant", "loaded"])
def test_search_on_a_phone_ends_at_its_section(
    phone: Page, request: pytest.FixtureRequest, start: str, words: str, *, published: bool
) -> None:
    """The theme holds the page fast while the search is open, and then scrolls it back."""
    site = request.getfixturevalue("site" if published else "site_without_address")
    anchor = words.replace(" ", "-")
    phone.add_init_script(_SLOW_TO_LET_GO.replace("ANCHOR", anchor))
    open_page(phone, site + start)
    phone.mouse.move(200, 400)
    phone.mouse.wheel(0, 400)
    phone.wait_for_function("scrollY === 400")
    phone.locator(".md-header__button[for=__search]").click()
    phone.wait_for_function("document.body.hasAttribute('data-md-scrolllock')")
    phone.keyboard.type(words)
    first = phone.locator(".md-search-result__link").first
    expect(first).to_have_attribute("href", re.compile(f"#{anchor}$"))
    first.click()
    phone.wait_for_function(_ARRIVED, arg=anchor)
    before, after = phone.evaluate(_STAYS, anchor)
    assert after == pytest.approx(before, abs=3)


def test_room_is_kept_for_the_diagram(page: Page, site: str) -> None:
    page.route("**/*.js", lambda route: route.abort())
    page.goto(site + RUNBOOK)
    height = "e => e.getBoundingClientRect().height"
    kept = page.locator(".diagram").evaluate(height)
    page.unroute("**/*.js")
    page.reload()
    page.wait_for_selector("div.mermaid", state="attached")
    page.wait_for_timeout(500)
    assert page.locator(".diagram").evaluate(height) == pytest.approx(kept, abs=10)


def test_our_scripts_hold_nothing_up(page: Page, site: str) -> None:
    page.goto(site + RUNBOOK)
    eager = page.evaluate(
        """[...document.scripts].map(script => [script.src, script.defer || script.async])
            .filter(([src, later]) => src && !later).map(([src]) => src)"""
    )
    assert [name for name in eager if "/bundle." not in name] == []


@pytest.mark.parametrize("fragment", ["no-such-section", "%E0%A4%A", ""])
def test_wrong_fragment_does_no_harm(page: Page, site: str, fragment: str) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, f"{site}{RUNBOOK}#{fragment}")
    assert page.evaluate("scrollY") == 0
    assert errors == []


def test_home_has_every_symptom_and_the_way_out(page: Page, site: str) -> None:
    page.goto(site)
    tiles = page.locator(".home-symptoms a[href*='#']:not(.headerlink)")
    links = tiles.evaluate_all("all => all.map(a => new URL(a.href).hash.slice(1))")
    assert len(symptoms()) >= 12
    assert set(symptoms().values()) <= set(links)
    assert {"find-your-symptom", "escalate"} <= set(links)


TASKS = {
    "after-a-restore": "restore",
    "trigger-a-run": "Trigger",
    "disable-the-job": "Pause",
    "enable-the-job": "Enable",
    "change-the-destination": "webhook",
    "change-the-threshold": "threshold",
    "change-the-schedule": "schedule",
    "register-again": "Register",
    "restart-the-worker": "worker",
    "explain-one-assignment": "Explain one assignment",
    "send-a-test-alert": "test alert",
}


def test_home_has_what_there_is_to_do_in_the_words_of_who_has_to(page: Page, site: str) -> None:
    page.goto(site)
    for anchor, words in TASKS.items():
        task = page.locator(f".home-tasks a[href$='#{anchor}']")
        expect(task).to_contain_text(words)


def test_home_begins_with_the_ways_to_a_section(phone: Page, site: str) -> None:
    open_page(phone, site)
    links = phone.locator(".home-symptoms a[href*='#']:not(.headerlink)")
    for link, words in ((links.nth(0), "Not sure"), (links.nth(1), "failed")):
        expect(link).to_contain_text(words)
        box = link.bounding_box()
        assert box
        assert box["y"] + box["height"] < 600


def test_home_names_each_alert_where_it_leads(sql_database: Database) -> None:
    with sql_database.connect() as connection:
        query = "select kind, runbook_anchor from reminder.alert_kinds"
        sent = {str(kind): str(anchor) for kind, anchor in connection.execute(query)}
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"Alert `(\w+)`.*#([\w-]+)\)", text))
    assert named.items() <= sent.items()
    assert sent.keys() - named.keys() == {"recovered", "test"}  # nobody is woken by these


# Whether the heading of a section and the first block or link below it are in sight.
_ACTION = """anchor => {
    const heading = document.getElementById(anchor)
    const actions = document.querySelectorAll(".sql-block, .md-content a[href]:not(.headerlink)")
    const action = [...actions].find(
        e => heading.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)
    const line = 40 // of a block, what shows that it begins there
    const box = action.getBoundingClientRect()
    const header = document.querySelector(".md-header").getBoundingClientRect().bottom
    const top = Math.min(box.top, heading.getBoundingClientRect().top) - header
    const bottom = innerHeight - Math.min(box.bottom, box.top + line)
    return top >= 0 && bottom >= 0 ? null : `${anchor}: ${top} below the header, ${bottom} left`
}"""


def _out_of_sight(page: Page, address: str) -> list[str]:
    """Open a section; return what says that its first action is not in sight."""
    page.goto("about:blank")  # else only the fragment changes, and nothing is loaded
    open_page(page, address)
    page.wait_for_selector("div.mermaid", state="attached")
    found: str | None = page.evaluate(_ACTION, urlsplit(address).fragment)
    return [found] if found else []


def test_wherever_home_leads_the_first_action_is_in_sight(phone: Page, site: str) -> None:
    open_page(phone, site)
    links = phone.locator(".home a[href*='#']:not(.headerlink)")
    addresses = set(links.evaluate_all("all => all.map(a => a.href)"))
    assert len(addresses) >= 18
    found: list[str] = []
    loaded = ""
    for address in sorted(addresses):
        page, _, anchor = address.partition("#")
        if page == loaded:  # a page that is loaded for a section brings it to the same place
            phone.locator(f"[id='{anchor}']").evaluate("e => e.scrollIntoView()")
            found += filter(None, [phone.evaluate(_ACTION, anchor)])
        else:
            found += _out_of_sight(phone, address)
        loaded = page
    assert not found, "\n".join(found)


def test_wherever_an_alert_leads_the_first_action_is_in_sight(
    phone: Page, site: str, sql_database: Database
) -> None:
    """Its link is followed as it was sent, but for the name of the host."""
    query = (
        "select runbook_url || '#' || runbook_anchor from reminder.settings, reminder.alert_kinds"
    )
    with sql_database.connect() as connection:
        links = [str(link) for (link,) in connection.execute(query)]
    assert len(links) >= 7
    found = []
    for link in links:
        parts = urlsplit(link)
        address = f"{site}{parts.path[1:]}#{parts.fragment}"
        answer = phone.request.get(address)
        assert answer.status == 200, f"no page of the site is where {link} leads"
        found += _out_of_sight(phone, address)
    assert not found, "\n".join(found)


# What stands in a troubleshooting section up to the last answer of its first query.
# A stamp of a block that was not run is longer than the tick of one that passed.
_FIRST_SCREENS = """() => {
    for (const stamp of document.querySelectorAll("article .sql-stamp--unchecked")) stamp.remove()
    const found = {}
    for (const symptom of document.querySelectorAll("article > p")) {
        if (!symptom.textContent.startsWith("Symptom.")) continue
        let heading = symptom, last = symptom
        while (!heading.matches("h3")) heading = heading.previousElementSibling
        while (!last.matches(".sql-block")) last = last.nextElementSibling
        while (!last.matches("ul")) last = last.nextElementSibling
        heading.scrollIntoView()
        found[heading.id] = {
            how: heading.nextElementSibling.textContent,
            mark: symptom.parentElement.querySelector(`#${heading.id} ~ .sql-mark`).textContent,
            below: Math.round(last.getBoundingClientRect().bottom - innerHeight),
        }
    }
    return found
}"""


def test_first_screen_of_a_section_holds_symptom_query_and_answers(phone: Page, site: str) -> None:
    open_page(phone, site + RUNBOOK)
    phone.wait_for_selector("div.mermaid", state="attached")
    found = phone.evaluate(_FIRST_SCREENS)
    assert len(found) >= 9
    for section, screen in found.items():
        assert re.match(r"(?:High|Medium|Low), \w+", screen["how"]), section
        assert screen["mark"].startswith("READ"), section
    assert {name: screen["below"] for name, screen in found.items() if screen["below"] > 0} == {}


@pytest.mark.parametrize("width", [390, 1024, 1280])
def test_home_leads_to_every_other_page(page: Page, site: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, site)
    menu = page.locator(".md-header [for=__drawer]")
    if menu.is_visible():
        menu.click()
    # On a phone the headings of the page stand among them.
    links = page.locator(".md-nav--primary .md-nav__link[href]:not([href*='#'])")
    others = {each for each in addresses(page, site) if each != site and "/source/" not in each}
    for_maintainers = {f"{site}{name}/" for name in ("figures", "scale")}
    for address in others - for_maintainers:
        link = links.and_(page.locator(f"[href='{address}']"))
        expect(link).to_be_in_viewport(ratio=1)
    assert links.count() == len(others - for_maintainers) + 1
    # What is measured is for maintainers alone: their page leads there.
    links.filter(has_text="For maintainers").click()
    for address in for_maintainers & others:
        name = address.removeprefix(site).strip("/")
        expect(page.locator(f"article a[href*='{name}']").first).to_be_visible()


def test_flow_is_a_list_and_no_source_without_javascript(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        expect(page.locator("pre.mermaid")).to_be_hidden()
        expect(page.get_by_text("Cron fires.")).to_be_visible()
    finally:
        context.close()


def test_diagram_is_whole_on_a_phone_and_can_be_read(phone: Page, site: str) -> None:
    open_page(phone, site + RUNBOOK)
    phone.wait_for_selector("div.mermaid", state="attached")
    diagram = phone.locator(".diagram")
    sizes = diagram.evaluate(
        """e => [e.scrollWidth - e.clientWidth, e.querySelector("div.mermaid").clientWidth]"""
    )
    # As drawn it is 508 pixels wide with letters of 16.
    assert (sizes[0], sizes[1] / 508 * 16 >= LEAST_SIZE) == (0, True)
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_no_table_of_the_runbook_is_wider_than_a_phone(phone: Page, site: str) -> None:
    open_page(phone, site + RUNBOOK)
    phone.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert phone.locator("article table").count() >= 20
    cards = phone.locator("table[data-cards]")
    assert cards.count() >= 3
    wide = phone.evaluate(
        """() => [...document.querySelectorAll(".md-typeset__scrollwrap")]
            .filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent.slice(0, 80))"""
    )
    assert wide == []
    row = phone.locator("#status-values ~ * table[data-cards] tbody tr").first
    labels = row.locator("td").evaluate_all("all => all.map(e => e.dataset.label)")
    assert labels == ["Status", "Counts as failure", "What to do"]
    for cell in row.locator("td").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= PHONE[0]
    roles = cards.first.evaluate(
        "e => [e, e.tBodies[0], e.tBodies[0].rows[0]].map(part => part.getAttribute('role'))"
    )
    assert roles == ["table", "rowgroup", "row"]


def _scroll_down(phone: Page) -> None:
    before = phone.evaluate("scrollY")
    phone.mouse.move(200, 400)
    phone.mouse.wheel(0, 900)
    phone.wait_for_function("before => scrollY === before + 900", arg=before)


def test_whoever_comes_back_is_where_they_were(phone: Page, site: str) -> None:
    open_page(phone, f"{site}{RUNBOOK}#stuck-lock")
    phone.wait_for_selector("div.mermaid", state="attached")
    _scroll_down(phone)
    # The theme notes the place when the page has come to rest.
    phone.wait_for_function("history.state?.y === scrollY")
    address, before = phone.url, phone.evaluate("scrollY")
    phone.evaluate("document.querySelector('.md-nav--primary a[href*=verification]').click()")
    phone.wait_for_url("**/verification/**")
    expect(phone.locator("h1")).to_have_text(re.compile("Verification"))
    phone.go_back()
    phone.wait_for_selector("div.mermaid", state="attached")
    phone.wait_for_function("before => Math.abs(scrollY - before) < 3", arg=before)
    assert phone.url == address


def test_page_that_is_loaded_again_stays_where_it_was(page: Page, site: str) -> None:
    open_page(page, f"{site}{RUNBOOK}#stuck-lock")
    page.mouse.move(640, 400)
    page.mouse.wheel(0, 1500)
    page.wait_for_function("scrollY > 0 && history.state?.y === scrollY")
    before = page.evaluate("scrollY")
    assert before > page.evaluate(
        "document.getElementById('stuck-lock').getBoundingClientRect().top + scrollY"
    )
    page.reload()
    page.wait_for_load_state("networkidle")
    page.wait_for_function("top => Math.abs(scrollY - top) < 5", arg=before)


def test_header_says_which_section_is_read(phone: Page, site: str) -> None:
    open_page(phone, f"{site}{RUNBOOK}#stuck-lock")
    topic = phone.locator("[data-md-component=header-topic]").last
    expect(topic).to_have_text("Stuck lock")
    phone.locator("#service-timeout").evaluate("e => e.scrollIntoView()")
    expect(topic).to_have_text("Service timeout")
    phone.evaluate("scrollTo(0, 0)")
    expect(topic).to_have_text("Runbook")


def test_what_is_cut_says_so_until_its_end_is_in_sight(phone: Page, site: str) -> None:
    open_page(phone, f"{site}{RUNBOOK}#check-health")
    fold = phone.locator("#check-health ~ details").first
    fold.locator("summary").click()
    output = fold.locator(".sql-output")
    expect(output).to_have_class(re.compile("scrolls-on"))
    # Where to go is in sight without scrolling; what it found may be cut.
    ends = output.evaluate(
        """output => {
            const code = output.querySelector("code")
            const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT)
            for (let at; (at = walker.nextNode()); ) {
                const found = at.data.search(/reminders-after-contact/)
                if (found < 0) continue
                const range = document.createRange()
                range.setStart(at, found)
                range.setEnd(at, found + "reminders-after-contact".length)
                return [range.getBoundingClientRect().right, output.getBoundingClientRect().right]
            }
        }"""
    )
    assert ends[0] <= ends[1], ends
    output.locator("code").evaluate("e => e.scrollTo(9999, 0)")
    expect(output).not_to_have_class(re.compile("scrolls-on"))


def test_table_that_is_cut_fades_until_its_end_is_in_sight(phone: Page, site: str) -> None:
    open_page(phone, site + "figures/")
    # None is as wide as that: see test_tables.py.
    phone.add_style_tag(content="article table { min-width: 900px }")
    phone.set_viewport_size({"width": PHONE[0] + 1, "height": PHONE[1]})
    wrap = phone.locator(".md-typeset__scrollwrap.scrolls-on").first
    assert wrap.evaluate("e => getComputedStyle(e).maskImage").startswith("linear-gradient")
    table = wrap.element_handle()
    assert table
    table.evaluate("e => e.scrollTo(9999, 0)")
    phone.wait_for_function("e => !e.matches('.scrolls-on')", arg=table)


@pytest.mark.parametrize("address", ["figures/", "scale/"])
def test_number_and_its_unit_stand_on_one_line(phone: Page, site: str, address: str) -> None:
    open_page(phone, site + address)
    lines = phone.evaluate(
        """() => [...document.querySelectorAll(".md-typeset td")].flatMap(({firstChild: text}) => {
            const found = text?.data?.match(/\\d\\s(?:ms|s|kB|MB|times)\\b/)
            if (!found) return []
            const range = document.createRange()
            range.setStart(text, found.index)
            range.setEnd(text, found.index + found[0].length)
            return [new Set([...range.getClientRects()].map(line => line.top)).size]
        })"""
    )
    assert len(lines) >= 3
    assert set(lines) == {1}


def test_table_stays_a_table_on_a_desktop(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    expect(page.locator("table[data-cards] td").first).to_have_css("display", "table-cell")
    expect(page.locator("table[data-cards] thead").first).to_have_css("position", "static")


def test_button_back_to_the_top_covers_no_text(phone: Page, site: str) -> None:
    open_page(phone, f"{site}{RUNBOOK}#stuck-lock")
    _scroll_down(phone)
    phone.mouse.wheel(0, -300)
    button = phone.locator(".md-top")
    expect(button).to_be_visible()
    expect(button).to_have_css("opacity", "1")
    box = button.bounding_box()
    assert box is not None
    assert box["y"] > PHONE[1] * 0.85
    assert box["x"] > PHONE[0] * 0.8
    assert min(box["width"], box["height"]) >= 24
