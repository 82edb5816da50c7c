"""The migrations: applied one by one from empty, and fit for ``supabase db push``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import pq

from sql_snippets.database import building
from sql_snippets.sqltext import lexer
from tests.reminder_system.lanes import LANES, open_own_server, reminder_recipe
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    from sql_snippets.database.databases import Template

MIGRATIONS = list(reminder_recipe().migrations)
NAMES = [path.name for path in MIGRATIONS]

DONE = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}

# The CLI sends a file as one batch in one implicit transaction.  A statement that ends or refuses
# one breaks the deployment, or worse its bookkeeping; the others need rights that nobody has there.
FORBIDDEN = {
    ("begin",): "ends the transaction that the CLI keeps its records in",
    ("start", "transaction"): "ends the transaction that the CLI keeps its records in",
    ("commit",): "ends the transaction that the CLI keeps its records in",
    ("end",): "ends the transaction that the CLI keeps its records in",
    ("rollback",): "ends the transaction that the CLI keeps its records in",
    ("abort",): "ends the transaction that the CLI keeps its records in",
    ("savepoint",): "ends the transaction that the CLI keeps its records in",
    ("vacuum",): "cannot run in a transaction",
    ("call",): "a procedure that commits cannot run in a transaction",
    ("alter", "system"): "needs a superuser",
    ("create", "database"): "cannot run in a transaction",
    ("set", "role"): "leaves objects with another owner",
    ("set", "session"): "leaves objects with another owner",
    ("reset",): "undoes settings of the CLI's session",
    ("discard",): "cannot run in a transaction",
    ("copy",): "has no data stream in a migration",
}


@pytest.fixture(params=MIGRATIONS, ids=NAMES)
def migration(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_there_are_some() -> None:
    assert len(MIGRATIONS) >= 13


def test_name_is_one_that_the_cli_takes(migration: Path) -> None:
    assert re.fullmatch(r"\d{14}_[a-z0-9_]+\.sql", migration.name)


def test_no_two_have_the_same_version() -> None:
    versions = [name[:14] for name in NAMES]
    assert len(set(versions)) == len(versions)


def test_says_how_to_undo_it(migration: Path) -> None:
    head = migration.read_text(encoding="utf-8").split("\n\n")
    comments = [part for part in head if part.startswith("--")]
    assert any(
        re.search(
            r"^-- To undo(: nothing\. +\S|, after every later migration:\n--   \S)", c, re.MULTILINE
        )
        for c in comments[:1]
    )


def test_has_no_statement_that_a_deployment_cannot_run(migration: Path) -> None:
    text = migration.read_text(encoding="utf-8")
    for statement in lexer.statements(text):
        line = text.count("\n", 0, statement.start) + 1
        where = f"{migration.name}:{line}"
        for words, why in FORBIDDEN.items():
            assert statement.words[: len(words)] != words, f"{where}: {' '.join(words)} {why}"
        code = text[statement.start : statement.end].lower()
        assert not re.search(r"^\s*(create|drop|re)\s*(unique\s+)?index\s+concurrently", code), (
            where
        )


def test_forbidden_statements_are_seen() -> None:
    for sql in ("commit;", "select 1; COMMIT", "do $$ begin end $$; call p()", "/* x */ vacuum t"):
        assert any(
            statement.words[: len(words)] == words
            for statement in lexer.statements(sql)
            for words in FORBIDDEN
        ), sql


def test_apply_one_by_one_from_empty_and_the_seed_after_them(template: Template) -> None:
    """Each file is one message, in a session of its own, as a role that is not a superuser."""
    recipe = reminder_recipe(seed=True)
    name = f"{template.name}_one_by_one"
    with template.server.connect(template.maintenance) as admin:
        admin.execute(f"create database {name} template template0")
        try:
            building.build(template.server, name, replace(recipe, migrations=(), seed=None))
            with template.server.connect(name, recipe.role) as postgres:
                assert one(postgres, "select to_regnamespace('reminder') is null")
            for path in (*recipe.migrations, recipe.seed):
                assert path is not None
                with template.server.connect(name, recipe.role) as postgres:
                    assert one(postgres, "select not rolsuper from pg_roles where rolname = user")
                    result = postgres.pgconn.exec_(path.read_bytes())
                    assert result.status in DONE, (path.name, result.get_error_message())
                    assert postgres.pgconn.transaction_status == pq.TransactionStatus.IDLE
            with template.server.connect(name, recipe.role) as postgres:
                assert one(postgres, "select count(*) from public.assignments") > 0
                assert one(postgres, "select count(*) from reminder.health") > 0
        finally:
            admin.execute(f"drop database {name} with (force)")


def test_schedule_applied_again_keeps_a_disabled_job_disabled(template: Template) -> None:
    (schedule,) = (path for path in MIGRATIONS if path.name.endswith("_schedule.sql"))
    jobs = "select jobname, schedule, command, active from cron.job order by jobname"
    with template.clone() as database, database.connect() as postgres:
        postgres.execute(
            "select cron.alter_job(jobid, active := false) from cron.job "
            "where jobname = 'peer-mentor-reminders'"
        )
        before = postgres.execute(jobs).fetchall()
        postgres.execute(schedule.read_bytes())
        assert postgres.execute(jobs).fetchall() == before
        assert [row[0] for row in before if not row[3]] == ["peer-mentor-reminders"]


def test_jobs_are_one_statement_each(template: Template) -> None:
    with template.clone() as database, database.connect() as postgres:
        commands = postgres.execute("select command from cron.job").fetchall()
    assert commands
    for (command,) in commands:
        assert len(list(lexer.statements(str(command)))) == 1, command


# What a migration makes, as text that is the same for the same thing: no oids, no statistics, and
# privileges written out where nobody has touched them.
CATALOG = """
with ours as (
  select oid from pg_namespace where nspname in ('public', 'reminder', 'auth', 'net', 'vault')
)
select 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') from pg_namespace
where nspname !~ '^pg_(toast|temp)' and nspname <> 'information_schema'
union all
select 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || c.relrowsecurity || ' '
  || coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char",
    c.relowner))::text || ' ' || coalesce(c.reloptions::text, '')
  || coalesce(pg_get_viewdef(case when c.relkind = 'v' then c.oid end), '')
from pg_class c where c.relnamespace in (table ours)
union all
select 'column ' || c.oid::regclass || '.' || a.attname || ' ' || a.atttypid::regtype || ' '
  || a.attnotnull || ' ' || coalesce(a.attacl::text, '') || ' '
  || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace in (table ours) and c.relkind in ('r', 'v')
union all
select 'index ' || pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace in (table ours)
union all
select 'constraint ' || c.conrelid::regclass || ' ' || c.conname || ' '
  || pg_get_constraintdef(c.oid)
from pg_constraint c where c.connamespace in (table ours)
union all
select 'routine ' || p.oid::regprocedure || ' '
  || coalesce(p.proacl, acldefault('f', p.proowner))::text || ' ' || pg_get_functiondef(p.oid)
from pg_proc p where p.pronamespace in (table ours) and p.prokind in ('f', 'p')
union all
select 'trigger ' || pg_get_triggerdef(t.oid) from pg_trigger t
join pg_class c on c.oid = t.tgrelid
where c.relnamespace in (table ours) and not t.tgisinternal
union all
select 'policy ' || p.polrelid::regclass || ' ' || p.polname || ' ' || p.polcmd::text || ' '
  || p.polroles::text || coalesce(pg_get_expr(p.polqual, p.polrelid), '')
  || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
from pg_policy p
union all
select 'comment ' || pg_describe_object(d.classoid, d.objoid, d.objsubid) || ' ' || d.description
from pg_description d
where pg_describe_object(d.classoid, d.objoid, d.objsubid) ~ '(public|reminder)\\M'
union all
select 'default privileges ' || pg_get_userbyid(defaclrole) || ' ' || defaclnamespace::regnamespace
  || ' ' || defaclobjtype::text || ' ' || defaclacl::text
from pg_default_acl
union all
select 'setting ' || pg_get_userbyid(setrole) || ' ' || setconfig::text from pg_db_role_setting
union all
select 'job ' || jobname || ' ' || schedule || ' ' || command from cron.job
order by 1
"""


def catalog(connection: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute(CATALOG).fetchall()]


UNDO = r"^-- To undo, after every later migration:\n((?:--   .*\n)+)"


def undo_note(migration: Path) -> str:
    """Return the SQL of the note in the head of a migration, or nothing where it says nothing."""
    text = migration.read_text(encoding="utf-8")
    found = re.search(
        r"^-- To undo, after every later migration:\n((?:--   .*\n)+)", text, re.MULTILINE
    )
    if found is None:
        assert re.search(r"^-- To undo: nothing\. +\S", text, re.MULTILINE), migration.name
        return ""
    return re.sub(r"^--   ", "", found[1], flags=re.MULTILINE)


@pytest.mark.parametrize("lane", LANES)
def test_each_note_undoes_its_migration_and_no_more(lane: str) -> None:
    """Forward one by one, back one by one, and forward again: the catalog is the same each time."""
    with open_own_server(lane, migrate=False) as own, own.database.connect() as postgres:
        before: list[list[str]] = []
        for path in MIGRATIONS:
            before.append(catalog(postgres))
            postgres.execute(path.read_bytes())
        everything = catalog(postgres)
        for path, was in zip(reversed(MIGRATIONS), reversed(before), strict=True):
            undo = undo_note(path)
            if not undo:
                continue
            postgres.execute(undo.encode())
            assert catalog(postgres) == was, path.name
        assert one(postgres, "select to_regnamespace('reminder') is null")
        for path in MIGRATIONS:
            postgres.execute(path.read_bytes())
        assert catalog(postgres) == everything


# A project whose parts were switched on in the Dashboard, one whose role has the setting, and one
# whose jobs were registered by hand: these can be met by what is there already.  What was revoked
# is revoked again.  The others are in schema_migrations once they were applied, and a second time
# is a mistake that has to be seen.
REPLAYED = ("_platform_extensions.sql", "_role_settings.sql", "_privileges.sql", "_schedule.sql")


def test_what_is_replayed_changes_nothing_and_the_rest_is_refused_whole(
    template: Template, migration: Path
) -> None:
    with template.clone() as database, database.connect() as postgres:
        before = catalog(postgres)
        if migration.name.endswith(REPLAYED):
            postgres.execute(migration.read_bytes())
        else:
            with pytest.raises(psycopg.Error) as refused:
                postgres.execute(migration.read_bytes())
            # Already there, and nothing else: schema, relation, routine, or policy.
            assert refused.value.sqlstate in {"42P06", "42P07", "42723", "42710"}
        assert catalog(postgres) == before
