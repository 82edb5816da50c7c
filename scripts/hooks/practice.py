"""Let a reader practise a troubleshooting section on a database in the browser.

The database there is built from the files that build the one of the checks: platform, migrations
and seed.  An incident is the SQL that its scenario runs.  All of it goes into one file, which is
asked for when somebody presses "Practise"; the blocks are read from the page itself.  Where PGlite
is not among the site's files there is no such file and no button.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

from sql_snippets.database.recipes import read_sql
from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Step
from sql_snippets.project import present_recipe, present_settings
from sql_snippets.reading.known_pages import read_known_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

    from sql_snippets.model import Drill
    from tests.sql_snippets.incidents import Impossible, Incident

VENDOR = "assets/javascripts/vendor/pglite"
LOADED = ("pglite.wasm", "pglite.data", "empty.bin")  # with the database, nearly all there is
STAMP = "stamp"
INCIDENTS = Path("tests/sql_snippets/incidents.py")

_log = get_plugin_logger("practice")


def _read_incidents(path: Path) -> dict[str, Incident | Impossible]:
    """Return what can be practised by the name of its scenario; nothing without the file."""
    return runpy.run_path(str(path))["PRACTICE"] if path.is_file() else {}


def _describe(drill: Drill, known: Mapping[str, Incident | Impossible]) -> dict[str, object]:
    """Return what the page has to know about one section before anything is loaded."""
    incident = known.get(drill.scenario)
    if incident is None:
        _log.warning("%s: %s has no line for %s.", drill.section, INCIDENTS, drill.scenario)
        return {"cannot": "Nobody has written how yet."}
    # A class of the file that was run: the one that could be imported here would be another.
    if hasattr(incident, "why"):
        return {"cannot": incident.why}
    verify = [step for step in drill.steps if step.claims.step is Step.VERIFY]
    return {
        "incident": drill.scenario,
        "verify": [step.id for step in verify],
        "note": incident.note,
        "values": dict(incident.values),
    }


class _Practice:
    """What one build needs: nothing in it outlives the build."""

    def __init__(self, config: MkDocsConfig, engine: str) -> None:
        self.engine = engine
        self.root = Path(config.config_file_path).parent
        self.site = load_site(self.root)
        self.cache_dir = present_settings(self.root).cache_dir
        self.incidents = _read_incidents(self.root / INCIDENTS)
        self.asset = ""
        self.bytes = 0

    def database(self) -> str:
        """Return everything that the browser's database is made from."""
        recipe = present_recipe(self.root)
        return json.dumps(
            {
                "engine": self.engine,
                "role": recipe.role,
                "editor": recipe.profile.editor.application_name,
                "platform": [read_sql(path) for path in recipe.platform],
                "migrations": [read_sql(path) for path in recipe.migrations],
                "seed": read_sql(recipe.seed) if recipe.seed else "",
                "incidents": {
                    name: asdict(incident)
                    for name, incident in self.incidents.items()
                    if hasattr(incident, "produce")
                },
            }
        )

    def sections(self, source: Path) -> dict[str, dict[str, object]]:
        """Return the sections of a page that have a drill, by their anchors."""
        if "sql: drill=" not in source.read_text(encoding="utf-8"):
            return {}
        drills = read_known_page(source, self.site, self.cache_dir).drills
        return {drill.section: _describe(drill, self.incidents) for drill in drills}


def _with_place(html: str, anchor: str) -> str:
    """Put a place for the button, or for the reason why none, at the end of a section.

    Whoever is in a real incident reads the section from its top and need not pass it.
    """
    title = re.search(rf'<h([1-6]) id="{re.escape(anchor)}".*?</h\1>', html, re.DOTALL)
    if title is None:
        return html
    following = re.compile(rf"<h[1-{title[1]}] |\Z").search(html, title.end())
    at = following.start() if following else len(html)
    return f'{html[:at]}<div class="practice" data-section="{escape(anchor)}"></div>{html[at:]}'


_current: dict[str, _Practice] = {}  # of the build under way, by the file of its settings


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the file with the database, where there is something to run it."""
    _current.pop(config.config_file_path, None)
    found = [files.get_file_from_path(f"{VENDOR}/{name}") for name in (STAMP, *LOADED)]
    paths = [Path(file.abs_src_path) for file in found if file and file.abs_src_path]
    if len(paths) < len(found):
        return files
    stamp, *loaded = paths
    practice = _Practice(config, engine=stamp.read_text(encoding="utf-8"))
    if not practice.incidents:
        return files
    content = practice.database()
    # Named by its content: what a browser keeps under this name is of these files and this engine.
    practice.asset = f"assets/practice/{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
    practice.bytes = sum(path.stat().st_size for path in loaded) + len(content)
    files.append(File.generated(config, practice.asset, content=content))
    _current[config.config_file_path] = practice
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tell a page's script which of its sections can be practised, and where the database is."""
    del files
    practice = _current.get(config.config_file_path)
    if practice is None or page.file.abs_src_path is None:
        return html
    sections = practice.sections(Path(page.file.abs_src_path))
    if not sections:
        return html
    address = get_relative_url(practice.asset, page.url)
    here = json.dumps({"database": address, "bytes": practice.bytes, "sections": sections})
    for anchor in sections:
        html = _with_place(html, anchor)
    return f'{html}\n<div class="practice-data" hidden data-practice="{escape(here)}"></div>\n'
