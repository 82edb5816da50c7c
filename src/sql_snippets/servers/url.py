"""An existing server that a URL names: looked at with care, because it belongs to somebody."""

from __future__ import annotations

import json
import logging
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import psycopg
from psycopg import sql as query
from psycopg.conninfo import conninfo_to_dict

from sql_snippets.servers.server import Server, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MADE_BY = "sql-snippets"

# What a URL may say about how to connect, beside where and as whom.
_PASSED_ON = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "channel_binding")

logger = logging.getLogger("sql_snippets")


@contextmanager
def open_url(url: str, role: str, *, allow_remote: bool) -> Iterator[tuple[Server, str]]:
    """Give the server of ``url`` and the database to create and drop others from.

    Databases that a killed run of ours has left there are dropped first; roles that are there at
    the end and were not at the start are dropped where nothing needs them.  Settings of a role that
    was there are not set back, as somebody else may have changed them meanwhile: they are told.
    Raises ServerUnavailable: for a URL that is none, a host that is not this machine without
    ``allow_remote``, and a login that is no superuser or is ``role`` itself.
    """
    server, maintenance = _parse(url)
    if not allow_remote:
        _refuse_remote(server.host)
    with server.connect(maintenance) as admin:
        version = _refuse_unfit(admin, server, role)
        _sweep(admin)
        before, settings = _roles(admin), _settings_of_roles(admin)
    try:
        yield (
            Server(
                server.kind,
                server.host,
                server.port,
                server.superuser,
                server.password,
                version,
                parameters=server.parameters,
            ),
            maintenance,
        )
    finally:
        _drop_roles(server, maintenance, before)
        _tell_changed_settings(server, maintenance, settings)


def mark(database: str) -> query.Composed:
    """Return the statement that notes on a database that it is ours, and whose."""
    note = json.dumps({"made_by": MADE_BY, "pid": os.getpid(), "host": socket.gethostname()})
    return query.SQL("comment on database {} is {}").format(
        query.Identifier(database), query.Literal(note)
    )


def give_passwords(server: Server, dbname: str, before: frozenset[str]) -> None:
    """Let the roles made since ``before`` log in with the URL's password.

    A server that asks the superuser for a password asks them too.
    """
    if server.password is None:
        return
    with server.connect(dbname) as admin:
        for name in sorted(_roles(admin, "rolcanlogin") - before):
            admin.execute(
                query.SQL("alter role {} password {}").format(
                    query.Identifier(name), query.Literal(server.password)
                )
            )


def roles(server: Server, dbname: str) -> frozenset[str]:
    """Return the names of the roles of the server."""
    with server.connect(dbname) as admin:
        return _roles(admin)


def _parse(url: str) -> tuple[Server, str]:
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        # Not quoted: what was given may be a password in the wrong place.
        raise ServerUnavailable(
            "--sql-server is none of embedded, system and a URL such as "
            "postgresql://supabase_admin:PASSWORD@127.0.0.1:54322/postgres."
        )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # Its text quotes the URL, with the password.
        raise ServerUnavailable(
            "The URL given with --sql-server is not a PostgreSQL connection URL. Percent-encode "
            "special characters of user and password."
        ) from None
    host = str(parts.get("host") or parts.get("hostaddr") or "127.0.0.1")
    hosts = {host, str(parts.get("hostaddr") or host)}
    if len(hosts) > 1 or "," in host:
        raise ServerUnavailable(
            "The URL given with --sql-server names more than one host. Name one."
        )
    user = str(parts.get("user") or "")
    if not user:
        raise ServerUnavailable("The URL given with --sql-server names no user. Name a superuser.")
    password = parts.get("password") or os.environ.get("PGPASSWORD")
    server = Server(
        "url",
        host,
        int(parts.get("port") or 5432),
        user,
        str(password) if password else None,
        parameters=tuple((name, str(parts[name])) for name in _PASSED_ON if parts.get(name)),
    )
    return server, str(parts.get("dbname") or "postgres")


def _refuse_remote(host: str) -> None:
    if host.startswith(("/", "@")):
        return
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError as err:
        raise ServerUnavailable(f"The host {host} of --sql-server has no address: {err}.") from err
    elsewhere = sorted(address for address in addresses if not _is_ours(address))
    if elsewhere:
        raise ServerUnavailable(
            f"The host {host} of --sql-server is {', '.join(elsewhere)}, which is not this "
            "machine. The checks create and drop databases and roles there, and run every block "
            "of the pages. If that is what you want, say so with --sql-allow-remote-server."
        )


def _is_ours(address: str) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return address not in {"0.0.0.0", "::"}  # noqa: S104 - they are refused here


def _refuse_unfit(admin: psycopg.Connection[tuple[object, ...]], server: Server, role: str) -> str:
    """Raise unless the login is a superuser other than the reader; return the version."""
    row = admin.execute(
        "select current_setting('is_superuser'), current_setting('server_version'), "
        "coalesce((select rolsuper from pg_roles where rolname = %s), false), "
        "current_setting('server_version_num')::int, pg_is_in_recovery()",
        (role,),
    ).fetchone()
    if row is None:
        raise ServerUnavailable(f"The server at {server.host} gave no answer about itself.")
    is_superuser, version, role_is_superuser, number, in_recovery = row
    advice = (
        "On the server that 'supabase start' runs, log in as supabase_admin; otherwise use "
        "--sql-server embedded."
    )
    if server.superuser == role or role_is_superuser:
        raise ServerUnavailable(
            f"On the server at {server.host} port {server.port} the role {role}, as which the "
            "blocks run, "
            + (
                "is a superuser"
                if role_is_superuser
                else "is also the login of the URL, which must be a superuser"
            )
            + f". On Supabase {role} is none, so a block that needs superuser rights would pass "
            f"here and fail there. {advice}"
        )
    if is_superuser != "on":
        raise ServerUnavailable(
            f"The login {server.superuser} on {server.host} port {server.port} is not a "
            f"superuser, which the platform files need. {advice}"
        )
    if in_recovery:
        raise ServerUnavailable(
            f"The server at {server.host} port {server.port} is a replica: no database can be "
            "made there."
        )
    if int(str(number)) < 150000:  # noqa: PLR2004 - the strategy of "create database" came with 15
        raise ServerUnavailable(
            f"The server at {server.host} port {server.port} is PostgreSQL {version}. The checks "
            "need 15 or newer."
        )
    return str(version).split(" ", maxsplit=1)[0]


def _sweep(admin: psycopg.Connection[tuple[object, ...]]) -> None:
    """Drop the databases whose note says that a process of this machine made them and is gone."""
    rows = admin.execute(
        r"select datname, shobj_description(oid, 'pg_database') from pg_database "
        r"where datname like 'sql\_snippets\_%'"
    ).fetchall()
    for name, note in rows:
        if not _is_left_over(note):
            continue
        logger.warning("Dropping the database %s, which a run that was killed has left.", name)
        with suppress(psycopg.Error):
            admin.execute(
                query.SQL("drop database if exists {} with (force)").format(
                    query.Identifier(str(name))
                )
            )


def _is_left_over(note: object) -> bool:
    try:
        values = json.loads(str(note))
        ours = (values["made_by"], values["host"]) == (MADE_BY, socket.gethostname())
        process = int(values["pid"])
    except (ValueError, KeyError, TypeError):
        return False
    if not ours:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _roles(
    admin: psycopg.Connection[tuple[object, ...]], condition: str = "true"
) -> frozenset[str]:
    rows = admin.execute(
        query.SQL("select rolname from pg_roles where {}").format(query.SQL(condition))
    ).fetchall()
    return frozenset(str(row[0]) for row in rows)


def _drop_roles(server: Server, maintenance: str, before: frozenset[str]) -> None:
    """Drop the roles that are new, except those that something outside our databases needs."""
    with suppress(ServerUnavailable, psycopg.Error), server.connect(maintenance) as admin:
        for name in sorted(_roles(admin) - before):
            try:
                admin.execute(query.SQL("drop role {}").format(query.Identifier(name)))
            except psycopg.Error as err:
                logger.warning(
                    "The role %s, made for the checks, stays on the server: %s",
                    name,
                    str(err).partition("\n")[0],
                )


def _settings_of_roles(
    admin: psycopg.Connection[tuple[object, ...]],
) -> dict[str, frozenset[str]]:
    """Return the settings of each role that hold in all databases."""
    rows = admin.execute(
        "select rolname, coalesce(setconfig, '{}') from pg_roles "
        "left join pg_db_role_setting on setrole = pg_roles.oid and setdatabase = 0"
    ).fetchall()
    return {str(name): frozenset(cast("list[str]", settings)) for name, settings in rows}


def _tell_changed_settings(
    server: Server, maintenance: str, before: Mapping[str, frozenset[str]]
) -> None:
    with suppress(ServerUnavailable, psycopg.Error), server.connect(maintenance) as admin:
        for role, settings in _settings_of_roles(admin).items():
            if role not in before or settings == before[role]:
                continue
            changed = {setting.partition("=")[0] for setting in settings ^ before[role]}
            logger.warning(
                "The role %s has other settings on the server than before the checks: %s. They "
                "were set by migrations or a block, belong to the whole server, and stay. Set them "
                "back with: alter role %s reset NAME",
                role,
                ", ".join(sorted(changed)),
                role,
            )
