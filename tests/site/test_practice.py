"""Practice in the page: the browser's database says what the one of the checks says."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from scripts.tasks.local_site import build, serve_folder
from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Step
from sql_snippets.plan import RunOptions
from sql_snippets.profiles import SUPABASE
from sql_snippets.reading.pages import read_page
from sql_snippets.running.editor import run_as_editor
from sql_snippets.sqltext.placeholders import fill
from tests.site.opening import open_page
from tests.site.project_copy import INCIDENTS, copy_project
from tests.site.test_accessibility import violations_in_both_schemes
from tests.sql_snippets.incidents import PRACTICE, Impossible, Incident

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize

    from sql_snippets.database.databases import Database
    from sql_snippets.model import Drill, Outcome, Scenario, Snippet

pytestmark = pytest.mark.usefixtures("no_drawing")

RUNBOOK = "operations/cron-reminder-runbook/"
PAGE = read_page(ROOT / "docs" / "operations" / "cron-reminder-runbook.md", load_site(ROOT))
SNIPPETS = {snippet.id: snippet for snippet in PAGE.snippets}
DRILLS = {drill.scenario: drill for drill in PAGE.drills}
PRACTISED = {name: each for name, each in PRACTICE.items() if isinstance(each, Incident)}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
_MEASURED = "measured"
STAND_IN = "4711"  # the session that the browser's database stands in for
OTHERS = "sessions-by-program"  # who else is connected: in a browser nobody is
SMALL = "reminders-after-contact"  # a section to show things on that are the same in all


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[BrowserContext]:
    """A reader whose browser keeps the database from one practice to the next."""
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(reader: BrowserContext) -> Iterator[Page]:
    with reader.new_page() as page:
        yield page


def _panel(page: Page, section: str) -> Locator:
    return page.locator(f".practice[data-section='{section}']")


def _begin(page: Page, section: str) -> None:
    """Press "Practise" and wait until the incident is there."""
    _panel(page, section).get_by_role("button", name="Practise").click()
    expect(_status(page)).to_contain_text("The incident is there")


def _status(page: Page) -> Locator:
    return page.locator(".practice__status")


def _run_of(page: Page, block: str) -> Locator:
    return page.locator(f".sql-stamp[data-sql-id='{block}'] + .practice-run")


_SHOWN = """run => ({
    text: run.querySelector(".practice-result").innerText,
    columns: run.querySelector("table")
        && [...run.querySelectorAll("th")].map(e => e.textContent),
    rows: [...run.querySelectorAll("tbody tr")].map(row => [...row.cells].map(
        e => e.matches(".practice-result__null") ? null : e.textContent)),
})"""
_IS_DONE = "!document.querySelector('.practice-run [aria-disabled=true]')"
# The same in one go, without a pointer: a block is not looked for on the screen.
_RUN_AT_ONCE = f"""async ([block, values]) => {{
    for (const [name, value] of Object.entries(values)) {{
        const field = document.querySelector(`.sql-form input[name='${{name}}']`)
        field.value = value
        field.dispatchEvent(new InputEvent("input", {{bubbles: true}}))
    }}
    const run = document.querySelector(`.sql-stamp[data-sql-id='${{block}}'] + .practice-run`)
    run.querySelector("button").click()
    while (!({_IS_DONE})) await new Promise(requestAnimationFrame)
    return ({_SHOWN})(run)
}}"""


def _run(page: Page, snippet: Snippet, values: dict[str, Any]) -> dict[str, Any]:
    """Type what the block asks for, press its button, and read what is shown."""
    for name, value in values.items():
        page.locator(f".sql-form input[name='{name}']").first.fill(str(value))
    run = _run_of(page, snippet.id)
    run.get_by_role("button").first.click()
    page.wait_for_function(_IS_DONE)
    shown: dict[str, Any] = run.evaluate(_SHOWN)
    return shown


def _run_at_once(page: Page, snippet: Snippet, values: dict[str, Any]) -> dict[str, Any]:
    """Return the same for one of many blocks, whose buttons are pressed by a script."""
    texts = {name: str(value) for name, value in values.items()}
    shown: dict[str, Any] = page.evaluate(_RUN_AT_ONCE, [snippet.id, texts])
    return shown


def _values(snippet: Snippet, incident: Incident) -> dict[str, Any]:
    """Return what to type for a block: what the incident says, else what the page's checks do."""
    return {**snippet.claims.fill, **incident.values}


def _stable(snippet: Snippet, columns: list[str], rows: list[list[str | None]]) -> Any:
    """Return the rows without what differs from run to run, where the page shows any."""
    if snippet.claims.output is None:
        return len(rows)
    kept = [n for n, name in enumerate(columns) if name not in snippet.claims.volatile]
    return [[_MEASURED if _is_measured(columns[n], row) else row[n] for n in kept] for row in rows]


def _is_measured(column: str, row: list[str | None]) -> bool:
    """Whether a value is how long the run of the incident took, which no two servers agree on."""
    return column == "duration" and bool({"abandoned", "failed"} & set(row))


def _differences(snippet: Snippet, shown: dict[str, Any], real: Outcome) -> list[str]:
    if real.error is not None:
        wanted = f"ERROR {real.error.sqlstate}: {real.error.message}"
        same = shown["text"].splitlines()[0] == wanted
        return [] if same else [f"{snippet.id}: {wanted!r}, shown {shown['text']!r}"]
    columns = None if real.columns is None else [column.name for column in real.columns]
    found = []
    if shown["columns"] != columns:
        found.append(f"{snippet.id}: columns {columns}, shown {shown['columns']}")
    elif columns is not None:
        here = _stable(snippet, columns, shown["rows"])
        there = _stable(snippet, columns, [list(row) for row in real.rows])
        if here != there:
            found.append(f"{snippet.id}: rows {there}, shown {here}")
    if real.tag not in shown["text"]:
        found.append(f"{snippet.id}: tag {real.tag!r} is not in {shown['text']!r}")
    return found


def _processes(database: Database) -> set[str | None]:
    """Return the numbers of the sessions that are part of an incident."""
    with database.connect() as session:
        rows = session.execute("select pid from pg_stat_activity where application_name = 'psql'")
        return {str(pid) for (pid,) in rows}


def _in_order(page: Page) -> list[str]:
    """Return the ids of the blocks that have a Run button, in the order of the page."""
    found: list[str] = page.locator(".sql-stamp:has(+ .practice-run)").evaluate_all(
        "stamps => stamps.map(e => e.dataset.sqlId)"
    )
    return found


def _steps(drill: Drill, *steps: Step) -> list[Snippet]:
    return [snippet for snippet in drill.steps if snippet.claims.step in steps]


def _resolved(shown: dict[str, Any]) -> list[str]:
    """Return what a verification says of the incident, row by row."""
    place = shown["columns"].index("resolved")
    return [row[place] for row in shown["rows"]]


def test_each_drill_can_be_practised_or_says_why_not(page: Page, site: str) -> None:
    assert PRACTICE.keys() == DRILLS.keys()
    open_page(page, site + RUNBOOK)
    for scenario, drill in DRILLS.items():
        panel = _panel(page, drill.section)
        incident = PRACTICE[scenario]
        if isinstance(incident, Impossible):
            expect(panel).to_contain_text(incident.why)
            expect(panel.get_by_role("button")).to_have_count(0)
        else:
            expect(panel.get_by_role("button")).to_have_count(1)
    expect(page.locator(".practice")).to_have_count(len(DRILLS))


@pytest.mark.parametrize("scenario", PRACTISED)
def test_every_block_says_what_the_server_of_the_checks_says(
    page: Page,
    site: str,
    scenario: str,
    sql_database: Database,
    request: pytest.FixtureRequest,
) -> None:
    produced: Scenario = request.getfixturevalue(scenario)
    drill, incident = DRILLS[scenario], PRACTISED[scenario]
    open_page(page, site + RUNBOOK)
    _begin(page, drill.section)
    processes = _processes(sql_database)

    def twin(cell: str | None) -> str | None:
        words = [STAND_IN if word in processes else word for word in (cell or "").split(" ")]
        return None if cell is None else " ".join(words)

    blocks = _in_order(page)
    assert {snippet.id for snippet in drill.steps} <= set(blocks)
    found = []
    for block in blocks:
        snippet = SNIPPETS[block]
        if snippet.name == OTHERS:
            continue
        values = _values(snippet, incident)
        shown = _run_at_once(page, snippet, values)
        there = {**values, **{name: produced.values[name] for name in produced.values}}
        sql = fill(snippet.sql, {n: v for n, v in there.items() if f"<{n}>" in snippet.sql}).sql
        deadline = time.monotonic() + (snippet.claims.within or 0)
        while True:
            real = run_as_editor(
                sql_database, sql, RunOptions(sql_database.role, editor=SUPABASE.editor)
            )
            real = replace(real, rows=tuple(tuple(map(twin, row)) for row in real.rows))
            differences = _differences(snippet, shown, real)
            # There something takes its time in the background; here it is done at once.
            if not differences or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
        found += differences
    assert not found, "\n".join(found)


@pytest.mark.parametrize("scenario", PRACTISED)
def test_drill_is_followed_to_its_end_and_again(page: Page, site: str, scenario: str) -> None:
    drill, incident = DRILLS[scenario], PRACTISED[scenario]
    open_page(page, site + RUNBOOK)
    _begin(page, drill.section)
    for _ in range(2):
        (verify,) = _steps(drill, Step.VERIFY)
        assert _resolved(_run(page, verify, {})) == ["f"]
        expect(_status(page)).to_have_text("Not resolved yet")
        for snippet in _steps(drill, Step.CONFIRM):
            assert _run(page, snippet, {})["rows"]
        for snippet in _steps(drill, Step.RESOLVE):
            assert "ERROR" not in _run(page, snippet, _values(snippet, incident))["text"]
        assert _resolved(_run(page, verify, {})) == ["t"]
        expect(_status(page)).to_have_text("Resolved")
        summary = page.locator(".practice__summary")
        expect(summary).to_be_focused()
        expect(summary).to_contain_text("Resolved in 0:")
        expect(summary.locator("li")).to_have_count(
            2 + len(_steps(drill, Step.CONFIRM, Step.RESOLVE))
        )
        page.get_by_role("button", name="Start again").click()
        expect(_status(page)).to_contain_text("The incident is there")
        expect(page.locator(".practice-result, .practice__summary")).to_have_count(0)


def test_later_practice_begins_with_the_database_that_was_kept(
    context: BrowserContext, site: str
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(urlsplit(request.url).path))
    for is_first in (True, False):
        asked.clear()
        page = context.new_page()
        open_page(page, site + RUNBOOK)
        _begin(page, SMALL)
        page.close()
        # What the migrations would run in.
        assert any(path.endswith("/empty.bin") for path in asked) is is_first
        assert any(path.endswith("/pglite.wasm") for path in asked)


def test_nothing_is_loaded_before_it_is_asked_for_and_nothing_from_elsewhere(
    context: BrowserContext, site: str
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    open_page(page, site + RUNBOOK)
    assert not [url for url in asked if "pglite" in url or "/practice/" in url]
    _begin(page, SMALL)
    assert [url for url in asked if url.endswith("pglite.wasm")]
    drill = next(drill for drill in PAGE.drills if drill.section == SMALL)
    for snippet in drill.steps:
        _run(page, snippet, {})
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(site).netloc}


def test_works_without_a_network_once_it_is_loaded(context: BrowserContext, site: str) -> None:
    page = context.new_page()
    open_page(page, site + RUNBOOK)
    _begin(page, SMALL)
    context.set_offline(True)
    drill = next(drill for drill in PAGE.drills if drill.section == SMALL)
    for _ in range(2):
        for snippet in drill.steps:
            assert "ERROR" not in _run(page, snippet, {})["text"]
        expect(_status(page)).to_have_text("Resolved")
        page.get_by_role("button", name="Start again").click()
        expect(_status(page)).to_contain_text("The incident is there")


def test_says_that_it_is_a_sandbox_and_how_to_leave(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    _begin(page, SMALL)
    banner = _panel(page, SMALL).locator(".practice__banner")
    expect(banner).to_have_text("Sandbox, not production: runs in your browser, nothing is sent")
    page.mouse.wheel(0, -100_000)
    expect(banner).to_be_in_viewport()
    page.get_by_role("button", name="End practice").click()
    expect(page.locator(".practice-run, .practice__panel")).to_have_count(0)
    expect(_panel(page, SMALL).get_by_role("button", name="Practise")).to_be_focused()


def test_only_one_is_practised_at_a_time(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    _begin(page, SMALL)
    _begin(page, "duplicate-reminders")
    expect(page.locator(".practice__panel")).to_have_count(1)
    expect(page.locator(".practice__panel")).to_have_attribute(
        "aria-label", "Practice: Duplicate reminders"
    )


def test_by_keyboard_alone(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    _panel(page, SMALL).get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="End practice")).to_be_focused()
    expect(_status(page)).to_contain_text("The incident is there")
    drill = next(drill for drill in PAGE.drills if drill.section == SMALL)
    for snippet in drill.steps:
        button = _run_of(page, snippet.id).get_by_role("button").first
        if snippet.section != drill.section:
            # The section leads there by a link, which takes the focus along.
            page.locator(f"article a[href$='#{snippet.section}']:not(.headerlink)").first.focus()
            page.keyboard.press("Enter")
        for _ in range(40):
            page.keyboard.press("Tab")
            if button.evaluate("e => e === document.activeElement"):
                break
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        expect(_run_of(page, snippet.id).locator(".practice-result")).to_have_count(1)
    expect(page.locator(".practice__summary")).to_be_focused()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_violation_while_somebody_practises(browser: Browser, site: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    try:
        page = context.new_page()
        open_page(page, site + RUNBOOK)
        assert violations_in_both_schemes(page, ".md-content") == []
        _begin(page, SMALL)
        drill = next(drill for drill in PAGE.drills if drill.section == SMALL)
        for snippet in drill.steps:
            _run(page, snippet, {})
        _run(page, next(s for s in PAGE.snippets if s.name == "correct-one-assignment"), {})
        assert page.locator(".practice-result__error").count() == 1
        # The list of sections cuts off its own links where it is scrolled, practice or not.
        assert violations_in_both_schemes(page, ".md-content") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".practice__bar").bounding_box()
        assert box is not None
        assert box["height"] < 844 / 4
    finally:
        context.close()


def test_page_without_scripts_says_nothing_of_it(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        expect(page.get_by_text("Practise", exact=True)).to_have_count(0)
        expect(page.locator("[data-practice]")).to_be_hidden()
    finally:
        context.close()


@pytest.mark.parametrize("lacking", ["docs/assets/javascripts/vendor/pglite", INCIDENTS])
def test_without_its_parts_there_is_no_button(page: Page, tmp_path: Path, lacking: str) -> None:
    project = copy_project(tmp_path / "project")
    if (project / lacking).is_dir():
        shutil.rmtree(project / lacking)
    else:
        (project / lacking).unlink()
    with serve_folder(tmp_path / "site") as address:
        assert "WARNING -" not in build(tmp_path / "site", address, project=project)
        open_page(page, address + RUNBOOK)
        expect(page.locator(".sql-stamp__verdict").first).to_be_visible()
        expect(page.locator(".practice, [data-practice]")).to_have_count(0)
    assert not list((tmp_path / "site").glob("assets/practice/*"))
