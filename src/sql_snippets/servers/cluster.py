"""A throw-away cluster of our own: its directory, its settings, its start and its end."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sql_snippets.cache import is_locked, take_lock
from sql_snippets.profiles import POSTGRES
from sql_snippets.servers import guardian
from sql_snippets.servers.server import Server, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sql_snippets.profiles import Profile
    from sql_snippets.servers.binaries import Binaries

PORT = 5432
START_SECONDS = 60
_PREFIX = "sql-snippets-"

_ROOM_BYTES = 512 * 2**20
# 107 bytes on Linux, 103 on macOS and the BSDs.
_SOCKET_PATH_BYTES = 103
_UNLOCKED_SECONDS = 60.0

# Durability, which a throw-away cluster does not need, is given up for speed.  Shared memory in
# files leaves nothing behind in /dev/shm.  What runs once takes less time than to compile it.
_SETTINGS: Mapping[str, str] = {
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "lc_messages": "C",
    "log_timezone": "UTC",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "min_wal_size": "2MB",
    "port": str(PORT),
    "shared_buffers": "32MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data directory in a run directory, and the guardian that will remove both."""

    binaries: Binaries
    profile: Profile
    directory: Path
    user: str | None
    commands: IO[bytes]
    answers: IO[bytes]

    @property
    def data(self) -> Path:
        """The data directory, and the directory of the Unix socket."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "log"

    def initialize(self) -> None:
        """Make an empty cluster in the data directory.

        Raises ServerUnavailable with what initdb printed.
        """
        command = [
            str(self.binaries.tool("initdb")),
            *("-D", str(self.data)),
            *("-U", self.profile.superuser),
            *("-A", "trust"),
            *("-E", "UTF8"),
            "--no-sync",
            "--wal-segsize=1",
        ]
        refusals = []
        for locale in ("C.UTF-8", "C"):
            done = subprocess.run(
                [*command, f"--locale={locale}"],
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=_environment(),
                **guardian.run_as(self.user),
            )
            if done.returncode == 0:
                return
            refusals.append(done.stderr.strip())
            self.empty()
        raise ServerUnavailable(
            f"initdb of PostgreSQL {self.binaries.version} in {self.binaries.bin_dir} failed:\n"
            + "\n".join(refusals)
        )

    def empty(self) -> None:
        """Throw away what is in the data directory."""
        shutil.rmtree(self.data, ignore_errors=True)
        make_directory(self.data, self.user)

    def start(self, settings: Mapping[str, str], *, tcp: bool = False) -> Server:
        """Start the postmaster and wait until it takes connections.

        It listens on a Unix socket in the data directory, which only its user and root can enter,
        and with ``tcp`` (or where that path is too long) on a free port of 127.0.0.1.
        Raises ServerUnavailable with the server's log.
        """
        path = self.data / f".s.PGSQL.{PORT}"
        tcp = tcp or len(os.fsencode(path)) > _SOCKET_PATH_BYTES
        for last in (False, False, True):
            port = _free_port() if tcp else PORT
            try:
                return self._start({**settings, "port": str(port)}, tcp=tcp)
            except ServerUnavailable:
                # Somebody else took the port between our look and the server's bind.
                if last or not tcp or _is_free(port):
                    raise
        raise AssertionError

    def stop(self, *, immediately: bool = False) -> None:
        """Shut the server down cleanly, so that its data directory can be copied.

        With ``immediately`` it is cut off as by a failure, and recovers when it starts again.
        """
        self._tell({"stop": int(signal.SIGQUIT if immediately else signal.SIGINT)})
        while "stopped" not in (answer := self._answer(START_SECONDS)):
            pass
        if answer["stopped"] != 0 and not immediately:
            raise ServerUnavailable(f"The server did not stop cleanly.{self._log_tail()}")

    def _start(self, settings: Mapping[str, str], *, tcp: bool) -> Server:
        with contextlib.suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()
        everything = {
            **_SETTINGS,
            **self.profile.server_settings,
            "listen_addresses": "127.0.0.1" if tcp else "",
            "unix_socket_directories": "" if tcp else str(self.data),
            **settings,
        }
        configuration = self.data / "postgresql.conf"
        configuration.write_text(
            "".join(f"{name} = '{_quoted(value)}'\n" for name, value in everything.items()),
            encoding="utf-8",
        )
        give(configuration, self.user, 0o600)
        self._tell(
            {
                "start": [str(self.binaries.tool("postgres")), "-D", str(self.data)],
                "log": str(self.log),
                "user": self.user,
            }
        )
        answer = self._answer(START_SECONDS)
        if "error" in answer:
            raise ServerUnavailable(f"PostgreSQL could not be run: {answer['error']}")
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            exited = self._answer(0.002)
            if "exited" in exited:
                raise ServerUnavailable(
                    f"PostgreSQL {self.binaries.version} from {self.binaries.bin_dir} ended with "
                    f"code {exited['exited']} while it started.{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerUnavailable(
                    f"PostgreSQL {self.binaries.version} from {self.binaries.bin_dir} was not "
                    f"ready within {START_SECONDS} s.{self._log_tail()}"
                )
        return Server(
            self.binaries.kind,
            "127.0.0.1" if tcp else str(self.data),
            int(everything["port"]),
            self.profile.superuser,
            version=self.binaries.version,
        )

    def _is_ready(self) -> bool:
        """Whether the postmaster says so in the eighth line of its pid file, as pg_ctl reads it."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return lines[7:] != [] and lines[7].strip() == "ready"

    def _log_tail(self) -> str:
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        tail = "\n".join(text.splitlines()[-20:])
        return f" The end of its log:\n{tail}" if tail else " Its log is empty."

    def _tell(self, message: Mapping[str, object]) -> None:
        try:
            self.commands.write(json.dumps(message).encode() + b"\n")
        except OSError as err:
            raise ServerUnavailable(
                f"The guardian process of the server in {self.directory} has ended."
            ) from err

    def _answer(self, seconds: float) -> dict[str, object]:
        """Return the guardian's next line, or nothing when there is none in time."""
        ready, _, _ = select.select([self.answers], [], [], seconds)
        if not ready:
            return {}
        line = self.answers.readline()
        if not line:
            raise ServerUnavailable(
                f"The guardian process of the server in {self.directory} has ended."
            )
        answer: dict[str, object] = json.loads(line)
        return answer


@contextmanager
def open_cluster(binaries: Binaries, profile: Profile = POSTGRES) -> Iterator[Cluster]:
    """Make a run directory with an empty data directory; at the end nothing of it is left.

    As root the server runs as ``postgres``, or ``nobody`` where there is no such user, because
    PostgreSQL refuses to run as root.
    Raises ServerUnavailable.
    """
    if os.name != "posix":
        raise ServerUnavailable(
            "A server of our own can be started on Linux and macOS only. Give the URL of a "
            "server with --sql-server."
        )
    user = _server_user()
    base = _base_directory(user)
    sweep(base)
    directory = base / f"{_PREFIX}{secrets.token_hex(4)}"
    directory.mkdir(mode=0o711 if user else 0o700)
    # Locked before it has its name: another process sweeps what has a lock that nobody holds.
    unnamed = directory / "owner.new"
    lock = take_lock(unnamed)
    try:
        unnamed.rename(directory / "owner.lock")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=[lock],
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        # The guardian holds its own copy: the directory is stale when the guardian is dead.
        os.close(lock)
    with process, contextlib.ExitStack() as closing:
        commands, answers = process.stdin, process.stdout
        if commands is None or answers is None:
            raise AssertionError
        # Closing its input is what tells the guardian to clean up; "with process" then waits.
        closing.callback(commands.close)
        make_directory(directory / "data", user)
        reachable = _reachable(binaries, directory, user)
        yield Cluster(reachable, profile, directory, user, commands, answers)


def sweep(base: Path) -> None:
    """Remove what a guardian that was itself killed has left in ``base``."""
    for directory in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
                continue
            if _is_abandoned(directory):
                _end_postmaster(directory / "data")
                shutil.rmtree(directory, ignore_errors=True)


def make_directory(path: Path, user: str | None) -> None:
    """Make a directory that only the server's user can enter."""
    path.mkdir(mode=0o700)
    give(path, user, 0o700)


def give(path: Path, user: str | None, mode: int) -> None:
    """Hand a file over to the user the server runs as."""
    path.chmod(mode)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _is_abandoned(directory: Path) -> bool:
    lock = directory / "owner.lock"
    if lock.exists():
        return not is_locked(lock)
    # Either just being made, or half removed.
    return time.time() - directory.stat().st_mtime > _UNLOCKED_SECONDS


def _end_postmaster(data: Path) -> None:
    """End the postmaster of an abandoned directory, if the process of that number is still it."""
    try:
        number = int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
        command = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(number)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except (OSError, ValueError):
        return
    if str(data) not in command:
        return
    os.kill(number, signal.SIGQUIT)
    deadline = time.monotonic() + guardian.STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.kill(number, signal.SIGKILL)


def _server_user() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerUnavailable(
        "PostgreSQL refuses to run as root, and neither the user postgres nor nobody exists. "
        "Make one of them, or run the checks as another user."
    )


def _base_directory(user: str | None) -> Path:
    """Return a directory in memory where there is one with room, else one for temporary files."""
    # A directory of our own is made in it, with a name that nobody can guess.
    candidates = [Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - see above
    for candidate in candidates:
        if not candidate.is_dir() or not os.access(candidate, os.W_OK | os.X_OK):
            continue
        if user is not None and not _anyone_enters(candidate):
            continue
        if shutil.disk_usage(candidate).free >= _ROOM_BYTES:
            return candidate
    raise ServerUnavailable(
        f"No directory for a temporary server: none of {', '.join(map(str, candidates))} is "
        f"writable and has {_ROOM_BYTES // 2**20} MB free. Set TMPDIR to one that has."
    )


def _anyone_enters(directory: Path) -> bool:
    return all(
        folder.stat().st_mode & stat.S_IXOTH for folder in (directory.resolve(), *directory.parents)
    )


def _reachable(binaries: Binaries, directory: Path, user: str | None) -> Binaries:
    """Return programs that ``user`` can run: a copy where a folder above them is closed to it."""
    if user is None or _runs_as(user, binaries.tool("postgres")):
        return binaries
    refusal = (
        f"The user {user} cannot run {binaries.tool('postgres')}, nor a copy of it in {directory}. "
        f"Make the programs readable for {user}, or run the checks as another user than root."
    )
    prefix = binaries.bin_dir.parent
    if not all(path.is_relative_to(prefix) for path in (binaries.library_dir, binaries.share_dir)):
        # Spread over the system: a copy of the programs alone would not find the rest.
        raise ServerUnavailable(refusal)
    copy = directory / "programs"
    shutil.copytree(
        prefix, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "doc", "pgxs", "*.a")
    )
    for folder, _, _ in os.walk(copy):
        Path(folder).chmod(0o755)
    moved = replace(
        binaries,
        bin_dir=copy / binaries.bin_dir.relative_to(prefix),
        library_dir=copy / binaries.library_dir.relative_to(prefix),
        share_dir=copy / binaries.share_dir.relative_to(prefix),
    )
    if not _runs_as(user, moved.tool("postgres")):
        raise ServerUnavailable(refusal)
    return moved


def _runs_as(user: str, program: Path) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            cwd="/",
            env=_environment(),
            **guardian.run_as(user),
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Return the environment without what would change a server's locale, time zone or settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LANG", "TZ"))
    }
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _free_port(wanted: int = 0) -> int:
    """Return a port that a server can listen on; raise OSError if that is not the one wanted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", wanted))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        return _free_port(port) == port
    return False


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
