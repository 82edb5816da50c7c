"""An author saves, and the open page shows what the checks now say."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import REPORT, ROOT
from scripts.tasks.live_site import copy_for_serving, serve_live
from sql_snippets.results.underway import is_underway
from tests.site.project_copy import RUN_AT, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

PAGE = "docs/authors-guide.md"
RUNBOOK = "docs/operations/cron-reminder-runbook.md"
# The first section that is not wanted: below it are the drills, whose incidents take their time.
REST = "### Before you change anything\n"
# Milliseconds: the checks start a server, on a machine that may be busy with other tests.
LONG = 240_000
# What waits for no check: a page that is asked for, and the word that there is none.
SOON = 120_000


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A copy of the project."""
    return copy_for_serving(tmp_path / "project")


@pytest.fixture
def project(whole: Path) -> Path:
    """The same with the first sections of the runbook: all its blocks are checked in seconds."""
    runbook = whole / RUNBOOK
    kept, cut, _ = runbook.read_text(encoding="utf-8").partition(REST)
    assert cut
    runbook.write_text(kept, encoding="utf-8")
    return whole


@pytest.fixture
def live(project: Path) -> Iterator[str]:
    """Serve it as an author does."""
    with serve_live(project) as address:
        yield address


@pytest.fixture
def live_whole(whole: Path) -> Iterator[str]:
    """Serve all of it as an author does."""
    with serve_live(whole) as address:
        yield address


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_open_page_follows_what_is_saved(page: Page, project: Path, live: str) -> None:
    source = project / PAGE
    # By a link: the theme puts the page in the place of one without blocks, and loads no document.
    page.goto(live + "maintainers/")
    page.evaluate("window.sameDocument = true")
    page.locator("article").get_by_role("link", name="For authors").first.click()
    page.wait_for_function(f"window.sqlSnippetsPage?.path === '{PAGE}'")
    assert page.evaluate("window.sameDocument") is True
    stamp = page.locator("#block-add-a-block-count-databases + .sql-stamp")
    expect(stamp).to_contain_text("Not checked")

    _replace(source, "How to add a SQL block", "How to write a SQL block")
    expect(page.locator("article")).to_contain_text("How to write a SQL block", timeout=LONG)
    expect(stamp).to_contain_text("Passed", timeout=LONG)

    _replace(source, "from pg_catalog.pg_roles", "from pg_catalog.pg_rolls")
    failed = page.locator("#block-words-above-a-block-find-role + .sql-stamp")
    expect(failed).to_contain_text("Failed", timeout=LONG)
    line = source.read_text(encoding="utf-8").splitlines().index("from pg_catalog.pg_rolls") + 1
    expect(failed).to_contain_text(f"{PAGE}:{line}:6")
    expect(failed).to_contain_text('relation "pg_catalog.pg_rolls" does not exist')

    _replace(source, "from pg_catalog.pg_rolls", "from pg_catalog.pg_roles")
    expect(failed).to_contain_text("Passed", timeout=LONG)

    broken = project / "supabase" / "migrations" / "29990101000000_broken.sql"
    broken.write_text("select 1;\nalter table public.nowhere add x int;\n", encoding="utf-8")
    expect(failed).to_contain_text("not run: the database cannot be built", timeout=LONG)
    top = page.locator(".sql-summary")
    expect(top).to_contain_text("29990101000000_broken.sql:2:")
    expect(top).to_contain_text('relation "public.nowhere" does not exist')
    log = project.parent / "log"
    _wait_until(lambda: "==> docs: " in log.read_text(encoding="utf-8"))
    broken.unlink()
    expect(failed).to_contain_text("Passed", timeout=LONG)

    # What is outdated is checked no further, and what had passed passes again.
    report = project / REPORT.relative_to(ROOT)
    _wait_until(lambda: not is_underway(report))
    ended = log.read_text(encoding="utf-8").count("==> docs: ")
    before = report.stat().st_mtime_ns
    # It sleeps, as long as a block may, however late the first verdict is seen here.
    last = project / "docs" / "sleeps.md"
    last.write_text("```sql\nselect pg_sleep(60);\n```\n\n" * 8, encoding="utf-8")
    broken.write_text("comment on schema public is 'Changed.';\n", encoding="utf-8")
    _wait_until(lambda: report.stat().st_mtime_ns != before)
    last.unlink()
    broken.unlink()
    _wait_until(lambda: log.read_text(encoding="utf-8").count("==> docs: ") > ended)
    expect(page.locator(".sql-summary--passed")).to_be_visible(timeout=LONG)
    said = log.read_text(encoding="utf-8")
    assert said.count("==> docs: ") == ended + 1
    assert "FAILED" not in said.rpartition("==> docs: ")[2].partition("\n")[0]
    # A line for each check, what failed in full, and no more.
    assert "==> docs/authors-guide.md: 1 FAILED, " in said
    assert f"{PAGE}:{line}:6: error[42P01]" in said
    assert said.count('relation "public.nowhere" does not exist') == 1
    for noise in ("KeyboardInterrupt", "SKIPPED", "report.json", "[100%]"):
        assert noise not in said


def test_open_page_changes_in_place_and_keeps_what_was_typed(
    page: Page, whole: Path, live_whole: str
) -> None:
    page.route("**/livereload/**", lambda route: route.abort())
    source = whole / PAGE
    page.goto(live_whole + "authors-guide/")
    field = page.locator('.sql-form input[name="role_name"]').first
    field.fill("robot")
    block = page.locator("#block-words-above-a-block-find-role")
    stamp = page.locator("#block-words-above-a-block-find-role + .sql-stamp")
    output = page.locator("#block-words-above-a-block-find-role ~ .sql-output").first

    _replace(source, "rolcanlogin as can_log_in", "rolcanlogin as may_log_in")
    expect(stamp).to_contain_text("Failed", timeout=LONG)
    expect(block.locator("code")).to_contain_text("may_log_in")
    expect(block.locator("code .k").first).to_have_text("select")
    expect(block.locator("code")).to_contain_text("'robot'")
    expect(field).to_have_value("robot")
    field.fill("postgres")
    expect(block.locator("code")).to_contain_text("'postgres'")

    expect(output).to_contain_text("can_log_in")
    _replace(source, " rolname  | can_log_in", " rolname  | may_log_in")
    expect(stamp).to_contain_text("Passed", timeout=LONG)
    expect(output).to_contain_text("may_log_in")
    expect(page.locator(".sql-form")).to_have_count(1)


def test_migration_to_blame_is_named_after_the_verdicts(
    page: Page, project: Path, live: str
) -> None:
    page.goto(live + "operations/cron-reminder-runbook/")
    migration = project / "supabase" / "migrations" / "29990101000000_renamed.sql"
    migration.write_text(
        "alter table public.cron_execution_logs rename column duration to took;\n",
        encoding="utf-8",
    )
    failed = page.locator("#block-check-health-recent-runs + .sql-stamp")
    expect(failed).to_contain_text('column "duration" does not exist', timeout=LONG)
    # The first ones that failed are told it; a renamed column breaks many.
    told = page.locator(".sql-stamp, .sql-summary").filter(
        has_text="fails since 29990101000000_renamed.sql"
    )
    expect(told.first).to_be_visible(timeout=LONG)
    said = (project.parent / "log").read_text(encoding="utf-8")
    verdict, named = said.index("==> docs: "), said.index("fails since 29990101000000_renamed")
    assert verdict < named


def test_checks_that_cannot_run_leave_no_page_green(page: Page, project: Path, live: str) -> None:
    page.goto(live + "authors-guide/")
    stamp = page.locator("#block-add-a-block-count-databases + .sql-stamp")
    _replace(project / PAGE, "How to add a SQL block", "How to write a SQL block")
    expect(stamp).to_contain_text("Passed", timeout=LONG)

    scenarios = project / "tests" / "sql_snippets" / "scenarios.py"
    _replace(scenarios, "import psycopg\n", "import psycopg\nimport psychopg\n")
    expect(stamp).to_contain_text("Out of date", timeout=LONG)
    expect(stamp).to_contain_text("the checks could not be run again")
    top = page.locator(".sql-summary")
    expect(top).to_contain_text("scenarios.py:")
    expect(top).to_contain_text("No module named 'psychopg'")

    _replace(scenarios, "import psychopg\n", "")
    expect(stamp).to_contain_text("Passed", timeout=LONG)
    expect(top).not_to_contain_text("psychopg")


def test_warning_of_the_site_is_shown_beside_it(page: Page, project: Path, live: str) -> None:
    log = project.parent / "log"
    source = project / PAGE
    source.write_text(
        source.read_text(encoding="utf-8") + "\n[nowhere](nowhere.md)\n", encoding="utf-8"
    )
    page.goto(live)
    _wait_until(lambda: "contains a link 'nowhere.md'" in log.read_text(encoding="utf-8"))
    assert "INFO" not in log.read_text(encoding="utf-8")


def test_build_that_fails_is_said_on_the_open_page(page: Page, project: Path, live: str) -> None:
    page.goto(live + "authors-guide/")
    top = page.locator(".sql-summary")
    expect(top).not_to_contain_text("cannot be built")

    configuration = project / "mkdocs.yml"
    _replace(configuration, "nav:\n", "nav: [\n")
    expect(top).to_contain_text("The site cannot be built", timeout=SOON)
    expect(top).to_contain_text("mkdocs.yml")
    # What there is is served, without waiting.
    assert page.request.get(live + "maintainers/", timeout=SOON).ok
    _replace(configuration, "nav: [\n", "nav:\n")
    expect(top).not_to_contain_text("cannot be built", timeout=LONG)

    guide = project / PAGE
    text = guide.read_text(encoding="utf-8")
    guide.unlink()
    expect(top).to_contain_text(f"{PAGE} is not there any more", timeout=SOON)
    answer = page.request.get(live + "authors-guide/", timeout=SOON)
    assert answer.status in {200, 404}
    guide.write_text(text, encoding="utf-8")
    expect(top).not_to_contain_text("not there", timeout=LONG)

    runbook = project / RUNBOOK
    text = runbook.read_text(encoding="utf-8")
    page.goto(live + "operations/cron-reminder-runbook/")
    runbook.unlink()
    said = page.locator("body").get_by_text("cannot be built")
    expect(said.first).to_be_visible(timeout=SOON)
    expect(page.locator("body")).to_contain_text("cron-reminder-runbook.md", timeout=SOON)
    answer = page.request.get(live + "operations/cron-reminder-runbook/", timeout=SOON)
    assert answer.ok or "cannot be built" in answer.text()
    runbook.write_text(text, encoding="utf-8")
    expect(said).to_have_count(0, timeout=LONG)
    expect(page.get_by_role("heading", name="Check health").first).to_be_attached()


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG / 1000
    while not is_so():
        assert time.monotonic() < end, f"not within {LONG / 1000:.0f} s"
        time.sleep(0.05)


@pytest.mark.parametrize("ran", [False, True], ids=["no run yet", "a last run"])
def test_served_without_checks_shows_what_the_last_run_found(
    page: Page, whole: Path, *, ran: bool
) -> None:
    if ran:
        write_report(whole)
    page.clock.set_fixed_time(RUN_AT + dt.timedelta(days=2))
    with serve_live(whole, checked=False) as address:
        page.goto(address + "operations/cron-reminder-runbook/")
        wanted = "Passed5 Nov 2026 23:59 UTC, 2 days ago" if ran else "Not checked"
        stamps = page.locator(".sql-stamp")
        expect(stamps.last).to_contain_text(wanted)
        shown = stamps.all_text_contents()
        assert len(shown) > 30
        assert [text for text in shown if wanted not in text] == []
        expect(page.locator(".sql-summary")).to_contain_text("2 days ago" if ran else "not checked")
        assert page.locator(".sql-stamp--passed").count() == (len(shown) if ran else 0)
        if ran:
            new = whole / "supabase" / "migrations" / "29990101000000_new.sql"
            new.write_text("select 1;\n", encoding="utf-8")
            expect(stamps.last).to_contain_text("Out of date", timeout=LONG)
            assert page.locator(".sql-stamp--passed").count() == 0


def test_leaves_nothing_behind_when_it_is_told_to_end(tmp_path: Path, project: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serve_live(project, {**os.environ, "TMPDIR": str(temporary)}):
        assert list(temporary.glob("mkdocs_*"))
        _replace(project / PAGE, "How to add a SQL block", "How to write a SQL block")
        _wait_until(lambda: is_underway(project / REPORT.relative_to(ROOT)))
    assert list(temporary.iterdir()) == []
