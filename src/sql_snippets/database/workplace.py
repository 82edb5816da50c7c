"""What one process of a run checks in, and its turn to do so."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sql_snippets.database.ground import Ground
from sql_snippets.database.keeping import identity, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Template
    from sql_snippets.database.keeping import Keeper


class Workplace:
    """The databases of one process, opened when they are asked for and renewed when they died."""

    def __init__(self, keeper: Keeper, *, is_shared: bool) -> None:
        self.keeper = keeper
        self.is_shared = is_shared
        self._ground: Ground | None = None
        self._turn = ExitStack()
        self._is_alone: bool | None = None

    @property
    def ground(self) -> Ground:
        """The template and its shared clone.  Raises what opening the template raised."""
        if self._ground is None:
            self._ground = self.elsewhere(self.keeper.get())
        return self._ground

    def elsewhere(self, template: Template) -> Ground:
        """Return another template of the same server to run in, to be closed by the caller."""
        return Ground(replace(template, alone=self.alone))

    @property
    def opened(self) -> Template | None:
        """The template, if anything has asked for it."""
        return self._ground.template if self._ground is not None else None

    def begin(self, text: str | None) -> None:
        """Wait for the turn that running ``text`` takes; many may hold one at once.

        What reaches further than its own database runs alone, as does what is not known (None).
        """
        if self._is_alone is not None or not self.is_shared:
            return
        # The look at the catalog is itself one of those that many may take.
        self._take(alone=False)
        try:
            confined = text is not None and self.ground.definitions.is_confined(text)
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

    def has_died(self) -> bool:
        """Look whether the server is gone; if so, what is asked for next is on a new one."""
        template = self.opened
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
        ground, self._ground = self._ground, None
        if ground is not None:
            ground.close()
