"""The files of a little project, and how a test changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

ROLE = """\
do $$ begin
  if not exists (select from pg_roles where rolname = 'postgres') then
    create role postgres login;
  end if;
  execute format('alter database %I owner to postgres', current_database());
end $$;
"""
# What the environment of the outside may hold that changes a run.
OUTSIDE = ("CI", "GITHUB_ACTIONS", "SQL_SNIPPETS_SERVER")
# Importing Hypothesis takes a process as long as checking a little project.
ADDOPTS = "-p no:hypothesispytest"
PROJECT = {
    "mkdocs.yml": "site_name: Orders\nmarkdown_extensions: [pymdownx.superfences]\n",
    "pytest.ini": (
        "[pytest]\naddopts = -ra --strict-config --strict-markers\nfilterwarnings = error\n"
        "sql_platform = platform\nsql_migrations = migrations\n"
    ),
    "platform/1_role.sql": ROLE,
}


def write(project: pytest.Pytester, name: str, text: str) -> Path:
    """Write a file as it is, its line endings too."""
    path = project.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def write_files(project: pytest.Pytester, files: Mapping[str, str]) -> None:
    """Write several files."""
    for name, text in files.items():
        write(project, name, text)


def change(project: pytest.Pytester, name: str, old: str, new: str) -> None:
    """Replace what stands in a file once."""
    path = project.path / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (old, text.count(old))
    path.write_text(text.replace(old, new), encoding="utf-8")
