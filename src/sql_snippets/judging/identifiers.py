"""Whether the names that a page's text mentions are there in the database.

What is taken for a name, in inline code of prose and tables:

* ``schema.name`` and ``schema.name.column`` where ``schema`` is a schema of the database,
  ``table.column`` where ``table`` is a relation, and each of them where one part is right or nearly
  so; with ``()`` behind it, it must be a function.  A file such as ``settings.py`` is none.
* the qualified names in a statement (``select net.worker_restart();``).
* a setting of the server, and what a block of the page makes, is right; so is what that has in it.
* where ``bare`` names are asked for: ``snake_case`` and ``name()``.  Right are names of any kind of
  object, values that a check constraint lists, and words of the page's own blocks, which are run.

Everything else is no name: capitals, options, paths, single words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sql_snippets.model import Failure, InlineCode, Page
from sql_snippets.sqltext.lexer import Kind, pieces, statements
from sql_snippets.sqltext.nearest import likely, meaning, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from sql_snippets.evidence import NamesFound

_PART = r"[a-z_][a-z0-9_$]*"
_QUALIFIED = re.compile(rf"(?P<name>{_PART}(?:\.{_PART}){{1,2}})(?P<call>\s*\(.*\))?", re.DOTALL)
_BARE = re.compile(rf"(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)+|{_PART}(?=\())(?P<call>\(\))?")
_INSIDE = re.compile(rf"(?<![\w.\"$]){_PART}(?:\.{_PART}){{1,2}}(?![\w.$])(?P<call>\s*\()?")
_STATEMENT = re.compile(
    r"(?:select|with|insert|update|delete|call|create|alter|drop|comment|grant|revoke|truncate)\s",
    re.IGNORECASE,
)
_WORD = re.compile(_PART)
_MADE = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:(?:global|local|temp|temporary|unlogged|unique|recursive|"
    r"materialized|foreign|constraint|event)\s+)*(?:table|view|function|procedure|aggregate|type|"
    r"domain|sequence|schema|index|trigger|policy|role|extension)\s+(?:concurrently\s+)?"
    rf"(?:if\s+not\s+exists\s+)?(?P<name>{_PART}(?:\.{_PART})?)",
    re.IGNORECASE,
)
_SET = re.compile(
    rf"\bset\s+(?:(?:session|local)\s+)?(?P<name>{_PART}\.{_PART}(?:\.{_PART})?)\s*(?:=|to\b)"
    rf"|\bset_config\s*\(\s*'(?P<called>{_PART}(?:\.{_PART})+)'",
    re.IGNORECASE,
)
_FILE_ENDING = re.compile(
    r"cfg|conf|css|csv|env|html|ini|js|json|lock|log|md|png|py|sh|sql|svg|toml|ts|txt|xml|ya?ml"
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name on a page: the code it stands in, and what it must be."""

    text: str
    is_function: bool
    code: InlineCode


@dataclass(frozen=True, slots=True)
class Mentions:
    """The names that a page mentions; ``also_known`` are right though the database lacks them."""

    page: Page
    names: tuple[Name, ...]
    also_known: frozenset[str] = frozenset()


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


def made_by_blocks(page: Page) -> dict[str, set[str]]:
    """Return the objects and settings that blocks of the page make, with the words beside each.

    A block that is left out, or is said to fail, makes nothing.
    """
    made: dict[str, set[str]] = {}
    for snippet in page.snippets:
        if snippet.skipped is not None or snippet.claims.error is not None:
            continue
        for statement in statements(snippet.sql):
            text = snippet.sql[statement.start : statement.end]
            words = set(_WORD.findall(text))
            for match in _MADE.finditer(text):
                made.setdefault(match["name"].rpartition(".")[2], set()).update(words)
            for match in _SET.finditer(text):
                made.setdefault(match["name"] or match["called"], set()).update(words)
    return made


def words_of_blocks(page: Page) -> set[str]:
    """Return the words of the page's own SQL and outputs: aliases, columns, values."""
    texts = [snippet.sql for snippet in page.snippets]
    texts += [s.claims.output.text for s in page.snippets if s.claims.output is not None]
    return {word for text in texts for word in _WORD.findall(text)}


def check_identifiers(mentions: Mentions, found: NamesFound) -> list[Failure]:
    """Return the names that the database does not have, and the exceptions nothing needs."""
    page = mentions.page
    known = replace(found, words=found.words | words_of_blocks(page) | mentions.also_known)
    made = made_by_blocks(page)
    excepted = {word.text: word for word in page.not_names}
    needed: set[str] = set()
    failures: list[Failure] = []
    for name in mentions.names:
        if _exists(name, known) or name.text in found.settings or _is_made(name, made):
            continue
        if name.text in excepted:
            needed.add(name.text)
            continue
        meant = _suggest(name, known)
        what = "function" if name.is_function else "object"
        failures.append(
            Failure(
                name.code.location,
                f'the database has no {what} "{name.text}"{meaning(meant)}',
                notes=(
                    f"except: not-names={name.text} in a directive, if it is not one of its names",
                ),
            )
        )
    for text, word in excepted.items():
        if text not in needed:
            message = f"not-names={text} is not needed: without it, nothing is reported"
            failures.append(Failure(word.location, message))
    return sorted(failures, key=lambda failure: failure.location)


def _exists(name: Name, known: NamesFound) -> bool:
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


def _is_made(name: Name, made: Mapping[str, set[str]]) -> bool:
    """Whether a block of the page makes this, or makes what this is a part of."""
    if name.text in made:
        return True
    parts = name.text.split(".")
    return any(part in made and made[part].issuperset(parts[1:]) for part in parts)


def _is_meant(parts: tuple[str, ...], known: NamesFound) -> bool:
    """Whether a dotted name that does not exist is one that was meant to."""
    first, *rest = parts
    relations = {relation for _, relation in known.relations}
    if first in known.schemas or first in relations:
        return True
    own = {schema for schema in known.schemas if not _is_system(schema)}
    candidates = own | {relation for schema, relation in known.relations if schema in own}
    if likely(first, candidates):
        return True
    objects = {name for schema, name in known.relations | known.functions if schema in own}
    return rest[0] in objects and "_" in rest[0]


def _is_system(schema: str) -> bool:
    return schema.startswith("pg_") or schema == "information_schema"


def _suggest(name: Name, known: NamesFound) -> str | None:
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
