"""Servers that tests of whole runs share: each run still gets clones of its own."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

# A run inside of this process forgets what it was the first to import, and what is then imported
# again is another module than the one that a test has changed.
import sql_snippets.checking
import sql_snippets.reading.pages  # noqa: F401 - see above
from sql_snippets.database import databases
from sql_snippets.pytest_plugin import opening
from tests.plugin.small_project import ADDOPTS, OUTSIDE, PROJECT, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sql_snippets.database.databases import Template
    from sql_snippets.database.recipes import Recipe


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    cache_dir = tmp_path_factory.mktemp("servers")
    opened: dict[tuple[str, str], Template] = {}
    with ExitStack() as stack:

        @contextmanager
        def open_template(choice: str, recipe: Recipe, **options: Any) -> Iterator[Template]:
            if choice not in {"embedded", "system"} or not recipe.is_known:
                with databases.open_template(choice, recipe, **options) as template:
                    yield template
                return
            key = choice, recipe.digest()
            if key not in opened:
                options["cache_dir"] = cache_dir
                opened[key] = stack.enter_context(
                    databases.open_template(choice, recipe, **options)
                )
            yield opened[key]

        yield open_template


@pytest.fixture
def shared_servers(_servers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process find the server of an earlier one with the same recipe."""
    assert sys.modules[opening.__name__] is opening, "runs would import another one, unchanged"
    monkeypatch.setattr(opening, "open_template", _servers)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a cache of prepared databases that all tests of whole runs use."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def empty_project(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    cache_dir: Path,
    shared_servers: None,  # noqa: ARG001 - what it does is all
) -> pytest.Pytester:
    """A folder with a site, its settings and no page yet; nothing of the outside reaches it."""
    monkeypatch.setenv("SQL_SNIPPETS_CACHE_DIR", str(cache_dir))
    monkeypatch.setenv("SQL_SNIPPETS_NO_CACHE", "true")
    monkeypatch.setenv("COLUMNS", "200")
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", ADDOPTS)
    write_files(pytester, PROJECT)
    return pytester
