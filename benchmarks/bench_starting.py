"""Measure the time to the first verdict: nothing cached, a prepared server, nothing changed.

Beside it pytest-postgresql, which starts the machine's own PostgreSQL and loads the same schema.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus
from benchmarks.children import run_measured, seconds_until
from benchmarks.measured import Aim, Findings, Table, run_section
from benchmarks.peers import clean_environment, prepare_peers
from scripts.tasks.common import ROOT, TaskError, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

AIM = 1.5
_BLOCK = "select count(*) from orders where id <= {n};"
_NO_CACHE = "--sql-no-cache"
_PEER_TEST = """\
from pathlib import Path

import pytest
from pytest_postgresql import factories

server = factories.postgresql_proc(load=[Path(__file__).with_name("schema.sql")])
database = factories.postgresql("server")


@pytest.mark.parametrize("n", range({count}))
def test_block(database, n):
    with database.cursor() as cursor:
        cursor.execute("select count(*) from orders where id <= %s", (n,))
        assert cursor.fetchone()[0] == n
"""
# PostgreSQL refuses to run as root: in a user namespace of its own, root is someone else.
_NOT_ROOT = ("unshare", "--user", "--map-user=1000")
Both = tuple[float, float]


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("starting", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blocks", type=int, default=20, help="so many blocks on one page (20)")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many (5)")
    parser.add_argument("--no-runbook", action="store_true", help="leave out this site's own pages")


def measure(options: argparse.Namespace) -> Findings:
    """Measure each state of the caches, to the first verdict and to the end."""
    memory = Path("/dev/shm")  # noqa: S108 - a disk in memory, in which a folder of ours is made
    with (
        tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder,
        tempfile.TemporaryDirectory(
            # Not the name of our servers: what is left of those is cleared away.
            prefix="bench-peer-",
            dir=memory if memory.is_dir() else None,
        ) as fast,
    ):
        ours = _ours(Path(folder) / "ours", options)
        peers = _peers(Path(folder) / "peer", Path(fast), options)
        own_pages = {} if options.no_runbook else _own_pages(Path(folder), options.rounds)
    warm = ours["prepared server"]
    rows = [
        (name, f"{first:.2f}", f"{whole:.2f}", f"{first / warm[0]:.2f}")
        for name, (first, whole) in (
            *((f"this checker, {state}", both) for state, both in ours.items()),
            *peers.items(),
        )
    ]
    note = "" if peers else " `pytest-postgresql` needs the machine's own PostgreSQL: left out."
    columns = ("What", "First verdict, s", "Whole run, s", "First verdict, ratio")
    tables = [
        Table(
            f"Starting: one page of {options.blocks} blocks",
            columns,
            tuple(rows),
            f"Median of {options.rounds}. Ratios are to a prepared server.{note}",
        )
    ]
    aims = [_aim(f"{state}, one page", *ours[state]) for state in _WARM]
    if own_pages:
        tables.append(
            Table(
                "Starting: the pages of this site",
                columns[:3],
                tuple(
                    (s, f"{first:.2f}", f"{whole:.2f}") for s, (first, whole) in own_pages.items()
                ),
                f"Median of {options.rounds}; whole runs once.",
            )
        )
        aims += [_aim(f"{state}, pages of this site", *own_pages[state]) for state in _WARM]
    return Findings(tuple(tables), tuple(aims))


_WARM = ("prepared server", "nothing changed")


def _aim(what: str, first: float, _: float) -> Aim:
    return Aim(f"First verdict, {what}", f"under {AIM:g} s", f"{first:.2f} s", first < AIM)


def _median(rounds: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(rounds))


def _ours(folder: Path, options: argparse.Namespace) -> dict[str, Both]:
    project = corpus.Project(folder)
    blocks = [("READ", _BLOCK.format(n=n)) for n in range(options.blocks)]
    project.write("page.md", corpus.page("Page", "sql", blocks))
    passed = f"{options.blocks} passed"

    def cold(run: Callable[[Path], float]) -> float:
        cache = folder / "cold"
        shutil.rmtree(cache, ignore_errors=True)
        return run(cache)

    def whole(*more: str, cache: Path | None = None) -> float:
        return project.run("docs", *more, expects=passed, cache=cache).seconds

    rounds: int = options.rounds
    found = {
        "nothing cached": (
            _median(rounds, lambda: cold(lambda at: project.first_verdict(cache=at))),
            _median(rounds, lambda: cold(lambda at: whole(cache=at))),
        )
    }
    for state, more in zip(_WARM, ((_NO_CACHE,), ()), strict=True):
        whole(*more)
        found[state] = (
            _median(rounds, partial(project.first_verdict, *more)),
            _median(rounds, partial(whole, *more)),
        )
    return found


def _peers(folder: Path, fast: Path, options: argparse.Namespace) -> dict[str, Both]:
    """Return the times of pytest-postgresql, on the usual disk and on one in memory."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    prefix = () if os.geteuid() else _NOT_ROOT
    if not programs or not _can_run(prefix):
        return {}
    folder.mkdir()
    (folder / "schema.sql").write_text(corpus.SCHEMA, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "test_blocks.py").write_text(
        _PEER_TEST.format(count=options.blocks), encoding="utf-8"
    )
    command: list[str | Path] = [
        *(*prefix, prepare_peers(), "-m", "pytest", "-p", "no:cacheprovider"),
        *("-p", "no:codeblocks", "-p", "no:pytest_markdown_docs"),
        f"--postgresql-exec={programs[-1]}",
    ]
    found = {}
    for name, base in (
        ("`pytest-postgresql`", folder / "base"),
        ("`pytest-postgresql`, data in memory", fast / "base"),
    ):
        base.mkdir()
        found[name] = (
            _median(options.rounds, partial(_first_of_peer, command, folder, base)),
            _median(options.rounds, partial(_whole_of_peer, command, folder, base)),
        )
    return found


def _first_of_peer(command: list[str | Path], folder: Path, base: Path) -> float:
    command = [*command, _new_folder(base), "-vv"]
    return seconds_until(" PASSED", command, cwd=folder, env=clean_environment())


def _whole_of_peer(command: list[str | Path], folder: Path, base: Path) -> float:
    command = [*command, _new_folder(base), "-q"]
    return run_measured(command, cwd=folder, env=clean_environment()).seconds


def _new_folder(base: Path) -> str:
    # pytest makes the folder itself: emptying an old one would be measured too.
    return f"--basetemp={Path(tempfile.mkdtemp(dir=base)) / 'run'}"


def _can_run(prefix: tuple[str, ...]) -> bool:
    if prefix and not shutil.which(prefix[0]):
        return False
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0


def _own_pages(folder: Path, rounds: int) -> dict[str, Both]:
    """Return the times of the pages of this site, with a cache of their own."""
    env = {**clean_environment(), "SQL_SNIPPETS_CACHE_DIR": str(folder / "own-cache")}
    command = [sys.executable, "-m", "pytest", "docs", "-p", "no:cacheprovider"]

    def first(*more: str) -> float:
        return seconds_until(" PASSED", [*command, "-vv", *more], cwd=ROOT, env=env)

    def whole(*more: str) -> float:
        return run_measured([*command, "-q", *more], cwd=ROOT, env=env).seconds

    cold = first()
    shutil.rmtree(folder / "own-cache")
    try:
        return {
            "nothing cached": (cold, whole()),
            "prepared server": (_median(rounds, lambda: first(_NO_CACHE)), whole(_NO_CACHE)),
            "nothing changed": (_median(rounds, first), whole()),
        }
    except TaskError:
        say("The pages of this site do not pass: left out")
        return {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
