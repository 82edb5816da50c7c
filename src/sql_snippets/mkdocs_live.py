"""New verdicts for pages that are open while their author edits: a build of the site takes longer.

The server of ``mkdocs serve`` is asked for them by a script that only its pages have.  A block's
verdict comes with the text that was run, which takes the place of the text shown if that is older.
The rest of what an author writes waits for the build, and a verdict on it too.  Where the build
fails, the open page says why, and requests are answered with what there is instead of waiting.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mkdocs.exceptions import Abort, MkDocsException
from mkdocs.plugins import get_plugin_logger
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.sql import SqlLexer

from sql_snippets.database.recipes import RecipeError
from sql_snippets.mkdocs_site import load_site
from sql_snippets.project import ProjectError, present_settings, recipe_of
from sql_snippets.reading.known_pages import read_known_page
from sql_snippets.reading.site import SiteError
from sql_snippets.reading.source import PageError
from sql_snippets.results.report import ReportError, hash_sql, read_report
from sql_snippets.results.stamps import compare_with, places_to_fill, stamp, summary
from sql_snippets.results.underway import is_underway
from sql_snippets.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mkdocs.livereload import LiveReloadServer

    from sql_snippets.model import Page, Snippet

_log = get_plugin_logger("sql-snippets")

ADDRESS = "/sql-snippets-stamps.json"
# It stays when the theme puts another page in the place of this one, which brings its own data.
SCRIPT = """<script>
window.sqlSnippetsLive ??= (async () => {
  const find = () => document.querySelector("[data-sql-page]")
  let element = null
  let page = null
  for (;; await new Promise((resolve) => setTimeout(resolve, 100))) {
    if (find() !== element) {
      element = find()
      page = window.sqlSnippetsPage = element && JSON.parse(element.dataset.sqlPage)
    }
    if (!page) continue
    const asked = new URLSearchParams({page: page.path, seen: page.version})
    const answer = await fetch(`ADDRESS?${asked}`).catch(() => null)
    const said = answer?.ok ? await answer.json().catch(() => null) : null
    if (!said || find() !== element) continue
    if (said.failure) {
      const top = document.querySelector(".sql-summary") ?? document.createElement("p")
      if (!top.isConnected) document.querySelector("h1").after(top)
      top.className = "sql-summary sql-summary--failed"
      if (top.innerText !== said.failure) top.innerText = said.failure
      continue
    }
    const {version, summary, blocks} = said
    page.version = version
    // Where a block was added or removed, only a build can show what stands where.
    const same = Object.keys(blocks).join() === Object.keys(page.shown).join()
    for (const old of document.querySelectorAll(".sql-stamp")) {
      const {text, sql, fill, output, html} = blocks[old.dataset.sqlId] ?? {}
      if (!text) continue
      if (text !== page.shown[old.dataset.sqlId]) {
        let below = old.nextElementSibling
        while (below && !below.matches(".sql-mark, .sql-block, .sql-output"))
          below = below.nextElementSibling
        const box = below?.matches(".sql-output") ? below.querySelector("pre > code") : null
        if (!same || Boolean(box) !== (output !== null)) continue
        const block = old.previousElementSibling
        const code = block.querySelector("pre > code")
        if (code.dataset.sqlText !== sql) {
          code.innerHTML = sql
          code.dataset.sqlText = sql
          block.dataset.sqlFill = fill
          block.dispatchEvent(new Event("sql-snippets:text", {bubbles: true}))
        }
        if (box) box.textContent = output
        page.shown[old.dataset.sqlId] = text
      }
      old.outerHTML = html
    }
    const line = document.querySelector(".sql-summary")
    if (line && same) line.outerHTML = summary
  }
})()
</script>""".replace("ADDRESS", ADDRESS)
_OLDER = "What you see is older than what was saved."
_FAILED = f"The site cannot be built. {_OLDER}"
# In the place of a page that the failed build took away: loaded again when there is another answer.
_NO_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The site cannot be built</title>
<h1>The site cannot be built</h1>
<pre>FAILURE</pre>
<script>
(async () => {
  for (;; await new Promise((resolve) => setTimeout(resolve, 200))) {
    const answer = await fetch("ADDRESS").then((each) => each.json()).catch(() => ({failure: true}))
    if (!answer?.failure) return location.reload()
  }
})()
</script></html>""".replace("ADDRESS", ADDRESS)
# As the build colours it, with the default of its highlighter.
_LEXER, _FORMATTER = SqlLexer(stripnl=False), HtmlFormatter(nowrap=True)
_LOOK_SECONDS = 0.05
# How long a build waits for the checks: a page that is shown without them is shown once more.
PATIENCE_SECONDS = 3.0
# How long a report lies unused before a build is asked for: one for what was saved uses it sooner.
_UNUSED_SECONDS = 1.0


def version_of(report: Path) -> int:
    """Return what a report is told by from older ones: 0 is before the first."""
    try:
        return report.stat().st_mtime_ns
    except OSError:
        return 0


def _text_of(snippet: Snippet) -> str:
    """Return what the text of a block and of its output is told by from what stood there before."""
    output = snippet.claims.output
    return hash_sql(json.dumps([snippet.sql, output and output.text]))


def data_of(page: Page, version: int) -> str:
    """Return what the script has to know of a page that was built with a version of the report.

    What is said of older versions was said before the page was built, perhaps of another text.
    """
    shown = {snippet.id: _text_of(snippet) for snippet in page.snippets}
    # As text: a script's numbers do not hold so many digits.
    data = json.dumps({"path": page.path, "shown": shown, "version": str(version)})
    return f'<div hidden data-sql-page="{escape(data)}"></div>'


def stamps_of(root: Path, path: Path) -> dict[str, dict[str, Any]]:
    """Return, by page, what the report at ``path`` says of its blocks as they stand there now.

    Raises what reading the report, the settings, the site or one of its pages raises.
    """
    report = read_report(path)
    if report is None:
        return {}
    settings = present_settings(root)
    report = compare_with(report, recipe_of(settings))
    site = load_site(root)
    names = {entry.page for entry in report.items}
    pages = [
        read_known_page(site.root / name, site, settings.cache_dir)
        for name in sorted(names)
        if site.place_of(site.root / name) is not None
    ]
    return {
        page.path: {
            "summary": summary(page, report),
            "blocks": {
                snippet.id: {
                    "text": _text_of(snippet),
                    "sql": highlight(snippet.sql, _LEXER, _FORMATTER),
                    "fill": json.dumps(places_to_fill(snippet, report)),
                    "output": snippet.claims.output and snippet.claims.output.text,
                    "html": stamp(snippet, report),
                }
                for snippet in page.snippets
            },
        }
        for page in pages
    }


@dataclass(frozen=True, slots=True)
class _Answers:
    """What is said of each page, and which report says it; nothing before there is a new one."""

    version: int
    pages: Mapping[str, bytes]


class LiveStamps:
    """The stamps of the last report, for as long as the site is served.

    Pages are named from ``project``, which may lie above the ``root`` of the site.
    """

    def __init__(self, root: Path, report: Path, project: Path) -> None:
        self._root = root
        self._project = project
        self._report = report
        self._answers = _Answers(0, {})
        # Open pages that were seen to have a file.
        self._files: set[str] = set()
        self._built = self._seen = version_of(report)
        self._built_from = self._database()
        self._differs = False
        self._next_look = 0.0
        self._failure: str | None = None
        self._signals = tempfile.TemporaryDirectory(prefix="sql-snippets-")

    def attach(self, server: LiveReloadServer) -> None:
        """Let a server that does not run yet answer for the stamps, and build when it is asked.

        A build that fails does not keep it from answering: to its own loop it has ended.
        """
        server.watch(self._signals.name, recursive=False)
        server.builder = self._build_or_say_why(server.builder)
        others: Any = server.get_app()

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            if environ.get("PATH_INFO") == ADDRESS:
                headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
                start("200 OK", headers)
                return [self._answer(parse_qs(environ.get("QUERY_STRING", "")))]

            failure = self._failure

            def begin(status: str, headers: list[tuple[str, str]]) -> Any:
                if failure and status.startswith("404"):
                    headers = [("Content-Type", "text/html; charset=utf-8")]
                    return start("500 Internal Server Error", headers)
                return start(status, headers)

            answer: Iterable[bytes] = others(environ, begin)
            return answer

        server.set_app(app)
        not_found = server.error_handler

        def error_page(code: int) -> bytes | None:
            if self._failure is None:
                return not_found(code)
            return _NO_PAGE.replace("FAILURE", escape(self._failure)).encode()

        server.error_handler = error_page

    def _answer(self, asked: Mapping[str, list[str]]) -> bytes:
        if self._failure is not None:
            return json.dumps({"failure": f"{_FAILED}\n{self._failure}"}).encode()
        page = asked.get("page", [""])[0]
        if self._is_gone(page):
            return json.dumps({"failure": f"{page} is not there any more. {_OLDER}"}).encode()
        answers = self._answers
        content = answers.pages.get(page)
        if answers.version <= _number(asked.get("seen", [""])[0]):
            content = None
        return content or b"null"

    def _is_gone(self, page: str) -> bool:
        """Whether an open page was taken away, which no build has to say first.

        An editor may do so for a moment to save it.
        """
        source = self._project / page
        if source.is_file():
            self._files.add(page)
            return False
        # One that a plugin made never had a file.
        if page not in self._files:
            return False
        time.sleep(_LOOK_SECONDS)
        return not source.is_file()

    def _build_or_say_why(self, builder: Callable[[], None]) -> Callable[[], None]:
        def build() -> None:
            with _errors_logged() as errors:
                try:
                    builder()
                except Exception as err:  # noqa: BLE001 - whatever a theme or a plugin raises
                    # What MkDocs raises at last says less than what it logged on the way.  The same
                    # error it logs once only: then what it raised at first is all there is.
                    cause = (isinstance(err, Abort) and err.__context__) or err
                    said = str(cause) or type(cause).__name__
                    self._failure = "\n".join(errors) or said
                    if not errors:
                        _log.error("%s", said, exc_info=not isinstance(err, MkDocsException))
                else:
                    self._failure = None

        return build

    def follow(self) -> None:
        """Take up every new report from now on, in a thread that ends with the process."""
        threading.Thread(target=self._follow, daemon=True).start()

    def close(self) -> None:
        """Remove what was made."""
        self._signals.cleanup()

    def before_build(self) -> None:
        """Wait a moment for checks that are underway, so that one build shows what they say."""
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while is_underway(self._report) and time.monotonic() < patient_until:
            time.sleep(_LOOK_SECONDS)
        self.take_up()
        self._built = self._seen
        self._built_from = self._database()

    def take_up(self) -> None:
        """Answer with the stamps of the report if it has changed and can be read.

        Why it cannot be is said by the build that follows.
        """
        if (now := version_of(self._report)) == self._seen:
            return
        self._seen = now
        with suppress(
            *(ReportError, ProjectError, RecipeError, SettingsError, SiteError, PageError), OSError
        ):
            self._answers = _Answers(
                now,
                {
                    name: json.dumps({"version": str(now), **said}).encode()
                    for name, said in stamps_of(self._root, self._report).items()
                },
            )

    def ask_for_build(self) -> None:
        """Ask the server for a build if the last one did not know the report or the database.

        Where the files of the database are checked when they are saved, there is a report first.
        """
        if is_underway(self._report):
            self._differs = False
            return
        is_unused = time.time() - self._seen / 1e9 > _UNUSED_SECONDS
        if (self._built != self._seen and is_unused) or self._is_of_another_database():
            self._built, self._built_from = self._seen, self._database()
            with suppress(OSError):  # the server has just ended, and its folder with it
                Path(self._signals.name, "report").write_text(str(time.time()), encoding="utf-8")

    def _is_of_another_database(self) -> bool:
        """Whether the files of the database are not those of the build, at two looks in a row."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _UNUSED_SECONDS
        differed, self._differs = self._differs, self._database() != self._built_from
        return differed and self._differs

    def _database(self) -> str | None:
        """Return the hash of the files of the database; None where they cannot be read."""
        with suppress(ProjectError, RecipeError, SettingsError):
            return recipe_of(present_settings(self._root)).digest()
        return None

    def _follow(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self.take_up()
            self.ask_for_build()


@contextmanager
def _errors_logged() -> Iterator[list[str]]:
    """Give the messages that MkDocs and its plugins log as errors meanwhile."""
    messages: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    listener = Listener(logging.ERROR)
    logger = logging.getLogger("mkdocs")
    logger.addHandler(listener)
    try:
        yield messages
    finally:
        logger.removeHandler(listener)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
