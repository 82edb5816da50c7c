"""A real browser on the built site.  A machine without one skips these tests; CI may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from scripts.tasks.common import is_ci
from scripts.tasks.local_site import BROWSER_ARGUMENTS, build, find_chromium, serve_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

DESKTOP = (1280, 800)
# Milliseconds: a machine that builds and checks at the same time is slow to paint.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the site, built as it is published, and give its address."""
    folder: Path = tmp_path_factory.mktemp("site")
    with serve_folder(folder) as address:
        build(folder, address)
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        if is_ci():
            pytest.fail("CI is set and Chromium is not installed: run .ci/run")
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    # Chromium keeps its profile below HOME, which another user's may be.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=list(BROWSER_ARGUMENTS), env=dict(os.environ)
        )
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    width, height = DESKTOP
    made = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
