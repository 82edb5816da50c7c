"""A small process that puts somebody's server back as it was when we are gone, however we went.

It holds a pipe to us, as the guardian of our own servers does.  The first line of JSON on standard
input says where and what; each further one, which file changed what.  When the pipe closes it puts
the server back, and says on standard output, in one line of JSON, what somebody should know.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

from sql_snippets.servers.guardian import PARENT_CHECK_SECONDS
from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_END = "end"


class PutBack(Protocol):
    """A function of a module, which the process finds by its name."""

    __module__: str
    __name__: str

    def __call__(
        self, noted: Any, changed_by: Mapping[tuple[str, str], str], *, killed: bool
    ) -> list[str]:
        """Put the server back; return what somebody should know."""


class Aftercare:
    """Our end of the pipe."""

    def __init__(self, put_back: PutBack, first: dict[str, Any]) -> None:
        work = f"from {put_back.__module__} import {put_back.__name__} as put_back"
        paths = [path for path in sys.path if path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{work}; from {__name__} import main; main(put_back)"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
                text=True,
            )
        except OSError as err:
            raise ServerUnavailable(
                f"The process that restores the server of the URL could not be started: {err}"
            ) from err
        self.tell(first)

    def tell(self, message: object) -> None:
        """Hand over a line."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101 - for the type checker
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def end(self) -> list[str]:
        """Have the server put back, and return what there is to say about it."""
        self.tell(_END)
        out, _ = self._process.communicate()
        if self._process.returncode != 0:
            return ["The server of the URL could not be put back as it was: see above."]
        return [str(sentence) for sentence in json.loads(out)]


def main(put_back: PutBack) -> None:
    """Wait until the parent is gone, then put the server back."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    lines = list(_lines())
    if not lines:
        return
    ended = lines[-1] == _END
    changed_by = {
        (kind, name): path for line in lines[1:] if line != _END for kind, name, path in line
    }
    sentences = put_back(lines[0], changed_by, killed=not ended)
    try:
        os.write(1, json.dumps(sentences).encode() + b"\n")
    except OSError:
        for sentence in sentences:
            sys.stderr.write(f"{sentence}\n")


def _lines() -> Iterator[Any]:
    """Yield what the parent says until it is gone."""
    parent, buffered = os.getppid(), b""
    while True:
        ready, _, _ = select.select([0], [], [], PARENT_CHECK_SECONDS)
        # A forked relative of the parent may still hold the pipe open.
        if os.getppid() != parent:
            return
        if ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, buffered = (buffered + data).split(b"\n")
            yield from map(json.loads, lines)
