"""What is to be checked again when an author saves, and what the report says then."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sql_snippets import cli
from sql_snippets.database.recipes import Command
from sql_snippets.mkdocs_site import load_site
from sql_snippets.results.report import Entry, Report, ServerFacts, Verdict
from sql_snippets.watching.watch import (
    Place,
    Seen,
    affected,
    count,
    differences,
    merge,
    times_of,
)

BEFORE, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def _place(root: Path, settings: str = "") -> Place:
    (root / "docs").mkdir(exist_ok=True)
    (root / "mkdocs.yml").write_text(f"site_name: x\n{settings}", encoding="utf-8")
    return Place(load_site(root), root / "report.json")


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    return path


def test_a_saved_page_is_checked_alone(tmp_path: Path) -> None:
    place = _place(tmp_path)
    page = _write(tmp_path / "docs" / "a.md")
    assert affected([page], place) == ["docs/a.md"]
    # Its verdicts are in the report, and it may have been a part of others.
    page.unlink()
    assert affected([page], place) == ["docs"]


@pytest.mark.parametrize(
    "name",
    [
        *("supabase/migrations/1.sql", "docs/facts/x.sql", "tests/sql_snippets/scenarios.py"),
        *("docs/_parts/warning.md", "docs/.hidden/x.md", "docs/README.md", "mkdocs.yml"),
    ],
)
def test_what_is_no_page_of_the_site_has_everything_checked(tmp_path: Path, name: str) -> None:
    place = _place(tmp_path, "exclude_docs: _parts/\n")
    page, _ = _write(tmp_path / "docs" / "a.md"), _write(tmp_path / "docs" / "index.md")
    if name != "mkdocs.yml":
        _write(tmp_path / name)
    assert affected([page, tmp_path / name], place) == ["docs"]


def test_pages_that_are_links_are_watched_and_checked_by_their_places(tmp_path: Path) -> None:
    place = _place(tmp_path)
    page = _write(tmp_path / "shared" / "a.md")
    _write(tmp_path / "one.md")
    (tmp_path / "docs" / "shared").symlink_to(tmp_path / "shared")
    (tmp_path / "docs" / "one.md").symlink_to(tmp_path / "one.md")
    before = times_of(place)
    for path in (page, tmp_path / "one.md"):
        os.utime(path, ns=(1, 1))
    changed = differences(before, times_of(place))
    assert affected(changed, place) == ["docs/one.md", "docs/shared/a.md"]


def test_a_configuration_that_is_wrong_is_told_by_the_checks(tmp_path: Path) -> None:
    place = _place(tmp_path)
    page = _write(tmp_path / "docs" / "a.md")
    (tmp_path / "mkdocs.yml").write_text("{", encoding="utf-8")
    assert affected([page], place) == ["docs"]


def test_everything_is_checked_while_the_report_is_not_whole(tmp_path: Path) -> None:
    place = _place(tmp_path)
    page = _write(tmp_path / "docs" / "a.md")
    old = _report("x", a="passed", b="passed")
    assert affected([page], place, old) == ["docs/a.md"]
    assert affected([page], place, replace(old, check_error="no")) == ["docs"]
    assert affected([page], place, replace(old, complete=False)) == ["docs"]


def test_changed_new_and_removed_files_are_seen(tmp_path: Path) -> None:
    place, folder = _place(tmp_path), tmp_path / "docs"
    for name in ("same", "changed", "removed"):
        (folder / f"{name}.md").write_text("", encoding="utf-8")
    before = times_of(place)
    os.utime(folder / "changed.md", ns=(1, 1))
    (folder / "removed.md").unlink()
    (folder / "new.md").write_text("", encoding="utf-8")
    (folder / "other.png").write_text("", encoding="utf-8")
    seen = differences(before, times_of(place))
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


def _report(recipe: str | None, **verdicts: str) -> Report:
    items = [
        Entry(
            id=f"{page}.md::a::b",
            page=f"{page}.md",
            kind="block",
            verdict=Verdict(verdict),
        )
        for page, verdict in verdicts.items()
    ]
    server = ServerFacts("embedded", f"of {recipe}")
    return Report(NOW, server, recipe and "1", recipe, items=tuple(items))


def _verdicts(report: Report) -> dict[str, str]:
    return {item.page: item.verdict for item in report.items}


def test_new_verdicts_take_the_place_of_those_of_their_page() -> None:
    old = replace(_report("x", a="passed", b="passed"), created=BEFORE)
    merged = merge(old, _report("x", a="failed"), ["a.md"])
    assert _verdicts(merged) == {"a.md": "failed", "b.md": "passed"}
    assert (merged.created, merged.complete) == (NOW, True)
    # Each says when it was reached.
    assert [item.checked for item in merged.items] == [None, BEFORE]
    again = merge(merged, _report("x", a="passed"), ["a.md"])
    assert [item.checked for item in again.items] == [None, BEFORE]
    assert merge(replace(old, complete=False), old, ["a.md"]).complete is False


def test_page_without_sql_leaves_the_verdicts_of_others() -> None:
    old = _report("x", a="passed", b="passed")
    nothing = _report(None, c="passed")
    broken = replace(old, recipe=None, migration_head=None, database_error="a migration fails")
    assert merge(broken, nothing, ["c.md"]).database_error == "a migration fails"
    merged = merge(old, nothing, ["c.md"])
    assert _verdicts(merged) == {"a.md": "passed", "b.md": "passed", "c.md": "passed"}
    for name in ("server", "migration_head", "recipe"):
        assert getattr(merged, name) == getattr(old, name)


def test_verdicts_on_another_database_are_not_kept() -> None:
    new = _report("y", a="passed")
    assert merge(_report("x", b="passed"), new, ["a.md"]) == new
    assert merge(None, new, ["a.md"]) == new


def test_line_for_a_check_counts_each_verdict() -> None:
    items = _report("x", a="passed", b="skipped", c="passed", d="failed").items
    assert count(items) == "1 FAILED, 2 passed, 1 skipped"
    assert count(items[:1]) == "1 passed"
    assert count([]) == "nothing to check"


def _watched(place: Place) -> set[str]:
    return {path.relative_to(place.site.root).as_posix() for path in times_of(place)}


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
    first = {"mkdocs.yml", "docs/a.md", "docs/f.sql", "incidents/x.py", "incidents/x.sql"}
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
    assert (place.site.root, place.site.docs_dir) == (tmp_path, tmp_path / "web" / "pages")
    assert place == Place(
        site=place.site,
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
