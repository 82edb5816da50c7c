"""Run the SQL blocks of a MkDocs site and check what the page says about them."""

from sql_snippets.model import Scenario

__all__ = ["Scenario"]
