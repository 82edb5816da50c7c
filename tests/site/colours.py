"""The colours that a reader sees: light and dark, the site's own or those of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
_NAMES: dict[Scheme, str] = {"light": "default", "dark": "slate"}
SCHEMES = tuple(_NAMES)
_CHOOSE = """name => [...document.querySelectorAll(".md-option")]
    .find(option => option.dataset.mdColorScheme === name).click()"""
_IS_AT_REST = "document.getAnimations().every(each => each.playState !== 'running')"


def choose_scheme(page: Page, scheme: Scheme, *, forced: bool = False) -> None:
    """Show an open page in light or dark colours; ``forced`` takes those of the machine alone."""
    page.emulate_media(color_scheme=scheme, forced_colors="active" if forced else "none")
    # The theme asks for the machine's colours once; from then on the reader switches.
    page.evaluate(_CHOOSE, _NAMES[scheme])
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", _NAMES[scheme])
    page.wait_for_function(_IS_AT_REST)  # half way from one colour to another is no contrast
