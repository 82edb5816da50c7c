"""A real browser on the built site.  A machine without one skips these tests; CI may not."""

from __future__ import annotations

import os
import zipfile
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from scripts.tasks.common import is_ci
from scripts.tasks.local_site import BROWSER_ARGUMENTS, build, find_chromium, serve_folder
from scripts.tasks.offline import FOLDER, pack
from tests.site.project_copy import copy_project, write_report
from tests.site.shared_site import Site, sent_site, serve_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

DESKTOP = (1280, 800)
# Milliseconds, for whatever is waited for: a busy machine is slow to paint and is no failure.
PATIENCE = 180_000
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def built_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site, built as it is published, and served; nobody may change it."""
    workerinput = getattr(request.config, "workerinput", None)
    with serve_site() if workerinput is None else nullcontext(sent_site(workerinput)) as shared:
        shared.build_once()
        yield shared


@pytest.fixture(scope="session")
def site(built_site: Site) -> str:
    """The address of the site."""
    return built_site.address


@pytest.fixture(scope="session")
def site_without_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the site as who does not know its address builds it: without instant navigation.

    It has the stamps of a run that passed everything.
    """
    folder: Path = tmp_path_factory.mktemp("site-without-address")
    project = copy_project(tmp_path_factory.mktemp("project-without-address") / "project")
    write_report(project)
    build(folder, "", project=project)
    with serve_folder(folder) as address:
        yield address


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as somebody has it who unpacked the archive."""
    folder = tmp_path_factory.mktemp("offline")
    built = folder / "built"
    built.mkdir()
    build(built, "", extra={"OFFLINE": "true"})
    pack(built, folder / "site.zip")
    with zipfile.ZipFile(folder / "site.zip") as archive:
        archive.extractall(folder)
    return folder / FOLDER


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        if is_ci():
            pytest.fail("CI is set and Chromium is not installed: run .ci/run")
        pytest.skip("Chromium is not installed (Debian: apt install chromium-headless-shell)")
    # Chromium keeps its profile below HOME, which another user's may be.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=list(BROWSER_ARGUMENTS), env=dict(os.environ)
        )
        launched.on("context", lambda made: made.set_default_timeout(PATIENCE))
        yield launched
        launched.close()


# As large as the real drawing, of which nothing is shown.
_NO_DRAWING = """window.mermaid = {
    initialize() {},
    render: async () => ({svg: '<svg viewBox="0 0 508 900" width="508" height="900"></svg>'}),
}"""


@pytest.fixture
def no_drawing(browser: Browser) -> Iterator[None]:
    """Pages leave out drawing their diagram, which takes a third of the time they take to load."""

    def leave_out(made: BrowserContext) -> None:
        made.route("**/mermaid.min.js", lambda route: route.fulfill(body=_NO_DRAWING))

    browser.on("context", leave_out)
    yield
    browser.remove_listener("context", leave_out)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    width, height = DESKTOP
    made = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
