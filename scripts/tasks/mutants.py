"""Put small bugs into our own code, one at a time, and say which of them no test notices."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measured import as_text
from scripts.tasks import mutant_score, mutants_of_python, mutants_of_sql, mutants_of_words
from scripts.tasks.common import TaskError, say, say_error
from scripts.tasks.mutant import Mutant, drawn
from scripts.tasks.mutant_lines import recorded
from scripts.tasks.mutant_run import Trial, sample, scratch
from scripts.tasks.mutant_tests import made_by, ranked, statement_at, users

if TYPE_CHECKING:
    from scripts.tasks.mutant_run import Tried

INTERRUPTED = 130
RUNBOOK = "docs/operations/cron-reminder-runbook.md"
_GRANTS = ("grant", "one of a grant", "rule")
# What reads all of the system, whatever is broken in it; the page's own blocks come last.
_OF_ALL = (
    "tests/reminder_system/test_privileges.py",
    "tests/reminder_system/test_deployment.py",
    "tests/sql_snippets/test_runbook.py",
    "tests/sql_snippets/test_undos.py",
    RUNBOOK,
)
_OF_WORDS = (
    "tests/sql_snippets/test_wording.py",
    "tests/sql_snippets/test_paths.py",
    "tests/sql_snippets/test_numbers.py",
    "tests/sql_snippets/test_alert_sections.py",
    "tests/sql_snippets/test_runbook.py",
    RUNBOOK,
    "tests/sql_snippets/test_undos.py",
    "tests/sql_snippets/test_walks.py",
)


_OF_SITE = ("tests/site/test_site.py", "tests/site/test_builds.py")

Choice = Callable[[Mutant], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is broken: which files, how, and how the tests of a mutant are chosen.

    ``refusal`` is the error of a test whose database cannot be made; with ``own_cache`` nothing
    that a broken program has kept is read by the next.
    """

    files: str
    mutants_of: Callable[[str, str], list[Mutant]]
    choice: Callable[[Path, float], Choice]
    refusal: str = ""
    own_cache: bool = False


def _of_migrations(tree: Path, _: float) -> Choice:
    """Choose the tests of the system by what they name."""
    migrations = _texts(tree, "supabase/migrations/*.sql")
    tests = _texts(tree, "tests/reminder_system/test_*.py")
    used_by = users(migrations.values())

    def tests_of(mutant: Mutant) -> Sequence[str]:
        names = made_by(statement_at(migrations[mutant.path], mutant.start))
        order = ranked(names, used_by, tests, Path(mutant.path).stem.partition("_")[2])
        first = _OF_ALL[:1] if mutant.kind.startswith(_GRANTS) else ()
        return list(dict.fromkeys((*first, *order, *_OF_ALL)))

    return tests_of


def _of_words(_: Path, __: float) -> Choice:
    return lambda _: _OF_WORDS


def _of_plugin(tree: Path, seconds: float) -> Choice:
    """Choose the tests of the checker by the lines that they run."""
    lines = recorded(tree)
    sources = _texts(tree, _PLUGIN)

    def tests_of(mutant: Mutant) -> Sequence[str]:
        source = sources[mutant.path]
        statement = mutants_of_python.lines_of_statement(source, mutant.line(source))
        # Half of the time, as a machine is not always as fast as it was then.
        return lines.covering(mutant.path, statement, seconds / 2)

    return tests_of


def _of_site(tree: Path, _: float) -> Choice:
    """Choose the tests of the site by what they name: all share one site, which runs every hook."""
    tests = _texts(tree, "tests/site/test_*.py")
    sources = _texts(tree, _HOOKS)

    def tests_of(mutant: Mutant) -> Sequence[str]:
        names = {Path(mutant.path).stem, *re.findall(r"def (\w+)", sources[mutant.path])}
        naming = {path: text for path, text in tests.items() if names & set(_WORD.findall(text))}
        return list(dict.fromkeys((*ranked(names, {}, naming), *_OF_SITE)))

    return tests_of


_PLUGIN = "src/sql_snippets/**/*.py"
_HOOKS = "scripts/hooks/*.py"
_WORD = re.compile(r"\w+")
KINDS = {
    "migrations": Kind(
        "supabase/migrations/*.sql",
        mutants_of_sql.mutants_of,
        _of_migrations,
        refusal="MigrationFailed",
    ),
    "runbook": Kind(RUNBOOK, mutants_of_words.mutants_of, _of_words),
    "plugin": Kind(_PLUGIN, mutants_of_python.mutants_of, _of_plugin, own_cache=True),
    "site": Kind(_HOOKS, mutants_of_python.mutants_of, _of_site, own_cache=True),
}


def main(arguments: Sequence[str]) -> int:
    """Try a sample of the mutants of one kind, print the score, and keep it when that is asked."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1, help="which sample is drawn (default: 1)")
    parser.add_argument("--size", type=int, default=200, help="how many of them (default: 200)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=180,
        help="how long the tests of one may take; what none of them has noticed by then counts as "
        "not noticed (default: 180)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="write the score to the page For maintainers"
    )
    options = parser.parse_args(list(arguments))
    # Whoever ends it, and however it was started, the copy and the servers of the tests go.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load, began = os.getloadavg()[0], time.monotonic()
    try:
        tried, possible = _tried(KINDS[options.kind], options)
    except TaskError as err:
        say_error(str(err))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    found = mutant_score.findings(tried, possible, options.seed, time.monotonic() - began)
    print(as_text(found))
    if options.keep:
        mutant_score.keep(options.kind, found, load)
    return 0


def _tried(kind: Kind, options: argparse.Namespace) -> tuple[list[Tried], int]:
    """Return what was tried, and how many mutants there are."""
    with scratch() as tree:
        mutants = [
            mutant
            for path, text in _texts(tree, kind.files).items()
            for mutant in kind.mutants_of(path, text)
        ]
        tests_of = kind.choice(tree, options.seconds)
        say(f"{options.size} of {len(mutants)} mutants of {kind.files}")
        trial = Trial(tree, options.seconds, kind.refusal, kind.own_cache)
        return sample(trial, drawn(mutants, options.seed), tests_of, options.size), len(mutants)


def _texts(tree: Path, pattern: str) -> dict[str, str]:
    """Return the texts of the files of the copy that fit, by their paths."""
    return {
        path.relative_to(tree).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(tree.glob(pattern))
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
