"""A failure names the migration since which there is one."""

from __future__ import annotations

import re

import pytest

from sql_snippets.results.report import read_report
from tests.plugin.small_project import ROLE, write

CONFTEST = """\
import pytest
from sql_snippets import Scenario

@pytest.fixture
def stuck(sql_database):
    with sql_database.connect() as session:
        session.execute("update orders set status = 'stuck' where id = 2")
    yield Scenario(lambda: True)
"""
MIGRATIONS = {
    "01_begin": "create table other ()",
    "02_orders": "create table orders (id int, status text); comment on column orders.id is 'No.'",
    "03_rows": "insert into orders values (1, 'open'), (2, 'closed')",
    "04_index": "create index on orders (id)",
    "05_rename": "alter table orders rename status to state; alter table orders add status text",
    "06_fill": "update orders set status = state",
    "07_drop": "alter table orders drop column state",
    "08_more": "insert into orders values (3, 'open')",
    "09_last": "create table last ()",
}


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    write(empty_project, "conftest.py", CONFTEST)
    for name, text in MIGRATIONS.items():
        write(empty_project, f"migrations/{name}.sql", text)
    return empty_project


def _blamed(project: pytest.Pytester, page: str, *arguments: str) -> list[str]:
    write(project, "docs/page.md", page)
    result = project.runpytest("docs", "--sql-report", "report.json", *arguments)
    assert result.ret == 1
    assert "Traceback" not in str(result.stdout)
    found = re.findall(r"migration: (.*)", str(result.stdout))
    report = read_report(project.path / "report.json")
    assert report is not None
    assert [entry.migration for entry in report.items if entry.migration is not None] == found
    return found


def _block(sql: str, words: str = "", output: str = "") -> str:
    directive = f"<!-- sql: {words} -->\n\n" if words else ""
    shown = f"\n```text\n{output}\n```\n" if output else ""
    return f"{directive}```sql\n{sql}\n```\n{shown}"


CASES = {
    "a column that went": (
        _block("select state from orders;"),
        "passes at 06_fill, fails since 07_drop.sql",
    ),
    "an output that changed": (
        _block("select count(*) from orders;", output=" count\n-------\n     2\n(1 row)"),
        "passes at 07_drop, fails since 08_more.sql",
    ),
    "rows": (
        _block("select from orders where status is null;", "rows=2"),
        "passes at 05_rename, fails since 06_fill.sql",
    ),
    "broken by the first migration": (
        _block("create table other ();"),
        "passes without any migration, fails since 01_begin.sql",
    ),
    "broken twice": (
        _block("select 1 from orders where status is null and state is null;", "rows=0"),
        "passes at 06_fill, fails since 07_drop.sql",
    ),
    "with an incident": (
        _block("select 1 from orders where state = 'closed';", "scenario=stuck rows=1"),
        "passes at 06_fill, fails since 07_drop.sql",
    ),
    "a table on the page": (
        (
            "<!-- sql: table=public.orders -->\n\n| Column | Type |\n| --- | --- |\n"
            "| id | integer |\n| state | text |\n| status | text |\n"
        ),
        "passes at 06_fill, fails since 07_drop.sql",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_migration_that_broke_it_is_named(
    project: pytest.Pytester, case: tuple[str, str]
) -> None:
    page, expected = case
    assert _blamed(project, f"# Page\n\n{page}") == [expected]


STATE_BLOCK = _block("select state from orders;")
STATE = f"# Page\n\n{STATE_BLOCK}"
NONE = {
    "it fails at every revision": _block("select nonsense;"),
    "it has no value for a placeholder": _block("select '<value>' from last;"),
    "it takes too long": _block("select pg_sleep(9) from generate_series(1, 9);"),
}


@pytest.mark.parametrize("page", NONE.values(), ids=NONE)
def test_nothing_is_said_where_no_migration_did_it(project: pytest.Pytester, page: str) -> None:
    assert _blamed(project, f"# Page\n\n{page}", "-o", "sql_timeout=0.3") == []


def test_it_can_be_switched_off(project: pytest.Pytester) -> None:
    page = STATE
    assert len(_blamed(project, page)) == 1
    assert _blamed(project, page, "--sql-no-blame") == []


def test_only_the_first_few_failures_are_looked_into(project: pytest.Pytester) -> None:
    parts = [_block(f"select state as a{n} from orders;") for n in range(6)]  # noqa: S608 - a number
    page = "\n".join(["# Page\n", *parts])
    assert len(_blamed(project, page)) == 3


def test_a_seed_of_today_does_not_hide_it(project: pytest.Pytester) -> None:
    (project.path / "seed.sql").write_text("insert into last default values", encoding="utf-8")
    page = STATE
    assert _blamed(project, page, "-o", "sql_seed=seed.sql") == [
        "passes at 06_fill, fails since 07_drop.sql"
    ]


@pytest.mark.parametrize("text", ["create schema p;", "create schema p; -- of postgres"])
def test_it_is_found_where_no_platform_file_makes_the_role(
    project: pytest.Pytester, text: str
) -> None:
    write(project, "platform/1_role.sql", text)
    assert _blamed(project, STATE) == ["passes at 06_fill, fails since 07_drop.sql"]


def test_a_role_of_the_platform_keeps_its_rights(project: pytest.Pytester) -> None:
    write(project, "platform/1_role.sql", "CREATE ROLE POSTGRES LOGIN;")
    write(project, "docs/page.md", "# Page\n\n" + _block("select 1;"))
    result = project.runpytest("docs")
    assert result.ret == 1
    assert "permission denied for schema public" in str(result.stdout)


def test_a_history_that_cannot_be_built_again_hides_no_failure(
    project: pytest.Pytester,
) -> None:
    (project.path / "migrations/00_role.sql").write_text("create role once", encoding="utf-8")
    write(project, "platform/1_role.sql", ROLE.replace("login", "login createrole"))
    assert _blamed(project, STATE) == []


def test_no_database_of_a_revision_is_left(project: pytest.Pytester) -> None:
    (project.path / "test_left.py").write_text(
        "def test_left(sql_template):\n"
        "    with sql_template.server.connect(sql_template.maintenance) as session:\n"
        "        names = session.execute('select datname from pg_database').fetchall()\n"
        "    assert not [name for name, in names if 'revision' in name]\n"
        "    assert len(names) == 5  # the server's three, the template, the shared clone\n",
        encoding="utf-8",
    )
    write(project, "docs/page.md", STATE)
    project.runpytest("docs", "test_left.py").assert_outcomes(passed=1, failed=1)
