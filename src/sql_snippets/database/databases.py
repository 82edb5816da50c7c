"""The migrated template, its clones, and a database in which background workers run."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable  # noqa: TC003 - `codec` reads the types of fields
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path  # noqa: TC003 - `codec` reads the types of fields
from typing import TYPE_CHECKING, cast

import psycopg
from psycopg import sql as query

from sql_snippets.codec import NOT_WRITTEN, decode, encode
from sql_snippets.database.building import Built, build, run_file
from sql_snippets.database.keys import prepared_key
from sql_snippets.profiles import WORKER_SETTINGS
from sql_snippets.servers import prepared, url, whole_server
from sql_snippets.servers.binaries import Binaries, find_binaries
from sql_snippets.servers.cluster import Cluster, open_cluster
from sql_snippets.servers.server import Server, ServerUnavailable
from sql_snippets.servers.whole_server import PREFIX, drop_database, put_back, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sql_snippets.database.recipes import Recipe

TEMPLATE = f"{PREFIX}template"
# The database that platforms call so, and that their settings and cron.job name.
MAINTENANCE = "postgres"

logger = logging.getLogger("sql_snippets")


@dataclass(frozen=True, slots=True)
class Database:
    """One database to run in.  ``role`` is who the documented reader is."""

    server: Server
    name: str
    role: str

    def connect(
        self,
        role: str | None = None,
        application_name: str = "",
        *,
        autocommit: bool = True,
        options: str = "",
    ) -> psycopg.Connection[tuple[object, ...]]:
        """Log in as ``role`` (none: the recipe's), so that its own settings apply.

        ``options`` are command-line options for the session.  Raises ServerUnavailable.
        """
        return self.server.connect(
            self.name,
            role or self.role,
            application_name=application_name,
            autocommit=autocommit,
            options=options,
        )


@dataclass(frozen=True, slots=True)
class Template:
    """The migrated database that nobody connects to, because a connection blocks cloning."""

    server: Server
    name: str
    role: str
    maintenance: str
    migration_head: str | None
    recipe_digest: str
    stand_ins: tuple[str, ...]
    owner: str
    seed: Path | None = None
    grants: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    has_settings: bool = False
    whole_server: whole_server.State = field(default=(), repr=False)
    # Entered around what reaches the databases of others on a server that several processes share.
    alone: Callable[[], AbstractContextManager[None]] = field(
        default=nullcontext, repr=False, compare=False, metadata=NOT_WRITTEN
    )

    @contextmanager
    def clone(self) -> Iterator[Database]:
        """Give a database of its own, equal to the template, and drop it afterwards.

        Owner, grants and settings of the database come along, which ``create database`` alone
        does not copy.  What belongs to the whole server does not go with a dropped database: it is
        put back as it was.  The seed runs in the clone and not in the template, because its dates
        count from now.
        Raises ServerUnavailable, and MigrationFailed for a bad seed.
        """
        name = _new_name()
        with self._admin() as admin:
            try:
                self._create(admin, name)
            except psycopg.Error as err:
                # A database of this name that was there before is somebody else's.
                if not isinstance(err, psycopg.errors.DuplicateDatabase):
                    _drop(self.server, self.maintenance, name)
                raise ServerUnavailable(
                    f"The template {self.name} could not be cloned: "
                    f"{self.server.without_secrets(str(err))}"
                ) from err
        try:
            if self.seed is not None:
                run_file(self.server, name, self.role, self.seed)
            yield Database(self.server, name, self.role)
        finally:
            # The clone went with its server.
            with suppress(ServerUnavailable, psycopg.Error), self._admin() as admin:
                drop_database(admin, name)
                if state_of(admin) != self.whole_server:
                    with self.alone():
                        self._put_back(admin)

    def to_json(self) -> str:
        """Return what another process on this machine needs to attach to this template.

        It holds the server's password, where there is one: hand it on, do not print it.
        """
        return json.dumps(encode(self))

    def _create(self, admin: psycopg.Connection[tuple[object, ...]], name: str) -> None:
        new = query.Identifier(name)
        admin.execute(
            query.SQL("create database {} template {} owner {} strategy file_copy").format(
                new, query.Identifier(self.name), query.Identifier(self.owner)
            )
        )
        for statement in _grants(new, self.grants):
            admin.execute(statement)
        if self.has_settings:
            # "alter database ... set" would have to quote each value as its setting wants it.
            admin.execute(
                "insert into pg_db_role_setting "
                "select new.oid, setting.setrole, setting.setconfig "
                "from pg_db_role_setting setting "
                "join pg_database old on old.oid = setting.setdatabase and old.datname = %s "
                "join pg_database new on new.datname = %s",
                (self.name, name),
            )
        if self.server.kind == "url":
            admin.execute(url.mark(name))

    def _put_back(self, admin: psycopg.Connection[tuple[object, ...]]) -> None:
        may_drop = url.may_drop(admin, self.role) if self.server.kind == "url" else None
        for change in put_back(admin, self.whole_server, may_drop):
            if change.refusal:
                logger.warning("Could not put back %s: %s.", change.thing, change.refusal)

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return self.server.connect(self.maintenance)


def attach_template(text: str) -> Template:
    """Return the template that another process holds open, from its ``to_json``."""
    return decode(Template, json.loads(text))


@contextmanager
def open_template(
    choice: str, recipe: Recipe, *, cache_dir: Path, allow_remote: bool = False
) -> Iterator[Template]:
    """Give a server that holds the recipe's database as a template, ready to clone.

    ``choice`` is ``embedded``, ``system`` or the URL of a server.  A prepared data directory is
    taken from ``cache_dir`` where it fits, and kept there otherwise.
    Raises ServerUnavailable, MigrationFailed and RecipeError.
    """
    with ExitStack() as stack:
        if choice in {"embedded", "system"}:
            server, built = stack.enter_context(_prepared_server(choice, recipe, cache_dir))
            name, maintenance = TEMPLATE, MAINTENANCE
        else:
            visit = stack.enter_context(
                url.open_url(choice, recipe.role, recipe.profile, allow_remote=allow_remote)
            )
            server, maintenance = visit.server, visit.maintenance
            name = _new_name("_template")
            built = stack.enter_context(_built_on(server, maintenance, name, recipe, visit.note))
        server = replace(server, real_parts=built.real_parts)
        yield _describe(server, name, maintenance, recipe, built)


@contextmanager
def open_revisions(template: Template, recipe: Recipe) -> Iterator[Iterator[Template]]:
    """Give the database as it was before the first migration and after each, oldest first.

    They are built on the template's server, one after the other: each is gone when the next is
    asked for.  Raises ServerUnavailable, MigrationFailed and RecipeError, while they are built.
    """
    name = _new_name("_revision")
    server, maintenance = template.server, template.maintenance

    def build_each(built: Built) -> Iterator[Template]:
        start = replace(recipe, migrations=())
        yield replace(_describe(server, name, maintenance, start, built), alone=template.alone)
        for number, path in enumerate(recipe.migrations, 1):
            run_file(server, name, recipe.role, path)
            until = replace(recipe, migrations=recipe.migrations[:number])
            revision = _describe(server, name, maintenance, until, built)
            # What is set back is the state of the run, not that of a moment in between.
            yield replace(revision, whole_server=template.whole_server, alone=template.alone)

    with _built_on(server, maintenance, name, replace(recipe, migrations=())) as built:
        yield build_each(built)


@contextmanager
def open_live_database(choice: str, recipe: Recipe, *, cache_dir: Path) -> Iterator[Database]:
    """Give the recipe's database on a server of its own, with its background workers running.

    There a schedule really fires, in the database ``postgres`` as on a platform, and workers and
    tests reach the server by TCP.  Raises ServerUnavailable, MigrationFailed and RecipeError.
    """
    if choice not in {"embedded", "system"}:
        raise ServerUnavailable(
            "A database with running workers needs a server of its own, whose settings name it: "
            "--sql-server embedded or system, not a URL."
        )
    binaries = find_binaries(choice)
    workers = _workers(binaries, recipe)
    with open_cluster(binaries, recipe.profile) as cluster:
        built = _prepare(cluster, recipe, workers, cache_dir)
        server = cluster.start({}, tcp=not workers)
        with server.connect("template1") as admin:
            # The prepared cluster keeps the migrated database under the template's name.
            admin.execute(query.SQL("drop database {}").format(query.Identifier(MAINTENANCE)))
            _rename(admin, TEMPLATE, MAINTENANCE)
        if workers:
            cluster.stop()
            server = cluster.start(_preload(workers, MAINTENANCE), tcp=True)
        if any(part.startswith("pg_cron ") for part in built.real_parts):
            with server.connect(MAINTENANCE) as admin:
                # A job remembers the port its server had when it was scheduled.
                admin.execute("update cron.job set nodeport = %s", (server.port,))
        if recipe.seed is not None:
            run_file(server, MAINTENANCE, recipe.role, recipe.seed)
        yield Database(replace(server, real_parts=built.real_parts), MAINTENANCE, recipe.role)


@contextmanager
def _prepared_server(
    choice: str, recipe: Recipe, cache_dir: Path
) -> Iterator[tuple[Server, Built]]:
    binaries = find_binaries(choice)
    workers = _workers(binaries, recipe)
    with open_cluster(binaries, recipe.profile) as cluster:
        built = _prepare(cluster, recipe, workers, cache_dir)
        # The workers serve a database without their extension: nothing fires, nothing holds the
        # template.
        yield cluster.start(_preload(workers, MAINTENANCE)), built


def _prepare(cluster: Cluster, recipe: Recipe, workers: tuple[str, ...], cache_dir: Path) -> Built:
    """Fill the cluster's data directory, from the cache where it can be, and leave it stopped."""
    key = prepared_key(cluster.binaries, recipe)
    # What is not known to be the same is made each time.
    keeping = prepared.locked_entry(cache_dir, key) if recipe.is_known else nullcontext()
    with keeping as entry:
        if entry is not None and entry.exists():
            try:
                notes = prepared.restore(entry, cluster.data, cluster.user)
                return Built(
                    tuple(cast("list[str]", notes["real_parts"])),
                    tuple(cast("list[str]", notes["stand_ins"])),
                )
            except (prepared.Damaged, KeyError, TypeError) as err:
                logger.warning("A prepared database is damaged and made again: %s", err)
                cluster.empty()
        built = _build_cluster(cluster, recipe, workers)
        if entry is not None:
            prepared.store(entry, cluster.data, asdict(built))
        return built


def _build_cluster(cluster: Cluster, recipe: Recipe, workers: tuple[str, ...]) -> Built:
    cluster.initialize()
    # Built under the name it has on a platform, so that what it writes about itself is the same.
    # Not every program that a project may run can use a socket.
    tcp = recipe.command is not None
    server = cluster.start(_preload(workers, MAINTENANCE), tcp=tcp)
    built = build(server, MAINTENANCE, recipe)
    if workers:
        cluster.stop()
        server = cluster.start({})
    with server.connect("template1") as admin:
        _rename(admin, MAINTENANCE, TEMPLATE)
        admin.execute(
            query.SQL("create database {} template template0").format(query.Identifier(MAINTENANCE))
        )
    cluster.stop()
    return built


@contextmanager
def _built_on(
    server: Server,
    maintenance: str,
    name: str,
    recipe: Recipe,
    after_file: Callable[[Path], None] = lambda _: None,
) -> Iterator[Built]:
    with server.connect(maintenance) as admin:
        admin.execute(
            query.SQL("create database {} template template0").format(query.Identifier(name))
        )
    try:
        with server.connect(maintenance) as admin:
            admin.execute(url.mark(name))
            if server.kind == "url":
                # Its messages are read here, and its own language is that of its owner.
                english = query.SQL("alter database {} set lc_messages to 'C'")
                admin.execute(english.format(query.Identifier(name)))
        if "pg_cron" in recipe.stand_ins():
            url.make_pg_cron(server, maintenance, name)
        known = url.roles(server, maintenance)
        yield build(
            server,
            name,
            recipe,
            after_platform=lambda: url.give_passwords(server, maintenance, known),
            after_file=after_file,
        )
    finally:
        _drop(server, maintenance, name)


def _describe(
    server: Server, name: str, maintenance: str, recipe: Recipe, built: Built
) -> Template:
    with server.connect(maintenance) as admin:
        row = admin.execute(
            "select pg_get_userbyid(datdba), datacl is null, exists (select 1 "
            "from pg_db_role_setting where setdatabase = pg_database.oid) "
            "from pg_database where datname = %s",
            (name,),
        ).fetchone()
        if row is None:
            raise ServerUnavailable(f"The template {name} is no longer on the server.")
        owner, default_grants, has_settings = row
        grants = admin.execute(
            "select case grantee when 0 then '' else pg_get_userbyid(grantee) end, "
            "privilege_type, is_grantable::text from pg_database, aclexplode(datacl) "
            "where datname = %s order by 1, 2",
            (name,),
        ).fetchall()
        everything = state_of(admin)
    return Template(
        server=server,
        name=name,
        role=recipe.role,
        maintenance=maintenance,
        migration_head=recipe.migration_head,
        recipe_digest=recipe.digest(),
        stand_ins=built.stand_ins,
        owner=str(owner),
        seed=recipe.seed,
        grants=()
        if default_grants
        else (("", "", ""), *(tuple(str(value) for value in grant) for grant in grants)),
        has_settings=bool(has_settings),
        whole_server=everything,
    )


def _grants(
    database: query.Identifier, grants: tuple[tuple[str, ...], ...]
) -> Iterator[query.Composed]:
    """Yield the statements that give a clone the template's grants."""
    for grantee, privilege, grantable in grants:
        if not privilege:
            yield query.SQL("revoke all on database {} from public").format(database)
            continue
        yield query.SQL("grant {} on database {} to {}{}").format(
            query.SQL(privilege),
            database,
            query.Identifier(grantee) if grantee else query.SQL("public"),
            query.SQL(" with grant option" if grantable == "true" else ""),
        )


def _new_name(ending: str = "") -> str:
    """Return a name that nothing has: a process of another machine may have this one's number."""
    return f"{PREFIX}{os.getpid()}_{secrets.token_hex(6)}{ending}"


def _workers(binaries: Binaries, recipe: Recipe) -> tuple[str, ...]:
    """Return the libraries to preload: installed here, and otherwise replaced by a stand-in."""
    return tuple(
        name
        for name in sorted(recipe.stand_ins())
        if name in WORKER_SETTINGS
        and binaries.has_library(name)
        and binaries.extension_version(name)
    )


def _preload(workers: tuple[str, ...], database: str) -> Mapping[str, str]:
    if not workers:
        return {}
    served = {WORKER_SETTINGS[name]: database for name in workers}
    return {"shared_preload_libraries": ",".join(workers), **served}


def _rename(admin: psycopg.Connection[tuple[object, ...]], old: str, new: str) -> None:
    admin.execute(
        query.SQL("alter database {} rename to {}").format(
            query.Identifier(old), query.Identifier(new)
        )
    )


def _drop(server: Server, maintenance: str, name: str) -> None:
    with (
        suppress(ServerUnavailable, psycopg.Error),
        server.connect(maintenance) as admin,
    ):
        drop_database(admin, name)
