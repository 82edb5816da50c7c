from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database import ground
from sql_snippets.database.databases import (
    Template,
    attach_template,
    open_live_database,
    open_template,
)
from sql_snippets.database.recipes import MigrationFailed, Recipe, RecipeError
from sql_snippets.plan import RunOptions
from sql_snippets.running.editor import run_as_editor
from sql_snippets.servers import prepared
from sql_snippets.servers.server import ServerUnavailable
from tests.plugin.small_recipe import require, require_real_cron, write_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTACH = """
import sys
from sql_snippets.database.databases import attach_template
with attach_template(sys.stdin.read()).clone() as database, database.connect() as connection:
    print(connection.execute("select count(*) from item").fetchone()[0])
"""
PREPARE = """
import sys
from pathlib import Path
from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe
folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe.from_folders(platform=folder / "platform", migrations=folder / "migrations",
                             seed=folder / "seed.sql", role="postgres")
with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as database:
    with database.connect() as connection:
        print(connection.execute("select count(*) from item").fetchone()[0])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("databases")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    return write_recipe(folder / "recipe")


@pytest.fixture(scope="module", params=["embedded", "system"])
def template(request: pytest.FixtureRequest, folder: Path, recipe: Recipe) -> Iterator[Template]:
    require(request.param)
    with open_template(request.param, recipe, cache_dir=folder / "cache") as opened:
        yield opened


def _databases(template: Template) -> set[object]:
    with template.server.connect(template.maintenance) as admin:
        return {row[0] for row in admin.execute("select datname from pg_database").fetchall()}


def test_clones_are_equal_and_apart(template: Template) -> None:
    before = _databases(template)
    with template.clone() as one, template.clone() as other:
        assert one.name != other.name
        with one.connect() as left, other.connect() as right:
            left.execute("insert into item (name) values ('only here')")
            assert left.execute("select count(*) from item").fetchone() == (3,)
            assert right.execute("select count(*) from item").fetchone() == (2,)
    assert _databases(template) == before


def test_a_clone_has_the_owner_the_grants_and_the_settings_of_the_template(
    template: Template,
) -> None:
    with template.clone() as database, database.connect() as connection:
        assert connection.execute("show work_mem").fetchone() == ("5MB",)
        assert connection.execute("show search_path").fetchone() == ('"$user", public, extra',)
        assert connection.execute(
            "select pg_get_userbyid(datdba), has_database_privilege('small_reader', oid, 'temp'), "
            "has_database_privilege('pg_monitor', oid, 'temp') "
            "from pg_database where datname = current_database()"
        ).fetchone() == ("postgres", True, False)


def test_a_session_is_a_login_of_the_role(template: Template) -> None:
    with template.clone() as database:
        with database.connect(application_name="me") as connection:
            assert connection.execute(
                "select session_user, current_user, current_setting('application_name'), "
                "current_setting('is_superuser')"
            ).fetchone() == ("postgres", "postgres", "me", "off")
        with database.connect("small_reader") as connection:
            assert connection.execute("select session_user").fetchone() == ("small_reader",)
        with pytest.raises(ServerUnavailable, match="as no_such_role"):
            database.connect("no_such_role")


def test_a_clone_goes_whatever_happens_in_it(template: Template) -> None:
    before = _databases(template)
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        template.clone() as database,
        database.connect(),  # a session that is still open when the clone is dropped
    ):
        raise RuntimeError("in the middle")
    assert _databases(template) == before


def test_a_template_that_cannot_be_cloned_is_an_error_and_leaves_nothing(
    template: Template,
) -> None:
    before = _databases(template)
    # Fails in "create database", then in a statement after it.
    for broken in (
        replace(template, name="no_such_template"),
        replace(template, grants=(("no_such_role", "CONNECT", "false"),)),
    ):
        with (
            pytest.raises(ServerUnavailable, match=r"could not be cloned.*no_such"),
            broken.clone(),
        ):
            pass
    assert _databases(template) == before


def test_what_a_block_does_to_roles_goes_with_its_clone(template: Template) -> None:
    with template.clone() as database:
        assert (
            run_as_editor(
                database,
                "alter role postgres set statement_timeout = '10min'; create role left_behind",
                RunOptions("postgres"),
            ).error
            is None
        )
        with database.connect() as connection:
            assert connection.execute("show statement_timeout").fetchone() == ("10min",)
    with template.clone() as database, database.connect() as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("0",)
        assert (
            connection.execute("select from pg_roles where rolname = 'left_behind'").fetchone()
            is None
        )


def test_another_process_can_attach(template: Template) -> None:
    text = template.to_json()
    assert attach_template(text) == template
    done = subprocess.run(
        [sys.executable, "-c", ATTACH], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


def test_the_template_says_what_it_is(template: Template, recipe: Recipe) -> None:
    assert template.migration_head == "2_procedure"
    assert template.recipe_digest == recipe.digest()
    parts = {*template.stand_ins, *(part.split()[0] for part in template.server.real_parts)}
    assert parts == {"pg_cron"}
    if template.server.kind == "embedded":
        assert template.stand_ins == ("pg_cron",)


def test_real_cron_can_be_used_in_a_clone_and_nothing_fires(folder: Path, recipe: Recipe) -> None:
    require_real_cron()
    with open_template("system", recipe, cache_dir=folder / "cache") as template:
        assert template.server.real_parts[0].startswith("pg_cron 1.")
        assert template.stand_ins == ()
        with template.clone() as database:
            outcome = run_as_editor(
                database,
                "select cron.schedule('second', '* * * * *', 'select 1');"
                "select cron.alter_job(1, active := false);"
                "select cron.unschedule('second');"
                "select jobname, database, nodeport, active from cron.job",
                RunOptions("postgres"),
            )
            assert outcome.error is None
            assert outcome.rows == (("nightly", "postgres", "5432", "f"),)
        with template.server.connect(template.maintenance) as admin:
            # The scheduler serves a database that has no jobs.
            assert admin.execute("select to_regclass('cron.job')").fetchone() == (None,)
            assert admin.execute(
                "select count(*) from pg_stat_activity where datname like 'sql\\_snippets\\_%'"
            ).fetchone() == (0,)


def test_real_cron_runs_in_a_live_database(folder: Path, recipe: Recipe) -> None:
    require_real_cron()
    with open_live_database("system", recipe, cache_dir=folder / "cache") as database:
        assert database.server.real_parts[0].startswith("pg_cron 1.")
        assert database.server.host == "127.0.0.1"
        with database.connect() as connection:
            assert connection.execute(
                "select jobname, database, nodeport from cron.job"
            ).fetchall() == [("nightly", database.name, database.server.port)]
            assert connection.execute("select count(*) from item").fetchone() == (2,)
        with database.server.connect(database.name) as admin:
            assert admin.execute(
                "select datname from pg_stat_activity where application_name = 'pg_cron scheduler'"
            ).fetchall() == [(database.name,)]


def test_a_live_database_without_real_workers(folder: Path, recipe: Recipe) -> None:
    with (
        open_live_database("embedded", recipe, cache_dir=folder / "cache") as database,
        database.connect() as connection,
    ):
        assert database.server.host == "127.0.0.1"
        assert connection.execute("select count(*) from item").fetchone() == (2,)


def test_a_live_database_needs_its_own_server(folder: Path, recipe: Recipe) -> None:
    with (
        pytest.raises(ServerUnavailable, match="a server of its own"),
        open_live_database("postgresql://a@127.0.0.1/b", recipe, cache_dir=folder),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "line", "column", "sqlstate"),
    [
        ("select 1;\nselect 2\n  frmo item;", 3, 8, "42601"),
        ("select 1;\nselect *\n  from no_such_table;", 3, 8, "42P01"),
        # An error without a position: the statement that failed.
        ("select 1; -- ;\n\n  /* ; */ select 1 / 0;", 3, 11, "22012"),
        ("do $$ begin raise 'no; luck'; end $$;", 1, 1, "P0001"),
        ("select 'ü', 'two';\n\tcreate extension pg_stat_statements;", 2, 19, "42501"),
    ],
)
def test_a_failing_migration_is_named_by_line_and_column(
    tmp_path: Path, text: str, line: int, column: int, sqlstate: str
) -> None:
    recipe = write_recipe(tmp_path / "recipe", **{"3_broken": text})
    with (
        pytest.raises(MigrationFailed) as caught,
        open_template("embedded", recipe, cache_dir=tmp_path / "cache"),
    ):
        pass
    assert f"3_broken.sql:{line}:{column}: {sqlstate} " in str(caught.value)
    # Nothing half built is kept.
    assert not list((tmp_path / "cache").glob("*/"))


def test_a_migration_that_is_no_text_is_named(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe")
    recipe.migrations[0].write_bytes(b"select '\xff'")
    with (
        pytest.raises(RecipeError, match=r"1_tables.sql is not UTF-8: byte 8 is 0xff"),
        open_template("embedded", recipe, cache_dir=tmp_path / "cache"),
    ):
        pass


def test_two_processes_prepare_at_once(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    del recipe
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(folder / "recipe"), str(tmp_path / "cache")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        with process:
            out, err = process.communicate()
        assert (process.returncode, out.strip(), err) == (0, "2", "")
    assert len(list((tmp_path / "cache").glob("*/"))) == 1
    assert not list((tmp_path / "cache").glob("*.new"))


def _count(recipe: Recipe, cache: Path) -> object:
    with (
        open_template("embedded", recipe, cache_dir=cache) as template,
        template.clone() as database,
        database.connect() as connection,
    ):
        row = connection.execute("select count(*) from item").fetchone()
        assert row is not None
        return row[0]


def test_a_damaged_entry_is_made_again(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    assert _count(recipe, cache) == 2
    (entry,) = cache.glob("*/")
    stamp = (entry / "manifest.json").stat().st_ino
    assert _count(recipe, cache) == 2
    assert (entry / "manifest.json").stat().st_ino == stamp, "the entry was not used"
    assert not caplog.records

    (entry / "data" / "PG_VERSION").write_text("18")
    assert _count(recipe, cache) == 2
    assert "damaged and made again" in caplog.text
    assert (entry / "data" / "PG_VERSION").read_text() != "18"


def _flip(entry: Path) -> None:
    content = bytearray((entry / "data" / "base" / "table").read_bytes())
    content[len(content) // 2] ^= 1
    (entry / "data" / "base" / "table").write_bytes(content)


def _cut(entry: Path) -> None:
    text = (entry / "manifest.json").read_text()
    (entry / "manifest.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        _cut,
        lambda entry: (entry / "data" / "base" / "table").unlink(),
        lambda entry: (entry / "manifest.json").unlink(),
        lambda entry: (entry / "manifest.json").write_text("[]"),
    ],
)
def test_every_damage_is_seen(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    entry = _stored(tmp_path, "entry")
    for name in ("fine", "damaged"):
        (tmp_path / name).mkdir()
    assert prepared.restore(entry, tmp_path / "fine", None) == {"made": "here"}
    assert (tmp_path / "fine" / "base" / "table").read_bytes() == b"rows" * 1000
    assert not (tmp_path / "fine" / "postmaster.pid").exists()
    damage(entry)
    with pytest.raises(prepared.Damaged):
        prepared.restore(entry, tmp_path / "damaged", None)


def _stored(folder: Path, name: str) -> Path:
    data = folder / "data"
    (data / "base").mkdir(parents=True, exist_ok=True)
    (data / "base" / "table").write_bytes(b"rows" * 1000)
    (data / "postmaster.pid").write_text("1")
    prepared.store(folder / name, data, {"made": "here"})
    return folder / name


def test_a_cache_that_cannot_be_used_is_said_and_does_no_harm(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert _count(recipe, tmp_path / "cache") == 2
    assert "cannot be used" in caplog.text


def test_the_cache_keeps_the_newest_few(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for number in range(prepared.MOST_ENTRIES + 2):
        with prepared.locked_entry(cache, str(number)) as entry:
            assert entry is not None
            prepared.store(entry, _stored(tmp_path, "other") / "data", {})
            os.utime(entry, (number, number))
        # Leaving it counted as a use.
        os.utime(entry, (number, number))
    with prepared.locked_entry(cache, "2"):
        pass
    kept = {str(number) for number in range(2, prepared.MOST_ENTRIES + 2)}
    assert {path.name for path in cache.glob("*/")} == kept
    assert {path.stem for path in cache.glob("*.lock")} == kept


def test_a_prepared_database_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = tmp_path / "key"
    entry.mkdir()
    with prepared.locked_entry(tmp_path, "key") as ours:
        assert ours == entry
    if os.geteuid() == 0:
        os.chown(entry, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with prepared.locked_entry(tmp_path, "key") as theirs:
        assert theirs is None
    assert "belongs to another user" in caplog.text


def test_the_digest_sees_every_change(tmp_path: Path) -> None:
    def digest(name: str, **changes: str) -> str:
        return write_recipe(tmp_path / name, **changes).digest()

    assert digest("a") == digest("b")
    assert (
        len({digest("c"), digest("d", **{"3_x": "select 1"}), digest("e", **{"3_y": "select 1"})})
        == 3
    )


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("create role passer_by", "exists (select from pg_roles where rolname = 'passer_by')"),
        (
            "alter role small_reader createdb nologin",
            "(select rolcreatedb or not rolcanlogin from pg_roles where rolname = 'small_reader')",
        ),
        ("alter role small_reader rename to other", "to_regrole('small_reader') is null"),
        (
            "grant pg_monitor to small_reader",
            "pg_has_role('small_reader', 'pg_monitor', 'member')",
        ),
        (
            "alter role small_reader set work_mem = '7MB'",
            "exists (select from pg_db_role_setting where setdatabase = 0)",
        ),
        (
            "alter role small_reader password 'x'",
            "(select rolpassword is not null from pg_authid where rolname = 'small_reader')",
        ),
        (
            "alter system set work_mem = '7MB'",
            "exists (select from pg_file_settings where sourcefile like '%auto.conf')",
        ),
    ],
)
def test_what_is_done_to_the_whole_server_goes_with_the_clone(
    template: Template, change: str, look: str
) -> None:
    def is_there() -> object:
        with template.server.connect(template.maintenance) as admin:
            row = admin.execute(f"select {look}".encode()).fetchone()
        return row and row[0]

    with template.clone() as database:
        with template.server.connect(database.name) as connection:
            connection.execute(change.encode())
        assert is_there()
    assert not is_there()
    with template.clone() as database, database.connect("small_reader") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_clone_that_blocks_share_does_not_get_old(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its seed counts from when it is made, and a run may take an hour."""
    now = 1000.0
    monkeypatch.setattr(ground, "monotonic", lambda: now)
    with ground.Ground(template) as shared:
        first = shared.shared.name
        now += ground.FRESH_SECONDS
        shared.renew()
        assert shared.shared.name == first
        now += 1
        assert shared.shared.name == first  # not in the middle of a check
        shared.renew()
        second = shared.shared
        assert second.name != first
        with second.server.connect(second.name) as admin:
            names = admin.execute("select datname from pg_database").fetchall()
        assert (first,) not in names
        assert (second.name,) in names
