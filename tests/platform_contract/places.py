"""Where a platform part is looked at, and how: by two roles, in a transaction that never commits.

A part with a background worker serves one database of its server, so a server that a URL names is
looked at in that very database, which is somebody's.  Nothing of a test is committed there: no job
fires, no request is sent, no worker changes a row while the test looks at it, and nothing is left
behind, whatever ends the test.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql as query

from sql_snippets.database.building import build
from sql_snippets.database.databases import MAINTENANCE, Database
from sql_snippets.profiles import SUPABASE, WORKER_SETTINGS
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import open_cluster
from sql_snippets.servers.server import ServerUnavailable
from sql_snippets.servers.url import open_url
from tests.reminder_system.lanes import ROLE, missing, open_lane, reminder_recipe
from tests.server_state import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from sql_snippets.servers.server import Server

# The lane of a URL to a server of our own, on which pg_cron serves a database of another name than
# on Supabase.
SERVED = "served"
# What a test makes is called so: the database may have a job, a secret or a request of any name.
OWN = f"sql_snippets_{os.getpid()}_{secrets.token_hex(4)}"
# So begins what a run says of a part that it did not meet.
NOT_THERE = "The server of SQL_CONTRACT_URL has no"


@dataclass(frozen=True, slots=True)
class Session:
    """One of the roles that speak in the same transaction; what is refused leaves the others."""

    connection: psycopg.Connection[Any]
    role: str

    def execute(
        self, statement: str, parameters: tuple[object, ...] | Mapping[str, object] | None = None
    ) -> psycopg.Cursor[Any]:
        become = query.SQL("set local session authorization {}").format(query.Identifier(self.role))
        with self.connection.transaction():
            self.connection.execute(become)
            return self.connection.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and the version of the real part in it; none for a stand-in.

    ``served`` is the database that the server's settings name to the part, on Supabase `postgres`.
    """

    database: Database
    version: str | None
    served: str = "postgres"

    @contextmanager
    def sessions(self) -> Iterator[tuple[Session, Session]]:
        """Give the operator's session and the superuser's, until all they did is undone."""
        server = self.database.server
        with (
            server.connect(self.database.name) as connection,
            connection.transaction(force_rollback=True),
        ):
            yield (
                Session(connection, self.database.role),
                Session(connection, server.superuser),
            )


@contextmanager
def open_place(lane: str, part: str) -> Iterator[Place]:
    """Give the place of ``part`` on a lane, or on the server of a URL."""
    if lane == SERVED:
        with own_server(part) as url, open_served(url, part) as place:
            yield place
        return
    if "://" in lane:
        with open_served(lane, part) as place:
            yield place
        return
    with open_lane(lane) as template, template.clone() as database:
        found = dict(real.split(" ", 1) for real in template.server.real_parts)
        yield Place(database, found.get(part))


@contextmanager
def own_server(part: str) -> Iterator[str]:
    """Give the URL of a server on which the part really serves a database, set up as Supabase is.

    What is left on it by whoever comes by the URL is an error.
    """
    if part not in WORKER_SETTINGS:
        raise AssertionError
    served = "operations"
    try:
        binaries = find_binaries("system")
    except ServerUnavailable as err:
        missing(f"The system PostgreSQL is not available: {err}")
    if not binaries.has_library(part):
        missing(f"{part} is not installed for the PostgreSQL of the system.")
    settings = {"shared_preload_libraries": part, WORKER_SETTINGS[part]: served}
    with open_cluster(binaries, SUPABASE) as cluster:
        cluster.initialize()
        server = cluster.start(settings, tcp=True)
        with server.connect(MAINTENANCE) as admin:
            admin.execute(query.SQL("create database {}").format(query.Identifier(served)))
        build(server, served, replace(reminder_recipe(), migrations=()))
        with server.connect(served, ROLE) as connection:
            connection.execute("select cron.schedule('theirs', '0 6 * * *', 'select 1')")
        before = _found_on(server, served)
        yield f"postgresql://{server.superuser}@{server.host}:{server.port}/{MAINTENANCE}"
        after = _found_on(server, served)
        left = {what: (was, after[what]) for what, was in before.items() if after[what] != was}
        assert not left, left


def _found_on(server: Server, served: str) -> dict[str, object]:
    with server.connect(served) as admin:
        return state_of(server, served) | {
            table: admin.execute(f"select * from {table} order by 1").fetchall()
            for table in ("cron.job", "cron.job_run_details", "pg_namespace")
        }


@contextmanager
def open_served(url: str, part: str) -> Iterator[Place]:
    """Give the database of a URL's server that the part serves; without the part, skip."""
    with open_url(url, ROLE, SUPABASE, allow_remote=False) as visit:
        server, maintenance = visit.server, visit.maintenance
        with server.connect(maintenance) as admin:
            row = admin.execute(
                "select coalesce(current_setting(%s, true), %s)",
                (WORKER_SETTINGS.get(part, part), maintenance),
            ).fetchone()
        assert row is not None
        served = str(row[0])
        with server.connect(served) as admin:
            found = admin.execute(
                "select extversion from pg_extension where extname = %s", (part,)
            ).fetchone()
        if found is None:
            pytest.skip(
                f"{NOT_THERE} {part} in its database {served}: the stand-in is not compared with "
                "the real one."
            )
        version = str(found[0])
        real = replace(server, real_parts=(f"{part} {version}",))
        yield Place(Database(real, served, ROLE), version, served)
