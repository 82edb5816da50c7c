"""The system to touch: an incident is put in, the page is followed, and health turns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from playwright.sync_api import expect

from scripts.tasks.common import ROOT
from scripts.tasks.trial import running_trial
from scripts.tasks.trial_page import serving
from tests.reminder_system.lanes import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

# Milliseconds, on a machine that may be busy with other tests.
LONG = 240_000


@pytest.fixture(scope="module", params=["embedded", "system"])
def trial(request: pytest.FixtureRequest, site: str) -> Iterator[str]:
    with running_trial(request.param, cache_dir()) as trial, serving(trial, site) as address:
        yield address


def _bad(page: Page) -> list[str]:
    return page.locator("#health tr.bad td:first-child").all_text_contents()


def _run(page: Page, sql: str) -> None:
    """Send a block as the SQL Editor does, by the connection that the page shows."""
    shown = re.search(r"'(.*)'", page.locator("#psql").inner_text())
    assert shown
    with psycopg.connect(shown[1], autocommit=True) as session:
        session.execute(sql.encode())


def test_incident_is_put_in_and_resolved_by_the_page(page: Page, trial: str) -> None:
    page.goto(trial)
    rows = page.locator("#health tr")
    expect(rows).to_have_count(13, timeout=LONG)
    assert _bad(page) == []
    messages = page.locator("#messages")
    expect(messages).to_contain_text("Nothing is wrong")
    expect(messages).to_contain_text("heartbeat")

    page.get_by_role("button", name="hook disabled").click()
    expect(page.locator("#title")).to_have_text("hook disabled", timeout=LONG)
    row = rows.filter(has_text="contact dates")
    expect(row).to_have_class("bad", timeout=LONG)
    # A second one would hide the first.
    page.get_by_role("button", name="stuck lock").click()
    expect(page.locator("#said")).to_contain_text("start over first", timeout=LONG)

    with page.expect_popup() as opened:
        row.get_by_role("link").click()
    runbook = opened.value
    assert runbook.url.endswith("#reminders-after-contact")
    block = runbook.locator("#block-reminders-after-contact-resolve-stale-contact code")
    _run(page, str(block.text_content()))
    expect(row).not_to_have_class("bad", timeout=LONG)
    runbook.close()


def test_alert_is_seen_to_come(page: Page, trial: str) -> None:
    page.goto(trial)
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="missed run").click(timeout=LONG)
    expect(page.locator("#title")).to_have_text("missed run", timeout=LONG)
    expect(page.locator("#health tr.bad").filter(has_text="jobs")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Start over").click(timeout=LONG)
    page.get_by_role("button", name="failing job").click(timeout=LONG)
    expect(page.locator("#title")).to_have_text("failing job", timeout=LONG)
    page.get_by_role("button", name="Fire the watchdog now").click(timeout=LONG)
    expect(page.locator("#messages")).to_contain_text("3 times in a row", timeout=LONG)


def test_drawn_fault_is_told_only_to_who_gives_up(page: Page, trial: str) -> None:
    page.goto(trial)
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="Any fault of the catalogue").click(timeout=LONG)
    expect(page.locator("#title")).to_have_text("a fault from the catalogue", timeout=LONG)
    told = page.locator("#secret pre")
    expect(told).to_be_hidden()
    page.locator("#secret summary").click()
    expect(told).to_be_visible()
    assert told.inner_text()


def test_nobody_else_steers_it(page: Page, trial: str) -> None:
    name = trial.replace("127.0.0.1", "localhost")
    assert page.request.get(name).status == 403
    page.goto("about:blank")
    sent = page.evaluate(
        """async (address) => {
            const answer = await fetch(address + "fault", {
                method: "POST", headers: {"X-Trial": "1"}}).catch((error) => error.name)
            await fetch(address + "fault", {method: "POST", mode: "no-cors"}).catch(() => null)
            return answer
        }""",
        trial,
    )
    assert sent == "TypeError"
    page.goto(trial)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#health tr")).to_have_count(13, timeout=LONG)
    expect(page.locator("#wrong")).to_be_hidden()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_leaves_nothing_behind(
    tmp_path_factory: pytest.TempPathFactory, how: signal.Signals
) -> None:
    folder = tmp_path_factory.mktemp("t")
    program = [sys.executable, "-m", "scripts.tasks.trial_page", "0", "embedded"]
    with subprocess.Popen(
        program,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = next(line for line in process.stdout if "Open http://" in line)
        assert "Ctrl-C ends it" in said
        process.send_signal(how)
        assert process.wait(240) == 130
    assert list(folder.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
