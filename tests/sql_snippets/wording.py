"""What the runbook tells people to do, as values that can be compared with a table of the tests.

The SQL of a page is run; its words are not.  So what somebody acts by is read from it piece by
piece: the mark of a block, its undo, what may come back, and what to do then, in its order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.sql_snippets.decisions import RULES, read_sections, slug

if TYPE_CHECKING:
    from tests.sql_snippets.decisions import Node, Outcome, Section

# What people act by: a link, an end, a step, whom to ask, how soon, and whether all is as it was.
_TO_DO = re.compile(
    r"\]\(#(?P<link>[\w-]+)\)"
    r"|(?P<answer>`[tf]`)"
    r"|\b(?P<said>done(?! so)|go on|wait|ask|the section it names"
    r"|(?:first |second |last |both )?(?:READ|WRITE|STOP) blocks?(?: below| again)?"
    r"|blocks? (?:below|again)|(?:come|go) back"
    r"|the confirming query|once more|the other lines of the table"
    r"|developers|platform on-call|to that person|in the team channel"
    r"|tell (?:the (?:team|channel|mentors|people in the channel)|(?:its|these) [a-z]+|everybody"
    r"|people|mentors)|do not [a-z]+|without telling the team"
    r"|with (?:what came back|its text|the (?:error|rows?(?: above)?|last migrations))"
    r"|and the last migrations"
    r"|nothing was changed|unless the lock is stuck|whatever that says of closing"
    r"|leave it off|leave the job on"
    r"|until it succeeds|instead, switch|and stop"
    r"|reboot|create extension|in the application"
    r"|(?:high|medium|low), (?:now|today|in the morning|(?:but )?before the next run))\b",
    re.IGNORECASE,
)
# Mark lines, rows, comments and tags are read elsewhere, or say nothing to people.
_ELSEWHERE = re.compile(r"\*\*(?:READ|WRITE|STOP)\*\* ·|\||<")
# What follows it is the same everywhere, or prose.
_URGENCY = re.compile(
    r"\*\*((?:High|Medium|Low), .+?)\.\*\*(?: \[Run a block\]\(#how-to-run-a-block\))?"
)
_MARK = re.compile(r"\| \*\*([A-Z]+)\*\* \| (.*) \|$")
_UNDO = re.compile(r"· ((?:no )?undo: .*?)(?: ·|$)")


def steps_in(text: str) -> str:
    """Return what a sentence makes somebody do, in its order."""
    found = [match["link"] or match["answer"] or match["said"] for match in _TO_DO.finditer(text)]
    return ", ".join(found).lower()


def _pair(outcome: Outcome) -> list[str]:
    """Return what may come back, and what is to be done then."""
    text = re.sub(r"\s+", " ", outcome.text)
    if text.startswith("|"):
        # A bar within code is no cell of this page's tables.
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        return [cells[0], steps_in(" | ".join(cells[1:]))]
    return _halves(text)


def _halves(item: str) -> list[str]:
    hidden = re.sub(r"`[^`]*`", lambda code: code[0].replace(":", "\0"), item)
    head, _, rest = hidden.partition(": ")
    return [head.replace("\0", ":"), steps_in(rest)]


def _block(node: Node) -> dict[str, object]:
    undo = _UNDO.search(f"· {node.title}")
    return {
        "mark": node.mark,
        **({"undo": undo[1]} if undo else {}),
        "outcomes": [_pair(outcome) for outcome in node.outcomes],
    }


def _lines(page: str) -> dict[str, list[tuple[int, str]]]:
    """Return the lines of each section by its anchor, with their numbers, without code."""
    found: dict[str, list[tuple[int, str]]] = {}
    here: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and (heading := re.fullmatch(r"#{1,3} (.+)", line)):
            here = found.setdefault(slug(heading[1]), [])
        elif not fenced:
            here.append((number, line))
    return found


def _prose(section: Section, lines: list[tuple[int, str]]) -> dict[str, object]:
    """Return what a section says outside of its blocks and tables."""
    read = {outcome.line for outcome in section.outcomes}
    rest = [line for number, line in lines if number not in read and not _ELSEWHERE.match(line)]
    urgent = [match[1] for line in rest if (match := _URGENCY.match(line))]
    undos = [
        sentence
        for _, line in lines
        if not _ELSEWHERE.match(line)
        for sentence in re.split(r"(?<=[.;]) ", line.removeprefix("- "))
        if re.search(r"\bundo\b", sentence, re.IGNORECASE)
    ]
    said = {
        "urgency": "".join(urgent),
        "undos": undos,
        "prose": [steps for line in rest if (steps := steps_in(_URGENCY.sub("", line, count=1)))],
    }
    return {name: value for name, value in said.items() if value}


def words_of(page: str) -> dict[str, dict[str, object]]:
    """Return what a page tells people to do: by section, then by block, table and prose."""
    lines = _lines(page)
    said: dict[str, dict[str, object]] = {}
    for anchor, section in read_sections(page).items():
        blocks = {node.name: _block(node) for node in section.nodes if node.mark}
        tables = [node.outcomes for node in section.nodes if not node.mark]
        table = [_pair(outcome) for outcomes in tables for outcome in outcomes]
        prose = _prose(section, lines[anchor])
        here = {**({"table": table} if table else {}), **prose, **blocks}
        if here:
            said[anchor] = here
    rules = [line for _, line in lines[RULES]]
    said[RULES] = {
        "marks": [list(found.groups()) for line in rules if (found := _MARK.match(line))],
        "rules": [_halves(line.removeprefix("- ")) for line in rules if line.startswith("- ")],
    }
    return said
