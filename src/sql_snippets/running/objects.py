"""The objects of a database, and which of them a run created, altered and dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sql_snippets.running.danger import COMPARED, is_table
from sql_snippets.servers.whole_server import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

_Key = tuple[int, int]

_IN_SCHEMA = "{} in (select oid from schemas)"
_OF_RELATION = "{} in (select oid from permanent)"
# The catalogs whose rows are objects, and which of them can be seen from outside the session: what
# is temporary stands in a schema of its own.
_OBJECTS: tuple[tuple[str, str], ...] = (
    (
        "pg_class",
        _IN_SCHEMA.format("relnamespace") + " and relpersistence <> 't' and relkind <> 't'",
    ),
    ("pg_proc", _IN_SCHEMA.format("pronamespace")),
    ("pg_type", _IN_SCHEMA.format("typnamespace") + " and typtype in ('e', 'd', 'r')"),
    ("pg_constraint", _IN_SCHEMA.format("connamespace")),
    ("pg_collation", _IN_SCHEMA.format("collnamespace")),
    ("pg_operator", _IN_SCHEMA.format("oprnamespace")),
    ("pg_statistic_ext", _IN_SCHEMA.format("stxnamespace")),
    ("pg_ts_config", _IN_SCHEMA.format("cfgnamespace")),
    ("pg_ts_dict", _IN_SCHEMA.format("dictnamespace")),
    ("pg_trigger", _OF_RELATION.format("tgrelid") + " and not tgisinternal"),
    ("pg_policy", _OF_RELATION.format("polrelid")),
    ("pg_rewrite", _OF_RELATION.format("ev_class") + " and rulename <> '_RETURN'"),
    ("pg_extension", "true"),
    ("pg_event_trigger", "true"),
    ("pg_publication", "true"),
    ("pg_foreign_server", "true"),
    ("pg_foreign_data_wrapper", "true"),
    ("pg_cast", "true"),
    ("pg_default_acl", "true"),
)
# Catalogs whose rows are parts of a relation: the column that says of which, the name of the part,
# what stands behind the version, and which rows count.
_PARTS = (
    (
        "pg_attribute",
        "attrelid",
        "'column ' || attnum",
        " || ' ' || attname",
        "attnum > 0 and not attisdropped",
    ),
    ("pg_attrdef", "adrelid", "'default ' || adnum", "", "true"),
    ("pg_index", "indexrelid", "'index'", "", "true"),
    ("pg_sequence", "seqrelid", "'sequence'", "", "true"),
    ("pg_inherits", "inhrelid", "'parent ' || inhseqno", "", "true"),
    ("pg_rewrite", "ev_class", "'query'", "", "rulename = '_RETURN'"),
)


def _query() -> str:
    """Return the query for (class, id, part, version, name); part and name exclude each other."""
    # No name in it comes from outside of this module.
    branches = [
        f"select '{catalog}'::pg_catalog.regclass::oid, oid, '', xmin::text "  # noqa: S608 - see above
        f"from pg_catalog.{catalog} where oid >= 16384 and {condition}"
        for catalog, condition in _OBJECTS
    ]
    branches += [
        f"select 'pg_catalog.pg_class'::pg_catalog.regclass::oid, {owner}, {part}, "  # noqa: S608 - see above
        f"xmin::text{label} from pg_catalog.{catalog} "
        f"where {_OF_RELATION.format(owner)} and {condition}"
        for catalog, owner, part, label, condition in _PARTS
    ]
    whole = "select 'pg_catalog.{}'::pg_catalog.regclass::oid, oid, '', {} from {}"
    branches += [
        whole.format("pg_namespace", "xmin::text", "schemas"),
        # Not from pg_authid, which the reader must not see; to alter a role is counted there.
        whole.format("pg_authid", "''", "pg_catalog.pg_roles"),
        whole.format("pg_database", "''", "pg_catalog.pg_database")
        + f" where not starts_with(datname, '{PREFIX}')",
    ]
    return f"""
      with schemas as (
        select oid, xmin from pg_catalog.pg_namespace
        where nspname !~ '^pg_(toast|temp_|toast_temp_)'),
      permanent as (
        select oid from pg_catalog.pg_class
        where oid >= 16384 and relpersistence <> 't' and relnamespace in (select oid from schemas)),
      entries(class, id, part, version) as ({" union all ".join(branches)})
      select class::int8, id::int8, part, version, case when part = '' then (
        select type || ' ' || identity from pg_catalog.pg_identify_object(class, id, 0)) end
      from entries
    """  # noqa: S608 - see above


_QUERY = _query()

CATALOGS = COMPARED | {"pg_authid", "pg_database"}
"""A change of these catalogs can be a change of an object."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What each object is called, and the versions of its rows in the catalog, by part."""

    names: Mapping[_Key, str]
    versions: Mapping[_Key, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ObjectChanges:
    """The names of the objects that came, changed and went."""

    created: tuple[str, ...]
    altered: tuple[str, ...]
    dropped: tuple[str, ...]


def read(connection: psycopg.Connection[tuple[object, ...]]) -> Objects:
    """Return the objects that the session sees, without those that only it can see."""
    names: dict[_Key, str] = {}
    versions: dict[_Key, dict[str, str]] = {}
    for class_, oid, part, version, name in connection.execute(_QUERY.encode()).fetchall():
        key = cast("int", class_), cast("int", oid)
        if name is not None:
            names[key] = str(name)
        versions.setdefault(key, {})[str(part)] = str(version)
    return Objects(names, versions)


def compare_objects(before: Objects, after: Objects) -> ObjectChanges:
    """Return what is different; an object that was made again as it was called is altered."""
    former, names = set(before.names.values()), set(after.names.values())
    created = [
        name for key, name in after.names.items() if key not in before.names and name not in former
    ]
    altered, dropped = [], []
    for key, name in before.names.items():
        if key in after.names:
            old, new = before.versions[key], after.versions[key]
            if old != new:
                altered.append(after.names[key])
                dropped += [f"{column} of {name}" for column in _lost_columns(old, new)]
        elif name not in names or is_table(name):
            # A table of the same name does not have the rows of the one that was dropped.
            dropped.append(name)
        else:
            altered.append(name)
    return ObjectChanges(tuple(created), tuple(altered), tuple(dropped))


def _lost_columns(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the columns that have gone, by the names they had: a renamed one keeps its number."""
    return [
        f"column {version.partition(' ')[2]}"
        for part, version in old.items()
        if part.startswith("column ") and part not in new
    ]
