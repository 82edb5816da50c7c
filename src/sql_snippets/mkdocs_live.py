"""New stamps for pages that are open while their author edits: a build of the site takes longer.

The server of ``mkdocs serve`` is asked for them by a script that only its pages have.  A stamp is
put below a block only where the page shows the text that was run.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sql_snippets.database.recipes import RecipeError
from sql_snippets.project import ProjectError, present_settings, recipe_of
from sql_snippets.reading.known_pages import read_known_page
from sql_snippets.reading.site import SiteError, load_site
from sql_snippets.reading.source import PageError
from sql_snippets.results.stamps import ReportError, compare_with, read_report, stamp
from sql_snippets.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mkdocs.livereload import LiveReloadServer

ADDRESS = "/sql-snippets-stamps.json"
SCRIPT = f"""<script>
(() => {{
  let last = "{{}}"
  // The theme runs this once more for every page that it puts in the place of another.
  window.sqlSnippetsStamps ??= setInterval(async () => {{
    const answer = await fetch("{ADDRESS}").catch(() => null)
    const text = answer?.ok ? await answer.text() : last
    if (text === last) return
    last = text
    const stamps = JSON.parse(text)
    for (const old of document.querySelectorAll(".sql-stamp")) {{
      const [sql, html] = stamps[old.dataset.sqlId] ?? []
      const shown = old.previousElementSibling?.querySelector("code")?.textContent
      if (sql !== undefined && shown?.trimEnd() === sql.trimEnd()) old.outerHTML = html
    }}
  }}, 150)
}})()
</script>"""
_LOOK_SECONDS = 0.05


def stamps_of(root: Path, path: Path) -> dict[str, tuple[str, str]]:
    """Return the SQL and the stamp of each block that the report at ``path`` knows, by its id.

    Raises what reading the report, the settings, the site or one of its pages raises.
    """
    report = read_report(path)
    if report is None:
        return {}
    settings = present_settings(root)
    report = compare_with(report, recipe_of(settings))
    site = load_site(root)
    names = {item.partition("::")[0] for item in report.runs}
    pages = [
        read_known_page(root / name, site, settings.cache_dir)
        for name in sorted(names)
        if (root / name).is_file()
    ]
    return {
        snippet.id: (snippet.sql, stamp(snippet, report))
        for page in pages
        for snippet in page.snippets
    }


class LiveStamps:
    """The stamps of the last report, for as long as the site is served."""

    def __init__(self, root: Path, report: Path) -> None:
        self._root = root
        self._report = report
        self._answer = b"{}"
        self._seen = self._changed()

    def answer_on(self, server: LiveReloadServer) -> None:
        """Let a server that does not run yet answer for the stamps."""
        others: Any = server.get_app()

        def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            if environ.get("PATH_INFO") != ADDRESS:
                answer: Iterable[bytes] = others(environ, start)
                return answer
            headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
            start("200 OK", headers)
            return [self._answer]

        server.set_app(app)

    def follow(self) -> None:
        """Take up every new report from now on, in a thread that ends with the process."""
        threading.Thread(target=self._follow, daemon=True).start()

    def take_up(self) -> None:
        """Answer with the stamps of the report if it has changed and can be read.

        Why it cannot be is said by the build that follows.
        """
        if (now := self._changed()) == self._seen:
            return
        self._seen = now
        with suppress(
            *(ReportError, ProjectError, RecipeError, SettingsError, SiteError, PageError), OSError
        ):
            self._answer = json.dumps(stamps_of(self._root, self._report)).encode()

    def _follow(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self.take_up()

    def _changed(self) -> int:
        try:
            return self._report.stat().st_mtime_ns
        except OSError:
            return 0
