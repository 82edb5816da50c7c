"""An existing server that a URL names: looked at with care, because it belongs to somebody."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql as query
from psycopg.conninfo import conninfo_to_dict

from sql_snippets.servers.aftercare import Aftercare
from sql_snippets.servers.server import Server, ServerUnavailable
from sql_snippets.servers.whole_server import (
    PREFIX,
    Change,
    State,
    changes,
    drop_database,
    put_back,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sql_snippets.profiles import Profile

MADE_BY = "sql-snippets"

_OF_TESTS = "contrib_regression"
_SWEEPS, _BETWEEN_SWEEPS = 20, 0.25

# What a URL may say about how to connect, beside where and as whom.
_PASSED_ON = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "channel_binding")

logger = logging.getLogger("sql_snippets")


class Visit:
    """What we do on somebody's server, from the first look to the last."""

    def __init__(self, server: Server, maintenance: str, role: str, before: State) -> None:
        self.server = server
        self.maintenance = maintenance
        self._last = before
        self._aftercare = Aftercare(
            put_server_back,
            {
                "server": asdict(server),
                "maintenance": maintenance,
                "role": role,
                "pid": os.getpid(),
                "before": before,
            },
        )

    def note(self, path: Path) -> None:
        """Note what the file that has just run did to the whole server."""
        with self.server.connect(self.maintenance) as admin:
            now = state_of(admin)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        changed = [
            (change.kind, change.name, shown.as_posix()) for change in changes(self._last, now)
        ]
        if changed:
            self._aftercare.tell(changed)
        self._last = now

    def end(self) -> None:
        """Leave the server as it was found."""
        for sentence in self._aftercare.end():
            logger.warning("%s", sentence)


@contextmanager
def open_url(url: str, role: str, profile: Profile, *, allow_remote: bool) -> Iterator[Visit]:
    """Give the server of ``url`` and the database to create and drop others from.

    Databases that a killed run of ours has left there are dropped first.  At the end the server is
    left as it was found, also when this process is killed: what is there then and was not there
    before is dropped, and roles, their memberships and settings are put back.  What of that hit
    something that was there before is told, with the file that did it.
    Raises ServerUnavailable: for a URL that is none, a host that is not this machine without
    ``allow_remote``, and a login that is no superuser or is ``role`` itself.
    """
    server, maintenance = _parse(url, profile)
    if not allow_remote:
        _refuse_remote(server.host)
    with server.connect(maintenance) as admin:
        version = _refuse_unfit(admin, server, role, profile)
        _sweep(admin)
        before = state_of(admin)
    visit = Visit(replace(server, version=version), maintenance, role, before)
    try:
        yield visit
    finally:
        visit.end()


def put_server_back(
    noted: Mapping[str, Any], changed_by: Mapping[tuple[str, str], str], *, killed: bool
) -> list[str]:
    """Leave the server as it was found, and return what somebody should know about it.

    ``noted`` is what was known at the start; ``changed_by`` names the file that changed a thing.
    """
    values = dict(noted["server"])
    values["parameters"] = tuple((name, value) for name, value in values["parameters"])
    values["real_parts"] = tuple(values["real_parts"])
    before: State = tuple((kind, name, value) for kind, name, value in noted["before"])
    server = Server(**values)
    try:
        with server.connect(noted["maintenance"]) as admin:
            # The helpers of a killed process end a moment after it.
            for _ in range(_SWEEPS if killed else 0):
                if not _sweep(admin, noted["pid"]):
                    break
                time.sleep(_BETWEEN_SWEEPS)
            put = put_back(admin, before, may_drop(admin, noted["role"]))
    except ServerUnavailable as err:
        return [f"The server of the URL was not put back as it was found: {err}"]
    except psycopg.Error as err:
        said = server.without_secrets(str(err)).partition("\n")[0]
        return [f"The server of the URL was not put back as it was found: {said}"]
    told = [
        _told(change, changed_by.get((change.kind, change.name)))
        for change in put
        # A new role is ours; all else is of something that was there.
        if change.refusal or change.was is not None or change.kind != "role"
    ]
    return [server.without_secrets(sentence) for sentence in told]


def _told(change: Change, path: str | None) -> str:
    who = path or "a block of a page, or somebody else in the meantime"
    how = "made" if change.was is None else "dropped" if change.found is None else "changed"
    difference = f" ({change.difference})" if change.difference else ""
    end = (
        f"could not be put back, as {change.refusal}"
        if change.refusal
        else f"{'dropped' if change.was is None else 'put back'} at the end"
    )
    thing = change.thing[0].upper() + change.thing[1:]
    verb = "were" if change.kind == "settings" else "was"
    return (
        f"{thing} on the server of the URL {verb} {how} by {who}{difference}, and "
        f"{'' if change.refusal else verb + ' '}{end}."
    )


def may_drop(admin: psycopg.Connection[tuple[object, ...]], role: str) -> Callable[[Change], bool]:
    """Return what allows to drop a new database: one of the reader's that nobody is in."""

    def allows(change: Change) -> bool:
        used = admin.execute(
            "select 1 from pg_stat_activity where datname = %s", (change.name,)
        ).fetchone()
        return change.found == role and used is None

    return allows


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


def make_pg_cron(server: Server, maintenance: str, name: str) -> None:
    """Make the real pg_cron in a database of ours where the server has it.

    It can be made in the database that it serves, which is somebody's and cannot be cloned, and in
    one that is called as those of PostgreSQL's own tests are.  No job fires in such a one.
    """
    with server.connect(maintenance) as admin:
        row = admin.execute(
            "select current_setting('cron.database_name', true) is not null and not exists "
            "(select from pg_database where datname = %s)",
            (_OF_TESTS,),
        ).fetchone()
        if row != (True,):
            return
        names = [query.Identifier(name), query.Identifier(_OF_TESTS)]
        rename = query.SQL("alter database {} rename to {}")
        admin.execute(rename.format(*names))
        try:
            with suppress(psycopg.Error), server.connect(_OF_TESTS) as there:
                there.execute("create extension if not exists pg_cron")
        finally:
            admin.execute(rename.format(*reversed(names)))


def roles(server: Server, dbname: str) -> frozenset[str]:
    """Return the names of the roles of the server."""
    with server.connect(dbname) as admin:
        return _roles(admin)


def _parse(url: str, profile: Profile) -> tuple[Server, str]:
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        # Not quoted: what was given may be a password in the wrong place.
        raise ServerUnavailable(
            f"--sql-server must be embedded, system or a URL such as {profile.example_url}."
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


def _refuse_unfit(
    admin: psycopg.Connection[tuple[object, ...]], server: Server, role: str, profile: Profile
) -> str:
    """Raise unless the login is a superuser other than the reader; return the version."""
    row = admin.execute(
        "select current_setting('is_superuser'), current_setting('server_version'), "
        "coalesce((select rolsuper from pg_roles where rolname = %s), false), "
        "current_setting('server_version_num')::int, pg_is_in_recovery(), "
        "exists (select from pg_roles where rolname = %s)",
        (role, profile.superuser),
    ).fetchone()
    if row is None:
        raise ServerUnavailable(f"The server at {server.host} gave no answer about itself.")
    is_superuser, version, role_is_superuser, number, in_recovery, is_platform = row
    local_server = profile.local_server if is_platform else None
    if server.superuser == role or role_is_superuser:
        raise ServerUnavailable(
            f"On the server at {server.host} port {server.port} the role {role}, as which the "
            "blocks run, "
            + (
                "is a superuser"
                if role_is_superuser
                else "is also the login of the URL, which must be a superuser"
            )
            + ". A block that needs the rights of a superuser would pass here and fail for "
            "readers who have none. "
            + (
                f"On {local_server}, log in as {profile.superuser}."
                if local_server and not role_is_superuser
                else "Name another role for the blocks with the setting sql_role, such as "
                f'sql_role = "{"reader" if role != "reader" else "app"}"; it is made if it '
                "does not exist."
            )
        )
    if is_superuser != "on":
        raise ServerUnavailable(
            f"The login {server.superuser} on {server.host} port {server.port} is not a "
            "superuser, which making databases and roles requires: "
            + (f"log in as {profile.superuser}." if local_server else "name one in the URL.")
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


def _sweep(admin: psycopg.Connection[tuple[object, ...]], ended: int | None = None) -> bool:
    """Drop the databases whose note says that a process of this machine made them and is gone.

    ``ended`` is one that counts as gone.  Returns whether there is one that somebody still has.
    """
    rows = admin.execute(
        "select datname, shobj_description(oid, 'pg_database') from pg_database "
        "where starts_with(datname, %s) or datname = %s",
        (PREFIX, _OF_TESTS),
    ).fetchall()
    held = False
    for name, note in rows:
        maker = _maker(note)
        if maker is None:
            continue
        if maker != ended and _is_alive(maker):
            held = True
            continue
        if ended is None:
            logger.warning("Dropping the database %s, left behind by a run that was killed.", name)
        with suppress(psycopg.Error):
            drop_database(admin, str(name))
    return held


def _maker(note: object) -> int | None:
    """Return the process of this machine that the note of a database names."""
    try:
        values = json.loads(str(note))
        ours = (values["made_by"], values["host"]) == (MADE_BY, socket.gethostname())
        return int(values["pid"]) if ours else None
    except (ValueError, KeyError, TypeError):
        return None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _roles(
    admin: psycopg.Connection[tuple[object, ...]], condition: str = "true"
) -> frozenset[str]:
    rows = admin.execute(
        query.SQL("select rolname from pg_roles where {}").format(query.SQL(condition))
    ).fetchall()
    return frozenset(str(row[0]) for row in rows)
