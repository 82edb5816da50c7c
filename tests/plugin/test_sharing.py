"""Several processes on one server, and what is left when some of them are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sql_snippets.database.databases import Template, open_template
from sql_snippets.database.keeping import Address, Broker, OthersKeeper, OwnKeeper, Turns, identity
from sql_snippets.database.reach import read_definitions
from sql_snippets.database.workplace import Workplace
from sql_snippets.servers.server import ServerUnavailable
from tests.plugin.small_project import ADDOPTS, OUTSIDE
from tests.plugin.small_recipe import write_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.recipes import Recipe

INI = """\
[pytest]
sql_platform = recipe/platform
sql_migrations = recipe/migrations
sql_seed = recipe/seed.sql
"""
SECONDS = 180


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return write_recipe(tmp_path_factory.mktemp("sharing") / "recipe")


@pytest.fixture(scope="module")
def template(recipe: Recipe, cache_dir: Path) -> Iterator[Template]:
    with open_template("embedded", recipe, cache_dir=cache_dir) as opened:
        yield opened


# ---- turns -----------------------------------------------------------------------------------


def _in_thread(turns: Turns, *, alone: bool, log: list[str], name: str) -> threading.Thread:
    def run() -> None:
        with turns.hold(alone=alone):
            log.append(f"{name} in")
            time.sleep(0.05)
            log.append(f"{name} out")

    waiting = turns._waiting  # noqa: SLF001 - who has asked, which nothing else tells
    before = len(waiting)
    thread = threading.Thread(target=run)
    thread.start()
    _wait_until(lambda: f"{name} in" in log or len(waiting) > before, f"{name} has asked")
    return thread


def test_a_turn_alone_overlaps_with_none_and_waits_behind_none_that_came_later() -> None:
    turns, log = Turns(), list[str]()
    with turns.hold(alone=False):
        threads = [
            _in_thread(turns, alone=False, log=log, name="a"),
            _in_thread(turns, alone=True, log=log, name="b"),
            _in_thread(turns, alone=False, log=log, name="c"),
            _in_thread(turns, alone=False, log=log, name="d"),
        ]
        threads[0].join(SECONDS)
        assert log == ["a in", "a out"]
    for thread in threads:
        thread.join(SECONDS)
    assert log[:4] == ["a in", "a out", "b in", "b out"]
    assert sorted(log[4:6]) == ["c in", "d in"]


@contextmanager
def _broker(keeper: OwnKeeper) -> Iterator[Address]:
    broker = Broker(keeper)
    try:
        yield broker.address
    finally:
        broker.close()
        keeper.close()


def test_all_get_one_template_and_it_is_opened_when_the_first_asks(
    recipe: Recipe, cache_dir: Path
) -> None:
    opened: list[Template] = []

    @contextmanager
    def opening() -> Iterator[Template]:
        with open_template("embedded", recipe, cache_dir=cache_dir) as template:
            opened.append(template)
            yield template

    with _broker(OwnKeeper(opening)) as address:
        one, other = OthersKeeper(address), OthersKeeper(address)
        assert not opened
        assert identity(one.get()) == identity(other.get())
        with other.get().clone() as database, database.connect() as connection:
            assert connection.execute("select count(*) from item").fetchone() == (2,)
        assert len(opened) == 1
        one.close()
        other.close()
    assert not Path(opened[0].server.host).exists()


def test_what_cannot_be_opened_is_said_to_all_in_the_same_words() -> None:
    tries: list[int] = []

    @contextmanager
    def opening() -> Iterator[Template]:
        tries.append(1)
        raise ServerUnavailable("It is Sunday.")
        yield

    with _broker(OwnKeeper(opening)) as address:
        for _ in range(2):
            keeper = OthersKeeper(address)
            with pytest.raises(ServerUnavailable, match=r"^It is Sunday\.$"):
                keeper.get()
            keeper.close()
    assert len(tries) == 1


def test_a_process_that_ends_gives_its_turn_back(template: Template) -> None:
    with _broker(OwnKeeper(lambda: contextlib.nullcontext(template))) as address:
        killed, waiting = OthersKeeper(address), OthersKeeper(address)
        turn = killed.turn(alone=True)
        turn.__enter__()
        ended = threading.Event()

        def end() -> None:
            ended.set()
            killed.close()

        threading.Timer(0.2, end).start()
        with waiting.turn(alone=True):
            assert ended.is_set()
        waiting.close()


def test_a_stranger_is_not_answered(template: Template) -> None:
    with _broker(OwnKeeper(lambda: contextlib.nullcontext(template))) as address:
        keeper = OthersKeeper(Address(address.port, "guessed"))
        with pytest.raises(Exception, match="digest"):
            keeper.get()
        honest = OthersKeeper(address)
        assert honest.get().name == template.name
        honest.close()


# ---- who must be alone -----------------------------------------------------------------------

REACHING = [
    "select * from pg_stat_activity",
    "select pg_terminate_backend(pid) from pg_locks",
    "select cron.reaching_by_function()",
    "select cron.ending_in_a_name()",
    "table cron.reaching_view",
    "insert into public.with_trigger values (1)",
    "create role somebody",
    "ALTER\n  Role postgres set work_mem = '1MB'",
    "grant pg_monitor to postgres",
    "alter system set work_mem = '1MB'",
    "do $$ begin execute 'drop user x'; end $$",
    "select rolname from pg_roles",
    "drop database other",
]
CONFINED = [
    "select * from public.item",
    "grant select on public.item to postgres",
    "revoke all on function cron.schedule(text, text, text) from public",
    "select pg_try_advisory_xact_lock(1), pg_sleep(0.1)",
    "set role postgres",
    "select cron.schedule('a', '* * * * *', 'select 1')",
    "select 'role' as user",
]


@pytest.fixture(scope="module")
def reaching(template: Template) -> Iterator[Any]:
    with template.clone() as database:
        with template.server.connect(database.name) as connection:
            connection.execute(
                "create view cron.reaching_view as select pid from pg_stat_activity;"
                "create function cron.inner_one() returns bigint language sql "
                "begin atomic select count(*) from cron.reaching_view; end;"
                "create function cron.reaching_by_function() returns bigint language plpgsql as "
                "$$ begin return cron.inner_one(); end $$;"
                # The server puts its dollar quotes right behind the last word.
                "create function cron.ending_in_a_name() returns int language sql as "
                "'select pid from cron.reaching_view';"
                "create function public.on_insert() returns trigger language plpgsql as "
                "$$ begin perform pg_reload_conf(); return new; end $$;"
                "create table public.with_trigger (id int);"
                "create trigger t before insert on public.with_trigger for each row "
                "execute function public.on_insert();"
            )
        yield read_definitions(database)


@pytest.mark.parametrize("sql", REACHING)
def test_what_reaches_the_whole_server_is_known(reaching: Any, sql: str) -> None:
    assert not reaching.is_confined(sql)


@pytest.mark.parametrize("sql", CONFINED)
def test_what_stays_in_its_database_is_known(reaching: Any, sql: str) -> None:
    assert reaching.is_confined(sql)


def test_what_is_set_back_is_set_back_alone(template: Template) -> None:
    """One worker is in the middle of a block while another's clone with a new role ends."""
    with _broker(OwnKeeper(lambda: contextlib.nullcontext(template))) as address:
        one, other = (Workplace(OthersKeeper(address), is_shared=True) for _ in range(2))
        one.begin("select 1")
        entered, done = threading.Event(), threading.Event()

        def make_a_role() -> None:
            # Not seen to reach further, and does so all the same.
            other.begin("select 1")
            with other.ground.template.clone() as database:
                with template.server.connect(database.name) as connection:
                    connection.execute("create role passer_by")
                entered.set()
            other.end()
            done.set()

        thread = threading.Thread(target=make_a_role)
        thread.start()
        assert entered.wait(SECONDS)
        assert not done.wait(0.3)
        with template.server.connect(template.maintenance) as admin:
            assert admin.execute("select 1 from pg_roles where rolname = 'passer_by'").fetchone()
        one.end()
        assert done.wait(SECONDS)
        thread.join()
        with template.server.connect(template.maintenance) as admin:
            role = admin.execute("select 1 from pg_roles where rolname = 'passer_by'").fetchone()
        assert role is None
        one.close()
        other.close()


# ---- whole runs ------------------------------------------------------------------------------


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: Path, recipe: Recipe
) -> Path:
    monkeypatch.setenv("SQL_SNIPPETS_CACHE_DIR", str(cache_dir))
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", ADDOPTS)
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    (tmp_path / "recipe").symlink_to(recipe.migrations[0].parents[1])
    (tmp_path / "docs").mkdir()
    return tmp_path


def _write(project: Path, blocks: dict[str, str]) -> None:
    parts = [f"<!-- sql: {words} -->\n\n```sql\n{sql}\n```\n" for words, sql in blocks.items()]
    (project / "docs" / "page.md").write_text("# Page\n\n" + "\n".join(parts), encoding="utf-8")


def _start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    # Whoever started these tests in the background has them ignore it, and so would the run.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "docs", "-v", "-p", "no:cacheprovider", *arguments],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _run(project: Path, *arguments: str) -> tuple[int, str]:
    process = _start(project, *arguments)
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def _server_directories(run: subprocess.Popen[str]) -> set[Path]:
    """Return the directories of a run's own servers: other runs may be at work on this machine."""
    return {
        Path(command[-1])
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _parent_of(stat) == run.pid
        and len(command := _command_of(stat.parent).rstrip("\0").split("\0")) > 1
        and command[-2].endswith("guardian.py")
    }


def _in_session(session: int) -> list[str]:
    """Return the commands of the processes that a run of pytest started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_text(encoding="utf-8"))
    return found


def _wait_until(is_so: Any, what: str, every: float = 0.05) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(every)


def _wait_for_sleep(run: subprocess.Popen[str], count: int = 1) -> Path:
    """Wait until a block sleeps on the server of the run, and return the server's directory."""
    found: list[Path] = []

    def sleeps() -> bool:
        for directory in _server_directories(run):
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(
                    host=str(directory / "data"),
                    user="sql_snippets_admin",
                    dbname="postgres",
                    autocommit=True,
                ) as admin,
            ):
                row = admin.execute(
                    "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
                ).fetchone()
                if row and int(row[0]) >= count:
                    found.append(directory)
                    return True
        return False

    # Each look is a session of its own, which the start of the run would have to wait for.
    _wait_until(sleeps, f"{count} blocks of the run sleep", every=0.3)
    return found[0]


SLEEPERS = {f"name=sleep-{n}": "select pg_sleep(25);" for n in range(4)}


def test_workers_share_the_server_and_those_who_look_around_see_no_other(project: Path) -> None:
    _write(
        project,
        {f"name=quiet-{n} rows=1": "select pg_sleep(0.2);" for n in range(6)}
        | {
            f"name=looks-{n}": (
                "select pg_sleep(0.2);\nselect 1 / (count(*) = 1)::int as alone "
                "from pg_stat_activity\nwhere backend_type = 'client backend';"
            )
            for n in range(4)
        },
    )
    # Of each worker, whatever it is given to run.
    (project / "docs" / "conftest.py").write_text(
        "import os\n"
        "import pytest\n"
        "@pytest.fixture(autouse=True, scope='session')\n"
        "def where(sql_template):\n"
        "    open(f'at-{os.getpid()}', 'w').write(sql_template.server.host)\n",
        encoding="utf-8",
    )
    status, output = _run(project, "-n", "2", "--dist", "load")
    assert status == 0, output
    assert "10 passed" in output
    files = list(project.glob("at-*"))
    assert len(files) == 2
    assert len({file.read_text(encoding="utf-8") for file in files}) == 1


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_a_run_that_is_ended_leaves_nothing(
    project: Path, workers: list[str], number: signal.Signals
) -> None:
    _write(project, SLEEPERS)
    report = project / "report.json"
    report.write_text("of the last whole run", encoding="utf-8")
    run = _start(project, *workers, "--sql-report", str(report))
    directory = _wait_for_sleep(run, 2 if workers else 1)
    if number is signal.SIGINT:
        # As a terminal sends it.
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    run.communicate(timeout=SECONDS)
    _wait_until(lambda: not directory.exists(), "the server's directory is gone")
    _wait_until(lambda: not _in_session(run.pid), f"no process is left: {_in_session(run.pid)}")
    assert report.read_text(encoding="utf-8") == "of the last whole run"

    _write(project, {"name=quick": "select 1;"})
    status, output = _run(project, *workers)
    assert status == 0, output


def test_a_worker_that_is_killed_takes_its_block_only(project: Path) -> None:
    _write(
        project,
        {"name=killer": "select pg_sleep(25);"}
        | {f"name=quick-{n}": f"select {n};" for n in range(8)},
    )
    run = _start(project, "-n", "2")
    directory = _wait_for_sleep(run)
    workers = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if _parent_of(path) == run.pid and "exec(eval" in _command_of(path.parent)
    ]
    with psycopg.connect(
        host=str(directory / "data"), user="sql_snippets_admin", dbname="postgres"
    ) as admin:
        row = admin.execute(
            "select datname from pg_stat_activity where wait_event = 'PgSleep' "
            "and query like '%25%'"
        ).fetchone()
    assert row is not None
    (victim,) = [number for number in workers if f"_{number}_" in str(row[0])]
    os.kill(victim, signal.SIGKILL)
    output, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert "1 failed, 8 passed" in output
    assert re.search(r"worker 'gw\d' crashed while running 'docs/page.md::page::killer'", output)
    assert not directory.exists()


def _parent_of(stat: Path) -> int:
    with contextlib.suppress(OSError):
        return int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return 0


def _command_of(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_text(encoding="utf-8")
    return ""


def _postmaster(directory: Path) -> int:
    text = (directory / "data" / "postmaster.pid").read_text(encoding="utf-8")
    return int(text.split("\n")[0])


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_a_server_that_dies_fails_what_ran_and_the_rest_goes_on(
    project: Path, workers: list[str]
) -> None:
    _write(
        project,
        {f"name=before-{n}": "select 1;" for n in range(2)}
        | {"name=victim": "select pg_sleep(25);"}
        | {f"name=after-{n}": "select 1;" for n in range(6)},
    )
    run = _start(project, *workers)
    directory = _wait_for_sleep(run)
    postmaster = _postmaster(directory)
    guardian = _parent_of(Path(f"/proc/{postmaster}/stat"))
    assert _parent_of(Path(f"/proc/{guardian}/stat")) == run.pid
    # What a killed postmaster leaves ends by itself, later.
    backends = [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _parent_of(stat) == postmaster
    ]
    for number in (postmaster, guardian, *backends):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    output, _ = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert "The server died while this was run" in output
    assert "Traceback" not in output
    # With two workers, the other one may have been in the middle of a block as well.
    found = re.search(r"(\d) failed, (\d) passed", output)
    assert found is not None, output
    failed, passed = map(int, found.groups())
    assert failed + passed == 9
    assert 1 <= failed <= (2 if workers else 1), output
    assert output.count("::victim FAILED") + output.count("FAILED docs/page.md::page::victim") >= 1
    assert not directory.exists()


def test_a_killed_backend_fails_its_block_only(project: Path) -> None:
    _write(project, {"name=victim": "select pg_sleep(25);", "name=after": "select 1;"})
    # To look for the migration to blame is to sleep once more on each revision.
    run = _start(project, "--sql-no-blame")
    directory = _wait_for_sleep(run)
    with psycopg.connect(
        host=str(directory / "data"), user="sql_snippets_admin", dbname="postgres"
    ) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        )
    output, _ = run.communicate(timeout=SECONDS)
    assert "error[57P01]: terminating connection due to administrator command" in output
    assert "1 failed, 1 passed" in output
    assert "Traceback" not in output


def test_a_full_disk_fails_its_block_only(project: Path) -> None:
    _write(
        project,
        {"name=before": "select 1;"}
        | {
            "name=victim": "create table big (t text);\n"
            "alter table big alter t set storage external;\n"
            "insert into big select repeat('x', 1000000) from generate_series(1, 1000);",
        }
        | {f"name=after-{n}": "create table t (id int);" for n in range(3)},
    )
    script = (
        "mount -t tmpfs -o size=600m,mode=1777 none /dev/shm && "
        f"exec {sys.executable} -m pytest docs -v -p no:cacheprovider"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": "/dev/shm"},  # noqa: S108 - memory is what is to be full
        timeout=5 * SECONDS,
    )
    if "unshare failed" in done.stderr and not os.environ.get("CI"):
        pytest.skip("A small disk can be mounted by root only.")
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert re.search(r"No space left on device|The server died", done.stdout)
    assert "Traceback" not in done.stdout
