"""Let the search lead whoever has an incident to the section that ends it.

The runbook comes first, and each of its sections is found by all that an incident is called: the
rows of the table of symptoms, the tiles of the home page, the names and texts of the alerts, the
errors that the page quotes, and what PostgreSQL says with an SQLSTATE.  These words are searched
and not shown.

A boost is front matter of a page.  The runbook has none: it is to begin with its title everywhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mkdocs.plugins import event_priority

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

RUNBOOK = "operations/cron-reminder-runbook.md"
HOME = "index.md"
BOOST = 4  # enough for a section that has the words over a page on the checks that has more of them
FIELD = "symptoms"
SYMPTOMS = "find-your-symptom"
SEEN = "what-do-you-see"
ALERTS = "alerts-and-where-they-lead"
CAUSES = "repeated-failures"
# What the server says with the codes of the runbook's tables: an error is pasted as it is read.
MESSAGES = {
    "42501": "permission denied for table schema function",
    "42703": "column does not exist",
    "42P01": "relation does not exist",
    "42883": "function does not exist",
    "53100": "could not extend file: No space left on device",
    "53200": "out of memory",
    "53300": "sorry, too many clients already; remaining connection slots are reserved",
    "55P03": "canceling statement due to lock timeout; could not obtain lock",
    "57014": "canceling statement due to statement timeout; due to user request",
}
_ERROR = re.compile(r"(?:ERROR: |failed: )?[a-z]+ [a-z]+(?: [a-z]+)+|ERROR: [a-z ]+")
_ALERT = re.compile(
    r"'(?P<kind>[a-z_]+)',(?:(?!;).)*?\bformat\(\s*'(?P<text>(?:[^']|'')*)'", re.DOTALL
)


@dataclass
class _Row:
    """A row of a table, or a tile: the section it stands in, its first cell, and where it leads."""

    section: str
    said: str = ""
    cells: int = 0
    links: list[str] = field(default_factory=list)


class _Rows(HTMLParser):
    """Reads the rows of all tables of a page, the links of its lists, and the errors it quotes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[_Row] = []
        self.tiles: list[_Row] = []
        self._section = ""
        self.messages: list[tuple[str, str]] = []
        self._open: _Row | None = None
        self._code: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"h2", "h3"}:
            self._section = values.get("id") or ""
        elif tag == "code":
            self._code = ""
        elif tag == "tr":
            self._open = _Row(self._section)
            self.rows.append(self._open)
        elif tag == "td" and self._open:
            self._open.cells += 1
        elif tag == "a" and "#" in (values.get("href") or ""):
            anchor = urlsplit(values["href"] or "").fragment
            if self._open and self._open.cells > 1:
                self._open.links.append(anchor)
            elif self._open is None:
                self._open = _Row(self._section, cells=1, links=[anchor])
                self.tiles.append(self._open)

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" or (tag == "a" and self._open in self.tiles):
            self._open = None
        if tag == "table":
            self.rows = [row for row in self.rows if row.cells]

        if tag == "code" and self._code is not None:
            if _ERROR.fullmatch(self._code):
                self.messages.append((self._section, self._code))
            self._code = None

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code += data
        if self._open and self._open.cells == 1:
            self._open.said += data


def alert_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Return the kind and the text of each alert that the migrations raise."""
    for path in sorted(folder.glob("*.sql")):
        for found in _ALERT.finditer(path.read_text(encoding="utf-8")):
            yield found["kind"], re.sub(r"%\w?", " ", found["text"].replace("''", "'"))


def _errors(rows: Sequence[_Row], incidents: Container[str]) -> Iterator[tuple[str, str]]:
    """Return the section for each SQLSTATE of the table of causes, and what the server says."""
    for row in rows:
        if row.section == CAUSES:
            to = next((link for link in row.links if link in incidents), CAUSES)
            for code, message in MESSAGES.items():
                if code in row.said:
                    yield to, f"{code} {message}"


def words_of(runbook: str, home: str, migrations: Path) -> dict[str, list[str]]:
    """Return all that is said of each section, by its anchor."""
    page, tiles = _Rows(runbook), _Rows(home).tiles
    symptoms = [
        (row.links[0], row.said) for row in page.rows if row.section == SYMPTOMS and row.links
    ]
    kinds = {
        row.said.strip(): row.links[-1] for row in page.rows if row.section == ALERTS and row.links
    }
    said: defaultdict[str, list[str]] = defaultdict(list)
    for anchor, words in [
        *symptoms,
        *((tile.links[0], tile.said) for tile in tiles if tile.section == SEEN),
        *((anchor, kind) for kind, anchor in kinds.items()),
        *((kinds[kind], text) for kind, text in alert_texts(migrations) if kind in kinds),
        *_errors(page.rows, {anchor for anchor, _ in symptoms}),
        *page.messages,
    ]:
        said[anchor].append(words)
    return dict(said)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set the boost before the search reads the page."""
    del config, files
    if page.file.src_uri == RUNBOOK:
        page.meta.setdefault("search", {})["boost"] = BOOST
    return markdown


_said: dict[str, dict[str, list[str]]] = {}  # of the build under way, by the file of its settings


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Read the pages when all of them are rendered."""
    found = [files.get_file_from_path(name) for name in (RUNBOOK, HOME)]
    runbook, home = [(file.page.content or "") if file and file.page else "" for file in found]
    migrations = Path(config.config_file_path).parent / "supabase" / "migrations"
    _said[config.config_file_path] = words_of(runbook, home, migrations)
    return env


@event_priority(100)  # before the search writes its index
def on_post_build(config: MkDocsConfig) -> None:
    """Put the words into the index."""
    plugin = config.plugins.get("material/search") or config.plugins.get("search")
    said = _said.pop(config.config_file_path, {})
    if plugin is None:
        return
    for entry in plugin.search_index.entries:
        page, _, anchor = entry["location"].partition("#")
        if anchor and RUNBOOK.removesuffix(".md") in page:
            # With its title, or sections that have none of these words could never come first.
            entry[FIELD] = " ".join(" ".join([entry["title"], *said.get(anchor, ())]).split())
