"""What all tests of the project, and the blocks on its pages, may use."""

from __future__ import annotations

import datetime as dt
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = [
    "tests.sql_snippets.scenarios",
    "tests.sql_snippets.faults.reporting",
    "tests.sql_snippets.walks.reporting",
    "pytester",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of our own tests; only here are they known whatever is run."""
    parser.getgroup("lanes", "the two servers of the reminder system's tests").addoption(
        "--every-lane",
        action="store_true",
        help="run every test of tests/reminder_system on both servers. Without it, the machine's "
        "PostgreSQL is left out where the rules of registration, due dates, contact types, alerts "
        "and heartbeat are shown, which rest on our own tables alone (SAME_ON_BOTH in lanes.py)",
    )
    group = parser.getgroup("chaos", "faults at random points of the reminder run")
    group.addoption(
        "--chaos-seed", type=int, metavar="N", help="repeat the faults of this seed (default: any)"
    )
    group.addoption(
        "--chaos-rounds",
        type=int,
        metavar="N",
        help="as many rounds on each server, instead of as many as half a minute takes",
    )


# Longer than all but a few tests take.
_END_OF_DAY_SECONDS = 20
_SHARED_SITE = pytest.StashKey[Any]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Serve one folder for all workers: the first that needs the site builds it there."""
    from tests.site.shared_site import serve_site  # noqa: PLC0415 - only a run with workers needs it

    config: pytest.Config = node.config
    if _SHARED_SITE not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        config.stash[_SHARED_SITE] = stack.enter_context(serve_site())
    config.stash[_SHARED_SITE].send(node.workerinput)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it at the end."""
    items.sort(key=_haste)


# What takes a test long: a browser, a system with faults in it, whole runs of pytest.
_LONG = frozenset({"browser", "ground", "pytester"})


def _haste(item: pytest.Item) -> int:
    """Return the place in the order: what waits for the clock, what takes long, all else."""
    if item.get_closest_marker("slow"):
        return 0
    # The blocks of a page wait for its incidents most of their time.
    is_of_a_page = not isinstance(item, pytest.Function)
    return 1 if is_of_a_page or not _LONG.isdisjoint(getattr(item, "fixturenames", ())) else 2


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Wait out the end of a day: what a test did yesterday is not what it looks for today."""
    now = dt.datetime.now(dt.UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    left = (midnight - now).total_seconds()
    if left < _END_OF_DAY_SECONDS:
        time.sleep(left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that was skipped in CI: every part it could lack is installed there."""
    report = yield
    if report.skipped and os.environ.get("CI") and isinstance(item, pytest.Function):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, and nothing may be skipped in CI: {reason}"
    return report
