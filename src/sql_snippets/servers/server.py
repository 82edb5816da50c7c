"""A PostgreSQL server that can be connected to, wherever it came from."""

from __future__ import annotations

import os
import re
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

CONNECT_SECONDS = 10

_environment_lock = threading.Lock()


class ServerUnavailable(Exception):  # noqa: N818 - it is the state of the server, not a mistake
    """There is no server to run on; the message says what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens, who its superuser is, and which platform parts are real in it.

    ``host`` is a directory for a Unix socket, else a name or address.  ``real_parts`` are the
    extensions that no stand-in replaced, as ``name version``.
    """

    kind: str
    host: str
    port: int
    superuser: str
    password: str | None = field(default=None, repr=False)
    version: str = ""
    real_parts: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def connect(
        self,
        dbname: str,
        user: str | None = None,
        *,
        application_name: str = "",
        autocommit: bool = True,
        options: str = "",
    ) -> psycopg.Connection[tuple[object, ...]]:
        """Log in, as the superuser unless another user is named.

        ``options`` are command-line options for the session, such as ``-c name=value``.
        Raises ServerUnavailable when the login is refused or nobody answers.
        """
        # Here, as whoever needs only the names of this module does without: it takes longer to
        # import than all else that a run without anything to run imports.
        import psycopg  # noqa: PLC0415 - see above

        try:
            with _without_libpq_environment():
                return psycopg.connect(
                    host=self.host,
                    port=self.port,
                    dbname=dbname,
                    user=user or self.superuser,
                    password=self.password,
                    application_name=application_name,
                    options=options,
                    client_encoding="UTF8",
                    connect_timeout=CONNECT_SECONDS,
                    autocommit=autocommit,
                    prepare_threshold=None,
                    **dict(self.parameters),  # type: ignore[arg-type]  # text, as in a URL
                )
        except psycopg.Error as err:
            if refused := _REFUSED_ROLE.search(str(err)):
                raise ServerUnavailable(
                    f"Cannot log in as {refused['role']}: the role {refused['why']}. A session is "
                    "opened as the role itself: let a file of sql_platform or sql_migrations make "
                    "it with LOGIN, or name another role."
                ) from None
            raise ServerUnavailable(
                f"Cannot log in to database {dbname} as {user or self.superuser} on "
                f"{self.host} port {self.port}: {self.without_secrets(str(err))}"
            ) from None

    def without_secrets(self, text: str) -> str:
        """Return ``text`` with the password struck out wherever it stands."""
        return text.replace(self.password, "********") if self.password else text


def is_of_the_server(error: BaseException) -> bool:
    """Whether an error came from PostgreSQL or from the way to it."""
    # Nobody can have raised one of psycopg's who has not imported it.
    psycopg = sys.modules.get("psycopg")
    return isinstance(error, ServerUnavailable) or (
        psycopg is not None and isinstance(error, psycopg.Error)
    )


_REFUSED_ROLE = re.compile(
    r'role "(?P<role>.+)" (?P<why>does not exist|is not permitted to log in)'
)


@contextmanager
def _without_libpq_environment() -> Iterator[None]:
    """Hide the shell's PG* variables: they would decide time zone, options and even the host."""
    with _environment_lock:
        saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
        try:
            yield
        finally:
            os.environ.update(saved)
