"""A real HTTP receiver on loopback, which answers as a scenario wants it to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; ``body`` is the parsed JSON, or the text when it is not JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: object


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request is answered, ``delay`` seconds after it arrived."""

    status: int = 200
    delay: float = 0.0
    body: str = "ok"
    location: str = ""


class _Server(ThreadingHTTPServer):
    # A handler that is still in its delay must not hold up the end of a test.
    daemon_threads = True
    block_on_close = False
    # A whole batch arrives at once; the default of 5 makes the kernel drop connections.
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        super().__init__(address, _Handler, bind_and_activate=False)
        self.receiver = receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that gave up waiting is what several tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _take(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        answer = self.server.receiver.take(request)
        self.server.receiver.closing.wait(answer.delay)
        content = answer.body.encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(answer.status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            if answer.location:
                self.send_header("Location", answer.location)
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _take  # noqa: N815 - names given by http.server

    def log_message(self, *_: object) -> None:
        """Keep the output of a test run free of one line for each request."""


@dataclass(slots=True)
class Receiver:
    """What has arrived, and what is answered.

    ``refuse`` and ``accept`` keep the port, so the URL that a database knows stays the same.
    """

    path: str = "/reminder-alerts"
    closing: threading.Event = field(default_factory=threading.Event)
    _answers: list[Answer] = field(default_factory=lambda: [Answer()])
    _requests: list[Request] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)
    _server: _Server | None = None
    _thread: threading.Thread | None = None
    _port: int = 0

    _POLL_SECONDS: ClassVar[float] = 0.02

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}{self.path}"

    @property
    def requests(self) -> list[Request]:
        with self._arrived:
            return list(self._requests)

    def answer_with(self, *answers: Answer) -> None:
        """Answer the next requests with these, in order; the last one stays."""
        if not answers:
            raise ValueError("answer_with needs at least one answer.")
        with self._arrived:
            self._answers = list(answers)

    def wait_for(self, count: int, seconds: float = 180.0) -> list[Request]:
        """Return the requests once ``count`` have arrived.

        Raises TimeoutError that says how many there were.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._requests) >= count, seconds):
                raise TimeoutError(
                    f"{len(self._requests)} of {count} requests arrived within {seconds:g} s."
                )
            return list(self._requests)

    def take(self, request: Request) -> Answer:
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def refuse(self) -> None:
        """Refuse connections from now on, as when the receiver is down."""
        self._stop_serving()
        # Bound but not listening: the kernel refuses, and nobody else gets the port.
        self._bind()

    def accept(self) -> None:
        """Take connections again."""
        if self._thread is not None:
            return
        if self._server is None:
            self._bind()
        assert self._server is not None
        self._server.server_activate()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": self._POLL_SECONDS},
            name="http receiver",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._stop_serving()

    def _bind(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            server = _Server((HOST, self._port), self)
            try:
                server.server_bind()
            except OSError:
                server.server_close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(self._POLL_SECONDS)
                continue
            self._server = server
            self._port = server.server_port
            return

    def _stop_serving(self) -> None:
        if self._server is None:
            return
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server = None


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Give a receiver on a free port of loopback that answers 200 until told otherwise."""
    receiver = Receiver()
    receiver.accept()
    try:
        yield receiver
    finally:
        receiver.close()
