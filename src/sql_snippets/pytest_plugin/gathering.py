"""What the items gave, gathered: into the report, the kept verdicts, the pages and JUnit's file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from _pytest.junitxml import xml_key

from sql_snippets.codec import decode
from sql_snippets.pytest_plugin.run import ATTRIBUTE
from sql_snippets.pytest_plugin.sending import Sent
from sql_snippets.results.report import (
    RanOn,
    Report,
    ReportError,
    ServerFacts,
    Verdict,
    make_report,
    write_report,
)
from sql_snippets.results.rewrite import write_back
from sql_snippets.results.verdicts import Kept

if TYPE_CHECKING:
    from sql_snippets.pytest_plugin.run import Run


class Results:
    """The process that shows results gathers them, from itself or from xdist's workers."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self.config = config
        self.run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep one result."""
        values = getattr(report, ATTRIBUTE, None)
        if values is None or str(report.outcome) == "rerun":  # pytest-rerunfailures: one more comes
            return
        run, sent = self.run, decode(Sent, values)
        entry, key = sent.entry, sent.key
        if key is not None and report.failed:
            run.new_verdicts.pop(key, None)
        if entry is not None:
            run.cached += entry.cached and report.when == "call"
            if key is not None and sent.ran_on is not None and entry.verdict is Verdict.PASSED:
                now = datetime.now(UTC).replace(microsecond=0)
                run.new_verdicts[key] = Kept(now, entry, sent.ran_on)
            # A tear-down comes after the verdict of the call and may only make it worse.
            before = run.entries.get(entry.id)
            if before is None or before.verdict is not Verdict.FAILED:
                run.entries[entry.id] = entry
        is_told = sent.database_error is not None and run.database_error is not None
        run.database_error = sent.database_error or run.database_error
        if not is_told:
            run.failures += sent.failures
        for edit in sent.edits:
            start = -1 if edit.fix.columns is None else edit.fix.columns[0]
            run.edits.setdefault((edit.path, edit.fix.line, start), edit)
        run.ran_on = sent.ran_on or run.ran_on
        xml = self.config.stash.get(xml_key, None)
        if xml is not None and report.when != "teardown":
            # JUnit's legacy family has the fields; pytest itself writes the line counted from 0.
            reporter = xml.node_reporter(report)
            reporter.add_attribute("file", sent.place.path)
            reporter.add_attribute("line", sent.place.line)

    def pytest_keyboard_interrupt(self) -> None:
        """End the server at once: workers do not hear of an interrupt and wait for it."""
        self.run.end()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for; not being able to is a failure of the run."""
        run = self.run
        if self.config.option.collectonly:
            return
        run.verdicts.keep(run.new_verdicts)
        written, refused = write_back(run.edits.values())
        is_whole = session.exitstatus != pytest.ExitCode.INTERRUPTED
        for edit in written:
            run.notes.append(f"wrote the {'cell' if edit.is_cell else 'output'} at {edit}")
            if edit.changing:
                names = ",".join(edit.changing)
                run.notes[-1] += f"; it will differ next time: add volatile={names} above the block"
        run.notes += [f"error: {reason}" for reason in refused]
        try:
            self._write_report(is_whole=is_whole)
        except ReportError as err:
            refused.append(str(err))
            run.notes.append(f"error: {err}")
        if refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def report(self) -> Report:
        """Return the report of what has been gathered so far."""
        run = self.run
        # A URL may hold a password, and a report is published.
        kind = "url" if "://" in run.settings.server else run.settings.server
        nowhere = RanOn(ServerFacts(kind))
        return make_report(run.entries.values(), run.ran_on or nowhere, run.database_error)

    def _write_report(self, *, is_whole: bool) -> None:
        run = self.run
        if run.settings.report is None:
            return
        if not is_whole:
            # What the last whole run found is worth more than what a part of this one did.
            run.notes.append(f"wrote no report, as the run was interrupted: {run.settings.report}")
            return
        write_report(self.report(), run.settings.report)
        run.notes.append(f"wrote the report of {len(run.entries)} items: {run.settings.report}")
