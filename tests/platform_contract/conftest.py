"""One suite for all servers: the stand-ins, and the real extensions where they are installed.

``SQL_CONTRACT_URL`` names one more, such as that of a real Supabase started on this machine.  Each
part is looked at there in the database that it serves; the run says of each what it was.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.platform_contract.places import NOT_THERE, SERVED, Place, Session, open_place
from tests.reminder_system.lanes import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_URL = os.environ.get("SQL_CONTRACT_URL")
_PROPERTY = "platform part"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every lane that its part is to be had on."""
    if "place" in metafunc.fixturenames:
        # The only one of the parts that is in a package of Debian.
        served = [SERVED] if metafunc.module.PART == "pg_cron" else []
        url = [pytest.param(_URL, id="url")] if _URL else []
        metafunc.parametrize("place", [*LANES, *served, *url], indirect=True, scope="module")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where the part that the module is about is looked at."""
    with open_place(request.param, request.module.PART) as place:
        yield place


@pytest.fixture
def sessions(
    place: Place, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[tuple[Session, Session]]:
    server, part = place.database.server, request.module.PART
    what = f"{part} {place.version}, the real one" if place.version else f"stand-in for {part}"
    where = "a copy of the template" if server.kind != "url" else f"database {place.database.name}"
    record_property(_PROPERTY, f"{server.kind} {server.version}: {what}, in {where}")
    with place.sessions() as sessions:
        yield sessions


@pytest.fixture
def postgres(sessions: tuple[Session, Session]) -> Session:
    """The role that everything is called as: not a superuser, with the platform's grants."""
    return sessions[0]


@pytest.fixture
def superuser(sessions: tuple[Session, Session]) -> Session:
    return sessions[1]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each part whether it was real and where, as a stand-in proves nothing about itself."""
    looked_at = {
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY
    }
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if NOT_THERE in reason:
            looked_at.add(reason.removeprefix("Skipped: "))
    if looked_at:
        terminalreporter.section("platform contract")
        for line in sorted(looked_at):
            terminalreporter.line(line)
