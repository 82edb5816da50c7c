"""One block, table or drill, run and judged: what was sent, what came back, what is not true."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sql_snippets.checks import (
    CheckShown,
    Suggest,
    check_output,
    check_run,
    check_snippet,
    start_of,
    suggest_from,
)
from sql_snippets.drills import NOT_PRODUCED, Run, run_drill
from sql_snippets.model import Drill, Failure, Outcome, Scenario, Snippet
from sql_snippets.placeholders import Filled, PlaceholderError, fill, find
from sql_snippets.running import run_as_editor, run_isolated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sql_snippets.databases import Database, Template


@dataclass(frozen=True, slots=True)
class Trial:
    """What one item gave.  ``outcome`` is that of a block that could be sent."""

    failures: list[Failure] = field(default_factory=list)
    outcome: Outcome | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back, with the place of an error counted in the block; ``sql`` is what was sent."""

    sql: str
    outcome: Outcome


def fill_in(snippet: Snippet, values: Mapping[str, object]) -> Filled | list[Failure]:
    """Put the values in; the block's own ``fill.`` words win over those of its scenario."""
    own = snippet.claims.fill
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
            failures.append(Failure(start_of(snippet), message))
    return failures or filled


def _reply(filled: Filled, outcome: Outcome) -> _Reply:
    error = outcome.error
    if error is not None and error.offset is not None:
        error = replace(error, offset=filled.to_original(error.offset))
        outcome = replace(outcome, error=error)
    return _Reply(filled.sql, outcome)


def _run_in(
    database: Database,
    snippet: Snippet,
    values: Mapping[str, object],
    timeout: float,
    *,
    watched: bool = False,
) -> _Reply | list[Failure]:
    """Run the block in a session of its own, for good."""
    filled = fill_in(snippet, values)
    if not isinstance(filled, Filled):
        return filled
    outcome = run_as_editor(
        database,
        filled.sql,
        role=snippet.claims.role or database.role,
        timeout=timeout,
        watched=watched,
    )
    return _reply(filled, outcome)


def _run_checked(
    database: Database, snippet: Snippet, values: Mapping[str, object], timeout: float
) -> Outcome | list[Failure]:
    reply = _run_in(database, snippet, values, timeout)
    if not isinstance(reply, _Reply):
        return reply
    suggest = suggest_from(database)
    failures = check_run(snippet, reply.outcome, sql=reply.sql, suggest=suggest)
    return failures or reply.outcome


def _run_earlier(
    database: Database, snippet: Snippet, values: Mapping[str, object], timeout: float
) -> list[Failure]:
    """Run the blocks that this one comes after; one that fails is shown where it stands."""
    for earlier in snippet.earlier:
        result = _run_checked(database, earlier, values, timeout)
        if not isinstance(result, Outcome):
            prefix = f'block "{earlier.name}", which must run before "{snippet.name}", failed: '
            return [replace(failure, message=prefix + failure.message) for failure in result]
    return []


def _judge(
    snippet: Snippet, reply: _Reply | list[Failure], suggest: Suggest, shown: CheckShown
) -> Trial:
    if not isinstance(reply, _Reply):
        return Trial(reply)
    outcome = reply.outcome
    failures = check_snippet(snippet, outcome, sql=reply.sql, suggest=suggest, shown=shown)
    return Trial(failures, outcome, outcome.seconds)


def try_alone(
    snippet: Snippet,
    template: Template,
    shared: Database,
    *,
    timeout: float,
    shown: CheckShown = check_output,
) -> Trial:
    """Run a block that needs no incident, leaving nothing behind."""
    if snippet.earlier:
        with template.clone() as database:
            failures = _run_earlier(database, snippet, {}, timeout)
            if failures:
                return Trial(failures)
            reply = _run_in(database, snippet, {}, timeout, watched=True)
            return _judge(snippet, reply, suggest_from(database), shown)
    filled = fill_in(snippet, {})
    if not isinstance(filled, Filled):
        return Trial(filled)
    outcome = run_isolated(
        template,
        shared,
        filled.sql,
        role=snippet.claims.role or shared.role,
        timeout=timeout,
    )
    return _judge(snippet, _reply(filled, outcome), suggest_from(shared), shown)


def try_in_scenario(
    snippet: Snippet,
    scenario: Scenario,
    database: Database,
    *,
    timeout: float,
    shown: CheckShown = check_output,
) -> Trial:
    """Run a block against the incident it is about, in the database that has it."""
    if not scenario.is_present():
        return Trial([Failure(start_of(snippet), NOT_PRODUCED.format(snippet.claims.scenario))])
    failures = _run_earlier(database, snippet, scenario.values, timeout)
    if failures:
        return Trial(failures)
    reply = _run_in(database, snippet, scenario.values, timeout, watched=True)
    return _judge(snippet, reply, suggest_from(database), shown)


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

        def run(snippet: Snippet) -> Outcome | list[Failure]:
            earlier = tuple(other for other in snippet.earlier if other.id not in done)
            done.update(other.id for other in (*earlier, snippet))
            failures = _run_earlier(
                database, replace(snippet, earlier=earlier), scenario.values, timeout
            )
            if failures:
                return failures
            result = _run_checked(database, snippet, scenario.values, timeout)
            if isinstance(result, Outcome):
                seconds.append(result.seconds)
            return result

        return run

    failures = run_drill(
        drill, scenario, on_healthy=runner(healthy), on_incident=runner(incident), shown=shown
    )
    return Trial(failures, None, sum(seconds))
