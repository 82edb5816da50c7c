"""The site in a browser: what an operator does with it, and what it must never do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page
from tests.site.opening import addresses, open_page
from tests.site.pixels import contrasts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request

RUNBOOK = "operations/cron-reminder-runbook/"
RUNBOOK_FILE = ROOT / "docs" / "operations" / "cron-reminder-runbook.md"
PHONE = {"width": 390, "height": 844}
MINIMUM_TARGET = 24  # CSS pixels, WCAG 2.2 success criterion 2.5.8
THUMB = 44  # CSS pixels, success criterion 2.5.5
READABLE = 4.5  # contrast of text, success criterion 1.4.3
SEEN = 3  # contrast of a button, success criterion 1.4.11


@pytest.fixture
def outside(context: BrowserContext, site: str) -> list[str]:
    """Every request of the context to anywhere but the site; none of them gets out."""
    asked: list[str] = []
    host = urlsplit(site).netloc

    def leaves(url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != host

    def note(request: Request) -> None:
        if leaves(request.url):
            asked.append(request.url)

    context.on("request", note)
    context.route(leaves, lambda route: route.abort())
    return asked


def _search(page: Page, words: str) -> None:
    page.locator(".md-search__input").click()
    page.keyboard.type(words)  # the theme listens for keys, not for a changed value


def _diagram(page: Page) -> None:
    """Wait until the theme has put the drawing in the place of its source."""
    page.wait_for_selector("div.mermaid", state="attached")
    expect(page.locator("pre.mermaid")).to_have_count(0)
    assert page.locator("div.mermaid").first.bounding_box()["height"] > 200  # type: ignore[index]  # none fails too


def _scroll_through(page: Page) -> None:
    """Bring every part of a page into sight once: some are loaded only then."""
    page.evaluate(
        """async () => {
            for (let top = 0; top < document.body.scrollHeight; top += innerHeight) {
                scrollTo(0, top)
                await new Promise(requestAnimationFrame)
            }
        }"""
    )


def _size(part: Locator) -> tuple[float, float]:
    box = part.bounding_box()
    assert box is not None
    return box["width"], box["height"]


@pytest.fixture
def errors(page: Page) -> list[str]:
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    return found


def test_no_request_leaves_the_site(page: Page, site: str, outside: list[str]) -> None:
    open_page(page, site)
    for address in [*addresses(page, site), site + "no-such-page"]:
        open_page(page, address)
        _scroll_through(page)
        _search(page, "lock")
        expect(page.locator(".md-search-result__item").first).to_be_visible()
        page.wait_for_load_state("networkidle")
    open_page(page, site + RUNBOOK)
    _diagram(page)
    assert outside == []


def test_a_request_that_leaves_would_be_seen(page: Page, site: str, outside: list[str]) -> None:
    open_page(page, site)
    page.evaluate("fetch('http://example.invalid/x').catch(() => 0)")
    page.wait_for_timeout(100)
    assert outside == ["http://example.invalid/x"]


# The theme draws into a shadow root that it keeps shut.
_OPEN_SHADOW = """() => {
    const attach = Element.prototype.attachShadow
    Element.prototype.attachShadow = function (init) {
        return attach.call(this, {...init, mode: "open"})
    }
}"""


@pytest.fixture(params=["light", "dark"])
def drawn(request: pytest.FixtureRequest, browser: Browser, site: str) -> Iterator[Page]:
    """The runbook with its diagram drawn, and open to be looked into."""
    context = browser.new_context(
        color_scheme=request.param, viewport={"width": 1280, "height": 1600}
    )
    page = context.new_page()
    page.add_init_script(f"({_OPEN_SHADOW})()")
    open_page(page, site + RUNBOOK)
    _diagram(page)
    yield page
    context.close()


def test_diagram_says_what_it_shows_to_who_does_not_see_it(drawn: Page) -> None:
    source = RUNBOOK_FILE.read_text(encoding="utf-8")
    picture = drawn.locator("div.mermaid svg")
    for attribute, word in (("aria-labelledby", "accTitle"), ("aria-describedby", "accDescr")):
        said = re.search(rf"^\s*{word}: (.+)$", source, re.MULTILINE)
        assert said
        names = picture.get_attribute(attribute)
        expect(picture.locator(f"[id='{names}']")).to_have_text(said[1])


def test_words_of_the_diagram_can_be_read(drawn: Page) -> None:
    diagram = drawn.locator("div.mermaid")
    diagram.scroll_into_view_if_needed()
    labels = diagram.locator("svg :is(.nodeLabel, .edgeLabel) p")
    boxes = diagram.evaluate(
        """host => {
            const from = host.getBoundingClientRect()
            return [...host.shadowRoot.querySelectorAll(":is(.nodeLabel, .edgeLabel) p")].map(e => {
                const box = e.getBoundingClientRect()
                return [box.x - from.x, box.y - from.y, box.width, box.height]
            })
        }"""
    )
    words = [" ".join(label.split()) for label in labels.all_inner_texts()]
    assert "webhook" in words
    assert "all done" in words
    seen = contrasts(drawn, diagram.screenshot(animations="disabled"), boxes)
    assert {w: c for w, c in zip(words, seen, strict=True) if c < READABLE} == {}


def test_diagram_renders_after_instant_navigation(
    page: Page, site: str, outside: list[str], errors: list[str]
) -> None:
    open_page(page, site)
    page.evaluate("window.sameDocument = true")
    page.locator(f".home a[href*='{RUNBOOK}']").first.click()
    page.wait_for_url(re.compile(re.escape(RUNBOOK)))
    _diagram(page)
    assert page.evaluate("window.sameDocument") is True, "the page was loaded anew"
    assert outside == []
    assert errors == []


def test_diagram_library_is_loaded_only_where_there_is_a_diagram(page: Page, site: str) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    open_page(page, site)
    assert not [url for url in loaded if url.endswith("mermaid.min.js")]
    open_page(page, site + RUNBOOK)
    _diagram(page)
    assert len([url for url in loaded if url.endswith("mermaid.min.js")]) == 1


@pytest.mark.parametrize(
    "words", ["execution_logs", "cron_execution_logs", "last_contact", "last_contact_date"]
)
def test_search_finds_parts_of_names(page: Page, site: str, words: str) -> None:
    open_page(page, site)
    _search(page, words)
    first = page.locator(".md-search-result__link").first
    expect(first).to_be_visible()
    assert RUNBOOK in (first.get_attribute("href") or "")
    expect(page.locator(".md-search-result__meta")).not_to_contain_text("No matching")


def test_first_useful_action_is_in_sight_on_a_phone(browser: Browser, site: str) -> None:
    context = browser.new_context(
        viewport={"width": PHONE["width"], "height": PHONE["height"]},
        has_touch=True,
        is_mobile=True,
    )
    try:
        page = context.new_page()
        open_page(page, site)
        links = page.locator(".home-symptoms li > a")
        assert links.count() >= 7
        for index in range(links.count()):
            box = links.nth(index).bounding_box()
            assert box is not None
            assert box["height"] >= MINIMUM_TARGET
            assert box["y"] + box["height"] <= PHONE["height"], links.nth(index).inner_text()
        links.first.tap()
        page.wait_for_url(re.compile("#check-health$"))
        expect(page.locator("#check-health")).to_be_in_viewport()
        expect(page.locator("#check-health ~ .sql-block").first).to_be_in_viewport()
    finally:
        context.close()


def test_what_is_numbered_has_its_numbers(page: Page, site: str) -> None:
    """A list with numbers right behind one without them would go on as that one."""
    numbered = {}
    for file in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(
            r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        if steps := re.findall(r"^\d+\. ", text, re.MULTILINE):
            numbered[file.relative_to(ROOT / "docs").with_suffix("").as_posix()] = len(steps)
    assert "operations/cron-reminder-runbook" in numbered
    shown = {}
    for name in numbered:
        open_page(page, f"{site}{name}/")
        shown[name] = page.locator("article ol > li").count()
    assert shown == numbered


def test_every_link_of_the_home_page_leads_to_a_section(page: Page, site: str) -> None:
    open_page(page, site)
    anchors = page.locator(".home a[href*='#']:not(.headerlink)").evaluate_all(
        "links => links.map(link => new URL(link.href).hash.slice(1))"
    )
    wanted = [anchor for anchor in anchors if not anchor.startswith("__")]
    assert len(wanted) >= 12
    open_page(page, site + RUNBOOK)
    missing = [anchor for anchor in wanted if page.locator(f"[id='{anchor}']").count() != 1]
    assert missing == []


def test_page_not_found_leads_to_sections_that_exist(page: Page, site: str) -> None:
    open_page(page, site + "operations/old-name/")
    links = page.locator(".md-content a[href]").evaluate_all("links => links.map(l => l.href)")
    sections = [link for link in links if "#" in link]
    assert len(sections) >= 7
    for link in sections:
        answer = page.goto(link)
        assert answer is None or answer.ok
        assert page.locator(f"[id='{urlsplit(link).fragment}']").count() == 1, link


@pytest.fixture(params=["mouse", "thumb"])
def reader(request: pytest.FixtureRequest, browser: Browser, site: str) -> Iterator[Page]:
    """The runbook at a desk, or on a phone, where nothing is hovered over."""
    thumb = request.param == "thumb"
    context = browser.new_context(
        viewport={"width": PHONE["width"], "height": PHONE["height"]} if thumb else None,
        has_touch=thumb,
        is_mobile=thumb,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    open_page(page, site + RUNBOOK)
    yield page
    context.close()


# What a touch or a click at a place within the button's square meets.
_MEETS = """(button, [size, side]) => {
    const {x, y, width, height} = button.getBoundingClientRect()
    const off = side * (size / 2 - 1)
    const met = document.elementFromPoint(x + width / 2 + off, y + height / 2 + off)
    return button === met || button.contains(met)
}"""


def test_copy_button_gives_the_sql_and_nothing_else(reader: Page) -> None:
    known = read_page(RUNBOOK_FILE, load_site(ROOT)).snippets
    touches = reader.evaluate("matchMedia('(pointer: coarse)').matches")
    blocks = reader.locator(".sql-block")
    expect(blocks).to_have_count(len(known))
    for index, snippet in enumerate(known):
        button = blocks.nth(index).locator("button[data-md-type=copy], .md-clipboard").first
        button.evaluate("e => e.scrollIntoView({block: 'center'})")
        look = contrasts(reader, button.screenshot(), [(0, 0, *_size(button))])
        assert look[0] >= SEEN, f"{snippet.id}: its button is not seen"
        for side in (-1, 1):
            size = THUMB if touches else MINIMUM_TARGET
            assert button.evaluate(_MEETS, [size, side]), f"{snippet.id}: its button is too small"
        reader.evaluate("navigator.clipboard.writeText('')")
        if touches:
            button.tap()
        else:
            button.click()
        reader.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
        copied = reader.evaluate("navigator.clipboard.readText()")
        assert copied.rstrip("\n") == snippet.sql.rstrip("\n"), snippet.id


def test_outputs_have_no_copy_button(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    outputs = page.locator(".sql-output")
    assert outputs.count() > 0
    for button in outputs.locator("button").all():
        expect(button).to_be_hidden()


def test_every_block_has_a_mark_and_a_stamp(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    blocks = page.locator(".sql-block").count()
    assert blocks > 0
    assert page.locator(".sql-block + .sql-stamp").count() == blocks
    assert page.locator(".sql-mark").count() == blocks


def test_marks_differ_by_word_shape_and_colour(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    looks = {}
    for name in ("read", "write", "stop"):
        word = page.locator(f".sql-mark--{name} > strong:first-child").first
        looks[name] = word.evaluate(
            "e => { const b = getComputedStyle(e, '::before');"
            " return [e.textContent, getComputedStyle(e).color, b.clipPath] }"
        )
    for part in range(3):
        assert len({look[part] for look in looks.values()}) == 3


def test_marks_keep_their_shape_in_the_colours_of_the_reader(browser: Browser, site: str) -> None:
    context = browser.new_context(forced_colors="active")
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        for name in ("write", "stop"):
            word = page.locator(f".sql-mark--{name} > strong:first-child").first
            shape, text = word.evaluate(
                "e => [getComputedStyle(e, '::before').backgroundColor, getComputedStyle(e).color]"
            )
            assert shape == text
    finally:
        context.close()


def test_text_and_sql_are_there_without_javascript(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        known = read_page(RUNBOOK_FILE, load_site(ROOT)).snippets
        assert page.locator(".sql-block:visible").count() == len(known)
    finally:
        context.close()
