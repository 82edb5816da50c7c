"""Bring the PostgreSQL that runs in the reader's browser to where the site serves it from."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks.common import TaskError, must_run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

EMPTY = "empty.bin"  # a compressed archive, under a name that no server takes upon itself to unpack
_MAKE_EMPTY = Path(__file__).with_name("empty_database.mjs")
# Of the package only what a browser asks for: no extensions, no other file systems, no source maps.
_WANTED = ("index.js", "chunk-*.js", "pglite.wasm", "pglite.data")


def files_of(package: Path) -> Sequence[Path]:
    """Return the files of the installed package that the site serves."""
    served = [path for pattern in _WANTED for path in sorted((package / "dist").glob(pattern))]
    return [*served, package / "LICENSE"]


def bring(package: Path, to: Path, node: Path) -> None:
    """Copy the package's files and make an empty data directory beside them, if they are not there.

    Without them the site is built without practice, so a machine where it fails can go on.
    """
    digest = hashlib.sha256(_MAKE_EMPTY.read_bytes())
    for path in files_of(package):
        digest.update(path.read_bytes())
    stamp = to / "stamp"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest.hexdigest():
        return
    say("Making the database to practise on in the browser")
    shutil.rmtree(to, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as temporary:
        folder = Path(temporary) / to.name
        folder.mkdir()
        for path in files_of(package):
            shutil.copyfile(path, folder / path.name)
        try:
            must_run(
                [node, _MAKE_EMPTY, package / "dist", folder / EMPTY],
                "It could not be made (see above): the site will have no practice.",
            )
        except TaskError as err:
            say(str(err))
            return
        (folder / stamp.name).write_text(digest.hexdigest(), encoding="utf-8")
        folder.rename(to)
