"""Which test runs which line of the checker, as a run of all its tests has shown."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import coverage

from scripts.tasks.common import CACHE, VENV_PYTHON, TaskError, environment, say
from scripts.tasks.mutant_run import events_in, tree_environment
from scripts.tasks.mutant_trace import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SOURCE = "src/sql_snippets"
TESTS = "tests/plugin"
_RAN_ALL = (0, 1)  # of pytest: all passed, some failed
_STARTS_WITH_EACH_PYTHON = "import coverage\n\ncoverage.process_startup()\n"
_CONFIGURATION = """\
[run]
include = {source}/*
data_file = {data}
parallel = true
sigterm = true
context = ${{{variable}-}}
disable_warnings = no-data-collected, module-not-measured
"""


@dataclass(frozen=True, slots=True)
class Lines:
    """How long each test takes, and of each line of each file the tests that run it."""

    seconds: dict[str, float]
    tests: dict[str, dict[int, list[str]]]

    def covering(self, path: str, lines: Iterable[int], at_most: float) -> list[str]:
        """Return the tests that run one of the lines, as many as fit into ``at_most`` seconds.

        The quickest first: most of what is noticed is noticed by one of them.  What runs while a
        file is imported is run by no test, and any of those that run some of the file will do.
        """
        of_file = self.tests.get(path, {})
        found = {test for line in lines for test in of_file.get(line, ())}
        found = found or {test for tests in of_file.values() for test in tests}
        chosen: list[str] = []
        left = at_most
        for test in sorted(found, key=lambda test: (self.seconds.get(test, 0), test)):
            left -= self.seconds.get(test, 0)
            if left < 0:
                break
            chosen.append(test)
        return chosen


def recorded(tree: Path) -> Lines:
    """Return what is known of the sources and tests as they are; run all tests if it is not."""
    kept = CACHE / "mutants" / f"lines-{_digest(tree)}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob("lines-*.json"):
            old.unlink()
        kept.write_text(json.dumps(_record(tree)), encoding="utf-8")
    values = json.loads(kept.read_text(encoding="utf-8"))
    names: list[str] = values["names"]
    return Lines(
        values["seconds"],
        {
            path: {int(line): [names[each] for each in tests] for line, tests in lines.items()}
            for path, lines in values["lines"].items()
        },
    )


def _digest(tree: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(path for name in (SOURCE, TESTS) for path in (tree / name).rglob("*.py"))
    for path in files:
        digest.update(str(path.relative_to(tree)).encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _record(tree: Path) -> dict[str, object]:
    say(f"Noting down which test of {TESTS} runs which line, which takes some minutes")
    folder = tree / ".cache" / "trace"
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(_STARTS_WITH_EACH_PYTHON, encoding="utf-8")
    configuration, data = folder / "coveragerc", folder / "data"
    configuration.write_text(
        _CONFIGURATION.format(source=tree / SOURCE, data=data, variable=VARIABLE), encoding="utf-8"
    )
    env = tree_environment(tree)
    status = subprocess.run(
        [
            *(VENV_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS),
            *("-p", "scripts.tasks.mutant_watch", "-p", "scripts.tasks.mutant_trace"),
        ],
        cwd=tree,
        env={
            **environment(),
            **env,
            "PYTHONPATH": os.pathsep.join((str(folder), env["PYTHONPATH"])),
            "COVERAGE_PROCESS_START": str(configuration),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode
    # A part of the tests would be asked, and what the others notice would count as not noticed.
    if status not in _RAN_ALL:
        raise TaskError(f"The run of {TESTS} ended with status {status}, before its last test.")
    whole = coverage.Coverage(data_file=str(data), config_file=str(configuration))
    whole.combine([str(folder)])
    return _values(whole.get_data(), tree, _seconds(events_in(tree)))


def _seconds(events: Sequence[dict[str, object]]) -> dict[str, float]:
    began: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for event in events:
        test, at = str(event["test"]), float(str(event["at"]))
        if event["event"] == "began":
            began[test] = at
        elif event["event"] == "ended":
            seconds[test] = at - began.get(test, at)
    return seconds


def _values(
    data: coverage.CoverageData, tree: Path, seconds: dict[str, float]
) -> dict[str, object]:
    places = {test: place for place, test in enumerate(sorted(seconds))}
    lines: dict[str, dict[int, list[int]]] = {}
    for file in data.measured_files():
        path = file.removeprefix(f"{tree}/")
        of_file = lines.setdefault(path, {})
        for line, contexts in data.contexts_by_lineno(file).items():
            # A process that has a test from its start joins it to none, or to the one within.
            tests = {part for context in contexts for part in context.split("|") if part in places}
            if tests:
                of_file[line] = sorted(places[test] for test in tests)
    return {"names": sorted(seconds), "seconds": seconds, "lines": lines}
