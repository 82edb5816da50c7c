"""A page that nobody writes: what the last run found of each block, claim and drill.

It is Markdown with tables in HTML, so that a link can lead to a block: its anchor is put into the
page only when the page is written, where a Markdown link to it would not be found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sql_snippets.model import TOP
from sql_snippets.results.report import Verdict
from sql_snippets.results.stamps import (
    INCIDENT,
    WORDS,
    block_anchor,
    change_since,
    entry_for,
    show_seconds,
    show_time,
    verdict_now,
    verdict_of,
    what_hindered,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sql_snippets.model import Drill, Page, Snippet
    from sql_snippets.results.drill_log import DoneDrill
    from sql_snippets.results.report import Entry, Report

# Generated from other pages, so a search would find everything twice.  The list of headings would
# take its room from the tables, which need it.
_FRONT = "---\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n\n"
_RUN_TIME = "sql-run"
"""The class of the time that a whole page is of, by which a script can let it look its age."""
_KEPT = "Kept: it passed in an earlier run, and nothing it depends on has changed since.\n"
_WORDS_OF_A_STAMP = f"""\
## What a stamp says

Below each block a stamp says what the last run of that block found.

| Words | Meaning |
| --- | --- |
| Passed | Everything that the page says of the block was true when it ran. |
| Passed long ago | It passed, more than 30 days before now. |
| Out of date | It passed, but the files of the database were changed since, or the checks broke. |
| Not checked | There is no run of this text: it is new, or was changed after the run. |
| {INCIDENT} | The block ran on a database that had the trouble of its section. |
| measured READ, WRITE or STOP | What the run was seen to do, whatever the mark says. |
| 12 ms | How long the run took. What takes far longer for a reader waits for a lock. |
"""
_WORDS_OF_DRILLS = """\
## Drills

A drill produces an incident, then follows its section of the page from top to bottom.
"""
_WORDS_OF_PARTS = """\
| platform parts: stand-ins | Equivalents in plain SQL replaced the hosting platform's parts. |
| real, and names | These parts were the real ones. |
"""
_KINDS = {
    "table": "table against the catalog",
    "facts": "facts",
    "unchecked-fact": "fact that no query checks",
    "identifiers": "names in the text",
    "drill": "drill",
    "fault": "fault",
}


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages with something to check, and how a page and an anchor on it are addressed."""

    pages: Sequence[Page]
    address: Callable[[str, str], str]
    report: Report | None = None
    command: str = "pytest --sql-report FILE"
    log: Sequence[DoneDrill] | None = field(default=None)


def title_of(anchor: str) -> str:
    """Return a section's title as far as its anchor tells it."""
    words = anchor.replace("-", " ")
    return words[:1].upper() + words[1:]


def _page_title(page: Page) -> str:
    """Return the first heading of a page, else what its file is called."""
    return page.titles.get(TOP) or title_of(PurePosixPath(page.path).stem)


def _as_markdown(text: str) -> str:
    """Return a text that means nothing but itself in Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|~^-])", r"\\\1", escape(text, quote=False))


def _table(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="sql-table sql-table--{name}">\n<table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _folded(name: str, header: Sequence[str], rows: Sequence[tuple[Verdict, Sequence[str]]]) -> str:
    """Return a table of what did not pass, and one of what did, which opens when it is tapped."""
    passed = [cells for verdict, cells in rows if verdict is Verdict.PASSED]
    others = [cells for verdict, cells in rows if verdict is not Verdict.PASSED]
    parts = [_table(name, header, others)] if others else []
    if passed:
        parts.append(
            f'<details class="sql-folded">\n'
            f"<summary>{len(passed)} {show_verdict(Verdict.PASSED)}</summary>\n"
            f"{_table(name, header, passed)}</details>\n"
        )
    return "\n".join(parts)


def show_verdict(verdict: Verdict, reason: str | None = None) -> str:
    """Return a verdict as the stamps show it, with the first line of its reason."""
    words = f'<span class="sql-verdict sql-verdict--{verdict}">{WORDS[verdict]}</span>'
    line = next((line.strip() for line in (reason or "").splitlines() if line.strip()), "")
    return f"{words} {escape(line)}" if line else words


def _time_of(run: Entry | None) -> str:
    return show_seconds(run.seconds) if run is not None and run.seconds is not None else ""


def _mark(mark: str | None) -> str:
    if mark is None:
        return ""
    return f'<span class="sql-word sql-word--{mark.lower()}">{mark}</span>'


def _block_link(given: Pages, snippet: Snippet) -> str:
    url = given.address(snippet.page, block_anchor(snippet))
    return f'<a href="{escape(url)}">{escape(snippet.name)}</a>'


def _section_link(given: Pages, page: str, section: str) -> str:
    url = given.address(page, "" if section == TOP else section)
    titles = next((each.titles for each in given.pages if each.path == page), {})
    return f'<a href="{escape(url)}">{escape(titles.get(section) or title_of(section))}</a>'


def _no_run(given: Pages) -> str:
    return f"**No run yet.** Nothing below was checked. To check it: `{given.command}`.\n"


def _facts(given: Pages, report: Report) -> str:
    snippets = [snippet for page in given.pages for snippet in page.snippets]
    verdicts = [verdict_of(snippet, report) for snippet in snippets]
    others = [verdict_now(run, report) for run in report.items if run.kind in _KINDS]
    number = report.server.number
    server = f"PostgreSQL {escape(number)}" if number else "none was needed"
    kind = f" ({escape(report.server.kind)})" if number else ""
    rows = [
        ("SQL blocks", _count(verdicts)),
        ("Other claims", _count(others)),
        ("Last run", show_time(report.created, _RUN_TIME)),
        ("Server", server + kind),
        *_parts(report),
        ("Last migration", f"<code>{_breakable(report.migration_head or 'none')}</code>"),
        ("Database files", f"<code>{escape((report.recipe or 'unknown')[:12])}</code>"),
        ("Since then", _since(report)),
    ]
    return _table("facts", ("What", "Value"), rows)


def _breakable(name: str) -> str:
    """Let a long name break where it has a joint, and not before its last letter."""
    return escape(name).replace("_", "_<wbr>")


def _parts(report: Report) -> list[tuple[str, str]]:
    """Say which parts of the platform were real, where there is one."""
    if not (report.server.real_parts or report.has_platform):
        return []
    real = escape(", ".join(report.server.real_parts)) or "none: stand-ins"
    stand_ins = escape(", ".join(report.server.stand_ins))
    return [
        ("Real parts", real),
        *([("Parts replaced by stand-ins", stand_ins)] if stand_ins else []),
    ]


def _count(verdicts: Sequence[Verdict]) -> str:
    """Say how many there are of each verdict."""
    counted = [
        f"{verdicts.count(verdict)} {WORDS[verdict].lower()}"
        for verdict in Verdict
        if verdict in verdicts
    ]
    return f"{', '.join(counted)}, of {len(verdicts)}" if counted else "none"


def _since(report: Report) -> str:
    if report.stale:
        return show_verdict(Verdict.STALE, report.stale)
    return "not known: a command makes the migrations" if report.unknown else "unchanged"


def _block_row(given: Pages, snippet: Snippet) -> tuple[Verdict, tuple[str, ...]]:
    run = entry_for(snippet, given.report)
    verdict = verdict_of(snippet, given.report)
    reason = run.reason if run is not None and verdict is not Verdict.PASSED else None
    before = given.report.by_id.get(snippet.id) if given.report else None
    if before is not None:
        reason = change_since(snippet, before) or reason
    seen = ""
    if run is not None and run.danger is not None:
        unmeasured = [f"not measured: {text}" for text in run.danger.unmeasured]
        level = "" if unmeasured else _mark(run.danger.level)
        seen = " ".join(filter(None, (level, escape("; ".join([*run.danger.seen, *unmeasured])))))
    again = " (kept)" if run is not None and run.cached else ""
    mark = snippet.claims.mark.value if snippet.claims.mark else None
    return verdict, (
        f"{_block_link(given, snippet)}<br>{_section_link(given, snippet.page, snippet.section)}",
        show_verdict(verdict, reason) + again,
        _mark(mark),
        _time_of(run),
        # The longest stands last, and pushes nothing out of sight.
        seen,
    )


def _other_rows(given: Pages, page: Page, report: Report) -> list[tuple[Verdict, tuple[str, ...]]]:
    rows: list[tuple[Verdict, tuple[str, ...]]] = []
    for run in report.items:
        if run.page != page.path or run.kind not in _KINDS or run.kind == "drill":
            continue
        verdict = verdict_now(run, report)
        cells = (
            f"{escape(run.name)}<br>{_section_link(given, run.page, run.section)}"
            if run.section
            else escape(title_of(run.name)),
            show_verdict(verdict, None if verdict is Verdict.PASSED else run.reason),
            _KINDS[run.kind],
            "" if verdict is Verdict.SKIPPED else _time_of(run),
        )
        rows.append((verdict, cells))
    return rows


def verification_page(given: Pages) -> str:
    """Return the page with each item of the site and what the last run found of it."""
    parts = [
        _FRONT,
        "# Verification\n",
        "What the last run of the checks found. The run writes this page; nobody edits it.\n",
        _no_run(given) if given.report is None else _facts(given, given.report),
    ]
    if given.report is not None and (why := what_hindered(given.report)):
        words = "No database" if given.report.check_error is None else "No new verdicts"
        parts.append(f'<p class="sql-summary sql-summary--failed">{words}{why}</p>\n')
    # The page with most to check is the one that people come for.
    for page in sorted(given.pages, key=lambda page: -len(page.snippets)):
        rows = [_block_row(given, snippet) for snippet in page.snippets]
        if rows:
            parts.append(f"## {_as_markdown(_page_title(page))}\n")
            header = ("Block", "Verdict", "Mark", "Time", "Measured")
            parts.append(_folded("blocks", header, rows))
            runs = [entry_for(snippet, given.report) for snippet in page.snippets]
            if any(run is not None and run.cached for run in runs):
                parts.append(_KEPT)
        others = _other_rows(given, page, given.report) if given.report else []
        if others:
            parts.append(f"### Other claims of {_as_markdown(_page_title(page))}\n")
            parts.append(_folded("claims", ("Claim", "Verdict", "Kind", "Time"), others))
    parts += _drills(given)
    words = _WORDS_OF_PARTS if given.report is not None and _parts(given.report) else ""
    parts.append(_WORDS_OF_A_STAMP + words)
    return "\n".join(parts)


def _drills(given: Pages) -> list[str]:
    """Say how each drill went, and which were done by people."""
    drills = [drill for page in given.pages for drill in page.drills]
    parts = []
    if drills:
        rows = [_drill_row(given, drill) for drill in drills]
        header = ("Section", "Verdict", "Steps")
        parts += [_WORDS_OF_DRILLS, _folded("drills", header, rows)]
    if given.log is not None:
        parts += ["## Drills done by people {#log}\n", _log(given)]
    return parts


def _drill_row(given: Pages, drill: Drill) -> tuple[Verdict, tuple[str, ...]]:
    run = given.report.by_id.get(drill.id) if given.report else None
    verdict = run.verdict if run else Verdict.UNCHECKED
    # A block of another section is a step by other claims than those that it was run by itself.
    known = {snippet.id: snippet for page in given.pages for snippet in page.snippets}
    if any(entry_for(known[step.id], given.report) is None for step in drill.steps):
        verdict = Verdict.UNCHECKED  # a step is not what was run
    elif given.report is not None and given.report.stale and verdict is Verdict.PASSED:
        verdict = Verdict.STALE
    reason = run.reason if run and verdict is Verdict.FAILED else None
    section = _section_link(given, drill.page, drill.section)
    return verdict, (section, show_verdict(verdict, reason), str(len(drill.steps)))


def _log(given: Pages) -> str:
    if not given.log:
        return "None yet.\n"
    places = {drill.section: drill.page for page in given.pages for drill in page.drills}
    rows = [
        (
            show_date_of(done),
            _section_link(given, places[done.section], done.section),
            escape(done.by),
            str(done.minutes),
            escape(done.result),
            escape(done.notes),
        )
        for done in given.log
    ]
    return _table("log", ("Date", "Drill", "By", "Minutes", "Result", "Notes"), rows)


def show_date_of(done: DoneDrill) -> str:
    """Return the day of a drill as an element that a program can read too."""
    return f'<time datetime="{done.date.isoformat()}">{done.date.isoformat()}</time>'
