"""What one run of pytest shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from sql_snippets.database.databases import Template
    from sql_snippets.database.keeping import Broker
    from sql_snippets.database.workplace import Workplace
    from sql_snippets.model import Failure
    from sql_snippets.reading.site import Site
    from sql_snippets.results.report import Entry, RanOn
    from sql_snippets.results.rewrite import Edit
    from sql_snippets.results.verdicts import Kept, Verdicts
    from sql_snippets.settings import Settings

ATTRIBUTE = "sql_snippets"
"""What is called so is ours: on a report, and in what xdist gives a worker."""


@dataclass(slots=True)
class Run:
    """The state of a run: its settings, its pages as collected, and what its items gave.

    Under xdist the controller has the results and the workers have the pages; a worker knows the
    ``address`` of the controller's server.
    """

    settings: Settings
    verdicts: Verdicts
    address: tuple[int, str] | None = None
    broker: Broker | None = None
    server_key: str | None = None
    python_digests: dict[tuple[Path, ...], str] = field(default_factory=dict)
    new_verdicts: dict[str, Kept] = field(default_factory=dict)
    cached: int = 0
    blames_left: int = 3
    sites: dict[Path, Site] = field(default_factory=dict)
    pages: list[pytest.File] = field(default_factory=list)
    blocks: int = 0
    ran_on: RanOn | None = None
    database_error: str | None = None
    digests: dict[Path, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    edits: dict[tuple[Path, int, int], Edit] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    _workplace: Workplace | None = None

    @property
    def workplace(self) -> Workplace:
        """The databases of this process."""
        if self._workplace is None:
            # A run in which nothing has to be run does without all that runs.
            from sql_snippets.pytest_plugin.opening import make_workplace  # noqa: PLC0415 - as said

            self._workplace = make_workplace(self.settings, self.address)
        return self._workplace

    @property
    def opened(self) -> Template | None:
        """The template, if anything has asked for it."""
        return self._workplace.opened if self._workplace is not None else None

    def end_turn(self) -> None:
        """Give the turn back, if one was taken."""
        if self._workplace is not None:
            self._workplace.end()

    def end(self) -> None:
        """End what was started."""
        if self.broker is not None:
            self.broker.close()
            self.broker = None
        if self._workplace is not None:
            self._workplace.close()


RUN = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    """Return the state of the run."""
    return config.stash[RUN]
