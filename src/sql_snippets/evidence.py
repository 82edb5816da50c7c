"""All that a run gave and was seen to do.  One execution can be the evidence of several verdicts.

Nothing in it says whether that is right: `judging` does, which needs no server for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sql_snippets.model import CatalogColumn, Failure, Outcome, Parameter, ServerError
    from sql_snippets.plan import Look, Plan, Probe, Send


@dataclass(frozen=True, slots=True)
class BlockRun:
    """What a block gave; without an ``outcome`` it was not sent, as it could not be filled in."""

    step: Send
    outcome: Outcome | None
    unfilled: tuple[Failure, ...] = ()

    @property
    def is_met(self) -> bool:
        """Whether what comes after the step can be run."""
        return self.outcome is not None and self.step.is_met(self.outcome)


@dataclass(frozen=True, slots=True)
class Sight:
    """Whether the incident was seen."""

    step: Look
    present: bool

    @property
    def is_met(self) -> bool:
        """Whether what comes after the step can be run."""
        return self.present is self.step.present


@dataclass(frozen=True, slots=True)
class Probed:
    """What a block did with hostile values.

    ``values`` are those it usually has, ``hostile`` those it had now: None where no value is a text
    that could hold anything.  ``refused`` is what the server's parser said to the statements that
    it could not read.  ``error`` is that of the run, where there was one.
    """

    step: Probe
    parameters: tuple[Parameter, ...]
    values: Mapping[str, object]
    hostile: Mapping[str, object] | None
    refused: tuple[str, ...] = ()
    error: ServerError | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the execution of a plan gave, as far as it got, stage by stage.

    Where the incident was not ``produced``, nothing was run.
    """

    plan: Plan
    stages: tuple[tuple[BlockRun | Sight | Probed, ...], ...] = ()
    produced: bool = True

    @property
    def given(self) -> Iterator[BlockRun | Sight | Probed]:
        """What each step gave, in order."""
        return (given for stage in self.stages for given in stage)


@dataclass(frozen=True, slots=True)
class RelationFound:
    """The columns of a relation; None where there is none, and then the nearest name."""

    columns: tuple[CatalogColumn, ...] | None
    nearest: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the query of a fact gave: the names and rows of each of its results, or its error."""

    results: tuple[tuple[tuple[str, ...], tuple[tuple[str | None, ...], ...]], ...] = ()
    error: ServerError | None = None


@dataclass(slots=True)
class NamesFound:
    """The names of a database.

    ``members`` are columns, triggers, constraints and policies with schema and relation,
    ``columns`` the same without the schema, ``words`` everything that a name of one part may be,
    and ``settings`` those of the server, its databases and its roles.
    """

    schemas: set[str] = field(default_factory=set)
    relations: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    types: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str, str]] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)
