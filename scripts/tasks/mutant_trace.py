"""A pytest plugin that tells coverage.py which test runs, in this process and in those it starts.

Named by ``-p``, in a run that `mutant_lines.record` has started.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# What the configuration of coverage.py reads as the context of a process from its start.
VARIABLE = "MUTANT_TEST"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note down what runs from here on as run by this test, its fixtures included."""
    _switch_to(item.nodeid)
    try:
        return (yield)
    finally:
        _switch_to("")


def _switch_to(test: str) -> None:
    os.environ[VARIABLE] = test
    if current := coverage.Coverage.current():
        current.switch_context(test)
