"""Facts, bound tables, names in the text, shapes and placeholders, on whole little projects."""

from __future__ import annotations

import json
import re

import pytest

from tests.plugin.small_project import change, write_files
from tests.plugin.small_recipe import ROLE

SCHEMA = """\
create schema shop;
create table shop.settings (threshold int, keep interval);
insert into shop.settings values (3, '400 days');
create table shop.kinds (kind text primary key, anchor text, loud boolean);
insert into shop.kinds values ('late_run', 'late', true), ('test', 'send-a-test', false);
create table shop.orders (id bigint primary key, order_status text not null, reason text);
comment on column shop.orders.id is 'Number of the order';
comment on column shop.orders.order_status is 'open or closed';
comment on column shop.orders.reason is 'Why, a | b';
insert into shop.orders values (7, 'open', null);
create function shop.close_order(p_id bigint, p_reason text) returns text language sql
  as $$ update shop.orders set order_status = 'closed', reason = p_reason where id = p_id
        returning reason $$;
"""
FACTS = """\
-- What is known here.

-- fact: Threshold
select threshold, 'x' from shop.settings;

-- fact: Kept
select extract(day from keep) from shop.settings;

-- unchecked: Owner: people decide it
"""
KINDS = """\
select kind as "Kind", '#' || anchor as "Section", case when loud then 'yes' else 'no' end as "Loud"
from shop.kinds;
"""
PAGE = """\
# Shop

<!-- sql: facts=facts/glance.sql -->

| Fact | Value | More |
|---|---|---|
| Threshold | after 3 in a row | `x`, as ever |
| Kept | for 400 days | |
| Owner | the team | |

## Kinds

> <!-- sql: facts=facts/kinds.sql name=kinds -->
>
> | Kind | Section | Loud | Said |
> |---|---|---|---|
> | `late_run` | see [Late](#late) | yes | a run is late |
> | `test` | [Test](#send-a-test) | no | 5 times |

## Orders

<!-- sql: table=shop.orders -->

| Column | Type | Nullable | Purpose |
|---|---|---|---|
| `id` | bigint | no | Number of the order |
| `order_status` | text | no | open or `closed` |
| `reason` | text | yes | Why, a \\| b |

See `shop.orders`, `shop.close_order()`, `orders.reason` and `order_status` in `settings.py`.

<!-- sql: name=first columns="id bigint, order_status text" -->

```sql
select id, order_status from shop.orders limit 1;
```

<!-- sql: name=close fill.id=@first.id fill.reason="it's done" -->

```sql
select shop.close_order(<id>, '<reason>') as said;
```

```text
 said
-----------
 it's done
(1 row)
```

<!-- sql: name=gone error=42P01 message="shop.<what>" fill.what=nothing -->

```sql
select * from shop."<what>";
```
"""
INI = """\
[pytest]
addopts = -ra
filterwarnings = error
sql_platform = platform
sql_migrations = migrations
sql_identifiers = all
"""


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    files = {
        "mkdocs.yml": "site_name: Shop\nmarkdown_extensions: [tables, pymdownx.superfences]\n",
        "pytest.ini": INI,
        "platform/1_role.sql": ROLE,
        "migrations/1_shop.sql": SCHEMA,
        "docs/facts/glance.sql": FACTS,
        "docs/facts/kinds.sql": KINDS,
        "docs/shop.md": PAGE,
    }
    write_files(empty_project, files)
    return empty_project


def _change(project: pytest.Pytester, old: str, new: str, name: str = "docs/shop.md") -> None:
    change(project, name, old, new)


def _place(project: pytest.Pytester, part: str, name: str = "docs/shop.md") -> str:
    text = (project.path / name).read_text(encoding="utf-8")
    before = text[: text.index(part)].split("\n")
    return f"{name}:{len(before)}:{len(before[-1]) + 1}"


def _errors(result: pytest.RunResult) -> list[str]:
    return re.findall(r"^(\S+:\d+:\d+: error.*)", str(result.stdout), re.MULTILINE)


def test_all_of_it_is_right(project: pytest.Pytester) -> None:
    report = project.path / "report.json"
    result = project.runpytest("docs", f"--sql-report={report}")
    assert _errors(result) == []
    result.assert_outcomes(passed=7, skipped=1)
    result.stdout.fnmatch_lines(['SKIPPED * "Owner" is not checked: people decide it'])
    items = {item["name"]: item for item in json.loads(report.read_text())["items"]}
    assert items["glance"]["verdict"] == "passed"
    assert items["glance.owner"]["verdict"] == "skipped"
    assert items["close"]["placeholders"] == [
        {"name": "id", "type": "bigint", "source": "@first.id"},
        {"name": "reason", "type": "text", "source": "fill.reason"},
    ]


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("after 3 in", "after 12 in", "12 in", '"Threshold": the page says "12", the database'),
        ("`x`, as", "`y`, as", "y`, as", 'the page says "y", the database says "x"'),
        ("for 400 days", "for 400 or 9", "| Kept", 'the page has 2 values ("400", "9"), the query'),
        ("for 400 days", "for ever", "for ever", '"Kept": the page says "for ever", the database'),
        ("(#late)", "(#later)", "#later", 'section: the page says "#later", the database says'),
        ("| yes | a run", "| no | a run", "no | a run", 'loud: the page says "no", the database'),
        ("`test` |", "`tset` |", "`tset`", 'does not have "tset"; did you mean "test"?'),
        ("| Owner |", "| Boss |", "| Boss", 'nothing checks the row "Boss"'),
        ("`shop.orders`,", "`shop.order`,", "shop.order`,", 'no object "shop.order"; did you mean'),
        ("`shop.close_order()`", "`shop.close()`", "shop.close()", 'no function "shop.close"'),
        ("`orders.reason`", "`orders.raison`", "orders.raison", 'no object "orders.raison"'),
        ("and `order_status`", "and `order_state`", "order_state`", 'no object "order_state"'),
        ("id bigint, order", "id integer, order", "select id", "the columns are not those"),
        ("shop.<what>", "the <what>", 'shop."<what>"', 'the page says message="the nothing"'),
        ("@first.id", "@first.nr", "<id>", 'returns no column "nr"'),
        ("| no | open or", "| yes | open or", "| `order_status` |", "the page says nullable yes"),
    ],
)
def test_what_is_wrong_is_reported_where_it_stands(
    project: pytest.Pytester, old: str, new: str, at: str, message: str
) -> None:
    _change(project, old, new)
    result = project.runpytest("docs")
    errors = _errors(result)
    assert any(
        error.startswith(f"{_place(project, at)}: ") and message in error for error in errors
    )
    assert result.ret == 1


def test_update_mends_values_cells_and_rows_and_nothing_else(project: pytest.Pytester) -> None:
    page = project.path / "docs/shop.md"
    page.write_bytes(PAGE.replace("\n", "\r\n").encode())
    wrong = PAGE
    for old, new in [
        ("after 3 in", "after 12 in"),
        ("`x`, as", "`y`, as"),
        ("for 400 days", "for 2 days"),
        ("(#late)", "(#later)"),
        ("`test` |", "`tset` |"),
        ("| `id` | bigint | no |", "| `id` | int | yes |"),
    ]:
        assert wrong.count(old) == 1
        wrong = wrong.replace(old, new)
    row = "| `reason` | text | yes | Why, a \\| b |\n"
    wrong = wrong.replace(row, "")
    page.write_bytes(wrong.replace("\n", "\r\n").encode())

    result = project.runpytest("docs", "--sql-update")
    assert _errors(result) == []
    result.stdout.fnmatch_lines(["wrote the cell at *docs/shop.md:7"])
    assert page.read_bytes() == PAGE.replace("\n", "\r\n").encode()
    assert project.runpytest("docs").ret == 0


def test_a_value_that_no_cell_can_hold_is_not_written(project: pytest.Pytester) -> None:
    _change(project, "select threshold, 'x'", "select threshold, 'a|b'", "docs/facts/glance.sql")
    result = project.runpytest("docs", "--sql-update")
    assert result.ret == 1
    assert (project.path / "docs/shop.md").read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "select threshold,",
            "select treshold,",
            "treshold",
            "error[42703]: the query of the fact",
        ),
        (
            "threshold, 'x' from shop.settings",
            "1, 2 limit 0",
            "-- fact: Thr",
            "must return 1 row; it returned 0",
        ),
        ("-- fact: Kept", "-- fact: Kapt", "-- fact: Kapt", 'no row "Kapt"; did you mean "Kept"?'),
        ("Owner: people decide it", "Owner", "-- unchecked", "needs a row and a reason"),
        ("select threshold, 'x' from", "-- from", "-- fact: Thr", "has no query below it"),
    ],
)
def test_what_is_wrong_with_the_facts_is_reported_in_their_file(
    project: pytest.Pytester, old: str, new: str, place: str, message: str
) -> None:
    _change(project, old, new, "docs/facts/glance.sql")
    result = project.runpytest("docs")
    start = _place(project, place, "docs/facts/glance.sql")
    assert any(error.startswith(start) and message in error for error in _errors(result))


def test_a_query_cannot_write(project: pytest.Pytester) -> None:
    _change(
        project,
        "select threshold, 'x' from shop.settings;",
        "update shop.settings set threshold = 9 returning threshold, 'x';",
        "docs/facts/glance.sql",
    )
    result = project.runpytest("docs")
    assert any("error[25006]" in error for error in _errors(result))


def test_exceptions_are_needed_or_fail(project: pytest.Pytester) -> None:
    _change(project, "See `shop", "<!-- sql: not-names=my_own_word -->\n\nSee `my_own_word`, `shop")
    assert project.runpytest("docs").ret == 0
    _change(project, "See `my_own_word`,", "See")
    result = project.runpytest("docs")
    place = _place(project, "not-names=")
    message = "not-names=my_own_word is not needed: without it, nothing is reported"
    assert _errors(result) == [f"{place}: error: {message}"]


def test_only_qualified_names_unless_asked_for_more(project: pytest.Pytester) -> None:
    _change(project, "sql_identifiers = all\n", "", "pytest.ini")
    _change(project, "and `order_status`", "and `order_state` of `shop.order`")
    result = project.runpytest("docs")
    errors = _errors(result)
    assert errors
    assert all('"shop.order"' in error for error in errors)


def test_a_missing_file_of_facts(project: pytest.Pytester) -> None:
    (project.path / "docs/facts/kinds.sql").unlink()
    result = project.runpytest("docs")
    assert any("docs/facts/kinds.sql cannot be read" in error for error in _errors(result))
