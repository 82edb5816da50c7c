"""A section followed top to bottom against its incident, and on a database that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sql_snippets.checks import (
    check_confirm,
    check_output,
    check_verify,
    problems_of,
    start_of,
)
from sql_snippets.model import Drill, Failure, Outcome, Scenario, Snippet, Step

Run = Callable[[Snippet], tuple[Outcome, list[Failure]]]
"""Run one block in a session of its own; the failures are those of `checks.check_run`."""

NOT_PRODUCED = (
    'scenario "{}" did not produce its incident: is_present() is false right after its set-up'
)


def _of(drill: Drill, step: Step) -> tuple[Snippet, ...]:
    return tuple(snippet for snippet in drill.steps if snippet.claims.step is step)


def _named(snippet: Snippet, when: str, failures: Sequence[Failure]) -> list[Failure]:
    """Say which step failed and in which part of the drill."""
    step = snippet.claims.step
    kind = f"{step.value} " if step is not None else ""
    prefix = f'{kind}"{snippet.name}" {when}: '
    return [replace(failure, message=prefix + failure.message) for failure in failures]


def _check_make_up(drill: Drill) -> list[Failure]:
    """Refuse a drill that lacks a part: it would be green whatever the page says."""
    failures = problems_of(drill.problems)
    for snippet in drill.steps:
        failures += _named(snippet, "of the drill", problems_of(snippet.problems))
        if snippet.excluded is not None:
            message = f"it is skipped ({snippet.excluded}), so the section cannot be followed"
            failures += _named(snippet, "of the drill", [Failure(start_of(snippet), message)])
    failures += [
        Failure(drill.location, f"the drill proves nothing: it has no block with step={step.value}")
        for step in Step
        if not _of(drill, step)
    ]
    return failures


def _on_healthy(drill: Drill, run: Run) -> list[Failure]:
    when = "on a healthy database"
    failures: list[Failure] = []
    for snippet in _of(drill, Step.CONFIRM):
        # rows= and the output are claims about the incident.
        bare = replace(snippet, claims=replace(snippet.claims, rows=None, output=None))
        outcome, wrong = run(bare)
        wrong = wrong or check_confirm(snippet, outcome, present=False)
        failures += _named(snippet, when, wrong)
    return failures


def _verify(drill: Drill, run: Run, when: str, *, resolved: bool) -> list[Failure]:
    failures: list[Failure] = []
    for snippet in _of(drill, Step.VERIFY):
        outcome, wrong = run(snippet)
        wrong = wrong or check_verify(snippet, outcome, resolved=resolved)
        if not wrong and resolved:
            wrong = check_output(snippet, outcome)
        failures += _named(snippet, when, wrong)
    return failures


def _follow(drill: Drill, run: Run) -> list[Failure]:
    """Run everything but the verifications in the order of the page."""
    before_fix = True
    failures: list[Failure] = []
    for snippet in drill.steps:
        step = snippet.claims.step
        if step is Step.VERIFY:
            continue
        before_fix = before_fix and step is not Step.RESOLVE
        outcome, wrong = run(snippet)
        if not wrong and step is Step.CONFIRM and before_fix:
            wrong = check_confirm(snippet, outcome, present=True)
        wrong = wrong or check_output(snippet, outcome)
        failures += _named(snippet, "with the incident", wrong)
    return failures


def _repeat(drill: Drill, run: Run) -> list[Failure]:
    """Run the fix again, as a reader does who is not sure that it worked."""
    failures: list[Failure] = []
    for snippet in _of(drill, Step.RESOLVE):
        if snippet.claims.once:
            continue
        # The second time there is less left to do, so counts and output are no claims about it.
        bare = replace(snippet, claims=replace(snippet.claims, rows=None, output=None))
        _, wrong = run(bare)
        failures += _named(snippet, "run a second time (add `once` if it must not be)", wrong)
    return failures


def run_drill(
    drill: Drill, scenario: Scenario, *, on_healthy: Run, on_incident: Run
) -> list[Failure]:
    """Follow the section and return what did not hold, the first broken part of it only.

    A part that broke makes those after it meaningless, so they are not run.
    """
    failures = _check_make_up(drill)
    if failures:
        return failures
    if not scenario.is_present():
        return [Failure(drill.location, NOT_PRODUCED.format(drill.scenario))]
    last_fix = _of(drill, Step.RESOLVE)[-1]
    fix = ", ".join(f'"{snippet.name}"' for snippet in _of(drill, Step.RESOLVE))

    def still_there() -> list[Failure]:
        if scenario.is_present():
            return []
        message = "the incident ended before the first step=resolve block was run"
        return [Failure(drill.location, message)]

    def gone(when: str) -> list[Failure]:
        if not scenario.is_present():
            return []
        message = f'incident "{drill.scenario}" is still there after resolve {fix} {when}'
        return [Failure(start_of(last_fix), message)]

    parts: tuple[Callable[[], list[Failure]], ...] = (
        lambda: _on_healthy(drill, on_healthy),
        lambda: _verify(drill, on_incident, "before the fix", resolved=False),
        still_there,
        lambda: _follow(drill, on_incident),
        lambda: gone("ran in page order"),
        lambda: _verify(drill, on_incident, "after the fix", resolved=True),
        lambda: _repeat(drill, on_incident),
        lambda: gone("ran a second time"),
        lambda: _verify(drill, on_incident, "after the fix was run twice", resolved=True),
    )
    for part in parts:
        failures = part()
        if failures:
            return failures
    return []
