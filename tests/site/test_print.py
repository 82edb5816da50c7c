"""Every page of the site on paper: whole, and with all that the screen shows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest
from playwright.sync_api import expect

from scripts.tasks.local_site import build, serve_folder
from tests.site.opening import addresses, open_page
from tests.site.project_copy import RUN_AT, copy_project, write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

RUNBOOK = "operations/cron-reminder-runbook/"
PAPERS = {"A4": 210.0, "Letter": 215.9}  # millimetres wide
A_MILLIMETRE = 96 / 25.4  # in CSS pixels
# Only a browser can use them.
NOT_PRINTED = (
    ".headerlink, .md-clipboard, .md-code__nav, .sql-form, .sql-missing, .practice, .practice-run"
)
LONG_REASON = "docs/page.md:7:3: error: no\n   |\n 7 | select {}\n   |        ^".format("a, " * 90)
LONG_SEEN = [f"insert into reminder.a_table_with_a_rather_long_name_{n} (1 row)" for n in range(6)]

# On paper every fold is open.
PIECES = """() => {
    const found = []
    const folds = document.querySelectorAll("details:not([open])")
    for (const fold of folds) fold.open = true
    const walker = document.createTreeWalker(
        document.querySelector("article"), NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement
        if (element.checkVisibility() && !element.closest(`NOT_PRINTED`))
            found.push(...walker.currentNode.data.split("\\n"))
    }
    for (const fold of folds) fold.open = false
    return found
}""".replace("NOT_PRINTED", NOT_PRINTED)

# Words that cannot be read on their background, or on paper where they have none.
PALE = """() => {
    for (const each of document.getAnimations())
        if (each instanceof CSSTransition) each.finish()
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number)
    const linear = c => c <= 0.04045 * 255 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4
    const light = ([r, g, b]) =>
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05
    const below = element => {
        for (let e = element; e; e = e.parentElement) {
            const [r, g, b, opacity = 1] = numbers(getComputedStyle(e).backgroundColor)
            if (opacity > 0.5) return [r, g, b]
        }
        return [255, 255, 255]
    }
    const found = new Set()
    const walker = document.createTreeWalker(
        document.querySelector("article"), NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement
        if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue
        const [ink, paper] = [getComputedStyle(element).color, below(element)].map(
            (c, at) => light(at ? c : numbers(c)))
        if (Math.max(ink, paper) / Math.min(ink, paper) < 4.5)
            found.add(walker.currentNode.data.trim().slice(0, 60))
    }
    return [...found]
}"""

# For each block its mark, its SQL and its stamp; and what should come back.
UNITS = """() => [...document.querySelectorAll(".sql-stamp")].flatMap(stamp => {
    const block = stamp.previousElementSibling
    const mark = block.previousElementSibling
    const sign = stamp.matches(".sql-stamp--failed") ? "✗" : "✓"
    const said = [...stamp.children].map(e => e.textContent).join("·")
    const unit = [block.querySelector("code").textContent, sign + said]
    if (mark?.matches(".sql-mark")) unit.push(mark.textContent)
    const output = stamp.nextElementSibling
    if (!output?.matches(".sql-output")) return [unit]
    return [unit, ["What should come back", output.querySelector("code").textContent]]
})"""

# What the right edge of the paper cuts, or that of a box which would scroll on a screen.
CUT = """() => {
    const found = []
    const check = (element, rectangles, words) => {
        const edges = [innerWidth]
        for (let box = element; box; box = box.parentElement)
            if (getComputedStyle(box).overflowX !== "visible")
                edges.push(box.getBoundingClientRect().right)
        const edge = Math.min(...edges) + 1
        if ([...rectangles].some(r => r.width && (r.right > edge || r.left < -1)))
            found.push(words.trim().slice(0, 60))
    }
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const range = document.createRange()
        range.selectNodeContents(walker.currentNode)
        check(walker.currentNode.parentElement, range.getClientRects(), walker.currentNode.data)
    }
    for (const drawn of document.querySelectorAll("article :is(img, svg, .mermaid)")) {
        check(drawn, drawn.getClientRects(), `drawing ${drawn.getAttribute("alt") ?? ""}`)
        if (drawn.matches("img, .mermaid") && drawn.getBoundingClientRect().height < 20)
            found.push(`no drawing ${drawn.getAttribute("alt") ?? ""}`)
    }
    return found
}"""
MARGIN = """() => [...document.styleSheets].flatMap(sheet => [...sheet.cssRules])
    .filter(rule => rule instanceof CSSPageRule).at(-1).style.marginRight"""


@dataclass(frozen=True)
class Printed:
    """A page: what its screen shows, what must stay together, and by paper its sheets.

    ``cut`` is what an edge of the paper cuts off.
    """

    pieces: Counter[str]
    units: list[list[str]]
    sheets: dict[str, list[str]]
    cut: dict[str, list[str]]


def _squeeze(text: str) -> str:
    """Leave out breaks, and take ligatures apart."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _read_sheets(pdf: bytes) -> list[str]:
    with pypdfium2.PdfDocument(pdf) as sheets:
        texts = [sheet.get_textpage().get_text_range() for sheet in sheets]
    # The reader takes a hyphen at the end of a line for one that is not in the text.
    return [_squeeze(text.replace("\ufffe", "-")) for text in texts]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site with the report of a run: one block failed with long lines, others did a lot."""
    project = copy_project(tmp_path_factory.mktemp("print") / "project")
    items: list[dict[str, Any]] = write_report(project)["items"]
    blocks = [item for item in items if item["kind"] == "block"]
    for number, block in enumerate(blocks, 1):
        block["seconds"] = number / 1000  # so that each stamp is told from the others
        if number % 5 == 0:
            block["danger"] = {"level": "WRITE", "seen": LONG_SEEN}
    blocks[-1].update(verdict="failed", reason="no", drawn=LONG_REASON)
    write_report(project, items=items)
    folder = tmp_path_factory.mktemp("built")
    with serve_folder(folder) as served:
        build(folder, served, project=project)
        yield served


def _print(page: Page, address: str) -> Printed:
    open_page(page, address)
    if page.locator(".diagram").count():
        page.wait_for_selector("div.mermaid", state="attached")
        page.wait_for_function("document.querySelector('div.mermaid').clientHeight > 200")
    pieces = Counter(filter(None, map(_squeeze, page.evaluate(PIECES))))
    units = [[_squeeze(text) for text in unit] for unit in page.evaluate(UNITS)]
    sheets = {}
    for paper in PAPERS:
        sheets[paper] = _read_sheets(page.pdf(format=paper, print_background=True))
    margin = re.fullmatch(r"(\d+)mm", page.evaluate(MARGIN))
    assert margin
    page.emulate_media(media="print")
    cut = {}
    for paper, width in PAPERS.items():
        inside = int((width - 2 * int(margin[1])) * A_MILLIMETRE)
        page.set_viewport_size({"width": inside, "height": 1000})
        cut[paper] = page.evaluate(CUT)
    return Printed(pieces, units, sheets, cut)


@pytest.fixture(scope="module")
def printed(browser: Browser, address: str) -> dict[str, Printed]:
    """All pages of the site as Chromium prints them, from a dark screen."""
    found = {}
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    context.clock.set_fixed_time(RUN_AT)
    with context.new_page() as page:
        urls = addresses(page, address)
    for url in urls:
        with context.new_page() as page:
            found[url.removeprefix(address)] = _print(page, url)
    context.close()
    assert {"", RUNBOOK, "verification/"} < found.keys()
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_nothing_is_cut_by_the_edge_of_the_paper(printed: dict[str, Printed], paper: str) -> None:
    assert {name: page.cut[paper] for name, page in printed.items() if page.cut[paper]} == {}


@pytest.mark.parametrize("paper", PAPERS)
def test_what_the_screen_shows_is_on_paper(printed: dict[str, Printed], paper: str) -> None:
    for name, page in printed.items():
        sheets = page.sheets[paper]
        whole = "".join(sheets)  # a paragraph may go on at the top of the next
        missing = [piece for piece, n in page.pieces.items() if whole.count(piece) < n]
        assert missing == [], name
        assert page.pieces, name


@pytest.mark.parametrize("paper", PAPERS)
def test_diagram_is_on_paper(printed: dict[str, Printed], paper: str) -> None:
    # The words of its boxes stand in no other place of the page.
    assert any("pg_cronfires,06:00UTC" in sheet for sheet in printed[RUNBOOK].sheets[paper])


@pytest.mark.parametrize("paper", PAPERS)
def test_a_block_with_its_mark_and_stamp_is_on_one_sheet(
    printed: dict[str, Printed], paper: str
) -> None:
    for name, page in printed.items():
        split = [
            unit
            for unit in page.units
            if not any(all(text in sheet for text in unit) for sheet in page.sheets[paper])
        ]
        assert split == [], name
    assert printed[RUNBOOK].units


def test_paper_shows_neither_navigation_nor_buttons(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    page.emulate_media(media="print")
    for name in (".md-header", ".md-sidebar", ".md-footer", *NOT_PRINTED.split(", ")):
        shown = page.locator(name).evaluate_all(
            "all => all.filter(e => e.checkVisibility()).length"
        )
        assert shown == 0, name


def test_paper_is_light_from_a_dark_screen(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark", reduced_motion="reduce")
    page = context.new_page()
    for path in ("", RUNBOOK, "verification/"):
        open_page(page, address + path)
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
        assert page.evaluate(PALE) == []
        page.emulate_media(media="print")
        assert page.evaluate(PALE) == [], path
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground in {"rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"}
        page.emulate_media(media="screen")
    context.close()
