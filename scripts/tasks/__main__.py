"""Run one task by its name, and turn what stops it into one line."""

from __future__ import annotations

import importlib
import sys

from scripts.tasks.common import TaskError, say_error

TASKS = (
    "bench",
    "lock",
    "mutate",
    "offline",
    "rename_tables",
    "screenshots",
    "serve",
    "test",
    "try_out",
)
INTERRUPTED = 130


def main() -> int:
    """Return the exit status of the task that the command line names."""
    name, arguments = sys.argv[1], sys.argv[2:]
    if name not in TASKS:
        say_error(f"There is no task {name!r}: choose one of {', '.join(TASKS)}.")
        return 2
    try:
        # Only the module that is needed: the second start is to cost next to nothing.
        return int(importlib.import_module(f"scripts.tasks.{name}").main(arguments))
    except TaskError as err:
        say_error(str(err))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


sys.exit(main())
