"""What is asked of a database for a table, for facts, or for the names on a page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, LiteralString

from psycopg.pq import ExecStatus

from sql_snippets.database import messages
from sql_snippets.database.catalog import columns_of, nearest_relation, suggest
from sql_snippets.evidence import Answer, NamesFound, RelationFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from sql_snippets.database.databases import Database

_NAME = "sql-snippets"


def ask_relation(database: Database, relation: str) -> RelationFound:
    """Return the columns of a relation, or the name of the one that was meant."""
    with database.connect(application_name=_NAME) as connection:
        columns = columns_of(connection, relation)
        meant = None if columns is not None else nearest_relation(connection, relation)
    return RelationFound(columns, meant)


def ask_facts(database: Database, queries: Iterable[str], *, timeout: float) -> tuple[Answer, ...]:
    """Return what queries give that only read; ``timeout`` is that of each, in seconds."""
    with database.connect(application_name=_NAME) as connection:
        connection.execute("set default_transaction_read_only = on")
        return tuple(_ask(connection, sql, timeout) for sql in queries)


def _ask(connection: psycopg.Connection[tuple[object, ...]], sql: str, timeout: float) -> Answer:
    reply = messages.send(connection, sql, timeout=timeout)
    if reply.error is not None:
        meant = None if connection.closed else suggest(connection, reply.error, sql)
        return Answer(error=replace(reply.error, nearest=meant))
    return Answer(
        tuple(
            (messages.names_of(result), tuple(messages.rows_of(result)))
            for result in reply.results
            if result.status == ExecStatus.TUPLES_OK
        )
    )


def ask_names(database: Database) -> NamesFound:
    """Return the names of all objects of the database."""
    with database.connect(application_name=_NAME) as connection:
        return _read_names(connection)


def _read_names(connection: psycopg.Connection) -> NamesFound:
    def rows(query: LiteralString) -> set[tuple[str, ...]]:
        with connection.cursor() as cursor:
            return {tuple(map(str, row)) for row in cursor.execute(query).fetchall()}

    known = NamesFound()
    known.schemas = {name for (name,) in rows("select nspname from pg_catalog.pg_namespace")}
    for schema, relation in rows(
        "select relnamespace::regnamespace::text, relname from pg_catalog.pg_class"
        " where relkind <> 't'"
    ):
        known.relations.add((schema, relation))
    for schema, function in rows(
        "select pronamespace::regnamespace::text, proname from pg_catalog.pg_proc"
    ):
        known.functions.add((schema, function))
    for schema, type_ in rows(
        "select typnamespace::regnamespace::text, typname from pg_catalog.pg_type"
    ):
        known.types.add((schema, type_))
    for schema, relation, member in rows(
        """
        select c.relnamespace::regnamespace::text, c.relname, m.name
          from pg_catalog.pg_class c
          join (select attrelid, attname from pg_catalog.pg_attribute where not attisdropped
                union all select tgrelid, tgname from pg_catalog.pg_trigger where not tgisinternal
                union all select conrelid, conname from pg_catalog.pg_constraint
                union all select polrelid, polname from pg_catalog.pg_policy) m (id, name)
            on m.id = c.oid
         where c.relkind <> 't'
        """
    ):
        known.members.add((schema, relation, member))
        known.columns.add((relation, member))
    known.settings = {
        name
        for (name,) in rows(
            """
            select name from pg_catalog.pg_settings
            union select pg_catalog.split_part(pg_catalog.unnest(setconfig), '=', 1)
                  from pg_catalog.pg_db_role_setting
            union select pg_catalog.split_part(pg_catalog.unnest(proconfig), '=', 1)
                  from pg_catalog.pg_proc
            """
        )
    }
    known.words = {
        *known.schemas,
        *known.settings,
        *(name for _, name in known.relations | known.functions | known.types),
        *(name for _, _, name in known.members),
    }
    known.words |= {
        word
        for (word,) in rows(
            """
            select pg_catalog.unnest(proargnames) from pg_catalog.pg_proc
            union select rolname from pg_catalog.pg_roles
            union select datname from pg_catalog.pg_database
            union select name from pg_catalog.pg_available_extensions
            union select extname from pg_catalog.pg_extension
            union select lanname from pg_catalog.pg_language
            union select enumlabel from pg_catalog.pg_enum
            union select word from pg_catalog.pg_get_keywords()
            union select (pg_catalog.regexp_matches(
                    pg_catalog.pg_get_constraintdef(oid), '''([a-z0-9_]+)''', 'g'))[1]
                  from pg_catalog.pg_constraint where contype = 'c'
            """
        )
    }
    return known
