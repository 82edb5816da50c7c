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

STOP_SECONDS = 10.0
PARENT_CHECK_SECONDS = 1.0


def main() -> None:
    """Serve commands until the parent is gone, then leave nothing behind."""
    directories = sys.argv[1:]
    parent = os.getppid()
    child: subprocess.Popen[bytes] | None = None
    reported = True
    buffered = b""
    wake, wakeup = os.pipe()
    for end in (wake, wakeup):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    try:
        while not ending:
            ready, _, _ = select.select([0, wake], [], [], PARENT_CHECK_SECONDS)
            if os.getppid() != parent:
                # A forked relative of the parent may still hold the pipe open.
                break
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 512)
            if child is not None and not reported and child.poll() is not None:
                reported = True
                _answer({"exited": child.returncode})
            if 0 not in ready:
                continue
            data = os.read(0, 65536)
            if not data:
                break
            *lines, buffered = (buffered + data).split(b"\n")
            for line in lines:
                command = json.loads(line)
                if "start" in command:
                    try:
                        child = _start(command)
                    except OSError as err:
                        _answer({"error": f"{err.strerror}: {command['start'][0]}"})
                    else:
                        reported = False
                        _answer({"pid": child.pid})
                elif "stop" in command:
                    reported = True
                    code = _stop(child, command["stop"]) if child else 0
                    child = None
                    _answer({"stopped": code})
    finally:
        if child is not None:
            _stop(child, signal.SIGQUIT)
        for directory in directories:
            _remove(directory)


def _start(command: dict[str, object]) -> subprocess.Popen[bytes]:
    argv = [str(word) for word in command["start"]]  # type: ignore[attr-defined]
    with open(str(command["log"]), "ab") as log:  # noqa: PTH123 - pathlib costs 5 ms to import
        return subprocess.Popen(  # noqa: S603 - the command of our own parent
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **identity(command["user"]),  # type: ignore[arg-type]
        )


def identity(user: object) -> dict[str, object]:
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
