"""The MkDocs edge: show beside each block what its last run proved.

It also compares, page by page, the SQL that the built site shows with the SQL that the checks
know.  A block that only one of the two has would be one that nobody runs, or that nobody sees.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.config_options import ExtraScriptValue
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

from sql_snippets.database.recipes import RecipeError
from sql_snippets.mkdocs_live import SCRIPT, LiveStamps, data_of, version_of
from sql_snippets.mkdocs_site import find_config, load_site
from sql_snippets.model import Page
from sql_snippets.project import ProjectError, present_settings, recipe_of
from sql_snippets.reading.built_html import (
    Insertion,
    ShownBlock,
    add_attribute,
    add_class,
    add_id,
    insert,
    read_blocks,
)
from sql_snippets.reading.known_pages import read_known_page
from sql_snippets.reading.pages import read_page
from sql_snippets.reading.site import Site, SiteError
from sql_snippets.reading.source import PageError
from sql_snippets.results.drill_log import DrillLogError, read_drill_log
from sql_snippets.results.report import DEFAULT_PATH, Report, ReportError, read_report
from sql_snippets.results.stamps import (
    block_anchor,
    compare_with,
    mark_place,
    places_to_fill,
    stamp,
    summary,
)
from sql_snippets.results.verification import Pages, verification_page
from sql_snippets.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.livereload import LiveReloadServer
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page as SitePage

    from sql_snippets.model import Snippet
    from sql_snippets.results.drill_log import DoneDrill
    from sql_snippets.settings import Settings

_log = get_plugin_logger("sql-snippets")
_TITLE_END = re.compile(r"</h1>")
# What a page needs beside its HTML: how stamps look, let them look their age, and fill values in.
_ASSETS = Path(__file__).with_name("site_assets")
_STYLES = ("stamps.css", "fill.css")
_SCRIPTS = ("age.js", "fill.js")
_FOLDER = "assets/sql-snippets"
_HIGHLIGHT = "search.highlight"
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class SqlSnippetsConfig(Config):  # type: ignore[no-untyped-call]  # untyped base
    """The plugin's options.

    ``report`` and ``drill_log`` are relative to the folder of ``mkdocs.yml``.  ``verification`` is
    the name, as ``x.md``, of the page to generate; without one there is none.
    """

    report = config_options.Type(str, default=DEFAULT_PATH)
    verification = config_options.Type(str, default="")
    drill_log = config_options.Type(str, default="")


def _first_line(sql: str) -> str:
    return next((line.strip() for line in sql.splitlines() if line.strip()), "(empty)")


def known_as_sql(blocks: Sequence[ShownBlock], known: Sequence[Snippet]) -> tuple[ShownBlock, ...]:
    """Return the blocks of a page, those as SQL that the checks know by another word than HTML has.

    ``pgsql`` has no lexer, so that the page calls it text; a site may have words of its own.
    """
    missing = Counter(snippet.sql.rstrip("\n") for snippet in known)
    missing.subtract(block.text.rstrip("\n") for block in blocks if block.is_sql)
    found = []
    for block in blocks:
        text = block.text.rstrip("\n")
        if not block.is_sql and missing[text] > 0:
            missing[text] -= 1
            found.append(replace(block, language="sql"))
        else:
            found.append(block)
    return tuple(found)


def pair(
    shown: Sequence[ShownBlock],
    known: Sequence[Snippet],
    elsewhere: Callable[[str], Snippet | None] = lambda _: None,
) -> list[Snippet] | str:
    """Return the snippet of each SQL block of a built page, or a sentence on the first difference.

    ``known`` are the page's own, in order.  ``elsewhere`` returns that of another page with the
    same text: a blog shows the beginnings of its posts, a page for printing shows all others.
    """
    found: list[Snippet] = []
    waiting = list(known)
    for block in shown:
        text = block.text.rstrip("\n")
        if waiting and waiting[0].sql.rstrip("\n") == text:
            found.append(waiting.pop(0))
        elif (other := elsewhere(text)) is not None:
            found.append(other)
        elif waiting:
            return (
                f"the page shows the SQL block {_first_line(text)!r} where the checks have "
                f"{_first_line(waiting[0].sql)!r} ({waiting[0].fence})"
            )
        else:
            return (
                f"the page shows {len(shown)} SQL blocks and the checks know {len(known)}; "
                f"nobody runs {_first_line(text)!r}"
            )
    if waiting:
        return (
            f"the page shows {len(shown)} SQL blocks and the checks know {len(known)}; nobody sees "
            f"{_first_line(waiting[0].sql)!r} ({waiting[0].fence}). The language must be visible "
            f"in the HTML: set pygments_lang_class: true for pymdownx.highlight"
        )
    return found


def _around_blocks(output: str, content: str) -> tuple[str, str, str]:
    """Return the part of a finished page in which all its code stands, and what is around it.

    The navigation names every page of the site: to read it on each of them takes the square of
    their number.  Where anything has changed the content since, the part is the whole page.
    """
    before, found, after = output.partition(content) if content else (output, "", "")
    if not found or "<code" in f"{before}{after}".lower():
        return "", output, ""
    return before, content, after


def annotate(  # noqa: PLR0913, PLR0917 - what is shown, and what is known of it
    html: str,
    blocks: Sequence[ShownBlock],
    paired: Sequence[Snippet],
    page: Page,
    report: Report | None,
    data: str = "",
) -> str:
    """Return a page's HTML with marks, stamps and outputs shown as such.

    ``data`` goes with the page's first block, wherever a theme takes that to.
    ``blocks`` are those of the HTML, ``paired`` the snippets of those that are SQL: see `pair`.
    """
    snippets = iter(paired)
    insertions: list[Insertion] = []
    for index, block in enumerate(blocks):
        if not block.is_sql:
            continue
        snippet = next(snippets)
        insertions.append(add_class(html, block.tag, "sql-block"))
        insertions += add_id(html, block.tag, block_anchor(snippet))
        if places := places_to_fill(snippet, report):
            insertions.append(add_attribute(block.tag, "data-sql-fill", json.dumps(places)))
        insertions.append(Insertion(block.end, stamp(snippet, report) + data))
        data = ""
        if block.mark is not None:
            name = f"sql-mark sql-mark--{block.mark.mark.value.lower()}"
            insertions.append(add_class(html, block.mark.tag, name))
            insertions.append(add_attribute(block.mark.tag, "style", mark_place(snippet)))
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        if snippet.claims.output is not None and following is not None and not following.is_sql:
            insertions.append(add_class(html, following.tag, "sql-output"))
    title = _TITLE_END.search(html)
    if title and page.snippets:
        insertions.append(Insertion(title.end(), summary(page, report)))
    return insert(html, insertions)


class SqlSnippetsPlugin(BasePlugin[SqlSnippetsConfig]):  # type: ignore[no-untyped-call]  # untyped base
    """Puts a stamp below every SQL block, and stops a build whose SQL the checks do not know."""

    def __init__(self) -> None:
        self._serving = False
        self._live: LiveStamps | None = None
        self._site: Site | None = None
        self._report: Report | None = None
        self._version = 0
        self._cache_dir: Path | None = None
        self._known: dict[str, Page] = {}
        self._uris: dict[str, str] = {}
        self._files: Sequence[File] = ()

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
        """Note whether someone is editing: then a difference is shown, and the site stays up.

        MkDocs ends a served site in order for Ctrl-C alone; a terminal that is closed, or a program
        that ends it, would leave the built site in the folder for temporary files.
        """
        del dirty
        self._serving = command == "serve"
        if self._serving:
            for end in _ENDS:
                if signal.getsignal(end) is signal.SIG_DFL:
                    signal.signal(end, signal.default_int_handler)

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Put the plugin's files before those of the site, and keep the theme from changing blocks.

        Material marks the words of a search in what it has written as HTML: who has searched for
        "39" would copy ``&#39;`` where a quote was checked.
        """
        config.extra_css[:0] = [f"{_FOLDER}/{name}" for name in _STYLES]
        for place, name in enumerate(_SCRIPTS):
            script = ExtraScriptValue(f"{_FOLDER}/{name}")
            script.defer = True
            config.extra_javascript.insert(place, script)
        features = config.theme.get("features", [])
        if _HIGHLIGHT in features:
            config.theme["features"] = [name for name in features if name != _HIGHLIGHT]
            _log.info(
                "%s is switched off: it changes the SQL that a reader copies after a search.",
                _HIGHLIGHT,
            )
        return config

    def _path(self, config: MkDocsConfig) -> Path:
        return Path(config.config_file_path).parent / self.config.report

    def _command(self, config: MkDocsConfig) -> str:
        """Return what writes the report, as typed in the folder of the site's configuration."""
        docs = os.path.relpath(config.docs_dir, Path(config.config_file_path).parent)
        return shlex.join(["pytest", docs, "--sql-report", self.config.report])

    def on_pre_build(self, *, config: MkDocsConfig) -> None:
        """Read the site's settings and the last report; a site without a report is fine."""
        if self._live is not None:
            self._live.before_build()
        self._known.clear()
        root = Path(config.config_file_path).parent
        try:
            self._site = load_site(root, Path(config.config_file_path))
        except SiteError as err:
            raise PluginError(f"sql-snippets: {err}") from err
        self._version = version_of(self._path(config))
        try:
            self._report = read_report(self._path(config))
        except ReportError as err:
            self._report = None
            _log.warning("%s", err)
        else:
            if self._report is None:
                _log.info(
                    "There is no report at %s, so the blocks are shown as not checked. "
                    "To write one: %s",
                    self._path(config),
                    self._command(config),
                )
        self._cache_dir = None
        try:
            settings = present_settings(root)
            self._cache_dir = settings.cache_dir
            self._warn_of_another_site(settings)
            if self._report is not None:
                self._report = compare_with(self._report, recipe_of(settings))
        except (ProjectError, RecipeError, SettingsError) as err:
            if self._report is not None:
                _log.warning(
                    "Cannot tell whether the database has changed since the last run: %s", err
                )

    def _warn_of_another_site(self, settings: Settings) -> None:
        """Say so where pytest would read the pages as those of another site, or of none."""
        site = self._site
        if site is None or site.config_path is None or site.config_path in settings.mkdocs:
            return
        if find_config(site.docs_dir) != site.config_path:
            name = os.path.relpath(site.config_path, settings.root)
            _log.warning(
                "pytest does not know that the pages in %s belong to %s: set sql_mkdocs = %s "
                "in the configuration of pytest in %s.",
                site.docs_dir,
                site.config_path,
                json.dumps(name),
                settings.root,
            )

    def on_files(self, files: Files, /, *, config: MkDocsConfig) -> Files:
        """Add the plugin's files, and the page that is generated from the report."""
        for name in (*_STYLES, *_SCRIPTS):
            path = str(_ASSETS / name)
            files.append(File.generated(config, f"{_FOLDER}/{name}", abs_src_path=path))
        self._files = files.documentation_pages()
        name = self.config.verification
        if not name:
            return files
        pages = [
            self._read(file.src_uri, file.abs_src_path) for file in files.documentation_pages()
        ]
        checked = [page for page in pages if page.snippets or page.tables or page.facts]
        log = self._read_log(config, {drill.section for page in checked for drill in page.drills})
        here = File.generated(config, name, content="").url

        def address(page: str, anchor: str) -> str:
            file = files.get_file_from_path(self._uris[page])
            url = get_relative_url(file.url, here) if file else ""
            return f"{url}#{anchor}" if anchor else url

        given = Pages(checked, address, self._report, self._command(config), log=log)
        files.append(File.generated(config, name, content=verification_page(given)))
        return files

    def _read_log(self, config: MkDocsConfig, sections: set[str]) -> Sequence[DoneDrill] | None:
        if not self.config.drill_log:
            return None
        try:
            path = Path(config.config_file_path).parent / self.config.drill_log
            return read_drill_log(path, sections)
        except DrillLogError as err:
            raise PluginError(f"sql-snippets: {err}") from err

    def on_serve(
        self, server: LiveReloadServer, /, *, config: MkDocsConfig, builder: Callable[..., None]
    ) -> None:
        """Show new stamps when the checks have written a new report, and build again."""
        del builder
        root = Path(config.config_file_path).parent
        project = self._site.root if self._site else root
        self._live = LiveStamps(root, self._path(config), project)
        self._live.attach(server)
        self._live.follow()

    def on_shutdown(self) -> None:
        """Leave nothing behind."""
        if self._live is not None:
            self._live.close()

    @event_priority(-100)  # last, so that what is compared is what is written
    def on_post_page(self, output: str, /, *, page: SitePage, config: MkDocsConfig) -> str:
        """Compare the page with what the checks know, then add the stamps."""
        del config
        known = self._read(page.file.src_uri, page.file.abs_src_path)
        before, html, after = _around_blocks(output, page.content or "")
        blocks = known_as_sql(read_blocks(html), known.snippets)
        shown = [block for block in blocks if block.is_sql]
        paired = pair(shown, known.snippets, self._elsewhere)
        if not isinstance(paired, str):
            data, script = "", ""
            if self._serving:
                data, script = data_of(known, self._version), SCRIPT
            annotated = annotate(html, blocks, paired, known, self._report, data)
            return f"{before}{annotated}{script}{after}"
        message = f"{page.file.src_uri}: {paired}."
        if not self._serving:
            raise PluginError(f"sql-snippets: {message}")
        _log.warning("%s", message)
        return output

    def _elsewhere(self, text: str) -> Snippet | None:
        """Return the block of any page of the site that has this text."""
        for file in self._files:
            for snippet in self._read(file.src_uri, file.abs_src_path).snippets:
                if snippet.sql.rstrip("\n") == text:
                    return snippet
        return None

    def _read(self, uri: str, source: str | None) -> Page:
        """Return what the checks know of a page; a page that has no file holds no block."""
        if self._site is None or source is None:
            return Page(uri)
        if uri not in self._known:
            path, site, kept = Path(source), self._site, self._cache_dir
            try:
                page = read_known_page(path, site, kept) if kept else read_page(path, site)
            except (SiteError, PageError) as err:
                raise PluginError(f"sql-snippets: {err}") from err
            self._known[uri] = page
            self._uris[self._known[uri].path] = uri
        return self._known[uri]
