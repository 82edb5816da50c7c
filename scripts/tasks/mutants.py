"""Put small bugs into our own code, one at a time, and say which of them no test notices."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks import mutant_score, mutants_of_sql, mutants_of_words
from scripts.tasks.common import ROOT, TaskError, say, say_error
from scripts.tasks.measured import as_text
from scripts.tasks.mutant import Mutant, drawn
from scripts.tasks.mutant_run import Trial, sample, scratch
from scripts.tasks.mutant_tests import made_by, ranked, statement_at, users

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


@dataclass(frozen=True, slots=True)
class Kind:
    """What is broken: which files, how, and which tests are asked."""

    files: str
    mutants_of: Callable[[str, str], list[Mutant]]
    tests_of: Callable[[dict[str, str], Mutant], Sequence[str]]
    refusal: str = ""


def _tests_of_migration(texts: dict[str, str], mutant: Mutant) -> Sequence[str]:
    names = made_by(statement_at(texts[mutant.path], mutant.start))
    stem = Path(mutant.path).stem.partition("_")[2]
    tests = {name: text for name, text in texts.items() if name.startswith("tests/reminder_system")}
    migrations = [text for name, text in texts.items() if name.startswith("supabase/")]
    order = ranked(names, users(migrations), tests, stem)
    first = _OF_ALL[:1] if mutant.kind.startswith(_GRANTS) else ()
    return list(dict.fromkeys((*first, *order, *_OF_ALL)))


def _tests_of_words(_: dict[str, str], __: Mutant) -> Sequence[str]:
    return _OF_WORDS


KINDS = {
    "migrations": Kind(
        "supabase/migrations/*.sql",
        mutants_of_sql.mutants_of,
        _tests_of_migration,
        refusal="MigrationFailed",
    ),
    "runbook": Kind(RUNBOOK, mutants_of_words.mutants_of, _tests_of_words),
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
    texts = _texts(kind.files, "supabase/migrations/*.sql", "tests/reminder_system/test_*.py")
    mutants = [
        mutant for path in _texts(kind.files) for mutant in kind.mutants_of(path, texts[path])
    ]
    say(f"{options.size} of {len(mutants)} mutants of {kind.files}")
    with scratch() as tree:
        trial = Trial(tree, options.seconds, refusal=kind.refusal)
        order = drawn(mutants, options.seed)
        return sample(trial, order, partial(kind.tests_of, texts), options.size), len(mutants)


def _texts(*patterns: str) -> dict[str, str]:
    """Return the texts of the project's files that fit, by their paths."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for pattern in patterns
        for path in sorted(ROOT.glob(pattern))
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
