"""What the page says and is not so: raised by an item, drawn on the author's own lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy
import pytest
from _pytest._code.code import (
    ReprEntryNative,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTraceback,
    TerminalRepr,
    Traceback,
)

from sql_snippets.model import Failure, Location
from sql_snippets.results.diagnostics import draw_failure
from sql_snippets.servers.server import is_of_the_server

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_OF_THE_PROJECT = (
    str(Path(pytest.__file__).parents[1] / "_pytest"),
    str(Path(pluggy.__file__).parent),
    str(Path(__file__).parent),
)


class ClaimsFailed(Exception):  # noqa: N818 - it says what happened to the item, as pytest's do
    """What the page says is not what the run gave, and since which ``migration``, if looked for."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("; ".join(str(failure.message) for failure in failures))
        self.failures = tuple(failures)
        self.migration: str | None = None


def failures_of(error: BaseException, place: Location) -> tuple[Failure, ...]:
    """Return what is wrong, empty when the error is none of the page's or the server's."""
    if isinstance(error, ClaimsFailed):
        return error.failures
    if is_of_the_server(error):
        return (Failure(place, str(error).strip()),)
    return ()


def drawn(failures: Sequence[Failure], root: Path, ways_on: str) -> TerminalRepr:
    """Draw failures, the first of them as the headline, and what to do next."""
    text = "\n\n".join(draw_failure(root, failure) for failure in failures)
    place = failures[0].location
    code = f"[{failures[0].sqlstate}]" if failures[0].sqlstate else ""
    headline = failures[0].message.partition("\n")[0]
    crash = ReprFileLocation(place.path, place.line, f"{place}: error{code}: {headline}")
    entry = ReprEntryNative([f"{text}\n\n{ways_on}\n"])
    return ReprExceptionInfo(ReprTraceback([entry], None, "native"), crash)


def frames_of_the_project(excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
    """Leave out pytest's own frames and ours, as pytest does for functions."""
    shown = excinfo.traceback.filter(
        lambda entry: not str(entry.path).startswith(_NOT_OF_THE_PROJECT)
    )
    return shown or excinfo.traceback
