"""A schema that a command of the project makes, as Alembic or dbmate would."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from sql_snippets.database import commands
from sql_snippets.database.databases import open_template
from sql_snippets.database.keys import server_key
from sql_snippets.database.recipes import Command, MigrationFailed, Recipe, RecipeError
from sql_snippets.results import stamps
from sql_snippets.results.report import Report, ServerFacts
from sql_snippets.results.verification import Pages, verification_page
from sql_snippets.servers.server import Server
from sql_snippets.settings import SettingsError, decide
from tests.plugin.small_project import change, write, write_files

# What a migration tool does: it looks where the database is, and makes what is in its files.
TOOL = """\
import os, sys
from pathlib import Path
import psycopg

with Path("ran.txt").open("a") as ran:
    ran.write("once\\n")
with psycopg.connect("") as by_variables, psycopg.connect(os.environ["DATABASE_URL"]) as by_url:
    look = "select current_database(), current_user, inet_server_port(), count(*) from platform"
    assert by_variables.execute(look).fetchall() == by_url.execute(look).fetchall()
    user, tables = by_url.execute(
        "select current_user, count(*) from pg_tables where schemaname = 'public'"
    ).fetchone()
    assert (user, tables) == ("postgres", 1), (user, tables)
    for path in sorted(Path("versions").glob("*.py")):
        by_url.execute(path.read_text())
print("all is done")
"""
FILES = {
    "tool.py": TOOL,
    "versions/1.py": "create table orders (id int)",
    "platform/1.sql": "create role postgres login; create table platform ();"
    "grant all on platform to postgres; grant all on schema public to postgres;",
    "docs/page.md": "# Page\n\n<!-- sql: rows=0 -->\n\n```sql\nselect id from orders;\n```\n",
}
RUN = f"run: {shlex.quote(sys.executable)} tool.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _recipe(folder: Path, setting: str = RUN) -> Recipe:
    command = Command.read(setting, folder, "sql_migrations in the ini file")
    return Recipe.from_folders(
        platform=folder / "platform", migrations=command, seed=None, role="postgres"
    )


def _build(folder: Path, setting: str = RUN) -> int:
    """Open a template and look into a clone; return how often the command has run by then."""
    with (
        open_template("embedded", _recipe(folder, setting), cache_dir=folder / "cache") as template,
        template.clone() as database,
        database.connect() as connection,
    ):
        connection.execute("select from orders")
    return len((folder / "ran.txt").read_text(encoding="utf-8").splitlines())


def test_nothing_is_kept_of_a_command_whose_files_nobody_named(folder: Path) -> None:
    assert [_build(folder), _build(folder)] == [1, 2]
    assert not list((folder / "cache").glob("*/"))
    assert server_key("embedded", _recipe(folder)) is None


def test_with_named_files_its_work_is_kept_until_one_changes(folder: Path) -> None:
    setting = f"{RUN}\nfiles: tool.py versions/*.py"
    assert [_build(folder, setting), _build(folder, setting)] == [1, 1]
    key = server_key("embedded", _recipe(folder, setting))
    assert key is not None
    (folder / "versions" / "2.py").write_text("create table more ()", encoding="utf-8")
    assert server_key("embedded", _recipe(folder, setting)) != key
    assert _build(folder, setting) == 2
    changed = setting.replace("tool.py\n", "tool.py --again\n")
    assert _build(folder, changed) == 3


def test_a_pattern_that_names_no_file(folder: Path) -> None:
    recipe = _recipe(folder, f"{RUN}\nfiles: version/*.py")
    with pytest.raises(RecipeError, match=r"ini file says `files: version/\*\.py`, and no file"):
        recipe.digest()


def _failure(folder: Path, setting: str) -> str:
    with (
        pytest.raises(MigrationFailed) as caught,
        open_template("embedded", _recipe(folder, setting), cache_dir=folder / "cache"),
    ):
        pass
    return str(caught.value)


def test_a_command_that_fails_is_told_with_its_last_words(folder: Path) -> None:
    (folder / "tool.py").write_text(
        "import sys\nfor n in range(50): print('line', n)\nsys.exit('no such revision: é')",
        encoding="utf-8",
    )
    said = _failure(folder, RUN)
    first, *others = said.split("\n")
    assert first == (
        f"sql_migrations in the ini file: the command `{RUN.removeprefix('run: ')}`, which makes "
        "the schema, failed with exit status 1. The last 30 of 51 lines it wrote:"
    )
    assert others[-1] == "  no such revision: é"
    assert len(others) == 30


def test_a_command_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder on it that may not be looked into would make it a matter of permission.
    monkeypatch.setenv("PATH", os.defpath)
    assert _failure(folder, "run: no-such-tool up") == (
        f"sql_migrations in the ini file: the command `no-such-tool up` cannot be run in {folder}: "
        "No such file or directory. Install the program, or name it by its path."
    )


def test_a_command_that_hangs_is_stopped_with_what_it_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tool.py").write_text(
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "child.wait()\n",
        encoding="utf-8",
    )
    for seconds in (1, 10, 100):
        monkeypatch.setattr(commands, "SECONDS", float(seconds))
        said = _failure(folder, RUN)
        assert f"had not ended after {seconds} seconds and was stopped. It wrote nothing." in said
        if (folder / "child").exists():
            break  # on a busy machine the first second may have ended before it was started
    child = Path("/proc", (folder / "child").read_text(encoding="utf-8"), "stat")
    with suppress(FileNotFoundError):
        # Ended, and perhaps not yet taken note of by its new parent.
        assert child.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


def test_the_environment_leads_to_this_database_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "production.example")
    monkeypatch.setenv("PGSERVICE", "production")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production.example/x")
    server = Server("url", "::1", 6000, "admin", "p@ss w/rd", parameters=(("sslmode", "prefer"),))
    found = commands.environment(server, "a b", "reader")
    assert "PGSERVICE" not in found
    wanted = {"host": "::1", "port": "6000", "user": "reader", "dbname": "a b"}
    wanted |= {"password": "p@ss w/rd", "sslmode": "prefer"}
    assert conninfo_to_dict(found["DATABASE_URL"]) == wanted
    names = {"dbname": "PGDATABASE"}
    for name, value in wanted.items():
        assert found[names.get(name, f"PG{name.upper()}")] == value


def test_a_password_in_the_words_of_a_command_is_struck_out(tmp_path: Path) -> None:
    server = Server("url", "127.0.0.1", 1, "admin", "secret-word")
    tool = "import os, sys; sys.exit('cannot reach ' + os.environ['DATABASE_URL'])"
    command = Command.read(f"run: {sys.executable} -c {shlex.quote(tool)}", tmp_path, "here")
    said = commands.run(command, server, "x", "reader")
    assert said is not None
    assert "postgresql://reader:********@127.0.0.1:1/x" in said


def _decide(root: Path, value: str) -> Path | Command | None:
    return decide(root, command_line={}, environment={}, ini={"migrations": value}).migrations


def test_the_setting_names_a_folder_or_a_command(tmp_path: Path) -> None:
    assert _decide(tmp_path, "db/migrations") == tmp_path / "db/migrations"
    where = "sql_migrations in the ini file"
    assert _decide(tmp_path, "run: alembic upgrade head") == Command(
        "alembic upgrade head", tmp_path, where
    )
    assert _decide(tmp_path, "\nrun:dbmate up\n  files: db/*.sql 'a b'\n") == Command(
        "dbmate up", tmp_path, where, ("db/*.sql", "a b")
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("run:", "has the line 'run:'"),
        ("run: a\nrun: b", "has the line 'run: b'"),
        ("run: a\ndbmate up", "has the line 'dbmate up'"),
        ("files: a", "names no command"),
        ("run: a 'b", "cannot be split into words: No closing quotation"),
    ],
)
def test_a_setting_that_is_neither(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _decide(tmp_path, value)
    assert str(caught.value).startswith(f"sql_migrations in the ini file {said}")


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    write_files(empty_project, FILES)
    write(
        empty_project,
        "pytest.ini",
        f"[pytest]\nsql_platform = platform\nsql_migrations = {RUN}\n",
    )
    return empty_project


def test_blocks_run_on_what_the_command_made(project: pytest.Pytester) -> None:
    result = project.runpytest("docs", "--sql-report=report.json")
    result.assert_outcomes(passed=1)
    made = RUN.replace("run: ", "migrations by `") + "`"
    result.stdout.fnmatch_lines(
        [f"sql-snippets: server embedded, role postgres, {made}", f"17.*, {made}"]
    )


def test_no_migration_is_blamed_and_the_failure_says_why(project: pytest.Pytester) -> None:
    change(project, "docs/page.md", "rows=0", "rows=1")
    result = project.runpytest("docs")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*migration: not looked for, as `*tool.py` makes them all at once"]
    )


def test_a_command_that_fails_fails_the_blocks_in_one_sentence(project: pytest.Pytester) -> None:
    write(project, "tool.py", "import sys; sys.exit('broken')")
    result = project.runpytest("docs")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*tool.py`, which makes the schema, failed with exit status 1.*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_verification_page_does_not_say_unchanged_of_what_nobody_knows(folder: Path) -> None:
    def shown(setting: str) -> str:
        recipe = _recipe(folder, setting)
        report = Report(datetime.now(UTC), ServerFacts("embedded", "17.1"), recipe=recipe.digest())
        report = stamps.compare_with(report, recipe)
        return verification_page(Pages([], lambda page, _: page, report))

    assert "not known: a command makes the migrations" in shown(RUN)
    assert "unchanged" in shown(f"{RUN}\nfiles: tool.py")
