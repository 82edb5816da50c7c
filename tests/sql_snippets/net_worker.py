"""The part of pg_net that plain SQL cannot stand in for: the worker that sends the requests.

It does what the extension's background worker does, in the same order and transactions: it takes
up to 200 queued rows, sends them at the same time, and writes every answer; the rows are gone and
the answers visible when the slowest request of the batch has ended, together.
"""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from ssl import SSLCertVerificationError, SSLError
from typing import IO, TYPE_CHECKING, Any, Protocol

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from http.client import HTTPMessage

    import psycopg

APPLICATION_NAME = "pg_net 0.20 (stand-in)"
BATCH_SIZE = 200
TTL = "6 hours"

_POLL_SECONDS = 0.1
_TAKE = """
with taken as (select id from net.http_request_queue order by id limit %s)
delete from net.http_request_queue q
using taken
where q.id = taken.id
returning q.id, q.method, q.url, q.timeout_milliseconds, q.headers, q.body
"""
_EXPIRE = """
with expired as (
  select ctid from net._http_response where created < now() - %s::interval order by created limit %s
)
delete from net._http_response r using expired where r.ctid = expired.ctid
"""
_ANSWER = """
insert into net._http_response
  (id, status_code, content, headers, content_type, timed_out, error_msg)
values (%s, %s, %s, %s, %s, %s, %s)
"""
# What libcurl says, most specific first.
_CURL_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "Couldn't resolve host name"),
    (SSLCertVerificationError, "SSL peer certificate or SSH remote key was not OK"),
    (SSLError, "SSL connect error"),
    (ConnectionRefusedError, "Couldn't connect to server"),
)


class Connectable(Protocol):
    """A database that a worker can log in to, as the role the settings of Supabase name."""

    def connect(self, role: str | None = ..., application_name: str = ...) -> psycopg.Connection:
        """Log in."""


@dataclass(frozen=True, slots=True)
class _Response:
    status_code: int | None = None
    content: str | None = None
    headers: dict[str, str] | None = None
    timed_out: bool = False
    error_msg: str | None = None

    @property
    def content_type(self) -> str | None:
        names = {name.lower(): value for name, value in (self.headers or {}).items()}
        return names.get("content-type")


@dataclass(slots=True)
class NetWorker:
    """The worker thread's way to tell what it has done."""

    sent: int = 0
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, connection: psycopg.Connection[Any]) -> None:
        try:
            with ThreadPoolExecutor(max_workers=16, thread_name_prefix="pg_net") as pool:
                connection.execute("listen pg_net_wake")
                while not self._stop.is_set():
                    if self.one_batch(connection, pool):
                        continue
                    # A wake-up ends the wait; a row inserted without one is found by polling.
                    for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                        pass
        except BaseException as err:  # noqa: BLE001 - handed over to the thread that waits for us
            self.failure = err
        finally:
            connection.close()

    def stop(self) -> None:
        self._stop.set()

    def one_batch(self, connection: psycopg.Connection[Any], pool: ThreadPoolExecutor) -> int:
        """Send what is queued now, write the answers, and return how many there were."""
        with connection.transaction():
            connection.execute(_EXPIRE, (TTL, BATCH_SIZE))
            rows = connection.execute(_TAKE, (BATCH_SIZE,)).fetchall()
            answers = pool.map(lambda row: (row[0], _send(*row[1:])), rows)
            for request_id, answer in answers:
                connection.execute(
                    _ANSWER,
                    (
                        request_id,
                        answer.status_code,
                        answer.content or None,
                        None if answer.headers is None else Jsonb(answer.headers),
                        answer.content_type,
                        answer.timed_out,
                        answer.error_msg,
                    ),
                )
        self.sent += len(rows)
        return len(rows)


@contextmanager
def running_net_worker(database: Connectable) -> Iterator[NetWorker]:
    """Send what is queued in ``database`` for as long as the block lasts.

    The worker's own failure is raised at the end of the block: a test whose worker died must not
    pass as one whose requests were lost.
    """
    connection = database.connect(application_name=APPLICATION_NAME)
    worker = NetWorker()
    thread = threading.Thread(target=worker.run, args=(connection,), name="pg_net", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()
    if worker.failure is not None:
        raise worker.failure


def _send(
    method: str, url: str, timeout_ms: int, headers: dict[str, str] | None, body: bytes | None
) -> _Response:
    started = time.monotonic()
    try:
        request = urllib.request.Request(  # noqa: S310 - the opener below knows http(s) alone
            url,
            data=b"" if method == "POST" and body is None else body,
            # Without headers the extension does not name itself either.
            headers={} if headers is None else {**headers, "User-Agent": "pg_net/0.20"},
            method=method,
        )
        redirects = _Redirects()
        with _opener(redirects).open(request, timeout=timeout_ms / 1000) as reply:
            # The extension takes the headers of the first answer, and all else of the last.
            return _answered(reply.status, redirects.first or reply.headers, reply.read())
    except urllib.error.HTTPError as err:
        # 4xx and 5xx are answers like any other.
        with err:
            return _answered(err.code, err.headers, err.read())
    except (OSError, HTTPException, ValueError) as err:
        return _failed(err, timeout_ms, (time.monotonic() - started) * 1000)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as libcurl does: a 307 and a 308 keep method and body, others make a GET of it."""

    def __init__(self) -> None:
        self.first: Message | None = None

    def redirect_request(  # noqa: PLR0913, PLR0917 - as urllib calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.first = self.first or headers
        if code in {307, 308}:
            return urllib.request.Request(  # noqa: S310 - the opener knows http(s) alone
                newurl, data=req.data, headers=dict(req.header_items()), method=req.get_method()
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(redirects: _Redirects) -> urllib.request.OpenerDirector:
    """Return one that goes straight to the address: no proxies, no files, redirects followed."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        redirects,
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _answered(status: int, headers: Message, content: bytes) -> _Response:
    return _Response(
        status_code=status,
        content=content.decode("utf-8", errors="replace"),
        headers={name.lower(): value for name, value in headers.items()},
    )


def _failed(err: Exception, timeout_ms: int, took_ms: float) -> _Response:
    """Return what the extension writes: libcurl's words, which never hold the address."""
    cause = err.reason if isinstance(err, urllib.error.URLError) else err
    if isinstance(cause, TimeoutError):
        message = f"Timeout of {timeout_ms} ms reached. Total time: {took_ms:f} ms"
        return _Response(timed_out=True, error_msg=message)
    if not isinstance(cause, Exception) or isinstance(err, ValueError):
        return _Response(error_msg="Unsupported protocol")
    words = (text for kind, text in _CURL_WORDS if isinstance(cause, kind))
    return _Response(error_msg=next(words, "Failure when receiving data from the peer"))
