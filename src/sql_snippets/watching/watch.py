"""Check again what an author has just saved, so that the open page shows the new verdicts.

Runs beside the server of the site.  The server shows by itself what a new report says, so all that
is done here is to run the checks and to bring the report up to date: a page alone when only a page
was saved, everything when the database may differ.  The terminal gets one line for each of them,
and what failed in full.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.database.recipes import Command, RecipeError
from sql_snippets.mkdocs_site import is_page, load_site
from sql_snippets.project import present_settings
from sql_snippets.reading.site import SiteError
from sql_snippets.results.report import (
    DEFAULT_PATH,
    IN_ORDER,
    Report,
    ReportError,
    Verdict,
    read_report,
    write_report,
)
from sql_snippets.results.underway import underway
from sql_snippets.watching.live_check import LiveCheck, changed_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from sql_snippets.reading.site import Site
    from sql_snippets.results.report import Entry
    from sql_snippets.sqltext.lexer import Statement

_LOOK_SECONDS = 0.05
# An editor that saves several files, or one in two steps, is waited for.
_QUIET_SECONDS = 0.1
# How many failures a run of the checks looks for the migration of.
_MOST_BLAMED = 3
# What a check imports when it needs it, and would have to import each time.
_NEEDED = (
    "sql_snippets.blame",
    "sql_snippets.checking",
    "sql_snippets.pytest_plugin.opening",
    "sql_snippets.reading.pages",
)

# How a terminal is told to colour what follows.
_COLOR = re.compile(r"\x1b\[[0-9;]*m")

Times = dict[Path, int]


@dataclass(frozen=True, slots=True)
class Place:
    """What is watched: a site, the report of its pages, and what else their verdicts rest on.

    ``made_from`` are the files and folders that the database is made from, ``also`` others that
    the checks use, such as the fixtures of incidents.
    """

    site: Site
    report: Path
    made_from: tuple[Path | Command, ...] = ()
    also: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: Path | None, report: Path | None, also: Iterable[Path]) -> Place:
        """Return the place of a site, of the one here if none is named.

        Raises SiteError, ProjectError and SettingsError.
        """
        site = load_site(Path.cwd(), config)
        settings = present_settings(site.root)
        folder = site.config_path.parent if site.config_path else site.root
        made_from = (settings.platform, settings.migrations, settings.seed)
        return cls(
            site=site,
            report=report.absolute() if report else folder / DEFAULT_PATH,
            made_from=tuple(each for each in made_from if each is not None),
            also=(site.root / "conftest.py", *(path.resolve() for path in also)),
        )

    @property
    def everything(self) -> str:
        """What pytest is told to check all pages."""
        return os.path.relpath(self.site.docs_dir, self.site.root)

    def files(self) -> Iterator[Path]:
        """Yield the files that a verdict may rest on."""
        if self.site.config_path is not None:
            yield self.site.config_path
        for path in _below(self.site.docs_dir):
            if is_page(path) or path.suffix == ".sql":
                yield path
        for source in self.made_from:
            if isinstance(source, Command):
                # A pattern that names no file is said by the checks.
                with suppress(RecipeError):
                    yield from source.files()
            else:
                yield from (path for path in _below(source) if path.suffix == ".sql")
        for source in self.also:
            yield from (path for path in _below(source) if path.suffix in {".py", ".sql"})


def _below(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    # As MkDocs looks for pages.
    walk = os.walk(path, followlinks=True)
    return (Path(folder, name) for folder, _, names in walk for name in names)


def times_of(place: Place) -> Times:
    """Return the time of the last change of every watched file."""
    found: Times = {}
    for path in place.files():
        with suppress(FileNotFoundError):  # one that has just gone is seen the next time
            found[path] = path.stat().st_mtime_ns
    return found


def differences(before: Times, after: Times) -> set[Path]:
    """Return the files that were changed, made or removed."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@dataclass
class Seen:
    """What the last check that came to its end was of, and what was begun and given up since.

    A file that is again as it was then has to be checked too: the report may already say what the
    given up check found of it.
    """

    times: Times
    texts: dict[Path, str]
    _given_up: set[Path] = field(default_factory=set)
    _statements: list[Statement] = field(default_factory=list)

    def files_to_check(self, now: Times) -> set[Path]:
        """Return the files that may not be now what the report is of."""
        return differences(self.times, now) | self._given_up

    def statements_to_check(self, texts: dict[Path, str]) -> list[Statement]:
        """Return the statements that decide what comes first."""
        return [*changed_statements(self.texts, texts), *self._statements]

    def give_up(self, now: Times, texts: dict[Path, str]) -> None:
        """Remember what a check was of that did not come to its end."""
        self._given_up = self.files_to_check(now)
        self._statements = self.statements_to_check(texts)


def affected(changed: Iterable[Path], place: Place, report: Report | None = None) -> list[str]:
    """Return what to check again, as pytest is to be told: pages by themselves, else everything.

    All the verdicts in the ``report`` are old after checks that came to none, and some are missing
    after a check of everything that was given up.
    """
    everything = [place.everything]
    if report is not None and (report.check_error or not report.complete):
        return everything
    try:
        site = load_site(place.site.root, place.site.config_path)
    except SiteError:  # said by the checks
        return everything
    # A page that is gone, or that the site leaves out, may be a part of others.
    if any(site.place_of(path) is None for path in changed):
        return everything
    return sorted(map(site.name_of, changed))


def merge(old: Report | None, new: Report, pages: list[str]) -> Report:
    """Return the report of everything, after ``pages`` were checked again.

    Verdicts on another database are not kept beside new ones: they are no verdicts any more.  Where
    nothing asked for a database, as on a page without SQL, it is still the same.
    """
    if old is None:
        return new
    if new.recipe is None:
        new = replace(
            new,
            server=old.server,
            migration_head=old.migration_head,
            recipe=old.recipe,
            database_error=old.database_error,
        )
    if old.recipe != new.recipe:
        return new
    kept = [
        replace(entry, cached=True, checked=entry.checked or old.created)
        for entry in old.items
        if entry.page not in pages
    ]
    items = tuple(sorted([*kept, *new.items], key=IN_ORDER))
    return replace(new, items=items, complete=old.complete)


def _read(path: Path) -> Report | None:
    with suppress(ReportError):
        return read_report(path)
    return None


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)  # noqa: T201 - what it says is what it is for


class _Calm:
    """A plugin of pytest that shows no progress, as a check is over soon or is not wanted."""

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], Any]:
        category, *_ = yield
        return category, "", ""


_CALM = (
    *("-qq", "--no-header", "-rN", "-o", "console_output_style=classic"),
    *("-p", "no:sql_snippets_summary"),
)


def _pytest(root: Path, arguments: list[str], plugins: list[object], said: int) -> None:
    # So that it can be interrupted even where this was started in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(said, sys.stdout.fileno())
    os.dup2(said, sys.stderr.fileno())
    os.chdir(root)
    pytest.main(arguments, plugins=plugins)


def _run_pytest(
    root: Path,
    arguments: list[str],
    plugins: list[object],
    said: int,
    is_outdated: Callable[[], bool],
) -> bool:
    """Run it in a fork of this process, which has imported what takes longest to import.

    What belongs to the project, its scenarios above all, is imported in the fork, as it is then.
    Assertions stay plain because the imported modules cannot be rewritten any more.  No block is
    tested with Hypothesis, whose plugin imports all of it to say so at the end.

    Returns whether it came to its end: it is interrupted when what it checks is outdated.  What it
    says goes to the file with the descriptor ``said``.
    """
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    arguments = ["--assert=plain", "-p", "no:hypothesispytest", color, *_CALM, *arguments]
    child = multiprocessing.get_context("fork").Process(
        target=_pytest, args=(root, arguments, [_Calm(), *plugins], said)
    )
    child.start()
    while child.is_alive():
        child.join(_LOOK_SECONDS)
        if child.pid is not None and child.is_alive() and is_outdated():
            os.kill(child.pid, signal.SIGINT)
            child.join()
            return False
    return True


def check_pages(
    place: Place, pages: list[str], changed: list[Statement], is_outdated: Callable[[], bool]
) -> bool:
    """Run the checks of ``pages`` and bring the report up to date.

    Returns whether they came to their end.  When everything is checked, the report says all the
    time what is known so far; ``changed`` are the statements that decide what comes first.
    """
    is_all = place.everything in pages
    plugins: list[object] = [LiveCheck(place.report, changed)] if is_all else []
    # Whoever waits for the verdicts is told later which migration broke what failed since.
    ended, new, text = _checked(place, [*pages, "--sql-no-blame"], plugins, is_outdated)
    if not ended:
        return False
    if text.strip():
        print(text.rstrip(), flush=True)  # noqa: T201 - what failed is shown in full
    names, old = ", ".join(pages), _read(place.report)
    if new is None:
        _say(f"{names}: the checks gave no verdict (see above)")
        if old is not None:
            why = _COLOR.sub("", text).strip() or "no reason given"
            write_report(replace(old, check_error=why), place.report)
        return True
    write_report(new if is_all else merge(old, new, pages), place.report)
    _say(f"{names}: {count(new.items)}")
    if is_all:
        _name_migrations(place, new, is_outdated)
    return True


def _checked(
    place: Place, arguments: list[str], plugins: list[object], is_outdated: Callable[[], bool]
) -> tuple[bool, Report | None, str]:
    """Return whether a check came to its end, its report if it wrote one, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        report, said = Path(folder) / "report.json", Path(folder) / "said"
        with said.open("wb") as output:
            arguments = [*arguments, "--sql-report", str(report)]
            ended = _run_pytest(place.site.root, arguments, plugins, output.fileno(), is_outdated)
        return ended, _read(report), said.read_text(encoding="utf-8", errors="replace")


def count(items: Iterable[Entry]) -> str:
    """Say how many items have which verdict."""
    verdicts = [item.verdict for item in items]
    words = {Verdict.FAILED: "FAILED", Verdict.PASSED: "passed", Verdict.SKIPPED: "skipped"}
    found = [f"{verdicts.count(key)} {word}" for key, word in words.items() if key in verdicts]
    return ", ".join(found) or "nothing to check"


def _name_migrations(place: Place, checked: Report, is_outdated: Callable[[], bool]) -> None:
    """Say of the first that failed which migration broke them, here and in the report.

    That builds the database once more for each migration; a check says it of no more than these.
    """
    failed = [item.nodeid for item in checked.items if item.verdict is Verdict.FAILED]
    if not failed or checked.database_error is not None:
        return
    ended, new, _ = _checked(place, failed[:_MOST_BLAMED], [], is_outdated)
    old = _read(place.report)
    if not ended or new is None or old is None:
        return
    named = {item.id: item for item in new.items if item.migration is not None}
    items = tuple(named.get(item.id, item) for item in old.items)
    write_report(replace(old, items=items), place.report)
    for item in named.values():
        _say(f"{item.page}:{item.line} {item.name}: {item.migration}")


def watch(place: Place, *, from_now: bool = False, beside: int | None = None) -> None:
    """Check everything, and again what is saved, until interrupted.

    ``from_now`` takes the report for what there is and begins with what is saved next.  With the
    number of a process ``beside`` it ends when that is no longer what started this.
    """
    parent = os.getppid() if beside is None else beside
    times = times_of(place)
    seen = Seen(times, _read_sql(times)) if from_now else Seen({}, _read_sql(times))
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in _NEEDED:
        import_module(name)
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
        now = times_of(place)
        if not seen.files_to_check(now):
            continue
        with underway(place.report):
            now = _settled(place, now)
            texts = _read_sql(now)
            pages = affected(seen.files_to_check(now), place, _read(place.report))
            changed = seen.statements_to_check(texts)
            outdated = partial(_is_outdated, place, now, parent)
            if not pages or check_pages(place, pages, changed, outdated):
                seen = Seen(now, texts)
            else:
                seen.give_up(now, texts)


def _settled(place: Place, now: Times) -> Times:
    while True:
        time.sleep(_QUIET_SECONDS)
        if (later := times_of(place)) == now:
            return now
        now = later


def _is_outdated(place: Place, times: Times, parent: int) -> bool:
    return os.getppid() != parent or times_of(place) != times


def _read_sql(times: Times) -> dict[Path, str]:
    """Return the texts of what the database is made of; a file that has just gone has none."""
    texts = {}
    for path in times:
        if path.suffix == ".sql":
            with suppress(OSError):
                texts[path] = path.read_text(encoding="utf-8", errors="replace")
    return texts
