"""The built site on a loopback port, as a host of static files would serve it."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import os
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from scripts.tasks.common import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Root may not use the sandbox, and the browser must not phone anywhere by itself.
BROWSER_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


# Debian's first package has the same engine without the windows of a browser around it, which cost
# a third of the time of a page.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")


def find_chromium() -> str | None:
    """Return the browser to drive: ``CHROMIUM`` in the environment, or the machine's own."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


class _Handler(SimpleHTTPRequestHandler):
    """Files, and the site's own page for what is not there."""

    def log_message(self, *_: object) -> None:
        """Say nothing: a browser asks for a lot."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer as a host of static sites does when there is no such file."""
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():  # noqa: PLR2004 - the status is the name of the page
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Compressing(_Handler):
    """The same, compressed as such hosts do, for a browser that takes it."""

    _TEXT = frozenset({".html", ".css", ".js", ".json", ".svg", ".xml"})

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Send the head of an answer, and return what is in it."""
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.partition("?")[0].endswith("/"):
            path /= "index.html"
        takes_it = "gzip" in self.headers.get("Accept-Encoding", "")
        if not (takes_it and path.is_file() and path.suffix in self._TEXT):
            return super().send_head()
        body = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


@contextlib.contextmanager
def serve_folder(folder: Path, *, compressed: bool = False) -> Iterator[str]:
    """Serve ``folder`` on a free port of 127.0.0.1 and yield its address, ending in a slash."""
    handler = functools.partial(_Compressing if compressed else _Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def build(
    folder: Path,
    address: str,
    *,
    project: Path = ROOT,
    program: str = "mkdocs",
    extra: Mapping[str, str] | None = None,
) -> str:
    """Build the site into ``folder`` for ``address`` and return what the program said.

    A warning stops it: raise `RuntimeError` with the program's words.
    """
    command = [sys.executable, "-m", program, "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment({"SITE_URL": address, **(extra or {})}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The site does not build:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
