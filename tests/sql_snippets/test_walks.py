"""Whoever follows the page comes to an end, and the end is true.

A machine walks it, from Check health and from each alert that arrives, for faults of every kind.
The oracle says what is broken; the page is never asked whether the page was right.
"""

from __future__ import annotations

import random
import re
import time
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.figures import read_kept
from tests.sql_snippets.decisions import PAGE
from tests.sql_snippets.faults.catalogue import (
    FOR_PEOPLE,
    KINDS,
    Fault,
    catalogue,
    chosen_pairs,
)
from tests.sql_snippets.faults.ground import Ground, open_ground
from tests.sql_snippets.faults.reporting import PAIRS
from tests.sql_snippets.walks import expedition
from tests.sql_snippets.walks.book import Book
from tests.sql_snippets.walks.reporting import ALL, COLUMNS, DAILY, PROPERTY, Tally, sum_of
from tests.sql_snippets.walks.walker import DONE, ESCALATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.sql_snippets.walks.expedition import Walked

# The share of the faults of every day in which the oracle is asked on the way too, and alerts are
# followed although nothing is broken.
CLOSELY = 0.25
# The published table is of so many faults of each kind at the least.
PUBLISHED = 5


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with open_ground() as ground:
        yield ground


@pytest.fixture(scope="module")
def faults(ground: Ground) -> tuple[Fault, ...]:
    with ground.clone() as database, database.server.connect(database.name) as god:
        return catalogue(god)


def test_a_healthy_database_is_done_after_one_statement(ground: Ground) -> None:
    walked = expedition.walk_from_health(ground)
    assert (walked.walk.end, walked.walk.statements, walked.after) == (DONE, 1, None)


@pytest.mark.parametrize("kind", [*KINDS, PAIRS])
def test_every_walk_comes_to_a_true_end(
    kind: str,
    ground: Ground,
    faults: tuple[Fault, ...],
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    wanted, seed = pytestconfig.getoption("--walks"), pytestconfig.getoption("--fault-seed")
    if kind == PAIRS:
        how_many = pytestconfig.getoption("--fault-pairs") if wanted == ALL else wanted
        chosen: Sequence[tuple[Fault, ...]] = list(chosen_pairs(faults, how_many, seed))
    else:
        of_kind = [(fault,) for fault in faults if fault.kind == kind]
        chosen = of_kind if wanted == ALL else _some(of_kind, int(wanted), seed)
    tally, failures, remarks = Tally(kind), [], []
    draw, began = random.Random(f"{seed} {kind}"), time.monotonic()
    for number, some in enumerate(chosen):
        if number == DAILY:
            tally = replace(tally, seconds=time.monotonic() - began)
        closely = wanted == ALL or draw.random() < CLOSELY
        for walked in walks_from(ground, *some, closely=closely):
            tally = sum_of([tally, tally_of(kind, walked)], kind)
            failures += wrong_about(walked)
            remarks += walked.walk.remarks
    tally = replace(tally, seconds=tally.seconds or time.monotonic() - began)
    record_property(PROPERTY, (astuple(tally), remarks))
    assert not failures, "\n\n".join(failures)


def test_the_published_walks_keep_what_the_runbook_promises() -> None:
    findings = read_kept()["walks"].findings
    (table,), (_took,) = findings.tables, findings.aims
    assert table.columns == COLUMNS
    total = dict(zip(COLUMNS, table.rows[-1], strict=True))
    assert total["Done, still broken"] == total["In a circle or lost"] == "0"
    assert int(total["Mended"]) >= 0.8 * int(total["Broken"])
    assert float(total["Statements"].partition(",")[0]) <= 6
    assert {row[0] for row in table.rows} >= {*KINDS, PAIRS}
    of_each = re.match(r"Walked from (all|\d+) faults of each kind", table.note)
    assert of_each
    assert of_each[1] == ALL or int(of_each[1]) >= PUBLISHED
    assert int(total["Oracle asked"]) > 0


def test_whoever_is_to_mend_a_fault_is_named_for_one_that_there_is(
    faults: tuple[Fault, ...],
) -> None:
    assert unmatched(faults) == []
    gone = [fault for fault in faults if fault.kind != "alert"]
    assert [kind for kind, *_ in unmatched(gone)] == ["alert"]


def unmatched(faults: Sequence[Fault]) -> list[tuple[str, str, str]]:
    """Return what says who mends a fault, and no fault is meant."""
    return [
        (kind, names, people)
        for kind, names, people in FOR_PEOPLE
        if not any(fault.kind == kind and re.search(names, fault.name) for fault in faults)
    ]


def test_a_page_that_says_done_too_early_is_found(ground: Ground) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (ill,) = [line for line in text.splitlines() if line.startswith("- An `f`: take the first row")]
    book = Book.of(text.replace(ill, "- An `f`: done."))
    off = "update cron.job set active = false where jobname = 'peer-mentor-reminders'"
    fault = Fault("job field", "the job is off", off)
    walked = expedition.walk_from_health(ground, fault, broken="", book=book)
    assert walked.walk.end == DONE
    assert any("done, and the promise is broken" in wrong for wrong in wrong_about(walked))


def test_a_statement_that_makes_it_worse_is_found(ground: Ground) -> None:
    """Whatever the statements after it mend again."""
    text = PAGE.read_text(encoding="utf-8")
    mending = "select * from reminder.change_job('<jobname>',\n  active => true"
    assert mending in text
    giving = "grant delete on public.assignments to anon;\n"
    book = Book.of(text.replace(mending, giving + mending))
    off = "update cron.job set active = false where jobname = 'peer-mentor-reminders'"
    fault = Fault("job field", "the job is off", off)
    walked = expedition.walk_from_health(ground, fault, broken="", book=book, closely=True)
    assert any("has made it worse" in wrong for wrong in wrong_about(walked))


def _some(
    faults: Sequence[tuple[Fault, ...]], how_many: int, seed: int
) -> Sequence[tuple[Fault, ...]]:
    return random.Random(seed).sample(faults, min(how_many, len(faults)))


def walks_from(ground: Ground, *faults: Fault, closely: bool) -> Iterator[Walked]:
    """Walk from everywhere where somebody could begin who has these faults before him."""
    broken = expedition.broken(ground, *faults)
    if broken is None:
        return  # the system itself refuses it
    yield expedition.walk_from_health(ground, *faults, broken=broken, closely=closely)
    if broken or closely:
        yield from expedition.walks_from_alerts(ground, *faults, broken=broken, closely=closely)


def tally_of(kind: str, walked: Walked) -> Tally:
    """Return what one walk adds to the table."""
    end, is_broken = walked.walk.end, bool(walked.broken)
    return Tally(
        kind,
        walks=1,
        broken=is_broken,
        mended=is_broken and end == DONE and walked.after is None,
        escalated=is_broken and end == ESCALATED,
        well=not is_broken and walked.after is None,
        untrue=end == DONE and walked.after is not None,
        astray=end not in {DONE, ESCALATED},
        statements=(walked.walk.statements,),
        asked=walked.asked,
    )


def wrong_about(walked: Walked) -> list[str]:
    """Return what a walk should not have come to, with the walk."""
    walk, wrong = walked.walk, [*walked.worse]
    if walk.end == DONE and walked.after is not None:
        wrong.append(f"done, and the promise is broken: {walked.after}")
    if walk.end not in {DONE, ESCALATED}:
        wrong.append(f"no end: {walk.end}, {walk.why}")
    if not walked.broken and walked.after is not None:
        wrong.append(f"the page has made it worse: {walked.after}")
    if walked.broken and len(walked.faults) == 1:
        (fault,) = walked.faults
        if fault.people is None and walk.end != DONE:
            wrong.append("the page should have mended it")
        if fault.people is not None and walk.end == ESCALATED and walk.why != fault.people:
            wrong.append(f"it is for the {fault.people}, and not for the {walk.why}")
    return [f"{walked.name}: {what}\n{walk}" for what in wrong]
