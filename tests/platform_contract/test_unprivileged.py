"""Servers named by a URL, by somebody who is not root: what is real there is met, and said.

The suite itself visits such a server as whoever runs the tests, in CI as root.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.another_user import run_unprivileged
from tests.platform_contract.places import own_server
from tests.reminder_system.lanes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = [f"tests/platform_contract/test_{part}.py" for part in ("cron", "net", "vault")]
NOT_BY_URL = "not embedded and not system and not served"
BLOCK = "docs/operations/cron-reminder-runbook.md::check-health::health"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Somebody's server, on which pg_cron serves a database; whatever is left there is an error."""
    with own_server("pg_cron") as url:
        yield url


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def run(home: Path, *arguments: str, **env: str) -> str:
    done = run_unprivileged(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        home=home,
        cwd=ROOT,
        env={
            "SQL_SNIPPETS_CACHE_DIR": str(home / "cache"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis"),
            "COLUMNS": "400",
            **env,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_not_root_who_visits(home: Path) -> None:
    done = run_unprivileged(["-c", "import os; print(os.geteuid())"], home=home, cwd=ROOT)
    assert int(done.stdout) != 0


def test_the_suite_meets_what_is_real_and_says_of_each_part_what_it_was(
    url: str, home: Path
) -> None:
    said = run(home, *SUITE, "-k", NOT_BY_URL, SQL_CONTRACT_URL=url)
    section = said.partition(" platform contract ")[2]
    assert re.search(
        r"^url [\d.]+: pg_cron [\d.-]+, the real one, in database operations$",
        section,
        re.MULTILINE,
    )
    for part in ("pg_net", "supabase_vault"):
        sentence = (
            f"The server of SQL_CONTRACT_URL has no {part} in its database postgres: "
            "the stand-in is not compared with the real one."
        )
        assert section.splitlines().count(sentence) == 1
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 60


def test_blocks_meet_what_is_real_and_the_run_says_of_each_part_what_it_was(
    url: str, home: Path
) -> None:
    said = run(home, BLOCK, "--sql-server", url)
    assert re.search(
        r"^[\d.]+ \(url\), real platform parts: pg_cron [\d.-]+, "
        r"stand-ins: supabase_vault, pg_net, migration head: ",
        said,
        re.MULTILINE,
    )
