"""The options and ini settings that pytest is told of, and what a run makes of them."""

from __future__ import annotations

import os

import pytest

from sql_snippets.profiles import PROFILES
from sql_snippets.settings import Settings, SettingsError, decide

_INI = {
    "server": "where SQL blocks run: embedded (default), system, or the URL of a server",
    "platform": "folder of SQL files run first, as the superuser: what the platform provides",
    "migrations": (
        "what makes the documented schema: a folder of SQL files, run in name order; or "
        "`run: COMMAND`, such as `run: alembic upgrade head`, which finds an empty database in "
        "DATABASE_URL and PGHOST, PGPORT, PGUSER, PGDATABASE. A second line `files: PATTERN ...` "
        "names what the command reads, so that its result can be cached until that changes"
    ),
    "seed": "SQL file run after the migrations",
    "role": "the role that readers of the pages have (default: postgres)",
    "timeout": "seconds after which a block is cancelled on the server (default: 30)",
    "profile": f"the platform that the pages' readers work on: {' (default), '.join(PROFILES)}",
    "effects": "lines `schema.relation = effect`: queues, and what a row in each one orders",
    "identifiers": "which inline code must name database objects: qualified (default), all, off",
    "mkdocs": "mkdocs.yml of each site whose pages are not in its folder or below it",
    "cache_dir": "folder for prepared servers (default: sql-snippets in the user's cache folder)",
}
_OPTIONS = ("server", "allow_remote_server", "report", "update", "no_cache", "no_blame")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; `settings.decide` says which of several places wins."""
    group = parser.getgroup("sql-snippets", "SQL blocks on Markdown pages")
    group.addoption(
        "--sql-server",
        metavar="SERVER",
        help="where SQL blocks run: embedded (default), system, or the URL of a server",
    )
    group.addoption(
        "--sql-allow-remote-server",
        action="store_true",
        help="accept a server URL that is not on this machine; databases are created there",
    )
    group.addoption(
        "--sql-report", metavar="FILE", help="write what was run, and the verdicts, as JSON"
    )
    group.addoption(
        "--sql-update",
        action="store_true",
        help="CHANGES PAGES IN PLACE: replace wrong output, cells and facts by what is true",
    )
    group.addoption(
        "--sql-no-cache",
        action="store_true",
        help="also run what passed within the last day and has not changed since",
    )
    group.addoption(
        "--sql-no-blame",
        action="store_true",
        help="do not look for the migration that broke a block",
    )
    group.addoption(
        "--sql-mutate",
        action="store_true",
        help="break the database on purpose instead, and list the blocks that do not notice",
    )
    group.addoption(
        "--sql-mutation-seed", type=int, metavar="N", help="repeat the mutation run with this seed"
    )
    group.addoption(
        "--sql-mutation-tries",
        type=int,
        default=12,
        metavar="N",
        help="maximum number of tries per block (default: 12)",
    )
    group.addoption(
        "--sql-mutation-threshold",
        type=float,
        default=90.0,
        metavar="PERCENT",
        help="fail if fewer of a page's blocks notice than this (default: 90)",
    )
    for name, text in _INI.items():
        parser.addini(f"sql_{name}", text, default="")


def settings_from(config: pytest.Config) -> Settings:
    """Return the settings of a run; a value that cannot be used ends it."""
    try:
        return decide(
            config.rootpath,
            command_line={name: config.getoption(f"sql_{name}") for name in _OPTIONS},
            environment=os.environ,
            ini={name: config.getini(f"sql_{name}") for name in _INI},
        )
    except SettingsError as err:
        raise pytest.UsageError(str(err)) from None
