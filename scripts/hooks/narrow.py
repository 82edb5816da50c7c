"""Prepare what is wider than a phone: tables to become cards there, the diagram to be scrolled.

A card needs the names of the columns beside its values, which style sheets cannot know.  A table
that is laid out as cards is none to a browser, so it also says that it is one.  A column of short
words takes no room from those of sentences.  A number and its unit stay on one line.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

FEWEST = 3  # columns: two fit, but for a long name in the first, which stays in one piece
SHORT = 20  # letters
DENSE = 7  # columns: a desktop has room for so many only where they stand close
_TABLE = re.compile(r"<table>\n?<thead>.*?</table>", re.DOTALL)
_HEADER = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL)
_TEXT = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL)
_LONG_NAME = re.compile(rf"<tr>\s*<td[^>]*><code>[^<]{{{SHORT + 1},}}</code>")
_TAGS = re.compile(r"<[^>]+>")
_CELL = re.compile(r"<td(?P<attributes>[^>]*)>")
_MEASURE = re.compile(r"(?<=\d) (?=(?:ms|s|kB|MB|GB|times)\b)")
_DIAGRAM = re.compile(r'<pre class="mermaid">.*?</pre>', re.DOTALL)


def _plain(html: str) -> str:
    return unescape(_TAGS.sub("", html)).strip()


def _as_card(table: str) -> str:
    names = [_plain(name) for name in _HEADER.findall(table)]
    if len(names) < FEWEST and not _LONG_NAME.search(table):
        return table
    rows = [[_plain(cell) for cell in _TEXT.findall(row)] for row in _ROW.findall(table)]
    short = [max(map(len, column), default=0) <= SHORT for column in zip(*rows, strict=False)]

    def label(row: re.Match[str]) -> str:
        left = iter(zip(names, short, strict=False))

        def name(cell: re.Match[str]) -> str:
            column, is_short = next(left)
            kind = " data-short" if is_short else ""
            return f'<td role="cell" data-label="{escape(column)}"{kind}{cell["attributes"]}>'

        return f'<tr role="row">{_CELL.sub(name, row[1])}</tr>'

    table = _ROW.sub(label, table)
    table = re.sub(r"<(thead|tbody)>", r'<\1 role="rowgroup">', table)
    dense = " data-dense" if len(names) >= DENSE else ""
    return table.replace("<table>", f'<table role="table" data-cards{dense}>', 1)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the columns in each cell, and put the diagram into a box of its own."""
    del page, config, files
    html = _DIAGRAM.sub(lambda diagram: f'<div class="diagram">{diagram[0]}</div>', html)
    return _TABLE.sub(lambda table: _as_card(_MEASURE.sub("\N{NO-BREAK SPACE}", table[0])), html)
