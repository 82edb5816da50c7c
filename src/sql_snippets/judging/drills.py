"""What the evidence of a drill says: its section, followed top to bottom against its incident."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sql_snippets.evidence import BlockRun, Sight
from sql_snippets.judging.blocks import check_needed, check_reply, not_produced
from sql_snippets.judging.checks import check_confirm, check_output, check_verify
from sql_snippets.model import Failure, Snippet, Step, Trial
from sql_snippets.plan import Need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sql_snippets.evidence import Evidence
    from sql_snippets.model import Drill


def _named(snippet: Snippet, when: str, failures: Sequence[Failure]) -> list[Failure]:
    """Say which step failed and in which part of the drill."""
    step = snippet.claims.step
    kind = f"{step.value} " if step is not None else ""
    prefix = f'{kind}"{snippet.name}" {when}: '
    return [replace(failure, message=prefix + failure.message) for failure in failures]


def check_make_up(drill: Drill) -> list[Failure]:
    """Refuse a drill that lacks a part: it would be green whatever the page says."""
    failures = list(drill.problems)
    for snippet in drill.steps:
        failures += _named(snippet, "of the drill", snippet.problems)
        if snippet.skipped is not None:
            message = f"it is skipped ({snippet.skipped}), so the section cannot be followed"
            failures += _named(snippet, "of the drill", [Failure(snippet.start, message)])
    failures += [
        Failure(drill.location, f"the drill proves nothing: it has no block with step={step.value}")
        for step in Step
        if not drill.having(step)
    ]
    parts = [snippet.claims.step for snippet in drill.steps]
    if not failures and parts.index(Step.RESOLVE) < parts.index(Step.CONFIRM):
        message = "the drill proves nothing: no step=confirm comes before its first step=resolve"
        failures.append(Failure(drill.location, message))
    return failures


def _check_step(reply: BlockRun) -> list[Failure]:
    """Check one step; the output of a verification is what it gives after the fix."""
    failures, outcome, snippet = check_reply(reply), reply.outcome, reply.step.snippet
    if failures or outcome is None:
        return failures
    match reply.step.need:
        case Need.ROWS | Need.NO_ROWS as need:
            failures = check_confirm(snippet, outcome, present=need is Need.ROWS)
        case Need.RESOLVED | Need.UNRESOLVED as need:
            failures = check_verify(snippet, outcome, resolved=need is Need.RESOLVED)
    if failures or reply.step.need is Need.UNRESOLVED:
        return failures
    return check_output(snippet, outcome)


def _check_sight(drill: Drill, sight: Sight, when: str) -> list[Failure]:
    if sight.is_met:
        return []
    if sight.step.present:
        message = "the incident ended before the first step=resolve block was run"
        return [Failure(drill.location, message)]
    resolve = drill.having(Step.RESOLVE)
    fix = ", ".join(f'"{snippet.name}"' for snippet in resolve)
    message = f'incident "{drill.scenario}" is still there after resolve {fix} {when}'
    return [Failure(resolve[-1].start, message)]


def judge_drill(drill: Drill, evidence: Evidence) -> Trial:
    """Return what did not hold, up to the first stage that broke: it makes the rest meaningless.

    An output that is another one breaks nothing, and is told once.
    """
    if not evidence.produced:
        return not_produced(drill.scenario, drill.location)
    steps = {snippet.id: snippet for snippet in drill.steps}
    replies = [given for given in evidence.given if isinstance(given, BlockRun)]
    seconds = sum(reply.outcome.seconds for reply in replies if reply.outcome is not None)
    failures: dict[object, Failure] = {}
    for stage, all_given in zip(evidence.plan.stages, evidence.stages, strict=False):
        for given in all_given:
            found: list[Failure] = []
            match given:
                case Sight():
                    found = _check_sight(drill, given, stage.when)
                case BlockRun(step) if step.needed_by is not None:
                    needing = steps[step.needed_by]
                    found = _named(needing, stage.when, check_needed(given, needing))
                case BlockRun(step):
                    found = _named(step.snippet, stage.when, _check_step(given))
            for failure in found:
                failures.setdefault(failure.fixes or failure, failure)
        if not all(failure.fixes for failure in failures.values()):
            break
    if len(evidence.stages) < len(evidence.plan.stages) and all(f.fixes for f in failures.values()):
        failures[None] = Failure(drill.location, "the drill was not followed to its end")
    return Trial(tuple(failures.values()), seconds=seconds)
