"""Files that one process writes and others read: whole or not at all, and only our own."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that its readers see all of it or what was there before; raise OSError."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def is_trusted(path: Path) -> bool:
    """Whether only we or root can have written what is there; raise OSError where nothing is.

    Whoever can write an entry of a cache decides what passes and what a server does.
    """
    return path.stat().st_uid in {0, os.geteuid()}


def read_entry(path: Path) -> Any:
    """Return the JSON of a file; None where there is none, or it is another user's.

    Raise OSError or ValueError for one that cannot be read.
    """
    try:
        return json.loads(path.read_bytes()) if is_trusted(path) else None
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock that a file stands for; it falls when this process ends.

    Raise BlockingIOError where another holds it and we do not ``wait``.  Whoever holds a lock may
    remove its file.
    """
    lock = take_lock(path, wait=wait)
    try:
        yield
    finally:
        # Said aloud: a process forked meanwhile may have the descriptor open still.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def take_lock(path: Path, *, wait: bool = True) -> int:
    """Return the descriptor that has the lock: a process that inherits it holds the lock too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been removed with what it stood for: ours may be that one.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(lock).st_ino:
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def hash_of(value: object) -> str:
    """Return the hash of a plain value."""
    return hash_bytes(json.dumps(value, default=str).encode())


def hash_bytes(*parts: bytes) -> str:
    """Return the hash of bytes; of several parts their lengths count too."""
    if len(parts) == 1:
        return sha256(parts[0]).hexdigest()
    # They keep ("ab", "c") and ("a", "bc") apart.
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


@cache
def own_digest() -> str:
    """Return a hash of this program: a version stays the same while it is worked on."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hash_bytes(*(part for file in files for part in (file.name.encode(), file.read_bytes())))
