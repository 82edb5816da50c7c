"""The blocks of the runbook by name, for tests that run them themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page

if TYPE_CHECKING:
    from sql_snippets.model import Snippet

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/operations/cron-reminder-runbook.md"


@cache
def blocks() -> dict[str, Snippet]:
    """Return the blocks of the page; their SQL is what the copy button gives."""
    return {snippet.name: snippet for snippet in read_page(PAGE, load_site(ROOT)).snippets}
