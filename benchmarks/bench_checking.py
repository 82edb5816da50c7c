"""Measure a check of 500 blocks, beside bare psycopg with the same statements rolled back.

Nothing here passes or fails: times of a machine are printed, with the ratio, to be read.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus
from benchmarks.measured import Aim, Findings, Table, run_section
from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

PAGES, BLOCKS = 10, 50
AIMS = {"checked, warm, 2 workers": 10.0, "nothing changed": 1.0}
_NO_CACHE = "--sql-no-cache"

# One of each in turn; what they hold differs from block to block.
STATEMENTS = (
    ("READ", "select count(*) from orders where id <= {n};", "count"),
    ("READ", "select id, status from open_orders order by id limit 3 offset {n} % 90;", None),
    ("WRITE", "update orders set status = 'closed {n}' where id = 1 + {n} % 100;", None),
    ("WRITE", "insert into orders (status) values ('new {n}');", None),
    ("WRITE", "create table scratch_{n} (id int primary key, note text);", None),
)


def _blocks(count: int) -> list[tuple[str, str, str]]:
    """Return mark, statement and shown output of each block."""
    blocks = []
    for n in range(count):
        mark, statement, column = STATEMENTS[n % len(STATEMENTS)]
        output = f" {column}\n-------\n{min(n, 100):6}\n(1 row)" if column else ""
        blocks.append((mark, statement.format(n=n), output))
    return blocks


def _write(project: corpus.Project, pages: int) -> None:
    blocks = _blocks(pages * BLOCKS)
    for page in range(pages):
        parts = [f"# Page {page}\n"]
        for mark, sql, output in blocks[page * BLOCKS : (page + 1) * BLOCKS]:
            parts.append(f"**{mark}** · A block\n\n```sql\n{sql}\n```\n")
            if output:
                parts.append(f"```text\n{output}\n```\n")
        project.write(f"page_{page}.md", "\n".join(parts))
    tests = "def test_{0}():\n    pass\n"
    (project.folder / "test_nothing.py").write_text(
        "".join(tests.format(n) for n in range(len(blocks))), encoding="utf-8"
    )


def _median(rounds: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(rounds))


def _bare(project: corpus.Project, count: int) -> float:
    """Return the seconds of the same statements, each rolled back, on one connection."""
    recipe = Recipe.from_folders(
        platform=project.folder / "platform",
        migrations=project.folder / "migrations",
        seed=None,
        role="postgres",
    )
    statements = [sql for _, sql, _ in _blocks(count)]
    with (
        open_template("embedded", recipe, cache_dir=project.cache) as template,
        template.clone() as database,
        database.connect() as connection,
    ):
        start = time.perf_counter()
        for sql in statements:
            connection.execute("begin")
            connection.execute(sql.encode()).fetchall() if sql[:6] == "select" else (
                connection.execute(sql.encode())
            )
            connection.execute("rollback")
        return time.perf_counter() - start


def main(arguments: list[str]) -> int:
    """Print the table."""
    return run_section("checking", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pages", type=int, default=PAGES, help=f"of {BLOCKS} blocks ({PAGES})")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Measure runs from cold to nothing changed, beside both floors."""
    rounds: int = options.rounds
    count = options.pages * BLOCKS
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
        project = corpus.Project(Path(folder) / "project")
        _write(project, options.pages)

        def seconds(*arguments: str) -> float:
            return project.run(*arguments, expects=f"{count} passed").seconds

        cold = seconds("docs", _NO_CACHE)
        bare = _median(rounds, lambda: _bare(project, count))
        nothing = _median(rounds, lambda: seconds("test_nothing.py"))
        times = {
            "floor, bare `psycopg` with rollback": bare,
            "floor, `pytest` with empty tests": nothing,
            "checked, nothing prepared": cold,
            "checked, warm": _median(rounds, lambda: seconds("docs", _NO_CACHE)),
            "checked, warm, 2 workers": _median(
                rounds, lambda: seconds("docs", _NO_CACHE, "-n", "2")
            ),
            "start to first verdict": _median(rounds, lambda: project.first_verdict(_NO_CACHE)),
        }
        seconds("docs")
        times["nothing changed"] = _median(rounds, lambda: seconds("docs"))
    rows = tuple(
        (name, f"{took:.2f}", f"{took / bare:.1f}", f"{took / nothing:.1f}")
        for name, took in times.items()
    )
    table = Table(
        f"Checking {count:,} blocks on {options.pages} pages",
        ("What", "Time, s", "Ratio to `psycopg`", "Ratio to `pytest`"),
        rows,
        f"Median of {rounds}; blocks that read, write and make tables.",
    )
    aims = tuple(
        Aim(
            f"{count:,} blocks {name}",
            f"under {aim:g} s",
            f"{times[name]:.2f} s",
            times[name] < aim,
        )
        for name, aim in AIMS.items()
        if options.pages == PAGES  # the aims are for so many
    )
    return Findings((table,), aims)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
