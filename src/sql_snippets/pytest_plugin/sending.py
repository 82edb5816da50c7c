"""What an item gave, put on pytest's report: under xdist, the way to the process that gathers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.codec import encode
from sql_snippets.model import Failure, Location
from sql_snippets.pytest_plugin.claims import ClaimsFailed, failures_of
from sql_snippets.pytest_plugin.databases import NoDatabase
from sql_snippets.pytest_plugin.items import SqlItem
from sql_snippets.pytest_plugin.run import ATTRIBUTE, run_of
from sql_snippets.results.diagnostics import draw_failure
from sql_snippets.results.report import Entry, RanOn, ServerFacts, Verdict
from sql_snippets.results.rewrite import Edit  # noqa: TC001 - `codec` reads the types of fields
from sql_snippets.servers.server import is_of_the_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from sql_snippets.database.databases import Template

_DIED = (
    "The server died while this was run. The rest of the run uses a new one; "
    "if that dies too, no further server is started."
)

_NOT_RUN = "not run: the database cannot be built"


@dataclass(frozen=True, slots=True)
class Sent:
    """What travels: with an ``entry`` where there is a verdict, and its ``key`` if it is kept."""

    place: Location
    database_error: str | None
    entry: Entry | None
    key: str | None
    failures: tuple[Failure, ...]
    edits: tuple[Edit, ...]
    ran_on: RanOn | None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send along what the report needs; under xdist this is how it reaches the controller."""
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(item, SqlItem) and call.when == "call" and isinstance(error, ClaimsFailed):
        # Imported with what runs and judges, of which a run in which nothing fails has no need.
        from sql_snippets.pytest_plugin.repeating import blame  # noqa: PLC0415 - see above

        blame(item, error)
    report = yield
    if not isinstance(item, SqlItem) or (report.passed and report.when != "call"):
        return report
    run = run_of(item.config)
    failures: tuple[Failure, ...] = ()
    if report.failed and call.excinfo is not None:
        if _lost_server(item, call.excinfo.value):
            place = str(item.place)
            report.longrepr = f"{place}: error: {_DIED}\n{_first_line(call.excinfo.value)}"
        failures = failures_of(call.excinfo.value, item.place) if call.when == "call" else ()
        failures = failures or (Failure(item.place, _first_line(call.excinfo.value)),)
    verdict: Verdict | None = None
    if report.failed:
        verdict = Verdict.FAILED
    elif report.skipped:
        verdict = Verdict.SKIPPED
    elif report.when == "call":
        verdict = Verdict.PASSED
    reason = failures[0].message.partition("\n")[0] if failures else None
    missing = error if isinstance(error, NoDatabase) and call.when == "setup" else None
    if missing is not None:
        reason = _NOT_RUN
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    sent = Sent(
        place=item.place,
        # Why there is no database is told once, and not beside all that was not run.
        database_error=str(missing) if missing is not None else None,
        entry=replace(
            _entry_of(item, verdict, reason, () if missing else failures),
            migration=error.migration if isinstance(error, ClaimsFailed) else None,
        )
        if verdict
        else None,
        key=item.key if item.kept is None else None,
        failures=failures,
        edits=tuple(item.edits),
        ran_on=item.kept.ran_on if item.kept is not None else _ran_on(run.opened),
    )
    setattr(report, ATTRIBUTE, encode(sent))
    return report


def _entry_of(
    item: SqlItem, verdict: Verdict, reason: str | None, failures: tuple[Failure, ...]
) -> Entry:
    if item.kept is not None and verdict is Verdict.PASSED:
        kept = item.kept
        known = replace(kept.entry, cached=True, checked=kept.at)
        return replace(known, nodeid=item.nodeid, line=item.place.line)
    drawn = "\n\n".join(draw_failure(item.config.rootpath, failure) for failure in failures)
    return replace(item.entry(verdict, reason), drawn=drawn or None)


def _lost_server(item: SqlItem, error: BaseException) -> bool:
    """Whether the server died; what runs next is then on a new one."""
    if isinstance(error, ClaimsFailed):
        suspicious = any((f.sqlstate or "").startswith(("08", "57P")) for f in error.failures)
    else:
        suspicious = isinstance(error, OSError | pytest.fail.Exception) or is_of_the_server(error)
    return suspicious and item.workplace.has_died()


def _ran_on(template: Template | None) -> RanOn | None:
    """Return what the report says about the server, from the process that knows it."""
    if template is None:
        return None
    server = template.server
    facts = ServerFacts(server.kind, server.version, server.real_parts, template.stand_ins)
    return RanOn(facts, template.migration_head, template.recipe_digest)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, pytest.fail.Exception) else f"{type(error).__name__}: {text}"
