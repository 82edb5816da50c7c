"""The generated pages, and stamps that have gone stale, as a reader sees them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from scripts.tasks.local_site import build, serve_folder
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page
from tests.site.opening import open_page
from tests.site.project_copy import PAGES, REPORT, RUN_AT, copy_project, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

RUNBOOK = "operations/cron-reminder-runbook/"
DAY = 24 * 60 * 60 * 1000  # milliseconds
STAMP = "#block-check-health-health + .sql-stamp"


@dataclass(frozen=True, slots=True)
class Passed:
    """The site after a run that passed everything; several tests read it, none changes it."""

    project: Path
    address: str
    report: dict[str, Any]


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passed]:
    project = copy_project(tmp_path_factory.mktemp("passed") / "project")
    report = write_report(project)
    folder = tmp_path_factory.mktemp("passed-site")
    with serve_folder(folder) as address:
        build(folder, address, project=project)
        yield Passed(project, address, report)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture
def build_again(project: Path, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A function that builds the copy as it is and gives its address."""
    folder = tmp_path / "built"
    folder.mkdir()
    with serve_folder(folder) as address:

        def make() -> str:
            build(folder, address, project=project)
            return address

        yield make


def test_verification_page_has_every_block_and_leads_to_it(page: Page, passed: Passed) -> None:
    project, address, report = passed.project, passed.address, passed.report
    open_page(page, address + "verification/")
    known = [s for name in PAGES for s in read_page(project / name, load_site(project)).snippets]
    rows = page.locator(".sql-table--blocks tbody tr")
    assert rows.count() == len(known)
    assert page.locator(".sql-table--blocks .sql-verdict--passed").count() == len(known)
    facts = page.locator(".sql-table--facts")
    for words in (
        f"{len(known)} passed, of {len(known)}",
        "5 Nov 2026 23:59 UTC",
        "PostgreSQL 15.14 (system)",
        "pg_cron",
        str(report["migration_head"]),
        "unchanged",
    ):
        expect(facts).to_contain_text(words)
    expect(page.locator(".md-sidebar--secondary")).to_have_attribute("hidden", "")
    row = rows.filter(has_text="release-lock")
    for words in ("STOP", "12 ms", "Release a stuck lock"):
        expect(row).to_contain_text(words)
    page.locator(".sql-folded").first.locator("summary").click()
    row.locator("a").first.click()
    expect(page.locator("#block-release-a-stuck-lock-release-lock")).to_be_in_viewport()
    links = page.evaluate(
        """async address => {
            const text = await (await fetch(address)).text()
            const tables = new DOMParser().parseFromString(text, "text/html")
            return [...tables.querySelectorAll(".sql-table a")].map(a => a.getAttribute("href"))
        }""",
        f"{address}verification/",
    )
    inside = [link.partition("#")[2] for link in links if RUNBOOK in link]
    missing = page.evaluate("ids => ids.filter(id => !document.getElementById(id))", inside)
    assert inside
    assert missing == []


def test_every_drill_has_its_verdict_and_leads_to_its_section(page: Page, passed: Passed) -> None:
    open_page(page, passed.address + "verification/")
    drills = read_page(passed.project / PAGES[0], load_site(passed.project)).drills
    assert page.locator(".sql-table--drills tbody tr").count() == len(drills) >= 7
    assert page.locator(".sql-table--drills .sql-verdict--passed").count() == len(drills)
    links = page.locator(".sql-table--drills a")
    assert {str(link.get_attribute("href")).partition("#")[2] for link in links.all()} == {
        drill.section for drill in drills
    }
    expect(page.locator("#log + p")).to_have_text("None yet.")


def test_it_leads_to_what_came_of_the_walks(page: Page, passed: Passed) -> None:
    open_page(page, passed.address + "verification/")
    page.get_by_role("link", name="what it came to").click()
    expect(page.locator("#walks")).to_be_in_viewport()
    table = page.locator("table", has_text="Done, still broken")
    assert table.locator("tbody tr").count() > 30


def test_drills_by_people_are_listed(
    page: Page, project: Path, build_again: Callable[[], str]
) -> None:
    (project / "docs" / "operations" / "drill-log.yml").write_text(
        "drills:\n- {date: 2026-11-02, section: stuck-lock, by: A stranger, minutes: 7,"
        " result: done, notes: Looked for the <pid>}\n",
        encoding="utf-8",
    )
    open_page(page, build_again() + "verification/")
    log = page.locator(".sql-table--log tbody tr")
    assert log.count() == 1
    for words in ("2026-11-02", "Stuck lock", "A stranger", "7", "done", "Looked for the <pid>"):
        expect(log).to_contain_text(words)


def test_page_says_when_there_was_no_run(page: Page, build_again: Callable[[], str]) -> None:
    open_page(page, build_again() + "verification/")
    expect(page.locator("article")).to_contain_text("No run yet.")
    assert page.locator(".sql-verdict--passed").count() == 0
    assert page.locator(".sql-verdict--unchecked").count() > 0
    expect(page.locator(".sql-folded")).to_have_count(0)
    # The path is the one that the build reads.
    expect(page.locator("article")).to_contain_text(
        "pytest docs --sql-report .cache/sql-snippets/report.json"
    )


def test_what_passed_is_folded_and_what_did_not_is_not(
    page: Page, project: Path, build_again: Callable[[], str]
) -> None:
    report = write_report(project)
    block = next(each for each in report["items"] if each["kind"] == "block")
    block["verdict"], block["reason"] = "failed", "it did not end the session"
    (project / REPORT).write_text(json.dumps(report), encoding="utf-8")
    open_page(page, build_again() + "verification/")
    failed = page.locator(".sql-table--blocks tr").filter(has_text="did not end the session")
    expect(failed).to_be_visible()
    expect(failed).to_contain_text("Failed")
    passed = page.locator(".sql-folded").first
    row = passed.locator("tbody tr").first
    expect(row).to_be_hidden()
    passed.locator("summary").click()
    expect(row).to_be_visible()


def test_no_generated_table_is_wider_than_a_phone(page: Page, passed: Passed) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, passed.address + "verification/")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.locator(".sql-table table").count() >= 3
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".md-typeset__scrollwrap")]
            .filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent.slice(0, 80))"""
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def _look(page: Page) -> list[str]:
    stamp = page.locator(STAMP)
    look: list[str] = stamp.evaluate(
        "e => { const s = getComputedStyle(e); const v = e.querySelector('.sql-stamp__verdict');"
        " return [s.borderStyle, s.backgroundImage, getComputedStyle(v).color,"
        " getComputedStyle(v, '::before').content] }"
    )
    return look


# A day that has not gone by does not count.
JUST_BEFORE = dt.timedelta(hours=23, minutes=59, seconds=59)


def test_stamps_say_their_age_and_look_it(page: Page, passed: Passed) -> None:
    looks = {}
    for days, after, words in (
        (0, JUST_BEFORE, "5 Nov 2026 23:59 UTC"),
        (1, dt.timedelta(), "1 day ago"),
        (30, JUST_BEFORE, "30 days ago"),
        (31, dt.timedelta(), "31 days"),
    ):
        page.clock.set_fixed_time(RUN_AT + dt.timedelta(days=days) + after)
        open_page(page, passed.address + RUNBOOK)
        expect(page.locator(STAMP)).to_contain_text(words)
        expect(page.locator(".sql-summary")).to_contain_text(words)
        assert ("ago" in (page.locator(STAMP).text_content() or "")) is (days > 0)
        # What passed is a tick in the mark; once it is old, it says so unasked.
        expect(page.locator(f"{STAMP} time")).to_be_visible(visible=days > 30)
        looks[days] = [*_look(page), page.locator(".sql-summary").get_attribute("class")]
    assert looks[0] == looks[1] == looks[30]
    for old, fresh in zip(looks[31], looks[0], strict=True):
        assert old != fresh
    expect(page.locator(STAMP)).to_contain_text("Passed long ago")


def test_verdicts_of_the_generated_page_look_their_age(page: Page, passed: Passed) -> None:
    address, path = passed.address, "verification/"
    run, verdicts = page.locator(".sql-run"), page.locator(".sql-verdict--passed")
    for days, words in ((0, ""), (1, ", 1 day ago"), (30, ", 30 days ago")):
        page.clock.set_fixed_time(RUN_AT + dt.timedelta(days=days) + JUST_BEFORE)
        open_page(page, address + path)
        expect(run).to_have_text(f"5 Nov 2026 23:59 UTC{words}")
        assert set(verdicts.all_text_contents()) == {"Passed"}
        expect(page.locator(".sql-verdict--stale")).to_have_count(0)
    count = verdicts.count()
    page.clock.set_fixed_time(RUN_AT + dt.timedelta(days=31))
    open_page(page, address + path)
    expect(run).to_have_text("5 Nov 2026 23:59 UTC, 31 days ago")
    expect(verdicts).to_have_count(0)
    old = page.locator(".sql-verdict--stale")
    assert old.all_text_contents().count("Passed long ago") == count
    # The date at the top too.
    expect(old).to_have_count(count + 1)


@pytest.mark.parametrize("path", [RUNBOOK, "verification/"])
def test_page_that_stays_open_grows_old(page: Page, passed: Passed, path: str) -> None:
    page.clock.install(time=RUN_AT)
    open_page(page, passed.address + path)
    times = page.locator(":is(.sql-stamp, .sql-summary) time, .sql-run")
    old = page.locator("article :is(.sql-stamp, .sql-verdict)").filter(has_text="Passed long ago")
    for days, more in ((2, 2), (30, 28)):
        page.clock.fast_forward(more * DAY)
        assert {f"5 Nov 2026 23:59 UTC, {days} days ago"} == set(times.all_text_contents())
        expect(old).to_have_count(0)
    page.clock.fast_forward(DAY)
    assert {"5 Nov 2026 23:59 UTC, 31 days ago"} == set(times.all_text_contents())
    assert old.count() > 0
    expect(page.locator("article [class*='--passed']")).to_have_count(0)


def test_stale_stamps_look_stale(page: Page, project: Path, build_again: Callable[[], str]) -> None:
    write_report(project)
    address = build_again()
    page.clock.set_fixed_time(RUN_AT)
    open_page(page, address + RUNBOOK)
    expect(page.locator(STAMP)).to_contain_text("Passed")
    fresh = _look(page)

    text = (project / PAGES[0]).read_text(encoding="utf-8")
    changed = text.replace("from reminder.health order by step;", "from reminder.health;")
    assert changed != text
    (project / PAGES[0]).write_text(changed, encoding="utf-8")
    build_again()
    open_page(page, address + RUNBOOK)
    expect(page.locator(STAMP)).to_contain_text("Not checked")
    expect(page.locator(STAMP)).to_contain_text("the SQL was changed after its last run")
    assert page.locator(".sql-stamp--unchecked").count() == 1
    expect(page.locator(".sql-summary")).to_contain_text("not checked")
    for one, other in zip(_look(page), fresh, strict=True):
        assert one != other

    (project / PAGES[0]).write_text(text, encoding="utf-8")
    head = project / "supabase" / "migrations" / "29990101000000_later.sql"
    head.write_text("select 1;\n", encoding="utf-8")
    build_again()
    open_page(page, address + RUNBOOK)
    expect(page.locator(STAMP)).to_contain_text("Out of date")
    expect(page.locator(STAMP)).to_contain_text("the last migration was")
    assert page.locator(".sql-stamp--passed").count() == 0
    assert page.locator(".sql-stamp--stale").count() == page.locator(".sql-stamp").count()
    for one, other in zip(_look(page), fresh, strict=True):
        assert one != other
    open_page(page, address + "verification/")
    expect(page.locator(".sql-table--facts")).to_contain_text("Out of date")
    assert page.locator(".sql-table--blocks .sql-verdict--passed").count() == 0
