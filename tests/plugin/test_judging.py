"""What is said of a block from what its run gave, and what a run does from its plan alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from sql_snippets.evidence import BlockRun, Evidence, Probed, Sight
from sql_snippets.judging.blocks import judge_block
from sql_snippets.model import (
    Claims,
    Column,
    ExpectedOutput,
    LineOrigin,
    Location,
    Outcome,
    Parameter,
    ServerError,
    Snippet,
    Step,
)
from sql_snippets.plan import Look, Plan, Probe, RunOptions, Send, Stage, Where, plan_block

OPTIONS = RunOptions("reader")
DONE = Outcome(None, (), "UPDATE 1", None, (), 0.25, "clone")
BROKEN = replace(DONE, error=ServerError("42601", "no", offset=8))


def _snippet(name: str = "n", sql: str = "select '<x>'", claims: Claims | None = None) -> Snippet:
    origins = (LineOrigin("x.md", 11, tuple(range(1, len(sql) + 2))),)
    return Snippet("x.md", "s", name, sql, origins, Location("x.md", 10), 12, claims or Claims())


def _evidence(snippet: Snippet, *outcomes: Outcome, produced: bool = True) -> Evidence:
    """Give each block of the plan an outcome, the last one to all that are left."""
    plan = plan_block(snippet, OPTIONS)
    waiting = list(outcomes)
    replies = [
        BlockRun(step, waiting.pop(0))
        for step in plan.stages[0].steps
        if isinstance(step, Send) and waiting
    ]
    return Evidence(plan, (tuple(replies),), produced)


def _with(evidence: Evidence, *more: Sight | Probed) -> Evidence:
    return replace(evidence, stages=((*evidence.stages[0], *more),))


def test_judging_needs_nothing_that_runs() -> None:
    code = (
        "import sys, pkgutil, sql_snippets.judging as judging\n"
        "for found in pkgutil.iter_modules(judging.__path__, 'sql_snippets.judging.'):\n"
        "    __import__(found.name)\n"
        "runs = ('psycopg', 'sql_snippets.servers', 'sql_snippets.database', "
        "'sql_snippets.running')\n"
        "print([name for name in sys.modules if name.startswith(runs)])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_a_block_that_was_run_as_the_page_says() -> None:
    snippet = _snippet(claims=Claims(rows=1, fill={"x": "1"}))
    parameters = (Parameter("x", "text", "fill.x"),)
    plan = plan_block(snippet, OPTIONS)
    probe = plan.stages[0].steps[-1]
    assert isinstance(probe, Probe)
    probed = Probed(probe, parameters, {"x": "1"}, {"x": "O'Hara"})
    evidence = _with(_evidence(snippet, DONE), probed)
    trial = judge_block(snippet, evidence)
    assert (trial.failures, trial.tested) == ((), True)
    assert (trial.outcome, trial.seconds, trial.parameters) == (DONE, 0.25, parameters)
    broken = replace(probed, error=ServerError("42601", "no", offset=8))
    (failure,) = judge_block(snippet, _with(_evidence(snippet, DONE), broken)).failures
    assert failure.message == "with a value that has quotes in it, the block breaks: no"
    assert failure.location == Location("x.md", 11, 9)


def test_nothing_that_was_not_run_has_passed() -> None:
    snippet = _snippet()
    trial = judge_block(snippet, _evidence(snippet))
    assert [failure.message for failure in trial.failures] == ["the block was not run"]
    assert not trial.tested
    send = plan_block(snippet, OPTIONS).stages[0].steps[0]
    assert isinstance(send, Send)
    evidence = replace(_evidence(snippet), stages=((BlockRun(send, None),),))
    assert judge_block(snippet, evidence).failures == trial.failures


def test_without_its_incident_a_block_was_not_tested() -> None:
    snippet = _snippet(claims=Claims(scenario="stuck"))
    trial = judge_block(snippet, _evidence(snippet, produced=False))
    assert not trial.tested
    assert trial.outcome is None
    assert trial.failures[0].message.startswith('scenario "stuck" did not produce its incident')


def test_a_failure_of_a_block_before_it_is_not_its_own() -> None:
    first = _snippet("first", "select 1")
    snippet = replace(_snippet(sql="select 2"), earlier=(first,))
    trial = judge_block(snippet, _evidence(snippet, BROKEN, DONE))
    assert not trial.tested
    assert trial.failures[0].message == 'block "first", which must run before "n", failed: no'
    assert judge_block(snippet, _evidence(snippet, DONE, DONE)).tested
    own = judge_block(snippet, _evidence(snippet, DONE, BROKEN))
    assert (own.tested, own.failures[0].message) == (True, "no")


def test_one_execution_is_the_evidence_of_several_blocks() -> None:
    blocks = [_snippet(name, "select 1", Claims(rows=1)) for name in ("a", "b", "c")]
    sends = tuple(Send(block, Where.CLONE, OPTIONS, watched=True) for block in blocks)
    plan = Plan((Stage(sends),))
    outcomes = (DONE, replace(DONE, tag="UPDATE 2"), BROKEN)
    evidence = Evidence(plan, (tuple(map(BlockRun, sends, outcomes)),))
    trials = [judge_block(block, evidence) for block in blocks]
    assert [trial.outcome for trial in trials] == list(outcomes)
    assert [[failure.message for failure in trial.failures] for trial in trials] == [
        [],
        ["the page says rows=1, there are 2"],
        ["no"],
    ]
    assert not judge_block(_snippet("d", "select 1"), evidence).tested


def test_an_incident_that_has_to_end_is_looked_for() -> None:
    claims = Claims(scenario="stuck", step=Step.RESOLVE, ends=True)
    snippet = _snippet(sql="update t set a = 1", claims=claims)
    for present in (True, False):
        sight = Sight(Look(present=False), present)
        trial = judge_block(snippet, _with(_evidence(snippet, DONE), sight))
        assert bool(trial.failures) is present
    assert trial.tested


def test_what_would_be_refused_again_is_no_fix() -> None:
    """Accepted, it would have passed with the page as it was."""
    shown = ExpectedOutput(" a\n---\n 1\n(1 row)", Location("x.md", 14), 17)
    outcome = replace(DONE, columns=(Column("a", "integer"),), rows=(("1",),))
    for volatile in (("a",), ("gone",), ("a", "gone")):
        snippet = _snippet(sql="select 1 as a", claims=Claims(output=shown, volatile=volatile))
        failures = judge_block(snippet, _evidence(snippet, outcome)).failures
        assert bool(failures) is ("gone" in volatile)
        assert [failure.fixes for failure in failures] == [() for _ in failures]


def test_an_output_that_may_be_accepted_hides_nothing_else() -> None:
    shown = ExpectedOutput("UPDATE 2", Location("x.md", 14), 14)
    claims = Claims(scenario="stuck", step=Step.RESOLVE, ends=True, output=shown)
    snippet = _snippet(sql="update t set a = 1", claims=claims)
    sight = Sight(Look(present=False), present=True)
    output, still = judge_block(snippet, _with(_evidence(snippet, DONE), sight)).failures
    assert output.fixes[0].new == "UPDATE 1"
    assert "is still there" in still.message
    assert not still.fixes


@pytest.mark.parametrize(
    ("snippet", "expected"),
    [
        (_snippet(sql="select 1"), ["n rolled back watched"]),
        (_snippet(), ["n rolled back watched", "n clone probe"]),
        (
            replace(_snippet(), earlier=(_snippet("first", "select 1"),)),
            ["first clone", "n clone watched", "n clone probe"],
        ),
        (
            _snippet(claims=Claims(scenario="stuck", step=Step.RESOLVE, ends=True)),
            ["n incident watched", "look", "n incident probe"],
        ),
    ],
)
def test_all_is_decided_before_anything_is_sent(snippet: Snippet, expected: list[str]) -> None:
    plan = plan_block(snippet, OPTIONS)
    assert plan.scenario == snippet.claims.scenario
    found = []
    for step in plan.stages[0].steps:
        if isinstance(step, Look):
            found.append("look")
        else:
            kind = " probe" if isinstance(step, Probe) else " watched" if step.watched else ""
            found.append(f"{step.snippet.name} {step.where}{kind}")
    assert found == expected


def test_a_block_is_run_as_the_role_that_the_page_names() -> None:
    first = _snippet("first", "select 1", Claims(role="owner"))
    plan = plan_block(replace(_snippet(), earlier=(first,)), OPTIONS)
    roles = [step.options.role for step in plan.stages[0].steps if not isinstance(step, Look)]
    assert roles == ["owner", "reader", "reader"]


RESOLVED = replace(DONE, columns=(Column("resolved", "boolean"),), rows=(("t",),))


@pytest.mark.parametrize(
    ("outcome", "step", "goes_on"),
    [
        (DONE, None, True),
        (BROKEN, None, False),
        (DONE, Step.CONFIRM, False),
        (RESOLVED, Step.CONFIRM, True),
        (RESOLVED, Step.VERIFY, False),
        (replace(RESOLVED, rows=(("f",),)), Step.VERIFY, True),
        (replace(RESOLVED, rows=((None,),)), Step.VERIFY, False),
        (replace(RESOLVED, rows=(("f",), ("f",))), Step.VERIFY, False),
        (replace(RESOLVED, columns=(Column("resolved", "text"),)), Step.VERIFY, False),
    ],
)
def test_a_plan_says_what_a_run_goes_on_from(
    outcome: Outcome, step: Step | None, *, goes_on: bool
) -> None:
    plan = plan_block(_snippet(sql="select 1", claims=Claims(step=step)), OPTIONS)
    (send,) = plan.stages[0].steps
    assert isinstance(send, Send)
    assert send.where is Where.ROLLED_BACK
    assert send.is_met(outcome) is goes_on
    # An error that the page says is no reason to stop.
    said = replace(send, snippet=_snippet(claims=Claims(error="42601")), need=None)
    assert said.is_met(BROKEN)
    assert not said.is_met(DONE)
