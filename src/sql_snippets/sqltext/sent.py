"""What an editor sends for a block: one with a limit adds it to some."""

from __future__ import annotations

import re

_ENDS_A_STATEMENT = re.compile(r"[a-zA-Z]*[0-9]*;+")
_HAS_A_LIMIT = re.compile(
    r"fetch\s+first|limit;?$|limit [0-9]*(?: offset [0-9]*)?;?$", re.IGNORECASE
)


def added_limit(sql: str, limit: int | None) -> str:
    """Return what the editor adds to the text, if anything.

    It goes by the text alone: one statement that begins with ``select``, without ``--``, and with
    no limit at its end.  A semicolon in a string counts as one that ends a statement.
    """
    text = re.sub(r"\s+", " ", sql.strip())
    semicolon = text.rfind(";")
    several = len(_ENDS_A_STATEMENT.findall(text)) > 1 or 0 < semicolon != len(text) - 1
    if limit is None or several or "--" in text or not text.lower().startswith("select"):
        return ""
    return "" if _HAS_A_LIMIT.search(text) else f" limit {limit}"


def as_sent(sql: str, added: str) -> str:
    """Return the text with what the editor adds, before the semicolon at its very end."""
    if not added:
        return sql
    body = re.sub(r";+$", "", sql)
    if body == sql and sql.rstrip().endswith(";"):
        return sql
    return f"{body}{added};"
