"""What a run of a block did, asked of the server before and after it.

The block itself is sent as it always is.  Most is asked of its own session right behind it: only
there are a transaction's id, its locks and its counts of rows seen, and nothing of other sessions
is mixed in.  A session's counts wait at least a second from its start before they become those of
the database (PGSTAT_MIN_INTERVAL in pgstat.c); after that, and where the session has ended, the
database's own counts from before and after are compared.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql as sql_text
from psycopg.pq import TransactionStatus

from sql_snippets.database import messages
from sql_snippets.profiles import READ_OUTSIDE
from sql_snippets.running import objects
from sql_snippets.running.danger import COMPARED, Facts, Lock, Relation, RowCounts, Told
from sql_snippets.sqltext.bodies import names_in_bodies
from sql_snippets.sqltext.effects import (
    ADVISORY,
    Function,
    called,
    deleted_from,
    effects_in,
    executed_text,
    is_seen_elsewhere,
    settings_in,
    skipped,
    without_comments,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[tuple[object, ...]]

# Less than PGSTAT_MIN_INTERVAL, counted from before the session was there.
_COUNTS_STAY_SECONDS = 0.9
_SIGNAL_SECONDS = 1.0
_POLL_SECONDS = 0.01

# What leaves no trace in the transaction: asked for only where the text can reach it.
_SIGNALS = re.compile(r"pg_(?:cancel|terminate)_backend", re.IGNORECASE)
_UNSEEN = re.compile(
    r"pg_(?:cancel|terminate)_backend|\bnotify\b|pg_notify|pg_reload_conf", re.IGNORECASE
)
_EXECUTED = re.compile(rb"\bactual (?:time|rows)=|[Aa]ctual[- ](?:Rows|Loops)|\(never executed\)")

_RELATION = """
  c.oid::text as oid, n.nspname as schema, c.relname as name, c.relkind as kind"""
_COUNTS = f"""
select {_RELATION}, {{inserted}}(c.oid) as inserted, {{updated}}(c.oid) as updated,
  {{deleted}}(c.oid) as deleted
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and {{inserted}}(c.oid) + {{updated}}(c.oid) + {{deleted}}(c.oid) > 0
"""  # noqa: S608 - names of functions only
_OWN_COUNTS = _COUNTS.format(
    inserted="pg_catalog.pg_stat_get_xact_tuples_inserted",
    updated="pg_catalog.pg_stat_get_xact_tuples_updated",
    deleted="pg_catalog.pg_stat_get_xact_tuples_deleted",
)
_ALL_COUNTS = _COUNTS.format(
    inserted="pg_catalog.pg_stat_get_tuples_inserted",
    updated="pg_catalog.pg_stat_get_tuples_updated",
    deleted="pg_catalog.pg_stat_get_tuples_deleted",
)
# Not the shared catalogs: their counts are those of every database.
_DATABASE_COUNTS = f"{_ALL_COUNTS} and not c.relisshared"
_LOCKS = f"""
select {_RELATION}, l.mode, pg_catalog.pg_relation_filenode(c.oid)::text as file
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.granted
  and l.mode <> 'AccessShareLock'
"""  # noqa: S608 - no values
# Plain, as it is asked behind every block: a new session needs longer to plan the rest than to run.
_GLANCE = """
select pg_catalog.pg_current_xact_id_if_assigned() is null and not exists (
  select from pg_catalog.pg_lock_status() l where l.pid = pg_catalog.pg_backend_pid()
  and l.locktype in ('relation', 'advisory') and l.mode <> 'AccessShareLock')
"""
# Without an id no row was written: then the counts need not be looked for.
_PROBE = f"""
select pg_catalog.json_build_object(
  'xid', pg_catalog.pg_current_xact_id_if_assigned() is not null,
  'locks', (select pg_catalog.json_agg(l) from ({_LOCKS}) l),
  'advisory', (select count(*) from pg_catalog.pg_locks
    where pid = pg_catalog.pg_backend_pid() and locktype = 'advisory' and granted),
  'counts', (select pg_catalog.json_agg(t) from ({_OWN_COUNTS} and {{condition}}) t))::text
"""  # noqa: S608 - no values
_PROBE_TRANSACTION = _PROBE.format(
    condition="pg_catalog.pg_current_xact_id_if_assigned() is not null"
)
_PROBE_SESSION = _PROBE.format(condition="true")
# A block may have set a limit that the questions about it would not keep.
_UNLIMITED = "set statement_timeout = 0;"

_FILES = f"""
select {_RELATION}, pg_catalog.pg_relation_filenode(c.oid)::text as file
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid >= 16384 and c.relkind in ('r', 'm', 'i', 'S') and c.relpersistence <> 't'
  and n.nspname !~ '^pg_toast'
"""  # noqa: S608 - no values

# Of the server's own functions only those that may do something.
_FUNCTIONS = """
select p.proname, case when l.lanname in ('c', 'internal') then '' else p.prosrc end,
  (l.lanname in ('c', 'internal') and p.provolatile = 'v')
    or not (l.lanpltrusted or l.lanname in ('c', 'internal'))
from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
where p.prosrc <> '' and p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
  and (p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace or p.provolatile = 'v')
"""
# Who could read a setting: whatever has a text that the server runs.
_READERS = """
select name from unnest(%s::text[]) as wanted(name)
where not exists (select from pg_catalog.pg_settings s where lower(s.name) = lower(wanted.name))
  and not exists (
    select from (
      select prosrc from pg_catalog.pg_proc
        where pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
      union all select definition from pg_catalog.pg_views where schemaname <> 'pg_catalog'
      union all select definition from pg_catalog.pg_matviews
      union all select concat(qual, with_check) from pg_catalog.pg_policies
      union all select pg_catalog.pg_get_expr(adbin, adrelid) from pg_catalog.pg_attrdef
      union all select pg_catalog.pg_get_constraintdef(oid) from pg_catalog.pg_constraint
      union all select pg_catalog.pg_get_triggerdef(oid) from pg_catalog.pg_trigger
        where not tgisinternal
    ) as texts(body)
    where pg_catalog.strpos(lower(body), lower(wanted.name)) > 0)
"""
_LIBRARIES = "select distinct probin from pg_catalog.pg_proc where probin is not null"
_UNKNOWN = """
select kind, schema, name from unnest(%s::text[], %s::text[], %s::text[]) as w(kind, schema, name)
where (schema is null or exists (select from pg_catalog.pg_namespace where nspname = schema))
  and not exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where kind = 'relation' and relname = w.name and (w.schema is null or nspname = w.schema))
  and not exists (
    select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where kind = 'function' and proname = w.name and (w.schema is null or nspname = w.schema))
"""

_SESSIONS = """
select pid, backend_start::text, state, xact_start::text from pg_catalog.pg_stat_activity
where datname = pg_catalog.current_database() and backend_type = 'client backend'
  and pid <> pg_catalog.pg_backend_pid()
"""
_KILLED = (
    "select sessions_killed from pg_catalog.pg_stat_database "
    "where datname = pg_catalog.current_database()"
)
_NOTIFIED = (
    "select blks_zeroed + blks_hit + blks_read + blks_written "
    "from pg_catalog.pg_stat_slru where lower(name) = 'notify'"
)
# Reading a sequence waits for a session that is altering it, which an incident may be about.
_SEQUENCES = """
select s.seqrelid::int8, n.nspname, c.relname, pg_catalog.pg_sequence_last_value(s.seqrelid)
from pg_catalog.pg_sequence s join pg_catalog.pg_class c on c.oid = s.seqrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relpersistence <> 't'
  and not exists (
    select from pg_catalog.pg_locks l
    where l.relation = s.seqrelid and l.granted and l.mode ~ '^(Share|Exclusive|AccessExclusive)'
      and l.mode <> 'ShareUpdateExclusiveLock')
"""


@dataclass(frozen=True, slots=True)
class _Session:
    pid: int
    started: str
    state: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Before:
    """The state of a database that a run finds."""

    objects: objects.Objects
    files: Mapping[int, tuple[Relation, str | None]]
    sequences: Mapping[int, tuple[str, int | None]]
    counts: Mapping[int, RowCounts]
    sessions: tuple[_Session, ...]
    killed: int
    notified: int
    loaded: str
    functions: tuple[Function, ...]

    def reaches_unseen(self, sql: str) -> bool:
        """Whether the text can do what no transaction shows or undoes: signal, notify, a slot."""
        return self._reaches(sql, _UNSEEN) or any(
            effect.text != ADVISORY
            for each in called(executed_text(sql), self.functions)
            for effect in effects_in(each.source)
        )

    def reaches_signals(self, sql: str) -> bool:
        """Whether the text can end or cancel what another session does."""
        return self._reaches(sql, _SIGNALS)

    def _reaches(self, sql: str, wanted: re.Pattern[str]) -> bool:
        if wanted.search(sql):
            return True
        return any(wanted.search(each.source) for each in called(sql, self.functions))


def look(database: Database) -> Before:
    """Return the state of the database.  Raises ServerUnavailable."""
    with database.server.connect(database.name) as admin:
        functions = admin.execute(_FUNCTIONS).fetchall()
        return Before(
            objects=objects.read(admin),
            files=_files(admin),
            sequences=sequences(admin),
            counts={count.relation.oid: count for count in _counted(admin)},
            sessions=_sessions(admin),
            killed=_number(admin, _KILLED),
            notified=_number(admin, _NOTIFIED),
            loaded=_loaded(admin),
            functions=tuple(
                Function(str(name), str(source), bool(opaque) and not is_seen_elsewhere(str(name)))
                for name, source, opaque in functions
            ),
        )


def look_within(connection: Connection, database: Database) -> tuple[Before, Facts]:
    """Return the state of the database, and what an open session holds and has counted already.

    What the session counted and has not told is told first, where no transaction keeps it back.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        messages.send(connection, "select pg_catalog.pg_stat_force_next_flush()")
    before = look(database)
    if connection.info.transaction_status == TransactionStatus.INERROR:
        return before, Facts()
    probe = messages.send(connection, _PROBE_SESSION)
    return before, _of_probe(_content(probe), before, messages.Reply((), None, (), 0.0))


def glance(connection: Connection, first: str, timeout: float) -> tuple[messages.Reply, bool]:
    """Send ``first``, and look whether the open transaction did nothing but read."""
    reply = messages.send(connection, f"{first};{_UNLIMITED}{_GLANCE}", timeout=timeout)
    return reply, reply.error is None and reply.results[-1].get_value(0, 0) == b"t"


def after_in_transaction(connection: Connection, before: Before, reply: messages.Reply) -> Facts:
    """Return what a block did in the transaction that is still open."""
    probe = messages.send(connection, f"{_UNLIMITED}{_PROBE_TRANSACTION}")
    return _with_objects(connection, _of_probe(_content(probe), before, reply), before)


def after_rollback(connection: Connection, before: Before, reply: messages.Reply) -> Facts:
    """Return what a block attempted in a transaction that an error ended."""
    # In one message, as the counts go to those of the database between two.
    probe = messages.send(connection, f"rollback;{_UNLIMITED}{_PROBE_SESSION}")
    return Facts() if probe.error else _of_probe(_content(probe), before, reply)


def after_commit(  # noqa: PLR0913 - each is another piece of evidence
    connection: Connection,
    database: Database,
    before: Before,
    reply: messages.Reply,
    *,
    sql: str,
    began: float,
) -> Facts:
    """Return what a block did for good.  ``began`` is when its session was not there yet."""
    facts = Facts(tags=tags(reply))
    lost = connection.closed
    if not lost:
        failed = connection.info.transaction_status == TransactionStatus.INERROR
        first = "rollback;" if failed else ""
        probe = messages.send(connection, f"{first}{_UNLIMITED}{_PROBE_SESSION}")
        lost = probe.error is not None
    if not lost:
        facts = _of_probe(_content(probe), before, reply)
        facts = _with_objects(connection, facts, before)
    unsure = lost or time.monotonic() - began > _COUNTS_STAY_SECONDS
    unseen = before.reaches_unseen(sql)
    if (unsure or unseen) and not lost:
        messages.send(connection, "select pg_catalog.pg_stat_force_next_flush()")
    with database.server.connect(database.name) as admin:
        if unsure:
            counts = tuple(_since(before, _counted(admin)))
            new = facts.new | _new(before, [count.relation for count in counts])
            facts = replace(facts, counts=counts or facts.counts, new=new)
            if counts:
                # The session, while it is there, knows what only it can see.
                facts = _with_objects(admin if lost else connection, facts, before)
        files = {oid: file for oid, (_, file) in _files(admin).items()}
        moved = [
            name
            for oid, (name, value) in sequences(admin).items()
            if oid in before.sequences and before.sequences[oid][1] != value
        ]
        facts = replace(
            facts,
            replaced=tuple(
                relation
                for oid, (relation, file) in before.files.items()
                if relation in facts.replaced or (oid in files and files[oid] != file)
            ),
            # Others move sequences too; with nothing else seen, the second run decides.
            sequences=tuple(moved) if facts.counts else facts.sequences,
        )
        if unseen:
            facts = replace(
                facts,
                notified=_number(admin, _NOTIFIED) > before.notified,
                reloaded=_loaded(admin) != before.loaded,
            )
        if before.reaches_signals(sql):
            ended, cancelled = _signalled(admin, before)
            facts = replace(facts, sessions_ended=ended, sessions_cancelled=cancelled)
    return facts


def unread_settings(database: Database, sql: str) -> tuple[str, ...]:
    """Return the settings that a block sets and that nobody reads: no extension and no text."""
    names = [name for name in settings_in(sql) if not name.lower().startswith(READ_OUTSIDE)]
    if not names:
        return ()
    with database.server.connect(database.name) as admin:
        for (library,) in admin.execute(_LIBRARIES).fetchall():
            # An extension makes its settings known when its library is loaded.
            try:
                admin.execute(sql_text.SQL("load {}").format(sql_text.Literal(library)))
            except psycopg.errors.InsufficientPrivilege:
                return ()
            except psycopg.Error:
                continue
        return tuple(str(name) for (name,) in admin.execute(_READERS, (names,)).fetchall())


def unknown_names(database: Database, sql: str) -> tuple[str, ...]:
    """Return what the bodies of functions that a block makes name, and the database has not.

    A name with a schema that is not there may be that of a variable.
    """
    names = names_in_bodies(sql)
    if not names:
        return ()
    asked = [(each.kind, each.schema, each.name) for each in names]
    columns = [list(column) for column in zip(*asked, strict=True)]
    with database.server.connect(database.name) as admin:
        found = admin.execute(_UNKNOWN, columns).fetchall()
    return tuple(f"{kind} {f'{schema}.' if schema else ''}{name}" for kind, schema, name in found)


def told_by(sql: str, before: Before, reply: messages.Reply) -> Told:
    """Return what the text of a block tells of what it did, with that of the functions it calls."""
    text = executed_text(sql)
    functions = called(text, before.functions)
    sources = [without_comments(function.source) for function in functions]
    # What stands in a function may be one of several ways through it.
    perhaps = [effect.text for source in sources for effect in effects_in(source)]
    perhaps = [text for text in perhaps if text != ADVISORY]
    return Told(
        effects=(
            *((effect.level, effect.text) for effect in effects_in(text)),
            *skipped(reply.notices, sql),
        ),
        deletes=deleted_from(text),
        perhaps_deletes=frozenset[str]().union(*map(deleted_from, sources)),
        unmeasured=tuple(
            dict.fromkeys([*(f"{each.name}()" for each in functions if each.opaque), *perhaps])
        ),
    )


def _content(probe: messages.Reply) -> dict[str, Any]:
    if probe.error is not None:
        raise RuntimeError(f"Cannot measure what the block did: {probe.error.message}")
    value = probe.results[-1].get_value(0, 0) or b""
    return cast("dict[str, Any]", json.loads(value.decode(errors="replace")))


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation(int(row["oid"]), row["schema"], row["name"], row["kind"])


def tags(reply: messages.Reply) -> tuple[str, ...]:
    """Return the command tags of all statements."""
    return tuple((result.command_status or b"").decode() for result in reply.results)


def _executed_plan(reply: messages.Reply) -> bool:
    return any(
        _EXECUTED.search(result.get_value(row, 0) or b"")
        for result in reply.results
        if (result.command_status or b"") == b"EXPLAIN"
        for row in range(result.ntuples)
    )


def _new(before: Before, relations: Iterable[Relation]) -> frozenset[int]:
    """Return which relations the run made; those of its session alone are always among them."""
    known = {oid for _, oid in before.objects.names}
    return frozenset(r.oid for r in relations if not r.is_catalog and r.oid not in known)


def _of_probe(content: Mapping[str, Any], before: Before, reply: messages.Reply) -> Facts:
    locks = content["locks"] or []
    counts = tuple(
        RowCounts(_relation(row), row["inserted"], row["updated"], row["deleted"])
        for row in content["counts"] or []
    )
    relations = [_relation(row) for row in locks] + [count.relation for count in counts]
    return Facts(
        tags=tags(reply),
        took_xid=bool(content["xid"]),
        counts=counts,
        locks=tuple(Lock(_relation(row), row["mode"]) for row in locks),
        advisory_locks=content["advisory"],
        new=_new(before, relations),
        replaced=tuple(
            before.files[oid][0]
            for oid, file in {int(row["oid"]): row["file"] for row in locks}.items()
            if oid in before.files and before.files[oid][1] != file
        ),
        executed_plan=_executed_plan(reply),
    )


def _with_objects(connection: Connection, facts: Facts, before: Before) -> Facts:
    """Add which objects came, changed and went, where the catalog was written."""
    changed = {count.relation.name for count in facts.counts if count.relation.is_catalog}
    if not changed & objects.CATALOGS:
        return facts
    found = objects.compare_objects(before.objects, objects.read(connection))
    altered = found.altered
    if found == objects.ObjectChanges((), (), ()) and not _has_temporary(connection):
        altered = tuple(f"catalog {name}" for name in sorted(changed & COMPARED))
    return replace(facts, created=found.created, altered=altered, dropped=found.dropped)


def _has_temporary(connection: Connection) -> bool:
    """Whether the session has made what only it can see."""
    return _number(connection, "select pg_catalog.pg_my_temp_schema()::int8") != 0


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    row = connection.execute(
        f"select pg_catalog.json_agg(r)::text from ({query}) r".encode()  # noqa: S608 - a query of this file
    ).fetchone()
    return cast("list[dict[str, Any]]", json.loads(str(row[0])) if row and row[0] else [])


def _files(connection: Connection) -> dict[int, tuple[Relation, str | None]]:
    return {int(row["oid"]): (_relation(row), row["file"]) for row in _rows(connection, _FILES)}


def _counted(connection: Connection) -> list[RowCounts]:
    return [
        RowCounts(_relation(row), row["inserted"], row["updated"], row["deleted"])
        for row in _rows(connection, _DATABASE_COUNTS)
    ]


def _since(before: Before, now: Sequence[RowCounts]) -> Iterable[RowCounts]:
    """Yield what was counted since."""
    for count in now:
        if new := count.since(before.counts.get(count.relation.oid, RowCounts(count.relation))):
            yield new


def sequences(connection: Connection) -> dict[int, tuple[str, int | None]]:
    """Return the name and the last value of each sequence that others can see."""
    return {
        cast("int", oid): (f"{schema}.{name}", cast("int | None", value))
        for oid, schema, name, value in connection.execute(_SEQUENCES).fetchall()
    }


def _sessions(connection: Connection) -> tuple[_Session, ...]:
    return tuple(
        _Session(cast("int", pid), str(started), str(state), str(transaction))
        for pid, started, state, transaction in connection.execute(_SESSIONS).fetchall()
    )


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return cast("int", row[0]) if row and row[0] is not None else 0


def _loaded(connection: Connection) -> str:
    row = connection.execute("select pg_catalog.pg_conf_load_time()::text").fetchone()
    return str(row[0]) if row else ""


def _signalled(connection: Connection, before: Before) -> tuple[int, int]:
    """Count the sessions that a signal ended or cancelled; a signal takes a moment to arrive."""
    if not before.sessions:  # no other session: nobody a signal could have reached
        return 0, 0
    deadline = time.monotonic() + _SIGNAL_SECONDS
    while True:
        now = {(session.pid, session.started): session for session in _sessions(connection)}
        killed = _number(connection, _KILLED) - before.killed
        there = [now.get((session.pid, session.started)) for session in before.sessions]
        # A session that said goodbye by itself was not ended by anybody.
        ended = min(sum(session is None for session in there), max(killed, 0))
        cancelled = sum(
            old.state == "active"
            and (
                new is None
                or new.state == "idle in transaction (aborted)"
                or new.transaction != old.transaction
            )
            for old, new in zip(before.sessions, there, strict=True)
        )
        if ended:
            return ended, 0
        if cancelled or time.monotonic() >= deadline:
            return 0, cancelled
        time.sleep(_POLL_SECONDS)
