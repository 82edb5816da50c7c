"""What the SQL Editor makes of a block: the limit that it adds, and what comes of it."""

from __future__ import annotations

import pytest

from sql_snippets.judging.checks import check_limit, check_run, check_snippet
from sql_snippets.model import Claims, Column, Danger, Mark, Outcome, ServerError
from sql_snippets.profiles import POSTGRES, SUPABASE
from sql_snippets.sqltext.sent import added_limit, as_sent
from tests.plugin.test_effects import snippet_of

LIMITED = [
    ("select 1", "select 1 limit 100;"),
    ("select 1;", "select 1 limit 100;"),
    ("SELECT 1;", "SELECT 1 limit 100;"),
    ("  select 1", "  select 1 limit 100;"),
    ("select 1 /* all */;", "select 1 /* all */ limit 100;"),
    ("select *\nfrom t\norder by 1;", "select *\nfrom t\norder by 1 limit 100;"),
    ("select id from t limit 1 for update;", "select id from t limit 1 for update limit 100;"),
    ("select * into u from t", "select * into u from t limit 100;"),
    ("select * from (select 1 limit 5) x;", "select * from (select 1 limit 5) x limit 100;"),
    ("select 1 fetch next 5 rows only", "select 1 fetch next 5 rows only limit 100;"),
    ("select 1 offset 5", "select 1 offset 5 limit 100;"),
    ("select f(id) from q", "select f(id) from q limit 100;"),
    ("selectivity", "selectivity limit 100;"),
]
AS_THEY_ARE = [
    *("select 1 limit 5", "select 1 limit 5;", "select 1 LIMIT 5;", "select 1\nlimit\n5;"),
    *("select 1 limit 5 offset 2;", "select 1 fetch first 5 rows only;", "select 1 -- all"),
    *("-- all\nselect 1;", "select 1; select 2;", "select 1;;select 2", "select ';' as a;"),
    *("with a as (select 1) select * from a;", "values (1);", "table t;", "(select 1);"),
    *("update t set a = 1;", "/* all */ select 1;", "explain select 1;", "show work_mem;"),
    *("select '--' as a;", "select f(id) from q fetch  first row only"),
]


@pytest.mark.parametrize(("sql", "sent"), LIMITED)
def test_a_single_select_gets_a_limit(sql: str, sent: str) -> None:
    added = added_limit(sql, SUPABASE.editor.limit)
    assert (added, as_sent(sql, added)) == (" limit 100", sent)
    assert added_limit(sql, POSTGRES.editor.limit) == ""


@pytest.mark.parametrize("sql", AS_THEY_ARE)
def test_anything_else_is_sent_as_it_is(sql: str) -> None:
    added = added_limit(sql, 100)
    assert (added, as_sent(sql, added)) == ("", sql)


def _outcome(rows: int, danger: Danger, added: str = " limit 100", tag: str = "") -> Outcome:
    columns = None if tag else (Column("a", "integer"),)
    got = () if tag else (("1",),) * rows
    return Outcome(columns, got, tag or f"SELECT {rows}", None, (), 0.1, "clone", danger, (), added)


WROTE = Danger(Mark.WRITE, ("update of public.queue (100 rows)",))


@pytest.mark.parametrize(
    ("outcome", "is_right"),
    [
        (_outcome(100, WROTE), False),
        (_outcome(100, Danger(Mark.STOP, ("x",))), False),
        (_outcome(100, WROTE, tag="SELECT 100"), False),
        (_outcome(99, WROTE), True),
        (_outcome(100, WROTE, added=""), True),
        (_outcome(100, Danger(Mark.READ)), True),
    ],
)
def test_a_block_must_not_stop_at_the_limit(outcome: Outcome, *, is_right: bool) -> None:
    found = check_limit(snippet_of("select 1"), outcome)
    assert (found == []) is is_right
    assert check_snippet(snippet_of("select 1"), outcome) == found
    if found:
        assert "acts on the first 100 rows only" in found[0].message
        assert found[0].notes[0].startswith("editor: the SQL Editor adds a limit")


def test_what_the_editor_added_is_named_where_it_is_to_blame() -> None:
    sql = "select id from t limit 1 for update;"
    snippet = snippet_of(sql, Claims(rows=150))
    wrong = ServerError("42601", 'syntax error at or near "limit"', offset=len(sql))
    failed = Outcome(None, (), "", wrong, (), 0.1, "clone", None, (), " limit 100")
    (failure,) = check_run(snippet, failed)
    assert failure.notes[0].startswith("editor: ")
    elsewhere = ServerError("42601", "syntax error", offset=3)
    (failure,) = check_run(snippet, Outcome(None, (), "", elsewhere, (), 0.1, "clone", added=" l"))
    assert failure.notes == ()
    (failure,) = check_run(snippet, _outcome(100, WROTE))
    assert failure.notes[0].startswith("editor: ")
