"""The migrations: applied one by one from empty, and fit for ``supabase db push``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import pq

from sql_snippets import building, lexer
from sql_snippets.recipes import Recipe
from tests.reminder_system.lanes import ROOT, reminder_recipe
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    from sql_snippets.databases import Template

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
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
        re.search(r"^-- To undo: *\S|^-- To undo:\n-- +\S", c, re.MULTILINE) for c in comments[:1]
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
            building.build(template.server, name, Recipe(recipe.platform, (), None, recipe.role))
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
