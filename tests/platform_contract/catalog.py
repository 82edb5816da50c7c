"""What a schema offers, read from the catalog in a form that is the same on every server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.platform_contract.places import Session


def signatures(connection: Session, schema: str, *names: str) -> dict[str, str]:
    """Return arguments and result of each function, defaults included, by name and arguments."""
    rows = connection.execute(
        """
        select p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
          pg_get_function_arguments(p.oid) || ' -> ' || pg_get_function_result(p.oid)
        from pg_proc p
        where p.pronamespace = %s::text::regnamespace and p.proname = any (%s)
        order by 1
        """,
        (schema, list(names)),
    ).fetchall()
    return dict(rows)


def columns(connection: Session, relation: str) -> list[tuple[str, str, bool]]:
    """Return name, type and whether null is refused, in order."""
    return connection.execute(
        "select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull "
        "from pg_attribute a where a.attrelid = %s::text::regclass and a.attnum > 0 "
        "and not a.attisdropped order by a.attnum",
        (relation,),
    ).fetchall()


def privileges(connection: Session, role: str, relation: str) -> set[str]:
    """Return what the role may do with a table, however it came by it."""
    rows = connection.execute(
        "select verb from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', "
        "'REFERENCES', 'TRIGGER']) verb where has_table_privilege(%s, %s::text, verb)",
        (role, relation),
    ).fetchall()
    return {row[0] for row in rows}


def sequence_privileges(connection: Session, role: str, sequence: str) -> set[str]:
    """Return what the role may do with a sequence, however it came by it."""
    rows = connection.execute(
        "select verb from unnest(array['SELECT', 'USAGE', 'UPDATE']) verb "
        "where has_sequence_privilege(%s, %s::text, verb)",
        (role, sequence),
    ).fetchall()
    return {row[0] for row in rows}


def may_execute(connection: Session, role: str, function: str) -> bool:
    row = connection.execute(
        "select has_function_privilege(%s, %s::text, 'execute')", (role, function)
    ).fetchone()
    assert row is not None
    return bool(row[0])
