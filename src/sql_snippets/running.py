"""Running one block as the Supabase SQL Editor runs it, and as cheaply as is still correct."""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from sql_snippets import messages
from sql_snippets.building import start_of_statement
from sql_snippets.databases import Database
from sql_snippets.model import Column, Outcome

APPLICATION_NAME = "supabase/dashboard-query-editor"
READ_ONLY = "-c default_transaction_read_only=on"

_FIRST_USER_OID = 16384
_builtin_types: dict[tuple[int, int, int], str] = {}


def run_as_editor(
    database: Database,
    sql: str,
    *,
    role: str,
    timeout: float = 30.0,
    read_only: bool = False,
) -> Outcome:
    """Run ``sql`` as one simple-query message in a session of its own, outside any transaction.

    After ``timeout`` seconds it is cancelled on the server; the outcome's error says so.
    Raises ServerUnavailable when the role cannot log in.
    """
    with _session(database, role, read_only=read_only) as connection:
        reply = messages.send(connection, sql, timeout=timeout)
        return _outcome(connection, sql, reply, "clone")


def _session(
    database: Database, role: str, *, read_only: bool
) -> psycopg.Connection[tuple[object, ...]]:
    return database.connect(role, APPLICATION_NAME, options=READ_ONLY if read_only else "")


def _outcome(
    connection: psycopg.Connection[tuple[object, ...]],
    sql: str,
    reply: messages.Reply,
    isolation: str,
) -> Outcome:
    error = reply.error
    if error is not None and error.offset is None:
        error = replace(error, offset=start_of_statement(sql, len(reply.results)))
    with_rows = [r for r in reply.results if r.status == ExecStatus.TUPLES_OK]
    shown = with_rows[-1] if with_rows and error is None else None
    last = reply.results[-1] if reply.results else None
    return Outcome(
        columns=None if shown is None else _columns(connection, shown),
        rows=() if shown is None else _rows(shown),
        tag=(last.command_status or b"").decode() if last is not None else "",
        error=error,
        notices=reply.notices,
        seconds=reply.seconds,
        isolation=isolation,
    )


def _rows(result: PGresult) -> tuple[tuple[str | None, ...], ...]:
    columns = range(result.nfields)
    return tuple(
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode()
            for column in columns
        )
        for row in range(result.ntuples)
    )


def _columns(
    connection: psycopg.Connection[tuple[object, ...]], result: PGresult
) -> tuple[Column, ...]:
    version = connection.pgconn.server_version
    keys = [(version, result.ftype(i), result.fmod(i)) for i in range(result.nfields)]
    names = {key: _builtin_types[key] for key in keys if key in _builtin_types}
    missing = sorted({key for key in keys if key not in names})
    if missing:
        # In the session itself: it alone sees the types that its open transaction has made.
        found = connection.execute(
            "select format_type(oid, modifier) from unnest(%s::oid[], %s::int[]) "
            "with ordinality as wanted(oid, modifier, place) order by place",
            ([oid for _, oid, _ in missing], [modifier for _, _, modifier in missing]),
        ).fetchall()
        names.update(zip(missing, (str(row[0]) for row in found), strict=True))
        _builtin_types.update(
            (key, name) for key, name in names.items() if key[1] < _FIRST_USER_OID
        )
    return tuple(
        Column((result.fname(i) or b"").decode(), names[key]) for i, key in enumerate(keys)
    )
