"""Tables fit what they hold, on every page: nothing of them is cut, and no word is in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.site.opening import addresses, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.usefixtures("no_drawing")

_WRONG = """() => {
    for (const fold of document.querySelectorAll("details")) fold.open = true
    const wrong = []
    const {scrollWidth, clientWidth} = document.documentElement
    if (scrollWidth > clientWidth) wrong.push(`the page is ${scrollWidth} wide`)
    const inLines = (text, from, to) => {
        const range = document.createRange()
        range.setStart(text, from)
        range.setEnd(text, to)
        // A word that begins a line has an empty box at the end of the line before.
        const boxes = [...range.getClientRects()].filter(box => box.width)
        return new Set(boxes.map(box => Math.round(box.top)))
    }
    for (const table of document.querySelectorAll("article table")) {
        const name = table.textContent.trim().replace(/\\s+/g, " ").slice(0, 60)
        for (let box = table; box.tagName !== "ARTICLE"; box = box.parentElement)
            if (box.scrollWidth > box.clientWidth + 1
                && getComputedStyle(box).overflowX !== "visible")
                wrong.push(`${name}: ${box.scrollWidth} wide in ${box.clientWidth}`)
        for (const cell of table.querySelectorAll("th, td")) {
            // Of a card, the heading is for who hears it.
            if (getComputedStyle(cell.closest("thead") ?? cell).clipPath !== "none") continue
            if (cell.scrollWidth > cell.clientWidth + 1)
                wrong.push(`${name}: ${cell.textContent} is cut`)
            const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT)
            for (let text; (text = texts.nextNode()); )
                for (const {0: word, index} of text.data.matchAll(/\\S{3,}/g)) {
                    if (inLines(text, index, index + word.length).size < 2) continue
                    const letters = {}
                    for (let at = index; at < index + word.length; at++)
                        for (const line of inLines(text, at, at + 1))
                            letters[line] = (letters[line] ?? 0) + 1
                    if (Math.max(...Object.values(letters)) < 3)
                        wrong.push(`${name}: ${word} stands one letter a line, or two`)
                }
        }
    }
    return wrong
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_tables_fit_what_they_hold(page: Page, site: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, site)
    wrong = []
    tables = 0
    for address in addresses(page, site):
        open_page(page, address)
        wrong += [f"{address}: {what}" for what in page.evaluate(_WRONG)]
        tables += page.locator("article table").count()
    assert tables > 50
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("width", [390, 1280])
def test_tables_of_a_run_fit_what_they_hold(
    page: Page, site_without_address: str, width: int
) -> None:
    """The page of the verdicts is filled only where there was a run."""
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, site_without_address + "verification/")
    assert page.locator("article tbody tr").count() > 100
    assert page.evaluate(_WRONG) == []


@pytest.mark.parametrize(
    ("part", "style", "said"),
    [
        ("table", {"min-width": "2000px"}, " wide in "),
        ("td", {"display": "block", "width": "3em", "white-space": "nowrap"}, " is cut"),
        ("td code", {"display": "block", "width": "1ch", "word-break": "break-all"}, "one letter"),
        ("", {"width": "2000px"}, "the page is "),
    ],
)
def test_a_table_that_does_not_fit_is_found(
    page: Page, site: str, part: str, style: dict[str, str], said: str
) -> None:
    open_page(page, site + "operations/put-it-live/")
    rules = "".join(f"{name}: {value} !important;" for name, value in style.items())
    page.add_style_tag(content=f"article {part} {{ white-space: normal !important; {rules} }}")
    assert any(said in what for what in page.evaluate(_WRONG))
