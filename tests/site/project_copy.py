"""A copy of the project that a test may change, with the report of a run in which all passed."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from typing import TYPE_CHECKING, Any

from scripts.tasks.common import ROOT
from sql_snippets.mkdocs_site import load_site
from sql_snippets.project import present_recipe
from sql_snippets.reading.pages import read_page
from sql_snippets.results.report import FORMAT, hash_claims, hash_sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAGES = (
    "docs/operations/cron-reminder-runbook.md",
    "docs/operations/put-it-live.md",
    "docs/authors-guide.md",
)
FOLDERS = ("docs", "overrides", "scripts", "supabase", "tests/reminder_system")
PLATFORM = "tests/sql_snippets/platform"
SANDBOX = "tests/sql_snippets/sandbox"
INCIDENTS = "tests/sql_snippets/incidents.py"
LINKED = "src/sql_snippets/results/report.schema.json"
REPORT = ".cache/sql-snippets/report.json"
RUN_AT = dt.datetime(2026, 11, 5, 23, 59, 59, tzinfo=dt.UTC)


def copy_project(to: Path) -> Path:
    """Copy what the site is built from."""
    for name in (*FOLDERS, PLATFORM, SANDBOX):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "pyproject.toml", INCIDENTS, LINKED):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)
    return to


def write_report(
    project: Path, types: Mapping[str, list[dict[str, str]]] | None = None, **changes: Any
) -> dict[str, Any]:
    """Write the report of a run that passed everything on the pages as they are now.

    ``types`` are those of the placeholders, by the id of their block.
    """
    site = load_site(project)
    items = []
    for name in PAGES:
        page = read_page(project / name, site)
        for snippet in page.snippets:
            mark = snippet.claims.mark.value if snippet.claims.mark else None
            items.append(
                {
                    "id": snippet.id,
                    "page": page.path,
                    "section": snippet.section,
                    "name": snippet.name,
                    "line": snippet.fence.line,
                    "kind": "block",
                    "verdict": "passed",
                    "mark": mark,
                    "sql_sha256": hash_sql(snippet.sql),
                    "claims_sha256": hash_claims(snippet),
                    "seconds": 0.012,
                    "isolation": "transaction",
                    "danger": {"level": mark, "seen": []} if mark else None,
                    "placeholders": (types or {}).get(snippet.id, []),
                    "reason": None,
                }
            )
        items += [
            {"id": drill.id, "kind": "drill", "verdict": "passed", "seconds": 0.34, "reason": None}
            for drill in page.drills
        ]
    recipe = present_recipe(project)
    report = {
        "format": FORMAT,
        "created": RUN_AT.isoformat(),
        "server": {"kind": "system", "version": "15.14", "real_parts": ["pg_cron"]},
        "migration_head": recipe.migration_head,
        "recipe": recipe.digest(),
        "items": items,
        **changes,
    }
    path = project / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report), encoding="utf-8")
    return report
