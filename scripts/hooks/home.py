"""Give the tiles of the home page the room of the list of its sections.

That is front matter of a page, and GitHub would show it as a table above the first tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set what the theme reads from front matter."""
    del config, files
    if page.is_homepage:
        page.meta.update({"title": "Start here", "hide": ["toc"]})
    return markdown
