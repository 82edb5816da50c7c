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
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.items import SqlItem
from sql_snippets.results.report import (
    Entry,
    ItemKind,
    Verdict,
    hash_claims,
    hash_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sql_snippets.model import (
        BoundTable,
        Drill,
        FactsTable,
        Failure,
        Page,
        Snippet,
        Unchecked,
    )
    from sql_snippets.settings import Settings


class FaultItem(SqlItem):
    """A fault found before anything could be run; it fails by itself."""

    kind: ItemKind = "fault"

    def __init__(self, *, failure: Failure, **kwargs: Any) -> None:
        super().__init__(place=failure.location, **kwargs)
        self.failure = failure

    def problems(self) -> Sequence[Failure]:
        """Return the fault."""
        return [self.failure]


class BlockItem(SqlItem):
    """One SQL block with its claims."""

    kind: ItemKind = "block"
    part: Snippet

    def __init__(self, *, part: Snippet, **kwargs: Any) -> None:
        super().__init__(part=part, place=part.start, **kwargs)

    def sql(self) -> Iterable[str]:
        """Return the block's and that of the blocks before it."""
        return _sql_of(self.part)

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the block's alone: what runs before it is not to notice in its place."""
        return None if self.problems() else [self.part.sql, *self.part.claims.fill.values()]

    def scenario_name(self) -> str | None:
        """Return that of the block's claims."""
        return self.part.claims.scenario

    @property
    def needs_more(self) -> bool:
        """Whether something is produced or run before the block."""
        return bool(self.part.claims.scenario or self.part.earlier)

    def entry(self, verdict: Verdict, reason: str | None) -> Entry:
        """Add what only a block has."""
        outcome, claims = self.trial.outcome, self.part.claims
        entry = super().entry(verdict, reason)
        entry = replace(
            entry,
            seconds=None,
            mark=claims.mark and claims.mark.value,
            role=claims.role or self.settings.role,
            sql_sha256=hash_sql(self.part.sql),
            claims_sha256=hash_claims(self.part),
            placeholders=self.trial.parameters,
        )
        if outcome is None:
            return entry
        return replace(
            entry,
            seconds=round(outcome.seconds, 6),
            isolation=outcome.isolation,
            rows=len(outcome.rows) if outcome.columns else None,
            danger=outcome.danger,
        )


class TableItem(SqlItem):
    """One Markdown table bound to a relation."""

    kind: ItemKind = "table"
    part: BoundTable

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the relation and the names in the table."""
        cells = [cell for row in self.part.rows for cell in row.cells[:1]]
        return None if self.problems() else [self.part.relation, *cells]


class FactsItem(SqlItem):
    """One Markdown table whose values are what queries return."""

    kind: ItemKind = "facts"
    part: FactsTable

    def sql(self) -> Iterable[str]:
        """Return the queries."""
        return [fact.sql for fact in self.part.facts]


class UncheckedItem(SqlItem):
    """A row of a facts table that no query checks: never passed, always shown with its reason."""

    kind: ItemKind = "unchecked-fact"

    def __init__(self, *, table: FactsTable, row: Unchecked, **kwargs: Any) -> None:
        found = [other for other in table.rows if other.cells[:1] == (row.label,)]
        place = found[0].location if found else row.location
        slug = "-".join(re.findall(r"\w+", row.label.lower()))
        name = f"{table.name}.{slug}"
        super().__init__(place=place, section=table.section, name=name, **kwargs)
        self.add_marker(pytest.mark.skip(reason=f'"{row.label}" is not checked: {row.reason}'))


class IdentifiersItem(SqlItem):
    """The names that a page mentions; what its blocks make counts as known."""

    kind: ItemKind = "identifiers"
    part: Page

    def problems(self) -> Sequence[Failure]:
        """Return none: those of the page are items of their own."""
        return ()

    def subject(self) -> Mentions:
        """Return the names, beside those that a stand-in would make on another server."""
        stand_ins = {stand_in_for(read_sql(path)) for path in recipe_of(self.settings).platform}
        names = tuple(mentioned_names(self.part, self.settings))
        return Mentions(self.part, names, frozenset(name for name in stand_ins if name))


class DrillItem(SqlItem):
    """One section, followed against its incident."""

    kind: ItemKind = "drill"
    part: Drill

    def problems(self) -> Sequence[Failure]:
        """Return those of the drill and of its steps."""
        return check_make_up(self.part)

    def sql(self) -> Iterable[str]:
        """Return that of all steps."""
        return [text for step in self.part.steps for text in _sql_of(step)]

    def scenario_name(self) -> str | None:
        """Return that of the drill."""
        return self.part.scenario


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
