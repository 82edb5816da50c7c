"""Show warnings beside a served site also when the rest of what MkDocs says is not wanted.

Its option for that, which `scripts/serve` gives, hides them too.
"""

from __future__ import annotations

import logging


def on_startup(command: str, dirty: bool) -> None:  # noqa: FBT001 - MkDocs names it so
    """Let the logger of MkDocs pass warnings on."""
    del dirty
    log = logging.getLogger("mkdocs")
    if command == "serve" and log.level > logging.WARNING:
        log.setLevel(logging.WARNING)
