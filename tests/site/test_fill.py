"""Values typed once: they stand in every block, quoted as the checks quote them."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from scripts.tasks.local_site import build, serve_folder
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page
from sql_snippets.running.parameters import ask_types
from sql_snippets.sqltext.placeholders import describe, fill
from tests.site.opening import open_page
from tests.site.project_copy import copy_project, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from sql_snippets.database.databases import Database
    from sql_snippets.model import Snippet

pytestmark = pytest.mark.usefixtures("no_drawing")

RUNBOOK = "operations/cron-reminder-runbook/"
RUNBOOK_FILE = ROOT / "docs" / "operations" / "cron-reminder-runbook.md"
HTML = "text/html"
NASTY = "Robin O'Hara '; drop table x; -- \\ \" <b> $1 $$ ü"


def _with_placeholders() -> list[Snippet]:
    return [s for s in read_page(RUNBOOK_FILE, load_site(ROOT)).snippets if describe(s.sql)]


def _shown(page: Page, snippet: Snippet) -> str:
    text: str = page.locator(f"[id='block-{snippet.section}-{snippet.name}'] pre > code").evaluate(
        "e => e.textContent"
    )
    return text.rstrip("\n")


def _type(page: Page, section: str, name: str, value: str) -> None:
    page.locator(f"[id='sql-fill-{section}-{name}']").fill(value)


def test_value_typed_once_stands_in_all_blocks_quoted_as_the_checks_do(
    page: Page, site: str
) -> None:
    open_page(page, site + RUNBOOK)
    known = _with_placeholders()
    assert len(known) >= 8
    for snippet in known:
        assert _shown(page, snippet) == snippet.sql.rstrip("\n")
    values = {"your_name": NASTY, "reason": "it's me", "assignment_id": "-8", "failures": "5"}
    _type(page, "trigger-a-run", "your_name", NASTY)
    _type(page, "change-the-schedule", "reason", "it's me")
    _type(page, "correct-one-assignment", "assignment_id", "-8")
    _type(page, "change-the-threshold", "failures", "5")
    for snippet in known:
        assert _shown(page, snippet) == fill(snippet.sql, values).sql.rstrip("\n"), snippet.id
    expect(page.locator("#sql-fill-enable-the-job-your_name")).to_have_value(NASTY)
    _type(page, "enable-the-job", "your_name", "")
    trigger = next(s for s in known if s.name == "trigger-run")
    assert "'<your_name>'" in _shown(page, trigger)


def test_space_around_a_value_is_no_part_of_it(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    known = {snippet.name: snippet for snippet in _with_placeholders()}
    _type(page, "change-the-threshold", "failures", "3 ")
    expect(page.locator("#sql-fill-change-the-threshold-failures-error")).to_be_empty()
    _type(page, "change-the-destination", "webhook_url", " https://hooks.example.org/1 ")
    _type(page, "trigger-a-run", "your_name", "  ")
    values = {"failures": "3", "webhook_url": "https://hooks.example.org/1"}
    for name in ("change-threshold", "set-webhook", "trigger-run"):
        assert _shown(page, known[name]) == fill(known[name].sql, values).sql.rstrip("\n")


def test_address_has_room_and_is_said_not_to_be_kept(browser: Browser, site: str) -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    open_page(phone, site + RUNBOOK)
    form = phone.locator(".sql-form", has=phone.locator("[name=webhook_url]"))
    expect(form).to_contain_text("is not kept")
    field, box = phone.locator("[name=webhook_url]").bounding_box(), form.bounding_box()
    assert field
    assert box
    assert field["width"] > 0.8 * box["width"]
    phone.close()


def test_copy_button_gives_the_filled_sql(context: BrowserContext, page: Page, site: str) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site)
    open_page(page, site + RUNBOOK)
    snippet = next(s for s in _with_placeholders() if s.name == "correct-one-assignment")
    values = {"assignment_id": "8", "new_date": "2026-11-01", "reason": "a'b", "your_name": NASTY}
    for name, value in values.items():
        _type(page, snippet.section, name, value)
    block = page.locator(f"[id='block-{snippet.section}-{snippet.name}']")
    block.locator("button[data-md-type=copy], .md-clipboard").first.click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip("\n") == fill(snippet.sql, values).sql.rstrip("\n")


def test_whoever_copies_a_block_is_told_what_is_missing(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    block = page.locator("#block-trigger-a-run-trigger-run")
    missing = block.locator(".sql-missing")
    expect(missing).to_be_hidden()
    block.locator("button[data-md-type=copy], .md-clipboard").first.click()
    expect(missing).to_have_text("Copied, but not filled in: your name, reason.")
    _type(page, "trigger-a-run", "your_name", NASTY)
    expect(missing).to_have_text("Copied, but not filled in: reason.")
    _type(page, "trigger-a-run", "reason", "it's me")
    expect(missing).to_be_hidden()
    _type(page, "trigger-a-run", "reason", "")
    expect(missing).to_be_hidden()


def test_only_a_number_stands_without_quotes(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    snippet = next(s for s in _with_placeholders() if s.name == "change-threshold")
    field = page.locator("#sql-fill-change-the-threshold-failures")
    error = page.locator("#sql-fill-change-the-threshold-failures-error")
    for value in ("abc", "1; drop table x", "1 2", "0x10", "٣", "--1"):
        _type(page, snippet.section, "failures", value)
        assert _shown(page, snippet) == snippet.sql.rstrip("\n"), value
        field.blur()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(error).to_have_text("Only a number can stand here.")
        field.fill("7")
        assert "= 7" in _shown(page, snippet), value
        expect(error).to_have_text("")


TYPED = [
    ("change-threshold", "failures", "1.5", "Only a whole number can stand here.", "7"),
    ("change-threshold", "failures", "true", "Only a whole number can stand here.", "+7"),
    ("correct-one-assignment", "assignment_id", "8.0", "Only a whole number can stand here.", "8"),
    ("correct-one-assignment", "new_date", "1.11.2026", "Only a day can stand here", "2026-11-01"),
    ("correct-one-assignment", "new_date", "2026-02-30", "Only a day can stand here", "2028-02-29"),
]


def test_value_is_of_the_type_that_the_database_has_told(
    page: Page, sql_database: Database, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    known = _with_placeholders()
    with sql_database.connect() as session:
        types = {
            each.id: [asdict(one) for one in ask_types(session, each, each.claims.fill)]
            for each in known
        }
    write_report(project, types)
    folder = tmp_path / "site"
    folder.mkdir()
    with serve_folder(folder) as address:
        build(folder, address, project=project)
        open_page(page, address + RUNBOOK)
        for block, name, wrong, why, right in TYPED:
            (snippet,) = [each for each in known if each.name == block]
            field = page.locator(f"#sql-fill-{snippet.section}-{name}")
            error = page.locator(f"#sql-fill-{snippet.section}-{name}-error")
            for value, said in ((wrong, why), (right, "")):
                field.fill("")
                field.press_sequentially(value)
                expect(error).to_be_empty()  # who is still typing is not corrected
                expect(field).to_have_attribute("aria-invalid", "false")
                field.blur()
                assert _shown(page, snippet) == (
                    snippet.sql if said else fill(snippet.sql, {name: value}).sql
                ).rstrip("\n")
                expect(error).to_contain_text(said) if said else expect(error).to_be_empty()
                expect(field).to_have_attribute("aria-invalid", str(bool(said)).lower())
            field.fill("")


KINDS = """\
select '<a>', E'<a>', "<a>", U&'<a>', $$<a>$$, <n> -- <a>
;
"""
SCRIPT = ROOT / "src/sql_snippets/site_assets/fill.js"
HOSTILE = (
    NASTY,
    "'",
    "''",
    "\\",
    "\\\\",
    "\\'",
    "a\\b\\c'd'e\"f\"g",
    "'; drop table a; drop table b; --'\\'\\",
    "$& $1 $$ $` $' $$$$",
    "<n>",
    "<a> <a>",
    "</code><script>throw 1</script>",
    "&lt;&amp;",
    "%s {0} {a}",
    "ü\u2028\N{PILE OF POO}",
)


def _alone(page: Page) -> None:
    """Serve a block to fill in and the script that fills it at every address of a host."""
    places = escape(json.dumps(describe(KINDS)))
    block = f'<div data-sql-fill="{places}"><pre><code>{escape(KINDS)}</code></pre></div>'
    script = SCRIPT.read_text(encoding="utf-8")
    html = f"<meta charset=utf-8><h2 id=kinds>Kinds</h2>{block}<script>{script}</script>"
    page.route("http://fill.test/**", lambda route: route.fulfill(body=html, content_type=HTML))


def test_every_kind_of_quote_follows_the_rule_of_the_checks(page: Page) -> None:
    _alone(page)
    page.goto("http://fill.test/")
    shown = page.locator("pre > code")
    for value in HOSTILE:
        _type(page, "kinds", "a", value)
        for number in ("-1.5e3", "+2", "7"):
            _type(page, "kinds", "n", number)
            wanted = fill(KINDS, {"a": value, "n": number}).sql
            assert shown.evaluate("e => e.textContent") == wanted, value


def test_value_is_of_its_own_page(page: Page) -> None:
    _alone(page)
    field = page.locator("#sql-fill-kinds-a")
    for path, typed in (("one/", "first"), ("two/", "second"), ("two/three/", "third")):
        page.goto(f"http://fill.test/{path}")
        expect(field).to_have_value("")
        field.fill(typed)
    for path, kept in (("one/", "first"), ("two/", "second"), ("two/three/", "third")):
        page.goto(f"http://fill.test/{path}")
        expect(field).to_have_value(kept)
        expect(page.locator("pre > code")).to_contain_text(f"'{kept}'")


def test_values_stay_in_the_tab_and_secrets_not_even_there(
    context: BrowserContext, page: Page, site: str
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url + str(request.post_data)))
    open_page(page, site + RUNBOOK)
    _type(page, "trigger-a-run", "your_name", "Unmistakable")
    _type(page, "change-the-destination", "webhook_url", "Secretive")
    kept = page.evaluate("JSON.stringify({...sessionStorage})")
    assert "Unmistakable" in kept
    assert "Secretive" not in kept
    assert "Unmistakable" not in page.evaluate(
        "JSON.stringify({...localStorage}) + document.cookie"
    )
    page.reload(wait_until="networkidle")
    expect(page.locator("#sql-fill-trigger-a-run-your_name")).to_have_value("Unmistakable")
    expect(page.locator("#sql-fill-change-the-destination-webhook_url")).to_have_value("")
    other = context.new_page()
    open_page(other, site + RUNBOOK)
    expect(other.locator("#sql-fill-trigger-a-run-your_name")).to_have_value("")
    assert not [url for url in asked if "Unmistakable" in url or "Secretive" in url]


def test_form_is_reached_and_named_by_the_keyboard(page: Page, site: str) -> None:
    open_page(page, site + RUNBOOK)
    forms = page.locator(".sql-form")
    sections = {snippet.section for snippet in _with_placeholders()}
    assert forms.count() == len(sections)
    form = forms.filter(has=page.get_by_label("new date"))
    form.get_by_label("assignment id").focus()
    page.keyboard.type("8")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("2026-11-01")
    expect(page.get_by_label("new date")).to_have_value("2026-11-01")
    assert page.get_by_role("group", name="Fill in once").count() == len(sections)


def test_blocks_are_as_written_without_javascript(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(site + RUNBOOK)
        assert page.locator(".sql-form").count() == 0
        for snippet in _with_placeholders():
            text = page.locator(f"[id='block-{snippet.section}-{snippet.name}']").inner_text()
            assert text.strip() == snippet.sql.strip()
    finally:
        context.close()
