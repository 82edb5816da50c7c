"""The page as the walker reads it: its sections, and the text of an outcome in its two halves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.sql_snippets.decisions import PAGE, read_sections
from tests.sql_snippets.walks.matching import Condition
from tests.sql_snippets.walks.moves import Do, plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.sql_snippets.decisions import Outcome, Section


@dataclass(frozen=True, slots=True)
class Book:
    """The page: its sections in order, and its lines."""

    sections: Mapping[str, Section]
    lines: Sequence[str]

    @staticmethod
    def of(text: str) -> Book:
        """Read a page."""
        return Book(read_sections(text), text.splitlines())

    @staticmethod
    @cache
    def of_page() -> Book:
        """Read the runbook."""
        return Book.of(PAGE.read_text(encoding="utf-8"))

    def conditions(self, outcomes: Sequence[Outcome]) -> list[Condition]:
        """Return what each outcome is about: the heads of a list, or the cells of a table."""
        header = self._header(outcomes)
        return [Condition(_cells(header, outcome.text)) for outcome in outcomes]

    def _header(self, outcomes: Sequence[Outcome]) -> list[str]:
        if not outcomes or not outcomes[0].text.startswith("|"):
            return []
        return _split_row(self.lines[outcomes[0].line - 3])

    def tail(self, outcomes: Sequence[Outcome], outcome: Outcome) -> str:
        """Return where an outcome leads, as text."""
        header = self._header(outcomes)
        if header:
            cells = _split_row(outcome.text)
            leading = [n for n in ("Go to", "What to do", "Resolve", "Section") if n in header]
            return cells[header.index(leading[0])]
        return _parted(outcome.text)[1]

    def closes(self, anchor: str) -> bool:
        """Whether a section is one that others end in: it names the next one, or says done."""
        section = self.sections.get(anchor)
        nodes = section.nodes[:1] if section else []
        plans = [plan(self.tail(node.outcomes, each)) for node in nodes for each in node.outcomes]
        does = {move.do for planned in plans for move in planned.moves}
        return {Do.DONE, Do.NAMED} <= does

    def verification(self, section: Section) -> str:
        """Return what a section says to look at in the end, where that is prose."""
        found = [line for line in self._of(section) if line.startswith("**Verify.**")]
        return found[0].removeprefix("**Verify.**") if found else ""

    def _of(self, section: Section) -> Sequence[str]:
        starts = sorted(each.line for each in self.sections.values())
        end = next((start for start in starts if start > section.line), len(self.lines) + 1)
        return self.lines[section.line : end - 1]

    def links_after(self, section: Section, line: int) -> list[str]:
        """Return what the prose of a section links to below a line, in order."""
        text = "\n".join(self._of(section)[line - section.line :])
        return [a for a in re.findall(r"\]\(#([^)]+)\)", text) if a in self.sections]


def _split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _cells(header: Sequence[str], text: str) -> tuple[tuple[str, str], ...]:
    if not header:
        return (("", _parted(text)[0]),)
    cells = _split_row(text)
    named = [
        (match[1], cell)
        for name, cell in zip(header, cells, strict=False)
        if (match := re.match(r"`(\w+)`", name))
    ]
    return tuple(named) or (("", cells[0]),)


def _parted(text: str) -> tuple[str, str]:
    """Return head and tail of an item of a list."""
    hidden = re.sub(r"`[^`]*`", lambda code: code[0].replace(":", "\0"), text)
    head, _, tail = hidden.partition(": ")
    return head.replace("\0", ":"), tail.replace("\0", ":")
