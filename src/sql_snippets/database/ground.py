"""The databases of one template that blocks are run in."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Self

from sql_snippets.database.reach import Definitions, read_definitions

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database, Template
    from sql_snippets.model import Scenario

# A seed counts its times from the moment at which the clone is made, and they get old.
FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that was produced, and the database that has it."""

    database: Database
    scenario: Scenario


class Ground:
    """A template, and one clone of it that is made when it is asked for."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._shared: Database | None = None
        self._made_at = 0.0
        self._definitions: Definitions | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shared(self) -> Database:
        """The one clone whose runs are rolled back.  Raises what making it raised."""
        if self._shared is None:
            self._made_at = monotonic()
            self._shared = self._open.enter_context(self.template.clone())
        return self._shared

    def renew(self) -> None:
        """Drop the clone if it is older than ``FRESH_SECONDS``: its next use makes another."""
        if self._shared is not None and monotonic() - self._made_at > FRESH_SECONDS:
            self.close()

    @property
    def definitions(self) -> Definitions:
        """What the database is made of."""
        if self._definitions is None:
            self._definitions = read_definitions(self.shared)
        return self._definitions

    def close(self) -> None:
        """Drop the clone."""
        self._shared = None
        self._open.close()
