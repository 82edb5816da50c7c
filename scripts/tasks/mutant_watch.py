"""A pytest plugin that writes down how far a run has come, for whoever may have to end it.

Named by ``-p``; the file is given by an environment variable, and each line of it is one event.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

VARIABLE = "MUTANT_EVENTS"
_LONGEST_REASON = 2000


def _write(event: str, test: str, reason: str = "") -> None:
    line = json.dumps({"event": event, "test": test, "reason": reason, "at": time.time()})
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as events:
        events.write(f"{line}\n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Keep the order of the command line: the first server before the second, what waits last."""
    yield
    places = {argument: place for place, argument in enumerate(config.args)}

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        callspec = getattr(item, "callspec", None)
        second = callspec is not None and callspec.params.get("template") == "system"
        file = item.nodeid.partition("::")[0]
        named = places.get(item.nodeid, places.get(file, len(places)))
        return (item.get_closest_marker("slow") is not None, second, named)

    items.sort(key=place)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Say which test has begun."""
    _write("began", nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say which test has failed, and with what."""
    if report.failed:
        _write("failed", report.nodeid, f"{report.when}: {report.longreprtext[-_LONGEST_REASON:]}")


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Say which test has ended."""
    _write("ended", nodeid)
