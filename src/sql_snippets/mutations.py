"""What could be broken in a database, to see which blocks notice."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from sql_snippets.database.reach import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sql_snippets.database.databases import Database, Template
    from sql_snippets.database.reach import Definitions

# Names as the parser wants them; the last column but one is the column's or the function's own.
_COLUMNS = """
select 'column', c.relkind::text, format('%I.%I', nspname, relname), relname::text,
  attname::text, quote_ident(attname), format_type(atttypid, null)
from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
where attnum > 0 and not attisdropped and relkind in ('r', 'p', 'v', 'm')
  and nspname !~ '^pg_' and nspname <> 'information_schema'
"""
_RELATIONS = """
select 'relation', relkind::text, format('%I.%I', nspname, relname), relname::text, '', '', ''
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'p', 'v', 'm', 'S') and nspname !~ '^pg_'
  and nspname <> 'information_schema'
"""
_FUNCTIONS = """
select 'function', prokind::text,
  format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)),
  proname::text, '', '', ''
from pg_proc p join pg_namespace n on n.oid = pronamespace
where prokind in ('f', 'p') and nspname !~ '^pg_' and nspname <> 'information_schema'
"""
_RELATION_WORDS = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
}
_BROKEN = "broken_by_the_mutation_run"
_LOCK_MS = 300


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way to break something: what it is called, the words that name it, how it is done.

    ``locked_sql`` does it where an incident holds a lock on it, that waits for nobody.
    """

    label: str
    owner: str
    part: str
    sql: str
    fineness: int
    locked_sql: str = ""


def find_mutations(database: Database) -> tuple[Mutation, ...]:
    """Return every way to break a column, a function or a relation outside the system's schemas."""
    with database.server.connect(database.name) as admin:
        rows = admin.execute(f"{_COLUMNS} union all {_RELATIONS} union all {_FUNCTIONS}").fetchall()
    found: list[Mutation] = []
    for row in sorted(tuple(str(value) for value in values) for values in rows):
        kind, relkind, full, name, part, quoted, type_ = row
        if kind == "column":
            found += _of_column(relkind, full, name, part, quoted, type_)
        elif kind == "function":
            word = "procedure" if relkind == "p" else "function"
            found += [
                Mutation(f"{verb} {word} {full}", name.lower(), "", sql, 1)
                for verb, sql in (
                    ("drop", f"drop {word} {full} cascade"),
                    ("rename", f"alter {word} {full} rename to {_BROKEN}"),
                )
            ]
        else:
            word = _RELATION_WORDS[relkind]
            literal = full.replace("'", "''")
            rename = f"update pg_class set relname = '{_BROKEN}' where oid = '{literal}'::regclass"  # noqa: S608 - names of the catalog, quoted
            found += [
                Mutation(f"{verb} {word} {full}", name.lower(), "", sql, 2, locked)
                for verb, sql, locked in (
                    ("drop", f"drop {word} {full} cascade", ""),
                    ("rename", f"alter {word} {full} rename to {_BROKEN}", rename),
                )
            ]
    return tuple(found)


def _of_column(  # noqa: PLR0913, PLR0917 - one row of the catalog
    relkind: str, full: str, name: str, part: str, quoted: str, type_: str
) -> Iterator[Mutation]:
    word = _RELATION_WORDS[relkind]
    alter = f"alter {word} {full}"
    ways = {"rename": f"{alter} rename column {quoted} to {_BROKEN}"}
    if word == "table":
        other, using = "text", f"{quoted}::text"
        if type_ in {"text", "character varying"}:
            other, using = "bytea", f"convert_to({quoted}, 'UTF8')"
        ways["drop"] = f"{alter} drop column {quoted} cascade"
        ways["retype"] = (
            f"{alter} alter column {quoted} drop default;"
            f"{alter} alter column {quoted} type {other} using {using}"
        )
    for verb, sql in ways.items():
        yield Mutation(f"{verb} column {full}.{quoted}", name.lower(), part.lower(), sql, 0)


def candidates(
    texts: Iterable[str],
    definitions: Definitions,
    mutations: Sequence[Mutation],
    *,
    seed: int,
    most: int,
) -> tuple[Mutation, ...]:
    """Return what to try on blocks with these texts, what they name themselves and finest first.

    Among equals the order is drawn with ``seed``.
    """
    own = "\n".join(texts)
    own_words = words_of(own)
    reached, everything = definitions.reached(own)
    all_words = words_of(everything)
    ranked: list[tuple[tuple[int, int], Mutation]] = []
    for mutation in mutations:
        if mutation.owner not in reached or (mutation.part and mutation.part not in all_words):
            continue
        named = {mutation.owner, mutation.part} - {""}
        distance = 0 if named <= own_words else 1 if mutation.owner in own_words else 2
        ranked.append(((distance, mutation.fineness), mutation))
    # Not for secrets: the same seed is to give the same order.
    random.Random(seed).shuffle(ranked)
    ranked.sort(key=lambda entry: entry[0])
    return _spread([mutation for _, mutation in ranked], most)


def _spread(ranked: Sequence[Mutation], most: int) -> tuple[Mutation, ...]:
    """Keep the end of the list in: dropping the whole of something is what is surest to be seen."""
    if len(ranked) <= most:
        return tuple(ranked)
    coarse = [m for m in ranked if m.fineness and m.label.startswith("drop")][: most // 3]
    fine = [m for m in ranked if m not in coarse][: most - len(coarse)]
    return (*fine, *coarse)


def apply(mutation: Mutation, database: Database) -> None:
    """Break it.  Raises psycopg.Error, also where a lock of the incident is in the way."""
    with database.server.connect(database.name, options=f"-c lock_timeout={_LOCK_MS}") as admin:
        try:
            admin.execute(mutation.sql.encode())
        except psycopg.errors.LockNotAvailable:
            if not mutation.locked_sql:
                raise
            admin.execute(mutation.locked_sql.encode())


@contextmanager
def mutated(template: Template, mutation: Mutation) -> Iterator[Template | None]:
    """Give the template with its seed and one thing broken; None where that cannot be done."""
    with ExitStack() as stack:
        database = stack.enter_context(template.clone())
        try:
            apply(mutation, database)
        except psycopg.Error:
            yield None
            return
        yield replace(template, name=database.name, seed=None)


@contextmanager
def unchanged(template: Template) -> Iterator[Template]:
    """Give the template with its seed and nothing broken."""
    with template.clone() as database:
        yield replace(template, name=database.name, seed=None)


def draw_seed() -> int:
    """Return a seed to be printed, so that a run can be repeated."""
    return int.from_bytes(os.urandom(3))
