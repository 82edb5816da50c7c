"""One copy of the site for all workers of a run: built by the first that needs it, served once."""

from __future__ import annotations

import fcntl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.tasks.local_site import build, serve_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEY = "shared_site"


@dataclass(frozen=True, slots=True)
class Site:
    """The folder of a built site, its address, and what its build said."""

    folder: Path
    address: str

    @property
    def said(self) -> Path:
        return self.folder.with_name("said")

    def build_once(self) -> None:
        """Build it, if no other process of the run has: the file with the words is written last."""
        with self.folder.with_name("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.said.exists():
                self.said.write_text(build(self.folder, self.address), encoding="utf-8")

    def send(self, to: dict[str, Any]) -> None:
        """Let a worker know of it."""
        to[_KEY] = {"folder": str(self.folder), "address": self.address}


def sent_site(by: Mapping[str, Any]) -> Site:
    """Return the site that the process which has started this worker serves."""
    return Site(Path(by[_KEY]["folder"]), by[_KEY]["address"])


@contextmanager
def serve_site() -> Iterator[Site]:
    """Serve a folder in which the site is yet to be built."""
    with tempfile.TemporaryDirectory(prefix="site-") as parent:
        folder = Path(parent, "site")
        folder.mkdir()
        with serve_folder(folder) as address:
            yield Site(folder, address)
