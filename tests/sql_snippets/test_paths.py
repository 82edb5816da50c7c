"""Whoever starts at a symptom gets somewhere: the runbook as a graph, walked to its ends.

Nodes are the sections of the page.  What leads on from a section is written in three places: the
last column of its tables, the sentences below its blocks, and its links.  An end is "done" (the
job is well, or nothing has to be done) or "escalate".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/operations/cron-reminder-runbook.md"

HEALTH = PAGE.parents[2] / "supabase/migrations/20260601091900_health.sql"

DONE = "done"
ESCALATE = "escalate"
# Goes on with the next block of the section; to an earlier one, or later to the same.
BELOW = "below"
AGAIN = "again"

_LINK = re.compile(r"\[[^\]]*\]\(#([^)]+)\)")
_NAMED_BY_OUTPUT = re.compile(r"\bgo to the section it names\b")
_WORDS = {
    DONE: re.compile(r"\b(?:done|as good)\b|^nothing\b"),
    ESCALATE: re.compile(r"\bescalate\b", re.IGNORECASE),
    BELOW: re.compile(r"\bblocks? below\b|\bgo on\b|\bread on\b|\blines? of the table\b"),
    AGAIN: re.compile(r"\brun the [\w ]*(?:query|block) (?:again|once more)\b"),
}
_LEADING_COLUMNS = ("Go to", "What to do", "Resolve", "Section")
# What a sentence with a colon may begin with and be no outcome.
_REMARK = re.compile(r"Undo\b|In the Dashboard\b|What happens to\b|Before\b|Do not\b")
_BLOCK = re.compile(r"\*\*(READ|WRITE|STOP)\*\* · (.*)")


@dataclass(frozen=True)
class Outcome:
    """What may come back, and where it leads: ends, "below", "again" or anchors."""

    line: int
    text: str
    exits: frozenset[str]

    def __str__(self) -> str:
        return f"{PAGE.name}:{self.line}: {self.text}"


@dataclass
class Block:
    line: int
    mark: str
    why: str
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass
class Section:
    level: int
    title: str
    anchor: str
    line: int
    blocks: list[Block] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    below: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def every_outcome(self) -> list[Outcome]:
        return [*self.outcomes, *(o for block in self.blocks for o in block.outcomes)]

    @property
    def leads_to(self) -> set[str]:
        exits = {exit_ for outcome in self.every_outcome for exit_ in outcome.exits}
        # An outcome that goes on in the section goes wherever the section leads.
        return {*(exits - {BELOW, AGAIN}), *self.links, *self.below, *_ends(self.text)}


def _ends(text: str) -> set[str]:
    return {name for name in (DONE, ESCALATE) if _WORDS[name].search(text)}


def _exits(text: str, named: frozenset[str]) -> frozenset[str]:
    words = _LINK.sub(lambda match: match[0].partition("]")[0][1:], text)
    found = {name for name, pattern in _WORDS.items() if pattern.search(words)}
    found |= set(_LINK.findall(text))
    return frozenset(found | named if _NAMED_BY_OUTPUT.search(text) else found)


def sections_in_output(text: str) -> frozenset[str]:
    """Return the sections that the shown output of the health query names."""
    output = text.split("name=health ", 1)[1].split("```text", 1)[1].split("```", 1)[0]
    rows = [line.rsplit("|", 1)[1].strip() for line in output.splitlines() if line.count("|") == 4]
    assert rows[0] == "section"
    return frozenset(rows[1:])


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _outcomes(line: str) -> list[str]:
    """Split a line: a sentence with a colon is an outcome, what follows it belongs to it."""
    code = re.compile(r"`[^`]*`")
    hidden = code.sub(lambda match: match[0].replace(".", "\0").replace(":", "\1"), line)
    found: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z`\[*])", hidden):
        if found and not re.search(r":\s", sentence):
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    shown = (part.replace("\0", ".").replace("\1", ":") for part in found)
    return [part for part in shown if re.search(r":\s", part) and not _REMARK.match(part)]


class _Reader:
    """Takes a page line by line."""

    def __init__(self, text: str) -> None:
        self.sections: list[Section] = []
        self._named = sections_in_output(text) if "name=health " in text else frozenset[str]()
        self._header: list[str] = []
        self._block: Block | None = None
        fenced = False
        for number, line in enumerate(text.splitlines(), 1):
            heading = re.fullmatch(r"(#{1,3}) (.+)", line)
            if line.startswith("```"):
                fenced = not fenced
            elif not fenced and heading:
                self._begin(Section(len(heading[1]), heading[2], _slug(heading[2]), number))
            elif not fenced and self.sections:
                self._take(number, line)

    def _begin(self, section: Section) -> None:
        if section.level == 3:
            parents = [each for each in self.sections if each.level == 2]
            parents[-1].below.append(section.anchor)
        self.sections.append(section)
        self._block, self._header = None, []

    def _take(self, number: int, line: str) -> None:
        section = self.sections[-1]
        section.links |= set(_LINK.findall(line))
        section.text += line + "\n"
        if line.startswith("|"):
            self._take_row(section, number, line)
            return
        self._header = []
        mark = _BLOCK.match(line)
        if mark:
            self._block = Block(number, mark[1], mark[2])
            section.blocks.append(self._block)
        elif re.match(r"\*\*[A-Z][a-z]+", line):
            self._block = None  # the next part of a troubleshooting section
        elif self._block and not re.match(r"<!--|>|- |\d\.", line):
            self._block.outcomes += [
                Outcome(number, text, _exits(text, self._named)) for text in _outcomes(line)
            ]

    def _take_row(self, section: Section, number: int, line: str) -> None:
        cells = _cells(line)
        leading = [name for name in _LEADING_COLUMNS if name in self._header]
        if not self._header:
            self._header = cells
        elif leading and not set(line) <= set("|- :"):
            cell = cells[self._header.index(leading[0])]
            section.outcomes.append(Outcome(number, line, _exits(cell, self._named)))


def read_sections(text: str) -> dict[str, Section]:
    return {section.anchor: section for section in _Reader(text).sections}


def dead_ends(sections: dict[str, Section]) -> list[str]:
    """Return what leads nowhere, each as a sentence that names the line."""
    found = []
    for section in sections.values():
        for outcome in section.every_outcome:
            if not outcome.exits:
                found.append(f"{outcome} leads nowhere")
            found += [
                f"{outcome} leads to #{name}, which is not there"
                for name in outcome.exits - {DONE, ESCALATE, BELOW, AGAIN}
                if name not in sections
            ]
            if outcome.exits == {BELOW} and not _has_more(section, outcome.line):
                found.append(f"{outcome} goes on below, where nothing follows")
        found += [
            f"{PAGE.name}:{block.line}: {block.why} says of no result where it leads"
            for index, block in enumerate(section.blocks)
            if not _leads_on(section, index)
        ]
    return found


def _has_more(section: Section, line: int) -> bool:
    """Whether the section goes on; the one on the lock is read on in the next."""
    after = [block for block in section.blocks if block.line > line]
    rows = [outcome for outcome in section.outcomes if outcome.line > line]
    return bool(after or rows) or section.anchor == "who-holds-the-lock"


def _leads_on(section: Section, index: int) -> bool:
    """Whether a block has outcomes, in sentences below it or in the rows of a table."""
    block = section.blocks[index]
    following = section.blocks[index + 1 :]
    until = following[0].line if following else 10**9
    return bool(block.outcomes) or any(block.line < row.line < until for row in section.outcomes)


def ends_from(sections: dict[str, Section], start: str) -> set[str]:
    """Walk from a section over everything it leads to, and return the ends that are reached."""
    ends: set[str] = set()
    todo, seen = [start], {start}
    while todo:
        for exit_ in sections[todo.pop()].leads_to:
            if exit_ in {DONE, ESCALATE}:
                ends.add(exit_)
            elif exit_ not in seen:
                seen.add(exit_)
                todo.append(exit_)
    return ends


@cache
def runbook() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections() -> dict[str, Section]:
    return read_sections(runbook())


def symptoms(sections: dict[str, Section]) -> list[Outcome]:
    return sections["find-your-symptom"].outcomes


def troubles(sections: dict[str, Section]) -> list[Section]:
    return [sections[name] for name in sections["troubleshooting"].below]


def test_nothing_leads_nowhere(sections: dict[str, Section]) -> None:
    assert dead_ends(sections) == []


def test_every_symptom_leads_to_an_end(sections: dict[str, Section]) -> None:
    assert len(symptoms(sections)) >= 12
    for symptom in symptoms(sections):
        for exit_ in symptom.exits - {ESCALATE}:
            assert ends_from(sections, exit_) == {DONE, ESCALATE}, symptom


def test_every_trouble_has_both_ends_in_itself(sections: dict[str, Section]) -> None:
    assert len(troubles(sections)) >= 8
    for section in troubles(sections):
        assert DONE in _ends(section.text), section.title
        assert "**Escalate** " in section.text, section.title
        assert section.every_outcome


def test_every_trouble_is_reached_from_a_symptom(sections: dict[str, Section]) -> None:
    direct = {exit_ for symptom in symptoms(sections) for exit_ in symptom.exits}
    assert {section.anchor for section in troubles(sections)} <= direct


def _steps(sections: dict[str, Section], step: str) -> list[Block]:
    lines = runbook().splitlines()
    return [
        block
        for section in sections.values()
        for block in section.blocks
        if f"step={step}" in next(x for x in lines[block.line :] if x.startswith("<!-- sql:"))
    ]


def test_every_verification_says_what_both_answers_mean(sections: dict[str, Section]) -> None:
    verifications = _steps(sections, "verify")
    assert len(verifications) >= 7
    for block in verifications:
        answers = {each.text[:4]: each.exits for each in block.outcomes}
        # One incident ended is not all well: another may stand behind it.
        assert {DONE, "check-health"} <= answers["`t`:"], block
        assert answers["`f`:"] - {DONE}, block


def test_every_confirmation_says_what_no_row_means(sections: dict[str, Section]) -> None:
    confirmations = _steps(sections, "confirm")
    assert len(confirmations) >= 8
    for block in confirmations:
        assert any(each.text.startswith("No row: ") for each in block.outcomes), block


def test_health_query_names_sections_that_are_there(sections: dict[str, Section]) -> None:
    named = sections_in_output(runbook())
    assert len(named) >= 5
    assert named <= sections.keys()


def test_every_section_that_health_may_name_is_a_link_below_it(
    sections: dict[str, Section],
) -> None:
    view = HEALTH.read_text(encoding="utf-8").split("create view reminder.health", 1)[1]
    named = set(re.findall(r"'([a-z]+(?:-[a-z]+)+)'", view)) - {"peer-mentor-reminders"}
    assert named >= sections_in_output(runbook())
    assert named <= sections["check-health"].links


def _broken(old: str, new: str) -> dict[str, Section]:
    assert old in runbook(), f"the page no longer holds {old!r}: this breaks nothing"
    return read_sections(runbook().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("go to [Enable the job](#enable-the-job). For", "that is odd. For"),
        (
            "switched off and forgotten | both WRITE blocks below |",
            "switched off and forgotten | think |",
        ),
        ("No row: a later run has taken it up, done.", "No row: a later run has taken it up."),
        ("[Register again](#register-again), then the", "[Register again](#gone), then the"),
        ("`t`: done. `f`: run the WRITE block again, then [escalate](#escalate).", ""),
    ],
)
def test_a_dead_end_is_found(old: str, new: str) -> None:
    assert dead_ends(_broken(old, new))


def test_a_circle_without_an_end_is_found() -> None:
    text = "# P\n\n## A\n\n### B\n\n[C](#c)\n\n### C\n\n[B](#b)\n"
    assert ends_from(read_sections(text), "b") == set()
