"""Run a program to its end, and say how long it took and how much memory it needed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.tasks.common import TaskError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended; ``peak_mb`` is of the largest process of it."""

    seconds: float
    peak_mb: float
    output: str


def run_measured(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], expects: str = ""
) -> Ended:
    """Run a program that has to succeed, and to say ``expects``.

    Raises `TaskError` with its words.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        # Of this child alone: getrusage would give the largest of all children there ever were.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode != 0 or expects not in said:
        raise TaskError(f"{' '.join(map(str, command))}\n{said[-3000:]}")
    return Ended(seconds, usage.ru_maxrss / 1024, said)


def seconds_until(
    word: str, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]
) -> float:
    """Return how long a program takes until it prints ``word``; it is interrupted then.

    An interrupt, and no signal that ends it at once: it is to stop the server that it started.

    Raises `TaskError` if it ends without.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = []
        for line in process.stdout or ():
            said.append(line)
            if word in line:
                seconds = time.perf_counter() - began
                process.send_signal(signal.SIGINT)
                process.communicate()
                return seconds
    raise TaskError(f"{' '.join(map(str, command))} did not say {word!r}:\n{''.join(said)[-3000:]}")
