"""Whole little projects through pytest: what is green, what is red, and at which line."""

from __future__ import annotations

import json
import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sql_snippets.pytest_plugin.items import pytest_command
from tests.plugin.small_project import PROJECT, change, write, write_files

PAGE = """\
# Orders

## Open orders

**READ** · Which orders are open? · `postgres`

<!-- sql: name=open-orders volatile=placed -->

```sql
select id, status, placed
from orders
where status = 'open';
```

```text
 id | status |   placed
----+--------+------------
  1 | open   | 2020-01-01
(1 row)
```

**WRITE** · Close one

<!-- sql: name=close rows=1 fill.reason="it's done" -->

```sql
update orders set status = 'closed', reason = '<reason>' where id = 1;
```

## The table

<!-- sql: table=public.orders -->

| Column | Type | Nullable | Purpose |
| --- | --- | --- | --- |
| id | integer | no | Number of the order |
| status | text | no | open or `closed` |
| placed | date | no | Day of the order |
| reason | text | yes | Why it was closed |

<!-- sql: drill=stuck_order -->

## Stuck order

**READ** · Is there one?

<!-- sql: name=find step=confirm -->

```sql
select id from orders where status = 'stuck';
```

**WRITE** · Free it

<!-- sql: name=free step=resolve -->

```sql
update orders set status = 'open' where status = 'stuck';
```

**READ** · Is it free?

<!-- sql: name=check step=verify -->

```sql
select not exists (select from orders where status = 'stuck') as resolved;
```

```text
 resolved
----------
 t
(1 row)
```
"""
SCHEMA = """\
create table public.orders (
  id int primary key,
  status text not null,
  placed date not null,
  reason text
);
comment on column public.orders.id is 'Number of the order';
comment on column public.orders.status is 'open or closed';
comment on column public.orders.placed is 'Day of the order';
comment on column public.orders.reason is 'Why it was closed';
insert into public.orders values (1, 'open', '2026-05-04'), (2, 'closed', '2026-05-05');
"""
CONFTEST = """\
import pytest
from sql_snippets import Scenario


@pytest.fixture
def stuck_order(sql_database):
    with sql_database.connect() as session:
        session.execute("update orders set status = 'stuck' where id = 2")

    def is_present():
        with sql_database.connect() as session:
            return bool(session.execute("select from orders where status = 'stuck'").fetchall())

    return Scenario(is_present)


@pytest.fixture
def nothing_happens(sql_database):
    return Scenario(lambda: False)


@pytest.fixture
def broken(sql_database):
    raise RuntimeError("the fixture itself is broken")


@pytest.fixture
def not_a_scenario():
    return 1
"""
ALL = [
    "docs/orders.md::open-orders::open-orders",
    "docs/orders.md::open-orders::close",
    "docs/orders.md::the-table::public.orders",
    "docs/orders.md::stuck-order::drill",
    "docs/orders.md::stuck-order::find",
    "docs/orders.md::stuck-order::free",
    "docs/orders.md::stuck-order::check",
]


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    files = {"conftest.py": CONFTEST, "migrations/1_orders.sql": SCHEMA, "docs/orders.md": PAGE}
    write_files(empty_project, files)
    return empty_project


def _line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def _verdicts(result: pytest.RunResult) -> dict[str, str]:
    lines = re.findall(
        r"^(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)", str(result.stdout), re.MULTILINE
    )
    return dict(lines)


def _failed(result: pytest.RunResult) -> list[str]:
    return sorted(
        name.rpartition("::")[2]
        for name, verdict in _verdicts(result).items()
        if verdict != "PASSED"
    )


def test_all_is_green(project: pytest.Pytester) -> None:
    result = project.runpytest("docs", "-v")
    assert result.ret == 0
    assert _verdicts(result) == dict.fromkeys(ALL, "PASSED")
    result.stdout.fnmatch_lines(
        [
            "sql-snippets: server embedded, role postgres, migration head 1_orders",
            "17.* (embedded)*",
        ]
    )


@pytest.mark.parametrize("item", ALL)
def test_each_item_alone(project: pytest.Pytester, item: str) -> None:
    result = project.runpytest(item, "-v")
    assert _verdicts(result) == {item: "PASSED"}


# What is changed, in which file; which items are then red; where; and what is said.
RED = {
    "column renamed by a migration": (
        "migrations/1_orders.sql",
        ("  status text not null,", "  state text not null,"),
        None,
        None,
        "",
    ),
    "mistyped table": (
        "docs/orders.md",
        ("from orders\nwhere", "from ordres\nwhere"),
        ["open-orders"],
        "ordres",
        'nearest: did you mean "orders"',
    ),
    "mistyped column": (
        "docs/orders.md",
        ("select id, status, placed", "select id, statuss, placed"),
        ["open-orders"],
        "statuss",
        'nearest: did you mean "status"',
    ),
    "output changed": (
        "docs/orders.md",
        ("  1 | open   | 2020", "  1 | closed | 2020"),
        ["open-orders"],
        "  1 | closed | 2020",
        'column "status": the page shows "closed", the result has "open"',
    ),
    "output below a verification": (
        "docs/orders.md",
        ("\n t\n", "\n f\n"),
        ["drill"],
        " f\n(1 row)",
        'verify "check" after the fix: the output is not what the block gives',
    ),
    "READ that writes": (
        "docs/orders.md",
        ("**WRITE** · Close one", "**READ** · Close one"),
        ["close"],
        "update orders set status = 'closed'",
        "the page says READ, but the run wrote: update of public.orders (1 row)",
    ),
    "rows": (
        "docs/orders.md",
        ("rows=1", "rows=2"),
        ["close"],
        "update orders set status = 'closed'",
        "the page says rows=2, there are 1",
    ),
    "expected error that does not come": (
        "docs/orders.md",
        ("name=close rows=1", "name=close error=23505"),
        ["close"],
        "update orders set status = 'closed'",
        "the page says error=23505, but the block ran without an error",
    ),
    "placeholder without a value": (
        "docs/orders.md",
        (' fill.reason="it\'s done"', ""),
        ["close"],
        "<reason>",
        "<reason> has no value",
    ),
    "error behind a value": (
        "docs/orders.md",
        ("reason = '<reason>' where id = 1", "reason = '<reason>' where idd = 1"),
        ["close"],
        "idd = 1",
        'error[42703]: column "idd" does not exist',
    ),
    "value without a placeholder": (
        "docs/orders.md",
        ("name=close", "name=close fill.other=1"),
        ["close"],
        "update orders set status = 'closed'",
        "fill.other is not used",
    ),
    "row of the table dropped": (
        "docs/orders.md",
        ("| placed | date | no | Day of the order |\n", ""),
        ["public.orders"],
        "| reason | text",
        'the table does not list column "placed" (date)',
    ),
    "row of the table mistyped": (
        "docs/orders.md",
        ("| placed | date", "| placd | date"),
        ["public.orders"],
        "| placd",
        'public.orders has no column "placd"; did you mean "placed"?',
    ),
    "type in the table": (
        "docs/orders.md",
        ("| integer |", "| bigint |"),
        ["public.orders"],
        "| id | bigint",
        'column "id": the page says type "bigint", the database has "integer"',
    ),
    "nullability in the table": (
        "docs/orders.md",
        ("| text | yes |", "| text | no |"),
        ["public.orders"],
        "| reason | text",
        'column "reason": the page says nullable no, the database says yes',
    ),
    "purpose in the table": (
        "docs/orders.md",
        ("| Day of the order |", "| Day of delivery |"),
        ["public.orders"],
        "| placed",
        "the text is not the column's COMMENT",
    ),
    "table that does not exist": (
        "docs/orders.md",
        ("table=public.orders", "table=public.order"),
        ["public.order"],
        "| Column",
        'there is no relation "public.order"; did you mean "public.orders"?',
    ),
    "diagnosis weakened": (
        "docs/orders.md",
        ("select id from orders where status = 'stuck';", "select id from orders;"),
        ["drill"],
        "select id from orders;",
        'confirm "find" on a healthy database: step=confirm must return 0 rows on a healthy',
    ),
    "diagnosis too narrow": (
        "docs/orders.md",
        ("select id from orders where status = 'stuck';", "select id from orders where id = 9;"),
        ["drill", "find"],
        "select id from orders where id",
        "step=confirm must return at least 1 row with the incident; it returned 0",
    ),
    "fix removed": (
        "docs/orders.md",
        ("set status = 'open' where status = 'stuck';", "set status = status where id = 2;"),
        ["drill"],
        "update orders set status = status where",
        'incident "stuck_order" is still there after resolve "free"',
    ),
    "verification always content": (
        "docs/orders.md",
        ("select not exists (select from orders where status = 'stuck') as", "select true as"),
        ["check", "drill"],
        "select true as",
        "must say resolved = false while the incident is there; it says true",
    ),
    "fix that cannot run twice": (
        "docs/orders.md",
        (
            "update orders set status = 'open' where status = 'stuck';",
            (
                "insert into orders select 3, 'x', placed from orders where status = 'stuck';"
                " insert into orders values (4, 'x', now()); update orders set status = 'open'"
                " where status = 'stuck';"
            ),
        ),
        ["drill"],
        "insert into orders values (4",
        'error[23505]: resolve "free" run a second time',
    ),
    "drill without a step": (
        "docs/orders.md",
        ("name=free step=resolve", "name=free scenario=stuck_order"),
        ["drill"],
        "## Stuck order",
        "the drill proves nothing: it has no block with step=resolve",
    ),
    "output that nothing compares": (
        "docs/orders.md",
        ("name=check step=verify -->", "name=check step=verify scenario=other -->"),
        ["check", "drill"],
        None,
        "this output is not compared",
    ),
    "unknown word": (
        "docs/orders.md",
        ("name=close rows=1", "name=close rwos=1"),
        ["close"],
        "rwos",
        "did you mean `rows`",
    ),
    "unknown scenario": (
        "docs/orders.md",
        ("name=close rows=1", "name=close scenario=stuck_odrer"),
        ["close"],
        "```sql\nupdate orders set status = 'closed'",
        'there is no fixture "stuck_odrer"; did you mean "stuck_order"?',
    ),
    "scenario without its incident": (
        "docs/orders.md",
        ("name=close rows=1", "name=close scenario=nothing_happens"),
        ["close"],
        "update orders set status = 'closed'",
        'scenario "nothing_happens" did not produce its incident',
    ),
    "role that is not there": (
        "docs/orders.md",
        ("name=close rows=1", "name=close role=anon"),
        ["close"],
        "update orders set status = 'closed'",
        "Cannot log in as anon: the role does not exist. A session is opened as the role itself",
    ),
    "fixture that is no scenario": (
        "docs/orders.md",
        ("name=close rows=1", "name=close scenario=not_a_scenario"),
        ["close"],
        "```sql\nupdate orders set status = 'closed'",
        'fixture "not_a_scenario" yields int, not a Scenario',
    ),
    "directive with nothing below": (
        "docs/orders.md",
        ("## The table", "<!-- sql: name=lost -->\n\n## The table"),
        ["problem-1"],
        None,
        "",
    ),
}


@pytest.mark.parametrize("case", RED.values(), ids=RED)
def test_what_is_wrong_is_red_at_its_place(
    project: pytest.Pytester,
    case: tuple[str, tuple[str, str], list[str] | None, str | None, str],
) -> None:
    name, edit, failed, place, message = case
    change(project, name, *edit)

    result = project.runpytest("docs", "-v")

    assert result.ret == 1
    output = str(result.stdout)
    assert "Traceback" not in output
    assert "runtest" not in output
    if failed is None:
        return
    assert _failed(result) == sorted(failed)
    assert message in output
    if place is not None:
        text = (project.path / "docs/orders.md").read_text(encoding="utf-8")
        before = text[: text.index(place)].split("\n")
        shown = re.findall(r"^docs/orders\.md:(\d+):(\d+): error", output, re.MULTILINE)
        assert set(shown) == {(str(len(before)), str(len(before[-1]) + 1))}


def test_a_renamed_column_is_red_wherever_it_is_used(project: pytest.Pytester) -> None:
    text = SCHEMA.replace("orders.status", "orders.state").replace("  status", "  state")
    write(project, "migrations/1_orders.sql", text)
    result = project.runpytest("docs", "-v", "-k", "not Stuck")
    output = str(result.stdout)
    line = _line(PAGE, "select id, status, placed")
    assert f"docs/orders.md:{line}:12: error[42703]" in output
    assert f"{line} | select id, status, placed\n   |            ^~~~~~\n" in output
    assert 'nearest: did you mean "state"' in output
    row = _line(PAGE, "| status | text")
    assert f'docs/orders.md:{row}:1: error: public.orders has no column "status"' in output


@pytest.fixture
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = (str(Path(sys.executable).parent), os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join(folders))


@pytest.mark.parametrize(
    ("python", "path", "typed"),
    [
        (".venv/bin/python", ".venv/bin", ".venv/bin/pytest"),
        (".venv/bin/python", "", ".venv/bin/pytest"),
        ("../other/bin/python", "../other/bin", "pytest"),
        ("../other/bin/python", ".venv/bin", "{root}/other/bin/pytest"),
        ("python", "", "{root}/here/python -m pytest"),
    ],
)
def test_what_starts_pytest_is_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, path: str, typed: str
) -> None:
    here = tmp_path / "here"
    for name in (".venv/bin/pytest", "../other/bin/pytest"):
        program = Path(os.path.normpath(here / name))
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(0o755)
    monkeypatch.setattr(sys, "executable", os.path.normpath(here / python))
    monkeypatch.setenv("PATH", os.path.normpath(here / path) if path else "")
    assert " ".join(pytest_command(here)) == typed.format(root=tmp_path)


@pytest.mark.usefixtures("_on_the_path")
def test_a_failure_ends_with_what_to_type(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "  1 | open   | 2020", "  1 | closed | 2020")
    result = project.runpytest("docs", "--sql-server", "embedded")
    result.stdout.fnmatch_lines(
        [
            "re-run: pytest docs/orders.md::open-orders::open-orders --sql-server embedded",
            (
                "accept: pytest docs/orders.md::open-orders::open-orders --sql-server embedded"
                " --sql-update"
            ),
            "FAILED docs/orders.md::open-orders::open-orders - docs/orders.md:18:1: error: *",
        ]
    )


def test_an_error_of_a_fixture_is_its_own(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "name=close rows=1", "name=close scenario=broken")
    result = project.runpytest("docs", "-v")
    assert _failed(result) == ["close"]
    result.stdout.fnmatch_lines(
        ["*RuntimeError: the fixture itself is broken", "ERROR docs/orders.md::open-orders::close*"]
    )
    assert "_pytest/" not in str(result.stdout)


def test_skipped_blocks_are_skipped_with_the_reason(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "name=close rows=1", 'name=close skip="only on Sundays"')
    change(project, "docs/orders.md", ' fill.reason="it\'s done"', "")
    report = project.path / "report.json"
    result = project.runpytest("docs", f"--sql-report={report}")
    result.stdout.fnmatch_lines(["SKIPPED * docs/orders.md: only on Sundays"])
    items = {item["name"]: item for item in json.loads(report.read_text())["items"]}
    assert items["close"]["verdict"] == "skipped"
    assert items["close"]["reason"] == "only on Sundays"


def test_ids_are_stable_when_text_is_put_above(project: pytest.Pytester) -> None:
    write(project, "docs/orders.md", "Some text.\n\n```sql\nselect 1;\n```\n\n" + PAGE)
    result = project.runpytest("docs", "-v", "--deselect", "docs/orders.md::top")
    assert _verdicts(result) == dict.fromkeys(ALL, "PASSED")


def test_items_are_found_by_their_heading(project: pytest.Pytester) -> None:
    result = project.runpytest("docs", "-v", "-k", "stuck-order and not drill")
    assert sorted(_verdicts(result)) == sorted(ALL[4:])


def test_last_failed_runs_that_one_only(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "rows=1", "rows=2")
    assert project.runpytest("docs").ret == 1
    change(project, "docs/orders.md", "rows=2", "rows=1")
    result = project.runpytest("docs", "--lf", "-v")
    assert _verdicts(result) == {ALL[1]: "PASSED"}


FAILS_ONCE = """

import pathlib


@pytest.fixture(autouse=True)
def fails_once(request):
    seen = pathlib.Path(str(request.config.rootpath), "seen")
    if request.node.name == "open-orders" and not seen.exists():
        seen.touch()
        raise RuntimeError("the first time")
"""


def test_what_is_run_again_has_its_last_verdict(project: pytest.Pytester) -> None:
    write(project, "conftest.py", CONFTEST + FAILS_ONCE)
    change(project, "docs/orders.md", "rows=1", "rows=2")
    options = ("--reruns=1", "--sql-report=report.json", "-k", "open-orders", "-p", "no:xdist")
    result = project.runpytest("docs", *options)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 2, "deselected": 5}
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    verdicts = {item["id"]: item["verdict"] for item in report["items"]}
    assert verdicts == {ALL[0]: "passed", ALL[1]: "failed"}


def test_blocks_run_alike_on_several_workers(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "rows=1", "rows=2")
    alone, several = project.path / "one.json", project.path / "two.json"
    assert project.runpytest("docs", f"--sql-report={alone}").ret == 1
    result = project.runpytest("docs", "-n", "2", f"--sql-report={several}")
    result.assert_outcomes(failed=1, passed=6)
    result.stdout.fnmatch_lines(
        ["*17.* (embedded)*", "FAILED *::close - docs/orders.md:*: error:*"]
    )

    def content(path: Path) -> object:
        report = json.loads(path.read_text(encoding="utf-8"))
        return [{**item, "seconds": None} for item in report["items"]], {
            **report,
            "created": None,
            "items": None,
        }

    assert content(alone) == content(several)


def test_report(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "rows=1", "rows=2")
    project.runpytest("docs", "--sql-report=out/report.json")
    report = json.loads((project.path / "out/report.json").read_text(encoding="utf-8"))
    assert report["format"] == 3
    assert report["server"]["kind"] == "embedded"
    assert report["server"]["version"].startswith("17")
    assert report["migration_head"] == "1_orders"
    assert [item["id"] for item in report["items"]] == ALL
    first, second, *others = report["items"]
    assert first | {"seconds": None} == {
        "id": ALL[0],
        "nodeid": ALL[0],
        "file": "docs/orders.md",
        "page": "docs/orders.md",
        "section": "open-orders",
        "name": "open-orders",
        "line": _line(PAGE, "select id, status, placed"),
        "kind": "block",
        "verdict": "passed",
        "mark": "READ",
        "role": "postgres",
        "seconds": None,
        "isolation": "transaction",
        "rows": 1,
        "danger": {
            "level": "READ",
            "seen": [],
            "unmeasured": [],
            "at_most": None,
            "idle": False,
        },
        "placeholders": [],
        "drawn": None,
        "migration": None,
        "cached": False,
        "checked": None,
        "reason": None,
    } | {name: first[name] for name in ("sql_sha256", "claims_sha256")}
    assert second["verdict"] == "failed"
    assert second["reason"] == "the page says rows=2, there are 1"
    assert {item["kind"] for item in others} == {"table", "drill", "block"}
    assert {item["verdict"] for item in others} == {"passed"}


def test_a_report_that_cannot_be_written_fails_the_run(project: pytest.Pytester) -> None:
    result = project.runpytest("docs", "--sql-report=mkdocs.yml/report.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["error: *mkdocs.yml/report.json: the report cannot be written: *"])


@pytest.mark.parametrize(
    ("ending", "workers"), [("\n", ()), ("\r\n", ("-n", "2"))], ids=["LF", "CRLF on workers"]
)
def test_update_changes_the_output_and_nothing_else(
    project: pytest.Pytester, ending: str, workers: tuple[str, ...]
) -> None:
    stale = PAGE.replace("  1 | open   | 2020-01-01", "  9 | gone   | 2020-01-01")
    stale = stale.replace("\n t\n", "\n f\n").replace("## The", "- text\n\n    tail  \n\n## The")
    page = write(project, "docs/orders.md", stale.replace("\n", ending))
    arguments = ["docs", "--sql-update", *workers]
    result = project.runpytest(*arguments)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["wrote the output at *docs/orders.md:16"])
    fixed = stale.replace("  9 | gone   |", "  1 | open   |").replace("\n f\n", "\n t\n")
    assert page.read_bytes() == fixed.replace("\n", ending).encode()

    again = project.runpytest(*arguments)
    again.stdout.no_fnmatch_line("wrote*")
    assert page.read_bytes() == fixed.replace("\n", ending).encode()
    assert project.runpytest("docs").ret == 0


def test_update_says_what_will_differ_next_time(project: pytest.Pytester) -> None:
    page = (
        "# Times\n\n<!-- sql: name=now -->\n\n```sql\nselect 1 as n, clock_timestamp() as at, "
        "random() as r;\n```\n\n```text\n n | at | r\n---+----+---\n 2 |  x | 3\n(1 row)\n```\n"
    )
    write(project, "docs/times.md", page)
    result = project.runpytest("docs/times.md", "--sql-update")
    result.stdout.fnmatch_lines(["wrote the output at *: add volatile=at,r above the block"])
    change(project, "docs/times.md", "name=now", "name=now volatile=at,r")
    change(project, "docs/times.md", " 1 |", " 2 |")
    result = project.runpytest("docs/times.md", "--sql-update")
    result.stdout.fnmatch_lines(["wrote the output at *"])
    result.stdout.no_fnmatch_line("*volatile=*")
    assert project.runpytest("docs/times.md").ret == 0


def test_update_keeps_the_indent(project: pytest.Pytester) -> None:
    text = (
        "# Page\n\n- item\n\n    ```sql\n    select 1 as n;\n    ```\n\n"
        "    ```text\n     m\n    ---\n     2\n    (1 row)\n    ```\n"
    )
    page = write(project, "docs/orders.md", text)
    assert project.runpytest("docs").ret == 1
    assert project.runpytest("docs", "--sql-update").ret == 0
    assert page.read_text(encoding="utf-8") == text.replace(" m\n", " n\n").replace(" 2\n", " 1\n")


def test_update_refuses_a_page_that_changed_meanwhile(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "  1 | open   | 2020", "  1 | closed | 2020")
    write(
        project,
        "conftest.py",
        CONFTEST.replace(
            "    return Scenario(is_present)",
            "    with open('docs/orders.md', 'a') as page:\n        page.write('more')\n"
            "    return Scenario(is_present)",
        ),
    )
    result = project.runpytest("docs", "--sql-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["error: *orders.md: the file changed while the blocks were run*"])
    assert "  1 | closed | 2020" in (project.path / "docs/orders.md").read_text(encoding="utf-8")


def test_nothing_to_check_is_a_failure(project: pytest.Pytester) -> None:
    write(project, "docs/orders.md", "# Page\n\nText.\n")
    write(project, "test_other.py", "def test_other():\n    pass\n")
    result = project.runpytest("docs", "test_other.py", "-v")
    assert result.ret == 1
    assert _verdicts(result)["docs/orders.md::no-sql"] == "FAILED"
    result.stdout.fnmatch_lines(["docs/orders.md:1:1: error: no SQL block*"])


def test_a_page_without_sql_is_fine_beside_others(project: pytest.Pytester) -> None:
    write(project, "docs/index.md", "# Page\n\nText.\n")
    assert project.runpytest("docs").ret == 0


def test_other_tests_need_no_page(project: pytest.Pytester) -> None:
    write(project, "test_other.py", "def test_other():\n    pass\n")
    write(project, "README.md", "```sql\nselect nonsense;\n```\n")
    assert project.runpytest("test_other.py").ret == 0
    result = project.runpytest(".", "-v")
    assert result.ret == 0
    assert not any(name.startswith("README") for name in _verdicts(result))
    assert project.runpytest("README.md").ret == 1


def test_a_page_that_cannot_be_read_fails_alone(project: pytest.Pytester) -> None:
    (project.path / "docs/bad.md").write_bytes(b"# Page\n\n\xff\xfe\n")
    result = project.runpytest("docs", "-v")
    assert _failed(result) == ["page"]
    assert "Traceback" not in str(result.stdout)
    assert "docs/bad.md" in str(result.stdout)


def test_a_fence_that_is_not_shown_fails(project: pytest.Pytester) -> None:
    change(
        project,
        "docs/orders.md",
        "## The table",
        "text\n\n    ```sql\n    x\n    ```\n\n## The table",
    )
    result = project.runpytest("docs", "-v")
    assert _failed(result) == ["not-rendered-1"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("migrations/1_orders.sql", "select 1;\nselect frm x;\n", "1_orders.sql:2"),
        ("platform/1_role.sql", "create role postgres login; oops", "1_role.sql:1"),
    ],
)
def test_a_migration_that_fails_is_one_sentence(
    project: pytest.Pytester, name: str, text: str, message: str
) -> None:
    write(project, name, text)
    result = project.runpytest("docs", "-v")
    verdicts = _verdicts(result)
    assert set(verdicts.values()) == {"ERROR"}
    for shown in (result, project.runpytest("docs", "-n", "2", "--sql-report", "report.json")):
        text = str(shown.stdout)
        assert "Traceback" not in text
        assert ".py:" not in text
        # Once in full and once in the summary, however many it keeps from being run.
        assert text.count(message) == 2
        assert text.count("ERROR docs/") == 1
        assert f"and {len(verdicts) - 1} more that were not run" in text
        shown.assert_outcomes(errors=len(verdicts))
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert message in report["database_error"]
    assert {(item["verdict"], item["reason"], item["drawn"]) for item in report["items"]} == {
        ("failed", "not run: the database cannot be built", None)
    }


@pytest.mark.parametrize("setting", ["sql_platform", "sql_migrations", "sql_seed"])
def test_what_is_not_there_is_named_by_its_setting(project: pytest.Pytester, setting: str) -> None:
    result = project.runpytest("docs", "-o", f"{setting}=nowhere")
    words = f"nowhere does not exist. The setting {setting} names it."
    assert words in str(result.stdout)
    assert result.ret == 1


def test_what_there_is_no_database_for_is_annotated_once(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    write(project, "migrations/1_orders.sql", "oops;")
    assert str(project.runpytest("docs").stdout).count("::error ") == 1


def test_a_server_that_is_not_there_is_one_sentence(project: pytest.Pytester) -> None:
    result = project.runpytest("docs", "-v", "--sql-server", "postgresql://postgres@127.0.0.1:1/x")
    assert set(_verdicts(result).values()) == {"ERROR"}
    assert "Traceback" not in str(result.stdout)
    assert ".py:" not in str(result.stdout)


def test_a_setting_that_cannot_be_used(project: pytest.Pytester) -> None:
    write(project, "pytest.ini", PROJECT["pytest.ini"] + "sql_timeout = soon\n")
    result = project.runpytest("docs")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: sql_timeout in the ini file is 'soon'; write a number of seconds above 0"]
    )


def test_a_block_that_takes_too_long_is_named(project: pytest.Pytester) -> None:
    write(project, "pytest.ini", PROJECT["pytest.ini"] + "sql_timeout = 0.2\n")
    change(
        project,
        "docs/orders.md",
        "select id from orders where",
        "select pg_sleep(60), id from orders where",
    )
    result = project.runpytest("docs", "-v", "-k", "find")
    assert 'error[57014]: block "find" was stopped' in str(result.stdout)


def test_junit_names_the_page_and_line(project: pytest.Pytester) -> None:
    change(project, "docs/orders.md", "rows=1", "rows=2")
    line = str(_line(PAGE, "update orders set status = 'closed'"))
    for family in ("xunit1", "xunit2"):
        for workers in ([], ["-n", "1"]):
            project.runpytest(
                "docs", "--junit-xml=junit.xml", "-o", f"junit_family={family}", *workers
            )
            root = ET.parse(project.path / "junit.xml").getroot()  # noqa: S314 - our own
            case = next(case for case in root.iter("testcase") if case.get("name") == "close")
            properties = {p.get("name"): p.get("value") for p in case.iter("property")}
            item = "docs/orders.md::open-orders::close"
            assert properties == {"id": item, "file": "docs/orders.md", "line": line}
            if family == "xunit1":
                assert (case.get("file"), case.get("line")) == ("docs/orders.md", line)
            failure = case.find("failure")
            assert failure is not None
            assert (failure.get("message") or "").startswith(f"docs/orders.md:{line}:1: error:")


def test_github_annotations(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    change(project, "docs/orders.md", "select id, status, placed", "select id, statuss, placed")
    result = project.runpytest("docs")
    line = _line(PAGE, "select id, status, placed")
    result.stdout.fnmatch_lines(
        [f'::error file=docs/orders.md,line={line},col=12::?42703? column "statuss" does not*']
    )


def test_no_database_is_left(project: pytest.Pytester) -> None:
    write(
        project,
        "test_left.py",
        "def test_left(sql_template):\n"
        "    with sql_template.server.connect(sql_template.maintenance) as session:\n"
        "        found = session.execute(\n"
        "            \"select datname from pg_database where datname like 'sql_snippets%'\"\n"
        "        ).fetchall()\n"
        "    print(sorted(name for name, in found))\n"
        "    assert len(found) == 2, found  # the template, and the one clone that items share\n",
    )
    change(project, "docs/orders.md", "rows=1", "scenario=broken")
    result = project.runpytest("docs", "test_left.py", "-v")
    assert _verdicts(result)["test_left.py::test_left"] == "PASSED"
