"""What the evidence of a block's run says about the block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sql_snippets.evidence import BlockRun, Probed, Sight
from sql_snippets.judging.checks import check_run, check_snippet
from sql_snippets.judging.hostile import check_probed
from sql_snippets.model import Failure, Outcome, Trial

if TYPE_CHECKING:
    from sql_snippets.evidence import Evidence
    from sql_snippets.model import Location, Parameter, Snippet


def not_produced(scenario: str | None, place: Location) -> Trial:
    """Return that there was no incident to check anything against."""
    why = "did not produce its incident: is_present() is false right after its setup"
    return Trial((Failure(place, f'scenario "{scenario}" {why}'),), tested=False)


def check_needed(reply: BlockRun, snippet: Snippet) -> list[Failure]:
    """Check a block that must run before another one; it is shown where it stands.

    In an order it fails by itself, so that the blocks after it only say so.
    """
    needed, failures = reply.step.snippet, check_reply(reply)
    if failures and snippet.order is not None:
        why = f'it depends on block "{needed.name}" ({needed.start}), which failed'
        return [Failure(snippet.start, f"not checked: {why}.")]
    prefix = f'block "{needed.name}", which must run before "{snippet.name}", failed: '
    return [replace(failure, message=prefix + failure.message) for failure in failures]


def check_reply(reply: BlockRun) -> list[Failure]:
    """Check what holds for every run of a block."""
    snippet = reply.step.snippet
    if reply.outcome is None:
        return list(reply.unfilled) or [_not_run(snippet)]
    return check_run(snippet, reply.outcome)


def _not_run(snippet: Snippet) -> Failure:
    return Failure(snippet.start, "the block was not run")


def changing_columns(first: Trial, again: Trial) -> tuple[str, ...]:
    """Return the columns of a result that has other values in a second run of the same block."""
    before, after = first.outcome, again.outcome
    if before is None or after is None or before.columns is None:
        return ()
    if before.columns != after.columns or len(before.rows) != len(after.rows):
        return ()
    return tuple(
        column.name
        for index, column in enumerate(before.columns)
        if any(a[index] != b[index] for a, b in zip(before.rows, after.rows, strict=True))
    )


def judge_block(snippet: Snippet, evidence: Evidence) -> Trial:
    """Return whether what the page says about a block is what its run gave.

    The evidence may be that of other blocks too, which were run before or after it.
    """
    if not evidence.produced:
        return not_produced(evidence.plan.scenario, snippet.start)
    failures: list[Failure] = []
    outcome: Outcome | None = None
    parameters: tuple[Parameter, ...] = ()
    for given in evidence.given:
        # A failure with fixes may be accepted, and must not hide another.
        is_sound = all(failure.fixes for failure in failures)
        match given:
            case BlockRun(step) if step.needed_by == snippet.id:
                if needed := check_needed(given, snippet):
                    return Trial(tuple(needed), tested=False)
            case BlockRun(step, None) if step.snippet.id == snippet.id:
                return Trial(tuple(check_reply(given)))
            case BlockRun(step, Outcome() as came) if step.snippet.id == snippet.id:
                outcome = came
                failures += check_snippet(snippet, outcome)
            case Sight() if is_sound and not given.is_met:
                why = f'incident "{evidence.plan.scenario}" is still there after this block has run'
                failures.append(Failure(snippet.start, why))
            case Probed(step) if step.snippet.id == snippet.id and is_sound and outcome:
                parameters = given.parameters
                failures += check_probed(snippet, outcome, given)
            case _:
                pass
    if outcome is None:
        return Trial((_not_run(snippet),), tested=False)
    return Trial(tuple(failures), outcome=outcome, seconds=outcome.seconds, parameters=parameters)
