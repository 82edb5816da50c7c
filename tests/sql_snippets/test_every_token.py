"""A fault at any token of any block of the runbook is reported at that token's line and column.

Two faults are put in for each token.  ``]`` is no start of anything in SQL, so the server's grammar
stops exactly there: the place must be the token's.  For a name, another name that nothing has: what
the server then complains of may be that name, the one it qualifies, or a name that depended on it,
and the place must be the one that the server's own position has in the file.

A fault is as long as the token that it replaces, with the same line breaks, so that no other
character of the block moves.  Where a character of a block stands in the file is worked out here
from the file's bytes alone, by other means than the checker's source map.
"""

from __future__ import annotations

import random
import re
import secrets
import shutil
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database import messages
from sql_snippets.judging.checks import describe_error
from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Column, Outcome
from sql_snippets.plan import RunOptions, fill_in
from sql_snippets.profiles import SUPABASE
from sql_snippets.reading.pages import read_page
from sql_snippets.running.editor import run_isolated
from sql_snippets.sqltext.lexer import Kind, Token, tokens
from sql_snippets.sqltext.placeholders import Filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from sql_snippets.database.databases import Database, Template
    from sql_snippets.model import Failure, Location, Page, ServerError, Snippet

ROOT = Path(__file__).resolve().parents[2]
NAME = "docs/operations/cron-reminder-runbook.md"
# Several blocks take theirs from the scenario of their section.
VALUES = {"webhook_url": "https://a.example/x", "heartbeat_url": "https://a.example/x"}
TAKEN = "1"
BEGIN = "begin;"
LOOKS_AHEAD = {"not", "nulls", "with", "without"}
SAMPLE = 8
PATIENCE = 300  # seconds, for a machine that is busy with other tests


@cache
def page() -> Page:
    return read_page(ROOT / NAME, load_site(ROOT))


@dataclass(frozen=True)
class Written:
    """A block as the file's text has it: its SQL, and where that begins."""

    sql: str
    line: int

    def place(self, offset: int) -> tuple[int, int]:
        before = self.sql[:offset].split("\n")
        return self.line + len(before) - 1, len(before[-1]) + 1


@cache
def written() -> tuple[Written, ...]:
    """Read the fences of the page from its text; the runbook indents none of them."""
    text = (ROOT / NAME).read_bytes().decode()
    return tuple(
        Written(match["sql"].rstrip(), text.count("\n", 0, match.start("sql")) + 1)
        for match in re.finditer(r"^```sql\n(?P<sql>.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )


@dataclass(frozen=True)
class Sent:
    """A block with its values, and where each character of it stands in the block as written."""

    snippet: Snippet
    written: Written
    filled: Filled
    origin: tuple[int, ...]

    @property
    def sql(self) -> str:
        return self.filled.sql


def _filled(snippet: Snippet) -> tuple[dict[str, str], Filled | list[Failure]]:
    """Return the values of a block, those from blocks before it among them, and it with them in."""
    taken = snippet.claims.taken
    outcomes = {}
    for earlier in snippet.earlier:
        names = [source.column for source in taken.values() if source.block == earlier.name]
        columns, rows = tuple(Column(name, "text") for name in names), ((TAKEN,) * len(names),)
        outcomes[earlier.id] = Outcome(columns, rows, "SELECT 1", None, (), 0.0, "clone")
    values = {**VALUES, **snippet.claims.fill, **dict.fromkeys(taken, TAKEN)}
    return values, fill_in(snippet, VALUES, outcomes)


def _sent(snippet: Snippet, source: Written) -> Sent:
    values, filled = _filled(snippet)
    assert isinstance(filled, Filled), filled
    sql, origin, at = "", [], 0
    for match in re.finditer(r"(?<=[ '(])<(\w+)>(?=[',)\n])", source.sql):
        value = str(values[match[1]]).replace("'", "''")
        sql += source.sql[at : match.start()] + value
        origin += [*range(at, match.start()), *([match.start()] * len(value))]
        at = match.end()
    sql += source.sql[at:]
    origin += range(at, len(source.sql) + 1)
    assert sql == filled.sql, "this test fills in placeholders in another way than the checker"
    return Sent(snippet, source, filled, tuple(origin))


@cache
def blocks() -> tuple[Sent, ...]:
    assert len(page().snippets) == len(written()) > 40
    sent = []
    for snippet, source in zip(page().snippets, written(), strict=True):
        assert snippet.sql == source.sql
        sent.append(_sent(snippet, source))
    return tuple(sent)


def _same_size(sql: str, token: Token, fault: str) -> str:
    """Put a fault in place of a token, filled up to the token's size; line breaks stay."""
    old = sql[token.start : token.end]
    rest = re.sub(r"[^\n]", " ", old[len(fault) :])
    return sql[: token.start] + fault + rest + sql[token.end :]


def _is_name(sql: str, token: Token) -> bool:
    return token.kind is Kind.CODE and re.match(r"[A-Za-z_]", sql[token.start]) is not None


class Session:
    """One session in which every fault is sent as the checker sends a block, and rolled back."""

    def __init__(
        self,
        template: Template,
        database: Database,
        connection: psycopg.Connection[tuple[object, ...]],
    ) -> None:
        self._template = template
        self._database = database
        self._connection = connection

    def error_of_checker(self, sql: str) -> ServerError | None:
        """Send it through the checker itself, which opens a session for each block."""
        options = RunOptions(self._database.role, editor=SUPABASE.editor)
        return run_isolated(self._template, self._database, sql, options).error

    def error_of(self, sql: str) -> ServerError | None:
        reply = messages.send(self._connection, BEGIN + sql, timeout=PATIENCE)
        messages.send(self._connection, "rollback", timeout=PATIENCE)
        error = reply.error
        if error is None or error.offset is None:
            return error
        return replace(error, offset=error.offset - len(BEGIN))


@pytest.fixture(scope="module")
def session(sql_template: Template) -> Iterator[Session]:
    with (
        sql_template.clone() as database,
        database.connect(None, SUPABASE.editor.application_name) as connection,
    ):
        connection.autocommit = True
        yield Session(sql_template, database, connection)


def _reported(sent: Sent, error: ServerError) -> Location:
    """Return the place that the checker shows for an error whose offset counts in what was sent."""
    assert error.offset is not None
    there = replace(error, offset=sent.filled.to_original(error.offset))
    return describe_error(sent.snippet, there).location


@pytest.mark.parametrize(
    "index", range(len(written())), ids=lambda index: f"line-{written()[index].line}"
)
def test_every_token(index: int, session: Session) -> None:
    sent = blocks()[index]
    found = list(tokens(sent.sql))
    assert len(found) > 3
    for before, token in pairwise([Token(Kind.CODE, 0, 0), *found]):
        line, column = sent.written.place(sent.origin[token.start])
        at = f"{line}:{column} {sent.sql[token.start : token.end]!r}"

        # A token in its own place is no fault.
        fault = "}" if sent.sql[token.start : token.end] == "]" else "]"
        error = session.error_of(_same_size(sent.sql, token, fault))
        assert error is not None, f"{at}: no error"
        assert error.sqlstate == "42601", f"{at}: {error}"
        if token is found[len(found) // 2]:
            assert session.error_of_checker(_same_size(sent.sql, token, fault)) == error
        if error.offset != token.start:
            # The server's scanner reads one token ahead after these words, so that for "not ]" it
            # is the "not" that makes no sense.
            assert sent.sql[before.start : before.end] in LOOKS_AHEAD, f"{at}: {error}"
            assert error.offset == before.start, f"{at}: {error}"
            line, column = sent.written.place(sent.origin[before.start])
        place = _reported(sent, error)
        assert (place.path, place.line, place.column) == (NAME, line, column), at

        if not _is_name(sent.sql, token):
            continue
        name = ("zq" + "x" * 60)[: token.end - token.start]
        error = session.error_of(_same_size(sent.sql, token, name))
        if error is None or error.offset is None:
            continue
        place = _reported(sent, error)
        theirs = sent.written.place(sent.origin[error.offset])
        assert (place.line, place.column) == theirs, f"{at}: {error}"


def test_the_blocks_have_tokens_enough_to_prove_something() -> None:
    assert sum(len(list(tokens(sent.sql))) for sent in blocks()) > 1500


def test_a_fault_in_the_file_itself(session: Session, tmp_path: Path) -> None:
    """The way from the changed file to the place, for a sample: rendering the page takes time."""
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")  # noqa: T201  shown when the test fails
    draw = random.Random(seed)
    for name in ("mkdocs.yml", "docs/operations/facts"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    site = load_site(tmp_path)
    lines = (ROOT / NAME).read_text(encoding="utf-8").split("\n")
    for _ in range(SAMPLE):
        index = draw.randrange(len(blocks()))
        block = written()[index].sql
        token = draw.choice(
            [t for t in tokens(block) if not re.search(r"[\n\]]", block[t.start : t.end])]
        )
        line, column = written()[index].place(token.start)
        old = lines[line - 1]
        faulty = old[: column - 1] + "]" + old[column - 1 + token.end - token.start :]
        changed = [*lines[: line - 1], faulty, *lines[line:]]
        (tmp_path / NAME).write_text("\n".join(changed), encoding="utf-8")

        snippet = read_page(tmp_path / NAME, site).snippets[index]
        _, filled = _filled(snippet)
        # A token of a placeholder leaves a value that nothing asks for, which is found first.
        if not isinstance(filled, Filled):
            assert "<" in old
            continue
        error = session.error_of(filled.sql)
        assert error is not None
        assert error.offset is not None
        there = replace(error, offset=filled.to_original(error.offset))
        place = describe_error(snippet, there).location
        at = f"{line}:{column} {block[token.start : token.end]!r}, seed {seed}"
        before = old[: column - 1].split()[-1:]
        if not set(before) & LOOKS_AHEAD:
            assert (place.path, place.line, place.column) == (NAME, line, column), at
