"""Whether the names that a page's text mentions are there in the database.

What is taken for a name, in inline code of prose and tables:

* ``schema.name`` and ``schema.name.column`` where ``schema`` is a schema of the database,
  ``table.column`` where ``table`` is a relation, and each of them where one part is right or nearly
  so; with ``()`` behind it, it must be a function.  A file such as ``settings.py`` is none.
* the qualified names in a statement (``select net.worker_restart();``).
* where ``bare`` names are asked for: ``snake_case`` and ``name()``.  Right are names of any kind of
  object, values that a check constraint lists, and words of the page's own blocks, which are run.

Everything else is no name: capitals, options, paths, single words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, LiteralString

from sql_snippets.database.catalog import nearest
from sql_snippets.model import Failure, InlineCode, Page
from sql_snippets.sqltext.lexer import Kind, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    import psycopg

    from sql_snippets.judging.checks import Connectable

_PART = r"[a-z_][a-z0-9_$]*"
_QUALIFIED = re.compile(rf"(?P<name>{_PART}(?:\.{_PART}){{1,2}})(?P<call>\s*\(.*\))?", re.DOTALL)
_BARE = re.compile(rf"(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)+|{_PART}(?=\())(?P<call>\(\))?")
_INSIDE = re.compile(rf"(?<![\w.\"$]){_PART}(?:\.{_PART}){{1,2}}(?![\w.$])(?P<call>\s*\()?")
_STATEMENT = re.compile(
    r"(?:select|with|insert|update|delete|call|create|alter|drop|comment|grant|revoke|truncate)\s",
    re.IGNORECASE,
)
_WORD = re.compile(_PART)
_FILE_ENDING = re.compile(
    r"cfg|conf|css|csv|env|html|ini|js|json|lock|log|md|png|py|sh|sql|svg|toml|ts|txt|xml|ya?ml"
)
_CUTOFF = 0.8


@dataclass(frozen=True, slots=True)
class Name:
    """A name on a page: the code it stands in, and what it must be."""

    text: str
    is_function: bool
    code: InlineCode


@dataclass(slots=True)
class Known:
    """The names of a database.

    ``members`` are columns, triggers, constraints and policies with schema and relation,
    ``columns`` the same without the schema, ``words`` everything that a name of one part may be.
    """

    schemas: set[str] = field(default_factory=set)
    relations: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    types: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str, str]] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    words: set[str] = field(default_factory=set)


def names_on(page: Page, *, bare: bool, checked: AbstractSet[int] = frozenset()) -> list[Name]:
    """Return what could be names, in the order of the page.

    ``checked`` are pieces of code, by number, that something else vouches for.
    """
    found: list[Name] = []
    for number, code in enumerate(page.codes):
        if number not in checked:
            found += _names_in(code, bare=bare)
    return found


def _names_in(code: InlineCode, *, bare: bool) -> Iterator[Name]:
    text = code.text.strip()
    match = _QUALIFIED.fullmatch(text) or (_BARE.fullmatch(text) if bare else None)
    if match is not None:
        yield Name(match["name"], match["call"] is not None, code)
    elif _STATEMENT.match(text):
        for piece in pieces(text):
            if piece.kind is Kind.CODE:
                for inner in _INSIDE.finditer(text, piece.start, piece.end):
                    name = inner[0].split("(")[0].strip()
                    yield Name(name, inner["call"] is not None, code)


def words_of_blocks(page: Page) -> set[str]:
    """Return the words of the page's own SQL and outputs: aliases, columns, values."""
    texts = [snippet.sql for snippet in page.snippets]
    texts += [s.claims.output.text for s in page.snippets if s.claims.output is not None]
    return {word for text in texts for word in _WORD.findall(text)}


def check_identifiers(
    page: Page,
    names: Iterable[Name],
    database: Connectable,
    *,
    also_known: AbstractSet[str] = frozenset(),
) -> list[Failure]:
    """Return the names that the database does not have, and the exceptions nothing needs."""
    with database.connect(application_name="sql-snippets") as connection:
        known = read_known(connection)
    own = words_of_blocks(page)
    known.words |= own | also_known
    excepted = {word.text: word for word in page.not_sql}
    needed: set[str] = set()
    failures: list[Failure] = []
    for name in names:
        if _exists(name, known):
            continue
        if name.text in excepted:
            needed.add(name.text)
            continue
        meant = _suggest(name, known)
        what = "function" if name.is_function else "object"
        hint = f'; did you mean "{meant}"?' if meant else ""
        failures.append(
            Failure(
                name.code.location,
                f'the database has no {what} "{name.text}"{hint}',
                notes=(f"except: not-sql={name.text} in a directive, if it is no name of it",),
            )
        )
    for text, word in excepted.items():
        if text not in needed:
            message = f"not-sql={text} is not needed: nothing on the page takes it for a wrong name"
            failures.append(Failure(word.location, message))
    return sorted(failures, key=lambda failure: failure.location)


def _exists(name: Name, known: Known) -> bool:
    """Tell a name that is right, or no name at all, from one that is wrong."""
    parts = tuple(name.text.split("."))
    right: bool
    if len(parts) == 1:
        functions = {function for _, function in known.functions}
        return name.text in (functions if name.is_function else known.words)
    if name.is_function:
        right = parts in known.functions
    else:
        objects = known.relations | known.functions | known.types | known.columns
        file = _FILE_ENDING.fullmatch(parts[-1]) is not None
        right = file or parts in objects or parts in known.members
    return right or not _is_meant(parts, known)


def _is_meant(parts: tuple[str, ...], known: Known) -> bool:
    """Whether a dotted name that does not exist is one that was meant to."""
    first, *rest = parts
    relations = {relation for _, relation in known.relations}
    if first in known.schemas or first in relations:
        return True
    own = {schema for schema in known.schemas if not _is_system(schema)}
    candidates = own | {relation for schema, relation in known.relations if schema in own}
    if nearest(first, candidates, cutoff=_CUTOFF):
        return True
    objects = {name for schema, name in known.relations | known.functions if schema in own}
    return rest[0] in objects and "_" in rest[0]


def _is_system(schema: str) -> bool:
    return schema.startswith("pg_") or schema == "information_schema"


def _suggest(name: Name, known: Known) -> str | None:
    """Return the name that was most likely meant, one of the documented schemas before others."""
    if "." not in name.text:
        pool = {f for s, f in known.functions} if name.is_function else known.words
        return nearest(name.text, pool)
    objects = known.functions if name.is_function else known.relations | known.functions
    for system in (False, True):
        dotted = {f"{s}.{o}" for s, o in objects if _is_system(s) is system}
        members = {m for m in known.members if _is_system(m[0]) is system}
        if not name.is_function:
            dotted |= {f"{relation}.{member}" for _, relation, member in members}
            if name.text.count(".") > 1:
                dotted |= {".".join(member) for member in members}
        if found := nearest(name.text, dotted):
            return found
    return None


def read_known(connection: psycopg.Connection) -> Known:
    """Read the names of all objects of the database."""

    def rows(query: LiteralString) -> set[tuple[str, ...]]:
        with connection.cursor() as cursor:
            return {tuple(map(str, row)) for row in cursor.execute(query).fetchall()}

    known = Known()
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
    known.words = {
        *known.schemas,
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
            union select name from pg_catalog.pg_settings
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
