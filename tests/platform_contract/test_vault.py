"""Vault by its published signatures, columns, grants and errors."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.platform_contract.catalog import columns, may_execute, privileges, signatures
from tests.platform_contract.places import OWN, Session

PART = "supabase_vault"
FUNCTIONS = (
    "vault.create_secret(text, text, text, uuid)",
    "vault.update_secret(uuid, text, text, text, uuid)",
)


def test_functions(postgres: Session) -> None:
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
def test_functions_run_as_their_owner(postgres: Session, function: str) -> None:
    row = postgres.execute(
        "select prosecdef from pg_proc where oid = %s::text::regprocedure", (function,)
    ).fetchone()
    assert row == (True,)


def test_secrets(postgres: Session) -> None:
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


def test_decrypted_secrets(postgres: Session) -> None:
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
def test_grants_on_tables(postgres: Session, relation: str) -> None:
    # UPDATE and INSERT go through the functions.
    operator = privileges(postgres, "postgres", relation)
    assert {"SELECT", "DELETE"} <= operator
    assert not operator & {"INSERT", "UPDATE"}
    assert privileges(postgres, "service_role", relation) == {"SELECT", "DELETE"}
    assert privileges(postgres, "anon", relation) == set()
    assert privileges(postgres, "authenticated", relation) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_grants_on_functions(postgres: Session, function: str) -> None:
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


def test_first_the_value_and_then_the_name(postgres: Session) -> None:
    row = postgres.execute(f"select vault.create_secret('the value', '{OWN}')").fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    found = postgres.execute(
        "select id, name, description, decrypted_secret from vault.decrypted_secrets "
        f"where name = '{OWN}'"
    ).fetchall()
    assert found == [(row[0], OWN, "", "the value")]


def test_the_stored_form_is_not_the_value(postgres: Session) -> None:
    postgres.execute(f"select vault.create_secret('the value', '{OWN}')")
    row = postgres.execute(
        "select count(*) from vault.secrets s where s::text like '%the value%'"
    ).fetchone()
    assert row == (0,)


@pytest.mark.parametrize("value", ["", "ä €", "x" * 5000, "a\nb"])
def test_a_value_comes_back_as_it_was(postgres: Session, value: str) -> None:
    postgres.execute(f"select vault.create_secret(%s, '{OWN}')", (value,))
    row = postgres.execute(
        f"select decrypted_secret from vault.decrypted_secrets where name = '{OWN}'"
    ).fetchone()
    assert row == (value,)


def test_a_name_is_taken_once_and_no_name_often(postgres: Session) -> None:
    for _ in range(2):
        postgres.execute("select vault.create_secret('x')")
    postgres.execute(f"select vault.create_secret('x', '{OWN}')")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        postgres.execute(f"select vault.create_secret('y', '{OWN}')")
    assert caught.value.diag.constraint_name == "secrets_name_idx"


def test_a_value_is_needed(postgres: Session) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        postgres.execute(f"select vault.create_secret(null, '{OWN}')")


def test_update_changes_what_is_given_and_keeps_the_rest(postgres: Session) -> None:
    postgres.execute(f"select vault.create_secret('old', '{OWN}', 'why')")
    postgres.execute(
        f"select vault.update_secret(id, 'new') from vault.secrets where name = '{OWN}'"
    )
    postgres.execute(
        "select vault.update_secret(id, new_name := name || '_new') from vault.secrets "
        f"where name = '{OWN}'"
    )
    row = postgres.execute(
        "select description, decrypted_secret from vault.decrypted_secrets "
        f"where name = '{OWN}_new'"
    ).fetchone()
    assert row == ("why", "new")


def test_a_name_that_is_missing_gives_no_row(postgres: Session) -> None:
    row = postgres.execute(
        "select 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets "
        "where name = 'missing')"
    ).fetchone()
    assert row == (None,)


def test_the_operator_inserts_no_row(postgres: Session) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        postgres.execute("insert into vault.secrets (name, secret) values ('n', 'plain')")
    # Not for the table: the default of a column asks first.
    assert caught.value.diag.message_primary == (
        "permission denied for function _crypto_aead_det_noncegen"
    )


def test_the_operator_updates_no_row(postgres: Session) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        postgres.execute("update vault.secrets set secret = 'plain'")
    assert caught.value.diag.message_primary == "permission denied for table secrets"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("?", 'invalid symbol "?" found while decoding base64 sequence'),
        ("aGVsbG8=", "pgsodium_crypto_aead_det_decrypt_by_id: invalid message"),
        ("A" * 64, "pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext"),
    ],
)
def test_what_cannot_be_decrypted_can_be_neither_read_nor_changed(
    postgres: Session, superuser: Session, stored: str, message: str
) -> None:
    postgres.execute(f"select vault.create_secret('x', '{OWN}')")
    # As a restore under another key leaves it.
    superuser.execute(f"update vault.secrets set secret = '{stored}' where name = '{OWN}'")
    for statement in (
        f"select decrypted_secret from vault.decrypted_secrets where name = '{OWN}'",
        f"select vault.update_secret(id, 'new') from vault.secrets where name = '{OWN}'",
        f"select vault.update_secret(id, new_name := 'n') from vault.secrets where name = '{OWN}'",
    ):
        with pytest.raises(psycopg.DataError) as caught:
            postgres.execute(statement)
        assert caught.value.diag.message_primary == message
    # What is left: another secret in its place.
    postgres.execute(f"delete from vault.secrets where name = '{OWN}'")
    postgres.execute(f"select vault.create_secret('new', '{OWN}')")


def test_a_stored_form_is_of_its_own_row(postgres: Session, superuser: Session) -> None:
    for name in (OWN, f"{OWN}_other"):
        postgres.execute(f"select vault.create_secret('x', '{name}')")
    superuser.execute(
        "update vault.secrets set secret = other.secret from vault.secrets other "
        f"where secrets.name = '{OWN}' and other.name = '{OWN}_other'"
    )
    with pytest.raises(psycopg.DataError, match="invalid ciphertext"):
        postgres.execute(
            f"select decrypted_secret from vault.decrypted_secrets where name = '{OWN}'"
        )
