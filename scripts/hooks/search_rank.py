"""Put the runbook first in the search: whoever searches has an incident, or wants to change it.

A boost is front matter of a page.  The runbook has none: it is to begin with its title everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

RUNBOOK = "operations/cron-reminder-runbook.md"
BOOST = 4  # enough for a section that has the words over a page on the checks that has more of them


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set the boost before the search reads the page."""
    del config, files
    if page.file.src_uri == RUNBOOK:
        page.meta.setdefault("search", {})["boost"] = BOOST
    return markdown
