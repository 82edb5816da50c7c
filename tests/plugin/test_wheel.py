"""The wheel, as another team gets it: built, installed into an empty environment, and used."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PAGE = """\
# Orders

**READ** · Count them

<!-- sql: name=count -->

```sql
select count(*) from orders;
```

```text
 count
-------
     2
(1 row)
```
"""
SCHEMA = "create table orders (id int primary key);\ninsert into orders values (1), (2);\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class _Project:
    """Another team's folder, and an environment with the wheel and what it depends on."""

    folder: Path
    python: Path

    def check(self, *options: str) -> tuple[int, str]:
        done = _run([self.python, "-m", "pytest", *options], self.folder, must_pass=False)
        return done.returncode, done.stdout

    def build(self) -> str:
        _run([self.python, "-m", "mkdocs", "build", "--strict"], self.folder)
        return (self.folder / "site" / "orders" / "index.html").read_text(encoding="utf-8")


def _run(
    command: list[str | Path], folder: Path, *, must_pass: bool = True
) -> subprocess.CompletedProcess[str]:
    mine = ("PYTHON", "PYTEST_", "SQL_SNIPPETS_", "COV_", "PG", "GITHUB_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(mine)}
    environment["XDG_CACHE_HOME"] = str(folder / ".cache")
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not must_pass, done.stdout + done.stderr
    return done


def _readme(language: str) -> list[str]:
    """Return what the README tells a stranger to write or to type."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Use the checker for your own pages")[2]
    found = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return list(map(str, found))


@pytest.fixture
def project(tmp_path: Path, wheel: Path) -> _Project:
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = ("install", "--no-index", "--no-deps", "--quiet")
    _run([sys.executable, "-m", "pip", "--python", python, *install, wheel], tmp_path)
    # What it depends on is here already. The .pth file that names the sources is here too, and is
    # not read: Python reads none in a folder that another .pth file names.
    packages = environment / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    folder = tmp_path / "project"
    for name, text in {
        "pyproject.toml": _readme("toml")[0],
        "mkdocs.yml": _readme("yaml")[0],
        "migrations/1_orders.sql": SCHEMA,
        "docs/orders.md": PAGE,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return _Project(folder, python)


def test_what_the_wheel_holds(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}
    sources = {
        path.relative_to(ROOT / "src")
        for path in (ROOT / "src" / "sql_snippets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {Path(name) for name in names if name.parts[0] == "sql_snippets"} == sources
    for name in ("py.typed", "results/report.schema.json", "site_assets/fill.js"):
        assert PurePosixPath("sql_snippets", name) in names
    others = {name for name in names if name.parts[0] != "sql_snippets"}
    assert {name.parts[0].rpartition(".")[2] for name in others} == {"dist-info"}
    assert "LICENSE" in {name.name for name in others}


def test_the_five_lines_give_a_green_and_a_red_verdict(project: _Project) -> None:
    assert len(_readme("toml")[0].strip().splitlines()) <= 5
    where = "import sql_snippets; print(sql_snippets.__file__)"
    found = _run([project.python, "-c", where], project.folder).stdout.strip()
    assert Path(found).is_relative_to(project.python.parents[1])
    status, shown = project.check()
    assert "1 passed" in shown, shown
    assert status == 0
    page = project.folder / "docs" / "orders.md"
    page.write_text(PAGE.replace("     2\n", "     3\n"), encoding="utf-8")
    status, shown = project.check()
    assert "docs/orders.md:14:1: error: the output" in shown, shown
    assert "1 failed" in shown
    assert status == 1


def test_the_commands_of_the_readme_put_the_verdicts_on_the_site(project: _Project) -> None:
    _, *commands = _readme("shell")
    check, serve = commands[0].splitlines()
    assert serve == "mkdocs serve"
    program, *options = shlex.split(check)
    assert program == "pytest"
    assert "Not checked" in project.build()
    assert project.check(*options)[0] == 0
    html = project.build()
    assert "Passed" in html
    assert "stand-ins" not in html
    assets = project.folder / "site" / "assets" / "sql-snippets"
    for name, words in {
        "stamps.css": ".sql-stamp--passed",
        "fill.css": ".sql-form",
        "age.js": "Passed long ago",
        "fill.js": "data-sql-fill",
    }.items():
        assert f"../assets/sql-snippets/{name}" in html
        assert words in (assets / name).read_text(encoding="utf-8")
