"""Blocks of the runbook, for tests that hold page and system against each other."""

from __future__ import annotations

from tests.sql_snippets.page_blocks import blocks


def runbook_block(name: str) -> str:
    """Return the SQL of a block, as its copy button gives it."""
    return blocks()[name].sql
