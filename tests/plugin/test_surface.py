"""What others may rely on: the page for authors lists it, all of it and nothing else."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import sql_snippets
from sql_snippets import cli, pytest_plugin
from sql_snippets.mkdocs_plugin import SqlSnippetsConfig
from sql_snippets.reading import directives
from sql_snippets.results.report import FORMAT

GUIDE = Path(__file__).parents[2] / "docs" / "authors-guide.md"


class _Parser:
    """Notes what a plugin declares, in the place of pytest's own parser."""

    def __init__(self) -> None:
        self.options: set[str] = set()
        self.settings: set[str] = set()

    def getgroup(self, *_: str) -> _Parser:
        return self

    def addoption(self, name: str, **_: Any) -> None:
        self.options.add(name)

    def addini(self, name: str, *_: Any, **__: Any) -> None:
        self.settings.add(name)


def _documented() -> dict[str, set[str]]:
    section = GUIDE.read_text(encoding="utf-8").partition("## What you may rely on\n")[2]
    (listed,) = re.findall(r"```text\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    found: dict[str, set[str]] = {}
    label = ""
    for line in listed.splitlines():
        start, _, words = line.partition("  ")
        label = start or label
        found.setdefault(label, set()).update(words.split())
    return found


def _commands(capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    return set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE))


def test_the_page_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    parser = _Parser()
    pytest_plugin.pytest_addoption(parser)  # type: ignore[arg-type]  # what it uses of one
    words = (
        *directives.BLOCK_WORDS,
        *directives.TABLE_WORDS,
        *directives.HEADING_WORDS,
        *directives.PAGE_WORDS,
        *directives.OTHER_WORDS,
        "fill.NAME",
    )
    assert _documented() == {
        "Python": {f"sql_snippets.{name}" for name in sql_snippets.__all__},
        "Fixtures": {name for name in pytest_plugin.__all__ if not name.startswith("pytest_")},
        "Options": parser.options,
        "Settings": parser.settings,
        "MkDocs": set(SqlSnippetsConfig()),
        "Commands": _commands(capsys),
        "Words": set(words),
        "Report": {"format", str(FORMAT)},
    }


def test_python_names_are_there_and_no_others() -> None:
    public = {name for name in dir(sql_snippets) if name[0].isalpha()}
    modules = {path.stem for path in Path(sql_snippets.__file__).parent.iterdir()}
    assert public - modules - {"TYPE_CHECKING", "annotations"} <= set(sql_snippets.__all__)
    for name in sql_snippets.__all__:
        assert getattr(sql_snippets, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = sql_snippets.Nothing  # type: ignore[attr-defined]


def test_entry_points_have_the_name_of_the_package() -> None:
    groups = ("console_scripts", "pytest11", "mkdocs.plugins")
    found = {
        (group, entry.name)
        for group in groups
        for entry in entry_points(group=group)
        if entry.value.startswith("sql_snippets.")
    }
    assert found == set(zip(groups, ("sql-snippets", "sql_snippets", "sql-snippets"), strict=True))
