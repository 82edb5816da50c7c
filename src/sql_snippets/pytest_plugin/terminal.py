"""What a person is shown at the end of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.recipes import Command
from sql_snippets.pytest_plugin.run import ATTRIBUTE
from sql_snippets.results.diagnostics import github_annotation

if TYPE_CHECKING:
    from collections.abc import Generator

    from sql_snippets.pytest_plugin.run import Run


class Summary:
    """The lines below pytest's own."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what the blocks ran on, and put failures where GitHub shows them."""
        run = self.run
        if run.ran_on is not None:
            server = run.ran_on.server
            parts = ""
            if run.settings.platform is not None:
                parts = f", real platform parts: {', '.join(server.real_parts) or 'none'}"
                if server.stand_ins:
                    parts += f", stand-ins: {', '.join(server.stand_ins)}"
            made = f"migration head: {run.ran_on.migration_head or 'none'}"
            if isinstance(run.settings.migrations, Command):
                made = f"migrations by `{run.settings.migrations.text}`"
            run.notes.insert(
                0,
                f"{server.version} ({server.kind}){parts}, {made}",
            )
        if run.cached:
            run.notes.append(
                f"{run.cached} passed before and nothing has changed since: "
                "use --sql-no-cache to re-run them"
            )
        if run.notes:
            terminalreporter.section("sql-snippets", sep="-")
            for note in run.notes:
                terminalreporter.line(note)
        if os.environ.get("GITHUB_ACTIONS"):
            for failure in run.failures:
                terminalreporter.line(github_annotation(failure))


class OneReason:
    """Why there is no database is shown once, not for each of those that were not run for it."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        """Show the first of them; all are counted in the last line."""
        errors = terminalreporter.stats.get("error", [])
        kept, told = [], 0
        for error in errors:
            if (getattr(error, ATTRIBUTE, None) or {}).get("database_error") is not None:
                told += 1
                if told > 1:
                    continue
            kept.append(error)
        errors[:], everything = kept, errors[:]
        yield
        errors[:] = everything
        if told > 1:
            terminalreporter.line(f"and {told - 1} more that were not run, for the same reason")
