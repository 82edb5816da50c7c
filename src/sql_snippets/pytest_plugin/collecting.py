"""From the files that pytest finds to the items on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.mkdocs_site import find_config, is_page, load_site
from sql_snippets.model import (
    BoundTable,
    Drill,
    FactsTable,
    Failure,
    Location,
    Page,
    PagePart,
    Snippet,
    Step,
)
from sql_snippets.pytest_plugin.kinds import (
    BlockItem,
    DrillItem,
    FactsItem,
    FaultItem,
    IdentifiersItem,
    TableItem,
    UncheckedItem,
    mentioned_names,
)
from sql_snippets.pytest_plugin.run import run_of
from sql_snippets.reading.known_pages import read_known_page
from sql_snippets.reading.site import Site, SiteError
from sql_snippets.reading.source import PageError
from sql_snippets.results.rewrite import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sql_snippets.pytest_plugin.items import SqlItem
    from sql_snippets.settings import Settings


def _site_of(config: pytest.Config, path: Path) -> Site:
    """Return the site of a page: a named one that has it, else the nearest above it."""
    run = run_of(config)
    for named in run.settings.mkdocs:
        site = _loaded(config, named.parent, named)
        if site.place_of(path) is not None:
            return site
    return _loaded(config, path.parent, find_config(path.parent))


def _loaded(config: pytest.Config, folder: Path, config_path: Path | None) -> Site:
    """Return a site, read once; without a configuration, paths are those that pytest shows."""
    sites = run_of(config).sites
    key = config_path or folder
    if key not in sites:
        site = load_site(folder, config_path)
        if config_path is None and folder.is_relative_to(config.rootpath):
            site = replace(site, root=config.rootpath)
        sites[key] = site
    return sites[key]


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
        return site.place_of(file_path) is not None
    return any(
        session.isinitpath(folder) and folder != parent.config.rootpath
        for folder in file_path.parents
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MarkdownFile | None:
    """Take the pages of the site, and any Markdown file that was named."""
    if is_page(file_path) and _is_asked_for(file_path, parent):
        return MarkdownFile.from_parent(parent, path=file_path)
    return None


class MarkdownFile(pytest.File):
    """One page.  Whatever is wrong with it fails an item of its own and stops no other."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Return a collector for each section, then the faults that belong to no block."""
        run = run_of(self.config)
        run.pages.append(self)
        try:
            site = _site_of(self.config, self.path)
            page = read_known_page(self.path, site, run.settings.cache_dir)
        except (SiteError, PageError, OSError) as err:
            failure = Failure(Location(self.nodeid, 1), str(err))
            run.blocks += 1
            yield FaultItem.from_parent(
                self,
                name="page",
                failure=failure,
                root=self.config.rootpath,
                on_page=self.nodeid,
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
            yield IdentifiersItem.from_parent(
                self, name="identifiers", part=page, root=site.root, on_page=page.path
            )
        for name, location, message in faults:
            yield FaultItem.from_parent(
                self,
                name=name,
                failure=Failure(location, message),
                root=site.root,
                on_page=page.path,
            )


_ITEMS: Mapping[type, type[SqlItem]] = {
    Snippet: BlockItem,
    BoundTable: TableItem,
    FactsTable: FactsItem,
    Drill: DrillItem,
}


def _parts(page: Page) -> list[PagePart]:
    parts: list[PagePart] = [*page.snippets, *page.tables, *page.facts, *page.drills]
    return sorted(parts, key=lambda part: part.location)


def _mentions_names(page: Page, settings: Settings) -> bool:
    """Whether a page is about the database and mentions what could be names of it."""
    if settings.identifiers == "off" or not (page.snippets or page.tables or page.facts):
        return bool(page.not_names)
    return bool(page.not_names or mentioned_names(page, settings))


def _sections(page: Page) -> list[str]:
    return list(dict.fromkeys(part.section for part in _parts(page)))


def _with_uncompared_output(snippet: Snippet, page: Page) -> Snippet:
    """Find the output that nothing would compare: only a drill runs a verification to its end."""
    output = snippet.claims.output
    followed = any(step.id == snippet.id for drill in page.drills for step in drill.steps)
    if snippet.claims.step is not Step.VERIFY or output is None or followed:
        return snippet
    problem = Failure(
        output.location,
        "this output is not compared: it is what the verification returns after the fix, and the "
        "block is not in a section with drill=",
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
        place: dict[str, Any] = {"root": self.root, "on_page": self.page.path}
        for part in _parts(self.page):
            if part.section != self.name:
                continue
            given = part
            if isinstance(part, Snippet):
                given = _with_uncompared_output(part, self.page)
            yield _ITEMS[type(part)].from_parent(self, name=part.name, part=given, **place)
            for row in part.unchecked if isinstance(part, FactsTable) else ():
                yield UncheckedItem.from_parent(self, table=part, row=row, **place)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fail a check of pages that found nothing to check."""
    run = run_of(config)
    if not run.pages or run.blocks:
        return
    names = ", ".join(page.nodeid for page in run.pages)
    failure = Failure(
        Location(run.pages[0].nodeid, 1),
        f"no SQL block and no bound table was found on: {names}, so nothing "
        "was checked. Name other pages, or see what is on them with `sql-snippets list`",
    )
    items.append(
        FaultItem.from_parent(
            run.pages[0],
            name="no-sql",
            failure=failure,
            root=config.rootpath,
            on_page=run.pages[0].nodeid,
        )
    )
