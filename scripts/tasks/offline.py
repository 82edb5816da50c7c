"""Pack the site so that it can be read without a server, also when the network is what is down."""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, VENV, TaskError, run, say
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = "runbook"
# The same content gives the same file, whenever it is packed.
MOMENT = (1980, 1, 1, 0, 0, 0)


def main(arguments: Sequence[str]) -> int:
    """Build with ``OFFLINE`` and write the archive."""
    parser = argparse.ArgumentParser(prog="scripts/offline", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "reports" / "runbook.zip")
    to: Path = parser.parse_args(arguments).file.absolute()
    prepare("site")
    with tempfile.TemporaryDirectory() as built:
        program = str(VENV / "bin" / "mkdocs")
        command = [program, "build", "--strict", "--quiet", "--site-dir", built]
        if run(command, extra={"OFFLINE": "true"}) != 0:
            raise TaskError("The site does not build (see above).")
        to.parent.mkdir(parents=True, exist_ok=True)
        pack(Path(built), to)
    say(f"{to} holds the site: unpack it and open {FOLDER}/index.html")
    return 0


def pack(folder: Path, to: Path) -> None:
    """Write the files of ``folder`` to a zip file, in the order of their names."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = zipfile.ZipInfo(f"{FOLDER}/{path.relative_to(folder).as_posix()}", MOMENT)
                name.external_attr = 0o644 << 16
                archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
