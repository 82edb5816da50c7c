"""One block, table or drill, run and judged: what was sent, what came back, what is not true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sql_snippets.database.catalog import nearest
from sql_snippets.judging.checks import (
    CheckShown,
    Suggest,
    check_output,
    check_run,
    check_snippet,
    describe_error,
    suggest_from,
)
from sql_snippets.judging.drills import Run, not_produced, run_drill
from sql_snippets.model import Drill, Failure, Outcome, Scenario, Snippet, Trial
from sql_snippets.running.danger import NAMED_EFFECTS
from sql_snippets.running.editor import run_as_editor, run_isolated
from sql_snippets.sqltext.parameters import (
    BROKEN,
    check_structure,
    describe,
    hostile_values,
)
from sql_snippets.sqltext.placeholders import Filled, PlaceholderError, fill, find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sql_snippets.database.databases import Database, Template

    JustBefore = Callable[[Database], None]


Outcomes = dict[str, Outcome]
"""What the blocks gave that have been run in a database, by their ids."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back, with the place of an error counted in the block; ``sql`` is what was sent."""

    sql: str
    outcome: Outcome


def fill_in(
    snippet: Snippet, values: Mapping[str, object], outcomes: Outcomes | None = None
) -> Filled | list[Failure]:
    """Put the values in; the block's own ``fill.`` words win over those of its scenario.

    ``outcomes`` are those of earlier blocks, for the values that are taken from them.
    """
    taken = take_values(snippet, outcomes or {})
    if isinstance(taken, list):
        return taken
    own = {**snippet.claims.fill, **taken}
    try:
        filled = fill(snippet.sql, {**values, **own})
    except PlaceholderError as err:
        return [Failure(snippet.locate(err.offset), str(err))]
    failures = []
    for name in filled.unfilled:
        place = next(found for found in find(snippet.sql) if found.name == name)
        message = f"<{name}> has no value: add fill.{name}=VALUE, or a scenario that gives one"
        failures.append(Failure(snippet.locate(place.start), message))
    for name in filled.unused:
        # A scenario's values serve several blocks; not each of them asks for all.
        if name in own:
            message = f"fill.{name} is not used: there is no <{name}> in the block"
            failures.append(Failure(snippet.start, message))
    return failures or filled


def take_values(snippet: Snippet, outcomes: Outcomes) -> dict[str, object] | list[Failure]:
    """Return the values that earlier blocks of the page returned in their first row."""
    values: dict[str, object] = {}
    for name, source in snippet.claims.taken.items():
        place = next((p.start for p in find(snippet.sql) if p.name == name), 0)
        blocks = [other for other in snippet.earlier if other.name == source.block]
        outcome = outcomes.get(blocks[-1].id) if blocks else None
        columns = [column.name for column in outcome.columns or ()] if outcome else []
        what = f'<{name}> is taken from block "{source.block}", which'
        if outcome is None or source.column not in columns:
            found = nearest(source.column, columns)
            meant = f'; did you mean "{found}"?' if found else ""
            message = f'{what} returns no column "{source.column}"{meant}'
            return [Failure(snippet.locate(place), message)]
        if not outcome.rows:
            return [Failure(snippet.locate(place), f"{what} returned no row")]
        values[name] = outcome.rows[0][columns.index(source.column)]
    return values


def _reply(filled: Filled, outcome: Outcome) -> _Reply:
    error = outcome.error
    if error is not None and error.offset is not None:
        error = replace(error, offset=filled.to_original(error.offset))
        outcome = replace(outcome, error=error)
    return _Reply(filled.sql, outcome)


def _run_in(  # noqa: PLR0913 - each says one thing about one run
    database: Database,
    snippet: Snippet,
    values: Mapping[str, object],
    timeout: float,
    outcomes: Outcomes,
    *,
    effects: Mapping[str, str] | None = None,
) -> _Reply | list[Failure]:
    """Run the block in a session of its own, for good, and watched where effects are named."""
    filled = fill_in(snippet, values, outcomes)
    if not isinstance(filled, Filled):
        return filled
    outcome = run_as_editor(
        database,
        filled.sql,
        role=snippet.claims.role or database.role,
        timeout=timeout,
        watched=effects is not None,
        effects=effects or {},
    )
    return _reply(filled, outcome)


def _run_checked(
    database: Database,
    snippet: Snippet,
    values: Mapping[str, object],
    timeout: float,
    outcomes: Outcomes,
) -> Outcome | list[Failure]:
    reply = _run_in(database, snippet, values, timeout, outcomes)
    if not isinstance(reply, _Reply):
        return reply
    suggest = suggest_from(database)
    failures = check_run(snippet, reply.outcome, sql=reply.sql, suggest=suggest)
    if not failures:
        outcomes[snippet.id] = reply.outcome
    return failures or reply.outcome


def _run_earlier(
    database: Database,
    snippet: Snippet,
    values: Mapping[str, object],
    timeout: float,
    outcomes: Outcomes,
) -> list[Failure]:
    """Run the blocks that this one comes after; one that fails is shown where it stands."""
    for earlier in snippet.earlier:
        result = _run_checked(database, earlier, values, timeout, outcomes)
        if not isinstance(result, Outcome):
            prefix = f'block "{earlier.name}", which must run before "{snippet.name}", failed: '
            return [
                replace(failure, message=prefix + failure.message, is_own=False)
                for failure in result
            ]
    return []


def _judge(
    snippet: Snippet, reply: _Reply | list[Failure], suggest: Suggest, shown: CheckShown
) -> Trial:
    if not isinstance(reply, _Reply):
        return Trial(reply)
    outcome = reply.outcome
    failures = check_snippet(snippet, outcome, sql=reply.sql, suggest=suggest, shown=shown)
    return Trial(failures, outcome, outcome.seconds)


def _nothing(_: Database) -> None:
    pass


def try_alone(  # noqa: PLR0913 - each says one thing about one run
    snippet: Snippet,
    template: Template,
    shared: Database,
    *,
    timeout: float,
    shown: CheckShown = check_output,
    effects: Mapping[str, str] = NAMED_EFFECTS,
    just_before: JustBefore = _nothing,
) -> Trial:
    """Run a block that needs no incident, leaving nothing behind.

    ``just_before`` is called between it and the blocks before it, where there are any.
    """
    outcomes: Outcomes = {}
    if snippet.earlier:
        with template.clone() as database:
            failures = _run_earlier(database, snippet, {}, timeout, outcomes)
            if failures:
                return Trial(failures)
            just_before(database)
            reply = _run_in(database, snippet, {}, timeout, outcomes, effects=effects)
            trial = _judge(snippet, reply, suggest_from(database), shown)
            return _try_hostile(snippet, trial, {}, database, timeout, outcomes)
    filled = fill_in(snippet, {})
    if not isinstance(filled, Filled):
        return Trial(filled)
    outcome = run_isolated(
        template,
        shared,
        filled.sql,
        role=snippet.claims.role or shared.role,
        timeout=timeout,
        effects=effects,
    )
    trial = _judge(snippet, _reply(filled, outcome), suggest_from(shared), shown)
    if trial.failures or not find(snippet.sql):
        return trial
    with template.clone() as database:
        return _try_hostile(snippet, trial, {}, database, timeout, outcomes)


def try_in_scenario(  # noqa: PLR0913 - each says one thing about one run
    snippet: Snippet,
    scenario: Scenario,
    database: Database,
    *,
    timeout: float,
    shown: CheckShown = check_output,
    effects: Mapping[str, str] = NAMED_EFFECTS,
    just_before: JustBefore = _nothing,
) -> Trial:
    """Run a block against the incident it is about, in the database that has it.

    ``just_before`` is called when all is ready for it.
    """
    if not scenario.is_present():
        return Trial([not_produced(str(snippet.claims.scenario), snippet.start)])
    outcomes: Outcomes = {}
    failures = _run_earlier(database, snippet, scenario.values, timeout, outcomes)
    if failures:
        return Trial(failures)
    just_before(database)
    reply = _run_in(database, snippet, scenario.values, timeout, outcomes, effects=effects)
    trial = _judge(snippet, reply, suggest_from(database), shown)
    if snippet.claims.ends and not trial.failures and scenario.is_present():
        why = f'incident "{snippet.claims.scenario}" is still there after this block has run'
        trial = replace(trial, failures=[Failure(snippet.start, why)])
    return _try_hostile(snippet, trial, scenario.values, database, timeout, outcomes)


def _try_hostile(  # noqa: PLR0913, PLR0917 - each says one thing about one run
    snippet: Snippet,
    trial: Trial,
    values: Mapping[str, object],
    database: Database,
    timeout: float,
    outcomes: Outcomes,
) -> Trial:
    """Ask the types of the placeholders, and run the block once more with texts made to break it.

    The database is the block's own and is given up afterwards.
    """
    if trial.failures or not find(snippet.sql):
        return trial
    taken = take_values(snippet, outcomes)
    known = {**values, **snippet.claims.fill, **(taken if isinstance(taken, dict) else {})}
    role = snippet.claims.role or database.role
    with database.connect(role, "sql-snippets") as connection:
        parameters = describe(connection, snippet, known)
        trial = replace(trial, parameters=parameters)
        hostile = hostile_values(parameters, known)
        failures = check_structure(connection, snippet, known, hostile or known)
    if failures or hostile is None:
        return replace(trial, failures=failures)
    filled = fill(snippet.sql, hostile)
    error = run_as_editor(database, filled.sql, role=role, timeout=timeout).error
    usual = trial.outcome.error if trial.outcome else None
    if (
        error is None
        or error.sqlstate not in BROKEN
        or (usual and usual.sqlstate == error.sqlstate)
    ):
        return trial
    prefix = "with a value that has quotes in it, the block breaks: "
    there = (
        error if error.offset is None else replace(error, offset=filled.to_original(error.offset))
    )
    return replace(trial, failures=[describe_error(snippet, there, filled.sql, None, prefix)])


def try_drill(  # noqa: PLR0913 - a drill needs both databases
    drill: Drill,
    scenario: Scenario,
    *,
    healthy: Database,
    incident: Database,
    timeout: float,
    shown: CheckShown = check_output,
) -> Trial:
    """Follow a section: its diagnosis on a healthy database, all of it with the incident."""
    seconds: list[float] = []

    def runner(database: Database) -> Run:
        done: set[str] = set()
        outcomes: Outcomes = {}

        def run(snippet: Snippet) -> Outcome | list[Failure]:
            earlier = tuple(other for other in snippet.earlier if other.id not in done)
            done.update(other.id for other in (*earlier, snippet))
            failures = _run_earlier(
                database, replace(snippet, earlier=earlier), scenario.values, timeout, outcomes
            )
            if failures:
                return failures
            result = _run_checked(database, snippet, scenario.values, timeout, outcomes)
            if isinstance(result, Outcome):
                seconds.append(result.seconds)
            return result

        return run

    failures = run_drill(
        drill, scenario, on_healthy=runner(healthy), on_incident=runner(incident), shown=shown
    )
    return Trial(failures, None, sum(seconds))
