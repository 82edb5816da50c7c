"""A check of everything while its author waits: what was touched first, each verdict at once."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from sql_snippets.pytest_plugin.databases import in_one_sentence
from sql_snippets.pytest_plugin.items import SqlItem
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import python_of
from sql_snippets.results.report import ReportError, write_report
from sql_snippets.sqltext.lexer import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sql_snippets.database.reach import Definitions
    from sql_snippets.pytest_plugin.gathering import Results
    from sql_snippets.sqltext.lexer import Statement

# The open page polls ten times a second, and each report is read as a whole.
_WRITE_SECONDS = 0.3


def changed_statements(before: Mapping[Path, str], after: Mapping[Path, str]) -> list[Statement]:
    """Return the statements that only one of two states of the files has."""
    old, new = (
        {
            (path, text[statement.start : statement.end]): statement
            for path, text in texts.items()
            for statement in statements(text)
        }
        for texts in (before, after)
    )
    return [{**old, **new}[key] for key in old.keys() ^ new.keys()]


def touched_names(changed: Iterable[Statement], definitions: Definitions) -> set[str]:
    """Return what the statements are about: the first name in each that the database knows."""
    known = definitions.texts
    firsts = (next((word for word in item.words if word in known), None) for item in changed)
    return {first for first in firsts if first is not None}


def is_touched(item: pytest.Item, names: set[str], definitions: Definitions) -> bool:
    """Whether an item can reach one of the names, as far as its SQL and its scenario say."""
    if not isinstance(item, SqlItem):
        return True
    scenario = item.scenario_name()
    python = python_of(item, (), *([scenario] if scenario else []))
    # What runs before a block counts too: its verdict stands on that.
    text = "\n".join([*(item.mutable_texts() or ()), *(item.texts() or ()), python or ""])
    return not names.isdisjoint(definitions.reached(text)[0])


class LiveCheck:
    """A plugin of pytest that orders the items, and writes the report as it is so far."""

    def __init__(self, report: Path, changed: list[Statement]) -> None:
        self._report = report
        self._changed = changed
        self._results: Results | None = None
        self._opening = Thread()
        self._next_write = 0.0

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Find where the results are gathered, and build the database while pages are read."""
        self._results = session.config.pluginmanager.get_plugin("sql_snippets_results")
        workplace = run_of(session.config).workplace

        def open_it() -> None:
            # Why it cannot be opened is said to whoever asks for it.
            with suppress(Exception):
                _ = workplace.ground.shared

        self._opening = Thread(target=open_it)
        self._opening.start()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Put first what was touched; where there is no database, each item says why."""
        self._opening.join()
        if not self._changed or not items:
            return
        with suppress(pytest.fail.Exception), in_one_sentence():
            definitions = run_of(config).workplace.ground.definitions
            names = touched_names(self._changed, definitions)
            items.sort(key=lambda item: not is_touched(item, names, definitions))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Let the database be there before it is removed: reading the pages may have failed."""
        self._opening.join()

    def pytest_runtest_logfinish(self) -> None:
        """Let an open page show what is known; not being able to is said at the end."""
        if self._results is None or time.monotonic() < self._next_write:
            return
        self._next_write = time.monotonic() + _WRITE_SECONDS
        with suppress(ReportError):
            write_report(replace(self._results.report(), complete=False), self._report)
