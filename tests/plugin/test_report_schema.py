"""The published schema, and the reports of real runs."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Danger, Parameter
from sql_snippets.reading.pages import read_page
from sql_snippets.results.report import FORMAT, Entry, Report, ServerFacts, read_report
from sql_snippets.results.stamps import stamp
from tests.plugin.small_project import change, write_files

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = json.loads(
    (files("sql_snippets.results") / "report.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

PAGE = """\
# Orders

**READ** · Of a status

<!-- sql: name=status fill.status=open rows=1 -->

```sql
select id, '<status>' as status from orders where status = '<status>';
```

```text
 id | status
----+--------
  1 | open
(1 row)
```

**WRITE** · Close it

<!-- sql: name=close rows=2 -->

```sql
update orders set status = 'closed' where id = 1;
```

<!-- sql: name=never skip="two servers are needed" -->

```sql
select 1;
```

<!-- sql: table=public.orders -->

| Column | Type |
| --- | --- |
| id | integer |
| status | text |

<!-- sql: facts=facts.sql -->

| Fact | Value |
| --- | --- |
| Orders | 2 |
| Contact | the team |

Its name is `public.orders`.

<!-- sql: drill=stuck -->

## Stuck

<!-- sql: name=find step=confirm -->

```sql
select id from orders where status = 'stuck';
```

## Amiss

<!-- sql: nmae=x -->

Nothing.
"""
FILES = {
    "migrations/1_orders.sql": (
        "create table orders (id int, status text);\n"
        "insert into orders values (1, 'open'), (2, 'closed');\n"
    ),
    "conftest.py": """\
import pytest
from sql_snippets import Scenario

@pytest.fixture
def stuck(sql_database):
    with sql_database.connect() as session:
        session.execute("update orders set status = 'stuck'")
    return Scenario(lambda: True)
""",
    "docs/facts.sql": (
        "-- fact: Orders\nselect count(*) from orders;\n-- unchecked: Contact: people decide it\n"
    ),
    "docs/page.md": PAGE,
}


@pytest.fixture
def run(
    empty_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    monkeypatch.delenv("SQL_SNIPPETS_NO_CACHE")
    write_files(empty_project, FILES)

    def run(*arguments: str) -> dict[str, Any]:
        empty_project.runpytest("docs", "--sql-report=report.json", *arguments)
        report: dict[str, Any] = json.loads((empty_project.path / "report.json").read_bytes())
        return report

    return run


def test_the_schema_is_one_and_names_every_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    item = SCHEMA["$defs"]["item"]
    names = {field.name for field in fields(Entry)}
    assert set(item["properties"]) == set(item["required"]) == names
    for part, kind in (
        (SCHEMA["properties"]["server"], ServerFacts),
        (item["properties"]["danger"]["oneOf"][1], Danger),
        (item["properties"]["placeholders"]["items"], Parameter),
    ):
        assert set(part["properties"]) == {field.name for field in fields(kind)}
    names = {field.name for field in fields(Report) if field.metadata.get("written", True)}
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == names | {"format"}
    assert SCHEMA["properties"]["format"]["const"] == FORMAT


def test_reports_of_real_runs_are_valid(run: Callable[..., dict[str, Any]]) -> None:
    report = run()
    VALIDATOR.validate(report)
    kinds = SCHEMA["$defs"]["item"]["properties"]["kind"]["enum"]
    verdicts = SCHEMA["$defs"]["item"]["properties"]["verdict"]["enum"]
    assert {item["kind"] for item in report["items"]} == set(kinds)
    assert {item["verdict"] for item in report["items"]} == set(verdicts)
    again = run()
    assert any(item["cached"] for item in again["items"])
    VALIDATOR.validate(again)


@pytest.mark.parametrize("present", [True, False])
def test_a_block_without_its_incident_was_not_sent(
    run: Callable[..., dict[str, Any]], empty_project: pytest.Pytester, *, present: bool
) -> None:
    change(empty_project, "conftest.py", "lambda: True", f"lambda: {present}")
    change(empty_project, "docs/page.md", "name=close rows=2", "name=close scenario=stuck rows=1")
    report = run("-k", "close")
    VALIDATOR.validate(report)
    [item] = report["items"]
    assert (item["verdict"] == "failed") is (item["seconds"] is None) is not present
    site = load_site(empty_project.path)
    page = read_page(empty_project.path / "docs" / "page.md", site)
    [block] = [snippet for snippet in page.snippets if snippet.name == "close"]
    shown = stamp(block, read_report(empty_project.path / "report.json"))
    assert ("with the incident produced" in shown) is present
    assert ("did not produce its incident" in shown) is not present


def test_a_run_without_a_server_tells_no_url(run: Callable[..., dict[str, Any]]) -> None:
    report = run("-k", "never", "--sql-server=postgresql://someone:secret@127.0.0.1:1/x")
    assert report["server"] == {
        "kind": "url",
        "version": "",
        "real_parts": [],
        "stand_ins": [],
    }
    VALIDATOR.validate(report)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "maybe"},
        {"line": 0},
        {"sql_sha256": None},
        {"claims_sha256": "abc"},
        {"danger": {"level": "READ"}},
        {"checked": "yesterday"},
    ],
    ids=str,
)
def test_what_no_run_writes_is_refused(
    run: Callable[..., dict[str, Any]], change: dict[str, Any]
) -> None:
    report = run("-k", "status")
    VALIDATOR.validate(report)
    block = next(item for item in report["items"] if item["kind"] == "block")
    block |= change
    with pytest.raises(ValidationError):
        VALIDATOR.validate(report)


def test_what_a_reader_does_not_know_it_leaves_out(
    run: Callable[..., dict[str, Any]], empty_project: pytest.Pytester
) -> None:
    report = run("-k", "status")
    path = empty_project.path / "report.json"
    known = read_report(path)
    assert known is not None
    [block] = report["items"]
    assert block["placeholders"]
    for part in (report, report["server"], block, block["danger"], block["placeholders"][0]):
        part["colour"] = "green"
    VALIDATOR.validate(report)
    path.write_text(json.dumps(report), encoding="utf-8")
    assert read_report(path) == known


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("**WRITE** · Close it", "**STOP** · Close it"),
        ("rows=2", "rows=1"),
        ("name=close rows=2", "name=close rows=2 volatile=id"),
    ],
)
def test_the_digest_of_the_claims_follows_them(
    run: Callable[..., dict[str, Any]], empty_project: pytest.Pytester, old: str, new: str
) -> None:
    def digests() -> dict[str, tuple[str, str]]:
        return {
            item["name"]: (item["sql_sha256"], item["claims_sha256"])
            for item in run()["items"]
            if item["kind"] == "block"
        }

    before = digests()
    change(empty_project, "docs/page.md", old, new)
    change(empty_project, "docs/page.md", "# Orders\n", "# Orders\n\nA paragraph more.\n")
    after = digests()
    assert {name for name in before if before[name] != after[name]} == {"close"}
    assert before["close"][0] == after["close"][0]
    assert before["close"][1] != after["close"][1]
