"""Check again what an author has just saved, so that the open page shows the new verdicts.

Runs beside the server of the site and ends with it.  The server shows by itself what a new report
says, so all that is done here is to run the checks and to bring the report up to date: a page alone
when only a page was saved, everything when the database may differ.  The terminal gets one line for
each of them, and what failed in full.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.tasks.common import HOST, REPORT, ROOT, say
from scripts.tasks.live_check import LiveCheck, changed_statements
from sql_snippets.results.underway import underway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from sql_snippets.sqltext.lexer import Statement

PAGES = "docs"
_WATCHED = (
    (PAGES, (".md", ".sql")),
    ("supabase", (".sql",)),
    ("tests/sql_snippets", (".sql", ".py")),
)
_LOOK_SECONDS = 0.05
# An editor that saves several files, or one in two steps, is waited for.
_QUIET_SECONDS = 0.1
# How many failures a run of the checks looks for the migration of, and how it begins to say so.
_MOST_BLAMED = 3
_BLAME = "= migration: "
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


def look(root: Path) -> Times:
    """Return the time of the last change of every watched file."""
    found: Times = {}
    for folder, endings in _WATCHED:
        for path in (root / folder).rglob("*"):
            if path.suffix in endings:
                try:
                    found[path] = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue  # it has just gone, which the next look will see
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


def affected(
    changed: Iterable[Path], root: Path, report: Mapping[str, Any] | None = None
) -> list[str]:
    """Return what to check again, as pytest is to be told.

    All the verdicts in the ``report`` are old after checks that came to none, and some are missing
    after a check of everything that was given up.
    """
    pages: list[str] = []
    if report is not None and (report.get("check_error") or not report.get("complete", True)):
        return [PAGES]
    for path in changed:
        name = path.relative_to(root).as_posix()
        if not name.startswith(f"{PAGES}/") or path.suffix != ".md":
            return [PAGES]
        if path.exists():
            pages.append(name)
    return sorted(pages)


def merge(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], pages: list[str]
) -> dict[str, Any]:
    """Return the report of everything, after ``pages`` were checked again.

    Verdicts on another database are not kept beside new ones: they are no verdicts any more.  Where
    nothing asked for a database, as on a page without SQL, it is still the same.
    """
    if PAGES in pages or old is None or old["format"] != new["format"]:
        return dict(new)
    if new["recipe"] is None:
        names = ("server", "migration_head", "recipe", "database_error")
        facts = {name: old[name] for name in names}
        new = {**new, **facts}
    if old["recipe"] != new["recipe"]:
        return dict(new)
    kept = [
        {**item, "cached": True, "checked": item["checked"] or old["created"]}
        for item in old["items"]
        if item["page"] not in pages
    ]
    items = sorted([*kept, *new["items"]], key=lambda item: (item["page"], item["line"]))
    return {**new, "items": items, "complete": old.get("complete", True)}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report


def _write(path: Path, report: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


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


def _pytest(arguments: list[str], plugins: list[object], said: int) -> None:
    # So that it can be interrupted even where this was started in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(said, sys.stdout.fileno())
    os.dup2(said, sys.stderr.fileno())
    pytest.main(arguments, plugins=plugins)


def _run_pytest(
    arguments: list[str], plugins: list[object], said: int, is_outdated: Callable[[], bool]
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
        target=_pytest, args=(arguments, [_Calm(), *plugins], said)
    )
    child.start()
    while child.is_alive():
        child.join(_LOOK_SECONDS)
        if child.pid is not None and child.is_alive() and is_outdated():
            os.kill(child.pid, signal.SIGINT)
            child.join()
            return False
    return True


def check(
    pages: list[str],
    changed: list[Statement],
    is_outdated: Callable[[], bool],
) -> bool:
    """Run the checks of ``pages`` and bring the report up to date.

    Returns whether they came to their end.  When everything is checked, the report says all the
    time what is known so far; ``changed`` are the statements that decide what comes first.
    """
    plugins: list[object] = [LiveCheck(REPORT, changed)] if PAGES in pages else []
    # Whoever waits for the verdicts is told later which migration broke what failed since.
    ended, new, text = _checked(pages, ["--sql-no-blame"], plugins, is_outdated)
    if not ended:
        return False
    if text.strip():
        print(text.rstrip(), flush=True)
    names = ", ".join(pages)
    if new is None:
        say(f"{names}: the checks came to no verdict (see above)")
        if old := _read(REPORT):
            _write(
                REPORT, {**old, "check_error": _COLOR.sub("", text).strip() or "no reason given"}
            )
        return True
    _write(REPORT, merge(_read(REPORT), new, pages))
    say(f"{names}: {count(new['items'])}")
    if PAGES in pages:
        _name_migrations(new, is_outdated)
    return True


def _checked(
    what: list[str],
    options: list[str],
    plugins: list[object],
    is_outdated: Callable[[], bool],
) -> tuple[bool, dict[str, Any] | None, str]:
    """Return whether a check came to its end, its report if it wrote one, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        report, said = Path(folder) / "report.json", Path(folder) / "said"
        with said.open("wb") as output:
            arguments = [*what, "--sql-report", str(report), *options]
            ended = _run_pytest(arguments, plugins, output.fileno(), is_outdated)
        return ended, _read(report), said.read_text(encoding="utf-8", errors="replace")


def count(items: Iterable[Mapping[str, Any]]) -> str:
    """Say how many items have which verdict."""
    verdicts = [item["verdict"] for item in items]
    words = {"failed": "FAILED", "passed": "passed", "skipped": "skipped"}
    found = [f"{verdicts.count(key)} {word}" for key, word in words.items() if key in verdicts]
    return ", ".join(found) or "nothing to check"


def _name_migrations(checked: Mapping[str, Any], is_outdated: Callable[[], bool]) -> None:
    """Say of the first that failed which migration broke them, here and in the report.

    That builds the database once more for each migration; a check says it of no more than these.
    """
    failed = [item["id"] for item in checked["items"] if item["verdict"] == "failed"][:_MOST_BLAMED]
    if not failed or checked["database_error"] is not None:
        return
    ended, new, _ = _checked(failed, [], [], is_outdated)
    old = _read(REPORT)
    if not ended or new is None or old is None:
        return
    named = {item["id"]: item for item in new["items"] if _BLAME in (item["drawn"] or "")}
    _write(REPORT, {**old, "items": [named.get(item["id"], item) for item in old["items"]]})
    for item in named.values():
        said = item["drawn"].partition(_BLAME)[2].partition("\n")[0]
        say(f"{item['page']}:{item['line']} {item['name']}: {said}")


def watch(parent: int, port: int = 0, checked: int = 1) -> None:
    """Look until the server, which is the process that started this, has gone.

    With a ``port`` it is said when the server answers there.  Everything is checked first where the
    check before did not come to its end.
    """
    times = look(ROOT)
    seen = Seen(times if checked else {}, _read_sql(times))
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in _NEEDED:
        import_module(name)
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
        if port and _answers(port):
            say(f"Serving on http://{HOST}:{port}/ (Ctrl-C ends it)")
            port = 0
        now = look(ROOT)
        if not seen.files_to_check(now):
            continue
        with underway(REPORT):
            now = _settled(now)
            texts = _read_sql(now)
            pages = affected(seen.files_to_check(now), ROOT, _read(REPORT))
            changed = seen.statements_to_check(texts)
            if not pages or check(pages, changed, partial(_is_outdated, now, parent)):
                seen = Seen(now, texts)
            else:
                seen.give_up(now, texts)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), _LOOK_SECONDS):
        return True
    return False


def _settled(now: Times) -> Times:
    while True:
        time.sleep(_QUIET_SECONDS)
        if (later := look(ROOT)) == now:
            return now
        now = later


def _is_outdated(times: Times, parent: int) -> bool:
    return os.getppid() != parent or look(ROOT) != times


def _read_sql(times: Times) -> dict[Path, str]:
    """Return the texts of what the database is made of; a file that has just gone has none."""
    texts = {}
    for path in times:
        if path.suffix == ".sql":
            with suppress(OSError):
                texts[path] = path.read_text(encoding="utf-8", errors="replace")
    return texts


if __name__ == "__main__":
    try:
        watch(*map(int, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
