"""What outlives every database of a server, as PostgreSQL's own dump tells it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sql_snippets.servers.server import Server

_BESIDE_THE_DUMP = (
    (
        "select datname, datdba::regrole, datacl::text, shobj_description(oid, 'pg_database') "
        "from pg_database order by 1"
    ),
    "select slot_name from pg_replication_slots order by 1",
    "select gid from pg_prepared_xacts order by 1",
    "select name, setting from pg_file_settings order by 1, 2",
    # Settings for one database are no part of the dump of what is global.
    "select setdatabase, setrole::regrole::text, setconfig from pg_db_role_setting order by 1, 2",
)


def state_of(server: Server, maintenance: str = "postgres") -> dict[str, object]:
    """Return roles with passwords, memberships and settings, databases, slots, files of settings.

    By what was asked, so that a test that compares two states says what differs.
    """
    address = ("-h", server.host, "-p", str(server.port), "-U", server.superuser)
    dump = subprocess.run(
        ["pg_dumpall", "--globals-only", *address, "-l", maintenance],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # A line for psql holds a new random word each time, and never to expire is said in two ways.
    endless = " VALID UNTIL 'infinity'"
    lines = [line.replace(endless, "") for line in dump.splitlines() if not line.startswith("\\")]
    with server.connect(maintenance) as admin:
        return {
            "pg_dumpall": lines,
            **{text: admin.execute(text).fetchall() for text in _BESIDE_THE_DUMP},
        }
