"""What a page says about the last run of each of its blocks, as HTML, from the run's report."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from sql_snippets.results.report import Entry, Report, Verdict, hash_claims, hash_sql
from sql_snippets.sqltext.placeholders import describe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sql_snippets.database.recipes import Recipe
    from sql_snippets.model import Page, Snippet

UNDERWAY = "the checks have not reached it yet"
INCIDENT = "with the incident produced"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Drawn at the top of a page.
_MOST_REASONS = 3


def compare_with(report: Report, recipe: Recipe) -> Report:
    """Return the report with what has changed since in the files of the database."""
    report = replace(report, has_platform=bool(recipe.platform))
    if report.check_error is not None:
        return replace(report, stale="the checks could not be run again")
    if report.recipe is None or report.recipe == recipe.digest():
        return replace(report, stale=None, unknown=not recipe.is_known)
    if report.migration_head != recipe.migration_head:
        stale = f"the last migration was {report.migration_head or 'none'} then"
    else:
        stale = "the files of the database were changed since"
    return replace(report, stale=stale)


def entry_for(snippet: Snippet, report: Report | None) -> Entry | None:
    """Return the run of this very text: a run of what stood here before proves nothing."""
    run = report.by_id.get(snippet.id) if report else None
    return run if run is not None and change_since(snippet, run) is None else None


def change_since(snippet: Snippet, run: Entry) -> str | None:
    """Return what of a block was changed after its run; None when it is what was run."""
    if run.sql_sha256 != hash_sql(snippet.sql):
        return "the SQL was changed after its last run"
    if run.claims_sha256 != hash_claims(snippet):
        return "what the page says about it was changed after its last run"
    return None


def verdict_of(snippet: Snippet, report: Report | None) -> Verdict:
    """Return what is known about a block as it stands on the page now."""
    run = entry_for(snippet, report)
    return Verdict.UNCHECKED if run is None or report is None else verdict_now(run, report)


def verdict_now(run: Entry, report: Report) -> Verdict:
    """Return the verdict of a run as it counts now: on another database it would be a new run."""
    return Verdict.STALE if report.stale and run.verdict is Verdict.PASSED else run.verdict


def show_time(moment: datetime, kind: str = "") -> str:
    """Return a time as a person writes it, the same in every locale, that a program can read too.

    ``kind`` is the class of the element.
    """
    words = f"{moment.day} {_MONTHS[moment.month - 1]} {moment:%Y %H:%M} UTC"
    name = f' class="{kind}"' if kind else ""
    return f'<time{name} datetime="{moment.isoformat()}">{words}</time>'


def show_seconds(seconds: float) -> str:
    """Return a duration with no more digits than a reader needs."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "under 1 ms"
    return f"{milliseconds} ms" if seconds < 1 else f"{seconds:.1f} s"


def where(report: Report) -> list[str]:
    """Return what the blocks ran on: nothing when the run needed no server."""
    server = report.server
    if not server.version:
        return []
    facts = [f"PostgreSQL {escape(server.number)}"]
    if server.real_parts:
        facts.append(f"real {escape(', '.join(server.real_parts))}")
    if server.stand_ins:
        facts.append(f"stand-ins for {escape(', '.join(server.stand_ins))}")
    elif report.has_platform and not server.real_parts:
        facts.append("platform parts: stand-ins")
    return facts


WORDS = {
    Verdict.PASSED: "Passed",
    Verdict.STALE: "Out of date",
    Verdict.FAILED: "Failed",
    Verdict.SKIPPED: "Skipped",
    Verdict.UNCHECKED: "Not checked",
}


def _facts(*facts: str) -> str:
    return "".join(f'<span class="sql-stamp__fact">{fact}</span>' for fact in facts)


def block_anchor(snippet: Snippet) -> str:
    """Return the id by which a link finds the block on its page."""
    return f"block-{snippet.section}-{snippet.name}"


def mark_place(snippet: Snippet) -> str:
    """Return the style by which the tick of a block finds its mark."""
    return f"--sql-mark:--{re.sub(r'[^a-z0-9-]', '_', block_anchor(snippet))}"


def places_to_fill(snippet: Snippet, report: Report | None) -> list[dict[str, object]]:
    """Return the placeholders of a block, for the form on its page.

    Each has the ``type`` of its value where a run of this very text has told it, else null.
    """
    run = entry_for(snippet, report)
    types = {each.name: each.type for each in run.placeholders} if run is not None else {}
    return [{**place, "type": types.get(str(place["name"]))} for place in describe(snippet.sql)]


def stamp(snippet: Snippet, report: Report | None) -> str:
    """Return the HTML that stands below a block."""
    run = entry_for(snippet, report)
    reason = ""
    if run is None or report is None:
        verdict, word = Verdict.UNCHECKED, WORDS[Verdict.UNCHECKED]
        before = report.by_id.get(snippet.id) if report else None
        change = change_since(snippet, before) if before else None
        # What the checks have not come to yet may have had a verdict a moment ago.
        none = "not run yet" if report is None or report.complete else UNDERWAY
        facts = _facts(change or none)
    elif run.verdict is Verdict.SKIPPED:
        verdict, word = run.verdict, WORDS[run.verdict]
        facts = _facts(escape(run.reason or snippet.skipped or ""))
    elif was_not_run(run, report):
        verdict, word = run.verdict, WORDS[run.verdict]
        facts = _facts(escape(run.reason or ""))
    else:
        verdict = verdict_now(run, report)
        word = WORDS[verdict]
        shown = [show_time(run.checked or report.created), *where(report)]
        if report.stale:
            shown.insert(0, escape(report.stale))
        if snippet.claims.scenario and run.isolation is not None:
            shown.append(INCIDENT)
        if run.danger is not None:
            shown.append(
                "not measured" if run.danger.unmeasured else f"measured {run.danger.level}"
            )
        if run.seconds is not None:
            shown.append(show_seconds(run.seconds))
        facts = _facts(*shown)
        said = run.drawn or run.reason
        if verdict is Verdict.FAILED and said:
            reason = f'<span class="sql-stamp__reason">{escape(said.strip())}</span>'
    named = f'class="sql-stamp sql-stamp--{verdict}" data-sql-id="{escape(snippet.id)}"'
    said = f'<span class="sql-stamp__verdict">{word}</span>'
    if verdict is Verdict.PASSED:
        # What went well needs a tick; what else is known of it is there for who asks.
        place = f'style="{mark_place(snippet)}"'
        return f"<details {named} {place}><summary>{said}</summary>{facts}</details>"
    return f"<p {named}>{said}{facts}{reason}</p>"


def was_not_run(run: Entry, report: Report) -> bool:
    """Whether there was no database for an item: why is said once, for all of them."""
    is_told = run.drawn is not None
    return report.database_error is not None and run.verdict is Verdict.FAILED and not is_told


def what_hindered(report: Report | None) -> str:
    """Return the HTML that says why there was no database, or why there were no new verdicts."""
    if report is None:
        return ""
    return _drawn([report.check_error or "", report.database_error or ""])


def failed_beside_blocks(path: str, report: Report | None) -> list[Entry]:
    """Return what failed of a page's tables, facts, names, drills and directives."""
    return [
        run
        for run in (report.items if report else ())
        if run.page == path and run.kind != "block" and run.verdict is Verdict.FAILED
    ]


def _drawn(texts: Iterable[str]) -> str:
    """Draw failures that have no block to stand below, each text once."""
    shown = [text for text in dict.fromkeys(map(str.strip, texts)) if text][:_MOST_REASONS]
    return "".join(f'<span class="sql-stamp__reason">{escape(text)}</span>' for text in shown)


def summary(page: Page, report: Report | None) -> str:
    """Return what stands at the top of a page: how its blocks are, and what failed beside them."""
    verdicts = [verdict_of(snippet, report) for snippet in page.snippets]
    failed = verdicts.count(Verdict.FAILED)
    unchecked = verdicts.count(Verdict.UNCHECKED)
    skipped = verdicts.count(Verdict.SKIPPED)
    run = len(verdicts) - skipped
    blocks = "1 SQL block" if run == 1 else f"{run} SQL blocks"
    state, words = "passed", f"All {blocks} on this page passed"
    if run == 1:
        words = "The SQL block on this page passed"
    runs = [entry_for(snippet, report) for snippet in page.snippets]
    not_run = sum(one is not None and was_not_run(one, report) for one in runs) if report else 0
    if failed and not_run:
        state, words = "failed", f"{not_run} of {blocks} on this page could not be run"
    elif failed:
        state, words = "failed", f"{failed} of {blocks} on this page failed"
    elif unchecked:
        state, words = "unchecked", f"{unchecked} of {blocks} on this page not checked"
    elif Verdict.STALE in verdicts and report is not None:
        state = "stale"
        words = f"{blocks} on this page passed, but {escape(report.stale or '')}"
    elif run == 0:
        state, words = "unchecked", "No SQL block on this page is run"
    facts = [words]
    others = failed_beside_blocks(page.path, report)
    if others:
        state = "failed"
        facts.append(f"{len(others)} other claim{'s' if len(others) > 1 else ''} failed")
    if report is not None and unchecked < len(verdicts):
        facts += [show_time(report.created), *where(report)]
    line = " · ".join(facts)
    ran = [one for one in others if report is not None and not was_not_run(one, report)]
    said = what_hindered(report) + _drawn(one.drawn or one.reason or "" for one in ran)
    return f'<p class="sql-summary sql-summary--{state}">{line}{said}</p>'
