"""Stopped data directories that hold the migrated template, kept from one run to the next.

An entry is read as if it could be damaged: every file is checked against the size and checksum
noted when it was stored, and an entry that does not fit is thrown away.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, cast

from sql_snippets.cache import is_trusted, locked
from sql_snippets.servers.cluster import give, make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_ENTRIES = 4

_LEFT_OUT = {"postmaster.pid", "postmaster.opts", "postgresql.conf"}

logger = logging.getLogger("sql_snippets")


class Damaged(Exception):  # noqa: N818 - it is the state of the entry
    """The entry is not what was stored."""


@contextmanager
def locked_entry(cache_dir: Path, key: str) -> Iterator[Path | None]:
    """Give the entry of ``key`` to this process alone; None where the cache cannot be used.

    The entry need not exist.  The newest few entries stay, the others are removed.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(cache_dir / f"{key}.lock"))
        except OSError as err:
            logger.warning(
                "The cache of prepared databases in %s cannot be used (%s): preparing one for "
                "this run alone.",
                cache_dir,
                err.strerror,
            )
            yield None
            return
        entry = cache_dir / key
        if entry.exists() and not is_trusted(entry):
            logger.warning("%s belongs to another user: preparing one for this run alone.", entry)
            yield None
        else:
            yield entry
            if entry.exists():
                os.utime(entry)
        _evict(cache_dir, key)


def restore(entry: Path, data: Path, user: str | None) -> dict[str, object]:
    """Copy a stored data directory into the empty ``data`` and return the notes stored with it.

    Raises Damaged.
    """
    try:
        manifest = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
        files: dict[str, tuple[int, int]] = manifest["files"]
        for name in manifest["folders"]:
            make_directory(data / name, user)
        for name, (size, checksum) in files.items():
            content = (entry / "data" / name).read_bytes()
            if (len(content), zlib.crc32(content)) != (size, checksum):
                raise Damaged(f"{entry / 'data' / name} has changed since it was stored")
            target = data / name
            target.write_bytes(content)
            give(target, user, 0o600)
        return cast("dict[str, object]", manifest["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise Damaged(f"{entry}: {err}") from err


def store(entry: Path, data: Path, notes: dict[str, object]) -> None:
    """Keep a copy of a stopped data directory; a reader sees all of it or nothing.

    A cache that cannot be written is reported and does no harm.
    """
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}.new")
    files: dict[str, tuple[int, int]] = {}
    folders: list[str] = []
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        (temporary / "data").mkdir(parents=True)
        for path in sorted(data.rglob("*")):
            name = path.relative_to(data).as_posix()
            if path.is_dir():
                folders.append(name)
                (temporary / "data" / name).mkdir()
            elif path.is_file() and name not in _LEFT_OUT:
                content = path.read_bytes()
                files[name] = len(content), zlib.crc32(content)
                (temporary / "data" / name).write_bytes(content)
        (temporary / "manifest.json").write_text(
            json.dumps({"notes": notes, "folders": folders, "files": files}), encoding="utf-8"
        )
        shutil.rmtree(entry, ignore_errors=True)
        temporary.rename(entry)
    except OSError as err:
        logger.warning("The prepared database could not be kept in %s: %s", entry, err)
        shutil.rmtree(temporary, ignore_errors=True)


def _evict(cache_dir: Path, current: str) -> None:
    entries = [path for path in cache_dir.glob("*/") if (path / "manifest.json").exists()]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for entry in entries[MOST_ENTRIES:]:
        if entry.name == current:
            continue
        lock = cache_dir / f"{entry.name}.lock"
        with suppress(OSError), locked(lock, wait=False):
            shutil.rmtree(entry, ignore_errors=True)
            lock.unlink()
