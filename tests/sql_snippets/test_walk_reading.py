"""How the walker reads: which outcome came back, and where it leads.

What it takes for granted here it takes for granted of the runbook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sql_snippets.walks.answers import Answer
from tests.sql_snippets.walks.book import Book
from tests.sql_snippets.walks.matching import Condition, choose, of_text
from tests.sql_snippets.walks.moves import DEVELOPERS, PLATFORM, Do, Move, plan
from tests.sql_snippets.walks.walker import CIRCLE, DONE, ESCALATED, LOST, TOO_LONG, Walk, Walker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_ROW = Answer(("id", "status"))
FLAGS = ("step", "what", "ok", "finding")
WELL = Answer(FLAGS, (("1", "lock", "t", "free"), ("2", "dates", "t", "as logged")))
ILL = Answer(FLAGS, (("1", "lock", "t", "free"), ("2", "dates", "f", "3 are wrong")))
HELD = Answer(FLAGS, (("1", "lock", "t", "held by process 4711"),))
RUN = Answer(("id", "status", "error_code"), (("7", "timed_out", None),))
CALLED = Answer(tag="CALL")
DENIED = Answer(sqlstate="42501", message="permission denied for table activities")
LOCKED = Answer(sqlstate="55P03", message="canceling statement due to lock timeout")
REFUSED = Answer(sqlstate="22023", message="A run by hand needs the name of the person.")
SILENT = Answer(sqlstate="57014", message="no answer within 20 s", is_silent=True)
HOLDER = Answer(
    ("pid", "application_name", "state", "since"),
    (("4711", "psql", "idle in transaction", "00:12:03"),),
)
WAITING = Answer(("assignment_id", "due_on"), (("8", "2026-11-20"),), day="2026-11-27")
STARTED = Answer(
    ("due_at", "last_start"),
    (("2026-11-27 06:00:00+00", "2026-11-24 06:00:00+00, succeeded: CALL"),),
)
DRIFT = Answer(
    ("object", "was", "found", "on_purpose"),
    (("grant on function reminder.f() to anon", None, "EXECUTE", "f"),),
)
RENAMED = Answer(
    ("object", "was", "found"),
    (("column public.a.b", "integer", None), ("column public.a.c", None, "integer")),
)


@pytest.mark.parametrize(
    ("answer", "heads", "chosen"),
    [
        (WELL, ["All `t`", "An `f`"], 0),
        (ILL, ["All `t`", "An `f`"], 1),
        (WELL, ["An `f`", "All `t` and `free`", "`held by process` with `t`"], 1),
        (HELD, ["All `t` and `free`", "`held by process` with `t`"], 1),
        (NO_ROW, ["A row", "No row"], 1),
        (RUN, ["No row", "A row"], 1),
        (RUN, ["`failed`, `timed_out` or `abandoned`", "`succeeded`", "A row"], 0),
        (RUN, ["`status` is `failed`", "`status` is `timed_out`"], 1),
        (RUN, ["`error_code` is `55P03`", "`error_code` is empty, status `timed_out`"], 1),
        (CALLED, ["No row", "`CALL`, which the editor shows as `Success. No rows returned`"], 1),
        (REFUSED, ["`CALL`", "Any other error", "`A run by hand needs the name`"], 2),
        (DENIED, ["`55P03`", "`A run by hand needs the name`", "Any other error"], 2),
        (LOCKED, ["Any other error", "`55P03`"], 1),
        (SILENT, ["An error instead of rows", "No answer within 20 seconds, or `57014`"], 1),
        (WAITING, ["A `due_on` today", "An earlier `due_on`", "No `due_on`"], 1),
        (STARTED, ["`last_start` is empty, or before `due_at`", "anything else"], 0),
        (STARTED, ["`last_start` is `succeeded`, at or after `due_at`", "anything else"], 1),
        (DRIFT, ["`function` or `view`", "`grant on` or `policy`", "Anything else"], 1),
        (DRIFT, ["`on_purpose` is `t` in all", "`surplus job` and a number", "Anything else"], 2),
        (DRIFT, ["`grant` alone, and `was` is empty", "`grant on` or `policy`"], 0),
        (RENAMED, ["`column` alone, and `was` is empty in every row", "`column`"], 1),
        (DRIFT, ["`column` alone, and `was` is empty", "`grant on` or `policy`"], 1),
        (RUN, ["Nobody knows what it is", "A row"], 1),
        (RUN, ["No row", "`delivered`"], None),
    ],
)
def test_the_outcome_that_came_back_is_found(
    answer: Answer, heads: Sequence[str], chosen: int | None
) -> None:
    assert choose(answer, [of_text(head) for head in heads]).index == chosen


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        (
            [
                ("active", "under 2 minutes"),
                ("`idle`, or begins so", "any"),
                ("anything else", "any"),
            ],
            1,
        ),
        ([("`active`", "any"), ("`idle in transaction`", "over 10 minutes"), ("any", "any")], 1),
        ([("`idle in transaction`", "2 to 10 minutes"), ("anything else", "any")], 1),
    ],
)
def test_a_row_of_a_table_is_found_by_its_columns(
    cells: Iterable[tuple[str, str]], chosen: int
) -> None:
    conditions = [Condition((("state", one), ("since", other))) for one, other in cells]
    assert choose(HOLDER, conditions).index == chosen


def test_two_outcomes_that_fit_alike_are_rivals() -> None:
    match = choose(RUN, [of_text("`timed_out`"), of_text("No row"), of_text("`timed_out`")])
    assert (match.index, match.rivals) == (0, (2,))


def test_what_only_a_person_can_judge_comes_last() -> None:
    match = choose(RUN, [of_text("`timed_out`, after a long pause"), of_text("`timed_out`")])
    assert match.index == 1
    assert choose(RUN, [of_text("`timed_out`, after a long pause")]).is_open


def _go(anchor: str) -> Move:
    return Move(Do.GO, anchor)


@pytest.mark.parametrize(
    ("text", "moves", "otherwise"),
    [
        ("go on.", [Move(Do.NEXT)], []),
        ("the job is well, done.", [Move(Do.DONE)], []),
        ("go to [Missed runs](#missed-runs).", [_go("missed-runs")], []),
        ("done here; look at [Check health](#check-health).", [_go("check-health")], []),
        ("[escalate](#escalate) to the developers", [Move(Do.ESCALATE, DEVELOPERS)], []),
        (
            "run the block again, then [escalate](#escalate).",
            [Move(Do.AGAIN, "", -1)],
            [Move(Do.ESCALATE, PLATFORM)],
        ),
        (
            "It was lost. [Register again](#register-again), then the second WRITE block below",
            [_go("register-again"), Move(Do.BELOW, "WRITE", 2)],
            [],
        ),
        ("Wait, then run the READ block again", [Move(Do.WAIT), Move(Do.AGAIN, "READ", -1)], []),
        ("Both WRITE blocks below", [Move(Do.BELOW, "WRITE", 0)], []),
        (
            "ask who made it. If it is meant, [escalate](#escalate) to them, else go on.",
            [Move(Do.NEXT)],
            [],
        ),
        ("go on. [Who is waiting](#who-is-waiting) tells who.", [Move(Do.NEXT)], []),
        ("nothing was changed", [], []),
        ("`done` says what was changed; go on", [Move(Do.NEXT)], []),
    ],
)
def test_where_an_outcome_leads(
    text: str, moves: Sequence[Move], otherwise: Sequence[Move]
) -> None:
    planned = plan(text)
    assert (list(planned.moves), list(planned.otherwise)) == (list(moves), list(otherwise))


PAGE = """# Page

## Look

### Look first

**READ** · Look

```sql
select first
```

- `t`: done.
- `f`: go to [Mend](#mend).

### Mend

**WRITE** · Mend

```sql
select pg_terminate_backend(<pid>)
```

- `t`: {mended}
- `f`: run the block again, then [escalate](#escalate).

### Escalate

Call.
"""


def _walk(answers: Sequence[Answer], mended: str = "go to [Look](#look-first).") -> Walk:
    todo = iter(answers)
    walker = Walker(Book.of(PAGE.format(mended=mended)), lambda _sql, _seconds: next(todo), {})
    return walker.walk("look-first")


def _flag(value: str, **more: str) -> Answer:
    return Answer(("ok", *more), ((value, *more.values()),))


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ([_flag("t")], DONE),
        ([_flag("f", pid="1"), _flag("t", mended="1"), _flag("t")], DONE),
        ([_flag("f", pid="1"), _flag("f"), _flag("f")], ESCALATED),
        ([_flag("f", pid="1"), DENIED], ESCALATED),
        ([DENIED, DENIED], ESCALATED),
        ([DENIED, _flag("t")], DONE),
        ([_flag("f", pid="1"), _flag("t", mended="1"), _flag("f", pid="1")], CIRCLE),
        (
            [_flag("f", pid=str(n)) if n % 2 else _flag("t", n=str(n)) for n in range(1, 99)],
            TOO_LONG,
        ),
    ],
)
def test_a_walk_ends(answers: Sequence[Answer], end: str) -> None:
    assert _walk(answers).end == end


def test_a_link_that_leads_nowhere_is_found() -> None:
    walk = _walk([_flag("f", pid="1"), _flag("t")], "go to [Nowhere](#nowhere).")
    assert walk.end == LOST


def test_a_value_that_nothing_on_the_way_gave_is_the_end() -> None:
    assert _walk([_flag("f", pid="1"), DENIED]).remarks == []
    missing = _walk([_flag("f"), DENIED])
    assert (missing.end, "<pid>" in missing.why) == (LOST, True)
