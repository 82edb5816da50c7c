"""Blocks of the runbook, for tests that hold page and system against each other."""

from __future__ import annotations

from sql_snippets.reading.pages import read_page
from sql_snippets.reading.site import load_site
from tests.reminder_system.lanes import ROOT


def runbook_block(name: str) -> str:
    """Return the SQL of a block, as its copy button gives it."""
    page = read_page(ROOT / "docs/operations/cron-reminder-runbook.md", load_site(ROOT))
    (block,) = (block for block in page.snippets if block.name == name)
    return block.sql
