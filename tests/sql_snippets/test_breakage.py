"""Whatever makes the runbook untrue turns its check red, at the line that is untrue.

Each test copies the project, breaks one thing, and runs the check as an author would.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = "docs/operations/cron-reminder-runbook.md"
MIGRATIONS = "supabase/migrations"


@dataclass(frozen=True)
class Project:
    """A copy of this project that may be broken."""

    root: Path

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} no longer holds {old!r}: this test breaks nothing"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def line_of(self, words: str) -> int:
        lines = (self.root / RUNBOOK).read_text(encoding="utf-8").splitlines()
        return next(number for number, line in enumerate(lines, 1) if words in line)

    def place_of(self, words: str, word: str) -> tuple[int, int]:
        line = self.line_of(words)
        text = (self.root / RUNBOOK).read_text(encoding="utf-8").splitlines()[line - 1]
        return line, text.index(word) + 1

    def check(self, *items: str) -> str:
        """Run the check of some items and return what it printed; it must have failed."""
        # To look for the migration to blame would build the database once more for each, and to
        # import Hypothesis for its plugin alone takes as long as the check.
        options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--sql-no-blame")
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options]
            + [f"{RUNBOOK}::{item}" for item in items],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert run.returncode == 1, run.stdout + run.stderr
        return run.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for folder in ("docs", "supabase", "tests/sql_snippets", "scripts/hooks"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("vendor", "__pycache__")
        )
    for file in ("mkdocs.yml", "pyproject.toml", "conftest.py", "tests/__init__.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    return Project(tmp_path)


def test_a_column_renamed_by_a_migration(project: Project) -> None:
    for name in (project.root / MIGRATIONS).glob("*_execution_log.sql"):
        text = name.read_text(encoding="utf-8")
        text = text.replace("duration interval", "took interval").replace(
            "logs.duration", "logs.took"
        )
        name.write_text(text, encoding="utf-8")
    printed = project.check(
        "check-health::recent-runs", "execution-log-schema::public.cron_execution_logs"
    )
    line, column = project.place_of("as started, duration,", "duration")
    assert f'{RUNBOOK}:{line}:{column}: error[42703]: column "duration" does not exist' in printed
    row = project.line_of("| `duration` |")
    assert f"{RUNBOOK}:{row}:" in printed


def test_a_mistyped_table(project: Project) -> None:
    project.replace(
        RUNBOOK, "from public.cron_execution_logs\norder", "from public.cron_execution_log\norder"
    )
    printed = project.check("check-health::recent-runs")
    line = project.line_of("from public.cron_execution_log")
    assert f"{RUNBOOK}:{line}:6: error[42P01]" in printed
    assert "cron_execution_logs" in printed.split("error[42P01]")[1], "no suggestion"


def test_a_changed_output(project: Project) -> None:
    project.replace(
        RUNBOOK,
        " no_show      | Person did not come     | f",
        " no_show      | Person did not come     | t",
    )
    printed = project.check("qualifying-types::qualifying-types")
    start = project.line_of("     code     |          label")
    reported = re.search(rf"{RUNBOOK}:(\d+):", printed)
    assert reported
    assert start <= int(reported[1]) <= project.line_of("Person did not come     | t")


def test_a_column_missing_from_the_schema_table(project: Project) -> None:
    row = project.line_of("| `backend_pid` |")
    lines = (project.root / RUNBOOK).read_text(encoding="utf-8").splitlines(keepends=True)
    del lines[row - 1]
    (project.root / RUNBOOK).write_text("".join(lines), encoding="utf-8")
    printed = project.check("execution-log-schema::public.cron_execution_logs")
    last = project.line_of("| `blocked_by_pid` |")
    assert f"{RUNBOOK}:{last}:" in printed
    assert "backend_pid" in printed


def test_a_purpose_that_differs_from_the_comment(project: Project) -> None:
    project.replace(RUNBOOK, "| no | When it started. |", "| no | When it ended. |")
    printed = project.check("execution-log-schema::public.cron_execution_logs")
    assert f"{RUNBOOK}:{project.line_of('| `started_at` |')}:" in printed


def test_a_fact_that_a_migration_changed(project: Project) -> None:
    (settings,) = (project.root / MIGRATIONS).glob("*_internal_schema.sql")
    project.replace(
        str(settings.relative_to(project.root)),
        "failure_threshold integer not null default 3",
        "failure_threshold integer not null default 4",
    )
    printed = project.check("facts-at-a-glance::at-a-glance", "alerting::alerting")
    for words, value in (("after 3 failures", "3 failures"), ("default 3 |", "3 |")):
        line, column = project.place_of(words, value)
        assert f"{RUNBOOK}:{line}:{column}: error: " in printed
    assert printed.count('the page says "3", the database says "4"') >= 2


def test_a_status_that_a_migration_renamed(project: Project) -> None:
    for name in (project.root / MIGRATIONS).glob("*.sql"):
        text = name.read_text(encoding="utf-8")
        name.write_text(text.replace("'timed_out'", "'timedout'"), encoding="utf-8")
    printed = project.check("status-values::status-values")
    line, column = project.place_of("| `timed_out` |", "`timed_out`")
    assert f"{RUNBOOK}:{line}:{column}: error: " in printed
    assert 'did you mean "timedout"?' in printed


def test_a_name_in_the_text_that_is_not_there(project: Project) -> None:
    project.replace(
        RUNBOOK, "to `reminder.dispatched_reminders`;", "to `reminder.dispatched_remindrs`;"
    )
    printed = project.check("identifiers")
    line, column = project.place_of("`reminder.dispatched_remindrs`", "reminder.disp")
    assert f'{RUNBOOK}:{line}:{column}: error: the database has no object "reminder' in printed
    assert 'did you mean "reminder.dispatched_reminders"?' in printed


def _never_finds(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "where l.status = 'timed_out' or l.error_code in ('55P03', '57014') or b.pid is not null;",
        "where l.status = 'gone';",
    )


def _always_finds(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "where l.status = 'timed_out' or l.error_code in ('55P03', '57014') or b.pid is not null;",
        ";",
    )


def _fixes_nothing(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "from reminder.blocking_session\nwhere state",
        "from reminder.blocking_session\nwhere false and state",
    )


def _always_content(project: Project) -> None:
    project.replace(
        RUNBOOK, "select count(*) filter (where not ok) = 0 as resolved", "select true as resolved"
    )


def _never_missed(project: Project) -> None:
    project.replace(
        RUNBOOK, "where o.job is not null or s.job <> 'active';", "where o.job = 'never';"
    )


def _missed_by_another_schedule(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "left join reminder.overdue_run(now()) o",
        "left join reminder.overdue_run(now() + interval '1 day') o",
    )


def _does_not_switch_on(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "select * from reminder.change_job('<jobname>',\n  active => true",
        "select * from reminder.change_job('<jobname>',\n  active => null",
    )


def _resolved_whatever_is_missing(project: Project) -> None:
    project.replace(
        RUNBOOK,
        "select count(*) filter (where not ok) = 0 as resolved",
        "select count(*) filter (where not ok) >= 0 as resolved",
    )


@pytest.mark.parametrize(
    "weaken",
    [
        _never_missed,
        _missed_by_another_schedule,
        _does_not_switch_on,
        _resolved_whatever_is_missing,
    ],
)
def test_the_drill_of_missed_runs_with_a_weakened_block(
    project: Project, weaken: Callable[[Project], None]
) -> None:
    weaken(project)
    assert f"FAILED {RUNBOOK}::missed-runs::drill" in project.check("missed-runs::drill")


@pytest.mark.parametrize("weaken", [_never_finds, _always_finds, _fixes_nothing, _always_content])
def test_a_drill_with_a_weakened_block(project: Project, weaken: Callable[[Project], None]) -> None:
    weaken(project)
    assert f"FAILED {RUNBOOK}::service-timeout::drill" in project.check("service-timeout::drill")
