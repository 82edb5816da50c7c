"""Measure what it costs to keep one block from the next, in each way that a user could pick.

A cost is the slope between N blocks and twice as many, so that nothing of the start is in it.  The
cheapest way that is correct is a session of its own that is rolled back, and for a block that
commits a database of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus
from benchmarks.measured import Aim, Findings, Table, run_section
from scripts.tasks.common import TaskError
from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.plan import RunOptions
from sql_snippets.running.editor import run_isolated
from sql_snippets.servers.binaries import find_binaries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from sql_snippets import Database
    from sql_snippets.database.databases import Template

ROLE = "postgres"
KINDS = {
    "reading": ("READ", "select count(*) from orders where id <= {n};"),
    "writing": ("WRITE", "insert into orders (status) values ('new {n}');"),
    "DDL": ("WRITE", "create table scratch_{n} (id int primary key, note text);"),
    "committing": (
        "WRITE",
        "begin;\ninsert into orders (status) values ('new {n}');\ncommit;",
    ),
}
WRITING, COMMITTING = "writing", "committing"
PSQL, ROLLBACK, CONNECTION, CLONE, RUNNER, CHECKED = (
    "`psql`, one session",
    "`psycopg`, rolled back",
    "a connection each, rolled back",
    "a clone each",
    "this checker's runner alone",
    "this checker, a checked block",
)
_KEPT_APART = {
    PSQL: "nothing",
    ROLLBACK: "rows; not sessions",
    CONNECTION: "rows and sessions",
    CLONE: "everything in a database",
    RUNNER: "the same, and sequences",
    CHECKED: "the same, judged and reported",
}
AIM = 2.0
# How many blocks, as parts of the option, so that each way takes about as long.
_SHARE = {PSQL: 10, ROLLBACK: 5, CONNECTION: 1, CLONE: 0.1, RUNNER: 1, CHECKED: 1}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where blocks are run."""

    template: Template
    psql: Path
    project: corpus.Project


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("isolation", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blocks", type=int, default=200, help="N (200); slow ways take fewer")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Measure each kind of block in each way."""
    costs: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
        project = corpus.Project(Path(folder) / "project")
        recipe = Recipe.from_folders(
            platform=project.folder / "platform",
            migrations=project.folder / "migrations",
            seed=None,
            role=ROLE,
        )
        with open_template("embedded", recipe, cache_dir=project.cache) as template:
            place = _Place(template, find_binaries("embedded").tool("psql"), project)
            for kind in KINDS:
                costs[kind] = {
                    name: _slope(place, kind, way, _count(options.blocks, kind, name), options)
                    for name, way in _WAYS.items()
                    if kind != COMMITTING or name not in {ROLLBACK, CONNECTION}
                }
    return _findings(costs, options)


def _count(blocks: int, kind: str, way: str) -> int:
    share = _SHARE[CLONE] if kind == COMMITTING and way in {RUNNER, CHECKED} else _SHARE[way]
    return max(round(blocks * share), 2)


if TYPE_CHECKING:
    _Way = Callable[[_Place, str, Sequence[str]], float]


def _slope(place: _Place, kind: str, way: _Way, count: int, options: argparse.Namespace) -> float:
    """Return the seconds of one more block, from the best of the rounds: other work only adds."""
    mark, pattern = KINDS[kind]
    blocks = [pattern.format(n=n) for n in range(2 * count)]
    way(place, mark, blocks[:1])
    once, twice = [], []
    for _ in range(options.rounds):
        once.append(way(place, mark, blocks[:count]))
        twice.append(way(place, mark, blocks))
    slope = (min(twice) - min(once)) / count
    if slope <= 0:
        raise TaskError(f"{kind}: twice the blocks took no longer. Other work hides it; take more.")
    return slope


def _psql(place: _Place, _: str, blocks: Sequence[str]) -> float:
    server = place.template.server
    script = place.project.folder / "blocks.sql"
    script.write_text("\n".join(blocks), encoding="utf-8")
    with place.template.clone() as database:
        command = [
            *(str(place.psql), "-X", "-q", "-h", server.host, "-p", str(server.port)),
            *("-U", ROLE, "-d", database.name, "-v", "ON_ERROR_STOP=1", "-f", str(script)),
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def _rolled_back(place: _Place, _: str, blocks: Sequence[str]) -> float:
    with place.template.clone() as database, database.connect() as connection:
        began = time.perf_counter()
        for block in blocks:
            connection.execute("begin")
            connection.execute(block.encode())
            connection.execute("rollback")
        return time.perf_counter() - began


def _connection_each(place: _Place, _: str, blocks: Sequence[str]) -> float:
    with place.template.clone() as database:
        began = time.perf_counter()
        for block in blocks:
            connection = database.connect()
            connection.execute(b"begin;" + block.encode())
            connection.execute("rollback")
            connection.close()
        return time.perf_counter() - began


def _clone_each(place: _Place, _: str, blocks: Sequence[str]) -> float:
    began = time.perf_counter()
    for block in blocks:
        _on_a_clone(place.template, block)
    return time.perf_counter() - began


def _on_a_clone(template: Template, block: str) -> None:
    """Do what someone does who clones by hand."""
    with template.server.connect(template.maintenance) as admin:
        admin.execute(
            f"create database bench_clone template {template.name} owner {ROLE} "
            "strategy file_copy".encode()
        )
        with template.server.connect("bench_clone", ROLE) as connection:
            connection.execute(block.encode())
        admin.execute("drop database bench_clone")


def _runner(place: _Place, _: str, blocks: Sequence[str]) -> float:
    with place.template.clone() as shared:
        began = time.perf_counter()
        for block in blocks:
            _must_pass(place.template, shared, block)
        return time.perf_counter() - began


def _must_pass(template: Template, shared: Database, block: str) -> None:
    outcome = run_isolated(template, shared, block, RunOptions(ROLE))
    if outcome.error is not None:
        raise TaskError(f"{block}\n{outcome.error}")


def _checked(place: _Place, mark: str, blocks: Sequence[str]) -> float:
    text = corpus.page("Blocks", "sql", [(mark, block) for block in blocks])
    place.project.write("page.md", text)
    return place.project.run("docs", "--sql-no-cache", expects=f"{len(blocks)} passed").seconds


_WAYS: Mapping[str, _Way] = {
    PSQL: _psql,
    ROLLBACK: _rolled_back,
    CONNECTION: _connection_each,
    CLONE: _clone_each,
    RUNNER: _runner,
    CHECKED: _checked,
}


def _cheapest(kind: str) -> str:
    """Return the cheapest way in which nothing of a block meets the next one."""
    return CLONE if kind in {WRITING, COMMITTING} else CONNECTION


def _cell(kind: str, way: str, costs: Mapping[str, float]) -> str:
    if way not in costs:
        return "not correct"
    # The block writes into a table with an identity: the next one would get another number.
    moves = " and a moved sequence" if kind == WRITING and way in {ROLLBACK, CONNECTION} else ""
    return f"{costs[way] * 1000:.2f}{moves}"


def _findings(costs: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> Findings:
    rows = [
        (
            name,
            kept_apart,
            *(_cell(kind, name, of) for kind, of in costs.items()),
        )
        for name, kept_apart in _KEPT_APART.items()
    ]
    ratios = {kind: of[CHECKED] / of[_cheapest(kind)] for kind, of in costs.items()}
    above = {kind: (of[CHECKED] - of[PSQL]) * 1000 for kind, of in costs.items()}
    rows += [
        (
            "checked block, above the bare statement",
            "",
            *(f"{cost:.2f}" for cost in above.values()),
        ),
        (
            "checked block, ratio to the cheapest correct",
            "",
            *(f"{ratio:.2f}" for ratio in ratios.values()),
        ),
    ]
    table = Table(
        "One more block, ms",
        ("How", "Keeps apart", *costs),
        tuple(rows),
        f"Slope between {options.blocks} blocks and twice as many (more in the fast ways, a tenth "
        f"with clones), best of {options.rounds}. The bare statement is that of `psql`.",
    )
    aims = tuple(
        Aim(
            f"A checked block, {kind}, beside {_cheapest(kind)}",
            f"{AIM:g} times its time",
            f"{ratio:.2f} times",
            ratio <= AIM,
        )
        for kind, ratio in ratios.items()
    )
    return Findings((table,), aims)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
