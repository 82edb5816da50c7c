"""What ``pytest docs --sql-mutate`` runs: which blocks stay green when the database is broken.

A block that is green whatever is broken of what it names checks nothing: it has no teeth.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from sql_snippets.mutations import (
    Mutation,
    apply,
    candidates,
    draw_seed,
    find_mutations,
    mutated,
    unchanged,
)
from sql_snippets.pytest_plugin.items import SqlItem
from sql_snippets.pytest_plugin.kinds import BlockItem
from sql_snippets.pytest_plugin.repeating import check_again

if TYPE_CHECKING:
    from sql_snippets.database.workplace import Workplace
    from sql_snippets.model import Trial

_KINDS = {"block", "table", "facts"}


@dataclass(slots=True)
class Tried:
    """One item: what is tried on it, and what came of it."""

    item: SqlItem
    candidates: tuple[Mutation, ...] = ()
    tried: int = 0
    killed_by: Mutation | None = None
    reason: str | None = None

    def note(self, mutation: Mutation, trial: Trial) -> None:
        """Count a try, unless it could not be made, and keep what was noticed."""
        self.tried += trial.tested
        if trial.tested and trial.failures:
            self.killed_by = mutation

    @property
    def is_open(self) -> bool:
        """Whether there is something left to try."""
        return not self.killed_by and not self.reason and bool(self.candidates)

    def report(self) -> pytest.TestReport:
        """Return what pytest counts: with teeth is passed, what cannot have any is skipped."""
        path, line, _ = self.item.location
        skipped = self.reason and (path, (line or 0) + 1, self.reason)
        return pytest.TestReport(
            nodeid=self.item.nodeid,
            location=self.item.location,
            keywords={},
            outcome="skipped" if skipped else "passed",
            longrepr=skipped or None,
            when="call",
            toothless=not skipped and self.killed_by is None,
        )


# Told apart by itself, as pytest before 8.4 keeps its plugins in a set.
@dataclass(slots=True, eq=False)
class MutationRun:
    """A pytest plugin that breaks the database instead of running the items once."""

    seed: int
    tries: int
    threshold: float
    trials: list[Tried] = field(default_factory=list)
    seconds: float = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every item against what could be broken of what it names."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        start = monotonic()
        items = [
            item for item in session.items if isinstance(item, SqlItem) and item.kind in _KINDS
        ]
        if not items:
            raise session.Failed("there is no block, table or list of facts to try")
        self.trials = [Tried(item) for item in items]
        workplace = items[0].workplace
        self._choose(workplace)
        while any(trial.is_open for trial in self.trials):
            self._try_next(workplace)
        for trial in self.trials:
            trial.item.ihook.pytest_runtest_logreport(report=trial.report())
        self.seconds = monotonic() - start
        return True

    def _choose(self, workplace: Workplace) -> None:
        mutations = find_mutations(workplace.ground.shared)
        definitions = workplace.ground.definitions
        with unchanged(workplace.ground.template) as template:
            for trial in self.trials:
                item = trial.item
                texts = item.mutable_texts()
                marker = item.get_closest_marker("skip")
                if marker is not None:
                    trial.reason = f"it is skipped: {marker.kwargs.get('reason')}"
                    continue
                if texts is None:
                    trial.reason = "it has an error: run the checks first"
                    continue
                trial.candidates = candidates(
                    texts, definitions, mutations, seed=self.seed, most=self.tries
                )
                if not trial.candidates:
                    trial.reason = "it names nothing outside the system's own schemas"
                    continue
                whole = check_again(item, template)
                if whole.failures:
                    what = "fails without a mutation" if whole.tested else "could not be tested"
                    trial.reason = f"it {what}: {whole.failures[0].message}".partition("\n")[0]

    def _try_next(self, workplace: Workplace) -> None:
        groups: dict[Mutation, list[Tried]] = defaultdict(list)
        for trial in self.trials:
            if trial.is_open:
                first, *rest = trial.candidates
                trial.candidates = tuple(rest)
                groups[first].append(trial)
        for mutation, group in groups.items():
            # What runs before a block must not notice in its place.
            late = [t for t in group if isinstance(t.item, BlockItem) and t.item.needs_more]
            early = [trial for trial in group if trial not in late]
            for trial in late:
                broken = functools.partial(apply, mutation)
                trial.note(mutation, check_again(trial.item, workplace.ground.template, broken))
            if not early:
                continue
            with mutated(workplace.ground.template, mutation) as template:
                if template is None:
                    continue
                for trial in early:
                    trial.note(mutation, check_again(trial.item, template))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count what has no teeth by itself: only the threshold makes a failure of it."""
        return ("toothless", "T", "TOOTHLESS") if getattr(report, "toothless", False) else None

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> object:
        """Fail below the threshold."""
        result = yield
        pages = {page for page, *_ in self._scores() if _[0] < self.threshold * _[1] / 100}
        if (not self.trials or pages) and session.exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK
        return result

    def _scores(self) -> list[tuple[str, int, int]]:
        pages: dict[str, list[Tried]] = defaultdict(list)
        for trial in self.trials:
            if trial.reason is None:
                pages[trial.item.place.path].append(trial)
        return [
            (page, sum(trial.killed_by is not None for trial in trials), len(trials))
            for page, trials in pages.items()
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which have no teeth, which cannot have any, and the score of each page."""
        line = terminalreporter.line
        terminalreporter.section("mutation run")
        for trial in self.trials:
            if trial.reason is None and trial.killed_by is not None:
                line(f"red     {trial.item.nodeid}: {trial.killed_by.label}", green=True)
        for trial in self.trials:
            if trial.reason is not None:
                line(f"cannot  {trial.item.nodeid}: {trial.reason}", yellow=True)
        for trial in self.trials:
            if trial.reason is None and trial.killed_by is None:
                line(
                    f"green   {trial.item.nodeid}: stayed green under {trial.tried} mutations, "
                    "so it has no teeth",
                    red=True,
                )
        tried = sum(trial.tried for trial in self.trials)
        line(f"seed {self.seed}, {tried} tries in {self.seconds:.1f} s")
        for page, killed, of in self._scores():
            verdict = "at least" if killed * 100 >= self.threshold * of else "BELOW"
            line(f"{page}: {killed} of {of} ({killed / of:.0%}), {verdict} {self.threshold:g} %")


def register(config: pytest.Config) -> None:
    """Put the mutation run in the place of the run."""
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("a mutation run has one process: leave out -n")
    seed = config.getoption("sql_mutation_seed")
    run = MutationRun(
        draw_seed() if seed is None else seed,
        config.getoption("sql_mutation_tries"),
        config.getoption("sql_mutation_threshold"),
    )
    config.pluginmanager.register(run, "sql_snippets_mutation_run")
