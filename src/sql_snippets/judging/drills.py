"""A section followed top to bottom against its incident, and on a database that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep

from sql_snippets.judging.checks import (
    CheckShown,
    check_confirm,
    check_output,
    check_verify,
    problems_of,
)
from sql_snippets.model import Drill, Failure, Location, Outcome, Scenario, Snippet, Step

Run = Callable[[Snippet], Outcome | list[Failure]]
"""Run one block in a session of its own; failures when `checks.check_run` finds any."""

_POLL_SECONDS = 0.1


def not_produced(scenario: str, place: Location) -> Failure:
    """Return that there is no incident to check anything against."""
    why = "did not produce its incident: is_present() is false right after its set-up"
    return Failure(place, f'scenario "{scenario}" {why}', is_own=False)


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
            failures += _named(snippet, "of the drill", [Failure(snippet.start, message)])
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
        result = run(bare)
        if isinstance(result, Outcome):
            result = check_confirm(snippet, result, present=False)
        failures += _named(snippet, when, result)
    return failures


def _verify(
    drill: Drill, run: Run, when: str, *, resolved: bool, shown: CheckShown
) -> list[Failure]:
    failures: list[Failure] = []
    for snippet in _of(drill, Step.VERIFY):
        # Before the fix there is nothing to wait for: it must say no at once.
        deadline = monotonic() + (snippet.claims.within or 0.0 if resolved else 0.0)
        while True:
            result = run(snippet)
            if isinstance(result, Outcome):
                result = check_verify(snippet, result, resolved=resolved) or result
            if isinstance(result, Outcome) or monotonic() >= deadline:
                break
            sleep(_POLL_SECONDS)
        if isinstance(result, Outcome):
            result = shown(snippet, result) if resolved else []
        failures += _named(snippet, when, result)
    return failures


def _has_gone(drill: Drill, scenario: Scenario) -> bool:
    """Look whether the incident has ended, as long as its verifications say it may take."""
    seconds = max((snippet.claims.within or 0.0) for snippet in _of(drill, Step.VERIFY))
    deadline = monotonic() + seconds
    while scenario.is_present():
        if monotonic() >= deadline:
            return False
        sleep(_POLL_SECONDS)
    return True


def _follow(drill: Drill, run: Run, shown: CheckShown) -> list[Failure]:
    """Run everything but the verifications in the order of the page."""
    before_fix = True
    failures: list[Failure] = []
    for snippet in drill.steps:
        step = snippet.claims.step
        if step is Step.VERIFY:
            continue
        before_fix = before_fix and step is not Step.RESOLVE
        result = run(snippet)
        if isinstance(result, Outcome):
            confirms = step is Step.CONFIRM and before_fix
            found = check_confirm(snippet, result, present=True) if confirms else []
            result = found or shown(snippet, result)
        failures += _named(snippet, "with the incident", result)
    return failures


def _repeat(drill: Drill, run: Run) -> list[Failure]:
    """Run the fix again, as a reader does who is not sure that it worked."""
    failures: list[Failure] = []
    for snippet in _of(drill, Step.RESOLVE):
        if snippet.claims.once:
            continue
        # The second time there is less left to do, so counts and output are no claims about it.
        bare = replace(snippet, claims=replace(snippet.claims, rows=None, output=None))
        result = run(bare)
        if not isinstance(result, Outcome):
            when = "run a second time (say `once` if it must not be)"
            failures += _named(snippet, when, result)
    return failures


def run_drill(
    drill: Drill,
    scenario: Scenario,
    *,
    on_healthy: Run,
    on_incident: Run,
    shown: CheckShown = check_output,
) -> list[Failure]:
    """Follow the section and return what did not hold, the first broken part of it only.

    A part that broke makes those after it meaningless, so they are not run.
    """
    failures = _check_make_up(drill)
    if failures:
        return failures
    if not scenario.is_present():
        return [not_produced(drill.scenario, drill.location)]
    last_fix = _of(drill, Step.RESOLVE)[-1]
    fix = ", ".join(f'"{snippet.name}"' for snippet in _of(drill, Step.RESOLVE))

    def still_there() -> list[Failure]:
        if scenario.is_present():
            return []
        message = "the incident ended before the first step=resolve block was run"
        return [Failure(drill.location, message)]

    def gone(when: str) -> list[Failure]:
        if _has_gone(drill, scenario):
            return []
        message = f'incident "{drill.scenario}" is still there after resolve {fix} {when}'
        return [Failure(last_fix.start, message)]

    def verify(when: str, *, resolved: bool) -> list[Failure]:
        return _verify(drill, on_incident, when, resolved=resolved, shown=shown)

    parts: tuple[Callable[[], list[Failure]], ...] = (
        lambda: _on_healthy(drill, on_healthy),
        lambda: verify("before the fix", resolved=False),
        still_there,
        lambda: _follow(drill, on_incident, shown),
        lambda: gone("ran in page order"),
        lambda: verify("after the fix", resolved=True),
        lambda: _repeat(drill, on_incident),
        lambda: gone("ran a second time"),
        lambda: verify("after the fix was run twice", resolved=True),
    )
    for part in parts:
        failures = part()
        if failures:
            return failures
    return []
