"""Run the SQL blocks of a MkDocs site and check what the page says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.model import Scenario

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database
else:

    def __getattr__(name: str) -> object:
        """Import the database when it is asked for: what runs nothing does without psycopg."""
        if name == "Database":
            from sql_snippets.database.databases import Database  # noqa: PLC0415 - see above

            return Database
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Database", "Scenario"]
