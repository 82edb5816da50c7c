"""One simple-query message and everything the server answers to it.

psycopg's cursor stops at the first error and forgets the results before it, cannot be given a
deadline, and refuses COPY; the checks need all three, so this speaks to libpq through psycopg's
own wrapper.
"""

from __future__ import annotations

import select
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import DiagnosticField as Field
from psycopg.pq import ExecStatus

from sql_snippets.model import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGresult

CANCEL_SECONDS = 5.0
QUERY_CANCELED = "57014"
CONNECTION_FAILURE = "08006"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the results before the error, the error, the notices, the time.

    ``position`` of the error counts characters of the message from 0, where the server gave one.
    """

    results: tuple[PGresult, ...]
    error: ServerError | None
    notices: tuple[str, ...]
    seconds: float


def names_of(result: PGresult) -> tuple[str, ...]:
    """Return what the columns of a result are called."""
    return tuple((result.fname(column) or b"").decode() for column in range(result.nfields))


def rows_of(result: PGresult) -> tuple[tuple[str | None, ...], ...]:
    """Return the rows of a result in the server's own text form, ``None`` for null."""
    columns = range(result.nfields)
    return tuple(
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode()
            for column in columns
        )
        for row in range(result.ntuples)
    )


class _Overdue(Exception):  # noqa: N818 - a way out of the loop, no error
    pass


class _CopyAsked(Exception):  # noqa: N818 - a way out of the loop, no error
    pass


def send(
    connection: psycopg.Connection[tuple[object, ...]], sql: str, *, timeout: float | None = None
) -> Reply:
    """Send ``sql`` as one simple-query message and wait for all of its results.

    After ``timeout`` seconds the statement is cancelled on the server and the reply's error says
    so.  A connection that is lost is an error of the reply too, never a hang.
    """
    notices: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        notices.append(f"{diagnostic.severity}:  {diagnostic.message_primary}")

    results: list[PGresult] = []
    error: ServerError | None = None
    connection.add_notice_handler(note)
    began = time.monotonic()
    deadline = None if timeout is None else began + timeout
    try:
        with _nothing_left_running(connection):
            for result in _results(connection, sql, deadline):
                if result.status == ExecStatus.FATAL_ERROR:
                    error = _error(result)
                else:
                    results.append(result)
    except _Overdue:
        error = ServerError(
            QUERY_CANCELED,
            f"no answer within {timeout:g} s, so the statement was cancelled on the server",
            hint="Make the statement quicker, or raise sql_timeout.",
        )
    except _CopyAsked:
        error = ServerError(
            "0A000",
            "COPY from or to the client does not work in the SQL Editor",
            hint="Use insert or select.",
        )
    except psycopg.OperationalError as err:
        # A FATAL message of the server that came first says more than the closed socket.
        error = error or ServerError(CONNECTION_FAILURE, f"the connection was lost: {err}".strip())
    finally:
        seconds = time.monotonic() - began
        connection.remove_notice_handler(note)
    return Reply(tuple(results), error, tuple(notices), seconds)


def _results(
    connection: psycopg.Connection[tuple[object, ...]], sql: str, deadline: float | None
) -> Iterator[PGresult]:
    pgconn = connection.pgconn
    pgconn.send_query(sql.encode())
    while True:
        unsent = pgconn.flush()
        if not unsent and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                return
            if result.status in {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}:
                raise _CopyAsked
            yield result
            continue
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise _Overdue
        readable, _, _ = select.select([pgconn.socket], [pgconn.socket] if unsent else [], [], left)
        if readable:
            pgconn.consume_input()


@contextmanager
def _nothing_left_running(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """On the way out by an exception (Ctrl-C among them), cancel what still runs, then close."""
    try:
        yield
    except BaseException:
        try:
            connection.cancel_safe(timeout=CANCEL_SECONDS)
            _drain(connection, time.monotonic() + CANCEL_SECONDS)
        except (psycopg.Error, _Overdue):
            pass
        finally:
            connection.close()
        raise


def _drain(connection: psycopg.Connection[tuple[object, ...]], deadline: float) -> None:
    pgconn = connection.pgconn
    while True:
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                return
            if result.status in {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}:
                return
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Overdue
        if select.select([pgconn.socket], [], [], left)[0]:
            pgconn.consume_input()


def _error(result: PGresult) -> ServerError:
    def text(field: Field) -> str | None:
        value = result.error_field(field)
        return None if value is None else value.decode(errors="replace")

    position = text(Field.STATEMENT_POSITION)
    return ServerError(
        # A message that libpq made up itself (the server has gone) carries no SQLSTATE.
        sqlstate=text(Field.SQLSTATE) or CONNECTION_FAILURE,
        message=text(Field.MESSAGE_PRIMARY) or result.error_message.decode(errors="replace"),
        detail=text(Field.MESSAGE_DETAIL),
        hint=text(Field.MESSAGE_HINT),
        context=text(Field.CONTEXT),
        offset=int(position) - 1 if position else None,
    )
