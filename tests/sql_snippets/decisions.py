"""The runbook as a graph of decisions.

A node is a step of a section: a block with the list below it, or a table whose last column says
what to do.  What may come back there are its outcomes, and each leads on: to an end, to the next
step, to the same step once more, or to the section it links to.

What the page says once for all blocks is an outcome of each block that it is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/operations/cron-reminder-runbook.md"
MIGRATIONS = PAGE.parents[2] / "supabase/migrations"

DONE = "done"
ESCALATE = "escalate"  # the anchor of the section that says how
NEXT = "next"
AGAIN = "again"
ENDS = {DONE, ESCALATE}
RULES = "how-to-run-a-block"  # the anchor of the section whose list is about every block


class Kind(Enum):
    """What an outcome is about."""

    TRUE = "`t`"
    FALSE = "`f`"
    NO_ROW = "no row"
    ERROR = "any error"
    SILENCE = "no answer"
    REFUSAL = "an error about what was filled in"
    REPEATED = "the same answer again"
    REST = "anything else"
    OTHER = "what came back"


_LINK = re.compile(r"\[[^\]]*\]\(#([^)]+)\)")
_NAMED_BY_OUTPUT = re.compile(r"\bgo to the section it names\b")
_WORDS = {
    DONE: re.compile(r"\bdone\b|^nothing\b"),
    NEXT: re.compile(r"\bblocks? below\b|\b[Gg]o on\b|\bread on\b|\blines? of the table\b"),
    AGAIN: re.compile(r"\b[Rr]un (?:the [\w ]*block|the [\w ]*query|it) (?:again|once more)\b"),
}
_KINDS = {
    Kind.TRUE: re.compile(r"^(?:All )?`t`|`\w+` is `t`|\ball active\b"),
    Kind.FALSE: re.compile(r"^(?:An )?`f`|`\w+` is `f`"),
    Kind.NO_ROW: re.compile(r"\bno row\b|\bno trigger\b|\brow is missing\b", re.IGNORECASE),
    Kind.ERROR: re.compile(r"^An(?:y other)? error\b(?! that names)"),
    Kind.SILENCE: re.compile(r"^No answer\b"),
    Kind.REFUSAL: re.compile(r"^An error that names what you filled in\b"),
    Kind.REPEATED: re.compile(r"^The same answer again\b"),
    Kind.REST: re.compile(r"^Anything else that is not listed\b"),
}
_MARKS_OF_RULE = re.compile(r"\berror of a (READ|WRITE)(?: or (STOP))?\b")
LEADING_COLUMNS = ("Go to", "What to do", "Resolve", "Section")
_BLOCK = re.compile(r"\*\*(READ|WRITE|STOP)\*\* · (.*)")
_ESCALATE = re.compile(r"\*\*Escalate\*\* (?:to [\w ]+ )?(?:if|with) .{20,}\[[^\]]+\]\(#escalate\)")


@dataclass(frozen=True)
class Outcome:
    """What may come back, and where it leads: ends, NEXT, AGAIN or anchors."""

    line: int
    text: str
    exits: frozenset[str]
    kinds: frozenset[Kind]

    def __str__(self) -> str:
        return f"{PAGE.name}:{self.line}: {self.text}"


@dataclass
class Node:
    """A step: a block (then it has a mark, its SQL and the output it shows) or a table."""

    line: int
    mark: str = ""
    title: str = ""
    claim: str = ""
    sql: str = ""
    output: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    # What the page says once, for all blocks such as this one.
    general: list[Outcome] = field(default_factory=list)

    @property
    def name(self) -> str:
        found = re.search(r"\bname=([\w-]+)", self.claim)
        return found[1] if found else ""

    @property
    def columns(self) -> list[str]:
        """The headings of the output."""
        return [name.strip() for name in self.output.partition("\n")[0].split("|")]

    def __str__(self) -> str:
        return f"{PAGE.name}:{self.line}: {self.title or 'the table'}"


@dataclass
class Section:
    level: int
    title: str
    anchor: str
    line: int
    nodes: list[Node] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    below: list[str] = field(default_factory=list)
    # Where the part "Verify" leads, which is what follows the last step.
    verify: list[str] = field(default_factory=list)
    escalates: bool = False

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for node in self.nodes for outcome in node.outcomes]


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def sections_in_output(text: str) -> frozenset[str]:
    """Return the sections that the shown output of the health query names."""
    output = text.split("name=health ", 1)[1].split("```text", 1)[1].split("```", 1)[0]
    rows = [line.split("|")[2].strip() for line in output.splitlines() if line.count("|") == 4]
    assert rows[0] == "section"
    return frozenset(rows[1:])


def sections_of_health() -> frozenset[str]:
    """Return the sections that the checks of health may name, from the migrations."""
    checks = [
        body
        for path in MIGRATIONS.glob("*.sql")
        for body in re.findall(
            r"^create function reminder\.(?:check_\w+|look_at_health)\b.*?^\$\$;",
            path.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
    ]
    assert len(checks) >= 10
    named = re.findall(r"'([a-z]+(?:-[a-z]+)+|heartbeat)'", "\n".join(checks))
    return frozenset(named) - {"peer-mentor-reminders"}


def _exits(text: str, named: frozenset[str]) -> frozenset[str]:
    words = _LINK.sub(lambda match: match[0].partition("]")[0][1:], text)
    found = {name for name, pattern in _WORDS.items() if pattern.search(words)}
    found |= set(_LINK.findall(text))
    return frozenset(found | named if _NAMED_BY_OUTPUT.search(text) else found)


def _kinds(head: str) -> frozenset[Kind]:
    return frozenset(kind for kind, pattern in _KINDS.items() if pattern.search(head)) or frozenset(
        {Kind.OTHER}
    )


def _head(item: str) -> str:
    """Return what an item of a list is about: what stands before its colon, "" without one."""
    hidden = re.sub(r"`[^`]*`", lambda code: code[0].replace(":", "\0"), item)
    head, colon, _ = hidden.partition(": ")
    return head.replace("\0", ":") if colon else ""


def _is_about(rule: Outcome, node: Node) -> bool:
    """Whether a rule for all blocks is about this one: some are about blocks of a mark."""
    marks = _MARKS_OF_RULE.search(rule.text)
    return not marks or node.mark in marks.groups()


class _Reader:
    """Takes a page line by line."""

    def __init__(self, text: str) -> None:
        self.sections: list[Section] = []
        self._named = sections_in_output(text) if "name=health " in text else frozenset[str]()
        self._header: list[str] = []
        self._table: Node | None = None
        self._block: Node | None = None
        self._fence: str | None = None
        self._rules: list[Outcome] = []
        for number, line in enumerate(text.splitlines(), 1):
            heading = re.fullmatch(r"(#{1,3}) (.+)", line)
            if line.startswith("```"):
                self._fence = line[3:] if self._fence is None else None
            elif self._fence is not None:
                self._take_code(line)
            elif heading:
                self._begin(Section(len(heading[1]), heading[2], slug(heading[2]), number))
            elif self.sections:
                self._take(number, line)
        self._spread_rules()

    def _spread_rules(self) -> None:
        """Give each block the outcomes that the page lists for all of its kind."""
        for section in self.sections:
            for node in section.nodes:
                if node.mark:
                    node.general = [rule for rule in self._rules if _is_about(rule, node)]

    def _begin(self, section: Section) -> None:
        if section.level == 3:
            parents = [each for each in self.sections if each.level == 2]
            parents[-1].below.append(section.anchor)
        self.sections.append(section)
        self._block, self._table = None, None

    def _take_code(self, line: str) -> None:
        if self._block and self._fence == "sql":
            self._block.sql += line + "\n"
        elif self._block and self._fence == "text":
            self._block.output += line + "\n"

    def _take(self, number: int, line: str) -> None:
        section = self.sections[-1]
        section.links |= set(_LINK.findall(line))
        if line.startswith("|"):
            self._take_row(section, number, line)
            return
        self._table = None
        mark = _BLOCK.match(line)
        if mark:
            self._block = Node(number, mark[1], mark[2])
            section.nodes.append(self._block)
        elif re.match(r"\*\*[A-Z][a-z]+", line):
            section.escalates |= bool(_ESCALATE.match(line))
            if line.startswith("**Verify."):
                section.verify = _LINK.findall(line)
            self._block = None  # the next part of a troubleshooting section
        elif self._block and not self._block.sql and line.startswith("<!-- sql: "):
            self._block.claim = line
        elif line.startswith("- ") and _head(line):
            text = line.removeprefix("- ")
            outcome = Outcome(number, text, _exits(text, self._named), _kinds(_head(text)))
            if self._block:
                self._block.outcomes.append(outcome)
            elif section.anchor == RULES:
                self._rules.append(outcome)

    def _take_row(self, section: Section, number: int, line: str) -> None:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if self._table is None:
            self._header, self._table = cells, Node(number)
            if set(cells) & set(LEADING_COLUMNS):
                section.nodes.append(self._table)
            return
        leading = [name for name in LEADING_COLUMNS if name in self._header]
        if leading and not set(line) <= set("|- :"):
            cell = cells[self._header.index(leading[0])]
            exits, kinds = _exits(cell, self._named), _kinds(cells[0])
            self._table.outcomes.append(Outcome(number, line, exits, kinds))


def read_sections(text: str) -> dict[str, Section]:
    """Return the sections of a page by their anchors, in its order."""
    return {section.anchor: section for section in _Reader(text).sections}


def outcomes_of(section: Section, node: Node) -> list[Outcome]:
    """Return what may come back from a node: a block may leave it to the table behind it."""
    following = section.nodes[section.nodes.index(node) + 1 :]
    if node.mark and not node.outcomes and following and not following[0].mark:
        return following[0].outcomes
    return node.outcomes


def answers_of(section: Section, node: Node) -> list[Outcome]:
    """Return all that the page says of a node: what stands below it, then what it says once."""
    return [*outcomes_of(section, node), *node.general]


def dead_ends(sections: dict[str, Section]) -> list[str]:
    """Return what leads nowhere, each as a sentence that names the line."""
    found = []
    for section in sections.values():
        for outcome in section.outcomes:
            if not outcome.exits:
                found.append(f"{outcome} leads nowhere")
            found += [
                f"{outcome} leads to #{name}, which is not there"
                for name in outcome.exits - {DONE, NEXT, AGAIN}
                if name not in sections
            ]
        for node in section.nodes:
            outcomes = outcomes_of(section, node)
            if not outcomes:
                found.append(f"{node} says of no result where it leads")
            elif node.mark and not any(
                outcome.exits - {DONE, NEXT, AGAIN} for outcome in answers_of(section, node)
            ):
                found.append(f"{node} has no link to go by when it is not as it should be")
            if node is section.nodes[-1] and not section.verify:
                found += [
                    f"{outcome} goes on below, where nothing follows"
                    for outcome in outcomes
                    if outcome.exits <= {NEXT, AGAIN} and NEXT in outcome.exits and node.mark
                ]
    return found


def ends_from(sections: dict[str, Section], start: str) -> set[str]:
    """Walk from a section over all outcomes, step by step, and return the ends reached."""
    ends: set[str] = set()
    todo, seen = _enter(sections, start), set[int]()
    while todo:
        section, index = todo.pop()
        node = section.nodes[index]
        if id(node) in seen:
            continue
        seen.add(id(node))
        for exit_ in {exit_ for each in answers_of(section, node) for exit_ in each.exits}:
            if exit_ in ENDS:
                ends.add(exit_)
            elif exit_ == NEXT and index + 1 < len(section.nodes):
                todo.append((section, index + 1))
            elif exit_ == NEXT:
                todo += [step for anchor in section.verify for step in _enter(sections, anchor)]
            elif exit_ not in {NEXT, AGAIN}:
                todo += _enter(sections, exit_)
    return ends


def _enter(
    sections: dict[str, Section], anchor: str, above: frozenset[str] = frozenset()
) -> list[tuple[Section, int]]:
    """Return the first step of a section; one without steps is a list of others.

    An anchor that is not there has none: `dead_ends` says where it stands.
    """
    section = sections.get(anchor)
    if section is None:
        return []
    if section.nodes:
        return [(section, 0)]
    others = {*section.below, *(() if section.below else section.links)} - {*above, anchor}
    return [step for other in sorted(others) for step in _enter(sections, other, above | {anchor})]
