"""What is not run again because nothing has changed, and what is because something has."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sql_snippets.results.report import Entry, RanOn, ServerFacts, Verdict
from sql_snippets.results.verdicts import MOST_KEPT, Kept, Verdicts, key_of
from tests.plugin.small_project import write_files

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = """\
# Page

**READ** · Count

<!-- sql: name=count fill.status=open rows=1 -->

```sql
select count(*) from orders where status = '<status>';
```

```text
 count
-------
     1
(1 row)
```

**READ** · Look

<!-- sql: name=look after=count scenario=stuck -->

```sql
select id from orders where status = 'stuck';
```
"""
CONFTEST = """\
from helpers import incident
import pytest
from sql_snippets import Scenario

@pytest.fixture
def stuck(sql_database):
    with sql_database.connect() as session:
        session.execute(incident.SQL)
    return Scenario(lambda: True)
"""
READER = """\
do $$ begin
  if not exists (select from pg_roles where rolname = 'reader') then
    create role reader login;
  end if;
end $$;
"""
FILES = {
    "pytest.ini": (
        "[pytest]\npythonpath = .\nsql_platform = platform\nsql_migrations = migrations\n"
        "sql_seed = seed.sql\n"
    ),
    "conftest.py": CONFTEST,
    "helpers/__init__.py": "",
    "helpers/incident.py": "SQL = \"update orders set status = 'stuck' where id = 2\"\n",
    "platform/2_reader.sql": READER,
    "migrations/1.sql": (
        "create table orders (id int, status text);\ngrant select on orders to reader;\n"
        "insert into orders values (1, 'open'), (2, 'closed');\n"
    ),
    "seed.sql": "select 1;\n",
    "docs/page.md": PAGE,
}


@pytest.fixture
def project(
    empty_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.Pytester:
    monkeypatch.setenv("SQL_SNIPPETS_CACHE_DIR", str(tmp_path / "verdicts"))
    monkeypatch.delenv("SQL_SNIPPETS_NO_CACHE")
    write_files(empty_project, FILES)
    return empty_project


def _run(project: pytest.Pytester, *arguments: str) -> dict[str, bool | str]:
    """Return which of the blocks were not run, or how they failed."""
    project.runpytest("docs", "--sql-report=report.json", *arguments)
    items = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["items"]
    return {
        item["name"]: item["cached"] if item["verdict"] == "passed" else item["verdict"]
        for item in items
        if item["kind"] == "block"
    }


RAN = {"count": False, "look": False}
KNOWN = {"count": True, "look": True}


def test_what_has_not_changed_is_not_run_again(project: pytest.Pytester) -> None:
    assert _run(project) == RAN
    first = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert _run(project) == KNOWN
    second = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert {**first, "created": 0, "items": 0} == {**second, "created": 0, "items": 0}
    for before, after in zip(first["items"], second["items"], strict=True):
        checked = datetime.fromisoformat(after["checked"])
        assert timedelta(0) <= datetime.now(UTC) - checked < timedelta(minutes=5)
        assert {**before, "cached": True, "checked": after["checked"]} == after


def test_no_server_is_started_for_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(project) == RAN

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr("sql_snippets.pytest_plugin.opening.open_template", refuse)
    result = project.runpytest("docs")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 passed before and nothing has changed since:*"])


def test_what_runs_and_renders_is_not_even_imported_for_it(project: pytest.Pytester) -> None:
    ask = (
        "import sys\n\ndef pytest_sessionfinish():\n"
        '    late = ("psycopg", "sql_snippets.running.execute", "sql_snippets.reading.pages")\n'
        '    print("imported:", *(name for name in late if name in sys.modules))\n'
    )
    (project.path / "conftest.py").write_text(f"{CONFTEST}\n{ask}", encoding="utf-8")
    first, second = (project.runpytest_subprocess("docs", "-s") for _ in range(2))
    first.assert_outcomes(passed=2)
    assert "imported: psycopg sql_snippets.running.execute sql_snippets.reading.pages" in str(
        first.stdout
    )
    second.assert_outcomes(passed=2)
    assert "imported:\n" in str(second.stdout)


def test_it_is_not_run_again_on_workers_either(project: pytest.Pytester) -> None:
    assert _run(project) == RAN
    project.runpytest_subprocess("docs", "-n", "2", "--sql-report=report.json")
    items = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["items"]
    assert [item["cached"] for item in items] == [True, True]


def test_it_is_run_again_when_that_is_asked_for(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(project) == RAN
    assert _run(project, "--sql-no-cache") == RAN
    monkeypatch.setenv("SQL_SNIPPETS_NO_CACHE", "yes")
    assert _run(project) == RAN


def test_text_above_a_block_does_not_count(project: pytest.Pytester) -> None:
    assert _run(project) == RAN
    page = project.path / "docs/page.md"
    page.write_text(PAGE.replace("**READ** · Count", "Some\n\nmore text.\n\n**READ** · Count"))
    assert _run(project) == KNOWN
    items = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["items"]
    line = (
        page.read_text(encoding="utf-8")
        .split("\n")
        .index("select count(*) from orders where status = '<status>';")
    )
    assert items[0]["line"] == line + 1


# What is changed, and which blocks then run again.
CHANGES = {
    "sql": ("docs/page.md", "select count(*)", "select  count(*)", {"count", "look"}),
    "mark": ("docs/page.md", "**READ** · Look", "**WRITE** · Look", None),
    "claim": ("docs/page.md", "name=look", "rows=1 name=look", {"look"}),
    "claim of the earlier block": ("docs/page.md", " rows=1", "", {"count", "look"}),
    "value": ("docs/page.md", "fill.status=open", "fill.status=closed", {"count", "look"}),
    "output": ("docs/page.md", "     1\n", "     2\n", {"count", "look"}),
    "migration": ("migrations/1.sql", "text);", "varchar);", {"count", "look"}),
    "a comment of a migration": ("migrations/1.sql", "text);", "text); --", {"count", "look"}),
    "seed": ("seed.sql", "1", "2", {"count", "look"}),
    "platform": ("platform/2_reader.sql", "end $$;", "end $$; --", {"count", "look"}),
    "fixture": ("conftest.py", "lambda: True", "lambda: bool(1)", {"look"}),
    "what a fixture imports": ("helpers/incident.py", "id = 2", "id < 3", {"look"}),
    "the package of that": ("helpers/__init__.py", "", "# changed\n", {"look"}),
    "role": ("pytest.ini", "sql_seed", "sql_role = reader\nsql_seed", {"count", "look"}),
    "effects": (
        *("pytest.ini", "sql_seed"),
        *("sql_effects = public.orders=an order\nsql_seed", {"count", "look"}),
    ),
    "timeout": ("pytest.ini", "sql_seed", "sql_timeout = 9\nsql_seed", {"count", "look"}),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_what_has_changed_runs_again(
    project: pytest.Pytester, case: tuple[str, str, str, set[str] | None]
) -> None:
    name, old, new, again = case
    assert _run(project) == RAN
    path = project.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else new, encoding="utf-8")
    found = _run(project)
    ran = {block for block, cached in found.items() if cached is not True}
    assert ran == ({"look"} if again is None else again)


def test_another_server_or_another_program_runs_it_again(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(project) == RAN
    with monkeypatch.context() as changed:
        changed.setattr("sql_snippets.pytest_plugin.kept.server_key", lambda *_: "another")
        assert _run(project) == RAN
        # What cannot be known, as at a URL, is never kept.
        changed.setattr("sql_snippets.pytest_plugin.kept.server_key", lambda *_: None)
        assert _run(project) == RAN
    with monkeypatch.context() as changed:
        changed.setattr("sql_snippets.results.verdicts.own_digest", lambda: "another")
        assert _run(project) == RAN
    with monkeypatch.context() as changed:
        changed.setattr("sql_snippets.results.verdicts.sys.version", "another")
        assert _run(project) == RAN
    assert _run(project) == KNOWN


def test_a_day_later_it_runs_again(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(project) == RAN
    monkeypatch.setattr("sql_snippets.results.verdicts.MAX_AGE", timedelta(0))
    assert _run(project) == RAN


def test_what_failed_is_not_kept(project: pytest.Pytester) -> None:
    path = project.path / "docs/page.md"
    path.write_text(PAGE.replace("     1\n", "     7\n"), encoding="utf-8")
    for _ in range(2):
        assert _run(project)["count"] == "failed"


def test_what_fails_when_it_is_torn_down_is_not_kept(project: pytest.Pytester) -> None:
    path = project.path / "conftest.py"
    broken = CONFTEST.replace("    return Scenario", "    yield Scenario") + "    raise OSError\n"
    path.write_text(broken, encoding="utf-8")
    for _ in range(2):
        assert _run(project)["look"] == "failed"


# ---- the file --------------------------------------------------------------------------------


def now() -> datetime:
    return datetime.now(UTC)


def _kept(at: datetime) -> Kept:
    entry = Entry(id="x", kind="block", verdict=Verdict.PASSED)
    return Kept(at, entry, RanOn(ServerFacts("embedded")))


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"k": 1}', '{"k": {"at": "yesterday"}}', "\x00", '{"k": {}}']
)
def test_a_damaged_file_is_no_file(tmp_path: Path, text: str) -> None:
    verdicts = Verdicts(tmp_path, tmp_path)
    verdicts.keep({"k": _kept(now())})
    (path,) = tmp_path.glob("*.json")
    path.write_text(text, encoding="utf-8")
    assert Verdicts(tmp_path, tmp_path).find("k") is None
    verdicts.keep({"k": _kept(now())})
    assert Verdicts(tmp_path, tmp_path).find("k") is not None


def test_old_verdicts_and_those_of_the_future_are_none(tmp_path: Path) -> None:
    def ago(**age: int) -> datetime:
        return now() - timedelta(**age)

    Verdicts(tmp_path, tmp_path).keep(
        {"new": _kept(ago(hours=23)), "old": _kept(ago(hours=25)), "future": _kept(ago(hours=-1))}
    )
    verdicts = Verdicts(tmp_path, tmp_path)
    assert [verdicts.find(key) is not None for key in ("new", "old", "future")] == [
        *(True, False, False)
    ]


def test_the_file_is_bounded(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path, tmp_path)
    verdicts.keep({f"k{n}": _kept(now()) for n in range(MOST_KEPT + 10)})
    (path,) = tmp_path.glob("*.json")
    assert len(json.loads(path.read_text(encoding="utf-8"))) == MOST_KEPT


@pytest.mark.parametrize(
    ("owner", "user", "is_believed"),
    [(1000, 1000, True), (0, 1000, True), (0, 0, True), (1001, 1000, False), (1001, 0, False)],
)
def test_a_file_of_another_user_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, user: int, *, is_believed: bool
) -> None:
    """Only root can write as anybody, and so is believed by everyone."""
    Verdicts(tmp_path, tmp_path).keep({"k": _kept(now())})
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        found = [*real(path, **options)]
        found[4] = owner
        return os.stat_result(found)

    monkeypatch.setattr("sql_snippets.cache.os.geteuid", lambda: user)
    monkeypatch.setattr(Path, "stat", stat)
    assert (Verdicts(tmp_path, tmp_path).find("k") is not None) == is_believed


def test_projects_do_not_share(tmp_path: Path) -> None:
    Verdicts(tmp_path, tmp_path / "one").keep({"k": _kept(now())})
    assert Verdicts(tmp_path, tmp_path / "two").find("k") is None


@pytest.mark.parametrize("change", [lambda: key_of(("a", "bc")), lambda: key_of(("a", "b"), x=1)])
def test_keys_differ(change: Callable[[], str]) -> None:
    assert change() != key_of(("ab", "c"))
    assert change() != key_of(("a", "b"))
