"""What all items share: a place on a page, and how they are set up and shown."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sql_snippets.model import Location, Trial
from sql_snippets.pytest_plugin.claims import draw, failures_of, frames_of_the_project
from sql_snippets.pytest_plugin.databases import in_one_sentence
from sql_snippets.pytest_plugin.kept import key_for
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import ItemWithFixtures, python_of
from sql_snippets.results.report import Entry, Kind, Verdict

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import pytest
    from _pytest._code.code import TerminalRepr, Traceback

    from sql_snippets.database.databases import Database
    from sql_snippets.database.workplace import Workplace
    from sql_snippets.results.rewrite import CellEdit, Edit
    from sql_snippets.results.verdicts import Kept
    from sql_snippets.settings import Settings


@dataclass(slots=True)
class Attempt:
    """One check of an item: what it is to use, and what came of it.

    ``substitutes`` stand in for fixtures.  ``just_before`` is called when the incident is there and
    the blocks before have run.
    """

    substitutes: dict[str, Any] = field(default_factory=dict)
    just_before: Callable[[Database], None] = lambda _: None
    trial: Trial = field(default_factory=Trial)
    edits: list[Edit | CellEdit] = field(default_factory=list)
    output_differs: bool = False


def pytest_command(folder: Path) -> list[str]:
    """Return what starts this environment's pytest in ``folder``, whether it is activated or not.

    A program below the folder is named as such: what started this run may have set its own PATH.
    """
    program = Path(sys.executable).with_name("pytest")
    if not program.exists():
        return [sys.executable, "-m", "pytest"]
    if program.is_relative_to(folder):
        return [str(program.relative_to(folder))]
    return ["pytest" if shutil.which("pytest") == str(program) else str(program)]


class SqlItem(ItemWithFixtures):
    """Something that a page says, at the place where it says it."""

    kind: Kind

    def __init__(
        self, *, place: Location, root: Path, on_page: str, section: str = "", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.place = place
        self.on_page = on_page
        self.root = root
        self.section = section
        self.attempt = Attempt()
        self.kept: Kept | None = None
        self.key: str | None = None
        self.user_properties += [("id", self.item_id), ("file", place.path), ("line", place.line)]

    @property
    def item_id(self) -> str:
        """What the item is called in reports and on the site: by its page's place in the site."""
        return "::".join(filter(None, (self.on_page, self.section, self.name)))

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return run_of(self.config).settings

    @property
    def workplace(self) -> Workplace:
        """The databases of this process."""
        return run_of(self.config).workplace

    def fixture(self, name: str) -> Any:
        """Return the value of a fixture, or of what stands in for it."""
        if name in self.attempt.substitutes:
            return self.attempt.substitutes[name]
        return super().fixture(name)

    def texts(self) -> Iterable[str] | None:
        """Return the SQL that is run, None when no database is asked."""
        return None

    def scenario_name(self) -> str | None:
        """Return the fixture that produces the incident, if there is to be one."""
        return None

    def subject(self) -> object | None:
        """Return what of the page the verdict rests on; None when no verdict is kept."""
        return None

    def prepare(self) -> None:
        """Open what is needed, so that its errors are shown as those of the set-up."""
        with in_one_sentence():
            self.workplace.open()

    def setup(self) -> None:
        """Find the verdict of an earlier run, or take the turn and set everything up."""
        subject = self.subject()
        self.key = (
            None if subject is None else key_for(self, self.item_id, subject, self.scenario_name())
        )
        self.kept = run_of(self.config).verdicts.find(self.key) if self.key is not None else None
        if self.kept is not None:
            return
        texts = self.texts()
        if texts is not None and self.workplace.is_shared:
            name = self.scenario_name()
            python = python_of(self, (), *([name] if name else []))
            with in_one_sentence():
                self.workplace.begin(None if python is None else "\n".join([*texts, python]))
        self.fill_fixtures()
        if texts is not None:
            self.prepare()

    def runtest(self) -> None:
        """Check, unless that was done and nothing has changed since."""
        if self.kept is None:
            self.check()

    def check(self) -> None:
        """Check what the page says; raise ClaimsFailed when it is not true."""
        run_of(self.config).check(self)

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the texts whose names say what the verdict depends on."""
        return self.texts()

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Name the Markdown file and line; pytest counts lines from 0."""
        title = f"{self.place.path}:{self.place.line} {self.name}"
        return self.root / self.place.path, self.place.line - 1, title

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """Draw what is wrong on the author's lines; leave other errors to pytest."""
        failures = failures_of(excinfo.value, self.place)
        if not failures:
            return super().repr_failure(excinfo, style)
        return draw(failures, self.root, self._ways_on())

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
        return frames_of_the_project(excinfo)

    def _ways_on(self) -> str:
        command = [*pytest_command(self.config.invocation_params.dir), self.nodeid]
        server = self.config.getoption("sql_server")
        # A URL may hold a password, and what is printed ends up in logs.
        if server and "://" not in server:
            command += ["--sql-server", server]
        lines = [f"re-run: {shlex.join(command)}"]
        if self.attempt.output_differs:
            lines.append(f"accept: {shlex.join([*command, '--sql-update'])}")
        return "\n".join(lines)

    def entry(self, verdict: Verdict, reason: str | None) -> Entry:
        """Return what the report says about this item."""
        return Entry(
            id=self.item_id,
            nodeid=self.nodeid,
            page=self.on_page,
            file=self.place.path,
            section=self.section,
            name=self.name,
            line=self.place.line,
            kind=self.kind,
            verdict=verdict,
            seconds=round(self.attempt.trial.seconds, 6),
            reason=reason,
        )
