"""The two servers everything is shown on: one with stand-ins, and the machine's with pg_cron."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from sql_snippets import settings
from sql_snippets.database.building import build
from sql_snippets.database.databases import Database, Template, open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.profiles import SUPABASE
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import Cluster, open_cluster
from sql_snippets.servers.server import Server, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LANES = ("embedded", "system")
# What these show is done by triggers and functions on tables of our own, in SQL that no part of the
# platform and no catalog has a say in.  That it loads and runs on the second server at all is shown
# by the others, and by the pages.
SAME_ON_BOTH = frozenset(
    {
        "test_activity_registration.py",
        "test_alerts.py",
        "test_contact_dates.py",
        "test_contact_types.py",
        "test_cron_times.py",
        "test_due_dates.py",
        "test_explain_assignment.py",
        "test_first_run.py",
        "test_heartbeat.py",
        "test_last_contact_rules.py",
        "test_limits.py",
        "test_unkept.py",
    }
)
ROLE = "postgres"
OWN_DATABASE = "postgres"


def reminder_recipe(*, seed: bool = False, migrations: Path | None = None) -> Recipe:
    """Return the documented system, without the seed's people and runs unless they are asked for.

    ``SQL_REMINDER_MIGRATIONS`` names another folder of migrations, to see these tests fail.
    """
    chosen = migrations or Path(
        os.environ.get("SQL_REMINDER_MIGRATIONS") or ROOT / "supabase" / "migrations"
    )
    return Recipe.from_folders(
        platform=ROOT / "tests" / "sql_snippets" / "platform",
        migrations=chosen,
        seed=ROOT / "supabase" / "seed.sql" if seed else None,
        role=ROLE,
        profile=SUPABASE,
    )


def cache_dir() -> Path:
    return settings.decide(ROOT, command_line={}, environment=os.environ, ini={}).cache_dir


@contextmanager
def open_lane(lane: str) -> Iterator[Template]:
    """Give the lane's template; without its PostgreSQL the tests skip here, and fail in CI."""
    with ExitStack() as stack:
        # Only the start of the server may lead to a skip, never what a test does with it.
        try:
            template = stack.enter_context(
                open_template(lane, reminder_recipe(), cache_dir=cache_dir())
            )
        except ServerUnavailable as err:
            missing(f"The {lane} PostgreSQL is not available: {err}")
        yield template


def missing(what: str) -> NoReturn:
    """Skip for want of a part; in CI, where every part is to be installed, fail."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def open_own_server(lane: str, *, migrate: bool = True, **settings: str) -> Iterator[OwnServer]:
    """Give a database on a server of its own, which a test may break; migrated, or to be.

    pg_cron and pg_net are stand-ins, so nothing runs in it but what the test starts.
    """
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(open_cluster(find_binaries(lane), SUPABASE))
            cluster.initialize()
            server = cluster.start(settings, tcp=True)
        except ServerUnavailable as err:
            missing(f"The {lane} PostgreSQL is not available: {err}")
        recipe = reminder_recipe()
        build(server, OWN_DATABASE, recipe if migrate else replace(recipe, migrations=()))
        yield OwnServer(cluster, settings, server)


@dataclass(slots=True)
class OwnServer:
    """A server that can be cut off and started again; its port may be another one then."""

    cluster: Cluster
    settings: dict[str, str]
    server: Server

    @property
    def database(self) -> Database:
        return Database(self.server, OWN_DATABASE, ROLE)

    def crash(self) -> None:
        """Stop at once, as by a failure, and start again."""
        self.cluster.stop(immediately=True)
        self.server = self.cluster.start(self.settings, tcp=True)

    def become_standby(self) -> None:
        """Stop, and start again as a replica, which can only be read."""
        self.cluster.stop()
        (self.cluster.data / "standby.signal").touch()
        self.server = self.cluster.start({**self.settings, "hot_standby": "on"}, tcp=True)
