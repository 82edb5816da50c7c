"""The people of the organisation, and how each of them reaches the database."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the Data API: the database role, and the claims of the token."""

    role: str
    user: UUID | None = None
    app_role: str | None = None

    def claims(self) -> str:
        claims: dict[str, object] = {"role": self.role}
        if self.user is not None:
            claims["sub"] = str(self.user)
        if self.app_role is not None:
            claims["app_metadata"] = {"role": self.app_role}
        return json.dumps(claims)


AMARA = UUID("00000000-0000-4000-8000-00000000000a")
BRUNO = UUID("00000000-0000-4000-8000-00000000000b")

MENTOR = Caller("authenticated", AMARA)
OTHER_MENTOR = Caller("authenticated", BRUNO)
COORDINATOR = Caller("authenticated", UUID("00000000-0000-4000-8000-0000000000c0"), "coordinator")
ADMIN = Caller("authenticated", UUID("00000000-0000-4000-8000-0000000000ad"), "admin")
ANYBODY = Caller("anon")
# The application's own server, which registers what it was told by telephone or from a file.
SERVER = Caller("service_role")


@contextmanager
def data_api(database: Database, caller: Caller) -> Iterator[psycopg.Connection[Any]]:
    """Give one request of the Data API: one transaction, role and claims set as PostgREST does."""
    with database.connect("authenticator", "PostgREST", autocommit=False) as connection:
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (caller.role, caller.claims()),
        )
        yield connection


def add_mentors(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "insert into auth.users (id, email) values (%s, 'amara@example.org'), "
        "(%s, 'bruno@example.org')",
        (AMARA, BRUNO),
    )


def add_assignments(
    connection: psycopg.Connection[Any],
    count: int,
    *,
    mentor: UUID = AMARA,
    started_days_ago: int = 200,
    status: str = "active",
) -> list[int]:
    """Assign ``count`` people to a mentor; return the keys in ascending order."""
    rows = connection.execute(
        "insert into public.assignments (mentor_id, person_id, status, started_on) "
        "select %s, gen_random_uuid(), %s, (now() at time zone 'utc')::date - %s::integer "
        "from generate_series(1, %s) returning id",
        (mentor, status, started_days_ago, count),
    ).fetchall()
    return sorted(row[0] for row in rows)
