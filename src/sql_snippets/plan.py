"""What is to be sent for a block or a drill: by whom, in which order, in which database.

A plan is made of the page and the settings alone, before anything is sent.  Where a run has to
decide something (to go on, to ask once more), the plan holds what it decides by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from sql_snippets.model import Failure, Order, Step
from sql_snippets.profiles import POSTGRES, PSQL
from sql_snippets.sqltext.nearest import did_you_mean
from sql_snippets.sqltext.placeholders import Filled, PlaceholderError, fill, find

if TYPE_CHECKING:
    from sql_snippets.model import Drill, Outcome, Snippet
    from sql_snippets.profiles import Editor

DEFAULT_TIMEOUT = 30.0
RESOLVED = "resolved"
"""The column by which a verification says whether the incident has ended."""

Outcomes = Mapping[str, "Outcome"]
"""What the blocks gave that have been run in a database, by their ids."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """As whom a block is run, for how many seconds at most, and what rows of relations order.

    ``editor`` is what it is pasted into, but for blocks that share a session, as in psql.
    """

    role: str
    timeout: float = DEFAULT_TIMEOUT
    effects: Mapping[str, str] = field(default_factory=lambda: POSTGRES.effects)
    editor: Editor = PSQL


class Where(StrEnum):
    """The database that a step runs in; all steps of a plan that say the same share it.

    ``ROLLED_BACK`` is one that many plans share and none changes: what cannot be rolled back there
    is run in a clone instead.
    """

    ROLLED_BACK = "rolled back"
    CLONE = "clone"
    INCIDENT = "incident"


class Need(StrEnum):
    """What a step has to give so that the stages of the plan after it mean anything."""

    ROWS = "rows"
    NO_ROWS = "no rows"
    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class Send:
    """A block, sent as one message in a session of its own, or in one that goes on.

    ``needed_by`` is the id of the block before which it must run.  What it does is measured where
    it is ``watched``.  It is sent again for ``within`` seconds until it gives what is needed.
    What is sent ``in_session`` goes through the one session that the blocks of an order share.
    """

    snippet: Snippet
    where: Where
    options: RunOptions
    needed_by: str | None = None
    watched: bool = False
    need: Need | None = None
    within: float = 0.0
    in_session: bool = False

    def is_met(self, outcome: Outcome) -> bool:
        """Whether the outcome is such that what comes after it can be run."""
        error = outcome.error.sqlstate if outcome.error is not None else None
        if error != self.snippet.claims.error:
            return False
        match self.need:
            case Need.ROWS:
                return bool(outcome.rows)
            case Need.NO_ROWS:
                return not outcome.rows
            case Need.RESOLVED:
                return resolved_in(outcome) is True
            case Need.UNRESOLVED:
                return resolved_in(outcome) is False
            case None:
                return True


@dataclass(frozen=True, slots=True)
class Look:
    """A look at whether the incident is there; repeated for ``within`` seconds until it is so."""

    present: bool
    within: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A block sent once more, with texts made to break out of their quotes, if it went well."""

    snippet: Snippet
    where: Where
    options: RunOptions
    in_session: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that belong together; ``when`` says in a failure which part of the drill it was.

    All of them are run, but for those that need one which failed.  If one failed, no further
    stage is run.
    """

    steps: tuple[Send | Look | Probe, ...]
    when: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done for one verdict; with a ``scenario``, against its incident."""

    stages: tuple[Stage, ...]
    scenario: str | None = None


_WITH_INCIDENT: Mapping[Step | None, Need] = {
    Step.CONFIRM: Need.ROWS,
    Step.VERIFY: Need.UNRESOLVED,
}


def plan_block(snippet: Snippet, options: RunOptions) -> Plan:
    """Return how a block is checked: after those that it needs, and with hostile values at last."""
    claims = snippet.claims
    goes_on = snippet.order is Order.SESSION
    where = Where.CLONE if snippet.earlier or goes_on else Where.ROLLED_BACK
    if claims.scenario is not None:
        where = Where.INCIDENT
    own = _for(snippet, options)
    steps: list[Send | Look | Probe] = [
        *(
            Send(
                earlier,
                where,
                _for(earlier, options),
                needed_by=snippet.id,
                in_session=earlier.order is Order.SESSION,
            )
            for earlier in snippet.earlier
        ),
        Send(
            snippet,
            where,
            own,
            watched=True,
            need=_WITH_INCIDENT.get(claims.step),
            in_session=goes_on,
        ),
    ]
    if claims.ends:
        steps.append(Look(present=False))
    if find(snippet.sql):
        # It is for good, so not in the database that others use.
        probed_in = Where.CLONE if where is Where.ROLLED_BACK else where
        steps.append(Probe(snippet, probed_in, own, goes_on))
    return Plan((Stage(tuple(steps)),), claims.scenario)


def plan_drill(drill: Drill, options: RunOptions) -> Plan:
    """Return how a section is followed: its diagnosis on a healthy database, then all of it.

    The fix is run twice, as a reader does who is not sure that it worked.
    """
    sent: set[tuple[Where, str]] = set()
    within = max((s.claims.within or 0.0 for s in drill.having(Step.VERIFY)), default=0.0)
    gone = Look(present=False, within=within)

    def steps(
        snippets: Sequence[Snippet],
        need: Need | None = None,
        where: Where = Where.INCIDENT,
    ) -> tuple[Send, ...]:
        found: list[Send] = []
        for snippet in snippets:
            for earlier in snippet.earlier:
                if (where, earlier.id) not in sent:
                    sent.add((where, earlier.id))
                    found.append(Send(earlier, where, _for(earlier, options), snippet.id))
            sent.add((where, snippet.id))
            waits = (snippet.claims.within or 0.0) if need is Need.RESOLVED else 0.0
            own = _for(snippet, options)
            found.append(Send(snippet, where, own, need=need, within=waits))
        return tuple(found)

    def follow() -> tuple[Send, ...]:
        found: list[Send] = []
        is_fixed = False
        for snippet in drill.steps:
            step = snippet.claims.step
            is_fixed = is_fixed or step is Step.RESOLVE
            if step is not Step.VERIFY:
                confirms = step is Step.CONFIRM and not is_fixed
                found += steps([snippet], Need.ROWS if confirms else None)
        return tuple(found)

    verify = drill.having(Step.VERIFY)
    again = [snippet for snippet in drill.having(Step.RESOLVE) if not snippet.claims.once]
    diagnosis = list(map(_bare, drill.having(Step.CONFIRM)))
    stages = (
        Stage(steps(diagnosis, Need.NO_ROWS, Where.CLONE), "on a healthy database"),
        # Before the fix there is nothing to wait for: it must say no at once.
        Stage(steps(verify, Need.UNRESOLVED), "before the fix"),
        Stage((Look(present=True),)),
        Stage(follow(), "with the incident"),
        Stage((gone,), "ran in page order"),
        Stage(steps(verify, Need.RESOLVED), "after the fix"),
        Stage(steps(list(map(_bare, again))), "run a second time (say `once` if it must not be)"),
        Stage((gone,), "ran a second time"),
        Stage(steps(verify, Need.RESOLVED), "after the fix was run twice"),
    )
    return Plan(stages, drill.scenario)


def _for(snippet: Snippet, options: RunOptions) -> RunOptions:
    """Return the options of one block, which may name another role."""
    return replace(options, role=snippet.claims.role or options.role)


def _bare(snippet: Snippet) -> Snippet:
    """Leave out what the page says of the first run with the incident: rows and output."""
    return replace(snippet, claims=replace(snippet.claims, rows=None, output=None))


def resolved_in(outcome: Outcome) -> bool | None:
    """Return what a verification says; None where it says neither yes nor no."""
    names = [(column.name, column.type) for column in outcome.columns or ()]
    if (RESOLVED, "boolean") not in names or len(outcome.rows) != 1:
        return None
    value = outcome.rows[0][names.index((RESOLVED, "boolean"))]
    return {"t": True, "f": False}.get(value or "")


def fill_in(
    snippet: Snippet, values: Mapping[str, object], outcomes: Outcomes | None = None
) -> Filled | list[Failure]:
    """Put the values in; the block's own ``fill.`` words win over those of its scenario.

    ``outcomes`` are those of earlier blocks, for the values that are taken from them.
    """
    own = own_values(snippet, outcomes or {})
    if isinstance(own, list):
        return own
    try:
        filled = fill(snippet.sql, {**values, **own})
    except PlaceholderError as err:
        return [Failure(snippet.locate(err.offset), str(err))]
    failures = []
    for name in filled.unfilled:
        place = next(found for found in find(snippet.sql) if found.name == name)
        message = f"<{name}> has no value: add fill.{name}=VALUE, or a scenario that gives one"
        failures.append(Failure(snippet.locate(place.start), message))
    for name in filled.unused:
        # A scenario's values serve several blocks; not each of them asks for all.
        if name in own:
            message = f"fill.{name} is not used: there is no <{name}> in the block"
            failures.append(Failure(snippet.start, message))
    return failures or filled


def own_values(snippet: Snippet, outcomes: Outcomes) -> dict[str, object] | list[Failure]:
    """Return the values a block is given, and those that earlier blocks gave in their first row."""
    values: dict[str, object] = dict(snippet.claims.fill)
    for name, source in snippet.claims.taken.items():
        place = next((p.start for p in find(snippet.sql) if p.name == name), 0)
        blocks = [other for other in snippet.earlier if other.name == source.block]
        outcome = outcomes.get(blocks[-1].id) if blocks else None
        columns = [column.name for column in outcome.columns or ()] if outcome else []
        what = f'<{name}> is taken from block "{source.block}", which'
        if outcome is None or source.column not in columns:
            meant = did_you_mean(source.column, columns)
            message = f'{what} returns no column "{source.column}"{meant}'
            return [Failure(snippet.locate(place), message)]
        if not outcome.rows:
            return [Failure(snippet.locate(place), f"{what} returned no row")]
        values[name] = outcome.rows[0][columns.index(source.column)]
    return values
