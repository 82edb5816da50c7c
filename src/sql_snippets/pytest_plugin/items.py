"""What all items share: a place on a page, and how they are set up and shown."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from sql_snippets.database.ground import Incident
from sql_snippets.model import (
    Failure,
    Location,
    Page,
    PagePart,
    Scenario,
    Snippet,
    Trial,
    id_of,
)
from sql_snippets.pytest_plugin.claims import (
    ClaimsFailed,
    drawn,
    failures_of,
    frames_of_the_project,
)
from sql_snippets.pytest_plugin.databases import in_one_sentence
from sql_snippets.pytest_plugin.kept import key_for
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.pytest_plugin.with_fixtures import ItemWithFixtures, python_of
from sql_snippets.results.report import Entry, ItemKind, Verdict
from sql_snippets.results.rewrite import Edit, edit_of
from sql_snippets.sqltext.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _pytest._code.code import TerminalRepr, Traceback

    from sql_snippets.checking import Subject
    from sql_snippets.database.ground import Ground
    from sql_snippets.database.workplace import Workplace
    from sql_snippets.results.verdicts import Kept
    from sql_snippets.running.execute import JustBefore
    from sql_snippets.settings import Settings


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

    kind: ItemKind

    def __init__(
        self,
        *,
        root: Path,
        on_page: str,
        part: PagePart | Page | None = None,
        place: Location | None = None,
        section: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.part = part
        if part is not None and not isinstance(part, Page):
            place, section = place or part.location, part.section
        self.place = place or Location(on_page, 1)
        self.section = section
        self.on_page = on_page
        self.root = root
        self.trial = Trial()
        self.edits: list[Edit] = []
        self.kept: Kept | None = None
        self.key: str | None = None
        where = [("file", self.place.path), ("line", self.place.line)]
        self.user_properties += [("id", self.item_id), *where]
        if part is not None:
            self._leave_out(part)

    def _leave_out(self, part: PagePart | Page) -> None:
        """Skip what the page says is not run; what is wrong with it is told all the same."""
        if part.skipped is not None and not part.problems:
            self.add_marker(pytest.mark.skip(reason=part.skipped))

    @property
    def item_id(self) -> str:
        """What the item is called in reports and on the site: by its page's place in the site."""
        return id_of(self.on_page, self.section, self.name)

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return run_of(self.config).settings

    @property
    def workplace(self) -> Workplace:
        """The databases of this process."""
        return run_of(self.config).workplace

    def problems(self) -> Sequence[Failure]:
        """Return what was found wrong before anything could be run."""
        return self.part.problems if self.part is not None else ()

    def sql(self) -> Iterable[str]:
        """Return what is run beyond a look at the catalog."""
        return ()

    def texts(self) -> Iterable[str] | None:
        """Return the SQL that is run, None when no database is asked."""
        return None if self.part is None or self.problems() else self.sql()

    def scenario_name(self) -> str | None:
        """Return the fixture that produces the incident, if there is to be one."""
        return None

    def prepare(self) -> None:
        """Open what is needed, so that its errors are shown as those of the set-up."""
        name = self.scenario_name()
        if name is None:
            with in_one_sentence():
                _ = self.workplace.ground.shared
        elif self.has_fixture(name):
            self.fixture("sql_database")
            self.fixture(name)

    def setup(self) -> None:
        """Find the verdict of an earlier run, or take the turn and set everything up."""
        self.trial, self.edits = Trial(), []  # it may be run again
        if self.part is not None:
            self.key = key_for(self, self.item_id, self.part, self.scenario_name())
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
            with in_one_sentence():
                self.workplace.ground.renew()
            self.prepare()

    def runtest(self) -> None:
        """Check, unless that was done and nothing has changed since; raise ClaimsFailed."""
        if self.kept is not None:
            return
        if problems := self.problems():
            raise ClaimsFailed(problems)
        self.trial = self.check_on(self.workplace.ground, self._incident())
        if self.settings.update:
            fixes = dict.fromkeys(fix for each in self.trial.failures for fix in each.fixes)
            digests = run_of(self.config).digests
            edits = [edit_of(fix, self.root, digests) for fix in fixes]
            changing = self._changing() if edits else ()
            self.edits = [replace(edit, changing=changing) for edit in edits]
        if failures := self.standing(self.trial):
            raise ClaimsFailed(failures)

    def _changing(self) -> tuple[str, ...]:
        """Return the columns of what is written that will differ in the next run already."""
        from sql_snippets.judging.blocks import changing_columns  # noqa: PLC0415 - a run whose verdicts are all kept judges nothing

        if not isinstance(self.part, Snippet) or self.scenario_name() is not None:
            return ()
        again = self.check_on(self.workplace.ground, None)
        known = self.part.claims.volatile
        return tuple(name for name in changing_columns(self.trial, again) if name not in known)

    def check_on(
        self,
        ground: Ground,
        incident: Incident | None,
        just_before: JustBefore | None = None,
    ) -> Trial:
        """Check what the page says against databases, with the incident that was produced there."""
        # A run in which nothing has to be run does without psycopg and all that runs, which takes
        # as long to import as all else.
        from sql_snippets.checking import check  # noqa: PLC0415 - see above

        return check(self.subject(), self.settings.run_options, ground, incident, just_before)

    def standing(self, trial: Trial) -> Sequence[Failure]:
        """Return the failures of a check that are not accepted."""
        accepts = self.settings.update
        return [failure for failure in trial.failures if not (accepts and failure.fixes)]

    def subject(self) -> Subject:
        """Return what is checked: a part of the page, which says all of it but for names."""
        return cast("Subject", self.part)

    def _incident(self) -> Incident | None:
        """Return what the fixture of the scenario yields; `setup` has set it up."""
        name = self.scenario_name()
        if name is None:
            return None
        said_at = self.part.location if isinstance(self.part, Snippet) else self.place
        if not self.has_fixture(name):
            meant = did_you_mean(name, self.fixture_names())
            raise ClaimsFailed([Failure(said_at, f'there is no fixture "{name}"{meant}')])
        value = self.fixture(name)
        if not isinstance(value, Scenario):
            message = f'fixture "{name}" yields {type(value).__name__}, not a Scenario'
            raise ClaimsFailed([Failure(said_at, message)])
        return Incident(self.fixture("sql_database"), value)

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
        return drawn(failures, self.root, self._ways_on())

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
        return frames_of_the_project(excinfo)

    def _ways_on(self) -> str:
        here = self.config.invocation_params.dir
        page, _, name = self.nodeid.partition("::")
        again = f"{os.path.relpath(self.config.rootpath / page, here)}::{name}"
        command = [*pytest_command(here), again]
        server = self.config.getoption("sql_server")
        # A URL may hold a password, and what is printed ends up in logs.
        if server and "://" not in server:
            command += ["--sql-server", server]
        lines = [f"re-run: {shlex.join(command)}"]
        if not self.settings.update and any(failure.fixes for failure in self.trial.failures):
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
            seconds=round(self.trial.seconds, 6),
            reason=reason,
        )
