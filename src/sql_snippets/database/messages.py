"""One simple-query message and everything the server answers to it.

psycopg's cursor stops at the first error and forgets the results before it, cannot be given a
deadline, and refuses COPY; the checks need all three, so this speaks to libpq through psycopg's
own wrapper.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import psycopg
from psycopg.pq import DiagnosticField as Field
from psycopg.pq import ExecStatus

from sql_snippets.model import QUERY_CANCELED, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGresult

CANCEL_SECONDS = 5.0
# More rows than anyone shows are decoded when somebody looks at them, one by one.
_AT_ONCE = 1000
_MOST_NOTICES = 1000
CONNECTION_FAILURE = "08006"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the results before the error, the error, the first notices, the time.

    ``position`` of the error counts characters of the message from 0, where the server gave one.
    ``encoding`` is that of the session after the message.
    """

    results: tuple[PGresult, ...]
    error: ServerError | None
    notices: tuple[str, ...]
    seconds: float
    encoding: str = "utf-8"


Row = tuple["str | None", ...]


def names_of(result: PGresult, encoding: str = "utf-8") -> tuple[str, ...]:
    """Return what the columns of a result are called."""
    return tuple(_text(result.fname(column) or b"", encoding) for column in range(result.nfields))


def rows_of(result: PGresult, encoding: str = "utf-8") -> Sequence[Row]:
    """Return the rows of a result in the server's own text form, ``None`` for null."""
    rows = _Rows(result, range(result.ntuples), encoding)
    return rows if len(rows) > _AT_ONCE else tuple(rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows(Sequence[Row]):
    """Rows that are decoded when they are looked at: of a million, hardly any ever is."""

    result: PGresult
    numbers: range
    encoding: str

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return _Rows(self.result, self.numbers[index], self.encoding)
        number, result = self.numbers[index], self.result
        values = (result.get_value(number, column) for column in range(result.nfields))
        return tuple(None if value is None else _text(value, self.encoding) for value in values)


def _text(value: bytes, encoding: str) -> str:
    """Decode a text of the server's; one that came before the encoding was changed is UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode(encoding, errors="replace")


def _encoding_of(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Return what a session's texts are written in, which a block may have changed."""
    try:
        return "utf-8" if connection.closed else connection.info.encoding
    except psycopg.Error:  # one that Python does not know
        return "utf-8"


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
        if len(notices) < _MOST_NOTICES:
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
    return Reply(tuple(results), error, tuple(notices), seconds, _encoding_of(connection))


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
