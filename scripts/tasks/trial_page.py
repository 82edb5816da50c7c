"""The page that shows the system at work and puts things wrong in it, on loopback."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks.common import CACHE, HOST, TaskError, say
from scripts.tasks.local_site import build, serve_folder
from scripts.tasks.trial import JOBS, Trial, running_trial
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.server import ServerUnavailable
from tests.sql_snippets.scenarios import INCIDENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = Path(__file__).with_name("trial.html")
_PLAIN = "text/plain; charset=utf-8"


class _Server(ThreadingHTTPServer):
    # A page that is open asks every second; it is not waited for.
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, trial: Trial, page: str) -> None:
        super().__init__((HOST, port), _Handler)
        self.trial = trial
        self.page = page


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing: the page asks every second."""

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        if self.path == "/":
            self._send(200, self.server.page, "text/html; charset=utf-8")
        elif self.path == "/state":
            state = json.dumps(self.server.trial.state(), default=str)
            self._send(200, state, "application/json")
        else:
            self._send(404, "There is nothing here.")

    def do_POST(self) -> None:
        # The page of somebody else cannot send this header: the browser would ask us first.
        if not self._is_ours() or self.headers.get("X-Trial") != "1":
            return
        try:
            self._send(*(200, "ok") if self._do() else (404, "There is nothing here."))
        except TaskError as err:
            self._send(409, str(err))

    def _do(self) -> bool:
        trial = self.server.trial
        what, _, name = self.path.removeprefix("/").partition("/")
        if what == "incident" and name in INCIDENTS:
            trial.produce(name)
        elif what == "fire" and name in JOBS:
            trial.fire(name)
        elif self.path == "/fault":
            trial.draw()
        elif self.path == "/start-over":
            trial.start_over()
        else:
            return False
        return True

    def _is_ours(self) -> bool:
        """Refuse what a browser was led here to ask for by another name."""
        if self.headers.get("Host") == f"{HOST}:{self.server.server_port}":
            return True
        self._send(403, f"Ask for http://{HOST}:{self.server.server_port}/ by this name.")
        return False

    def _send(self, status: int, text: str, kind: str = _PLAIN) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(trial: Trial, site: str, port: int = 0) -> Iterator[str]:
    """Serve the page; give its address.  Raises TaskError where the port cannot be used."""
    fixed = json.dumps({"site": site, "incidents": list(INCIDENTS), "jobs": JOBS})
    page = _PAGE.read_text(encoding="utf-8").replace("FIXED", fixed.replace("<", "\\u003c"), 1)
    try:
        server = _Server(port, trial, page)
    except (OSError, OverflowError) as err:
        raise TaskError(
            f"Port {port} of {HOST} cannot be used ({err}). End what uses it, or choose another: "
            "scripts/try --port N"
        ) from err
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(port: int, choice: str | None = None) -> None:
    """Run the system until this process is interrupted or told to end."""
    with tempfile.TemporaryDirectory(prefix="trial-") as folder, serve_folder(Path(folder)) as site:
        say("Building the site")
        build(Path(folder), site)
        say("Making the database, and letting its jobs run")
        with (
            running_trial(choice or _best_server(), CACHE / "sql-snippets") as trial,
            serving(trial, site, port) as address,
        ):
            say(f"Open {address} (Ctrl-C ends it)")
            threading.Event().wait()


def _best_server() -> str:
    try:
        return "system" if find_binaries("system").has_library("pg_cron") else "embedded"
    except ServerUnavailable:
        return "embedded"


def _end(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    try:
        main(int(sys.argv[1]), *sys.argv[2:3])
    except TaskError as err:
        sys.exit(f"==> {err}")
    except KeyboardInterrupt:
        sys.exit(130)
