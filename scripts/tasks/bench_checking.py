"""Measure a check of 500 blocks, beside bare psycopg with the same statements rolled back.

Nothing here passes or fails: times of a machine are printed, with the ratio, to be read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGES, BLOCKS = 10, 50
AIMS = {"checked, warm, 2 workers": 10.0, "nothing changed": 1.0}

ROLE = """\
do $$ begin
  if not exists (select from pg_roles where rolname = 'postgres') then
    create role postgres login;
  end if;
  execute format('alter database %I owner to postgres', current_database());
end $$;
"""
SCHEMA = """\
create table public.orders (id int generated always as identity primary key, status text not null);
insert into public.orders (status) select 'open' from generate_series(1, 100);
create view public.open_orders as select * from public.orders where status = 'open';
"""
# One of each in turn; what they hold differs from block to block.
STATEMENTS = (
    ("READ", "select count(*) from orders where id <= {n};", "count"),
    ("READ", "select id, status from open_orders order by id limit 3 offset {n} % 90;", None),
    ("WRITE", "update orders set status = 'closed {n}' where id = 1 + {n} % 100;", None),
    ("WRITE", "insert into orders (status) values ('new {n}');", None),
    ("WRITE", "create table scratch_{n} (id int primary key, note text);", None),
)


def _blocks() -> list[tuple[str, str, str]]:
    """Return mark, statement and shown output of each block."""
    blocks = []
    for n in range(PAGES * BLOCKS):
        mark, statement, column = STATEMENTS[n % len(STATEMENTS)]
        output = f" {column}\n-------\n{min(n, 100):6}\n(1 row)" if column else ""
        blocks.append((mark, statement.format(n=n), output))
    return blocks


def _write(project: Path) -> None:
    for folder in ("docs", "platform", "migrations"):
        (project / folder).mkdir()
    (project / "platform" / "1_role.sql").write_text(ROLE, encoding="utf-8")
    (project / "migrations" / "1_orders.sql").write_text(SCHEMA, encoding="utf-8")
    (project / "mkdocs.yml").write_text(
        "site_name: Bench\nmarkdown_extensions: [pymdownx.superfences]\n", encoding="utf-8"
    )
    (project / "pytest.ini").write_text(
        "[pytest]\nsql_platform = platform\nsql_migrations = migrations\n", encoding="utf-8"
    )
    blocks = _blocks()
    for page in range(PAGES):
        parts = [f"# Page {page}\n"]
        for mark, sql, output in blocks[page * BLOCKS : (page + 1) * BLOCKS]:
            parts.append(f"**{mark}** · A block\n\n```sql\n{sql}\n```\n")
            if output:
                parts.append(f"```text\n{output}\n```\n")
        (project / "docs" / f"page_{page}.md").write_text("\n".join(parts), encoding="utf-8")
    tests = "def test_{0}():\n    pass\n"
    (project / "test_nothing.py").write_text(
        "".join(tests.format(n) for n in range(PAGES * BLOCKS)), encoding="utf-8"
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median(rounds: int, work: Callable[[], object]) -> float:
    return statistics.median(_seconds(work) for _ in range(rounds))


class _Project:
    """The generated project, and how pytest is run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SQL_SNIPPETS_", "PYTEST_", "GITHUB_"))
                and name != "PYTHONDONTWRITEBYTECODE"
            },
            # Compiled once, as an installed package is.
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
            "SQL_SNIPPETS_CACHE_DIR": str(folder / "cache"),
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or f"{PAGES * BLOCKS} passed" not in done.stdout:
            raise SystemExit(done.stdout[-3000:] + done.stderr)

    def first_verdict(self) -> None:
        with subprocess.Popen(
            self.command("docs", "-vv", "--sql-no-cache"),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe, as asked for
            seen = any(" PASSED" in line for line in process.stdout)
            process.terminate()
        if not seen:
            raise SystemExit("No block passed.")

    def bare(self) -> float:
        """Return the seconds of the same statements, each rolled back, on one connection."""
        recipe = Recipe.from_folders(
            platform=self.folder / "platform",
            migrations=self.folder / "migrations",
            seed=None,
            role="postgres",
        )
        statements = [sql for _, sql, _ in _blocks()]
        with (
            open_template("embedded", recipe, cache_dir=self.folder / "cache") as template,
            template.clone() as database,
            database.connect() as connection,
        ):

            def work() -> None:
                for sql in statements:
                    connection.execute("begin")
                    connection.execute(sql.encode()).fetchall() if sql[:6] == "select" else (
                        connection.execute(sql.encode())
                    )
                    connection.execute("rollback")

            return _seconds(work)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench checking", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
        project = _Project(Path(folder))
        _write(project.folder)
        cold = _seconds(lambda: project.run("docs", "--sql-no-cache"))
        bare = statistics.median(project.bare() for _ in range(rounds))
        nothing = _median(rounds, lambda: project.run("test_nothing.py"))
        times = {
            "checked, nothing prepared": cold,
            "checked, warm": _median(rounds, lambda: project.run("docs", "--sql-no-cache")),
            "checked, warm, 2 workers": _median(
                rounds, lambda: project.run("docs", "--sql-no-cache", "-n", "2")
            ),
            "start to first verdict": _median(rounds, project.first_verdict),
        }
        project.run("docs")
        times["nothing changed"] = _median(rounds, lambda: project.run("docs"))
    print(f"{PAGES * BLOCKS} blocks on {PAGES} pages, {os.cpu_count()} cores, median of {rounds}")
    print(f"floor, bare psycopg with rollback    {bare:7.2f} s")
    print(f"floor, pytest with empty tests       {nothing:7.2f} s")
    for name, seconds in times.items():
        aim = f"   aim: under {AIMS[name]:g} s" if name in AIMS else ""
        print(
            f"{name:36} {seconds:7.2f} s   {seconds / bare:6.1f} x psycopg"
            f"   {seconds / nothing:5.1f} x pytest{aim}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
