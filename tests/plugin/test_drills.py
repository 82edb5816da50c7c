"""A drill from its plan to what is said of it, without a server: blocks are sent to a `World`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from sql_snippets.database.ground import Ground, Incident
from sql_snippets.judging.drills import check_make_up, judge_drill
from sql_snippets.model import (
    Claims,
    Column,
    Drill,
    ExpectedOutput,
    Failure,
    LineOrigin,
    Location,
    Outcome,
    Scenario,
    ServerError,
    Snippet,
    Step,
)
from sql_snippets.plan import RunOptions, plan_drill
from sql_snippets.running import execute
from sql_snippets.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ERROR = Outcome(None, (), "", ServerError("P0001", "gone"), (), 0.1, "clone")
OPTIONS = RunOptions("postgres")


def _snippet(name: str, line: int, claims: Claims) -> Snippet:
    origins = (LineOrigin("x.md", line, (1, 2)),)
    return Snippet("x.md", "s", name, name, origins, Location("x.md", line - 1), line, claims)


CONFIRM = _snippet("find", 10, Claims(step=Step.CONFIRM, rows=1))
RESOLVE = _snippet("fix", 20, Claims(step=Step.RESOLVE))
VERIFY = _snippet("look", 30, Claims(step=Step.VERIFY))
DRILL = Drill("x.md", "s", "incident", (CONFIRM, RESOLVE, VERIFY), Location("x.md", 5))


@dataclass
class World:
    """A database with, or without, an incident, and what a page's blocks do in it.

    ``faults`` say which block does something else than it should.
    """

    present: bool
    faults: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    fixes: int = 0
    looks: int = 0

    @property
    def server(self) -> Server:
        return Server("embedded", "", 0, "")

    @contextmanager
    def clone(self) -> Iterator[World]:
        yield self

    def outcome(self, name: str) -> Outcome:
        self.log.append(name)
        rows: tuple[tuple[str], ...]
        if f"{name} fails" in self.faults:
            return ERROR
        match name:
            case "find":
                found = "finds always" in self.faults or (
                    self.present and "finds never" not in self.faults
                )
                rows = (("1",),) if found else ()
                return Outcome((Column("id", "integer"),), rows, "", None, (), 0.1, "clone")
            case "fix":
                self.fixes += 1
                if self.fixes > 1 and "fails when repeated" in self.faults:
                    return ERROR
                if "fixes nothing" not in self.faults:
                    self.present = self.fixes > 1 and "harms when repeated" in self.faults
                return Outcome(None, (), "UPDATE 1", None, (), 0.1, "clone")
            case "look":
                self.looks += 1
                done = not self.present
                if "looks late" in self.faults and done:
                    done = self.looks > 4
                if "says yes" in self.faults or "says no" in self.faults:
                    done = "says yes" in self.faults
                if "ends when looked at" in self.faults:
                    self.present = False
                column = Column("resolved", "boolean")
                rows = (("t" if done else "f",),)
                return Outcome((column,), rows, "", None, (), 0.1, "clone")
            case _:
                return Outcome(None, (), "SET", None, (), 0.1, "clone")


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(database: World, sql: str, _: RunOptions, *, watched: bool) -> Outcome:
        assert not watched
        return database.outcome(sql)

    monkeypatch.setattr(execute, "run_as_editor", run)


def _run(
    *faults: str, drill: Drill = DRILL, present: bool = True
) -> tuple[list[Failure], World, World]:
    healthy, incident = World(present=False, faults=set(faults)), World(present, set(faults))
    if problems := check_make_up(drill):
        return problems, healthy, incident
    scenario = Scenario(lambda: incident.present)
    evidence = execute.execute(
        plan_drill(drill, OPTIONS),
        Ground(cast("Any", healthy)),
        Incident(cast("Any", incident), scenario),
    )
    return list(judge_drill(drill, evidence).failures), healthy, incident


def test_a_section_that_is_right_is_followed_to_its_end() -> None:
    failures, healthy, incident = _run()
    assert failures == []
    assert healthy.log == ["find"]
    assert incident.log == ["look", "find", "fix", "look", "fix", "look"]


@pytest.mark.parametrize(
    ("fault", "line", "message"),
    [
        (
            "finds always",
            10,
            'confirm "find" on a healthy database: step=confirm must return 0 rows',
        ),
        ("finds never", 10, 'confirm "find" with the incident: the page says rows=1, there are 0'),
        ("find fails", 10, 'confirm "find" on a healthy database: gone'),
        ("says yes", 30, 'verify "look" before the fix: step=verify must say resolved = false'),
        ("says no", 30, 'verify "look" after the fix: step=verify must say resolved = true'),
        ("look fails", 30, 'verify "look" before the fix: gone'),
        ("ends when looked at", 5, "the incident ended before the first step=resolve block"),
        ("fix fails", 20, 'resolve "fix" with the incident: gone'),
        ("fixes nothing", 20, 'incident "incident" is still there after resolve "fix" ran in page'),
        (
            "fails when repeated",
            20,
            'resolve "fix" run a second time (say `once` if it must not be',
        ),
        ("harms when repeated", 20, 'incident "incident" is still there after resolve "fix" ran a'),
        ("looks late", 30, 'verify "look" after the fix: step=verify must say resolved = true'),
    ],
)
def test_what_is_wrong_is_said_of_its_step(fault: str, line: int, message: str) -> None:
    (failure,), *_ = _run(fault)
    assert failure.location.line == line
    assert failure.message.startswith(message)


def test_a_fix_for_once_is_not_repeated() -> None:
    once = replace(RESOLVE, claims=replace(RESOLVE.claims, once=True))
    drill = replace(DRILL, steps=(CONFIRM, once, VERIFY))
    failures, _, incident = _run("fails when repeated", drill=drill)
    assert failures == []
    assert incident.fixes == 1


def test_a_verification_may_take_its_time() -> None:
    patient = replace(VERIFY, claims=replace(VERIFY.claims, within=180.0))
    failures, _, incident = _run(
        "looks late", drill=replace(DRILL, steps=(CONFIRM, RESOLVE, patient))
    )
    assert failures == []
    assert incident.looks > 4


def test_an_incident_may_take_its_time_to_end() -> None:
    patient = replace(VERIFY, claims=replace(VERIFY.claims, within=180.0))
    drill = replace(DRILL, steps=(CONFIRM, RESOLVE, patient))
    incident, waiting = World(present=True), [True, True]

    def is_present() -> bool:
        return incident.present or (incident.fixes > 0 and bool(waiting and waiting.pop()))

    evidence = execute.execute(
        plan_drill(drill, OPTIONS),
        Ground(cast("Any", World(present=False))),
        Incident(cast("Any", incident), Scenario(is_present)),
    )
    assert judge_drill(drill, evidence).failures == ()
    assert not waiting


def test_patience_does_not_hide_a_fix_that_fixes_nothing() -> None:
    patient = replace(VERIFY, claims=replace(VERIFY.claims, within=0.3))
    drill = replace(DRILL, steps=(CONFIRM, RESOLVE, patient))
    (failure,), *_ = _run("fixes nothing", drill=drill)
    assert failure.message.startswith('incident "incident" is still there')


def test_a_drill_without_an_incident_at_all_proves_nothing() -> None:
    ground = Ground(cast("Any", World(present=False)))
    (failure,) = judge_drill(DRILL, execute.execute(plan_drill(DRILL, OPTIONS), ground)).failures
    assert failure.message.startswith('scenario "incident" did not produce its incident')


def test_an_incident_that_is_not_there_proves_nothing() -> None:
    (failure,), _, incident = _run(present=False)
    assert failure.message.startswith('scenario "incident" did not produce its incident')
    assert incident.log == []


@pytest.mark.parametrize("step", list(Step))
def test_a_section_without_a_step_proves_nothing(step: Step) -> None:
    steps = tuple(snippet for snippet in DRILL.steps if snippet.claims.step is not step)
    (failure,), _, incident = _run(drill=replace(DRILL, steps=steps))
    assert failure == Failure(
        Location("x.md", 5), f"the drill proves nothing: it has no block with step={step.value}"
    )
    assert incident.log == []


def test_a_diagnosis_after_the_fix_proves_nothing() -> None:
    (failure,), _, incident = _run(drill=replace(DRILL, steps=(RESOLVE, CONFIRM, VERIFY)))
    assert failure.location == DRILL.location
    assert failure.message.endswith("no step=confirm comes before its first step=resolve")
    assert incident.log == []


def test_a_step_that_is_skipped_or_wrong_cannot_be_followed() -> None:
    skipped = replace(RESOLVE, skipped="not here")
    wrong = replace(VERIFY, problems=(Failure(Location("x.md", 28), "what?"),))
    failures, _, incident = _run(drill=replace(DRILL, steps=(CONFIRM, skipped, wrong)))
    assert [failure.message for failure in failures] == [
        'resolve "fix" of the drill: it is skipped (not here), so the section cannot be followed',
        'verify "look" of the drill: what?',
    ]
    assert incident.log == []


def test_output_below_a_verification_is_that_after_the_fix() -> None:
    def shown(text: str) -> Drill:
        output = ExpectedOutput(f" resolved\n---\n {text}\n(1 row)", Location("x.md", 32), 35)
        verify = replace(VERIFY, claims=replace(VERIFY.claims, output=output))
        return replace(DRILL, steps=(CONFIRM, RESOLVE, verify))

    assert _run(drill=shown("t"))[0] == []
    (failure,), *_ = _run(drill=shown("f"))
    assert failure.location.line == 34


@pytest.mark.parametrize("fault", ["find fails", "first fails"])
def test_what_a_step_needs_is_run_once_in_each_database(fault: str) -> None:
    first = _snippet("first", 8, Claims())
    needing = replace(CONFIRM, earlier=(first,))
    drill = replace(DRILL, steps=(needing, RESOLVE, replace(VERIFY, earlier=(first,))))
    failures, healthy, incident = _run(drill=drill)
    assert (failures, healthy.log) == ([], ["first", "find"])
    assert incident.log == ["first", "look", "find", "fix", "look", "fix", "look"]
    (failure,), healthy, incident = _run(fault, drill=drill)
    assert incident.log == []
    if fault == "first fails":
        assert healthy.log == ["first"]
        assert failure.location.line == 8
        assert failure.message == (
            'confirm "find" on a healthy database: block "first", which must run before "find", '
            "failed: gone"
        )


def test_a_drill_that_ended_early_has_not_passed() -> None:
    """Whatever made the run stop, nothing that was not seen counts as seen."""
    incident = World(present=True)
    evidence = execute.execute(
        plan_drill(DRILL, OPTIONS),
        Ground(cast("Any", World(present=False))),
        Incident(cast("Any", incident), Scenario(lambda: incident.present)),
    )
    assert judge_drill(DRILL, evidence).failures == ()
    for end in range(len(evidence.stages)):
        (failure,) = judge_drill(DRILL, replace(evidence, stages=evidence.stages[:end])).failures
        assert failure.message == "the drill was not followed to its end"
