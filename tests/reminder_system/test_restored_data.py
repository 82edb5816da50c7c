"""A dump that is loaded into another project: what came wrong is found, and mended."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sql_snippets.servers.binaries import find_binaries
from tests.reminder_system.days import day
from tests.reminder_system.lanes import open_own_server
from tests.reminder_system.people import add_assignments, add_mentors
from tests.reminder_system.runs import check, one

if TYPE_CHECKING:
    from collections.abc import Callable

    from sql_snippets.database.databases import Database, Template

Connection = psycopg.Connection[Any]

ASSIGNMENTS, ACTIVITIES = "--table=public.assignments", "--table=public.activities"


def copy_data(source: Database, target: Database, *tables: str) -> None:
    """Copy rows as `pg_dump --data-only` does, past every trigger."""
    server = source.server
    tools = find_binaries("system")
    to = ["-h", server.host, "-p", str(server.port), "-U", server.superuser]
    alone = ["--data-only", "--disable-triggers", *tables]
    dump = subprocess.run(
        [tools.tool("pg_dump"), *to, *alone, source.name], check=True, capture_output=True
    )
    subprocess.run(
        [tools.tool("psql"), *to, "-q", "-v", "ON_ERROR_STOP=1", "-d", target.name],
        input=dump.stdout,
        check=True,
        capture_output=True,
    )


def log_contact(postgres: Connection, assignment: int, ago: int) -> None:
    postgres.execute(
        "insert into public.activities (assignment_id, activity_type, occurred_on) "
        "values (%s, 'phone_call', %s)",
        (assignment, day(ago)),
    )


@pytest.fixture(scope="module")
def template(open_lanes: Callable[[str], Template]) -> Template:
    """The server that comes with pg_dump."""
    return open_lanes("system")


@pytest.fixture
def source(database: Database, postgres: Connection) -> Database:
    """A project with two assignments, one of which has contact."""
    first, _ = add_assignments(postgres, 2)
    log_contact(postgres, first, 40)
    return database


def test_data_of_all_tables_is_well(source: Database, template: Template) -> None:
    with template.clone() as target, target.connect() as restored:
        copy_data(source, target, ASSIGNMENTS, ACTIVITIES)
        assert restored.execute("select * from reminder.drift").fetchall() == []
        assert check(restored, "contact_dates")[0]
        add_mentors(restored)
        # New rows get numbers that are not taken.
        (third,) = add_assignments(restored, 1)
        log_contact(restored, third, 3)
        assert one(restored, "select count(*) from public.activities") == 2


def test_activities_without_their_dates_are_found_and_mended(
    source: Database, postgres: Connection, template: Template
) -> None:
    with template.clone() as target, target.connect() as restored:
        copy_data(source, target, ASSIGNMENTS)
        log_contact(postgres, 1, 3)
        copy_data(source, target, ACTIVITIES)
        ok, finding, section = check(restored, "contact_dates")
        assert (ok, section) == (False, "reminders-after-contact")
        assert finding.startswith("1 not as logged")
        assert one(restored, "select reminder.repair_last_contact()") == 1
        assert check(restored, "contact_dates")[0]
        date = "select last_contact_date from public.assignments where id = 1"
        assert one(restored, date) == day(3)


# What an operator may not do to a schema that is the platform's, and need not.
_OF_THE_PLATFORM = {
    'schema "public" already exists',
    "must be owner of schema public",
}
_HELD = """
select count(*)
from pg_class c
cross join unnest('{anon,authenticated,service_role}'::text[]) r
where c.oid in (select o.id from reminder.own_relations() o)
  and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  and has_table_privilege(r, c.oid, 'truncate')
"""


def not_ok(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute("select what from reminder.health where not ok")}


def test_schemas_in_a_project_of_older_default_privileges(
    source: Database, template: Template
) -> None:
    """Loaded by the operator, whose new tables in public were given to everybody until 2026."""
    with template.clone() as fresh, fresh.connect() as connection:
        add_mentors(connection)
        waits_for_its_operator = not_ok(connection)
    tools = find_binaries("system")
    server = source.server
    dump = subprocess.run(
        [
            *(tools.tool("pg_dump"), "-h", server.host, "-p", str(server.port)),
            *("-U", server.superuser, "-n", "public", "-n", "reminder", source.name),
        ],
        check=True,
        capture_output=True,
    )
    with open_own_server("system", migrate=False) as own, own.database.connect() as restored:
        for what in ("tables", "sequences", "functions"):
            restored.execute(
                f"alter default privileges in schema public grant all on {what} "
                "to postgres, anon, authenticated, service_role".encode()
            )
        add_mentors(restored)
        load = subprocess.run(
            [
                *(tools.tool("psql"), "-h", own.server.host, "-p", str(own.server.port)),
                *("-U", "postgres", "-q", "-d", own.database.name),
            ],
            input=dump.stdout,
            check=True,
            capture_output=True,
        )
        refused = {
            line.partition("ERROR:  ")[2]
            for line in load.stderr.decode().splitlines()
            if "ERROR:  " in line
        }
        assert refused <= _OF_THE_PLATFORM
        assert one(restored, _HELD) > 0
        ok, finding, section = check(restored, "deployment")
        assert (ok, section) == (False, "what-differs"), finding
        restored.execute("select * from reminder.repair_grants()")
        assert one(restored, _HELD) == 0
        kinds = restored.execute(
            "select distinct split_part(object, ' ', 1) from reminder.drift"
        ).fetchall()
        assert kinds == [("job",)]
        restored.execute("select * from reminder.register_jobs()")
        assert restored.execute("select * from reminder.drift").fetchall() == []
        assert not_ok(restored) == waits_for_its_operator
        assert one(restored, "select count(*) from public.activities") == 1
