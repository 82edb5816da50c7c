"""Put one bug after the other into a copy of the project, and see which test notices it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scripts.tasks.common import CACHE, ROOT, VENV, VENV_PYTHON, TaskError, environment, say
from scripts.tasks.mutant_watch import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scripts.tasks.mutant import Mutant

Fate = Literal["noticed", "survived", "refused"]
OUT_OF_TIME = "the time ran out"

# Longer than any test but the slow ones, which are the last to be asked.
HANGS_SECONDS = 60.0
_GRACE_SECONDS = 15.0
# What a checkout has and git does not: the site's scripts, and the environment.
_BROUGHT = ("docs/assets/javascripts/vendor",)
_LINKED = (VENV, CACHE / "node")
_NO_TESTS = 5
_PREPARED = ".cache/sql-snippets"
_EVENTS = ".cache/events"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant, by which test or why not, and after how long."""

    fate: Fate
    by: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant that was tried, the line and the change of it, and what became of it."""

    mutant: Mutant
    line: int
    diff: str
    verdict: Verdict


def judged(
    events: Sequence[Mapping[str, object]], status: int | None, ended_at: float, refusal: str
) -> Verdict:
    """Return what a run of tests says of the mutant; the status of one that was ended is None.

    A bug that nothing can be made of, such as SQL that no server takes, is no bug that a test has
    to notice: ``refusal`` is what the first test then fails with, before it has begun.
    """
    failed = [event for event in events if event["event"] == "failed"]
    if failed:
        reason = str(failed[0]["reason"])
        if refusal and reason.startswith("setup:") and refusal in reason:
            return Verdict("refused", reason.strip().splitlines()[-1])
        return Verdict("noticed", str(failed[0]["test"]))
    if status is None:
        last = events[-1] if events else None
        if last and last["event"] == "began" and _since(last, ended_at) >= HANGS_SECONDS:
            return Verdict("noticed", f"{last['test']} (it does not end)")
        return Verdict("survived", OUT_OF_TIME)
    if status == 0:
        return Verdict("survived", "every test that was asked passed")
    if status == _NO_TESTS:
        raise TaskError("No test was asked about the mutant: none of the chosen files holds one.")
    return Verdict("noticed", f"pytest itself, which ended with status {status}")


def _since(event: Mapping[str, object], ended_at: float) -> float:
    at = event["at"]
    return ended_at - at if isinstance(at, float) else 0.0


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a copy of the working tree, outside of it; it goes when it is no longer needed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder, "tree")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        for name in _BROUGHT:
            shutil.copytree(ROOT / name, tree / name, dirs_exist_ok=True)
        for path in _LINKED:
            link = tree / path.relative_to(ROOT)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)
        yield tree


def tree_environment(tree: Path) -> dict[str, str]:
    """Return what makes a program of the environment use the code of the copy, and its cache."""
    return {
        "PYTHONPATH": os.pathsep.join((str(tree / "src"), str(tree))),
        "SQL_SNIPPETS_CACHE_DIR": str(tree / _PREPARED),
        VARIABLE: str(tree / _EVENTS),
    }


def events_in(tree: Path) -> list[dict[str, object]]:
    """Return what the last run of tests in the copy has written down."""
    path = tree / _EVENTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


@dataclass(slots=True)
class Trial:
    """The copy, and what is known of its tests without any bug in it."""

    tree: Path
    seconds: float
    refusal: str = ""
    # What is broken may write what the next run would read.
    own_cache: bool = False
    _sound: set[str] = field(default_factory=set)
    _unsound: set[str] = field(default_factory=set)
    _written: int = 0

    def tried(self, mutant: Mutant, tests: Sequence[str]) -> Tried:
        """Put the mutant in, ask the tests, and put it right again."""
        path = self.tree / mutant.path
        text = path.read_text(encoding="utf-8")
        if not tests:
            verdict = Verdict("survived", "no test runs this line")
            return Tried(mutant, mutant.line(text), mutant.diff(text), verdict)
        while True:
            self._write(path, mutant.applied(text))
            try:
                verdict = self._asked(tests)
            finally:
                self._write(path, text)
            if verdict.fate != "noticed" or self._passes_unharmed(verdict.by, tests):
                return Tried(mutant, mutant.line(text), mutant.diff(text), verdict)
            say(f"{verdict.by} fails in the copy without any mutant: it is not run again")

    def _passes_unharmed(self, test: str, tests: Sequence[str]) -> bool:
        """Whether the test that noticed says something: it passes where nothing is broken."""
        node = test.partition(" (it ")[0]
        if "::" not in node:
            return self._asked([*tests, "--collect-only"]).fate == "survived"
        if node not in self._sound | self._unsound:
            fate = self._asked([node]).fate
            (self._sound if fate == "survived" else self._unsound).add(node)
        return node in self._sound

    def _write(self, path: Path, text: str) -> None:
        # A time of its own for each: Python and the caches know a file by time and size.
        self._written += 1
        path.write_text(text, encoding="utf-8")
        at = time.time() + self._written
        os.utime(path, (at, at))

    def _asked(self, tests: Sequence[str]) -> Verdict:
        if self.own_cache:
            shutil.rmtree(self.tree / _PREPARED, ignore_errors=True)
        (self.tree / _EVENTS).unlink(missing_ok=True)
        skipped = [part for test in sorted(self._unsound) for part in ("--deselect", test)]
        began = time.time()
        status = _bounded(
            [
                *(VENV_PYTHON, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
                *("-p", "scripts.tasks.mutant_watch", "--hypothesis-seed=1", *skipped, *tests),
            ],
            cwd=self.tree,
            env={**environment(), **tree_environment(self.tree)},
            seconds=self.seconds,
        )
        ended = time.time()
        verdict = judged(events_in(self.tree), status, ended, self.refusal)
        return Verdict(verdict.fate, verdict.by, ended - began)


def _bounded(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], seconds: float
) -> int | None:
    """Run a program and return its status; None for one that had to be ended.

    It is asked first, by an interrupt: it may have servers to stop.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def sample(
    trial: Trial,
    mutants: Sequence[Mutant],
    tests_of: Callable[[Mutant], Sequence[str]],
    size: int,
) -> list[Tried]:
    """Try mutants until ``size`` of them were bugs at all, and say what becomes of each."""
    tried: list[Tried] = []
    counted: Counter[Fate] = Counter()
    for mutant in mutants:
        if counted["noticed"] + counted["survived"] == size:
            break
        one = trial.tried(mutant, tests_of(mutant))
        tried.append(one)
        counted[one.verdict.fate] += 1
        where = f"{Path(mutant.path).name}:{one.line}"
        print(
            f"{one.verdict.fate:8}  {one.verdict.seconds:5.0f} s  {mutant.kind}  {where}  "
            f"{one.verdict.by}",
            flush=True,
        )
        if one.verdict.fate == "survived":
            print(one.diff, flush=True)
    return tried
