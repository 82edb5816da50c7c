"""Prepare what is wider than a phone: tables to become cards there, the diagram to be scrolled.

A card needs the names of the columns beside its values, which style sheets cannot know.  A table
that is laid out as cards is none to a browser, so it also says that it is one.  In the others, of
figures, a number and its unit stay on one line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

# Those that are read on a phone.
PAGES = frozenset({"operations/cron-reminder-runbook.md", "verification.md", "drills.md"})
FEWEST = 3  # columns: two fit
_TABLE = re.compile(r"<table>\n?<thead>.*?</table>", re.DOTALL)
_HEADER = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
_CELL = re.compile(r"<td(?P<attributes>[^>]*)>")
_MEASURE = re.compile(r"(?<=\d) (?=(?:ms|s|kB|MB|GB|times)\b)")
_DIAGRAM = re.compile(r'<pre class="mermaid">.*?</pre>', re.DOTALL)


def _as_card(table: str) -> str:
    names = [re.sub(r"<[^>]+>", "", name).strip() for name in _HEADER.findall(table)]
    if len(names) < FEWEST:
        return table

    def label(row: re.Match[str]) -> str:
        left = iter(names)
        cells = _CELL.sub(
            lambda cell: f'<td role="cell" data-label="{next(left)}"{cell["attributes"]}>', row[1]
        )
        return f'<tr role="row">{cells}</tr>'

    table = _ROW.sub(label, table)
    table = re.sub(r"<(thead|tbody)>", r'<\1 role="rowgroup">', table)
    return table.replace("<table>", '<table role="table" data-cards>', 1)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the columns in each cell, and put the diagram into a box of its own."""
    del config, files
    html = _DIAGRAM.sub(lambda diagram: f'<div class="diagram">{diagram[0]}</div>', html)
    if page.file.src_uri in PAGES:
        return _TABLE.sub(lambda table: _as_card(table[0]), html)
    return _TABLE.sub(lambda table: _MEASURE.sub("\N{NO-BREAK SPACE}", table[0]), html)
