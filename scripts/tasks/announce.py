"""Say where the site is once it is: the server itself is quiet, so that its warnings are seen."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress

from scripts.tasks.common import HOST, say

_LOOK_SECONDS = 0.05


def announce(parent: int, port: int) -> None:
    """Wait for the server, which is the process that started this one, and say its address."""
    while os.getppid() == parent:
        with suppress(OSError), socket.create_connection((HOST, port), _LOOK_SECONDS):
            say(f"Serving on http://{HOST}:{port}/ (Ctrl-C ends it)")
            return
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        announce(*map(int, sys.argv[1:]))
