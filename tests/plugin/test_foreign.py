from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.recipes import Recipe, RecipeError
from sql_snippets.model import ServerError
from sql_snippets.sqltext.advice import for_block, for_file

if TYPE_CHECKING:
    from pathlib import Path

UP = "create table a (id int);\n"
DOWN = "drop table a;\n"


def _recipe(folder: Path, files: dict[str, str]) -> Recipe:
    for name, text in files.items():
        path = folder / "migrations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Recipe.from_folders(
        platform=None, migrations=folder / "migrations", seed=None, role="postgres"
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"1_a.up.sql": UP, "1_a.down.sql": DOWN},
            ("golang-migrate", "1_a.down.sql would run too", "migrate -path migrations"),
        ),
        (
            {"1.sql": f"-- migrate:up\n{UP}-- migrate:down\n{DOWN}"},
            (
                "dbmate",
                'part "-- migrate:down" of 1.sql',
                "run: dbmate --migrations-dir migrations",
            ),
        ),
        (
            {"1.sql": f"-- +goose Up\n{UP}\n -- +goose Down\n{DOWN}"},
            ("goose", "+goose Down", 'goose -dir migrations postgres "$DATABASE_URL" up'),
        ),
        (
            {"1.sql": f"-- +migrate Up\n{UP}-- +migrate Down\n{DOWN}"},
            ("sql-migrate", "sql-migrate"),
        ),
        ({"1.sql": f"-- Up Migration\n{UP}-- Down Migration\n{DOWN}"}, ("node-pg-migrate",)),
        ({"V1__a.sql": UP, "U1__a.sql": DOWN}, ("Flyway", "U1__a.sql would run too")),
        (
            {"V2__b.sql": UP, "V10__c.sql": UP},
            ("Flyway", "V10__c.sql would run before V2__b.sql", "filesystem:migrations migrate"),
        ),
        ({"001.do.sql": UP, "001.undo.sql": DOWN}, ("Postgrator",)),
        ({"1.sql": UP, "1.rollback.sql": DOWN}, ("yoyo",)),
        ({"1_a/migration.sql": UP}, ("Prisma", "would not run", "npx prisma migrate deploy")),
        ({"1_a/up.sql": UP, "1_a/down.sql": DOWN}, ("Diesel", "diesel migration run")),
    ],
)
def test_migrations_of_another_tool_are_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], said: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        _recipe(tmp_path, files)
    for words in (*said, 'sql_migrations = """'):
        assert words in str(caught.value)


def test_what_does_no_harm_is_run(tmp_path: Path) -> None:
    files = {
        "V1__a.sql": UP,
        "V2__b.sql": "-- rollback drop table a;\nselect 1;\n",
        "a.sql": "-- migrate:up\nselect 1;\n-- migrate:down\n-- nothing to undo\n",
        "b.sql": "-- +goose Up\nselect 1;\n",
        "c.sql": "select '-- migrate:downtown';\n",
        "old/d.sql": DOWN,
    }
    assert len(_recipe(tmp_path, files).migrations) == 5


@pytest.mark.parametrize(
    ("sqlstate", "message", "role", "help_"),
    [
        ("0A000", 'extension "pgmq" is not available', "postgres", "--sql-server system"),
        ("0A000", 'extension "pgmq" is not available', None, "--sql-server system"),
        (
            "58P01",
            'could not open extension control file "/usr/share/extension/pgmq.control": No',
            "postgres",
            "does not have the extension pgmq",
        ),
        (
            "42501",
            "permission denied for schema x",
            "docs",
            "role docs, which the setting",
        ),
        ("42501", "permission denied for schema x", None, None),
        ("42704", 'role "anon" does not exist', "postgres", "the role anon, make it in a file"),
        ("3F000", 'schema "auth" does not exist', "postgres", "sql_platform"),
        ("42P01", 'relation "a" does not exist', "postgres", None),
    ],
)
def test_a_file_that_fails_names_the_setting_that_helps(
    sqlstate: str, message: str, role: str | None, help_: str | None
) -> None:
    given = for_file(ServerError(sqlstate, message), role)
    assert given is None if help_ is None else help_ in (given or "")


@pytest.mark.parametrize(
    ("sqlstate", "message", "sql", "help_"),
    [
        (
            "25001",
            "VACUUM cannot run inside",
            "vacuum; select 1",
            "psql would send these statements",
        ),
        ("25001", "VACUUM cannot run inside", "vacuum", None),
        ("42501", "permission denied for table a", "select * from a", "role=NAME"),
        (
            "0A000",
            'extension "pgmq" is not available',
            "create extension pgmq",
            "have the extension",
        ),
        (
            "42601",
            'syntax error at or near "\\"',
            "select 1;\n\\d orders",
            r"\d is a command of psql",
        ),
        ("42601", 'syntax error at or near "\\"', "\\timing on", r"\timing is a command of psql"),
        ("42601", 'syntax error at or near "postgres"', "postgres=# select 1;", "a prompt of psql"),
        ("42601", 'syntax error at or near "\\"', "select 1 \\gx", r"\gx is a command of psql"),
        ("55P04", "unsafe use of new value", "alter type a add value 'b'; select 1", "one by one"),
        ("42601", 'syntax error at or near "x"', "x", None),
        ("22012", "division by zero", "select 1/0", None),
    ],
)
def test_a_block_that_fails_says_what_helps(
    sqlstate: str, message: str, sql: str, help_: str | None
) -> None:
    offset = max(sql.find("\\"), 0)
    given = for_block(ServerError(sqlstate, message, offset=offset), sql, None)
    assert given is None if help_ is None else help_ in (given or "")
