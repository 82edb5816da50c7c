"""Let the search lead whoever has an incident to the section that ends it.

The runbook comes first, and each of its sections is found by all that is said of it: by the rows of
the table of symptoms, the tiles of the home page, the symptom and the causes of the section itself,
the errors that the page quotes, what PostgreSQL says with an SQLSTATE, the names and texts of the
alerts, the errors of the functions that a reader calls, and what people call it in their own words.
All these words are searched and not shown.  What only maintainers need, or whoever puts the system
live, is not searched.

A boost is front matter of a page.  The runbook has none: it is to begin with its title everywhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mkdocs.plugins import event_priority
from mkdocs.structure.files import InclusionLevel

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

RUNBOOK = "operations/cron-reminder-runbook.md"
HOME = "index.md"
# The first leads to the pages that are not in the navigation; the other is for before the first
# night.
NOT_FOR_OPERATORS = {"maintainers.md", "operations/put-it-live.md"}
BOOST = 4  # enough for a section that has the words over a page on the checks that has more of them
FIELD = "symptoms"
SYMPTOMS = "find-your-symptom"
SEEN = "what-do-you-see"
ALERTS = "alerts-and-where-they-lead"
CAUSES = "repeated-failures"
CAUSE = "Resolve"  # the column of a table whose first one says what is seen
SYMPTOM = "Symptom."
# What the server says with the codes of the runbook's tables: an error is pasted as it is read.
MESSAGES = {
    "42501": "permission denied for table; permission denied for schema or function",
    "42703": "column does not exist",
    "42P01": "relation does not exist",
    "42883": "function does not exist",
    "53100": "could not extend file: No space left on device",
    "53200": "out of memory",
    "53300": "sorry, too many clients already; remaining connection slots are reserved",
    "55P03": "canceling statement due to lock timeout; could not obtain lock",
    "57014": "canceling statement due to statement timeout; due to user request",
}
# What people ask for in words that the page has no reason to say, by a word that it has.  They lead
# to the sections with that word in their title or, where no title has it, to those that say it.
OWN_WORDS = {
    "escalate": "who to call; whom to phone; who is on call; get help",
    "missed": "reminders late; late reminders; reminders come late; cron not working; "
    "cron is down; pg_cron stopped",
    "duplicate": "duplicate key value violates unique constraint; could not create unique index; "
    "sent double",
    "disable": "stop the job; pause the job; suspend; halt; switch off; turn off",
    "enable": "resume the job; unpause; switch on; turn on",
    "destination": "change webhook; slack; teams; discord; new channel",
    "daylight": "summer time; dst; clock change",
    "restore": "backup; point in time recovery; pitr",
    "differs": "rollback; roll back; undo a migration",
}
_ERROR = re.compile(r"(?:ERROR: |failed: )?[A-Za-z']+(?: [A-Za-z']+){2,}|ERROR: [a-z ]+")
_TEXT = r"'(?P<text>(?:[^']|'')*)'"
_ALERT = re.compile(rf"'(?P<kind>[a-z_]+)',(?:(?!;).)*?\bformat\(\s*{_TEXT}", re.DOTALL)
_RAISED = re.compile(rf"raise exception using\s+errcode = \S+\s+message = (?:[\w.]+\()?{_TEXT}")
_FUNCTION = re.compile(
    r"^create (?:function|procedure) \w+\.(?P<name>\w+)\(.*?\bas \$\$(?P<body>.*?)\$\$",
    re.DOTALL | re.MULTILINE,
)
_TRIGGER = re.compile(
    r"\bon (?P<table>\S+)\s+for each \w+\s+execute function \w+\.(?P<function>\w+)"
)


@dataclass
class _Row:
    """A row of a table, or a tile: the section it stands in, its first cell, and where it leads."""

    section: str
    said: str = ""
    cells: int = 0
    links: list[str] = field(default_factory=list)
    names_cause: bool = False


class _Said(HTMLParser):
    """Reads what a page says: rows of tables, links of lists, symptoms, errors, and blocks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[_Row] = []
        self.tiles: list[_Row] = []
        self.symptoms: list[tuple[str, str]] = []
        self.errors: list[tuple[str, str]] = []
        self.blocks: list[tuple[str, str]] = []
        self._section = ""
        self._open: _Row | None = None
        self._names_cause = False
        self._text: dict[str, str] = {}  # of the elements that are open
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"h2", "h3"}:
            self._section = values.get("id") or ""
        elif tag in {"p", "code", "pre", "th"}:
            self._text[tag] = ""
        elif tag == "table":
            self._names_cause = False
        elif tag == "tr":
            self._open = _Row(self._section, names_cause=self._names_cause)
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
        text = self._text.pop(tag, "")
        if tag == "th" and text == CAUSE:
            self._names_cause = True
        elif tag == "pre":
            self.blocks.append((self._section, text))
        elif tag == "code" and _ERROR.fullmatch(text):
            self.errors.append((self._section, text))
        elif tag == "p" and text.startswith(SYMPTOM):
            self.symptoms.append((self._section, text.removeprefix(SYMPTOM)))

    def handle_data(self, data: str) -> None:
        for tag in self._text:
            self._text[tag] += data
        if self._open and self._open.cells == 1:
            self._open.said += data


def migrations_say(
    folder: Path, page: _Said, alerts: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Return the texts of the alerts with the sections they lead to, and the errors of functions.

    An error leads to the first section whose block calls the function, or uses the table of its
    trigger.  What is stored with an alert or a run needs no reading: the sections' tables say it.
    """
    sql = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql")))
    for alert in _ALERT.finditer(sql):
        if alert["kind"] in alerts:
            yield alerts[alert["kind"]], f"{alert['kind']} {alert['text']}"
    tables = {trigger["function"]: trigger["table"] for trigger in _TRIGGER.finditer(sql)}
    for function in _FUNCTION.finditer(sql):
        name = function["name"]
        used = tables.get(name, rf"^(?:call|select|select \* from) \w+\.{name}\(")
        called = [at for at, block in page.blocks if re.search(used, block, re.MULTILINE)]
        for error in _RAISED.finditer(function["body"] if called else ""):
            yield called[0], error["text"]


def _causes(rows: Sequence[_Row], incidents: Container[str]) -> Iterator[tuple[str, str]]:
    """Return what a section's table of causes says is seen there, and the server with a code.

    The table of error codes leads on to the sections of other incidents.
    """
    for row in rows:
        if row.names_cause:
            on = (link for link in row.links if link in incidents and row.section == CAUSES)
            to = next(on, row.section)
            yield to, row.said
            yield from ((to, message) for code, message in MESSAGES.items() if code in row.said)


def words_of(runbook: str, home: str, migrations: Path) -> dict[str, list[str]]:
    """Return all that is said of each section, by its anchor."""
    page, tiles = _Said(runbook), _Said(home).tiles
    symptoms = [
        (row.links[0], row.said) for row in page.rows if row.section == SYMPTOMS and row.links
    ]
    alerts = {
        row.said.strip(): row.links[-1] for row in page.rows if row.section == ALERTS and row.links
    }
    said: defaultdict[str, list[str]] = defaultdict(list)
    for anchor, words in [
        *symptoms,
        *page.symptoms,
        *((tile.links[0], tile.said) for tile in tiles if tile.section == SEEN),
        *_causes(page.rows, {anchor for anchor, _ in symptoms}),
        *page.errors,
        *migrations_say(migrations, page, alerts),
    ]:
        said[anchor].append(re.sub(r"%\w?", " ", words.replace("''", "'")))
    return dict(said)


def own_words(sections: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    """Return what people call each section, by its anchor; it is given its title and its text."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for word, words in OWN_WORDS.items():
        has = re.compile(rf"\b{word}", re.IGNORECASE)
        titled = [anchor for anchor, (title, _) in sections.items() if has.search(title)]
        said = [anchor for anchor, (_, text) in sections.items() if has.search(text)]
        for anchor in titled or said:
            found[anchor].append(words)
    return dict(found)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set the boost before the search reads the page, and leave out what is not for operators."""
    del config, files
    search = page.meta.setdefault("search", {})
    if page.file.src_uri == RUNBOOK:
        search["boost"] = BOOST
    elif page.file.src_uri in NOT_FOR_OPERATORS or page.file.inclusion is InclusionLevel.NOT_IN_NAV:
        search["exclude"] = True
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
    sections = {}
    for entry in plugin.search_index.entries:
        page, _, anchor = entry["location"].partition("#")
        if anchor and RUNBOOK.removesuffix(".md") in page:
            sections[anchor] = entry
    own = own_words({at: (entry["title"], entry["text"]) for at, entry in sections.items()})
    for anchor, entry in sections.items():
        # With its title, or sections that have none of these words could never come first.
        # Escaped: what is searched is HTML.
        words = escape(" ".join([*said.get(anchor, ()), *own.get(anchor, ())]), quote=False)
        entry[FIELD] = " ".join(f"{entry['title']} {words}".split())
