"""A reader who knows nothing but the page, and follows it to an end.

The walker knows no section of the page.  It runs the block at which it is, finds the outcome that
came back, and goes where that leads.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sql_snippets.plan import RunOptions
from sql_snippets.profiles import SUPABASE
from sql_snippets.running.editor import run_as_editor
from sql_snippets.servers.server import ServerUnavailable
from sql_snippets.sqltext import placeholders
from tests.sql_snippets.decisions import outcomes_of
from tests.sql_snippets.walks.answers import Answer
from tests.sql_snippets.walks.matching import Match, choose
from tests.sql_snippets.walks.moves import PLATFORM, Do, Move, Plan, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sql_snippets import Database
    from tests.sql_snippets.decisions import Node, Outcome, Section
    from tests.sql_snippets.walks.book import Book

DONE, ESCALATED, CIRCLE, TOO_LONG, LOST = "done", "escalate", "circle", "too long", "lost"
MOST_STATEMENTS = 40
# "Run the block again" is done so often before it counts as a circle.
MOST_WAITS = 2
READ_SECONDS, WRITE_SECONDS = 20.0, 60.0
# What a person knows without the database: who it is and why it is done.
_OWN = {"your_name", "reason", "new_date", "failures"}


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a walk, what came back, and the outcome that was followed."""

    place: str
    mark: str
    answer: str
    followed: str

    def __str__(self) -> str:
        return f"{self.place} [{self.mark}] -> {self.answer} => {self.followed}"


@dataclass(slots=True)
class Walk:
    """From a start to an end."""

    start: str
    steps: list[Step] = field(default_factory=list)
    end: str = ""
    # To whom, at an escalation; why, at an end that no page should have.
    why: str = ""
    # What the page leaves open or says twice, with its line.
    remarks: list[str] = field(default_factory=list)

    @property
    def statements(self) -> int:
        """How many blocks were run."""
        return sum(bool(step.mark) for step in self.steps)

    def __str__(self) -> str:
        lines = [f"from #{self.start}", *(f"  {step}" for step in self.steps)]
        return "\n".join(
            [*lines, f"  END {self.end} {self.why}", *(f"  ! {f}" for f in self.remarks)]
        )


class _End(Exception):  # noqa: N818 - the way out of the walk
    def __init__(self, end: str, why: str = "") -> None:
        super().__init__(end)
        self.end, self.why = end, why


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of a section."""

    section: Section
    index: int

    @property
    def node(self) -> Node:
        return self.section.nodes[self.index]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where to come back to, what was still to do there, and what was visited meanwhile."""

    place: _Place
    # The section that was gone to, and those to which it has led on.
    visited: set[str]
    moves: tuple[Move, ...]
    otherwise: tuple[Move, ...]


@dataclass(slots=True)
class Walker:
    """Follows the page in one database."""

    book: Book
    # Runs a block and waits for so many seconds.
    run: Callable[[str, float], Answer]
    # What a team keeps outside of the database: addresses, the schedule.
    known: Mapping[str, str]
    # Lets the world go on between two statements, and for as long as a reader waits.
    meanwhile: Callable[[], None] = lambda: None
    wait: Callable[[], None] = lambda: None
    # Told of each block that may have changed something.
    changed: Callable[[Node], None] = lambda _: None
    _walk: Walk = field(init=False)
    _stack: list[_Frame] = field(default_factory=list)
    _seen: Counter[tuple[int, Answer]] = field(default_factory=Counter)
    # How often the page has said of a block to run it again.
    _again: Counter[int] = field(default_factory=Counter)
    _found: list[Answer] = field(default_factory=list)
    # The section that was followed last: the start, or what a row of health has named.
    _followed: str = ""
    # The row of an answer that its outcome spoke of.
    _row: dict[Answer, int] = field(default_factory=dict)

    def walk(self, start: str) -> Walk:
        """Follow the page from a section."""
        self._walk = Walk(start)
        self._followed = start
        try:
            place = self._enter(start)
            while True:
                place = self._follow(place)
        except _End as end:
            self._walk.end, self._walk.why = end.end, end.why
        return self._walk

    # Where.

    def _enter(self, anchor: str, above: frozenset[str] = frozenset()) -> _Place:
        section = self.book.sections.get(anchor)
        if section is None:
            raise _End(LOST, f"#{anchor} is not on the page")
        if section.nodes:
            return _Place(section, 0)
        for other in (*section.below, *self.book.links_after(section, section.line)):
            if other not in above and other not in {anchor, "escalate"}:
                return self._enter(other, above | {anchor})
        raise _End(LOST, f"#{anchor} has no step and leads nowhere")

    def _after(self, place: _Place, count: int = 1) -> _Place:
        if place.index + count < len(place.section.nodes):
            return _Place(place.section, place.index + count)
        moves = plan(self.book.verification(place.section)).moves
        if not moves:
            raise _End(LOST, f"{place.node} says to go on, and nothing follows")
        return self._go(place, moves, Plan(moves), Match(None), self._found[-1])

    def _block(self, place: _Place, move: Move, *, above: bool = False) -> _Place:
        """Return the block that a move speaks of: "the second WRITE block below"."""
        nodes = list(enumerate(place.section.nodes))
        of_mark = [
            (i, n) for i, n in nodes if n.mark and (not move.target or n.mark == move.target)
        ]
        if above:
            if move.place == -1:
                found = [i for i, _ in of_mark if i <= place.index][-1:]
            else:
                found = [i for i, _ in of_mark][max(move.place - 1, 0) :][:1]
        else:
            below = [i for i, _ in of_mark if i > place.index]
            found = below[-1:] if move.place == -1 else below[max(move.place - 1, 0) :][:1]
        if not found:
            raise _End(LOST, f"{place.node} speaks of a block that is not there: {move}")
        return _Place(place.section, found[0])

    # What came back.

    def _follow(self, place: _Place) -> _Place:
        node = place.node
        outcomes = outcomes_of(place.section, node)
        if node.mark:
            answer = self._run(place)
        elif self._found:
            answer = self._found[-1]
        else:
            return self._unasked(place)
        conditions = self.book.conditions(outcomes)
        match = choose(answer, conditions)
        if match.rows:
            self._row[answer] = min(match.rows)
        self._note(place, outcomes, match, answer)
        planned = self._planned(outcomes, match, node, answer)
        following = place.section.nodes[place.index + 1 :]
        if node.mark and not node.outcomes and following and not following[0].mark:
            place = _Place(place.section, place.index + 1)  # the table stood in for the list
        moves = planned.moves
        if self._leads_back(answer, match, planned):
            moves = planned.if_followed
        elif node.mark and self._repeated(place, answer, planned):
            moves = planned.otherwise
        return self._go(place, moves, planned, match, answer)

    def _leads_back(self, answer: Answer, match: Match, planned: Plan) -> bool:
        """Whether a row names the section that was just followed, and the page speaks of that."""
        kinds = {move.do for move in planned.moves}
        return (
            Do.NAMED in kinds
            and bool(planned.if_followed)
            and self._named(answer, match) == self._followed
        )

    def _unasked(self, place: _Place) -> _Place:
        """Leave a table that no block stands above: a machine has no symptom but the database."""
        order = list(self.book.sections.values())
        for section in order[order.index(place.section) + 1 :]:
            if section.nodes and section.nodes[0].mark:
                return _Place(section, 0)
        raise _End(LOST, f"{place.node} asks what nobody has looked for")

    def _planned(
        self, outcomes: Sequence[Outcome], match: Match, node: Node, answer: Answer
    ) -> Plan:
        if match.index is None:
            # The general rules of the page.
            if answer.is_silent:
                return Plan((Move(Do.GO, "check-health"),), (Move(Do.ESCALATE, PLATFORM),))
            if answer.is_error and node.mark == "READ":
                return Plan((Move(Do.AGAIN, "READ", -1),), (Move(Do.ESCALATE, PLATFORM),))
            return Plan((Move(Do.ESCALATE, PLATFORM),))
        planned = plan(self.book.tail(outcomes, outcomes[match.index]))
        if not planned.moves:
            self._remark(f"{outcomes[match.index]} leads nowhere that can be followed")
            return Plan((Move(Do.ESCALATE, PLATFORM),))
        return planned

    def _note(
        self, place: _Place, outcomes: Sequence[Outcome], match: Match, answer: Answer
    ) -> None:
        followed = "the general rule" if match.index is None else outcomes[match.index].text
        if match.rivals:
            others = "; ".join(f"line {outcomes[i].line}" for i in match.rivals)
            self._remark(
                f"line {outcomes[match.index or 0].line} and {others} both fit: {describe(answer)}"
            )
        # A table of causes leaves the rest to the general rule.
        if match.index is None and place.node.mark and not answer.is_error:
            self._remark(f"{place.node} does not list: {describe(answer)}")
        if match.is_open and match.index is not None:
            self._remark(f"{outcomes[match.index]} can only be judged by a person")
        title = place.node.name or place.node.title or "table"
        step = Step(
            f"#{place.section.anchor}/{title}", place.node.mark, describe(answer), followed[:120]
        )
        self._walk.steps.append(step)

    def _remark(self, text: str) -> None:
        if text not in self._walk.remarks:
            self._walk.remarks.append(text)

    def _repeated(self, place: _Place, answer: Answer, planned: Plan) -> bool:
        """Whether the way out is the second one; raises where the page runs in a circle."""
        line = place.node.line
        self._seen[line, answer] += 1
        times = self._seen[line, answer]
        if times == 1:
            return False
        if planned.otherwise:
            return True
        if times <= self._again[line] + 1 <= MOST_WAITS + 1:
            return False
        raise _End(CIRCLE, f"{place.node} said again {describe(answer)}")

    def _go(
        self,
        place: _Place,
        moves: tuple[Move, ...],
        planned: Plan,
        match: Match,
        answer: Answer,
    ) -> _Place:
        move, *rest = moves
        while move.do is Do.WAIT:
            self.wait()
            move, *rest = rest or [Move(Do.AGAIN, "", -1)]
        if move.do is Do.DONE:
            return self._done(place)
        if move.do is Do.ESCALATE:
            raise _End(ESCALATED, move.target)
        if move.do is Do.NEXT and not rest:
            return self._after(place)
        if move.do is Do.NEXT:
            move, *rest = rest
        if move.do is Do.BELOW:
            if rest:
                raise _End(LOST, f"{place.node} says to run a block below and to come back")
            return self._block(place, move)
        if move.do is Do.AGAIN:
            place = self._block(place, move, above=True)
            self._again[place.node.line] += 1
            return place
        if move.do is Do.GO:
            return self._leave(place, move.target, tuple(rest), planned)
        self._followed = self._named(answer, match)
        return self._leave(place, self._followed, tuple(rest), planned)

    def _named(self, answer: Answer, match: Match) -> str:
        place = answer.column("section")
        rows = sorted(match.rows or range(len(answer.rows)))
        named = answer.rows[rows[0]][place] if place is not None and rows else None
        if named is None:
            raise _End(LOST, "the row names no section")
        return named

    def _leave(self, place: _Place, anchor: str, rest: tuple[Move, ...], planned: Plan) -> _Place:
        if self._is_visited(place) and self.book.closes(anchor):
            # What was visited ends there; whoever was sent there has more to do first.
            return self._done(place)
        for depth, frame in enumerate(self._stack):
            if frame.place.section.anchor == anchor:
                # Back where all of it began.
                del self._stack[depth:]
                return self._enter(anchor)
        if rest:
            self._stack.append(_Frame(place, {anchor}, rest, planned.otherwise))
        elif self._is_visited(place):
            self._stack[-1].visited.add(anchor)
        return self._enter(anchor)

    def _done(self, place: _Place) -> _Place:
        """End here, or go back to where somebody was sent from."""
        if not self._is_visited(place):
            raise _End(DONE)
        frame = self._stack.pop()
        back = Plan(frame.moves, frame.otherwise)
        answer = self._found[-1] if self._found else Answer()
        return self._go(frame.place, frame.moves, back, Match(None), answer)

    def _is_visited(self, place: _Place) -> bool:
        return bool(self._stack) and place.section.anchor in self._stack[-1].visited

    # Running.

    def _run(self, place: _Place) -> Answer:
        if self._walk.statements >= MOST_STATEMENTS:
            raise _End(TOO_LONG)
        sql = self._filled(place.node)
        seconds = READ_SECONDS if place.node.mark == "READ" else WRITE_SECONDS
        answer = self.run(sql, seconds)
        self.meanwhile()
        self._found.append(answer)
        if place.node.mark != "READ":
            self.changed(place.node)
        return answer

    def _filled(self, node: Node) -> str:
        names = dict.fromkeys(each.name for each in placeholders.find(node.sql))
        values = {name: self._value(node, name) for name in names}
        return placeholders.fill(node.sql, values).sql.rstrip("\n")

    def _value(self, node: Node, name: str) -> str:
        if name in self.known:
            return self.known[name]
        if name not in _OWN:
            for answer in reversed(self._found):
                place = answer.column(name)
                if place is not None and answer.rows:
                    return answer.rows[self._row.get(answer, 0)][place] or ""
            self._remark(f"{node} asks for <{name}>, which nothing on the way has given")
        found = re.search(rf"fill\.{name}=(?:\"([^\"]*)\"|(\S+))", node.claim)
        if not found:
            raise _End(LOST, f"<{name}> of {node} is not known")
        return found[1] or found[2]


def run_in(database: Database, sql: str, seconds: float) -> Answer:
    """Run one block as the SQL Editor would."""
    day = dt.datetime.now(dt.UTC).date().isoformat()
    try:
        outcome = run_as_editor(
            database, sql, RunOptions(database.role, seconds, editor=SUPABASE.editor)
        )
    except ServerUnavailable as err:
        return Answer(sqlstate="28000", message=str(err).splitlines()[0], day=day)
    error = outcome.error
    return Answer(
        columns=tuple(column.name for column in outcome.columns or ()),
        rows=tuple(outcome.rows),
        tag=outcome.tag,
        sqlstate=error.sqlstate or "XX000" if error else "",
        message=error.message if error else "",
        notices=outcome.notices,
        is_silent=error is not None and outcome.seconds >= seconds,
        day=day,
    )


def describe(answer: Answer) -> str:
    """Return an answer on one line."""
    if answer.is_silent:
        return "no answer"
    if answer.is_error:
        return f"{answer.sqlstate} {answer.message}"
    if not answer.columns:
        return answer.tag
    if not answer.rows:
        return "no row"
    wrong = [row for row in answer.rows if "f" in row]
    shown = wrong or answer.rows
    first = " | ".join(cell or "" for cell in shown[0])
    return f"{len(answer.rows)} rows: {first}" if len(answer.rows) > 1 else first
