"""What came back from one block, as its reader sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one block."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    tag: str = ""
    sqlstate: str = ""
    message: str = ""
    notices: tuple[str, ...] = ()
    is_silent: bool = False
    # The day on which it came, for words such as "today".
    day: str = ""

    @property
    def is_error(self) -> bool:
        return bool(self.sqlstate) and not self.is_silent

    @property
    def has_rows(self) -> bool:
        """Whether it could have had rows: a set of columns came back."""
        return bool(self.columns)

    def column(self, name: str) -> int | None:
        return self.columns.index(name) if name in self.columns else None
