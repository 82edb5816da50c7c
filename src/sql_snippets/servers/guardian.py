"""A small process that outlives us by a moment, so that nothing we started does.

It is the parent of the postmaster and holds a pipe to us.  When the pipe closes, whatever the
cause (SIGKILL leaves us no other chance), it stops the server at once and removes the directories.
It runs as a script under ``python -I -S``: only the standard library, nothing of this package.

Commands come as lines of JSON on standard input, answers leave as lines on standard output:
``{"start": argv, "log": path, "user": name or null}`` answers ``{"pid": n}`` or ``{"error": text}``
and, when that process ends by itself, ``{"exited": code}``; ``{"stop": signal}`` answers
``{"stopped": code}`` when it has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # collections.abc costs time to import
    from collections.abc import Iterator
    from typing import Any

STOP_SECONDS = 10.0
PARENT_CHECK_SECONDS = 1.0


class Guardian:
    """The server we started, if any, and what the parent has been told about it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def obey(self, command: dict[str, object]) -> None:
        """Carry out one command and answer it."""
        if "stop" in command:
            code = _stop(self.child, int(str(command["stop"]))) if self.child else 0
            self.child = None
            _answer({"stopped": code})
            return
        try:
            self.child = _start(command)
        except (OSError, KeyError) as err:
            _answer({"error": str(err)})
        else:
            _answer({"pid": self.child.pid})

    def report(self) -> None:
        """Tell the parent, once, when the server has ended by itself."""
        if self.child is not None and self.child.poll() is not None:
            _answer({"exited": self.child.returncode})
            self.child = None


def main() -> None:
    """Serve commands until the parent is gone, then leave nothing behind."""
    guardian = Guardian()
    try:
        for command in _commands():
            if command is not None:
                guardian.obey(command)
            guardian.report()
    finally:
        if guardian.child is not None:
            _stop(guardian.child, signal.SIGQUIT)
        for directory in sys.argv[1:]:
            _remove(directory)


def _commands() -> Iterator[dict[str, object] | None]:
    """Yield the parent's commands, and None when something else woke us, until it is gone."""
    parent = os.getppid()
    ending = _watch_signals()
    buffered = b""
    while True:
        ready, _, _ = select.select([0, ending], [], [], PARENT_CHECK_SECONDS)
        if ending in ready and signal.SIGTERM in os.read(ending, 512):
            return
        # A forked relative of the parent may still hold the pipe open.
        if os.getppid() != parent:
            return
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
        yield None


def _watch_signals() -> int:
    """Return a descriptor from which the numbers of SIGCHLD and SIGTERM can be read."""
    wake, wakeup = os.pipe()
    for end in (wake, wakeup):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for noted in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(noted, lambda *_: None)
    # Ctrl-C is for the parent; we go when it goes.
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    return wake


def _start(command: dict[str, Any]) -> subprocess.Popen[bytes]:
    argv = [str(word) for word in command["start"]]
    with open(str(command["log"]), "ab") as log:  # noqa: PTH123 - pathlib costs 5 ms to import
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **run_as(command["user"]),
        )


def run_as(user: object) -> dict[str, Any]:
    """Return the arguments of Popen that give up root for ``user``; none for None."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(str(user)).pw_gid, "extra_groups": []}


def _stop(child: subprocess.Popen[bytes], first: int) -> int:
    for number, patience in (
        (first, STOP_SECONDS),
        (signal.SIGQUIT, STOP_SECONDS / 2),
        (signal.SIGKILL, STOP_SECONDS / 2),
    ):
        if child.poll() is None:
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(patience)
    return -1


def _remove(directory: str) -> None:
    # Backends of a killed postmaster may write for a moment longer.
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.lexists(directory):
            return
        time.sleep(0.02)


def _answer(message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
