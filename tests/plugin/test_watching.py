"""What is to be checked again when an author saves, and what the report says then."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sql_snippets import cli
from sql_snippets.database.recipes import Command
from sql_snippets.watching.watch import Place, Seen, affected, count, differences, look, merge


def _place(root: Path) -> Place:
    return Place(root, root / "docs", root / "report.json")


def test_a_saved_page_is_checked_alone(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "a.md"
    page.parent.mkdir()
    page.write_text("", encoding="utf-8")
    assert affected([page], _place(tmp_path)) == ["docs/a.md"]
    page.unlink()
    assert affected([page], _place(tmp_path)) == []


@pytest.mark.parametrize(
    "name", ["supabase/migrations/1.sql", "docs/facts/x.sql", "tests/sql_snippets/scenarios.py"]
)
def test_what_the_database_rests_on_has_everything_checked(tmp_path: Path, name: str) -> None:
    assert affected([tmp_path / "docs" / "a.md", tmp_path / name], _place(tmp_path)) == ["docs"]


def test_everything_is_checked_while_the_report_is_not_whole(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "a.md"
    page.parent.mkdir()
    page.write_text("", encoding="utf-8")
    old = _report("x", a="passed", b="passed")
    assert affected([page], _place(tmp_path), old) == ["docs/a.md"]
    assert affected([page], _place(tmp_path), {**old, "check_error": "no"}) == ["docs"]
    assert affected([page], _place(tmp_path), {**old, "complete": False}) == ["docs"]


def test_changed_new_and_removed_files_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("same", "changed", "removed"):
        (folder / f"{name}.md").write_text("", encoding="utf-8")
    before = look(_place(tmp_path))
    os.utime(folder / "changed.md", ns=(1, 1))
    (folder / "removed.md").unlink()
    (folder / "new.md").write_text("", encoding="utf-8")
    (folder / "other.png").write_text("", encoding="utf-8")
    seen = differences(before, look(_place(tmp_path)))
    assert {path.name for path in seen} == {"changed.md", "removed.md", "new.md"}


def test_what_was_given_up_is_checked_again_though_all_is_as_before() -> None:
    path = Path("docs/a.md")
    seen = Seen({path: 1}, {})
    assert seen.files_to_check({path: 1}) == set()
    seen.give_up({path: 2}, {})
    assert seen.files_to_check({path: 1}) == {path}
    # A migration that has come and gone while its check ran is what the report speaks of.
    migration = Path("supabase/migrations/1.sql")
    seen = Seen({}, {})
    seen.give_up({migration: 1}, {migration: "select 1;"})
    assert seen.files_to_check({}) == {migration}
    assert [statement.words for statement in seen.statements_to_check({})] == [("select", "1")]


def _report(recipe: str, **verdicts: str) -> dict[str, Any]:
    items = [
        {
            "page": f"{page}.md",
            "nodeid": f"{page}.md::a::b",
            "line": 1,
            "verdict": verdict,
            "cached": False,
            "checked": None,
        }
        for page, verdict in verdicts.items()
    ]
    facts = {"format": 1, "server": f"of {recipe}", "migration_head": "1", "recipe": recipe}
    return {**facts, "created": "now", "items": items, "database_error": None, "complete": True}


def _verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {item["page"]: item["verdict"] for item in report["items"]}


def test_new_verdicts_take_the_place_of_those_of_their_page() -> None:
    old = {**_report("x", a="passed", b="passed"), "created": "before"}
    merged = merge(old, _report("x", a="failed"), ["a.md"])
    assert _verdicts(merged) == {"a.md": "failed", "b.md": "passed"}
    assert (merged["created"], merged["complete"]) == ("now", True)
    # Each says when it was reached.
    assert [item["checked"] for item in merged["items"]] == [None, "before"]
    again = merge(merged, _report("x", a="passed"), ["a.md"])
    assert [item["checked"] for item in again["items"]] == [None, "before"]
    assert merge({**old, "complete": False}, old, ["a.md"])["complete"] is False


def test_page_without_sql_leaves_the_verdicts_of_others() -> None:
    old = _report("x", a="passed", b="passed")
    nothing: dict[str, Any] = {**_report("", c="passed"), "recipe": None, "migration_head": None}
    broken = {**old, "recipe": None, "migration_head": None, "database_error": "a migration fails"}
    assert merge(broken, nothing, ["c.md"])["database_error"] == "a migration fails"
    merged = merge(old, nothing, ["c.md"])
    assert _verdicts(merged) == {"a.md": "passed", "b.md": "passed", "c.md": "passed"}
    for name in ("server", "migration_head", "recipe"):
        assert merged[name] == old[name]


def test_verdicts_on_another_database_are_not_kept() -> None:
    assert merge(_report("x", b="passed"), _report("y", a="passed"), ["a.md"]) == _report(
        "y", a="passed"
    )
    assert merge(None, _report("y", a="passed"), ["a.md"]) == _report("y", a="passed")


def test_line_for_a_check_counts_each_verdict() -> None:
    items = [{"verdict": verdict} for verdict in ("passed", "skipped", "passed", "failed")]
    assert count(items) == "1 FAILED, 2 passed, 1 skipped"
    assert count(items[:1]) == "1 passed"
    assert count([]) == "nothing to check"


def _watched(place: Place) -> set[str]:
    return {path.relative_to(place.root).as_posix() for path in look(place)}


def test_what_the_database_is_made_from_is_watched(tmp_path: Path) -> None:
    names = [
        *("docs/a.md", "docs/f.sql", "docs/a.png", "db/1.sql", "db/notes.md", "seed.sql"),
        *("incidents/x.py", "incidents/x.sql", "incidents/x.json", "elsewhere.sql", "alembic/1.py"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    place = replace(
        _place(tmp_path),
        made_from=(tmp_path / "db", tmp_path / "seed.sql", tmp_path / "nowhere"),
        also=(tmp_path / "incidents", tmp_path / "conftest.py"),
    )
    first = {"docs/a.md", "docs/f.sql", "incidents/x.py", "incidents/x.sql"}
    assert _watched(place) == first | {"db/1.sql", "seed.sql"}
    command = Command("alembic upgrade head", tmp_path, "sql_migrations", ("alembic/*.py", "no/*"))
    assert _watched(replace(place, made_from=(command,))) == first | {"alembic/1.py"}


def test_the_place_is_that_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "pytest.ini": "[pytest]\nsql_migrations = db\n",
        "web/mkdocs.yml": "site_name: x\ndocs_dir: pages\n",
        "web/pages/a.md": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    place = Place.of(Path("web/mkdocs.yml"), None, [Path("incidents")])
    assert place == Place(
        root=tmp_path,
        pages=tmp_path / "web" / "pages",
        report=tmp_path / "web" / ".cache" / "sql-snippets" / "report.json",
        made_from=(tmp_path / "db",),
        also=(tmp_path / "conftest.py", tmp_path / "incidents"),
    )
    assert place.everything == "web/pages"
    assert affected([tmp_path / "web" / "pages" / "a.md"], place) == ["web/pages/a.md"]


def test_settings_that_cannot_be_used_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nsql_timeout = soon\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["watch"]) == cli.EXIT_UNREADABLE
    assert "sql_timeout in the ini file is 'soon'" in capsys.readouterr().err
