"""How dangerous a run was: READ, WRITE or STOP, derived from what was seen of it.

STOP is what can lose work that no undo on a page brings back: rows deleted, a table emptied or
rewritten, an object dropped, another session ended or cancelled.  WRITE is every other change
that somebody else can see, or can be made to wait by.  An update is WRITE: a page can say how to
undo it.  What only the session itself can see, which ends with the block (temporary tables,
settings, prepared statements), is READ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sql_snippets.model import Danger, Mark
from sql_snippets.sqltext.effects import ANYTHING, NOT_THERE, THERE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ORDER = (Mark.READ, Mark.WRITE, Mark.STOP)

# A statement that is only planned takes the locks for rows as well, and does nothing with them.
_ONLY_PLANS = {"EXPLAIN", "PREPARE", "DEALLOCATE", "DEALLOCATE ALL", "BEGIN", "COMMIT", "ROLLBACK"}
_ONLY_PLANS |= {"SET", "RESET", "SHOW", "DISCARD ALL"}

# What leaves nothing to measure in the database itself, by the server's own command tag.
_TAGS: tuple[tuple[str, Mark, str], ...] = (
    (r"DROP DATABASE|DROP TABLESPACE", Mark.STOP, "{}"),
    (r"ALTER SYSTEM", Mark.WRITE, "configuration of the server changed"),
    (r"COPY \d+", Mark.WRITE, "file or program of the server used (COPY)"),
    (r"VACUUM|ANALYZE|REINDEX|CLUSTER|CHECKPOINT", Mark.WRITE, "maintenance ({})"),
    (r"CREATE DATABASE|CREATE TABLESPACE|ALTER DATABASE", Mark.WRITE, "{}"),
    (r"PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED", Mark.WRITE, "{}"),
)

# The tags of statements that give the reader something.
_ANSWERS = re.compile(
    r"SELECT|SHOW|EXPLAIN|FETCH|DO\b|CALL|COPY|(?:INSERT|UPDATE|DELETE|MERGE)\b.* [1-9]"
)

# Follow from another change of the same statement, or speed up planning: no change by themselves.
_BOOKKEEPING = {
    *("pg_depend", "pg_shdepend", "pg_statistic", "pg_statistic_ext_data", "pg_init_privs"),
}
# Each change in these is a change of an object that is compared by itself.
COMPARED = frozenset(
    {
        *("pg_class", "pg_attribute", "pg_attrdef", "pg_index", "pg_sequence", "pg_inherits"),
        *("pg_proc", "pg_type", "pg_constraint", "pg_trigger", "pg_policy", "pg_rewrite"),
        *("pg_namespace", "pg_partitioned_table", "pg_enum", "pg_range", "pg_aggregate"),
        *("pg_collation", "pg_operator", "pg_statistic_ext", "pg_ts_config", "pg_ts_dict"),
        *("pg_extension", "pg_event_trigger", "pg_publication", "pg_cast", "pg_default_acl"),
        *("pg_foreign_server", "pg_foreign_data_wrapper"),
    }
)
_CONFIGURATION = "pg_db_role_setting"
_LARGE_OBJECTS = {"pg_largeobject", "pg_largeobject_metadata"}


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation as the catalog names it; ``kind`` is the one of pg_class."""

    oid: int
    schema: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_catalog(self) -> bool:
        """Whether its rows are about other objects."""
        return self.schema == "pg_catalog"


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The rows of a relation that the run inserted, updated and deleted, also if taken back."""

    relation: Relation
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def since(self, before: RowCounts) -> RowCounts:
        """Leave out what was counted before; a count that was set back to zero starts there."""
        return replace(
            self,
            inserted=max(self.inserted - before.inserted, 0),
            updated=max(self.updated - before.updated, 0),
            deleted=max(self.deleted - before.deleted, 0),
        )

    def __bool__(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a relation held at the end, stronger than that of a reader."""

    relation: Relation
    mode: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the text of a block tells of what it did.

    ``deletes`` are the relations that it deletes from, ``perhaps_deletes`` those that a function
    it calls does on some way through it.  ``unmeasured`` is what cannot be seen at all.
    """

    effects: tuple[tuple[Mark, str], ...] = ()
    deletes: frozenset[str] = frozenset()
    perhaps_deletes: frozenset[str] = frozenset()
    unmeasured: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen of a run.

    ``new`` are the relations that the run made itself, ``replaced`` those whose storage is another
    one than before.  ``executed_plan`` says that a plan that was shown had been executed.
    """

    tags: tuple[str, ...] = ()
    took_xid: bool = False
    counts: tuple[RowCounts, ...] = ()
    locks: tuple[Lock, ...] = ()
    advisory_locks: int = 0
    new: frozenset[int] = frozenset()
    replaced: tuple[Relation, ...] = ()
    created: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    sessions_ended: int = 0
    sessions_cancelled: int = 0
    notified: bool = False
    reloaded: bool = False
    executed_plan: bool = False

    def without(self, standing: Facts) -> Facts:
        """Leave out what the session held and had counted before."""
        counted = {count.relation: count for count in standing.counts}
        counts = [
            count.since(counted.get(count.relation, RowCounts(count.relation)))
            for count in self.counts
        ]
        return replace(
            self,
            took_xid=self.took_xid and not standing.took_xid,
            counts=tuple(filter(None, counts)),
            locks=tuple(lock for lock in self.locks if lock not in standing.locks),
            advisory_locks=max(self.advisory_locks - standing.advisory_locks, 0),
            replaced=tuple(r for r in self.replaced if r not in standing.replaced),
        )

    @property
    def moved_sequence(self) -> bool:
        """Whether a sequence may have moved; its lock is held as long as the transaction."""
        return any(lock.relation.kind == "S" for lock in self.locks)


@dataclass(frozen=True, slots=True)
class _Effect:
    """One thing that was done, or would have been; ``perhaps`` is the most that it may be."""

    level: Mark
    text: str
    idle: bool = False
    perhaps: Mark = Mark.READ


def danger_of(facts: Facts, named: Mapping[str, str], told: Told) -> Danger:
    """Derive the danger of a run from what was seen of it and what its text tells."""
    found = dict.fromkeys([*_effects(facts, named, told), *_told(told)])
    worst_first = sorted(found, key=lambda effect: -_ORDER.index(effect.level))
    level = worst_first[0].level if worst_first else Mark.READ
    unmeasured = told.unmeasured if level is Mark.READ else ()
    perhaps = (
        Mark.STOP
        if unmeasured
        else max((effect.perhaps for effect in found), key=_ORDER.index, default=level)
    )
    return Danger(
        level,
        tuple(dict.fromkeys(effect.text for effect in worst_first)),
        unmeasured=unmeasured,
        at_most=perhaps if _ORDER.index(perhaps) > _ORDER.index(level) else None,
        idle=_is_idle(facts, worst_first) and not told.unmeasured,
    )


def _is_idle(facts: Facts, effects: Sequence[_Effect]) -> bool:
    """Whether nothing was found to do, or nothing is left of it and nothing came back."""
    if effects:
        return all(effect.idle for effect in effects)
    return bool(facts.tags) and not any(map(_ANSWERS.match, facts.tags))


def _told(told: Told) -> Iterator[_Effect]:
    for level, text in told.effects:
        idle = text.endswith((NOT_THERE, THERE))
        yield _Effect(level, text, idle)


def _effects(facts: Facts, named: Mapping[str, str], told: Told) -> Iterator[_Effect]:
    yield from _of_sessions(facts)
    yield from _of_rows(facts, named)
    yield from _of_storage(facts)
    yield from _of_objects(facts)
    yield from _of_tags(facts)
    yield from _of_locks(facts, told)
    for name in facts.sequences:
        yield _Effect(Mark.WRITE, f"sequence {name} moved")
    if facts.notified:
        yield _Effect(Mark.WRITE, "notification queued")
    if facts.reloaded:
        yield _Effect(Mark.WRITE, "configuration of the server reloaded")
    if facts.took_xid and not facts.counts and not facts.locks:
        yield _Effect(Mark.WRITE, "transaction id taken")


def _of_sessions(facts: Facts) -> Iterator[_Effect]:
    for number, what in (
        (facts.sessions_ended, "ended"),
        (facts.sessions_cancelled, "cancelled"),
    ):
        if number:
            who = "another session" if number == 1 else f"{number} other sessions"
            yield _Effect(Mark.STOP, f"work of {who} {what}")


def _rows(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"


def _of_rows(facts: Facts, named: Mapping[str, str]) -> Iterator[_Effect]:
    for count in facts.counts:
        relation = count.relation
        if not _is_shared(relation, facts):
            continue
        effect = named.get(str(relation))
        if effect is not None:
            total = count.inserted + count.updated + count.deleted
            yield _Effect(Mark.WRITE, f"{effect} ({relation}, {_rows(total)})")
            continue
        # What a materialized view holds can be made again.
        lost = Mark.WRITE if relation.kind == "m" else Mark.STOP
        for number, text, level in (
            (count.deleted, "delete from", lost),
            (count.updated, "update of", Mark.WRITE),
            (count.inserted, "insert into", Mark.WRITE),
        ):
            if number:
                yield _Effect(level, f"{text} {relation} ({_rows(number)})")


def _of_storage(facts: Facts) -> Iterator[_Effect]:
    for relation in facts.replaced:
        if not _is_shared(relation, facts):
            continue
        match relation.kind:
            case "m":
                yield _Effect(Mark.WRITE, f"refresh of {relation}")
            case "i" | "I":
                yield _Effect(Mark.WRITE, f"index {relation} built again")
            case "S":
                yield _Effect(Mark.WRITE, f"sequence {relation} moved")
            case _:
                # Nothing in the catalog tells whether all that was in it is in it still.
                yield _Effect(Mark.STOP, f"truncate or rewrite of {relation}")


def _of_objects(facts: Facts) -> Iterator[_Effect]:
    yield from (_Effect(Mark.STOP, f"drop of {name}") for name in _main(facts.dropped))
    yield from (_Effect(Mark.WRITE, f"create of {name}") for name in _main(facts.created))
    if not facts.created and not facts.dropped:
        yield from (_Effect(Mark.WRITE, f"alter of {name}") for name in facts.altered)
    for count in facts.counts:
        name = count.relation.name
        if not count.relation.is_catalog or name in _BOOKKEEPING | COMPARED:
            continue
        if name == _CONFIGURATION:
            yield _Effect(Mark.WRITE, "configuration of a role or database changed")
        elif name in _LARGE_OBJECTS:
            lost = count.deleted and name.endswith("metadata")
            yield _Effect(
                Mark.STOP if lost else Mark.WRITE,
                "delete of a large object" if lost else "change of a large object",
            )
        else:
            yield _Effect(Mark.WRITE, f"change of catalog {name}")


def is_table(name: str) -> bool:
    """Whether a name as `pg_identify_object` gives it is that of a table."""
    return re.match(r"(?:foreign )?table (?!constraint |column )", name) is not None


def _main(names: Sequence[str]) -> Sequence[str]:
    """Leave out what comes and goes with a table of the same run: its indexes, constraints..."""
    return [name for name in names if is_table(name)] or names


def _of_tags(facts: Facts) -> Iterator[_Effect]:
    for tag in facts.tags:
        for pattern, level, text in _TAGS:
            if re.fullmatch(pattern, tag):
                yield _Effect(level, text.format(tag))


def _of_locks(facts: Facts, told: Told) -> Iterator[_Effect]:
    if facts.advisory_locks:
        yield _Effect(Mark.WRITE, "advisory lock held")
    planned = not facts.executed_plan and all(tag in _ONLY_PLANS for tag in facts.tags)
    wrote = {count.relation for count in facts.counts if _is_shared(count.relation, facts)}
    for lock in facts.locks:
        relation = lock.relation
        if not _is_shared(relation, facts) or relation.kind in {"i", "I", "t"}:
            continue
        if relation.kind == "S":
            yield _Effect(Mark.WRITE, f"sequence {relation} moved")
        elif lock.mode == "RowShareLock":
            if not planned:
                yield _Effect(Mark.WRITE, f"lock on rows of {relation}")
        elif lock.mode == "RowExclusiveLock":
            # With rows written, it is theirs, or that of the view or parent they were written by,
            # unless the text says that rows of just this relation were to go.
            deletes = _names(told.deletes, relation)
            if not planned and (not wrote or (deletes and relation not in wrote)):
                deletes = deletes or "DELETE 0" in facts.tags
                what = "delete from" if deletes else "write to"
                level = Mark.STOP if deletes else Mark.WRITE
                perhaps = Mark.STOP if _names(told.perhaps_deletes, relation) else Mark.READ
                text = f"{what} {relation} that found no row to change"
                yield _Effect(level, text, idle=True, perhaps=perhaps)
        else:
            yield _Effect(Mark.WRITE, f"{lock.mode} on {relation}")


def _names(names: frozenset[str], relation: Relation) -> bool:
    return bool({relation.name.lower(), ANYTHING} & {name.lower() for name in names})


def _is_shared(relation: Relation, facts: Facts) -> bool:
    """Whether it holds data that others see, and was there before the run."""
    return not (relation.is_catalog or relation.oid in facts.new)
