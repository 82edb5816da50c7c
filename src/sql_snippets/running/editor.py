"""Running one block as the reader's editor runs it, and as cheaply as is still correct."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg.pq import ExecStatus, TransactionStatus

from sql_snippets.database import messages
from sql_snippets.database.building import place_in_statement
from sql_snippets.model import Column, Mark, Outcome, ServerError
from sql_snippets.profiles import PSQL
from sql_snippets.running import watching
from sql_snippets.running.danger import Facts, Told, danger_of
from sql_snippets.sqltext import lexer
from sql_snippets.sqltext.effects import ADVISORY, deleted_from, effects_in, executed_text
from sql_snippets.sqltext.sent import added_limit, as_sent

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

    from sql_snippets.database.databases import Database, Template
    from sql_snippets.model import Danger
    from sql_snippets.plan import RunOptions
    from sql_snippets.profiles import Editor

# In one message with the block, so that now() is the time of the block, as without a transaction.
_BEGIN = "begin;"
# active_sql_transaction, invalid_transaction_termination, feature_not_supported
_ONLY_OUTSIDE_TRANSACTION = {"25001", "2D000", "0A000"}
# Not call and do (a body can commit, and can catch the refusal to), not explain (rolled-back rows
# swell the estimates), not what ends, needs or sets up a transaction.
_SAME_IN_TRANSACTION = {
    *("select", "with", "values", "table", "(", "show"),
    *("insert", "update", "delete", "merge", "truncate"),
    *("create", "alter", "drop", "comment", "grant", "revoke"),
    *("set", "reset", "notify", "listen", "unlisten"),
}
_SET_OF_TRANSACTION = {"local", "session", "transaction", "constraints"}
# Statistics, sizes, row versions and transaction ids tell of rows that were rolled back; the text
# of the running query shows the "begin"; a signal must not hit another block's session.
_SEES_MORE_THAN_DATA = re.compile(
    r"pg_stat|_size\b|\b(?:ctid|xmin|xmax|cmin|cmax|reltuples|relpages|current_query)\b"
    r"|txid_|_xact_id|pg_.*snapshot|pg_.*_wal|_backend\b|dblink",
    re.IGNORECASE,
)
_TRANSACTION_WORDS = {
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
}

_FIRST_USER_OID = 16384
# Every run in a transaction leaves what it found, so it is looked at once.
_states: dict[tuple[str, int, str], watching.Before] = {}
_builtin_types: dict[tuple[int, int, int], str] = {}


def run_as_editor(
    database: Database, sql: str, options: RunOptions, *, watched: bool = False
) -> Outcome:
    """Run ``sql`` as one simple-query message in a session of its own, outside any transaction.

    After the timeout it is cancelled on the server; the outcome's error says so.  What it did is
    measured when it is ``watched``.  Raises ServerUnavailable when the role cannot log in.
    """
    added = added_limit(sql, options.editor.limit)
    sql = as_sent(sql, added)
    before = watching.look(database) if watched else None
    began = time.monotonic()
    with _session(database, options) as connection:
        reply = messages.send(connection, sql, timeout=options.timeout)
        outcome = _outcome(connection, sql, reply, "clone", options.editor)
        outcome = replace(outcome, added=added)
        if before is not None:
            facts = watching.after_commit(connection, database, before, reply, sql=sql, began=began)
        # What the block left open (a transaction, locks) must not meet what is run next.
        _leave(connection)
    if before is None:
        return outcome
    if outcome.error is None and _may_hide(facts, sql, options):
        again = _facts_in_transaction(database, before, sql, options)
        facts = _with_locks_of(facts, again)
    return _watched(database, outcome, sql, _danger(facts, before, sql, reply, options))


@dataclass(frozen=True, slots=True)
class Session:
    """A session that goes on from block to block, as in psql; ``began`` is before it was there."""

    connection: psycopg.Connection[tuple[object, ...]]
    began: float


def open_session(database: Database, options: RunOptions) -> Session:
    """Open a session that goes on.  Raises ServerUnavailable when the role cannot log in."""
    began = time.monotonic()
    return Session(_session(database, options), began)


def run_in_session(
    session: Session, database: Database, sql: str, options: RunOptions, *, watched: bool = False
) -> Outcome:
    """Run ``sql`` as one simple-query message in a session that others ran in, and more will.

    What it did is measured when it is ``watched``, without what the session did before.
    """
    connection = session.connection
    if not watched or connection.closed:
        reply = messages.send(connection, sql, timeout=options.timeout)
        return _outcome(connection, sql, reply, "session", PSQL)
    was_open = connection.info.transaction_status != TransactionStatus.IDLE
    before, standing = watching.look_within(connection, database)
    reply = messages.send(connection, sql, timeout=options.timeout)
    outcome = _outcome(connection, sql, reply, "session", PSQL)
    is_open = connection.info.transaction_status != TransactionStatus.IDLE
    if was_open and not is_open:
        # What the transaction did from its beginning is what others see now.
        standing = replace(standing, counts=(), took_xid=False)
    # The counts of an open transaction are told at its end and not before.
    began = float("-inf") if was_open else session.began
    facts = watching.after_commit(connection, database, before, reply, sql=sql, began=began)
    facts = facts.without(standing)
    if outcome.error is None and not (was_open or is_open) and _may_hide(facts, sql, options):
        again = _again(connection, before, sql, options)
        messages.send(connection, "rollback")
        facts = _with_locks_of(facts, again and again.without(standing))
    return _watched(database, outcome, sql, _danger(facts, before, sql, reply, options))


def run_isolated(template: Template, shared: Database, sql: str, options: RunOptions) -> Outcome:
    """Run ``sql`` so that nothing of it stays, with the outcome that it has on a clone.

    The cheap way is a transaction on ``shared``, a clone that only this function uses, which is
    rolled back; sequences, which no rollback moves back, are set back.  A block whose outcome
    could differ there, or leave the transaction, runs on a clone of its own.  What it did is
    measured.  Raises ServerUnavailable.
    """
    before = _known_state(shared)
    if not needs_clone(sql) and not before.reaches_unseen(sql):
        added = added_limit(sql, options.editor.limit)
        sent = as_sent(sql, added)
        outcome, facts, reply = _run_in_transaction(shared, before, sent, options)
        outcome = replace(outcome, added=added)
        outcome = _watched(shared, outcome, sql, _danger(facts, before, sql, reply, options))
        if outcome.error is None or outcome.error.sqlstate not in _ONLY_OUTSIDE_TRANSACTION:
            return outcome
    with template.clone() as database:
        return run_as_editor(database, sql, options, watched=True)


def _may_hide(facts: Facts, sql: str, options: RunOptions) -> bool:
    """Whether the locks of the run, which went with it, could tell of more than was seen."""
    level = danger_of(facts, options.effects, Told()).level
    deletes = bool(deleted_from(executed_text(sql)))
    return level is Mark.READ or (level is Mark.WRITE and deletes)


def _with_locks_of(facts: Facts, again: Facts | None) -> Facts:
    """Add what a second run in a transaction shows; if the first showed nothing, all of it."""
    if again is None:
        return facts
    if not facts.counts:
        return replace(again, tags=facts.tags)
    return replace(facts, locks=again.locks, new=facts.new | again.new)


def _danger(
    facts: Facts, before: watching.Before, sql: str, reply: messages.Reply, options: RunOptions
) -> Danger:
    """Return what a run was seen to do, and what its text tells of what cannot be seen."""
    return danger_of(facts, options.effects, watching.told_by(sql, before, reply))


def _watched(database: Database, outcome: Outcome, sql: str, danger: Danger) -> Outcome:
    """Add what the run did, and which of its names nobody knows or reads."""
    return replace(
        outcome,
        danger=danger,
        unread=watching.unread_settings(database, sql),
        unknown=watching.unknown_names(database, sql),
    )


def needs_clone(sql: str) -> bool:
    """Whether the outcome could depend on the transaction around it, or on blocks before it.

    Statements pass by the words they start with, so what is not known here takes the slower way.
    """
    for statement in lexer.statements(sql):
        first, second, *_ = (*statement.words, "", "")
        if first not in _SAME_IN_TRANSACTION:
            return True
        if first == "set" and second in _SET_OF_TRANSACTION:
            return True
    if any(effect.text != ADVISORY for effect in effects_in(executed_text(sql))):
        return True
    return _SEES_MORE_THAN_DATA.search(sql) is not None


def _run_in_transaction(
    shared: Database, before: watching.Before, sql: str, options: RunOptions
) -> tuple[Outcome, Facts, messages.Reply]:
    moved = True
    try:
        with _session(shared, options) as connection:
            reply = messages.send(connection, _BEGIN + sql, timeout=options.timeout)
            reply = replace(reply, results=reply.results[1:], error=_shifted(reply.error))
            facts, only_read = Facts(tags=watching.tags(reply)), False
            if reply.error is None:
                state = connection.info.transaction_status
                if state != TransactionStatus.INTRANS:
                    raise RuntimeError(
                        f"The block ended the transaction it ran in (state {state.name}) "
                        "without a statement for that; the database can no longer be used."
                    )
                # What a commit would check must be checked; a commit itself must not happen.
                last, only_read = watching.glance(
                    connection, "set constraints all immediate", options.timeout
                )
                reply = replace(reply, error=last.error, notices=reply.notices + last.notices)
                if last.error is not None:
                    reply = replace(
                        reply,
                        error=replace(last.error, offset=None),
                        results=reply.results[:-1],
                    )
            outcome = _outcome(connection, sql, reply, "transaction", options.editor)
            if only_read:
                moved = False
            elif reply.error is None:
                facts = watching.after_in_transaction(connection, before, reply)
                moved = facts.moved_sequence
            elif not connection.closed:
                facts = watching.after_rollback(connection, before, reply)
            # Not the end of the "with" block, which would commit.
            _leave(connection)
    finally:
        names = _set_back(shared, before) if moved else ()
    return outcome, replace(facts, sequences=names), reply


def _facts_in_transaction(
    database: Database, before: watching.Before, sql: str, options: RunOptions
) -> Facts | None:
    """Run once more what changed nothing: in a transaction, its locks can still be seen.

    A block that makes its own transactions runs without them.
    """
    with _session(database, options) as connection:
        facts = _again(connection, before, sql, options)
        _leave(connection)
    return facts


def _again(
    connection: psycopg.Connection[tuple[object, ...]],
    before: watching.Before,
    sql: str,
    options: RunOptions,
) -> Facts | None:
    """Run a block in a transaction, which stays open, and look what it did."""
    inner = ";".join(
        sql[statement.start : statement.end]
        for statement in lexer.statements(sql)
        if not _TRANSACTION_WORDS & set(statement.words[:1])
    )
    reply = messages.send(connection, f"{_BEGIN}{inner}", timeout=options.timeout)
    facts = None
    if reply.error is None and connection.info.transaction_status == TransactionStatus.INTRANS:
        reply = replace(reply, results=reply.results[1:])
        facts = watching.after_in_transaction(connection, before, reply)
    return facts


def _leave(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Roll back and log out, without a lock that lasts until the server has noticed."""
    if not connection.closed:
        messages.send(connection, "rollback;select pg_catalog.pg_advisory_unlock_all()")
        connection.close()


def _shifted(error: ServerError | None) -> ServerError | None:
    if error is None or error.offset is None:
        return error
    return replace(error, offset=max(error.offset - len(_BEGIN), 0))


def _known_state(database: Database) -> watching.Before:
    key = database.server.host, database.server.port, database.name
    if key not in _states:
        _states[key] = watching.look(database)
    return _states[key]


def _set_back(database: Database, before: watching.Before) -> tuple[str, ...]:
    """Set the sequences back that no rollback moves, and return their names."""
    moved = []
    with database.server.connect(database.name) as admin:
        for oid, (name, value) in watching.sequences(admin).items():
            _, former = before.sequences.get(oid, (name, None))
            if value != former:
                moved.append(name)
                admin.execute(
                    "select setval(%s::oid::regclass, coalesce(%s, seqstart), %s) "
                    "from pg_sequence where seqrelid = %s",
                    (oid, former, former is not None, oid),
                )
    return tuple(moved)


def _session(database: Database, options: RunOptions) -> psycopg.Connection[tuple[object, ...]]:
    return database.connect(options.role, options.editor.application_name)


def _outcome(
    connection: psycopg.Connection[tuple[object, ...]],
    sql: str,
    reply: messages.Reply,
    isolation: str,
    editor: Editor,
) -> Outcome:
    error = reply.error
    if error is not None and error.offset is None:
        place = place_in_statement(sql, len(reply.results), error.message)
        error = replace(error, offset=place)
    with_rows = [r for r in reply.results if r.status == ExecStatus.TUPLES_OK]
    filled = [r for r in with_rows if r.ntuples] if editor.rows_only else with_rows
    shown = (filled or with_rows)[-1] if with_rows and error is None else None
    last = reply.results[-1] if reply.results else None
    return Outcome(
        columns=None if shown is None else _columns(connection, shown, reply.encoding),
        rows=() if shown is None else messages.rows_of(shown, reply.encoding),
        tag=(last.command_status or b"").decode() if last is not None else "",
        error=error,
        notices=reply.notices,
        seconds=reply.seconds,
        isolation=isolation,
    )


def _columns(
    connection: psycopg.Connection[tuple[object, ...]], result: PGresult, encoding: str
) -> tuple[Column, ...]:
    version = connection.pgconn.server_version
    keys = [(version, result.ftype(i), result.fmod(i)) for i in range(result.nfields)]
    names = {key: _builtin_types[key] for key in keys if key in _builtin_types}
    missing = sorted({key for key in keys if key not in names})
    if missing:
        # In the session itself: it alone sees the types that its open transaction has made.
        # A message of ours, as the block may have set an encoding that psycopg does not speak.
        asked = ", ".join(f"({oid}, {modifier})" for _, oid, modifier in missing)
        query = f"select pg_catalog.format_type(a, b) from (values {asked}) v (a, b)"  # noqa: S608 - numbers only
        reply = messages.send(connection, query)
        found = messages.rows_of(reply.results[-1], reply.encoding) if reply.results else ()
        names.update(zip(missing, (str(name) for (name,) in found), strict=True))
        _builtin_types.update(
            (key, name) for key, name in names.items() if key[1] < _FIRST_USER_OID
        )
    called = messages.names_of(result, encoding)
    return tuple(Column(name, names[key]) for name, key in zip(called, keys, strict=True))
