"""How each kind of item is checked.

Imported when the first item of a run has to be: a run in which nothing changed does without all
that runs and judges.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from sql_snippets.database.catalog import nearest
from sql_snippets.database.recipes import read_sql, stand_in_for
from sql_snippets.judging.checks import check_output, problems_of
from sql_snippets.judging.facts import check_facts
from sql_snippets.judging.identifiers import check_identifiers
from sql_snippets.judging.tables import check_table
from sql_snippets.judging.trials import try_alone, try_drill, try_in_scenario
from sql_snippets.model import Failure, Scenario, Trial
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.accepting import edit_of_output, edits_of_cells
from sql_snippets.pytest_plugin.claims import ClaimsFailed
from sql_snippets.pytest_plugin.databases import clone
from sql_snippets.pytest_plugin.kinds import (
    BlockItem,
    DrillItem,
    FactsItem,
    FaultItem,
    IdentifiersItem,
    TableItem,
    mentioned_names,
)
from sql_snippets.pytest_plugin.run import run_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from sql_snippets.model import Finding, Location, Outcome, Problem, Snippet
    from sql_snippets.pytest_plugin.items import SqlItem


@singledispatch
def check(item: pytest.Item) -> None:
    """Check what the page says at an item; raise ClaimsFailed when it is not true."""
    raise TypeError(f"{type(item).__name__} is not a kind of item that is checked")


@check.register
def _fault(item: FaultItem) -> None:
    raise ClaimsFailed([item.failure])


@check.register
def _block(item: BlockItem) -> None:
    snippet = item.snippet
    _stop_at(snippet.problems)

    def shown(snippet: Snippet, outcome: Outcome) -> list[Failure]:
        return _shown(item, snippet, outcome)

    settings, attempt = item.settings, item.attempt
    if snippet.claims.scenario is None:
        trial = try_alone(
            snippet,
            item.workplace.template,
            item.workplace.shared,
            timeout=settings.timeout,
            shown=shown,
            effects=settings.effects,
            just_before=attempt.just_before,
        )
    else:
        trial = try_in_scenario(
            snippet,
            _scenario(item, snippet.claims.scenario, snippet.fence),
            item.fixture("sql_database"),
            timeout=settings.timeout,
            shown=shown,
            effects=settings.effects,
            just_before=attempt.just_before,
        )
    _conclude(item, trial)


@check.register
def _table(item: TableItem) -> None:
    _stop_at(item.table.problems)
    _settle(item, check_table(item.table, item.workplace.shared))


@check.register
def _facts(item: FactsItem) -> None:
    _stop_at(item.table.problems)
    database = item.workplace.shared
    _settle(item, check_facts(item.table, database, timeout=item.settings.timeout))


@check.register
def _identifiers(item: IdentifiersItem) -> None:
    stand_ins = {stand_in_for(read_sql(path)) for path in recipe_of(item.settings).platform}
    failures = check_identifiers(
        item.page,
        mentioned_names(item.page, item.settings),
        item.workplace.shared,
        also_known={name for name in stand_ins if name},
    )
    _conclude(item, Trial(failures))


@check.register
def _drill(item: DrillItem) -> None:
    drill = item.drill
    _stop_at(drill.problems)
    scenario = _scenario(item, drill.scenario, drill.location)
    with clone(item.workplace.template) as healthy:
        trial = try_drill(
            drill,
            scenario,
            healthy=healthy,
            incident=item.fixture("sql_database"),
            timeout=item.settings.timeout,
            shown=lambda snippet, outcome: _shown(item, snippet, outcome),
        )
    _conclude(item, trial)


def _stop_at(problems: Sequence[Problem]) -> None:
    """Fail with what was wrong before anything could be run."""
    if problems:
        raise ClaimsFailed(problems_of(problems))


def _scenario(item: SqlItem, name: str, place: Location) -> Scenario:
    """Return what the fixture of a scenario yields; `setup` has set it up."""
    if not item.has_fixture(name):
        found = nearest(name, item.fixture_names())
        meant = f'; did you mean "{found}"?' if found else ""
        raise ClaimsFailed([Failure(place, f'there is no fixture "{name}"{meant}')])
    value = item.fixture(name)
    if not isinstance(value, Scenario):
        message = f'fixture "{name}" yields {type(value).__name__}, not a Scenario'
        raise ClaimsFailed([Failure(place, message)])
    return value


def _shown(item: SqlItem, snippet: Snippet, outcome: Outcome) -> list[Failure]:
    """Compare the output on the page, or accept the new one where that was asked for."""
    failures = check_output(snippet, outcome)
    output = snippet.claims.output
    if not failures or output is None:
        return failures
    item.attempt.output_differs = True
    if not item.settings.update:
        return failures
    digests = run_of(item.config).digests
    volatile = snippet.claims.volatile
    item.attempt.edits.append(
        edit_of_output(output, outcome, volatile, root=item.root, digests=digests)
    )
    return []


def _settle(item: SqlItem, findings: Sequence[Finding]) -> None:
    """Fail with what was found, or accept what is true where that was asked for."""
    fixes = {fix for finding in findings for fix in finding.fixes}
    item.attempt.output_differs = bool(fixes)
    if item.settings.update:
        digests = run_of(item.config).digests
        item.attempt.edits += edits_of_cells(fixes, root=item.root, digests=digests)
        findings = [finding for finding in findings if not finding.fixes]
    _conclude(item, Trial([finding.failure for finding in findings]))


def _conclude(item: SqlItem, trial: Trial) -> None:
    """Keep what the run gave for the report, and fail when something is not true."""
    item.attempt.trial = trial
    if trial.failures:
        raise ClaimsFailed(trial.failures)
