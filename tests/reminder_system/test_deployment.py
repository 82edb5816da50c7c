"""Putting the system into a database and taking it out again, as "Put it live" says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from scripts.tasks.common import TaskError
from scripts.tasks.rename_tables import read_names, rename, renamed
from sql_snippets.database import building
from sql_snippets.database.databases import Database
from sql_snippets.database.recipes import MigrationFailed, Recipe
from sql_snippets.servers.binaries import find_binaries
from tests.reminder_system.lanes import ROOT, reminder_recipe
from tests.reminder_system.people import AMARA, add_mentors
from tests.reminder_system.runs import one, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from sql_snippets.database.databases import Template

SUPABASE = ROOT / "supabase"
# What a project may have that knows nothing of this system.
OWN_TABLES = """\
create table public.assignments (id int primary key, task text not null);
create index assignments_active_idx on public.assignments (task);
insert into public.assignments values (1, 'tidy up');
create table public.activities (id int primary key, note text);
select vault.create_secret('theirs', 'OTHER_SECRET', 'of the application');
select cron.schedule('theirs', '0 1 * * *', 'select 1');
"""


@pytest.fixture
def unmigrated(template: Template) -> Iterator[Database]:
    """A database as the platform hands it over, without the system."""
    recipe = reminder_recipe()
    name = f"{template.name}_own"
    with template.server.connect(template.maintenance) as admin:
        admin.execute(f"create database {name} template template0")
        try:
            building.build(template.server, name, replace(recipe, migrations=(), seed=None))
            yield Database(template.server, name, recipe.role)
        finally:
            admin.execute(f"drop database {name} with (force)")


@contextmanager
def _own_tables(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as postgres:
        for statement in filter(None, map(str.strip, OWN_TABLES.split(";\n"))):
            postgres.execute(statement.encode())
        yield postgres


def _address(database: Database) -> str:
    server = database.server
    return f"postgresql://{database.role}@/{database.name}?host={server.host}&port={server.port}"


def _run(database: Database, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that finds psql and the database."""
    tools = find_binaries(database.server.kind).bin_dir
    address = _address(database)
    return subprocess.run(
        command,
        env={**os.environ, "DATABASE_URL": address, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def _deploy(database: Database, folder: Path) -> subprocess.CompletedProcess[str]:
    return _run(database, folder / "deploy.sh")


def _dump(database: Database) -> str:
    """Return all that is in a database, and what its roles were given in it."""
    server = database.server
    tool = find_binaries(server.kind).tool("pg_dump")
    result = subprocess.run(
        [
            *(tool, "-h", server.host, "-p", str(server.port), "-U", server.superuser),
            # The CLI's records are its own.
            *("--exclude-schema=supabase_migrations", database.name),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    with server.connect(database.name) as admin:
        roles = admin.execute(
            "select rolname, rolconfig from pg_roles where rolname !~ '^pg_' order by rolname"
        ).fetchall()
    # pg_cron and pg_net go on counting.
    dump = re.sub(
        r"(?m)^(\\(un)?restrict .*|SELECT pg_catalog\.setval\('(cron|net)\..*)$", "", result.stdout
    )
    return f"{dump}\n{roles}"


def _is_as_deployed(postgres: psycopg.Connection[Any]) -> bool:
    return bool(one(postgres, "select not exists (select from reminder.drift)"))


def test_own_tables_are_met_with_a_sentence_and_nothing_is_changed(unmigrated: Database) -> None:
    with _own_tables(unmigrated) as postgres:
        before = _dump(unmigrated)
        with pytest.raises(MigrationFailed) as failed:
            building.build(
                unmigrated.server,
                unmigrated.name,
                Recipe((), reminder_recipe().migrations, None, unmigrated.role),
            )
        assert "names that this system needs: activities, assignments" in str(failed.value)
        assert "scripts/rename-tables" in str(failed.value)
        assert _dump(unmigrated) == before
        assert one(postgres, "select to_regnamespace('reminder') is null")


def test_it_lives_beside_tables_of_its_own_names(unmigrated: Database, tmp_path: Path) -> None:
    shutil.copytree(SUPABASE, tmp_path / "supabase")
    names = read_names(["assignments=mentor_assignments", "activities=mentor_activities"])
    assert rename(tmp_path, names)
    with _own_tables(unmigrated) as postgres:
        deployed = _deploy(unmigrated, tmp_path / "supabase")
        assert deployed.returncode == 0, deployed.stderr
        assert _is_as_deployed(postgres)
        add_mentors(postgres)
        number = one(
            postgres,
            "insert into public.mentor_assignments (mentor_id, person_id, started_on) "
            "values (%s, gen_random_uuid(), current_date - 100) returning id",
            AMARA,
        )
        assert run(postgres) is None
        assert one(postgres, "select assignment_id from reminder.dispatched_reminders") == number
        postgres.execute(
            "insert into public.mentor_activities (assignment_id, activity_type, occurred_on, "
            "registration_path, registered_by) "
            "values (%s, 'home_visit', current_date, 'direct', %s)",
            (number, AMARA),
        )
        since = "select last_contact_date = current_date from public.mentor_assignments"
        assert one(postgres, since)
        assert _is_as_deployed(postgres)
        assert postgres.execute("select * from public.assignments").fetchall() == [(1, "tidy up")]
        broken = "select not ok from reminder.health where what in ('deployment', 'jobs')"
        assert not any(row[0] for row in postgres.execute(broken).fetchall())


def test_a_deployment_that_stopped_says_where_and_goes_on(
    unmigrated: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "supabase"
    shutil.copytree(SUPABASE, folder)
    broken = folder / "migrations" / "20260601090800_services.sql"
    good = broken.read_text(encoding="utf-8")
    broken.write_text(good + "\nselect 1 / 0;\n", encoding="utf-8")
    first = _deploy(unmigrated, folder)
    assert first.returncode == 1
    assert f"Stopped at {broken.name}" in first.stderr
    assert "division by zero" in first.stderr
    with unmigrated.connect() as postgres:
        assert one(postgres, "select to_regprocedure('reminder.lock_key()') is null")
        broken.write_text(good, encoding="utf-8")
        second = _deploy(unmigrated, folder)
        assert second.returncode == 0, second.stderr
        done = first.stdout.split() + second.stdout.split()
        assert done == [path.name for path in reminder_recipe().migrations]
        assert _is_as_deployed(postgres)
        assert _deploy(unmigrated, folder).stdout == ""
        assert (
            one(postgres, "select version from reminder.last_migrations() limit 1")
            == (reminder_recipe().migrations[-1].name[:14])
        )


@pytest.fixture
def role_as_before(unmigrated: Database) -> Iterator[None]:
    """The role without the setting that it has on a server with this system, and then with it."""
    name = "client_connection_check_interval"
    with unmigrated.server.connect(unmigrated.name) as admin:
        admin.execute(f"alter role postgres reset {name}")
        yield
        admin.execute(f"alter role postgres set {name} = '2s'")


@pytest.mark.usefixtures("role_as_before")
def test_taken_out_it_leaves_no_trace(unmigrated: Database) -> None:
    with unmigrated.connect() as postgres:
        postgres.execute(
            "select vault.create_secret('theirs', 'OTHER_SECRET', 'of the application')"
        )
        postgres.execute("select cron.schedule('theirs', '0 1 * * *', 'select 1')")
        before = _dump(unmigrated)
        assert "OTHER_SECRET" in before
        assert _deploy(unmigrated, SUPABASE).returncode == 0
        add_mentors(postgres)
        postgres.execute(
            "insert into public.assignments (mentor_id, person_id, started_on) "
            "values (%s, gen_random_uuid(), current_date - 100)",
            (AMARA,),
        )
        for secret in ("REMINDER_ALERT_WEBHOOK_URL", "REMINDER_HEARTBEAT_URL"):
            postgres.execute("select reminder.set_address(%s, 'https://a.example')", (secret,))
        assert run(postgres) is None
        assert _dump(unmigrated) != before
        options = ("-Xq1", "-v", "ON_ERROR_STOP=1", "-f", SUPABASE / "uninstall.sql")
        result = _run(unmigrated, "psql", _address(unmigrated), *options)
        assert result.returncode == 0, result.stderr
        postgres.execute("delete from auth.users")
        with unmigrated.server.connect(unmigrated.name) as admin:
            # As the worker does, which is not at work here: the heartbeat is on its way.
            admin.execute("delete from net.http_request_queue")
        assert _dump(unmigrated) == before
        again = _deploy(unmigrated, SUPABASE)
        assert again.returncode == 0, again.stderr
        assert _is_as_deployed(postgres)


def test_a_push_does_not_write_over_an_address() -> None:
    config = tomllib.loads((SUPABASE / "config.toml").read_text(encoding="utf-8"))
    assert "vault" not in config["db"]


def test_the_seed_keeps_the_addresses_that_the_project_has(unmigrated: Database) -> None:
    with unmigrated.connect() as postgres:
        postgres.execute(
            "select vault.create_secret('https://own.example', 'REMINDER_ALERT_WEBHOOK_URL', '')"
        )
        assert _deploy(unmigrated, SUPABASE).returncode == 0
        postgres.execute((SUPABASE / "seed.sql").read_bytes())
        url = "select url from reminder.address_of('REMINDER_ALERT_WEBHOOK_URL')"
        assert one(postgres, url) == "https://own.example"


@pytest.mark.parametrize(
    "arguments",
    [[], ["assignments"], ["people=x"], ["assignments=Big"], ["assignments=a", "activities=a"]],
)
def test_names_that_cannot_be_given(arguments: list[str]) -> None:
    with pytest.raises(TaskError):
        read_names(arguments)


def test_only_the_names_of_tables_are_changed() -> None:
    text = (
        "select assignments_evaluated from public.assignments a; -- assignments and 'assignments'\n"
        "create index assignments_active_idx; public.assignments_id_seq (assignments|activities)"
    )
    assert renamed(text, {"assignments": "tasks"}) == (
        "select assignments_evaluated from public.tasks a; -- assignments and 'tasks'\n"
        "create index tasks_active_idx; public.tasks_id_seq (tasks|activities)"
    )
