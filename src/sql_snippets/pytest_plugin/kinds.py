"""The kinds of items: what each is about, and what its verdict rests on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.database.recipes import read_sql, stand_in_for
from sql_snippets.judging.drills import check_make_up
from sql_snippets.judging.identifiers import Mentions, Name, names_on
from sql_snippets.judging.vouched import checked_codes
from sql_snippets.model import (
    BoundTable,
    Drill,
    FactsTable,
    Failure,
    Location,
    Page,
    Snippet,
    Unchecked,
)
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.items import SqlItem
from sql_snippets.results.report import (
    Entry,
    Kind,
    Verdict,
    hash_claims,
    hash_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sql_snippets.settings import Settings


class FaultItem(SqlItem):
    """A fault found before anything could be run; it fails by itself."""

    kind: Kind = "fault"

    def __init__(self, *, failure: Failure, **kwargs: Any) -> None:
        super().__init__(place=failure.location, **kwargs)
        self.failure = failure

    def problems(self) -> Sequence[Failure]:
        """Return the fault."""
        return [self.failure]


class BlockItem(SqlItem):
    """One SQL block with its claims."""

    kind: Kind = "block"

    def __init__(self, *, snippet: Snippet, **kwargs: Any) -> None:
        super().__init__(place=snippet.start, section=snippet.section, **kwargs)
        self.snippet = snippet
        self.said_at = snippet.fence
        if snippet.excluded is not None and not snippet.problems:
            self.add_marker(pytest.mark.skip(reason=snippet.excluded))

    def problems(self) -> Sequence[Failure]:
        """Return those of the block alone."""
        return self.snippet.problems

    def texts(self) -> Iterable[str] | None:
        """Return the block's and those of the blocks before it."""
        return None if self.problems() else _sql_of(self.snippet)

    def scenario_name(self) -> str | None:
        """Return that of the block's claims."""
        return self.snippet.claims.scenario

    def subject(self) -> Snippet:
        """Return the block with its claims."""
        return self.snippet

    rests_on = subject

    def entry(self, verdict: Verdict, reason: str | None) -> Entry:
        """Add what only a block has."""
        outcome = self.trial.outcome
        entry = super().entry(verdict, reason)
        return replace(
            entry,
            seconds=entry.seconds if outcome is not None else None,
            mark=self.snippet.claims.mark and self.snippet.claims.mark.value,
            role=self.snippet.claims.role or self.settings.role,
            sql_sha256=hash_sql(self.snippet.sql),
            claims_sha256=hash_claims(self.snippet),
            isolation=outcome.isolation if outcome is not None else None,
            rows=len(outcome.rows) if outcome is not None and outcome.columns else None,
            danger=outcome.danger if outcome is not None else None,
            placeholders=self.trial.parameters,
        )


class TableItem(SqlItem):
    """One Markdown table bound to a relation."""

    kind: Kind = "table"

    def __init__(self, *, table: BoundTable, **kwargs: Any) -> None:
        super().__init__(place=table.location, section=table.section, **kwargs)
        self.table = table

    def problems(self) -> Sequence[Failure]:
        """Return those of the table alone."""
        return self.table.problems

    def texts(self) -> Iterable[str] | None:
        """Return nothing that reaches further than the catalog."""
        return None if self.problems() else ()

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the relation and the names in the table."""
        cells = [cell for row in self.table.rows for cell in row.cells[:1]]
        return None if self.problems() else [self.table.relation, *cells]

    def subject(self) -> BoundTable:
        """Return the table."""
        return self.table

    rests_on = subject


class FactsItem(SqlItem):
    """One Markdown table whose values are what queries return."""

    kind: Kind = "facts"

    def __init__(self, *, table: FactsTable, **kwargs: Any) -> None:
        super().__init__(place=table.location, section=table.section, **kwargs)
        self.table = table

    def problems(self) -> Sequence[Failure]:
        """Return those of the table alone."""
        return self.table.problems

    def texts(self) -> Iterable[str] | None:
        """Return the queries."""
        return None if self.problems() else [fact.sql for fact in self.table.facts]

    def subject(self) -> FactsTable:
        """Return the table with its queries."""
        return self.table

    rests_on = subject


class UncheckedItem(SqlItem):
    """A row of a facts table that no query checks: never passed, always shown with its reason."""

    kind: Kind = "fact"

    def __init__(self, *, table: FactsTable, row: Unchecked, **kwargs: Any) -> None:
        found = [other for other in table.rows if other.cells[:1] == (row.label,)]
        place = found[0].location if found else row.location
        slug = "-".join(re.findall(r"\w+", row.label.lower()))
        name = f"{table.name}.{slug}"
        super().__init__(place=place, section=table.section, name=name, **kwargs)
        self.add_marker(pytest.mark.skip(reason=f'"{row.label}" is not checked: {row.reason}'))


class IdentifiersItem(SqlItem):
    """The names that a page mentions."""

    kind: Kind = "identifiers"

    def __init__(self, *, page: Page, root: Path, **kwargs: Any) -> None:
        super().__init__(place=Location(page.path, 1), root=root, **kwargs)
        self.page = page

    def texts(self) -> Iterable[str] | None:
        """Return nothing that reaches further than the catalog."""
        return ()

    def rests_on(self) -> object | None:
        """Return the page: what its blocks make counts as known."""
        return self.page

    def subject(self) -> Mentions:
        """Return the names, beside those that a stand-in would make on another server."""
        stand_ins = {stand_in_for(read_sql(path)) for path in recipe_of(self.settings).platform}
        names = tuple(mentioned_names(self.page, self.settings))
        return Mentions(self.page, names, frozenset(name for name in stand_ins if name))


class DrillItem(SqlItem):
    """One section, followed against its incident."""

    kind: Kind = "drill"

    def __init__(self, *, drill: Drill, **kwargs: Any) -> None:
        super().__init__(place=drill.location, section=drill.section, **kwargs)
        self.drill = drill

    def problems(self) -> Sequence[Failure]:
        """Return those of the drill and of its steps."""
        return check_make_up(self.drill)

    def texts(self) -> Iterable[str] | None:
        """Return those of all steps."""
        if self.problems():
            return None
        return [text for step in self.drill.steps for text in _sql_of(step)]

    def scenario_name(self) -> str | None:
        """Return that of the drill."""
        return self.drill.scenario

    def subject(self) -> Drill:
        """Return the drill with its steps."""
        return self.drill

    rests_on = subject


def _sql_of(snippet: Snippet) -> Iterator[str]:
    """Yield the SQL of a block, of those before it, and the values put into them."""
    for block in (*snippet.earlier, snippet):
        yield block.sql
        yield from block.claims.fill.values()


def mentioned_names(page: Page, settings: Settings) -> list[Name]:
    """Return what a page mentions and may be names of the database."""
    if settings.identifiers == "off":
        return []
    checked = {number for table in page.facts for number in checked_codes(table)}
    return names_on(page, bare=settings.identifiers == "all", checked=checked)
