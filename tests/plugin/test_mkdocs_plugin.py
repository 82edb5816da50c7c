"""Built sites: what their pages say about each block, and which of them do not build."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from mkdocs.commands.build import build, log
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from mkdocs.livereload import LiveReloadServer
from mkdocs.utils import DuplicateFilter

from sql_snippets.mkdocs_live import ADDRESS, LiveStamps
from sql_snippets.mkdocs_site import load_site
from sql_snippets.project import find_project, present_recipe
from sql_snippets.reading.built_html import add_class, add_id, insert, read_blocks
from sql_snippets.reading.pages import read_page
from sql_snippets.results.report import (
    FORMAT,
    ReportError,
    Verdict,
    hash_claims,
    hash_sql,
    read_report,
)
from sql_snippets.results.stamps import show_seconds, summary, verdict_of
from sql_snippets.results.underway import underway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.model import Snippet

CONFIG = """
site_name: Small site
theme: {name: mkdocs, highlightjs: false}
plugins:
  - sql-snippets
markdown_extensions:
  - attr_list
  - pymdownx.highlight: {pygments_lang_class: true}
  - pymdownx.superfences
"""

PAGE = """
# Orders

## Look {#look}

**READ** · All of them · `postgres`

<!-- sql: name=all -->

```sql
select 1 < 2 as "a&b";
```

```text
 a&b
-----
 t
(1 row)
```

**STOP** · Ends it

```sql
select 2;
```

Some words, then a block without a mark.

```sql
select 3;
```

```python
not_names = "select 4"
```
"""

ALL = "docs/page.md::look::all"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mkdocs.yml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Let what a served site does with signals end with the test."""
    before = {end: signal.getsignal(end) for end in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for end, handler in before.items():
        signal.signal(end, handler)


def _build(project: Path) -> str:
    config = load_config(config_file=str(project / "mkdocs.yml"))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return (project / "site" / "page" / "index.html").read_text(encoding="utf-8")


def _entry(**changes: Any) -> dict[str, Any]:
    entry = {
        "id": ALL,
        "kind": "block",
        "verdict": "passed",
        "seconds": 0.0042,
        "reason": None,
    }
    return {**entry, **changes}


def _placed(entry: dict[str, Any]) -> dict[str, Any]:
    page, *section, name = entry["id"].split("::")
    return {"page": page, "section": "".join(section), "name": name, **entry}


def _report(project: Path, *entries: dict[str, Any], **changes: Any) -> Path:
    path = project / ".cache" / "sql-snippets" / "report.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "format": FORMAT,
        "created": "2026-11-05T23:59:59+00:00",
        "server": {"kind": "system", "version": "15.14", "real_parts": ["pg_cron"]},
        "items": list(map(_placed, entries)),
    }
    path.write_text(json.dumps({**report, **changes}), encoding="utf-8")
    return path


def _stamp(html: str, item: str = ALL) -> str:
    found = re.search(
        rf'<(p|details) class="sql-stamp [^>]*data-sql-id="{re.escape(item)}".*?</\1>',
        html,
        re.DOTALL,
    )
    assert found
    return found[0]


def _known(project: Path) -> Snippet:
    return read_page(project / "docs" / "page.md", load_site(project)).snippets[0]


def _digests(snippet: Snippet) -> dict[str, str]:
    return {"sql_sha256": hash_sql(snippet.sql), "claims_sha256": hash_claims(snippet)}


def _passed(project: Path, **changes: Any) -> dict[str, Any]:
    return _entry(**{**_digests(_known(project)), **changes})


def test_without_a_report_every_block_says_not_checked(project: Path) -> None:
    html = _build(project)
    assert html.count("sql-stamp--unchecked") == 3
    assert html.count("Not checked") == 3
    assert "3 of 3 SQL blocks on this page not checked" in html


def test_who_has_no_report_is_told_once_how_to_write_one(
    generated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    _build(generated)
    [said] = [record for record in caplog.records if record.name.endswith("sql-snippets")]
    assert said.levelname == "INFO"
    command = "pytest docs --sql-report .cache/sql-snippets/report.json"
    assert said.message.endswith(f"To write one: {command}")
    assert f"<code>{command}</code>" in _page(generated, "seen")
    caplog.clear()
    _report(generated)
    _build(generated)
    assert not [record for record in caplog.records if record.name.endswith("sql-snippets")]


def test_theme_does_not_change_the_blocks_of_who_has_searched(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It marks what was searched in text that it has written as HTML."""
    material = "theme: {name: material, features: [search.highlight, search.share]}"
    (project / "mkdocs.yml").write_text(
        CONFIG.replace("theme: {name: mkdocs, highlightjs: false}", material), encoding="utf-8"
    )
    caplog.set_level("INFO", logger="mkdocs")
    html = _build(project)
    assert '"search.share"' in html
    assert "search.highlight" not in html
    assert "search.highlight is switched off" in caplog.text


def test_style_sheet_comes_along_before_those_of_the_site(project: Path) -> None:
    (project / "docs" / "own.css").write_text("", encoding="utf-8")
    (project / "mkdocs.yml").write_text(f"{CONFIG}\nextra_css: [own.css]\n", encoding="utf-8")
    sheets = re.findall(r'<link href="([^"]+\.css)" rel="stylesheet"', _build(project))
    own = ["../assets/sql-snippets/stamps.css", "../assets/sql-snippets/fill.css"]
    assert sheets[-3:] == [*own, "../own.css"]
    styles = (project / "site" / "page" / sheets[-3]).read_text(encoding="utf-8")
    # It looks the same without the style sheets of this repository.
    used = set(re.findall(r"var\((--[a-z-]+)", styles))
    assert {name for name in used if not re.search(rf"^ *{name}:", styles, re.MULTILINE)} == {
        name for name in used if name.startswith("--md-")
    }
    for name in ("sql-stamp--failed", "sql-stamp__reason", "sql-summary--failed", "sql-mark--stop"):
        assert f".{name}" in styles


def test_a_served_site_that_is_told_to_end_leaves_nothing(tmp_path: Path, project: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mkdocs", "serve", "-q", "--livereload", "-a", place]
    environment = {**os.environ, "TMPDIR": str(temporary), "NO_MKDOCS_2_WARNING": "1"}
    with subprocess.Popen(command, cwd=project, env=environment) as served:
        try:
            while served.poll() is None:
                with suppress(OSError), urllib.request.urlopen(f"http://{place}/page/"):
                    break
                time.sleep(0.05)
            for name in ("mkdocs_*", "sql-snippets-*"):
                assert len(list(temporary.glob(name))) == 1
        finally:
            served.terminate()
    assert list(temporary.iterdir()) == []


def test_stamp_says_when_and_on_what_a_block_passed(project: Path) -> None:
    danger = {"level": "WRITE", "seen": ["insert into public.a (1 row)"]}
    _report(project, _passed(project, danger=danger))
    stamp = _stamp(_build(project))
    assert "sql-stamp--passed" in stamp
    facts = (
        "Passed",
        "5 Nov 2026 23:59 UTC",
        "PostgreSQL 15.14",
        "real pg_cron",
        "measured WRITE",
        "4 ms",
    )
    for fact in facts:
        assert fact in stamp


@pytest.mark.parametrize("created", ["2026-11-05T23:59:59", "2026-11-06T01:59:59+02:00"])
def test_times_are_in_utc(project: Path, created: str) -> None:
    _report(project, _passed(project), created=created)
    html = _build(project)
    shown = '<time datetime="2026-11-05T23:59:59+00:00">5 Nov 2026 23:59 UTC</time>'
    assert html.count(shown) == 2
    assert shown in _stamp(html)


def test_stamp_of_a_kept_verdict_says_when_it_was_reached(project: Path) -> None:
    _report(project, _passed(project, cached=True, checked="2026-11-05T08:07:00+00:00"))
    html = _build(project)
    assert "5 Nov 2026 08:07 UTC" in _stamp(html)
    assert html.count("5 Nov 2026 23:59 UTC") == 1


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_stamp_says_that_the_incident_was_produced_if_it_was(project: Path, verdict: str) -> None:
    words = "with the incident produced"
    _report(project, _passed(project, verdict=verdict, isolation="database"))
    assert words not in _stamp(_build(project))
    page = project / "docs" / "page.md"
    page.write_text(PAGE.replace("name=all", "name=all scenario=stuck"), encoding="utf-8")
    _report(project, _passed(project, verdict=verdict, isolation="database"))
    assert words in _stamp(_build(project))
    _report(project, _passed(project, verdict=verdict, isolation=None))
    assert words not in _stamp(_build(project))


def test_block_that_is_still_to_be_checked_is_not_said_to_have_had_no_run(project: Path) -> None:
    _report(project, complete=False)
    assert "the checks have not reached it yet" in _stamp(_build(project))
    _report(project)
    assert "not run yet" in _stamp(_build(project))
    _report(project, _passed(project, sql_sha256="0" * 64), complete=False)
    assert "the SQL was changed after its last run" in _stamp(_build(project))


def test_top_of_the_page_counts_its_blocks(project: Path) -> None:
    """By the verdicts of its three blocks, of which one that is not there has none."""
    page = read_page(project / "docs" / "page.md", load_site(project))
    for verdicts, words, state in (
        ("passed passed passed", "All 3 SQL blocks on this page passed", "passed"),
        ("passed passed skipped", "All 2 SQL blocks on this page passed", "passed"),
        ("skipped passed skipped", "The SQL block on this page passed", "passed"),
        (
            "skipped skipped skipped",
            "No SQL block on this page is run",
            "unchecked",
        ),
        ("passed failed passed", "1 of 3 SQL blocks on this page failed", "failed"),
        ("failed failed passed", "2 of 3 SQL blocks on this page failed", "failed"),
        ("failed - skipped", "1 of 2 SQL blocks on this page failed", "failed"),
        ("skipped skipped failed", "1 of 1 SQL block on this page failed", "failed"),
        ("passed - -", "2 of 3 SQL blocks on this page not checked", "unchecked"),
        ("skipped - passed", "1 of 2 SQL blocks on this page not checked", "unchecked"),
        ("- - -", "3 of 3 SQL blocks on this page not checked", "unchecked"),
    ):
        entries = [
            _entry(id=one.id, **_digests(one), verdict=verdict)
            for one, verdict in zip(page.snippets, verdicts.split(), strict=True)
            if verdict != "-"
        ]
        shown = summary(page, read_report(_report(project, *entries)))
        assert re.match(
            rf'<p class="sql-summary sql-summary--{state}">{words}(?: · <time|</p>)', shown
        )


def test_top_of_the_page_says_what_failed_beside_the_blocks(project: Path) -> None:
    facts = _entry(
        id="docs/page.md::look::limits",
        kind="facts",
        verdict="failed",
        drawn="docs/page.md:7:3: error: the page says <4>, the database 3",
    )
    elsewhere = {**facts, "id": "docs/other.md::look::limits"}
    again = {**facts, "id": "docs/page.md::look::drill", "kind": "drill"}
    _report(project, _passed(project), facts, elsewhere, again)
    html = _build(project)
    [line] = re.findall(r'<p class="sql-summary.*?</p>', html, re.DOTALL)
    assert "sql-summary--failed" in line
    assert "2 other claims failed" in line
    assert line.count("docs/page.md:7:3: error: the page says &lt;4&gt;, the database 3") == 1


def test_verdicts_are_old_when_the_checks_could_not_be_run_again(generated: Path) -> None:
    why = "scenarios.py:7: in <module>"
    _with_recipe(generated, _passed(generated), check_error=why)
    html = _build(generated)
    drawn = f'<span class="sql-stamp__reason">{escape(why)}</span>'
    [line] = re.findall(r'<p class="sql-summary.*?</p>', html, re.DOTALL)
    assert html.count(drawn) == line.count(drawn) == 1
    [stamp] = re.findall(r'<p class="sql-stamp sql-stamp--stale".*?</p>', html, re.DOTALL)
    assert "the checks could not be run again" in stamp
    assert "sql-stamp--passed" not in html
    seen = _page(generated, "seen")
    assert seen.count(f"No new verdicts{drawn}") == 1


def test_why_there_was_no_database_is_said_once_at_the_top(generated: Path) -> None:
    why = 'migrations/1.sql:2:8: 42601 syntax error at or near "<frm>"'
    known = read_page(generated / "docs" / "page.md", load_site(generated)).snippets
    words = "not run: the database cannot be built"
    failed = {"verdict": "failed", "reason": words, "drawn": None}
    drill = _entry(id="docs/page.md::gone::drill", kind="drill", **failed)
    blocks = [_entry(id=one.id, **_digests(one), **failed) for one in known]
    server = {"kind": "embedded", "version": "", "real_parts": []}
    _report(generated, *blocks, drill, database_error=why, server=server)
    html = _build(generated)
    drawn = f'<span class="sql-stamp__reason">{escape(why)}</span>'
    [line] = re.findall(r'<p class="sql-summary.*?</p>', html, re.DOTALL)
    assert "sql-summary--failed" in line
    assert "5 of 5 SQL blocks on this page could not be run · 1 other claim failed" in line
    assert html.count(drawn) == line.count(drawn) == 1
    assert html.count(words) == 5
    assert _page(generated, "seen").count(drawn) == 1
    for snippet in known:
        verdict = '<span class="sql-stamp__verdict">Failed</span>'
        assert _stamp(html, snippet.id).endswith(
            f'{verdict}<span class="sql-stamp__fact">{words}</span></p>'
        )


def test_parts_that_were_not_real_are_named_stand_ins(project: Path) -> None:
    server = {"kind": "embedded", "version": "17.10", "real_parts": []}
    (project / "platform").mkdir()
    (project / "platform" / "cron.sql").write_text("select 1;\n", encoding="utf-8")
    _with_recipe(project, _passed(project), server=server, settings='sql_platform = "platform"')
    assert "platform parts: stand-ins" in _stamp(_build(project))


def test_where_there_is_no_platform_none_is_spoken_of(generated: Path) -> None:
    server = {"kind": "embedded", "version": "17.10", "real_parts": []}
    _with_recipe(generated, _passed(generated), server=server)
    assert "sql-stamp--passed" in _stamp(_build(generated))
    for name in ("page", "seen"):
        assert not re.search("stand-in|were real", _page(generated, name))


def test_only_a_stamp_of_what_passed_is_folded_into_the_mark(project: Path) -> None:
    _report(project, _passed(project))
    html = _build(project)
    stamp = _stamp(html)
    assert stamp.startswith('<details class="sql-stamp sql-stamp--passed"')
    assert "</summary>" in stamp
    place = re.search(_PLACE, stamp)
    assert place
    assert f'<p class="sql-mark sql-mark--read"{place[0]}>' in html
    for verdict in ("failed", "skipped"):
        _report(project, _passed(project, verdict=verdict, reason="no"))
        assert _stamp(_build(project)).startswith("<p ")
    _report(project)
    assert _stamp(_build(project)).startswith("<p ")


def test_failed_block_shows_its_reason_escaped(project: Path) -> None:
    _report(project, _passed(project, verdict="failed", reason="docs/page.md:11:8: <b> & no"))
    html = _build(project)
    assert "sql-stamp--failed" in _stamp(html)
    assert "docs/page.md:11:8: &lt;b&gt; &amp; no" in _stamp(html)
    assert "1 of 3 SQL blocks on this page failed" in html


def test_failure_is_drawn_where_the_report_has_a_drawing(project: Path) -> None:
    drawn = "docs/page.md:11:8: error: no\n   |\n11 | select\n   |        ^"
    _report(project, _passed(project, verdict="failed", reason="no", drawn=drawn))
    assert f'<span class="sql-stamp__reason">{drawn}</span>' in _build(project)


def test_skipped_block_shows_its_reason(project: Path) -> None:
    _report(project, _passed(project, verdict="skipped", reason="needs two servers"))
    stamp = _stamp(_build(project))
    assert "sql-stamp--skipped" in stamp
    assert "Skipped" in stamp
    assert "needs two servers" in stamp


def test_stamp_of_other_sql_is_not_shown(project: Path) -> None:
    _report(project, _passed(project))
    page = project / "docs" / "page.md"
    page.write_text(PAGE.replace("1 < 2", "1 < 3"), encoding="utf-8")
    stamp = _stamp(_build(project))
    assert "sql-stamp--unchecked" in stamp
    assert "changed after its last run" in stamp
    assert "Passed" not in stamp


_PLACE = r' style="--sql-mark:[^"]*"'


def test_marks_outputs_and_blocks_get_their_classes(project: Path) -> None:
    html = re.sub(_PLACE, "", _build(project))
    assert '<p class="sql-mark sql-mark--read"><strong>READ</strong>' in html
    assert '<p class="sql-mark sql-mark--stop"><strong>STOP</strong>' in html
    assert html.count("sql-mark--") == 2
    assert html.count('class="sql-block ') == 3
    assert html.count('class="sql-output ') == 1


def test_nothing_else_of_the_page_changes(project: Path) -> None:
    stamped = re.sub(_PLACE, "", _build(project))
    config = (project / "mkdocs.yml").read_text(encoding="utf-8")
    (project / "mkdocs.yml").write_text(
        config.replace("plugins:\n  - sql-snippets\n", "plugins: []\n"), encoding="utf-8"
    )
    plain = _build(project)
    for added in ('class="sql-mark sql-mark--read"', 'class="sql-mark sql-mark--stop"'):
        stamped = stamped.replace(f"<p {added}>", "<p>")
    stamped = stamped.replace("sql-block ", "").replace("sql-output ", "")
    stamped = re.sub(r"\s*<link href=[^>]*/sql-snippets/[^>]*>", "", stamped)
    stamped = re.sub(r"\s*<script src=[^>]*/sql-snippets/[^>]*></script>", "", stamped)
    stamped = re.sub(r' (?:id="block-|data-sql-fill=")[^"]*"', "", stamped)
    while (start := stamped.find('<p class="sql-')) >= 0:
        end = stamped.index("</p>", start) + len("</p>")
        stamped = stamped[:start] + stamped[end:]
    assert _without_build_time(stamped) == _without_build_time(plain)


def _without_build_time(html: str) -> str:
    return html.partition("<!--\nMkDocs version")[0]


def test_block_that_only_the_page_has_stops_the_build(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = project / "docs" / "page.md"
    raw = '<div class="language-sql highlight"><pre><code>drop table x;</code></pre></div>\n'
    page.write_text(f"{PAGE}\n{raw}", encoding="utf-8")
    with pytest.raises(Abort):
        _build(project)
    assert re.search(r"4 SQL blocks and the checks know 3.*drop table x;", caplog.text)


@pytest.mark.parametrize("place", ["before", "after"])
def test_block_of_the_theme_stops_the_build(
    project: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    raw = '<div class="language-sql highlight"><pre><CODE>drop table y;</CODE></pre></div>\n'
    content = f"{raw}{{{{ super() }}}}" if place == "before" else f"{{{{ super() }}}}{raw}"
    (project / "theme").mkdir()
    (project / "theme" / "main.html").write_text(
        f'{{% extends "base.html" %}}{{% block content %}}{content}{{% endblock %}}',
        encoding="utf-8",
    )
    config = CONFIG.replace("{name: mkdocs,", "{name: mkdocs, custom_dir: theme,")
    assert config != CONFIG
    (project / "mkdocs.yml").write_text(config, encoding="utf-8")
    with pytest.raises(Abort):
        _build(project)
    assert "drop table y;" in caplog.text


def test_block_in_a_language_of_another_name_is_seen_as_sql(project: Path) -> None:
    names = "extend_pygments_lang: [{name: warehouse, lang: postgresql}]"
    config = CONFIG.replace("lang_class: true", f"lang_class: true, {names}")
    (project / "mkdocs.yml").write_text(config, encoding="utf-8")
    fences = "".join(
        f"<!-- sql: name={name} -->\n\n```{language}\nselect 'as {language}';\n```\n\n"
        for name, language in (("low", "pgsql"), ("high", "PGSQL"), ("own", "warehouse"))
    )
    text = "```text\nselect 'as pgsql';\n```\n"  # the same words, and no SQL
    page = project / "docs" / "page.md"
    page.write_text(f"{PAGE}\n## Others\n\n{fences}\n{text}", encoding="utf-8")
    html = _build(project)
    for name in ("low", "high", "own"):
        assert html.count(f'id="block-others-{name}"') == 1, name
    assert html.count('data-sql-id="') == 6


def test_block_that_differs_from_what_is_checked_stops_the_build(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = project / "docs" / "page.md"
    raw = '<div class="language-sql highlight"><pre><code>select 0;</code></pre></div>\n'
    page.write_text(PAGE.replace("## Look", f"{raw}\n## Look"), encoding="utf-8")
    with pytest.raises(Abort):
        _build(project)
    assert re.search(r"shows the SQL block 'select 0;' where the checks have", caplog.text)


def test_block_whose_language_is_hidden_stops_the_build(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = project / "mkdocs.yml"
    config.write_text(
        CONFIG.replace("pygments_lang_class: true", "pygments_lang_class: false"), encoding="utf-8"
    )
    with pytest.raises(Abort):
        _build(project)
    assert re.search("pygments_lang_class: true", caplog.text)


def test_site_whose_blocks_nobody_can_find_is_said_in_one_sentence(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = project / "mkdocs.yml"
    config.write_text(CONFIG.replace("  - pymdownx.superfences\n", ""), encoding="utf-8")
    with pytest.raises(Abort):
        _build(project)
    assert re.search(r"sql-snippets: .*pymdownx\.superfences", caplog.text)
    assert "Traceback" not in caplog.text


def test_serving_shows_the_page_in_spite_of_a_difference(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config_file = project / "mkdocs.yml"
    config_file.write_text(
        CONFIG.replace("pygments_lang_class: true", "pygments_lang_class: false"), encoding="utf-8"
    )
    config = load_config(config_file=str(config_file))
    config.plugins.on_startup(command="serve", dirty=False)
    build(config)
    assert (project / "site" / "page" / "index.html").is_file()
    assert "page.md: the page shows 0 SQL blocks and the checks know 3" in caplog.text


def test_served_page_says_which_report_it_was_built_with(project: Path) -> None:
    report = _report(project, _passed(project))
    os.utime(report, ns=(7, 7))
    (project / "docs" / "index.md").write_text("# Without a block\n", encoding="utf-8")
    config = load_config(config_file=str(project / "mkdocs.yml"))
    config.plugins.on_startup(command="serve", dirty=False)
    build(config)
    html = (project / "site" / "page" / "index.html").read_text(encoding="utf-8")
    [data] = re.findall(r'data-sql-page="([^"]+)"', html)
    said = json.loads(unescape(data))
    assert (said["path"], said["version"]) == ("docs/page.md", "7")
    assert len(said["shown"]) == 3
    # A reader may come from a page without a block, whose script stays.
    index = (project / "site" / "index.html").read_text(encoding="utf-8")
    assert "sqlSnippetsLive" in index
    assert 'data-sql-page="' not in index


def _built_page(project: Path) -> str:
    """Return the code of a page without what the highlighter puts around all of it."""
    return _build(project).replace("<code><span></span>", "<code>")


def _ask(server: LiveReloadServer, path: str, **asked: str) -> tuple[str, bytes]:
    said: list[str] = []
    app: Any = server.get_app()
    environ = {"PATH_INFO": path, "QUERY_STRING": urlencode(asked), "REQUEST_METHOD": "GET"}
    body = b"".join(app(environ, lambda status, _: said.append(status)))
    return said[0], body


@pytest.fixture
def server(project: Path) -> Iterator[LiveReloadServer]:
    server = LiveReloadServer(lambda: None, "127.0.0.1", 0, str(project))
    yield server
    server.server_close()


@pytest.fixture
def live(project: Path, server: LiveReloadServer) -> Iterator[LiveStamps]:
    live = LiveStamps(project, _report(project, _passed(project)), project)
    live.attach(server)
    yield live
    live.close()


def test_open_pages_are_told_of_a_new_report_without_a_build(
    project: Path, server: LiveReloadServer, live: LiveStamps
) -> None:
    live.take_up()
    nothing = ("200 OK", b"null")
    assert _ask(server, ADDRESS, page="docs/page.md", seen="") == nothing
    report = _report(project, _passed(project, verdict="failed", reason="It is <not> so."))
    os.utime(report, ns=(1, 1))
    live.take_up()
    status, answer = _ask(server, ADDRESS, page="docs/page.md", seen="")
    assert status == "200 OK"
    said = json.loads(answer)
    known = read_page(project / "docs" / "page.md", load_site(project))
    assert "1 of 3 SQL blocks on this page failed" in said["summary"]
    assert list(said["blocks"]) == [snippet.id for snippet in known.snippets]
    block = said["blocks"][ALL]
    coloured = block["sql"].rstrip("\n")
    assert f"<code>{coloured}" in _built_page(project)
    assert unescape(re.sub("<[^>]+>", "", coloured)) == _known(project).sql.rstrip("\n")
    assert block["output"] == " a&b\n-----\n t\n(1 row)"
    assert "sql-stamp--failed" in block["html"]
    assert "It is &lt;not&gt; so." in block["html"]
    # Nothing twice, and nothing of a page without a verdict.
    seen = said["version"]
    assert _ask(server, ADDRESS, page="docs/page.md", seen=seen) == nothing
    # Nor to a page that was built since: that was said of what stood there before.
    assert _ask(server, ADDRESS, page="docs/page.md", seen=str(int(seen) + 1)) == nothing
    (project / "docs" / "other.md").write_text("# Other\n", encoding="utf-8")
    assert _ask(server, ADDRESS, page="docs/other.md", seen="") == nothing
    # What cannot be read is left to the build, and what is asked besides to the server.
    report.write_text("{", encoding="utf-8")
    live.take_up()
    assert _ask(server, ADDRESS, page="docs/page.md", seen="") == ("200 OK", answer)
    assert _ask(server, "/nowhere")[0].startswith("404")


def test_an_open_page_that_is_taken_away_is_told_so_without_a_build(
    project: Path, server: LiveReloadServer, live: LiveStamps
) -> None:
    live.take_up()
    page = project / "docs" / "page.md"
    text = page.read_text(encoding="utf-8")
    assert _ask(server, ADDRESS, page="docs/page.md", seen="")[1] == b"null"
    # One that a plugin makes never has a file.
    assert _ask(server, ADDRESS, page="docs/made.md", seen="")[1] == b"null"
    page.unlink()
    _, answer = _ask(server, ADDRESS, page="docs/page.md", seen="")
    assert json.loads(answer)["failure"].startswith("docs/page.md is not there any more.")
    assert _ask(server, ADDRESS)[1] == b"null"
    page.write_text(text, encoding="utf-8")
    assert _ask(server, ADDRESS, page="docs/page.md", seen="")[1] == b"null"


def test_a_build_that_fails_again_in_the_same_way_says_why_again(
    project: Path, server: LiveReloadServer
) -> None:
    """MkDocs logs the same error once only, as its command line does."""
    (project / "mkdocs.yml").write_text(CONFIG + "hooks: [refuse.py]\n", encoding="utf-8")
    (project / "refuse.py").write_text(
        "from mkdocs.exceptions import BuildError\n"
        "def on_nav(nav, config, files):\n    raise BuildError('page.md is refused')\n",
        encoding="utf-8",
    )
    server.builder = lambda: build(load_config(str(project / "mkdocs.yml")))
    live = LiveStamps(project, _report(project, _passed(project)), project)
    live.attach(server)
    once = DuplicateFilter()
    log.addFilter(once)
    try:
        for _ in range(2):
            server.builder()
            _, answer = _ask(server, ADDRESS, page="docs/page.md", seen="")
            assert "page.md is refused" in json.loads(answer)["failure"]
    finally:
        log.removeFilter(once)
        live.close()


def test_a_page_that_is_gone_while_it_is_saved_is_not_gone(
    project: Path, server: LiveReloadServer, live: LiveStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.take_up()
    page = project / "docs" / "page.md"
    saved = page.rename(page.with_suffix(".new"))
    monkeypatch.setattr("sql_snippets.mkdocs_live.time.sleep", lambda _: saved.rename(page))
    assert _ask(server, ADDRESS, page="docs/page.md", seen="")[1] == b"null"


def test_a_build_is_asked_for_only_when_the_last_one_did_not_know_the_report(
    project: Path, server: LiveReloadServer, live: LiveStamps
) -> None:
    asked: list[Any] = []
    [watched] = [path for path in server._watched_paths if "sql-snippets" in path]  # noqa: SLF001 - what it watches

    def look() -> int:
        live.take_up()
        live.ask_for_build()
        asked[:] = [path.read_text(encoding="utf-8") for path in Path(watched).iterdir()]
        return len(asked)

    assert look() == 0
    # A build that was started by what was saved knows it ...
    _report(project, _passed(project, seconds=2))
    live.before_build()
    assert look() == 0
    # ... and one that comes in the next moment will.
    report = _report(project, _passed(project, seconds=3))
    now = time.time_ns()
    os.utime(report, ns=(now + 10**12, now + 10**12))
    assert look() == 0
    os.utime(report, ns=(now - 10**12, now - 10**12))
    with underway(report):
        assert look() == 0
    assert look() == 1
    before = list(asked)
    assert look() == 1
    assert asked == before
    live.close()
    assert not Path(watched).exists()


def test_a_build_waits_for_checks_that_are_underway(
    project: Path, live: LiveStamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = project / ".cache" / "sql-snippets" / "report.json"
    events: list[str] = []

    def sleep(_seconds: float) -> None:
        events.append("waited")
        if len(events) == 3:
            checks.close()

    monkeypatch.setattr("sql_snippets.mkdocs_live.time.sleep", sleep)
    live.before_build()
    assert events == []
    checks = ExitStack()
    checks.enter_context(underway(report))
    live.before_build()
    assert events == ["waited"] * 3
    monkeypatch.setattr("sql_snippets.mkdocs_live.PATIENCE_SECONDS", 0)
    with underway(report):
        live.before_build()
    assert events == ["waited"] * 3


def test_only_a_page_that_is_served_asks_for_new_stamps(project: Path) -> None:
    assert ADDRESS not in _build(project)
    config = load_config(config_file=str(project / "mkdocs.yml"))
    config.plugins.on_startup(command="serve", dirty=False)
    build(config)
    assert ADDRESS in (project / "site" / "page" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 3}', '{"format": 3, "items": 3, "server": {}}', "{"]
)
def test_unreadable_report_is_an_error_and_no_stamp(
    project: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = _report(project)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=r"report\.json"):
        read_report(path)
    assert _build(project).count("sql-stamp--unchecked") == 3
    assert "--sql-report" in caplog.text


def test_report_of_another_format_is_refused(project: Path) -> None:
    path = _report(project, format=99)
    with pytest.raises(ReportError, match="format 99; this version reads format 3"):
        read_report(path)


def test_verdict_needs_the_same_sql_and_claims(project: Path) -> None:
    snippet = _known(project)
    report = read_report(_report(project, _passed(project)))
    assert verdict_of(snippet, report) is Verdict.PASSED
    for field in ("sql_sha256", "claims_sha256"):
        for digest in ("0" * 64, None):
            other = read_report(_report(project, _passed(project, **{field: digest})))
            assert verdict_of(snippet, other) is Verdict.UNCHECKED


@pytest.mark.parametrize(
    ("old", "new"),
    [("**READ**", "**WRITE**"), ("name=all", "name=all rows=1"), ("\n t\n", "\n f\n")],
)
def test_stamp_of_other_claims_is_not_shown(project: Path, old: str, new: str) -> None:
    _report(project, _passed(project))
    page = project / "docs" / "page.md"
    assert PAGE.count(old) == 1
    page.write_text(PAGE.replace(old, new), encoding="utf-8")
    stamp = _stamp(_build(project))
    assert "sql-stamp--unchecked" in stamp
    assert "what the page says about it was changed after its last run" in stamp
    assert "Passed" not in stamp


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "under 1 ms"),
        (0.0004, "under 1 ms"),
        (0.0042, "4 ms"),
        (0.25, "250 ms"),
        (1.0, "1.0 s"),
    ],
)
def test_durations_have_no_more_digits_than_needed(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@pytest.mark.parametrize(
    "html",
    [
        '<div class="language-sql highlight"><pre><span></span><code>x &lt; 1</code></pre></div>',
        '<pre class="language-sql highlight"><code>x &lt; 1</code></pre>',
        '<pre><code class="language-sql">x &lt; 1</code></pre>',
    ],
)
def test_every_way_to_write_a_block_is_read(html: str) -> None:
    page = f"<p>a</p>\n<p><strong>WRITE</strong> b</p>\n<!-- sql: once -->\n{html}<p>c</p>"
    (block,) = read_blocks(page)
    assert block.is_sql
    assert block.text == "x < 1"
    assert page[block.tag.start : block.end] == html
    assert block.mark is not None
    assert block.mark.mark.value == "WRITE"


@pytest.mark.parametrize(
    "between",
    ["<p>words</p>", "words", "<h2>x</h2>", "<ul><li>x</li></ul>", "<p><em>READ</em></p>"],
)
def test_mark_belongs_only_to_the_block_directly_below(between: str) -> None:
    page = f'<p><strong>READ</strong></p>{between}<pre><code class="language-sql">x</code></pre>'
    (block,) = read_blocks(page)
    assert block.mark is None


@pytest.mark.parametrize(
    "paragraph", ["<p>x <strong>READ</strong></p>", "<p><strong>Reader</strong></p>"]
)
def test_mark_is_the_first_bold_word(paragraph: str) -> None:
    (block,) = read_blocks(f'{paragraph}<pre><code class="language-sql">x</code></pre>')
    assert block.mark is None


def test_class_is_added_to_those_an_element_has() -> None:
    html = '<div id="a" class="language-sql highlight"><pre><code>x</code></pre></div>'
    (block,) = read_blocks(html)
    added = insert(html, [add_class(html, block.tag, "sql-block")])
    assert added.startswith('<div id="a" class="sql-block language-sql highlight">')


def test_class_and_id_are_put_on_the_block_once() -> None:
    html = '<pre class="language-sql highlight"><code>x</code></pre>'
    (block,) = read_blocks(html)
    assert insert(html, add_id(html, block.tag, "a&b")).startswith('<pre id="a&amp;b" class=')
    named = html.replace("<pre ", '<pre id="mine" ')
    (block,) = read_blocks(named)
    assert add_id(named, block.tag, "other") == []


PYPROJECT = """
[tool.pytest.ini_options]
sql_migrations = "migrations"
sql_role = "app"
"""


def _with_recipe(
    project: Path, *entries: dict[str, Any], settings: str = "", **changes: Any
) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT + settings, encoding="utf-8")
    (project / "migrations").mkdir(exist_ok=True)
    (project / "migrations" / "01_a.sql").write_text("select 1;\n", encoding="utf-8")
    recipe = present_recipe(project)
    _report(
        project,
        *entries,
        **{"recipe": recipe.digest(), "migration_head": recipe.migration_head, **changes},
    )


def test_stamp_is_fresh_while_the_files_of_the_database_are_the_same(project: Path) -> None:
    _with_recipe(project, _passed(project))
    html = _build(project)
    assert "sql-stamp--passed" in _stamp(html)
    assert "sql-stamp--stale" not in html


def test_stamp_is_stale_after_an_edit_of_a_migration(project: Path) -> None:
    _with_recipe(project, _passed(project))
    (project / "migrations" / "01_a.sql").write_text("select 2;\n", encoding="utf-8")
    html = _build(project)
    assert "sql-stamp--stale" in _stamp(html)
    assert "Passed" not in _stamp(html)
    assert "the files of the database were changed since" in _stamp(html)


def test_stamp_is_stale_after_a_new_migration(project: Path) -> None:
    _with_recipe(project, _passed(project))
    (project / "migrations" / "02_b.sql").write_text("select 2;\n", encoding="utf-8")
    assert "Out of date" in _stamp(_build(project))
    assert "the last migration was 01_a then" in _stamp(_build(project))


def test_failure_stays_a_failure_when_the_database_changes(project: Path) -> None:
    _with_recipe(project, _passed(project, verdict="failed", reason="broken"), recipe="0" * 64)
    stamp = _stamp(_build(project))
    assert "sql-stamp--failed" in stamp
    assert "changed since" in stamp


def test_page_whose_blocks_are_out_of_date_says_so_at_its_top(project: Path) -> None:
    text = PAGE.partition("**STOP**")[0]
    (project / "docs" / "page.md").write_text(text, encoding="utf-8")
    _with_recipe(project, _passed(project), recipe="0" * 64)
    assert 'class="sql-summary sql-summary--stale"' in _build(project)


def test_settings_that_cannot_be_read_are_said(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _report(project, _passed(project), recipe="0" * 64)
    (project / "pyproject.toml").write_text("[tool", encoding="utf-8")
    assert "sql-stamp--passed" in _stamp(_build(project))
    assert f"{project / 'pyproject.toml'}: " in caplog.text


_SINCE_PYTEST_9 = (
    ("pyproject.toml", '[tool.pytest]\nsql_role = "x"\n'),
    ("pytest.toml", '[pytest]\nsql_role = "x"\n'),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nsql_role = x\nother = 1\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nsql_role = "x"\nother = 1\n'),
        ("tox.ini", "[pytest]\nsql_role = x\n"),
        ("setup.cfg", "[tool:pytest]\nsql_role = x\n"),
        *(_SINCE_PYTEST_9 if pytest.version_tuple >= (9,) else ()),
    ],
)
def test_settings_are_read_where_pytest_has_them(tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    assert find_project(folder) == (folder, {})
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert find_project(folder) == (tmp_path, {"role": "x"})


GENERATED = CONFIG.replace(
    "  - sql-snippets\n",
    "  - sql-snippets: {verification: seen.md, drill_log: log.yml}\n",
)

DRILL = """
<!-- sql: drill=gone -->

## Gone

<!-- sql: name=look step=confirm -->

```sql
select 10;
```

<!-- sql: name=mend step=resolve -->

```sql
select 11;
```
"""


@pytest.fixture
def generated(project: Path) -> Path:
    (project / "mkdocs.yml").write_text(GENERATED, encoding="utf-8")
    (project / "docs" / "page.md").write_text(PAGE + DRILL, encoding="utf-8")
    (project / "log.yml").write_text("drills: []\n", encoding="utf-8")
    return project


def _page(project: Path, name: str) -> str:
    return (project / "site" / name / "index.html").read_text(encoding="utf-8")


def test_generated_page_shows_what_was_seen_of_a_block(generated: Path) -> None:
    danger = {"level": "STOP", "seen": ["rows of <x> deleted"]}
    _with_recipe(generated, _passed(generated, danger=danger, cached=True))
    html = _build(generated)
    assert 'id="block-look-all"' in html
    seen = _page(generated, "seen")
    row = next(line for line in seen.splitlines() if ">all</a>" in line)
    assert 'href="../page/#block-look-all"' in row
    assert '<time class="sql-run" datetime="2026-11-05T23:59:59+00:00">' in seen
    assert "with the incident produced" in seen
    for words in ("Passed", "READ", "STOP", "rows of &lt;x&gt; deleted", "4 ms", "(kept)"):
        assert words in row
    assert "Kept: it passed in an earlier run" in seen
    assert re.search(
        r"<td>4 ms</td><td><span[^>]*>STOP</span> rows of &lt;x&gt; deleted</td></tr>", row
    )
    assert "1 passed, 4 not checked, of 5" in seen
    assert "01_a" in seen.replace("<wbr>", "")  # a name may break at its joint
    assert "unchanged" in seen


def test_generated_page_tells_changed_blocks_from_new_ones(generated: Path) -> None:
    _with_recipe(generated, _passed(generated, sql_sha256="0" * 64))
    _build(generated)
    rows = [line for line in _page(generated, "seen").splitlines() if "Not checked" in line]
    assert sum("the SQL was changed after its last run" in row for row in rows) == 1


def test_generated_page_without_a_report_says_so(generated: Path) -> None:
    _build(generated)
    assert "No run yet." in _page(generated, "seen")
    assert "sql-verdict--passed" not in _page(generated, "seen")


def _drill_row(project: Path) -> str:
    (row,) = re.findall(r'<tr><td><a href="../page/#gone">.*', _page(project, "seen"))
    return str(row)


def test_drill_whose_step_was_changed_is_not_checked(generated: Path) -> None:
    known = read_page(generated / "docs" / "page.md", load_site(generated)).snippets
    steps = [_entry(id=step.id, **_digests(step)) for step in known if step.section == "gone"]
    assert len(steps) == 2
    drill = {"id": "docs/page.md::gone::drill", "kind": "drill", "verdict": "passed"}
    _with_recipe(generated, *steps, {**drill, "seconds": 2.5, "reason": None})
    _build(generated)
    assert "Passed" in _drill_row(generated)
    page = generated / "docs" / "page.md"
    page.write_text(PAGE + DRILL.replace("select 11", "select 12"), encoding="utf-8")
    _build(generated)
    assert "Not checked" in _drill_row(generated)


DONE = "{date: 2026-11-02, section: gone, by: Me, minutes: 3, result: done, notes: Well}"


def test_log_shows_drills_latest_first(generated: Path) -> None:
    (generated / "log.yml").write_text(
        f"drills:\n- {DONE}\n- {DONE.replace('11-02', '11-03')}\n", encoding="utf-8"
    )
    _build(generated)
    html = _page(generated, "seen")
    assert html.index("2026-11-03</time>") < html.index("2026-11-02</time>")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'must hold one list, "drills"'),
        ("drills: 3", 'must hold one list, "drills"'),
        ("drills: [", "is not YAML"),
        ("drills: [{date: 2026-11-02}]", "drill 1: it needs by, date, minutes"),
        (f"drills: [{DONE.replace('2026-11-02', 'soon')}]", "write YYYY-MM-DD"),
        (f"drills: [{DONE.replace('2026', '2999')}]", "is in the future"),
        (
            f"drills: [{DONE.replace('gone', 'other')}]",
            "section 'other' is not a drill; the drills are gone",
        ),
        (f"drills: [{DONE.replace('minutes: 3', 'minutes: 0')}]", "a whole number above 0"),
        (f"drills: [{DONE.replace('minutes: 3', 'minutes: true')}]", "a whole number above 0"),
        (f"drills: [{DONE.replace('result: done', 'result: well')}]", "write done or escalated"),
        (f"drills: [{DONE.replace('by: Me', 'by: ')}]", "write a few words"),
    ],
)
def test_log_that_is_wrong_stops_the_build(
    generated: Path, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    (generated / "log.yml").write_text(text, encoding="utf-8")
    with pytest.raises(Abort):
        _build(generated)
    assert "log.yml" in caplog.text
    assert said in caplog.text
