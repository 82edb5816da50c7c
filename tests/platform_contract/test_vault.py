"""Vault by its published signatures, columns, grants and errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.platform_contract.catalog import columns, may_execute, privileges, signatures

Connection = psycopg.Connection[Any]

FUNCTIONS = (
    "vault.create_secret(text, text, text, uuid)",
    "vault.update_secret(uuid, text, text, text, uuid)",
)


def test_functions(postgres: Connection) -> None:
    found = signatures(postgres, "vault", "create_secret", "update_secret")
    assert sorted(found.values()) == [
        (
            "new_secret text, new_name text DEFAULT NULL::text, "
            "new_description text DEFAULT ''::text, new_key_id uuid DEFAULT NULL::uuid -> uuid"
        ),
        (
            "secret_id uuid, new_secret text DEFAULT NULL::text, new_name text DEFAULT NULL::text, "
            "new_description text DEFAULT NULL::text, new_key_id uuid DEFAULT NULL::uuid -> void"
        ),
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_run_as_their_owner(postgres: Connection, function: str) -> None:
    row = postgres.execute(
        "select prosecdef from pg_proc where oid = %s::text::regprocedure", (function,)
    ).fetchone()
    assert row == (True,)


def test_secrets(postgres: Connection) -> None:
    assert columns(postgres, "vault.secrets") == [
        ("id", "uuid", True),
        ("name", "text", False),
        ("description", "text", True),
        ("secret", "text", True),
        ("key_id", "uuid", False),
        ("nonce", "bytea", False),
        ("created_at", "timestamp with time zone", True),
        ("updated_at", "timestamp with time zone", True),
    ]


def test_decrypted_secrets(postgres: Connection) -> None:
    assert [name for name, _, _ in columns(postgres, "vault.decrypted_secrets")] == [
        "id",
        "name",
        "description",
        "secret",
        "decrypted_secret",
        "key_id",
        "nonce",
        "created_at",
        "updated_at",
    ]


@pytest.mark.parametrize("relation", ["vault.secrets", "vault.decrypted_secrets"])
def test_grants_on_tables(postgres: Connection, relation: str) -> None:
    # UPDATE and INSERT go through the functions.
    operator = privileges(postgres, "postgres", relation)
    assert {"SELECT", "DELETE"} <= operator
    assert not operator & {"INSERT", "UPDATE"}
    assert privileges(postgres, "service_role", relation) == {"SELECT", "DELETE"}
    assert privileges(postgres, "anon", relation) == set()
    assert privileges(postgres, "authenticated", relation) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_grants_on_functions(postgres: Connection, function: str) -> None:
    allowed = {
        role: may_execute(postgres, role, function)
        for role in ("public", "anon", "authenticated", "service_role", "postgres")
    }
    assert allowed == {
        "public": False,
        "anon": False,
        "authenticated": False,
        "service_role": True,
        "postgres": True,
    }


def test_first_the_value_and_then_the_name(postgres: Connection) -> None:
    row = postgres.execute("select vault.create_secret('the value', 'the_name')").fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    found = postgres.execute(
        "select id, name, description, decrypted_secret from vault.decrypted_secrets "
        "where name = 'the_name'"
    ).fetchall()
    assert found == [(row[0], "the_name", "", "the value")]


def test_the_stored_form_is_not_the_value(postgres: Connection) -> None:
    postgres.execute("select vault.create_secret('the value', 'the_name')")
    row = postgres.execute(
        "select count(*) from vault.secrets s where s::text like '%the value%'"
    ).fetchone()
    assert row == (0,)


@pytest.mark.parametrize("value", ["", "ä €", "x" * 5000, "a\nb"])
def test_a_value_comes_back_as_it_was(postgres: Connection, value: str) -> None:
    postgres.execute("select vault.create_secret(%s, 'the_name')", (value,))
    row = postgres.execute(
        "select decrypted_secret from vault.decrypted_secrets where name = 'the_name'"
    ).fetchone()
    assert row == (value,)


def test_a_name_is_taken_once_and_no_name_often(postgres: Connection) -> None:
    for _ in range(2):
        postgres.execute("select vault.create_secret('x')")
    postgres.execute("select vault.create_secret('x', 'the_name')")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        postgres.execute("select vault.create_secret('y', 'the_name')")
    assert caught.value.diag.constraint_name == "secrets_name_idx"


def test_a_value_is_needed(postgres: Connection) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        postgres.execute("select vault.create_secret(null, 'the_name')")


def test_update_changes_what_is_given_and_keeps_the_rest(postgres: Connection) -> None:
    postgres.execute("select vault.create_secret('old', 'the_name', 'why')")
    postgres.execute(
        "select vault.update_secret(id, 'new') from vault.secrets where name = 'the_name'"
    )
    postgres.execute(
        "select vault.update_secret(id, new_name := 'renamed') from vault.secrets "
        "where name = 'the_name'"
    )
    row = postgres.execute(
        "select name, description, decrypted_secret from vault.decrypted_secrets"
    ).fetchone()
    assert row == ("renamed", "why", "new")


def test_a_name_that_is_missing_gives_no_row(postgres: Connection) -> None:
    row = postgres.execute(
        "select 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets "
        "where name = 'missing')"
    ).fetchone()
    assert row == (None,)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into vault.secrets (name, secret) values ('n', 'plain')",
        "update vault.secrets set secret = 'plain'",
    ],
)
def test_the_operator_does_not_write_the_table(postgres: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        postgres.execute(statement)
    assert caught.value.diag.message_primary == "permission denied for table secrets"
