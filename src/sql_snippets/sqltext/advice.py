"""What an author can do about an error of the server, where its own words do not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sql_snippets.sqltext.lexer import statements

if TYPE_CHECKING:
    from sql_snippets.model import ServerError

_DENIED = "42501"
# What cannot run in a transaction, and a new value of an enum that is used in the same one.
_IN_TRANSACTION = frozenset({"25001", "55P04"})
_MISSING_EXTENSION = re.compile(
    r'extension "(?P<name>[^"]+)" is not available|could not open extension control file '
    r'"[^"]*/(?P<file>[^"/]+)\.control"'
)
_MISSING_PART = re.compile(r'(?P<what>role|schema|extension) "(?P<name>[^"]+)" does not exist')
_COMMAND = re.compile(r"\\(?:\w+|[?!])")
_PROMPT = re.compile(r"^\s*(?P<prompt>\w+[=\-('\"][#>])\s", re.MULTILINE)


def for_block(error: ServerError, sql: str, role: str | None) -> str | None:
    """Return what helps where a block of a page failed; ``role`` is the one that it names."""
    if missing := _missing_extension(error):
        return missing
    if error.sqlstate == _DENIED:
        way = "let role=NAME above it name one that has" if role is None else "grant it"
        return f"the role that ran it lacks the right: {way}"
    if error.sqlstate in _IN_TRANSACTION and len(statements(sql)) > 1:
        return (
            "psql would send these statements one by one; the SQL Editor sends a block as one "
            "message, which is one transaction. Give this statement a block of its own"
        )
    return _only_psql(error, sql)


def for_file(error: ServerError, role: str | None) -> str | None:
    """Return what helps where a file of the database failed.

    ``role`` is the one that it runs as, None for the superuser of platform files.
    """
    if missing := _missing_extension(error):
        return missing
    if role is None:
        return None
    if error.sqlstate == _DENIED:
        return (
            f"It runs as the role {role}, which the setting sql_role names and which is no "
            "superuser. What only a superuser may do stands in a file of the folder that the "
            "setting sql_platform names; those run first."
        )
    if part := _MISSING_PART.search(error.message):
        return (
            f"If the hosting platform brings the {part['what']} {part['name']}, make it in a file "
            "of the folder that the setting sql_platform names; those run first, as a superuser."
        )
    return None


def _missing_extension(error: ServerError) -> str | None:
    match = _MISSING_EXTENSION.search(error.message)
    if match is None:
        return None
    name = match["name"] or match["file"]
    return (
        f"The server of the checks does not have the extension {name}. Name one that has it: "
        "--sql-server system with the package of the extension installed, or --sql-server URL."
    )


def _only_psql(error: ServerError, sql: str) -> str | None:
    """Return what a reader of psql wrote that no server understands, if that is what failed."""
    if error.sqlstate != "42601" or error.offset is None:
        return None
    if command := _COMMAND.match(sql, error.offset):
        return f"{command[0]} is a command of psql, which only psql understands: write it as SQL"
    line = sql[sql.rfind("\n", 0, error.offset) + 1 :].partition("\n")[0]
    if prompt := _PROMPT.match(line):
        return f"{prompt['prompt']} is a prompt of psql: leave it out, as readers copy it too"
    return None
