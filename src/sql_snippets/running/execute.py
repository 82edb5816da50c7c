"""A plan, executed: the only place from which the blocks of a page are sent to a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import TYPE_CHECKING

import psycopg

from sql_snippets.database.catalog import is_about_a_name, suggest
from sql_snippets.evidence import BlockRun, Evidence, Probed, Sight
from sql_snippets.model import Failure
from sql_snippets.plan import Look, Plan, Probe, Send, Stage, Where, fill_in, own_values
from sql_snippets.running.editor import open_session, run_as_editor, run_in_session, run_isolated
from sql_snippets.running.parameters import ask_types, syntax_errors
from sql_snippets.servers.server import ServerUnavailable
from sql_snippets.sqltext.effects import beyond_undoing
from sql_snippets.sqltext.hostile import hostile_values, same_statements
from sql_snippets.sqltext.placeholders import Filled, fill

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database
    from sql_snippets.database.ground import Ground, Incident
    from sql_snippets.model import Outcome, ServerError
    from sql_snippets.plan import RunOptions
    from sql_snippets.running.editor import Session

_POLL_SECONDS = 0.1


JustBefore = Callable[["Database"], None]


def execute(
    plan: Plan,
    ground: Ground,
    incident: Incident | None = None,
    just_before: JustBefore | None = None,
) -> Evidence:
    """Do what a plan says and return what came of it, leaving nothing behind.

    ``just_before`` is called when the incident is there and what a block needs has been run before
    it, and it is next.  Raises ServerUnavailable, and MigrationFailed for the seed.
    """
    if plan.scenario is not None and (incident is None or not incident.scenario.is_present()):
        return Evidence(plan, produced=False)
    stages = []
    with ExitStack() as stack:
        execution = _Execution(ground, incident, just_before, stack)
        for stage in plan.stages:
            given, is_met = execution.run(stage)
            stages.append(given)
            if not is_met:
                break
    return Evidence(plan, tuple(stages))


@dataclass(slots=True)
class _Execution:
    """The databases of one execution, and what the blocks gave that ran in each."""

    ground: Ground
    incident: Incident | None
    just_before: JustBefore | None
    stack: ExitStack
    databases: dict[Where, Database] = field(default_factory=dict)
    outcomes: dict[Where, dict[str, Outcome]] = field(default_factory=lambda: defaultdict(dict))
    sessions: dict[tuple[Where, str], Session] = field(default_factory=dict)

    def run(self, stage: Stage) -> tuple[tuple[BlockRun | Sight | Probed, ...], bool]:
        """Run the steps of a stage, but for those that need what failed."""
        given: list[BlockRun | Sight | Probed] = []
        failed: set[str | None] = set()
        for step in stage.steps:
            match step:
                case Send() if step.snippet.id not in failed and step.needed_by not in failed:
                    reply = self._send(step)
                    given.append(reply)
                    if not reply.is_met:
                        failed.add(step.needed_by or step.snippet.id)
                case Look():
                    sight = self._look(step)
                    given.append(sight)
                    if not sight.is_met:
                        failed.add(stage.when)
                case Probe() if step.snippet.id not in failed:
                    given.append(self._probe(step))
                case _:
                    pass
        return tuple(given), not failed

    def _database(self, where: Where) -> Database:
        if where is Where.ROLLED_BACK:
            return self.ground.shared
        if where is Where.INCIDENT and self.incident is not None:
            return self.incident.database
        if where not in self.databases:
            self.databases[where] = self.stack.enter_context(self.ground.template.clone())
        return self.databases[where]

    def _session(self, where: Where, options: RunOptions) -> Session:
        """Return the session that goes on from block to block, as their role."""
        key = where, options.role
        if key not in self.sessions:
            opened = open_session(self._database(where), options)
            self.stack.callback(opened.connection.close)
            self.sessions[key] = opened
        return self.sessions[key]

    def _send(self, step: Send) -> BlockRun:
        values = self.incident.scenario.values if self.incident is not None else {}
        filled = fill_in(step.snippet, values, self.outcomes[step.where])
        if not isinstance(filled, Filled):
            return BlockRun(step, None, tuple(filled))
        if refused := _refusal(step, ours=self.ground.template.server.kind != "url"):
            return BlockRun(step, None, (refused,))
        database = self._database(step.where)
        if self.just_before and step.watched and step.where is not Where.ROLLED_BACK:
            self.just_before(database)
        deadline = monotonic() + step.within
        while True:
            if step.in_session:
                session = self._session(step.where, step.options)
                outcome = run_in_session(
                    session, database, filled.sql, step.options, watched=step.watched
                )
            elif step.where is Where.ROLLED_BACK:
                template = self.ground.template
                outcome = run_isolated(template, database, filled.sql, step.options)
            else:
                outcome = run_as_editor(database, filled.sql, step.options, watched=step.watched)
            if step.is_met(outcome) or monotonic() >= deadline:
                break
            sleep(_POLL_SECONDS)
        if outcome.error is not None and outcome.error.sqlstate != step.snippet.claims.error:
            meant = _nearest(database, outcome.error, filled.sql)
            outcome = replace(outcome, error=replace(outcome.error, nearest=meant))
        outcome = replace(outcome, error=_in_the_block(outcome.error, filled))
        self.outcomes[step.where][step.snippet.id] = outcome
        return BlockRun(step, outcome)

    def _look(self, step: Look) -> Sight:
        deadline = monotonic() + step.within
        while True:
            present = self.incident is not None and self.incident.scenario.is_present()
            if present is step.present or monotonic() >= deadline:
                return Sight(step, present)
            sleep(_POLL_SECONDS)

    def _probe(self, step: Probe) -> Probed:
        """Ask the types of the placeholders; send the block with hostile texts if it stays itself.

        The database is the block's own and is given up afterwards.
        """
        snippet, database = step.snippet, self._database(step.where)
        values = self.incident.scenario.values if self.incident is not None else {}
        own = own_values(snippet, self.outcomes[step.where])
        known = {**values, **(own if isinstance(own, dict) else {})}
        with ExitStack() as stack:
            if step.in_session:
                connection = self._session(step.where, step.options).connection
            else:
                role = step.options.role
                connection = stack.enter_context(database.connect(role, "sql-snippets"))
            parameters = ask_types(connection, snippet, known)
            hostile = hostile_values(snippet.sql, parameters, known)
            filled = fill(snippet.sql, hostile or known)
            refused = syntax_errors(connection, filled.sql)
        probed = Probed(step, parameters, known, hostile, refused)
        usual = fill(snippet.sql, known).sql
        if hostile is None or refused or not same_statements(usual, filled.sql):
            return probed
        if step.in_session:
            session = self._session(step.where, step.options)
            error = run_in_session(session, database, filled.sql, step.options).error
        else:
            error = run_as_editor(database, filled.sql, step.options).error
        return replace(probed, error=_in_the_block(error, filled))


def _refusal(step: Send, *, ours: bool) -> Failure | None:
    """Return why a block is not sent: what it does would stay behind."""
    what = beyond_undoing(step.snippet.sql, ours=ours)
    if what is None:
        return None
    where = "" if ours else " on a server that the checks did not start"
    how = "" if ours else ", or run it with `--sql-server embedded`"
    return Failure(
        step.snippet.start,
        f"the block was not run, as this cannot be undone{where}: {what}. Say `skip=` and the "
        f"reason{how}.",
    )


def _in_the_block(error: ServerError | None, filled: Filled) -> ServerError | None:
    """Count the place of an error in the block and not in what was sent."""
    if error is None or error.offset is None:
        return error
    return replace(error, offset=filled.to_original(error.offset))


def _nearest(database: Database, error: ServerError, sql: str) -> str | None:
    """Return the name that was meant; asking for it never hides the error itself."""
    if not is_about_a_name(error):
        return None
    try:
        with database.connect(application_name="sql-snippets") as connection:
            return suggest(connection, error, sql)
    except (psycopg.Error, ServerUnavailable):
        return None
