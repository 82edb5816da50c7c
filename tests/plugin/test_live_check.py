"""A check of everything while its author waits: in which order, and what is known meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.reach import Definitions
from sql_snippets.results.report import read_report
from sql_snippets.watching.live_check import LiveCheck, changed_statements, touched_names
from tests.plugin.small_project import write_files

if TYPE_CHECKING:
    from sql_snippets.results.report import Report
    from sql_snippets.sqltext.lexer import Statement

MIGRATION = """\
create schema shop;
-- What was ordered.
create table shop.orders (id int);
create table shop.parcels (id int);
create function shop.how_many() returns bigint language sql as 'select count(*) from shop.parcels';
"""
PAGE = """\
# Shop

## Orders

**READ** · All of them

```sql
select id from shop.orders;
```

## Parcels

**READ** · Their number

```sql
select shop.how_many();
```

## Nothing

**READ** · One

```sql
select 1;
```
"""
FILES = {"migrations/1.sql": MIGRATION, "docs/page.md": PAGE}
FILE = Path("1.sql")


def _changed(old: str, new: str) -> list[Statement]:
    assert old in MIGRATION
    return changed_statements({FILE: MIGRATION}, {FILE: MIGRATION.replace(old, new)})


def test_only_statements_count_as_changed() -> None:
    assert _changed("-- What was", "-- All that was") == []
    both = _changed("orders (id int)", "orders (id bigint)")
    assert [statement.words[:5] for statement in both] == [
        ("create", "table", "shop", ".", "orders")
    ] * 2
    assert len(changed_statements({}, {FILE: MIGRATION})) == 4
    assert len(changed_statements({FILE: MIGRATION}, {})) == 4
    assert changed_statements({FILE: MIGRATION}, {FILE: "\n" + MIGRATION}) == []


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("create or replace function shop.how_many() as 'select from orders'", {"how_many"}),
        ("alter table Shop.Orders add column parcels int", {"orders"}),
        ("insert into shop.parcels select how_many()", {"parcels"}),
        ("set search_path = shop", set()),
    ],
)
def test_a_statement_is_about_the_first_name_in_it(statement: str, names: set[str]) -> None:
    definitions = Definitions({"orders": "", "parcels": "", "how_many": "select from parcels"})
    changed = changed_statements({}, {FILE: statement})
    assert touched_names(changed, definitions) == names


class _Seen:
    """A plugin that looks at the report after each item, as an open page does."""

    def __init__(self, report: Path) -> None:
        self.report = report
        self.states: list[Report | None] = []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        self.states.append(read_report(self.report))


def _order(project: pytest.Pytester, changed: list[Statement]) -> list[list[str]]:
    """Return the sections that the report knew after each item."""
    report = project.path / "report.json"
    seen = _Seen(report)
    project.inline_run("docs", "--assert=plain", plugins=[LiveCheck(report, changed), seen])
    return [
        [item.split("::")[1] for item in state.by_id] if state is not None else []
        for state in seen.states
    ]


def test_what_was_touched_comes_first_and_is_known_at_once(
    empty_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql_snippets.watching.live_check._WRITE_SECONDS", 0)
    write_files(empty_project, FILES)
    page = ["orders", "parcels", "nothing"]
    assert [sorted(known) for known in _order(empty_project, [])] == [
        sorted(page[: number + 1]) for number in range(3)
    ]
    report = read_report(empty_project.path / "report.json")
    assert report is not None
    assert not report.complete
    # The function that the second block calls reads the table.
    assert _order(empty_project, _changed("parcels (id int)", "parcels (id bigint)"))[0] == [
        "parcels"
    ]
    assert _order(empty_project, _changed("orders (id int)", "orders (id bigint)"))[0] == ["orders"]


def test_no_report_is_written_more_often_than_it_is_read(empty_project: pytest.Pytester) -> None:
    write_files(empty_project, FILES)
    assert _order(empty_project, []) == [["orders"]] * 3


def test_a_migration_that_does_not_apply_is_said_once(
    empty_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql_snippets.watching.live_check._WRITE_SECONDS", 0)
    write_files(empty_project, {**FILES, "migrations/2.sql": "create tabel shop.x ();"})
    assert len(_order(empty_project, _changed("orders (id int)", "orders (id bigint)"))[-1]) == 3
    report = read_report(empty_project.path / "report.json")
    assert report is not None
    assert "2.sql:1:" in (report.database_error or "")
    assert {(run.drawn, run.reason) for run in report.by_id.values()} == {
        (None, "not run: the database cannot be built")
    }
