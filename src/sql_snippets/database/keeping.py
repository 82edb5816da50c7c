"""One server and one template for all processes of a run, opened when the first one asks.

Sharing a server has a price: roles, settings and sessions are seen, and can be ended, from every
database of it.  So each process takes a turn first: many at once while their blocks stay
inside their own databases, and alone for a block that reaches further.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from typing import TYPE_CHECKING, Protocol

import psycopg

from sql_snippets.database.databases import Template, attach_template
from sql_snippets.database.recipes import MigrationFailed, RecipeError
from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

_HOST = "127.0.0.1"
_TRIES = 2


class Keeper(Protocol):
    """Where a process gets the template from, and its turn to run."""

    def get(self, dead: str | None = None) -> Template:
        """Return the template; another one when the one with the identity ``dead`` has died.

        Raises what opening it raised, in every process and every time alike.
        """

    def turn(self, *, alone: bool) -> AbstractContextManager[None]:
        """Wait for a turn and hold it: beside others, or alone."""

    def close(self) -> None:
        """Let go; the server ends where this process has started it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the keeper of another process of this machine answers, and the key to it."""

    port: int
    key: str


def identity(template: Template) -> str:
    """Return what tells the servers of one run apart."""
    return f"{template.server.host}:{template.server.port}"


def is_alive(template: Template) -> bool:
    """Whether the template's server still takes logins."""
    try:
        template.server.connect(template.maintenance).close()
    except ServerUnavailable:
        return False
    return True


class OwnKeeper:
    """The keeper in the process that starts the server.  Threads may use it at the same time."""

    def __init__(self, opening: Callable[[], AbstractContextManager[Template]]) -> None:
        self._opening = opening
        self._lock = threading.Lock()
        self._turns = Turns()
        self._opened: AbstractContextManager[Template] | None = None
        self._template: Template | None = None
        self._refusal: Exception | None = None
        self._tries = 0

    def get(self, dead: str | None = None) -> Template:
        """Open the template, or give the one that is open."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            template = self._template
            if template is not None and identity(template) != dead:
                return template
            self._close()
            if self._tries == _TRIES:
                self._refusal = ServerUnavailable(
                    "The server died twice in this run, so it is not started again. Its own "
                    "messages are in the reports of the blocks that ran when it died."
                )
                raise self._refusal
            self._tries += 1
            opened = self._opening()
            try:
                self._template = opened.__enter__()
            except Exception as err:
                self._refusal = err
                raise
            self._opened = opened
            return self._template

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Hold a turn."""
        with self._turns.hold(alone=alone):
            yield

    def close(self) -> None:
        """End the server, for good."""
        with self._lock:
            self._refusal = ServerUnavailable("The run was ended, and the server with it.")
            self._close()

    def _close(self) -> None:
        opened, self._opened, self._template = self._opened, None, None
        if opened is not None:
            opened.__exit__(None, None, None)


class Turns:
    """A lock that many hold at once or one holds alone, in the order of asking."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._beside = 0
        self._alone = False

    @contextmanager
    def hold(self, *, alone: bool) -> Iterator[None]:
        """Wait for the turn, hold it, give it back."""
        ticket = object()

        def is_due() -> bool:
            free = not self._alone and not (alone and self._beside)
            return self._waiting[0] is ticket and free

        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(is_due)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            if alone:
                self._alone = True
            else:
                self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._alone = False
                else:
                    self._beside -= 1
                self._changed.notify_all()


class Broker:
    """Answers other processes of this machine for a keeper; each has a connection of its own.

    A connection that ends, for whatever reason, gives its turn back.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        key = secrets.token_hex(32)
        # A port and not a socket in a folder: nothing of it can be left behind.
        self._listener = Listener((_HOST, 0), backlog=64, authkey=key.encode())
        self.address = Address(int(self._listener.address[1]), key)
        self._closing = False
        self._connections: list[Connection] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End all connections, and wait for the threads that serve them."""
        self._closing = True
        with suppress(OSError, EOFError):
            # Wakes the thread that waits for the next connection.
            Client((_HOST, self.address.port), authkey=self.address.key.encode()).close()
        self._listener.close()
        self._threads[0].join(5)
        for connection in self._connections:
            # A mere close would not wake the thread that reads from it.
            with (
                suppress(OSError),
                socket.socket(fileno=os.dup(connection.fileno())) as plain,
            ):
                plain.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection = self._listener.accept()
            except Exception:  # noqa: BLE001, S112 - a stranger knocked, or we are closing
                continue
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        with connection, contextlib.ExitStack() as turn, suppress(EOFError, OSError):
            while True:
                word, value = connection.recv()
                if word == "template":
                    connection.send(self._open(value))
                elif word == "turn":
                    turn.enter_context(self._keeper.turn(alone=value))
                    connection.send(("ok", ""))
                else:
                    turn.close()
                    connection.send(("ok", ""))

    def _open(self, dead: str | None) -> tuple[str, str]:
        try:
            return "ok", self._keeper.get(dead).to_json()
        except (ServerUnavailable, MigrationFailed, RecipeError, psycopg.Error, OSError) as err:
            return "error", str(err).strip()


class OthersKeeper:
    """The keeper of another process, reached through its `Broker`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._template: Template | None = None

    def get(self, dead: str | None = None) -> Template:
        """Attach to the template that the other process has opened."""
        if self._template is None or identity(self._template) == dead:
            self._template = attach_template(self._ask("template", dead))
        return self._template

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Hold a turn that the other process gives."""
        self._ask("turn", alone)
        try:
            yield
        finally:
            # With a closed connection the turn has been given back already.
            with suppress(ServerUnavailable):
                if self._connection is not None:
                    self._ask("done", None)

    def close(self) -> None:
        """Let go of the connection; the server stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, word: str, value: object) -> str:
        try:
            if self._connection is None:
                self._connection = Client(
                    (_HOST, self._address.port), authkey=self._address.key.encode()
                )
            self._connection.send((word, value))
            kind, text = self._connection.recv()
        except (OSError, EOFError) as err:
            raise ServerUnavailable("The process that holds the server has ended.") from err
        if kind == "error":
            raise ServerUnavailable(text)
        return str(text)
