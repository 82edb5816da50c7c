"""What one process of a run checks in: the template, its one shared clone, and its turn."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sql_snippets.database.keeping import identity, is_alive
from sql_snippets.database.reach import Definitions, read_definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Database, Template
    from sql_snippets.database.keeping import Keeper


class Workplace:
    """The databases of one process, opened when they are asked for and renewed when they died."""

    def __init__(self, keeper: Keeper, *, is_shared: bool) -> None:
        self.keeper = keeper
        self.is_shared = is_shared
        self._template: Template | None = None
        self._shared: Database | None = None
        self._definitions: Definitions | None = None
        self._open = ExitStack()
        self._turn = ExitStack()
        self._is_alone: bool | None = None

    @property
    def template(self) -> Template:
        """The template.  Raises what opening it raised."""
        if self._template is None:
            self._template = replace(self.keeper.get(), alone=self.alone)
        return self._template

    def open(self) -> None:
        """Open the template and the clone.  Raises what that raised."""
        _ = self.shared

    @property
    def shared(self) -> Database:
        """The one clone whose runs are rolled back."""
        if self._shared is None:
            self._shared = self._open.enter_context(self.template.clone())
        return self._shared

    @property
    def definitions(self) -> Definitions:
        """What the database is made of."""
        if self._definitions is None:
            self._definitions = read_definitions(self.shared)
        return self._definitions

    @property
    def opened(self) -> Template | None:
        """The template, if anything has asked for it."""
        return self._template

    def begin(self, text: str | None) -> None:
        """Wait for the turn that running ``text`` takes; many may hold one at once.

        What reaches further than its own database runs alone, as does what is not known (None).
        """
        if self._is_alone is not None or not self.is_shared:
            return
        # The look at the catalog is itself one of those that many may take.
        self._take(alone=False)
        try:
            confined = text is not None and self.definitions.is_confined(text)
        except BaseException:
            self.end()
            raise
        if not confined:
            self.end()
            self._take(alone=True)

    def end(self) -> None:
        """Give the turn back, if there is one."""
        self._is_alone = None
        self._turn.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be alone for a while, whatever turn is held."""
        if not self.is_shared:
            yield
            return
        held = self._is_alone
        if held is not True:
            self.end()
            self._take(alone=True)
        try:
            yield
        finally:
            if held is not True:
                self.end()
            if held is False:
                self._take(alone=False)

    @contextmanager
    def elsewhere(self, template: Template) -> Iterator[None]:
        """Check in another template of the same server for a while."""
        before = self._template, self._shared, self._definitions, self._open
        self._template, self._shared = replace(template, alone=self.alone), None
        try:
            with ExitStack() as self._open:
                yield
        finally:
            self._template, self._shared, self._definitions, self._open = before

    def has_died(self) -> bool:
        """Look whether the server is gone; if so, what is asked for next is on a new one."""
        template = self._template
        if template is None or is_alive(template):
            return False
        self._forget()
        # Its refusal is for the next caller, not for this one, who asks whether the old one lives.
        with suppress(Exception):
            self.keeper.get(identity(template))
        return True

    def close(self) -> None:
        """Drop what is ours."""
        self._forget()
        self.end()
        self.keeper.close()

    def _take(self, *, alone: bool) -> None:
        self._turn.enter_context(self.keeper.turn(alone=alone))
        self._is_alone = alone

    def _forget(self) -> None:
        self._template = self._shared = self._definitions = None
        self._open.close()
