"""What outlives every database of a server: looked at, and put back as it was.

Roles, memberships, settings, databases and replication slots belong to the whole server, so no
rolled back transaction and no dropped database takes them along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql as query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Admin = psycopg.Connection[tuple[object, ...]]

# The databases that are made here are called so; whoever made them drops them.
PREFIX = "sql_snippets_"

# The columns of pg_authid that a word of ALTER ROLE sets.
_ATTRIBUTES = {
    "rolsuper": "superuser",
    "rolinherit": "inherit",
    "rolcreaterole": "createrole",
    "rolcreatedb": "createdb",
    "rolcanlogin": "login",
    "rolreplication": "replication",
    "rolbypassrls": "bypassrls",
}

# Kind, name and value of each thing: equal rows, equal servers.
State = tuple[tuple[str, str, str], ...]

_LOOK = r"""
select 'role', rolname::text,
  -- What never expires has no date or an infinite one: no statement brings back the former.
  (to_jsonb(r) || jsonb_build_object(
    'rolvaliduntil', nullif(rolvaliduntil, 'infinity'),
    'comment', shobj_description(r.oid, 'pg_authid')))::text
from pg_authid r
union all
select 'membership', jsonb_build_array(g.rolname, m.rolname, b.rolname)::text,
  (to_jsonb(a) - '{oid,roleid,member,grantor}'::text[])::text
from pg_auth_members a
join pg_authid g on g.oid = a.roleid
join pg_authid m on m.oid = a.member
left join pg_authid b on b.oid = a.grantor
union all
select 'settings', jsonb_build_array(r.rolname, d.datname)::text, to_jsonb(setconfig)::text
from pg_db_role_setting
left join pg_roles r on r.oid = setrole
left join pg_database d on d.oid = setdatabase
where d.datname is null or d.datname not like %(ours)s
union all
select 'database', datname::text, pg_get_userbyid(datdba)::text
from pg_database where datname not like %(ours)s
union all
select 'slot', slot_name::text, '' from pg_replication_slots
union all
select 'setting', name, setting from pg_file_settings
where sourcefile like '%%/postgresql.auto.conf'
order by 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: its value before and now (none: there is none), and why it stays."""

    kind: str
    name: str
    was: str | None
    found: str | None
    refusal: str = ""

    @property
    def thing(self) -> str:
        """What it is, for a sentence."""
        match self.kind:
            case "membership":
                group, member, _ = json.loads(self.name)
                return f"the membership of {member} in {group}"
            case "settings":
                role, database = json.loads(self.name)
                where = f" in the database {database}" if database else ""
                return f"the settings of {f'the role {role}' if role else 'all roles'}{where}"
            case "slot":
                return f"the replication slot {self.name}"
            case "setting":
                return f"the setting {self.name} of the server"
        return f"the {self.kind} {self.name}"

    @property
    def difference(self) -> str:
        """What of it differs; a role's password is not shown."""
        if self.was is None or self.found is None:
            return ""
        was, found = _fields(self.kind, self.was), _fields(self.kind, self.found)
        return ", ".join(
            name if name == "rolpassword" else f"{name} was {was.get(name)}, now {found.get(name)}"
            for name in sorted({*was, *found})
            if was.get(name) != found.get(name)
        )


def state_of(admin: Admin) -> State:
    """Return what there is.  Databases of ours, and their settings, are left out."""
    rows = admin.execute(_LOOK, {"ours": PREFIX.replace("_", r"\_") + "%"}).fetchall()
    return tuple((str(kind), str(name), str(value)) for kind, name, value in rows)


def changes(before: State, now: State) -> list[Change]:
    """Return what differs."""
    was, found = _by_name(before), _by_name(now)
    different = [
        Change(kind, name, was.get((kind, name)), found.get((kind, name)))
        for kind, name in sorted({*was, *found})
        if was.get((kind, name)) != found.get((kind, name))
    ]
    # A role with another name is the old one, changed, and no new one.
    gone = {_number(change.was) for change in different if change.kind == "role" and change.was}
    return [
        change
        for change in different
        if change.kind != "role" or change.was or _number(change.found) not in gone
    ]


def put_back(
    admin: Admin, before: State, may_drop: Callable[[Change], bool] | None = None
) -> list[Change]:
    """Put back what differs, and return it; what could not be put back says why.

    What is new is dropped, a database only where ``may_drop`` allows it, if it is given.
    """
    done: dict[tuple[str, str], Change] = {}
    # What goes takes other things along, such as a role its memberships: so in three turns.
    for kinds in (("slot", "database"), ("role",), ("settings", "membership", "setting")):
        for change in changes(before, state_of(admin)):
            if change.kind in kinds:
                mine = change.kind != "database" or may_drop is None or may_drop(change)
                refusal = _put_one_back(admin, change) if mine else "it may be somebody else's"
                done[change.kind, change.name] = replace(change, refusal=refusal)
    return list(done.values())


def drop_database(admin: Admin, name: str) -> None:
    """Drop a database with the slots that would keep it; none is no error."""
    slots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
    admin.execute(slots + "where database = %s and not active", (name,))
    admin.execute(
        query.SQL("drop database if exists {} with (force)").format(query.Identifier(name))
    )


def _put_one_back(admin: Admin, change: Change) -> str:
    """Return why it cannot be put back, or nothing."""
    try:
        return _WAYS[change.kind](admin, change)
    except psycopg.Error as err:
        return str(err).partition("\n")[0]


def _slot(admin: Admin, change: Change) -> str:
    if change.found is None:
        return "it cannot be made again"
    admin.execute("select pg_drop_replication_slot(%s)", (change.name,))
    return ""


def _database(admin: Admin, change: Change) -> str:
    if change.found is None:
        return "it cannot be made again"
    if change.was is None:
        drop_database(admin, change.name)
    else:
        admin.execute(
            query.SQL("alter database {} owner to {}").format(
                query.Identifier(change.name), query.Identifier(change.was)
            )
        )
    return ""


def _role(admin: Admin, change: Change) -> str:
    """Give a role back its name, attributes, password and comment; one that is gone is made again.

    It had nothing left to own and no rights when it was dropped, so a new one is as good.
    """
    name = query.Identifier(change.name)
    if change.was is None:
        admin.execute(query.SQL("drop role {}").format(name))
        return ""
    values = json.loads(change.was)
    attributes = query.SQL(" ").join(
        query.SQL(word if values[column] else f"no{word}") for column, word in _ATTRIBUTES.items()
    )
    with admin.transaction():
        if change.found is None:
            row = admin.execute(
                "select rolname::text from pg_authid where oid = %s", (int(values["oid"]),)
            ).fetchone()
            renamed = query.SQL("alter role {} rename to {}")
            admin.execute(
                query.SQL("create role {}").format(name)
                if row is None
                else renamed.format(query.Identifier(str(row[0])), name)
            )
        admin.execute(
            query.SQL(
                "alter role {} with {} connection limit {} valid until {} password {}"
            ).format(
                name,
                attributes,
                query.Literal(values["rolconnlimit"]),
                query.Literal(values["rolvaliduntil"] or "infinity"),
                # As it is stored, which the server takes for what it is.
                query.Literal(values["rolpassword"]),
            )
        )
        admin.execute(
            query.SQL("comment on role {} is {}").format(name, query.Literal(values["comment"]))
        )
    return ""


def _settings(admin: Admin, change: Change) -> str:
    """Write the row as it was: a statement would have to quote each value as its setting wants."""
    role, database = json.loads(change.name)
    with admin.transaction():
        place = admin.execute(
            "select coalesce((select oid from pg_database where datname = %s), 0), "
            "coalesce((select oid from pg_authid where rolname = %s), 0)",
            (database, role),
        ).fetchone()
        assert place is not None  # noqa: S101 - for the type checker
        admin.execute(
            "delete from pg_db_role_setting where (setdatabase, setrole) = (%s, %s)", place
        )
        if change.was is not None:
            admin.execute(
                "insert into pg_db_role_setting "
                "values (%s, %s, array(select jsonb_array_elements_text(%s)))",
                (*place, change.was),
            )
    return ""


def _membership(admin: Admin, change: Change) -> str:
    group, member, grantor = json.loads(change.name)
    who = query.SQL("{} {} {}")
    by = query.SQL(" granted by {}").format(query.Identifier(grantor)) if grantor else query.SQL("")
    group, member = query.Identifier(group), query.Identifier(member)
    with admin.transaction():
        if change.found is not None:
            ends = query.SQL("from {}{} cascade").format(member, by)
            admin.execute(who.format(query.SQL("revoke"), group, ends))
        if change.was is not None:
            values = json.loads(change.was)
            if set(values) == {"admin_option"}:  # until PostgreSQL 15
                options = " with admin option" if values["admin_option"] else ""
            else:
                options = " with " + ", ".join(
                    f"{name.removesuffix('_option')} {value}" for name, value in values.items()
                )
            ends = query.SQL("to {}{}{}").format(member, query.SQL(options), by)
            admin.execute(who.format(query.SQL("grant"), group, ends))
    return ""


def _setting(admin: Admin, change: Change) -> str:
    admin.execute(query.SQL("alter system reset {}").format(query.Identifier(change.name)))
    admin.execute("select pg_reload_conf()")
    return "" if change.was is None else "no statement can write its former value"


_WAYS: dict[str, Callable[[Admin, Change], str]] = {
    "slot": _slot,
    "database": _database,
    "role": _role,
    "settings": _settings,
    "membership": _membership,
    "setting": _setting,
}


def _number(role: str | None) -> object:
    return json.loads(role or "{}").get("oid")


def _by_name(state: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    return {(kind, name): value for kind, name, value in state}


def _fields(kind: str, value: str) -> dict[str, object]:
    if kind == "settings":
        return dict(setting.partition("=")[::2] for setting in json.loads(value))
    if kind in {"role", "membership"}:
        return dict(json.loads(value))
    return {kind: value}
