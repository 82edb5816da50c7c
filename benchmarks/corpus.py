"""Projects made for measuring: pages with SQL, a small database, and how they are checked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.children import Ended, run_measured, seconds_until
from benchmarks.peers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
SITE = "site_name: Bench\nmarkdown_extensions: [pymdownx.superfences]\n"
SETTINGS = "[pytest]\nsql_platform = platform\nsql_migrations = migrations\n"

Block = tuple[str, str]


def page(title: str, language: str, blocks: Sequence[Block]) -> str:
    """Return a page of blocks, each a mark and code, each with a heading and a paragraph."""
    parts = [f"# {title}\n"]
    for number, (mark, code) in enumerate(blocks, 1):
        words = (
            f"**{mark}** · What this part is about, in one sentence or so.\n"
            if mark
            else ("What this part is about, in one sentence or so.\n")
        )
        parts += [f"## Part {number}\n", words, f"```{language}\n{code}\n```\n"]
    return "\n".join(parts)


class Project:
    """A folder with pages of SQL, checked by this checker with a cache of its own."""

    def __init__(self, folder: Path, site: str = SITE) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        for name in ("docs", "platform", "migrations"):
            (folder / name).mkdir(parents=True)
        (folder / "platform" / "1_role.sql").write_text(ROLE, encoding="utf-8")
        (folder / "migrations" / "1_orders.sql").write_text(SCHEMA, encoding="utf-8")
        (folder / "mkdocs.yml").write_text(site, encoding="utf-8")
        (folder / "pytest.ini").write_text(SETTINGS, encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write one page."""
        (self.folder / "docs" / name).write_text(text, encoding="utf-8")

    def environment(self, cache: Path | None = None) -> dict[str, str]:
        """Return the environment in which the pages are checked."""
        return {**clean_environment(), "SQL_SNIPPETS_CACHE_DIR": str(cache or self.cache)}

    def command(self, *arguments: str) -> list[str]:
        """Return the command that checks the pages."""
        # Hypothesis is there for the tests of this project; its plugin imports all of it at the end
        # of every run, which a project without it does not wait for.
        plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return [sys.executable, "-m", "pytest", "-q", *plugins, *arguments]

    def run(self, *arguments: str, expects: str = "", cache: Path | None = None) -> Ended:
        """Check to the end; anything but success stops the benchmark."""
        return run_measured(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(cache),
            expects=expects,
        )

    def first_verdict(self, *arguments: str, cache: Path | None = None) -> float:
        """Return the seconds until the first block has passed."""
        return seconds_until(
            " PASSED",
            self.command("docs", "-vv", *arguments),
            cwd=self.folder,
            env=self.environment(cache),
        )
