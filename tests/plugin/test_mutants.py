"""The small bugs that `scripts/mutate` puts in are these, and each is judged rightly."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

from benchmarks import figures
from scripts.tasks import mutant_score, mutants_of_python, mutants_of_sql, mutants_of_words
from scripts.tasks.common import TaskError
from scripts.tasks.mutant import Mutant, drawn
from scripts.tasks.mutant_lines import Lines
from scripts.tasks.mutant_run import Fate, Trial, Tried, Verdict, judged
from scripts.tasks.mutant_tests import made_by, ranked, statement_at, users

SQL = {
    ("comparison", "select a < 1"): {"a <= 1", "a >= 1"},
    ("comparison", "select a >= b"): {"a > b", "a < b"},
    ("comparison", "select a = b"): {"a <> b"},
    ("and/or", "select 1 where a between 1 and 2 and b"): {"between 1 and 2 or b"},
    ("and/or", "comment on table t is 'a'; select a and b"): {"a or b"},
    ("arithmetic", "select a - 1, -1, count(*)"): {"a + 1, -1"},
    ("not dropped", "select not a, b is not null"): {"select a, b is not", "b is null"},
    ("not dropped", "create table if not exists t (a int not null)"): {"a int )"},
    ("constant", "select 7, true"): {"select 8, true", "select 7, false"},
    ("constant", "select interval '30 days', '2s', 'at 7'"): {"'31 days'", "'3s'"},
    ("name", "do $$ begin raise exception 'no' using hint = 'no'; a := 'open'; end $$"): {
        "'open_'"
    },
    ("condition dropped", "select 1 where a and b or (c and d)"): {
        "where b or (c and d)",
        "where a or (c and d)",
        "where a and b ",
        "a and b or ( d)",
        "a and b or (c )",
    },
    ("condition dropped", "select case when a and b then c and d end"): {
        "when b then c and d",
        "when a then c and d",
        "then c end",
    },
    ("order dropped", "select a from t order by a, b limit 1"): {"from t limit 1"},
    ("order dropped", "select array_agg(a order by b desc) from t"): {"(a )", "order by b )"},
    ("limit dropped", "select (select a from t limit 1) from u"): {"from t ) from u"},
    ("lock dropped", "do $$ begin select a from t for update of t skip locked; end $$"): {
        "from t ;",
        "for update of t ;",
    },
    ("lock dropped", "create policy p on t for select using (true)"): set(),
    ("outer join", "select 1 from a left join b on true"): {"from a join b"},
    ("distinct dropped", "select count(distinct a), b is distinct from c"): {"count( a)"},
    ("strict dropped", "do $$ begin select a into strict b from t; end $$"): {"into b"},
    ("function", "select min(a), now(), min"): {"max(a)", "clock_timestamp()"},
    ("fallback dropped", "select coalesce(f(a, b), c)"): {"select f(a, b)"},
    ("setting dropped", "create function f() set search_path = a, b security definer as $$ $$"): {
        "f() security",
        "a, b as",
    },
    ("statement dropped", "do $$ declare a int; begin if b then x; end if; y; end $$"): {
        "then end if",
        "end if; end",
    },
    ("statements swapped", "do $$ begin x; y; if b then z; end if; end $$"): {"begin y; x; if"},
    ("grant or revoke dropped", "select 1; grant select on t to a;"): {"select 1; "},
    ("one of a grant or revoke dropped", "grant select, insert on t to a, b;"): {
        "grant select on t to a, b",
        "on t to a;",
    },
    ("one of a grant or revoke dropped", "revoke all on function f(a, b) from a;"): set(),
    ("rule dropped", "create trigger t after insert on u execute function f();"): {""},
    ("rule dropped", "alter table t enable row level security;"): {""},
}

PAGE = """\
# Page
## First one
**STOP** · End it · no undo: gone · 5 s

```sql
select 1; -- `t`
```

- `t`: done.
- A row: [go on](#second), within 30 minutes.

| What | Where |
| --- | --- |
| a | `x | y` |
| b | [Second](#second) · high, now |
## Second
"""
WORDS = {
    "outcomes swapped": {"- `t`: [go on](#second), within 30 minutes.\n- A row: done.\n"},
    "outcome dropped": {"\n\n- A row: [go on]", "- `t`: done.\n\n|"},
    "undo dropped": {"End it · 5 s"},
    "mark": {"**WRITE** · End it"},
    "answer": {"- `f`: done."},
    "number": {"within 31 minutes", "gone · 6 s"},
    "cell": {"| b | `x | y` |", "| a | [Second](#second) · high, now |"},
    "severity": {"· low, now |", "· high, today |"},
    "word": {"· a undo"},
    "link": {"[go on](#page)", "[Second](#page)"},
}

PYTHON = {
    ("comparison", "x = a < b"): {"a <= b", "a >= b"},
    ("comparison", "x = a is not b"): {"a is b"},
    ("comparison", "x = (a) not in (b)"): {"(a) in (b)"},
    ("and/or", "x = a and b"): {"a or b"},
    ("condition dropped", "x = a and (b or c)"): {"x = (b or c)", "x = a", "(b)", "(c)"},
    ("condition dropped", "x = [a for a in b if c]"): {"if True]"},
    ("condition turned", "while a:\n    b()"): {"while not (a):"},
    ("not dropped", "x = not (a or b)"): {"x = (a or b)"},
    ("arithmetic", "x = a + (b)  # +"): {"a - (b)"},
    ("constant", "x = 1, True, 'a'"): {"2, True", "1, False"},
    ("name", 'x: dict["a"] = {"b": f"c{d}", "A e": g}'): {'"b_"'},
    ("function", "x = min(a.strip())"): {"max(a.strip())", "a.rstrip()", "min(a)"},
    ("result", "def f():\n    return a"): {"return None"},
    ("statement dropped", "def f():\n    '''D'''\n    logger.info(a)\n    b()"): {"(a)\n pass"},
    ("loop", "for a in b:\n    break"): {"continue"},
    ("comparison", "if TYPE_CHECKING:\n    x = a < b"): set(),
}


def _differs(mutants: list[Mutant], kind: str, text: str, expected: set[str]) -> list[str]:
    """Return the mutated texts of a kind that are not expected, and what is missing of those."""
    applied = [mutant.applied(text) for mutant in mutants if mutant.kind == kind]
    found = [re.sub(" +", " ", each) for each in applied]
    surplus = [each for each in found if not any(part in each for part in expected)]
    missing = [part for part in expected if not any(part in each for each in found)]
    return [*surplus, *missing, *(["too many"] if len(found) > len(expected) else [])]


def test_each_rule_for_sql_gives_these_mutants_and_no_other() -> None:
    wrong = {
        (kind, sql): differs
        for (kind, sql), expected in SQL.items()
        if (differs := _differs(mutants_of_sql.mutants_of("a.sql", sql), kind, sql, expected))
    }
    assert wrong == {}


def test_each_rule_for_words_gives_these_mutants_and_leaves_code_alone() -> None:
    mutants = mutants_of_words.mutants_of("a.md", PAGE)
    wrong = {
        kind: differs
        for kind, expected in WORDS.items()
        if (differs := _differs(mutants, kind, PAGE, expected))
    }
    assert wrong == {}
    assert {mutant.kind for mutant in mutants} == WORDS.keys()


def test_each_rule_for_python_gives_these_mutants_and_no_other() -> None:
    wrong = {
        (kind, source): differs
        for (kind, source), expected in PYTHON.items()
        if (
            differs := _differs(
                mutants_of_python.mutants_of("a.py", source), kind, source, expected
            )
        )
    }
    assert wrong == {}


def test_python_with_any_mutant_in_it_is_still_python_and_not_the_same() -> None:
    path = Path(mutants_of_python.__file__)
    source = path.read_text(encoding="utf-8")
    mutants = mutants_of_python.mutants_of(path.name, source)
    same = ast.dump(ast.parse(source))
    assert len(mutants) > 200
    for mutant in drawn(mutants, 1)[:100]:
        assert ast.dump(ast.parse(mutant.applied(source))) != same, mutant


def test_statement_of_a_line_ends_before_its_body() -> None:
    source = textwrap.dedent("""\
        if (a and
                b):
            c(
                d,
            )
        """)
    lines = [list(mutants_of_python.lines_of_statement(source, line)) for line in range(1, 7)]
    assert lines == [[1, 2], [1, 2], [3, 4, 5], [3, 4, 5], [3, 4, 5], [6]]


def test_sample_begins_with_one_of_each_kind_and_is_repeated_by_its_seed() -> None:
    mutants = [Mutant("a", at, at + 1, "", kind) for at in range(9) for kind in "abc"]
    mutants += [Mutant("a", 0, 1, "", "rare")]
    order = drawn(mutants, 1)
    assert sorted(order) == sorted(mutants)
    assert {mutant.kind for mutant in order[:4]} == {"a", "b", "c", "rare"}
    assert order == drawn(reversed(mutants), 1)
    assert order != drawn(mutants, 2)


def _event(event: str, reason: str = "", at: float = 0.0) -> dict[str, object]:
    return {"event": event, "test": "t.py::t", "reason": reason, "at": at}


def test_verdict_says_what_the_run_has_shown() -> None:
    began, ended = _event("began"), _event("ended")
    refused = "setup: Traceback\nMigrationFailed: a.sql:1: syntax error"
    for events, status, expected in (
        ([began, _event("failed", "call: AssertionError"), ended], 1, ("noticed", "t.py::t")),
        (
            [began, _event("failed", refused), ended],
            1,
            ("refused", "MigrationFailed: a.sql:1: syntax error"),
        ),
        # A test of migrations that fail is a test like any other.
        ([began, _event("failed", refused.replace("setup", "call"))], 1, ("noticed", "t.py::t")),
        ([began, ended], 0, ("survived", "every test that was asked passed")),
        ([began, ended, _event("began", at=70.0)], None, ("survived", "the time ran out")),
        ([began], None, ("noticed", "t.py::t (it does not end)")),
        ([began, ended], None, ("survived", "the time ran out")),
        ([], 3, ("noticed", "pytest itself, which ended with status 3")),
    ):
        verdict = judged(events, status, 100.0, "MigrationFailed")
        assert (verdict.fate, verdict.by) == expected
    with pytest.raises(TaskError, match="No test was asked"):
        judged([], 5, 100.0, "")


def test_mutant_goes_when_its_run_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sql"
    path.write_text("select 1", encoding="utf-8")
    seen = []

    def interrupted(*_: object) -> Verdict:
        seen.append(path.read_text(encoding="utf-8"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "_asked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Trial(tmp_path, 1.0).tried(Mutant("a.sql", 7, 8, "2", "constant"), ["t.py"])
    assert seen == ["select 2"]
    assert path.read_text(encoding="utf-8") == "select 1"


def test_test_that_fails_without_a_mutant_has_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sql"
    path.write_text("select 1", encoding="utf-8")
    asked = []

    def always_red(self: Trial, tests: list[str]) -> Verdict:
        asked.append((tests, path.read_text(encoding="utf-8")))
        if "t.py::red" in self._unsound:
            return Verdict("survived", "every test that was asked passed")
        return Verdict("noticed", "t.py::red")

    monkeypatch.setattr(Trial, "_asked", always_red)
    tried = Trial(tmp_path, 1.0).tried(Mutant("a.sql", 7, 8, "2", "constant"), ["t.py"])
    assert tried.verdict.fate == "survived"
    assert asked == [
        (["t.py"], "select 2"),
        (["t.py::red"], "select 1"),
        (["t.py"], "select 2"),
    ]


def test_tests_of_what_is_broken_are_asked_before_those_of_its_users() -> None:
    migrations = [
        "create function reminder.inner() as $$ select 1 $$;",
        "create view reminder.outer as select reminder.inner();",
    ]
    tests = {
        "tests/test_outer.py": "outer outer outer",
        "tests/test_inner.py": "inner and many other words",
        "tests/test_other.py": "nothing",
        "tests/test_stem.py": "nothing at all",
    }
    used_by = users(migrations)
    assert used_by == {"inner": {"outer"}}
    broken = made_by(statement_at(migrations[0], 40))
    assert broken == {"inner"}
    assert ranked(broken, used_by, tests, "stem") == [
        "tests/test_stem.py",
        "tests/test_inner.py",
        "tests/test_outer.py",
        "tests/test_other.py",
    ]
    assert made_by("create trigger a after insert on public.b\nexecute function c()") == {"a", "b"}
    assert made_by("revoke all on reminder.a, public.b from x") == {"a", "b"}


def test_quickest_tests_that_run_a_line_are_asked_as_long_as_there_is_time() -> None:
    lines = Lines(
        {"quick": 1.0, "slow": 8.0, "slower": 9.0, "other": 1.0},
        {"a.py": {3: ["slow", "quick"], 4: ["slower"], 9: ["other"]}},
    )
    assert lines.covering("a.py", [3, 4], at_most=20) == ["quick", "slow", "slower"]
    assert lines.covering("a.py", [3, 4], at_most=10) == ["quick", "slow"]
    assert lines.covering("a.py", [4], at_most=8) == []
    # Run by no test: as the file is imported.
    assert lines.covering("a.py", [1], at_most=2.0) == ["other", "quick"]
    assert lines.covering("b.py", [1], at_most=2.0) == []


def test_score_counts_what_is_a_bug_and_shows_what_was_not_noticed() -> None:
    fates: list[tuple[str, Fate]] = [
        ("x", "noticed"),
        ("x", "survived"),
        ("y", "noticed"),
        ("y", "refused"),
    ]
    tried = [
        Tried(Mutant("a", at, at + 1, "", kind), 1, f"-{at}\n", Verdict(fate, ""))
        for at, (kind, fate) in enumerate(fates)
    ]
    table = mutant_score.findings(tried, possible=70, seed=4, seconds=540).tables[0]
    assert table.rows == (("x", "2", "1"), ("y", "1", "1"), ("all", "3", "2"))
    assert table.note.startswith("Seed 4, 3 of 70 possible. 1 more were refused")
    assert "200 of them take a night of 10.0 hours" in table.note
    assert table.note.endswith("```diff\n-1\n```")


def test_page_for_maintainers_shows_the_score_that_is_kept() -> None:
    page = mutant_score.PAGE.read_text(encoding="utf-8")
    kept = figures.read_kept(mutant_score.KEPT)
    assert figures.fill(page, kept) == page, "Write it again: scripts/mutate KIND --keep"
