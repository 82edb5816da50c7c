"""Where an outcome leads, as written: what stands behind its colon, or in the last column.

Pure.  A text becomes moves in their order, and what to do where they did not help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum


class Do(Enum):
    """What a reader does next."""

    GO = "go to a section"
    NAMED = "go to the section that the row names"
    NEXT = "go on below"
    BELOW = "a block below"
    AGAIN = "the same block once more"
    WAIT = "wait"
    DONE = "done"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Move:
    """One step; ``target`` is an anchor, the mark of a block, or whom to escalate to."""

    do: Do
    target: str = ""
    # Which of the blocks with that mark, from 1; 0 for all of them, -1 for the nearest above.
    place: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The moves of one outcome, and those for when they have been made in vain."""

    moves: tuple[Move, ...]
    otherwise: tuple[Move, ...] = ()
    # What to do instead where the section named is the one that was just followed.
    if_followed: tuple[Move, ...] = ()


DEVELOPERS = "developers"
PLATFORM = "platform on-call"
_PLACES = {"": 1, "first": 1, "second": 2, "third": 3, "last": -1, "both": 0, "all": 0}
_MARK = r"(?:(?P<mark{0}>READ|WRITE|STOP) )?"
_PATTERN = re.compile(
    r"\[(?P<text>[^\]]*)\]\(#(?P<anchor>[^)]+)\)"
    r"|(?P<named>\bthe section (?:that )?it names\b|\bsection it names\b)"
    r"|(?P<again>\b[Rr]un (?:the (?:same )?)?(?P<which>first |second |third |both )?(?:it )?"
    + _MARK.format(1)
    + r"(?:blocks?|query)? ?(?:again|once more)\b)"
    r"|(?P<below>\b(?:[Tt]he |[Oo]nly the )?"
    r"(?P<place>[Ff]irst |second |third |last |[Bb]oth |all |)?"
    + _MARK.format(2)
    + r"blocks?(?: below\b|$))"
    r"|(?P<next>\b(?:[Gg]o|[Rr]ead) on\b)"
    r"|(?P<back>\bcome back until\b|\blook there until\b)"
    r"|(?P<wait>\b[Ww]ait\b)"
    r"|(?P<done>\b[Dd]one\b|^nothing(?:$|, ))",
)
_PLAIN = {
    "named": Do.NAMED,
    "next": Do.NEXT,
    "back": Do.AGAIN,
    "wait": Do.WAIT,
    "done": Do.DONE,
}
# What follows is for another case than the one at hand.
_ASIDE = re.compile(r"^(?:if|where|unless|in case|undo|note|as in|for)\b", re.IGNORECASE)
# "[Who is waiting] tells who will be reminded": for whoever wants to know.
_TELLING = re.compile(r"^\[[^\]]*\]\([^)]*\) (?:has|tells|says|shows|names)\b")
_CHOICE = re.compile(r"\bif .*, else ", re.IGNORECASE)
_FOLLOWED = re.compile(r"\byou have just followed\b", re.IGNORECASE)


def plan(text: str) -> Plan:
    """Read where a text leads."""
    text = re.sub(r"`[^`]*`", "``", text).strip().rstrip(".")
    moves: list[Move] = []
    otherwise: list[Move] = []
    followed: list[Move] = []
    for clause in _clauses(text):
        found = [(match.start(), _move(match, clause)) for match in _PATTERN.finditer(clause)]
        if _FOLLOWED.search(clause):
            followed += [move for _, move in found]
            continue
        if moves and _TELLING.match(clause):
            continue
        if _ASIDE.match(clause) and moves:
            otherwise += [move for _, move in found if move.do is Do.ESCALATE]
            continue
        if (choice := _CHOICE.search(clause)) and any(start >= choice.end() for start, _ in found):
            # Where only a person can say whether the condition holds, the other way has to do.
            found = [(start, move) for start, move in found if start >= choice.end()]
        for start, move in found:
            before = clause[choice.end() if choice else 0 : start]
            is_second = moves and re.search(
                r"(?:\bor|\botherwise|\belse|\bif [^,]*,?)\s*(?:[\w ]{0,20})?$", before
            )
            if is_second and not _human_first(before):
                otherwise.append(move)
            else:
                moves.append(move)
    return replace(_settled(moves, otherwise), if_followed=tuple(followed))


def _human_first(before: str) -> bool:
    return re.match(r"^\s*(?:ask|let)\b", before) is not None


def _clauses(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[^.\d])\. |; ", text) if part.strip()]


def _move(match: re.Match[str], clause: str) -> Move:
    if anchor := match["anchor"]:
        to = DEVELOPERS if re.search(r"\bdevelopers\b", clause[match.end() :]) else PLATFORM
        return Move(Do.ESCALATE, to) if anchor == "escalate" else Move(Do.GO, anchor)
    if match["again"]:
        which = (match["which"] or "last").strip()
        return Move(Do.AGAIN, match["mark1"] or "", _PLACES[which])
    if match["below"]:
        place = (match["place"] or "").strip().lower()
        return Move(Do.BELOW, match["mark2"] or "", _PLACES[place])
    return Move(next(do for name, do in _PLAIN.items() if match[name]))


def _settled(moves: list[Move], otherwise: list[Move]) -> Plan:
    kinds = [move.do for move in moves]
    if Do.AGAIN in kinds and Do.ESCALATE in kinds:
        # "Run the block again, then escalate": the second only if the first did not help.
        at = kinds.index(Do.ESCALATE)
        otherwise = moves[at:] + otherwise
        moves = moves[:at]
    if any(move.do not in {Do.DONE, Do.WAIT} for move in moves):
        # "Done; look at Check health": there it is seen whether it is done.
        moves = [move for move in moves if move.do is not Do.DONE]
    if Do.ESCALATE in kinds and Do.GO in kinds and kinds.index(Do.GO) < kinds.index(Do.ESCALATE):
        otherwise = [m for m in moves if m.do is Do.ESCALATE] + otherwise
        moves = [m for m in moves if m.do is not Do.ESCALATE]
    return Plan(tuple(moves), tuple(otherwise))
