"""The pytest edge: collect the pages, run their blocks, report."""
# Items that are no functions get fixtures only through pytest's private names, as its doctest does.
# ruff: noqa: SLF001

from __future__ import annotations

import inspect
import os
import re
import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pluggy
import psycopg
import pytest
from _pytest._code.code import (
    ReprEntryNative,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTraceback,
    TerminalRepr,
    Traceback,
)
from _pytest.fixtures import TopRequest
from _pytest.junitxml import xml_key

from sql_snippets.database import catalog
from sql_snippets.database.databases import (
    Database,
    MigrationFailed,
    Template,
    open_template,
    server_key,
)
from sql_snippets.database.keeping import DIED, Address, Broker, OthersKeeper, OwnKeeper
from sql_snippets.database.recipes import Recipe, RecipeError, read_sql, stand_in_for
from sql_snippets.database.workplace import Workplace
from sql_snippets.judging.blame import find_migration
from sql_snippets.judging.checks import (
    check_output,
    problems_of,
    start_of,
)
from sql_snippets.judging.drills import NOT_PRODUCED
from sql_snippets.judging.facts import check_facts, checked_codes
from sql_snippets.judging.identifiers import Name, check_identifiers, names_on
from sql_snippets.judging.tables import check_table
from sql_snippets.judging.trials import Trial, try_alone, try_drill, try_in_scenario
from sql_snippets.model import (
    BoundTable,
    Drill,
    FactsTable,
    Failure,
    Finding,
    Location,
    Outcome,
    Page,
    Problem,
    Scenario,
    Snippet,
    Step,
    Unchecked,
)
from sql_snippets.reading.pages import read_page
from sql_snippets.reading.scenario_code import digest_of as digest_of_python
from sql_snippets.reading.scenario_code import files_of, is_local, text_of
from sql_snippets.reading.site import Site, SiteError, load_site
from sql_snippets.reading.source import PageError
from sql_snippets.results.diagnostics import draw_failure, github_annotation
from sql_snippets.results.report import (
    Entry,
    Kind,
    ReportError,
    ServerFacts,
    Verdict,
    describe_danger,
    hash_sql,
    make_report,
    write_report,
)
from sql_snippets.results.rewrite import CellEdit, Edit, digest_of, edit_from, write_back
from sql_snippets.results.verdicts import Kept, Verdicts, entry_of, key_of, now
from sql_snippets.servers.server import ServerUnavailable
from sql_snippets.settings import Settings, SettingsError, decide
from sql_snippets.sqltext.psql import accept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

_INI = {
    "server": "where SQL blocks run: embedded (default), system, or the URL of a server",
    "platform": "folder of SQL files run as the superuser: what the platform has around the schema",
    "migrations": "folder of SQL files that make the documented schema, run in name order",
    "seed": "SQL file run after the migrations",
    "role": "the role the pages' reader has (default: postgres)",
    "timeout": "seconds after which a block is cancelled on the server (default: 30)",
    "effects": "lines `schema.relation = effect`: queues whose rows are named as what they order",
    "identifiers": "inline code that must be names of the database: qualified (default), all, off",
    "cache_dir": "folder for prepared servers (default: sql-snippets in the user's cache folder)",
}
_ATTRIBUTE = "sql_snippets"
_CANCELLED = "57014"
# The files that paths name count by their contents.
_NOT_OF_THE_VERDICT = {
    *("root", "platform", "migrations", "seed", "cache_dir", "report"),
    *("update", "no_cache", "no_blame", "allow_remote_server"),
}
_NOT_THERE = NOT_PRODUCED.partition("{")[0]
_BEFORE = 'block "'


class ClaimsFailed(Exception):  # noqa: N818 - it says what happened to the item, as pytest's do
    """What the page says is not what the run gave."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("; ".join(str(failure.message) for failure in failures))
        self.failures = tuple(failures)


# ---- what one run of pytest shares -----------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """The state of a run: its settings, its pages as collected, and what its items gave.

    Under xdist the controller has the results and the workers have the pages.
    """

    settings: Settings
    workplace: Workplace
    verdicts: Verdicts
    keeper: OwnKeeper | None = None
    broker: Broker | None = None
    server_key: str | None = None
    python_digests: dict[tuple[Path, ...], str] = field(default_factory=dict)
    new_verdicts: dict[str, Kept] = field(default_factory=dict)
    cached: int = 0
    blames_left: int = 3
    sites: dict[Path, Site] = field(default_factory=dict)
    pages: list[MarkdownFile] = field(default_factory=list)
    blocks: int = 0
    server: ServerFacts | None = None
    migration_head: str | None = None
    recipe: str | None = None
    digests: dict[Path, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    edits: dict[tuple[Path, int, int], Edit | CellEdit] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


_RUN = pytest.StashKey[_Run]()


def _run_of(config: pytest.Config) -> _Run:
    return config.stash[_RUN]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; `settings.decide` says which of several places wins."""
    group = parser.getgroup("sql-snippets", "SQL blocks on Markdown pages")
    group.addoption(
        "--sql-server",
        metavar="SERVER",
        help="where SQL blocks run: embedded (default), system, or the URL of a server",
    )
    group.addoption(
        "--sql-allow-remote-server",
        action="store_true",
        help="accept a server URL that is not on this machine; databases are created there",
    )
    group.addoption(
        "--sql-report", metavar="FILE", help="write what was run, and verdicts, as JSON"
    )
    group.addoption(
        "--sql-update",
        action="store_true",
        help="CHANGES PAGES IN PLACE: replace output, cells and facts that differ by what is true",
    )
    group.addoption(
        "--sql-no-cache",
        action="store_true",
        help="run what has passed within a day and has not changed since, too",
    )
    group.addoption(
        "--sql-no-blame",
        action="store_true",
        help="do not look for the migration that broke a block",
    )
    for name, text in _INI.items():
        parser.addini(f"sql_{name}", text, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Decide the settings once."""
    names = ("server", "allow_remote_server", "report", "update", "no_cache", "no_blame")
    try:
        settings = decide(
            config.rootpath,
            command_line={name: config.getoption(f"sql_{name}") for name in names},
            environment=os.environ,
            ini={name: config.getini(f"sql_{name}") for name in _INI},
        )
    except SettingsError as err:
        raise pytest.UsageError(str(err)) from None
    verdicts = Verdicts(settings.cache_dir, settings.root)
    address = getattr(config, "workerinput", {}).get(_ATTRIBUTE)
    if address is not None:
        run = _Run(settings, Workplace(OthersKeeper(Address(*address)), is_shared=True), verdicts)
    else:
        keeper = OwnKeeper(lambda: _open_template(settings))
        run = _Run(settings, Workplace(keeper, is_shared=False), verdicts, keeper)
    config.stash[_RUN] = run
    if not _is_worker(config):
        config.pluginmanager.register(_Results(config, run), "sql_snippets_results")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what was started."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        _end(run)


def _end(run: _Run) -> None:
    if run.broker is not None:
        run.broker.close()
        run.broker = None
    run.workplace.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's server is; it starts when the first worker asks."""
    run = _run_of(node.config)
    # A worker on another machine starts a server of its own.
    if run.keeper is None or not node.gateway.spec.popen:
        return
    if run.broker is None:
        run.broker = Broker(run.keeper)
    node.workerinput[_ATTRIBUTE] = (run.broker.address.port, run.broker.address.key)


def _open_template(settings: Settings) -> AbstractContextManager[Template]:
    return open_template(
        settings.server,
        _recipe(settings),
        cache_dir=settings.cache_dir,
        allow_remote=settings.allow_remote_server,
    )


def _recipe(settings: Settings) -> Recipe:
    return Recipe.from_folders(
        platform=settings.platform,
        migrations=settings.migrations,
        seed=settings.seed,
        role=settings.role,
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what pages will be checked against, where a project has set that up."""
    settings = _run_of(config).settings
    if settings.migrations is None and settings.platform is None:
        return None
    try:
        head = _recipe(settings).migration_head or "none"
    except RecipeError as err:
        head = str(err)
    server = settings.server if "://" not in settings.server else "URL"
    return f"sql-snippets: server {server}, role {settings.role}, migration head {head}"


# ---- databases -------------------------------------------------------------------------------


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Show the reason why there is no database, not the way through this program to it."""
    try:
        yield
    except (ServerUnavailable, MigrationFailed, RecipeError, psycopg.Error, OSError) as err:
        raise pytest.fail.Exception(str(err).strip(), pytrace=False) from None


@pytest.fixture(scope="session")
def sql_template(pytestconfig: pytest.Config) -> Template:
    """Give the migrated template database; its server runs until the end of the session."""
    with _in_one_sentence():
        return _run_of(pytestconfig).workplace.template


@contextmanager
def _clone(template: Template) -> Iterator[Database]:
    with _in_one_sentence():
        cloning = template.clone()
        database = cloning.__enter__()
    try:
        yield database
    finally:
        with _in_one_sentence():
            cloning.__exit__(None, None, None)


@pytest.fixture
def sql_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database of the test's own, equal to the template."""
    workplace = _run_of(request.config).workplace
    with _in_one_sentence():
        function = getattr(request.node, "function", None)
        if function is not None:
            workplace.begin(_python_of(request.node, [function]))
        template = workplace.template
    with _clone(template) as database:
        yield database


def _fixture_functions(item: pytest.Item, names: Iterable[str]) -> list[object]:
    """Return the functions of fixtures and of those that they ask for."""
    waiting = list(dict.fromkeys(names))
    found: dict[str, list[object]] = {}
    for name in waiting:
        if name in found:
            continue
        definitions = item.session._fixturemanager.getfixturedefs(name, item) or ()
        found[name] = [definition.func for definition in definitions]
        waiting += [other for definition in definitions for other in definition.argnames]
    return [function for functions in found.values() for function in functions]


def _python_of(item: pytest.Item, functions: Sequence[object] = (), *names: str) -> str | None:
    """Return the project's Python that runs with an item; None when it cannot be read."""
    used = _fixture_functions(item, [*getattr(item, "fixturenames", ()), *names])
    return text_of([*functions, *used], item.config.rootpath)


# ---- collection ------------------------------------------------------------------------------


def _site_of(config: pytest.Config, path: Path) -> Site:
    """Return the site of a page; a configuration is read once for all pages it belongs to."""
    run = _run_of(config)
    site = run.sites.get(config.rootpath)
    if site is None:
        site = run.sites[config.rootpath] = load_site(config.rootpath)
    if site.config_path is None or not path.is_relative_to(site.root):
        return load_site(path.parent)
    return site


def _is_asked_for(file_path: Path, parent: pytest.Collector) -> bool:
    """Tell a page from any other Markdown file, such as a README."""
    session = parent.session
    if session.isinitpath(file_path):
        return True
    try:
        site = _site_of(parent.config, file_path)
    except SiteError:
        # Shown by the page itself; `docs` is what MkDocs takes when it is not told.
        return file_path.is_relative_to(parent.config.rootpath / "docs")
    if site.config_path is not None:
        return file_path.is_relative_to(site.docs_dir)
    return any(
        session.isinitpath(folder) and folder != parent.config.rootpath
        for folder in file_path.parents
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MarkdownFile | None:
    """Take the pages of the site, and any Markdown file that was named."""
    if file_path.suffix == ".md" and _is_asked_for(file_path, parent):
        return MarkdownFile.from_parent(parent, path=file_path)
    return None


class MarkdownFile(pytest.File):
    """One page.  Whatever is wrong with it fails an item of its own and stops no other."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Return a collector for each section, then the faults that belong to no block."""
        run = _run_of(self.config)
        run.pages.append(self)
        try:
            site = _site_of(self.config, self.path)
            page = read_page(self.path, site)
        except (SiteError, PageError, OSError) as err:
            failure = Failure(Location(self.nodeid, 1), str(err))
            run.blocks += 1
            yield FaultItem.from_parent(
                self, name="page", failure=failure, root=self.config.rootpath
            )
            return
        run.blocks += len(page.snippets) + len(page.tables) + len(page.facts)
        faults = [
            *((f"problem-{n}", p.location, p.message) for n, p in enumerate(page.problems, 1)),
            *(
                (
                    f"not-rendered-{n}",
                    fence.location,
                    f"the site does not show this: {fence.reason}",
                )
                for n, fence in enumerate(page.not_rendered, 1)
            ),
        ]
        run.blocks += len(faults)
        for snippet in page.snippets:
            if snippet.claims.output is not None:
                path = site.root / snippet.claims.output.location.path
                run.digests.setdefault(path, digest_of(path))
        for place in [table.location for table in page.tables + page.facts]:
            path = site.root / place.path
            run.digests.setdefault(path, digest_of(path))
        for section in _sections(page):
            yield Section.from_parent(self, name=section, page=page, root=site.root)
        if _mentions_names(page, run.settings):
            yield IdentifiersItem.from_parent(self, name="identifiers", page=page, root=site.root)
        for name, location, message in faults:
            yield FaultItem.from_parent(
                self, name=name, failure=Failure(location, message), root=site.root
            )


_Part = Snippet | BoundTable | FactsTable | Drill


def _parts(page: Page) -> list[_Part]:
    return sorted([*page.snippets, *page.tables, *page.facts, *page.drills], key=_place_of)


def _place_of(part: _Part) -> Location:
    return part.fence if isinstance(part, Snippet) else part.location


def _mentions_names(page: Page, settings: Settings) -> bool:
    """Whether a page is about the database and mentions what could be names of it."""
    if settings.identifiers == "off" or not (page.snippets or page.tables or page.facts):
        return bool(page.not_sql)
    return bool(page.not_sql or _names_on(page, settings))


def _names_on(page: Page, settings: Settings) -> list[Name]:
    if settings.identifiers == "off":
        return []
    checked = {number for table in page.facts for number in checked_codes(table)}
    return names_on(page, bare=settings.identifiers == "all", checked=checked)


def _sections(page: Page) -> list[str]:
    return list(dict.fromkeys(part.section for part in _parts(page)))


def _with_uncompared_output(snippet: Snippet, page: Page) -> Snippet:
    """Find the output that nothing would compare: only a drill runs a verification to its end."""
    output = snippet.claims.output
    followed = any(step.id == snippet.id for drill in page.drills for step in drill.steps)
    if snippet.claims.step is not Step.VERIFY or output is None or followed:
        return snippet
    problem = Problem(
        output.location,
        "nothing compares this output: it is what the verification says after the fix, and the "
        "block is in no section with drill=",
    )
    return replace(snippet, problems=(*snippet.problems, problem))


class Section(pytest.Collector):
    """The items below one heading; its name is the heading's anchor."""

    def __init__(self, *, page: Page, root: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.page = page
        self.root = root

    def collect(self) -> Iterable[pytest.Item]:
        """Return one item for each block, bound table and drill, in the order of the page."""
        for part in _parts(self.page):
            if part.section != self.name:
                continue
            match part:
                case Snippet():
                    snippet = _with_uncompared_output(part, self.page)
                    yield BlockItem.from_parent(
                        self, name=part.name, snippet=snippet, root=self.root
                    )
                case BoundTable():
                    yield TableItem.from_parent(self, name=part.name, table=part, root=self.root)
                case FactsTable():
                    yield FactsItem.from_parent(self, name=part.name, table=part, root=self.root)
                    for row in part.unchecked:
                        yield UncheckedItem.from_parent(self, table=part, row=row, root=self.root)
                case Drill():
                    yield DrillItem.from_parent(self, name="drill", drill=part, root=self.root)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fail a check of pages that found nothing to check."""
    run = _run_of(config)
    if not run.pages or run.blocks:
        return
    names = ", ".join(page.nodeid for page in run.pages)
    failure = Failure(
        Location(run.pages[0].nodeid, 1),
        f"no SQL block and no bound table was found on: {names}. A check of nothing proves "
        "nothing: name other pages, or see what is on them with `sql-snippets list`",
    )
    items.append(
        FaultItem.from_parent(run.pages[0], name="no-sql", failure=failure, root=config.rootpath)
    )


# ---- items -----------------------------------------------------------------------------------


class SqlItem(pytest.Item):
    """What all items share: a place on a page, fixtures by name, failures drawn at their line."""

    kind: Kind

    def __init__(self, *, place: Location, root: Path, section: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place = place
        self.root = root
        self.section = section
        self.trial = Trial()
        self.edits: list[Edit | CellEdit] = []
        self.output_differs = False
        self.substitutes: dict[str, Any] = {}
        self.just_before: Callable[[Database], None] = lambda _: None
        self.kept: Kept | None = None
        self.key: str | None = None
        # What pytest's own items without a function do (_pytest.doctest.DoctestItem).
        self.obj = None
        info = self.session._fixturemanager.getfixtureinfo(node=self, func=None, cls=None)
        self._fixtureinfo = info
        self.fixturenames = info.names_closure
        self.funcargs: dict[str, object] = {}
        self._request = TopRequest(cast("pytest.Function", self), _ispytest=True)
        self.user_properties += [("file", place.path), ("line", place.line)]

    @property
    def settings(self) -> Settings:
        """The settings of the run."""
        return _run_of(self.config).settings

    @property
    def workplace(self) -> Workplace:
        """The databases of this process."""
        return _run_of(self.config).workplace

    def fixture(self, name: str) -> Any:
        """Return the value of a fixture, set up on demand."""
        if name in self.substitutes:
            return self.substitutes[name]
        return self._request.getfixturevalue(name)

    def has_fixture(self, name: str) -> bool:
        """Say whether a fixture of this name can be seen from the page."""
        return bool(self.session._fixturemanager.getfixturedefs(name, self))

    def fixture_names(self) -> set[str]:
        """Return the fixtures that can be seen from the page, but for private ones."""
        manager: Any = self.session._fixturemanager
        if hasattr(manager, "_get_all_fixture_defs_for_node"):
            found = {fixture.argname for fixture in manager._get_all_fixture_defs_for_node(self)}
        else:  # before pytest 9.1
            found = set(manager._arg2fixturedefs)
        return {name for name in found if not name.startswith("_")}

    def scenario(self, name: str, place: Location) -> Scenario:
        """Return what the fixture of a scenario yields; `setup` has set it up."""
        if not self.has_fixture(name):
            found = catalog.nearest(name, self.fixture_names())
            meant = f'; did you mean "{found}"?' if found else ""
            raise ClaimsFailed([Failure(place, f'there is no fixture "{name}"{meant}')])
        value = self.fixture(name)
        if not isinstance(value, Scenario):
            message = f'fixture "{name}" yields {type(value).__name__}, not a Scenario'
            raise ClaimsFailed([Failure(place, message)])
        return value

    def texts(self) -> Iterable[str] | None:
        """Return the SQL that is run, None when no database is asked."""
        return None

    def scenario_name(self) -> str | None:
        """Return the fixture that produces the incident, if there is to be one."""
        return None

    def subject(self) -> object | None:
        """Return what of the page the verdict rests on; None when no verdict is kept."""
        return None

    def prepare(self) -> None:
        """Open what is needed, so that its errors are shown as those of the set-up."""
        with _in_one_sentence():
            self.workplace.shared  # noqa: B018 - opens it

    def setup(self) -> None:
        """Find the verdict of an earlier run, or take the turn and set everything up."""
        self.kept = self._find_kept()
        if self.kept is not None:
            return
        texts = self.texts()
        if texts is not None and self.workplace.is_shared:
            name = self.scenario_name()
            python = _python_of(self, (), *([name] if name else []))
            with _in_one_sentence():
                self.workplace.begin(None if python is None else "\n".join([*texts, python]))
        self._request._fillfixtures()
        if texts is not None:
            self.prepare()

    def runtest(self) -> None:
        """Check, unless that was done and nothing has changed since."""
        if self.kept is None:
            self.check()

    def check(self) -> None:
        """Check what the page says; raise when it is not true."""
        raise NotImplementedError

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the texts whose names say what the verdict depends on."""
        return self.texts()

    def failures_on(
        self, template: Template, just_before: Callable[[Database], None] | None = None
    ) -> Sequence[Failure] | None:
        """Check again in another template, leaving no trace in the item.

        ``just_before`` is called when the incident is there and the blocks before have run.

        None when what the item itself says was not put to the test, as its incident did not come
        about or a block before it failed.  Raises MigrationFailed for the seed.
        """
        state = self.trial, self.edits, self.output_differs, self.substitutes, self.just_before
        self.edits = []
        if just_before is not None:
            self.just_before = just_before
        is_ready = False
        try:
            with self.workplace.elsewhere(template), self._produced_again(template):
                is_ready = True
                self.check()
        except ClaimsFailed as err:
            others = (_NOT_THERE, _BEFORE)
            is_own = is_ready and not any(err.failures[0].message.startswith(o) for o in others)
            return err.failures if is_own else None
        except MigrationFailed:
            raise
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a fixture may raise anything
            return None
        finally:
            (
                self.trial,
                self.edits,
                self.output_differs,
                self.substitutes,
                self.just_before,
            ) = state
        return ()

    def passes_on(self, template: Template) -> bool:
        """Check again in another template, leaving no trace in the item."""
        return self.failures_on(template) == ()

    @contextmanager
    def _produced_again(self, template: Template) -> Iterator[None]:
        """Produce the incident once more, by a fixture that asks for a database and no more."""
        name = self.scenario_name()
        if name is None:
            yield
            return
        (*_, definition) = self.session._fixturemanager.getfixturedefs(name, self) or (None,)
        if definition is None or definition.argnames != ("sql_database",):
            raise ClaimsFailed([Failure(self.place, "its incident needs more than a database")])
        with template.clone() as database, ExitStack() as stack:
            if inspect.isgeneratorfunction(definition.func):
                producing = contextmanager(definition.func)(sql_database=database)
                scenario = stack.enter_context(producing)
            else:
                scenario = definition.func(sql_database=database)
            self.substitutes = {"sql_database": database, name: scenario}
            yield

    def blame(self, error: ClaimsFailed) -> None:
        """Add to a failure the migration since which there is one."""
        run = _run_of(self.config)
        opened = self.workplace.opened
        if run.settings.no_blame or not run.blames_left or opened is None or not error.failures:
            return
        if self.texts() is None:
            return
        if any(failure.sqlstate == _CANCELLED for failure in error.failures):
            # It would take as long at every revision.
            return
        run.blames_left -= 1
        since = find_migration(opened, _recipe(run.settings), self.passes_on)
        if since is not None:
            first, *others = error.failures
            note = f"migration: {since}"
            error.failures = (replace(first, notes=(*first.notes, note)), *others)

    def _find_kept(self) -> Kept | None:
        run = _run_of(self.config)
        self.key = None
        subject = self.subject()
        if subject is None or run.settings.no_cache:
            return None
        if run.server_key is None:
            try:
                run.server_key = server_key(run.settings.server, _recipe(run.settings)) or ""
            except (ServerUnavailable, RecipeError, OSError):
                # Said again, and shown, where the server is started.
                run.server_key = ""
        if not run.server_key:
            return None
        name = self.scenario_name()
        used = _fixture_functions(self, [*self.fixturenames, *([name] if name else [])])
        root = self.config.rootpath
        python = None
        if any(is_local(function, root) for function in used):
            # Also those that a fixture asks for by a name that no signature shows.
            used = _fixture_functions(self, self.fixture_names())
            files = files_of(used, root)
            if files not in run.python_digests:
                run.python_digests[files] = digest_of_python(files, root)
            python = run.python_digests[files]
        self.key = key_of(
            subject,
            id=self.nodeid,
            server=run.server_key,
            python=python,
            settings={
                setting.name: getattr(run.settings, setting.name)
                for setting in fields(run.settings)
                if setting.name not in _NOT_OF_THE_VERDICT
            },
        )
        return run.verdicts.find(self.key)

    def shown(self, snippet: Snippet, outcome: Outcome) -> list[Failure]:
        """Compare the output on the page, or accept the new one where that was asked for."""
        failures = check_output(snippet, outcome)
        output = snippet.claims.output
        if not failures or output is None:
            return failures
        self.output_differs = True
        if not self.settings.update:
            return failures
        path = self.root / output.location.path
        self.edits.append(
            Edit(
                path=path,
                first_line=output.location.line,
                last_line=output.end_line,
                old=output.text,
                new=accept(output.text, outcome, snippet.claims.volatile),
                digest=_run_of(self.config).digests[path],
            )
        )
        return []

    def settle(self, findings: Sequence[Finding]) -> None:
        """Fail with what was found, or accept what is true where that was asked for."""
        fixes = {fix for finding in findings for fix in finding.fixes}
        self.output_differs = bool(fixes)
        if self.settings.update:
            digests = _run_of(self.config).digests
            for fix in fixes:
                path = self.root / fix.path
                place = (fix.line, fix.start, fix.end)
                self.edits.append(CellEdit(path, *place, fix.old, fix.new, digests[path]))
            findings = [finding for finding in findings if not finding.fixes]
        self.conclude(Trial([finding.failure for finding in findings]))

    def conclude(self, trial: Trial) -> None:
        """Keep what the run gave for the report, and fail when something is not true."""
        self.trial = trial
        if trial.failures:
            raise ClaimsFailed(trial.failures)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Name the Markdown file and line; pytest counts lines from 0."""
        title = f"{self.place.path}:{self.place.line} {self.name}"
        return self.root / self.place.path, self.place.line - 1, title

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """Draw what is wrong on the author's lines; leave other errors to pytest."""
        failures = _failures_of(self, excinfo.value)
        if not failures:
            return super().repr_failure(excinfo, style)
        text = "\n\n".join(draw_failure(self.root, failure) for failure in failures)
        place = failures[0].location
        code = f"[{failures[0].sqlstate}]" if failures[0].sqlstate else ""
        headline = failures[0].message.partition("\n")[0]
        crash = ReprFileLocation(place.path, place.line, f"{place}: error{code}: {headline}")
        entry = ReprEntryNative([f"{text}\n\n{self._ways_on()}\n"])
        return ReprExceptionInfo(ReprTraceback([entry], None, "native"), crash)

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
        """Leave out pytest's own frames and ours, as pytest does for functions."""
        own = (
            str(Path(pytest.__file__).parents[1] / "_pytest"),
            str(Path(pluggy.__file__).parent),
            __file__,
        )
        shown = excinfo.traceback.filter(lambda entry: not str(entry.path).startswith(own))
        return shown or excinfo.traceback

    def _ways_on(self) -> str:
        command = ["pytest", self.nodeid]
        server = self.config.getoption("sql_server")
        # A URL may hold a password, and what is printed ends up in logs.
        if server and "://" not in server:
            command += ["--sql-server", server]
        lines = [f"re-run: {shlex.join(command)}"]
        if self.output_differs:
            lines.append(f"accept: {shlex.join([*command, '--sql-update'])}")
        return "\n".join(lines)

    def entry(self, verdict: Verdict, reason: str | None) -> Entry:
        """Return what the report says about this item."""
        return Entry(
            id=self.nodeid,
            page=self.place.path,
            section=self.section,
            name=self.name,
            line=self.place.line,
            kind=self.kind,
            verdict=verdict,
            seconds=round(self.trial.seconds, 6),
            reason=reason,
        )


class FaultItem(SqlItem):
    """A fault found before anything could be run; it fails by itself."""

    kind: Kind = "fault"

    def __init__(self, *, failure: Failure, **kwargs: Any) -> None:
        super().__init__(place=failure.location, **kwargs)
        self.failure = failure

    def check(self) -> None:
        """Fail."""
        raise ClaimsFailed([self.failure])


class BlockItem(SqlItem):
    """One SQL block with its claims."""

    kind: Kind = "block"

    def __init__(self, *, snippet: Snippet, **kwargs: Any) -> None:
        super().__init__(place=start_of(snippet), section=snippet.section, **kwargs)
        self.snippet = snippet
        if snippet.excluded is not None and not snippet.problems:
            self.add_marker(pytest.mark.skip(reason=snippet.excluded))

    def texts(self) -> Iterable[str] | None:
        """Return the block's and those of the blocks before it."""
        return None if self.snippet.problems else _sql_of(self.snippet)

    def scenario_name(self) -> str | None:
        """Return that of the block's claims."""
        return self.snippet.claims.scenario

    def subject(self) -> object | None:
        """Return the block with its claims."""
        return self.snippet

    def prepare(self) -> None:
        """Open the database and produce the incident."""
        name = self.snippet.claims.scenario
        if name is None:
            super().prepare()
        elif self.has_fixture(name):
            self.fixture("sql_database")
            self.fixture(name)

    def check(self) -> None:
        """Run the block and compare with what the page says."""
        snippet = self.snippet
        if snippet.problems:
            raise ClaimsFailed(problems_of(snippet.problems))
        timeout, effects = self.settings.timeout, self.settings.effects
        if snippet.claims.scenario is None:
            template, shared = self.workplace.template, self.workplace.shared
            trial = try_alone(
                snippet,
                template,
                shared,
                timeout=timeout,
                shown=self.shown,
                effects=effects,
                just_before=self.just_before,
            )
        else:
            scenario = self.scenario(snippet.claims.scenario, snippet.fence)
            database = self.fixture("sql_database")
            trial = try_in_scenario(
                snippet,
                scenario,
                database,
                timeout=timeout,
                shown=self.shown,
                effects=effects,
                just_before=self.just_before,
            )
        self.conclude(trial)

    def entry(self, verdict: Verdict, reason: str | None) -> Entry:
        """Add what only a block has."""
        outcome = self.trial.outcome
        return replace(
            super().entry(verdict, reason),
            mark=self.snippet.claims.mark and self.snippet.claims.mark.value,
            role=self.snippet.claims.role or self.settings.role,
            sql_sha256=hash_sql(self.snippet.sql),
            isolation=outcome.isolation if outcome is not None else None,
            rows=len(outcome.rows) if outcome is not None and outcome.columns else None,
            danger=describe_danger(outcome.danger) if outcome is not None else None,
            placeholders=[asdict(parameter) for parameter in self.trial.parameters],
        )


class TableItem(SqlItem):
    """One Markdown table bound to a relation."""

    kind: Kind = "table"

    def __init__(self, *, table: BoundTable, **kwargs: Any) -> None:
        super().__init__(place=table.location, section=table.section, **kwargs)
        self.table = table

    def texts(self) -> Iterable[str] | None:
        """Return nothing that reaches further than the catalog."""
        return None if self.table.problems else ()

    def mutable_texts(self) -> Iterable[str] | None:
        """Return the relation and the names in the table."""
        cells = [cell for row in self.table.rows for cell in row.cells[:1]]
        return None if self.table.problems else [self.table.relation, *cells]

    def subject(self) -> object | None:
        """Return the table."""
        return self.table

    def check(self) -> None:
        """Compare the table with the catalog."""
        if self.table.problems:
            raise ClaimsFailed(problems_of(self.table.problems))
        self.settle(check_table(self.table, self.workplace.shared))


class FactsItem(SqlItem):
    """One Markdown table whose values are what queries return."""

    kind: Kind = "facts"

    def __init__(self, *, table: FactsTable, **kwargs: Any) -> None:
        super().__init__(place=table.location, section=table.section, **kwargs)
        self.table = table

    def texts(self) -> Iterable[str] | None:
        """Return the queries."""
        return None if self.table.problems else [fact.sql for fact in self.table.facts]

    def subject(self) -> object | None:
        """Return the table with its queries."""
        return self.table

    def check(self) -> None:
        """Compare the table with what its queries return."""
        if self.table.problems:
            raise ClaimsFailed(problems_of(self.table.problems))
        database = self.workplace.shared
        self.settle(check_facts(self.table, database, timeout=self.settings.timeout))


class UncheckedItem(SqlItem):
    """A row of a facts table that no query checks: never passed, always shown with its reason."""

    kind: Kind = "fact"

    def __init__(self, *, table: FactsTable, row: Unchecked, **kwargs: Any) -> None:
        found = [other for other in table.rows if other.cells[:1] == (row.label,)]
        place = found[0].location if found else row.location
        slug = "-".join(re.findall(r"\w+", row.label.lower()))
        name = f"{table.name}.{slug}"
        super().__init__(place=place, section=table.section, name=name, **kwargs)
        self.add_marker(pytest.mark.skip(reason=f'"{row.label}" is not checked: {row.reason}'))

    def check(self) -> None:
        """Do nothing: it is skipped."""


class IdentifiersItem(SqlItem):
    """The names that a page mentions."""

    kind: Kind = "identifiers"

    def __init__(self, *, page: Page, root: Path, **kwargs: Any) -> None:
        super().__init__(place=Location(page.path, 1), root=root, **kwargs)
        self.page = page

    def texts(self) -> Iterable[str] | None:
        """Return nothing that reaches further than the catalog."""
        return ()

    def subject(self) -> object | None:
        """Return the page: what its blocks make counts as known."""
        return self.page

    def check(self) -> None:
        """Look for each of them in the database."""
        settings = self.settings
        stand_ins = {stand_in_for(read_sql(path)) for path in _recipe(settings).platform}
        failures = check_identifiers(
            self.page,
            _names_on(self.page, settings),
            self.workplace.shared,
            also_known={name for name in stand_ins if name},
        )
        self.conclude(Trial(failures))


class DrillItem(SqlItem):
    """One section, followed against its incident."""

    kind: Kind = "drill"

    def __init__(self, *, drill: Drill, **kwargs: Any) -> None:
        super().__init__(place=drill.location, section=drill.section, **kwargs)
        self.drill = drill

    def texts(self) -> Iterable[str] | None:
        """Return those of all steps."""
        if self.drill.problems:
            return None
        return [text for step in self.drill.steps for text in _sql_of(step)]

    def scenario_name(self) -> str | None:
        """Return that of the drill."""
        return self.drill.scenario

    def subject(self) -> object | None:
        """Return the drill with its steps."""
        return self.drill

    def prepare(self) -> None:
        """Produce the incident."""
        if self.has_fixture(self.drill.scenario):
            self.fixture("sql_database")
            self.fixture(self.drill.scenario)

    def check(self) -> None:
        """Follow the section."""
        drill = self.drill
        if drill.problems:
            raise ClaimsFailed(problems_of(drill.problems))
        scenario = self.scenario(drill.scenario, drill.location)
        with _clone(self.workplace.template) as healthy:
            trial = try_drill(
                drill,
                scenario,
                healthy=healthy,
                incident=self.fixture("sql_database"),
                timeout=self.settings.timeout,
                shown=self.shown,
            )
        self.conclude(trial)


def _sql_of(snippet: Snippet) -> Iterator[str]:
    """Yield the SQL of a block, of those before it, and the values put into them."""
    for block in (*snippet.earlier, snippet):
        yield block.sql
        yield from block.claims.fill.values()


def _failures_of(item: SqlItem, error: BaseException) -> tuple[Failure, ...]:
    """Return what is wrong, empty when the error is none of the page's or the server's."""
    if isinstance(error, ClaimsFailed):
        return error.failures
    if isinstance(error, psycopg.Error | ServerUnavailable):
        return (Failure(item.place, str(error).strip()),)
    return ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Give the turn back whatever happened; an item took it when it was set up."""
    try:
        return (yield)
    finally:
        _run_of(item.config).workplace.end()


# ---- results ---------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send along what the report needs; under xdist this is how it reaches the controller."""
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(item, SqlItem) and call.when == "call" and isinstance(error, ClaimsFailed):
        item.blame(error)
    report = yield
    if not isinstance(item, SqlItem):
        return report
    run = _run_of(item.config)
    failures: tuple[Failure, ...] = ()
    if report.failed and call.excinfo is not None:
        if _lost_server(item, call.excinfo.value):
            place = str(item.place)
            report.longrepr = f"{place}: error: {DIED}\n{_first_line(call.excinfo.value)}"
        failures = _failures_of(item, call.excinfo.value) if call.when == "call" else ()
        failures = failures or (Failure(item.place, _first_line(call.excinfo.value)),)
    verdict: Verdict | None = None
    if report.failed:
        verdict = "failed"
    elif report.skipped:
        verdict = "excluded"
    elif report.when == "call":
        verdict = "passed"
    reason = failures[0].message.partition("\n")[0] if failures else None
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    setattr(
        report,
        _ATTRIBUTE,
        {
            "place": asdict(item.place),
            "entry": _entry_of(item, verdict, reason, failures) if verdict else None,
            "key": item.key if item.kept is None else None,
            "failures": [asdict(failure) for failure in failures],
            "edits": [{**asdict(edit), "path": str(edit.path)} for edit in item.edits],
            **(item.kept.facts if item.kept is not None else _facts(run.workplace.opened)),
        },
    )
    return report


def _entry_of(
    item: SqlItem, verdict: Verdict, reason: str | None, failures: tuple[Failure, ...]
) -> dict[str, Any]:
    drawn = "\n\n".join(draw_failure(item.config.rootpath, failure) for failure in failures)
    own = {**asdict(item.entry(verdict, reason)), "drawn": drawn or None}
    if item.kept is None or verdict != "passed":
        return own
    return {**own, **entry_of(item.kept), "line": own["line"]}


def _lost_server(item: SqlItem, error: BaseException) -> bool:
    """Whether the failure is that the server has gone; what runs next is then on a new one."""
    if isinstance(error, ClaimsFailed):
        suspicious = any((f.sqlstate or "").startswith(("08", "57P")) for f in error.failures)
    else:
        suspicious = isinstance(
            error, psycopg.Error | ServerUnavailable | OSError | pytest.fail.Exception
        )
    return suspicious and item.workplace.has_died()


def _facts(template: Template | None) -> dict[str, Any]:
    """Return what the report says about the server, from the process that knows it."""
    if template is None:
        return {"server": None, "migration_head": None, "recipe": None}
    server = template.server
    return {
        "server": asdict(ServerFacts(server.kind, server.version, server.real_parts)),
        "migration_head": template.migration_head,
        "recipe": template.recipe_digest,
    }


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, pytest.fail.Exception) else f"{type(error).__name__}: {text}"


class _Results:
    """The process that shows results gathers them, from itself or from xdist's workers."""

    def __init__(self, config: pytest.Config, run: _Run) -> None:
        self.config = config
        self.run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep one result."""
        sent = getattr(report, _ATTRIBUTE, None)
        if sent is None:
            return
        run = self.run
        key = sent["key"]
        if key is not None and report.failed:
            run.new_verdicts.pop(key, None)
        if sent["entry"] is not None:
            entry = Entry(**sent["entry"])
            run.cached += entry.cached and report.when == "call"
            if key is not None and entry.verdict == "passed":
                facts = {name: sent[name] for name in ("server", "migration_head", "recipe")}
                run.new_verdicts[key] = Kept(now(), sent["entry"], facts)
            # A tear-down comes after the verdict of the call and may only make it worse.
            if entry.id not in run.entries or run.entries[entry.id].verdict != "failed":
                run.entries[entry.id] = entry
        for values in sent["failures"]:
            place = Location(**values.pop("location"))
            run.failures.append(Failure(place, **values))
        for values in sent["edits"]:
            edit = edit_from(values)
            start = edit.start if isinstance(edit, CellEdit) else -1
            run.edits.setdefault((edit.path, edit.first_line, start), edit)
        if sent["server"] is not None:
            facts = sent["server"]
            run.server = ServerFacts(facts["kind"], facts["version"], tuple(facts["real_parts"]))
            run.migration_head, run.recipe = sent["migration_head"], sent["recipe"]
        xml = self.config.stash.get(xml_key, None)
        if xml is not None and report.when != "teardown":
            # JUnit's legacy family has the fields; pytest itself writes the line counted from 0.
            reporter = xml.node_reporter(report)
            reporter.add_attribute("file", sent["place"]["path"])
            reporter.add_attribute("line", sent["place"]["line"])

    def pytest_keyboard_interrupt(self) -> None:
        """End the server at once: workers do not hear of an interrupt and wait for it."""
        _end(self.run)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for; not being able to is a failure of the run."""
        run = self.run
        if self.config.option.collectonly:
            return
        run.verdicts.keep(run.new_verdicts)
        written, refused = write_back(run.edits.values())
        for edit in written:
            what = "cell" if isinstance(edit, CellEdit) else "output"
            run.notes.append(f"wrote the {what} at {edit.path}:{edit.first_line}")
        run.notes += [f"error: {reason}" for reason in refused]
        try:
            self._write_report()
        except ReportError as err:
            refused.append(str(err))
            run.notes.append(f"error: {err}")
        if refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write_report(self) -> None:
        run = self.run
        if run.settings.report is None:
            return
        report = make_report(
            run.entries.values(),
            server=run.server or ServerFacts(run.settings.server, "", ()),
            migration_head=run.migration_head,
            recipe=run.recipe,
        )
        write_report(report, run.settings.report)
        run.notes.append(f"wrote the report of {len(run.entries)} items: {run.settings.report}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what the blocks ran on, and put failures where GitHub shows them."""
        run = self.run
        if run.server is not None:
            real = ", ".join(run.server.real_parts) or "none"
            run.notes.insert(
                0,
                f"{run.server.version} ({run.server.kind}), real platform parts: {real}, "
                f"migration head: {run.migration_head or 'none'}",
            )
        if run.cached:
            run.notes.append(
                f"{run.cached} passed before and nothing has changed since: "
                "run them all the same with --sql-no-cache"
            )
        if run.notes:
            terminalreporter.section("sql-snippets", sep="-")
            for note in run.notes:
                terminalreporter.line(note)
        if os.environ.get("GITHUB_ACTIONS"):
            for failure in run.failures:
                terminalreporter.line(github_annotation(failure))
