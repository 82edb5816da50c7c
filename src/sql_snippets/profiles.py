"""What the checks know of a platform: all of it stands here, and one setting chooses.

A profile says what a reader pastes blocks into, which queues the platform has, and what a
throw-away server has to have so that it is like one of the platform's.  What can be written in SQL,
such as schemas, roles and stand-ins for extensions, is in the project's own platform files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Editor:
    """What a reader pastes blocks into, as far as it makes a difference.

    ``application_name`` is what the server knows it by, ``limit`` what it adds to a single select,
    ``seconds`` how long it waits.  One that shows ``rows_only`` shows the last result that has
    rows, and not the last.
    """

    application_name: str
    limit: int | None = None
    seconds: float | None = None
    rows_only: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A platform.

    ``effects`` names relations whose rows are orders to a worker, and what such an order does: to
    take one back is to change the orders, WRITE.  A server of our own has the ``superuser`` and the
    ``server_settings``.  ``local_server`` is what people call the platform's own server on their
    machine, and ``example_url`` an address such as it has.
    """

    editor: Editor
    effects: Mapping[str, str] = field(hash=False)
    superuser: str
    example_url: str
    server_settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    local_server: str | None = None


PSQL = Editor("psql")

WORKER_SETTINGS: Mapping[str, str] = {
    "pg_cron": "cron.database_name",
    "pg_net": "pg_net.database_name",
}
"""Extensions whose background worker serves one database, and the setting that names it.

The worker's connection keeps that database from being cloned.
"""

READ_OUTSIDE = ("request.", "response.", "pgrst.", "supautils.")
"""How settings begin that programs beside the database read, such as a Data API or a pooler."""

_PG_CRON = {"cron.job": "job scheduled or unscheduled"}

POSTGRES = Profile(
    editor=PSQL,
    effects=_PG_CRON,
    # Not postgres: that is what the role of the reader is called unless a setting says otherwise.
    superuser="sql_snippets_admin",
    example_url="postgresql://SUPERUSER:PASSWORD@127.0.0.1:5432/postgres",
)

SUPABASE = Profile(
    # Studio's SQL Editor: its default for the limit, and the limit of its requests.
    editor=Editor("supabase/dashboard-query-editor", limit=100, seconds=60.0, rows_only=True),
    effects={**_PG_CRON, "net.http_request_queue": "HTTP request queued"},
    superuser="supabase_admin",
    example_url="postgresql://supabase_admin:PASSWORD@127.0.0.1:54322/postgres",
    server_settings={"statement_timeout": "2min"},
    local_server="the server that 'supabase start' runs",
)

PROFILES: Mapping[str, Profile] = {"postgres": POSTGRES, "supabase": SUPABASE}
"""By the value of the setting; the first is the one that is used without it."""
