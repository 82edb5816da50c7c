"""End a served site in order when it is told to end: MkDocs does so for Ctrl-C alone.

Otherwise the site that it has built would stay in the folder for temporary files, once more each
time that a terminal is closed.
"""

from __future__ import annotations

import signal

_ENDS = (signal.SIGTERM, signal.SIGHUP)


def on_startup(command: str, dirty: bool) -> None:  # noqa: FBT001 - MkDocs names it so
    """Let these signals do what Ctrl-C does, but for one that is to be ignored."""
    del dirty
    if command == "serve":
        for end in _ENDS:
            if signal.getsignal(end) is signal.SIG_DFL:
                signal.signal(end, signal.default_int_handler)
