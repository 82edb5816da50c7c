"""A page, its items and its stamps are the same to pytest, to the command and to the site."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.small_project import ROLE, write_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOT = {
    "platform/1_role.sql": ROLE,
    "migrations/1_orders.sql": "create table public.orders (id integer primary key);\n",
}
PYTEST = "[pytest]\nsql_platform = platform\nsql_migrations = migrations\n"
CONFIG = """\
site_name: Orders
theme: {name: material, font: false}
plugins: [sql-snippets]
markdown_extensions:
  - pymdownx.superfences
  - pymdownx.highlight: {pygments_lang_class: true}
"""
NAME = "<!-- sql: name=block -->\n\n"
GOOD = f"# Count\n\n{NAME}```sql\nselect count(*) from public.orders;\n```\n"
BAD = f"# Wrong\n\n{NAME}```sql\nselect count(*) from public.no_such_table;\n```\n"
REPORT = ".cache/sql-snippets/report.json"


def _pytest(pytester: pytest.Pytester, *arguments: str, folder: Path | None = None) -> str:
    """Run pytest in a process of its own; return what it printed."""
    report = (folder or pytester.path) / REPORT
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--sql-no-cache"]
    done = subprocess.run(
        [*command, *arguments, "--sql-report", str(report)],
        cwd=folder or pytester.path,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _run(pytester: pytest.Pytester, *arguments: str, folder: Path | None = None) -> dict[str, str]:
    """Run pytest in a process of its own; return the verdict of each block by its id."""
    _pytest(pytester, *arguments, folder=folder)
    return _verdicts(folder or pytester.path)


def _verdicts(folder: Path) -> dict[str, str]:
    items = json.loads((folder / REPORT).read_text(encoding="utf-8"))["items"]
    return {item["id"]: item["verdict"] for item in items if item["kind"] == "block"}


def _listed(folder: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-m", "sql_snippets.cli", "list", "--json", *arguments]
    code = "import sys; from sql_snippets.cli import main; sys.exit(main(sys.argv[1:]))"
    command[1:3] = ["-c", code]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    blocks: list[dict[str, Any]] = json.loads(done.stdout)["blocks"]
    return {block["id"] for block in blocks}


def _stamped(folder: Path) -> dict[str, str]:
    """Build the site in a folder, as its own process; return the state of each stamp by its id."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", "built"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = {}
    for page in (folder / "built").rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        stamps = re.findall(r'class="sql-stamp sql-stamp--(\w+)" data-sql-id="([^"]*)"', html)
        found.update((name, state) for state, name in stamps)
    return found


def _names(blocks: Iterable[str]) -> set[str]:
    return {block.partition("::")[0] for block in blocks}


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    write_files(pytester, {**ROOT, "pytest.ini": PYTEST})
    return pytester


def test_every_ending_of_a_page(project: pytest.Pytester) -> None:
    endings = ("md", "markdown", "mdown", "mkdn", "mkd")
    pages = {f"docs/{ending}.{ending}": GOOD for ending in endings}
    write_files(project, {"mkdocs.yml": CONFIG, **pages, "docs/bad.markdown": BAD})
    verdicts = _run(project, "docs")
    assert _names(verdicts) == {*pages, "docs/bad.markdown"}
    assert [name for name, verdict in verdicts.items() if verdict == "failed"] == [
        next(name for name in verdicts if name.startswith("docs/bad.markdown"))
    ]
    assert _listed(project.path, "docs") == set(verdicts)
    assert _stamped(project.path) == verdicts


def test_what_the_site_leaves_out_is_no_page(project: pytest.Pytester) -> None:
    config = CONFIG + "exclude_docs: |\n  /wip.md\n  /old/\ndraft_docs: |\n  /drafts/\n"
    left_out = ["wip.md", "old/a.md", "drafts/d.md", "templates/t.md", ".hidden/h.md"]
    write_files(
        project,
        {"mkdocs.yml": config, "docs/index.md": GOOD, **{f"docs/{n}": BAD for n in left_out}},
    )
    verdicts = _run(project, "docs")
    assert _names(verdicts) == {"docs/index.md"}
    assert _listed(project.path, "docs") == set(verdicts)
    assert _stamped(project.path) == verdicts
    # Who names it wants to know.
    assert _run(project, "docs/wip.md") == {"docs/wip.md::wrong::block": "failed"}


def test_a_readme_beside_an_index_is_no_page(project: pytest.Pytester) -> None:
    pages = {"docs/index.md": GOOD, "docs/README.md": BAD, "docs/deep/README.md": GOOD}
    write_files(project, {"mkdocs.yml": CONFIG, **pages})
    verdicts = _run(project, "docs")
    assert _names(verdicts) == {"docs/index.md", "docs/deep/README.md"}
    assert _listed(project.path, "docs") == set(verdicts)


def test_a_site_below_another(project: pytest.Pytester) -> None:
    write_files(
        project,
        {
            "mkdocs.yml": CONFIG,
            "docs/index.md": GOOD,
            "pay/mkdocs.yml": CONFIG,
            "pay/docs/index.md": BAD,
        },
    )
    both = {"docs/index.md::count::block": "passed", "pay/docs/index.md::wrong::block": "failed"}
    assert _run(project, "docs", "pay/docs") == both
    assert _listed(project.path, "docs") | _listed(project.path, "pay/docs") == set(both)
    for folder in (project.path, project.path / "pay"):
        (folder / REPORT).parent.mkdir(parents=True, exist_ok=True)
        report = (project.path / REPORT).read_text(encoding="utf-8")
        (folder / REPORT).write_text(report, encoding="utf-8")
    assert _stamped(project.path) == {"docs/index.md::count::block": "passed"}
    assert _stamped(project.path / "pay") == {"pay/docs/index.md::wrong::block": "failed"}
    # The way that the build advises: in the folder of the site.
    printed = _pytest(project, "docs", folder=project.path / "pay")
    assert _verdicts(project.path / "pay") == {"pay/docs/index.md::wrong::block": "failed"}
    assert re.findall(r"re-run: .*pytest (\S+)", printed) == ["docs/index.md::wrong::block"]


INCLUDED = "\n  - pymdownx.snippets: {base_path: [../inc]}\n"


def test_pages_beside_their_configuration(project: pytest.Pytester) -> None:
    write_files(
        project,
        {
            "pytest.ini": PYTEST + "sql_mkdocs = website/mkdocs.yml\n",
            "website/mkdocs.yml": CONFIG.rstrip() + INCLUDED + "docs_dir: ../docs\n",
            "docs/index.md": f'# Included\n\n{NAME}```sql\n--8<-- "a.sql"\n```\n',
            "inc/a.sql": "select * from no_such;\n",
        },
    )
    (verdict,) = _run(project, "docs").items()
    assert verdict == ("docs/index.md::included::block", "failed")
    assert _listed(project.path, "-f", "website/mkdocs.yml", "docs") == {verdict[0]}
    _run(project, "../docs", folder=project.path / "website")
    assert _stamped(project.path / "website") == dict([verdict])


def test_a_site_that_pytest_would_not_find_is_said(project: pytest.Pytester) -> None:
    write_files(
        project,
        {"website/mkdocs.yml": CONFIG + "docs_dir: ../docs\n", "docs/index.md": GOOD},
    )
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", "built"]
    folder = project.path / "website"
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert 'set sql_mkdocs = "website/mkdocs.yml"' in done.stderr


def test_a_page_and_a_folder_that_are_links(project: pytest.Pytester) -> None:
    write_files(
        project,
        {
            "mkdocs.yml": CONFIG,
            "docs/index.md": GOOD,
            "shared/page.md": GOOD,
            "shared/more/deep.md": BAD,
        },
    )
    (project.path / "docs" / "linked.md").symlink_to(project.path / "shared" / "page.md")
    (project.path / "docs" / "more").symlink_to(project.path / "shared" / "more")
    verdicts = _run(project, "docs")
    assert _names(verdicts) == {"docs/index.md", "docs/linked.md", "docs/more/deep.md"}
    assert _listed(project.path, "docs") == set(verdicts)
    assert _stamped(project.path) == verdicts


def test_the_beginning_of_a_post_has_the_stamp_of_the_post(project: pytest.Pytester) -> None:
    post = "---\ndate: 2026-01-01\n---\n\n" + GOOD + "\n<!-- more -->\n\nMore.\n"
    config = CONFIG.replace("plugins: [sql-snippets]", "plugins: [blog, sql-snippets]")
    write_files(
        project,
        {
            "mkdocs.yml": config,
            "docs/index.md": "# Home\n",
            "docs/blog/index.md": "# Blog\n",
            "docs/blog/posts/one.md": post,
        },
    )
    verdicts = _run(project, "docs")
    assert verdicts == {"docs/blog/posts/one.md::count::block": "passed"}
    assert _stamped(project.path) == verdicts
    shown = (project.path / "built" / "blog" / "index.html").read_text(encoding="utf-8")
    assert shown.count("sql-stamp--passed") == 1
