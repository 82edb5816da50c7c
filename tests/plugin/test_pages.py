from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mkdocs.commands.build import build
from mkdocs.config import load_config

from sql_snippets.model import Page, Snippet
from sql_snippets.pages import PageError, read_page
from sql_snippets.site import Site, load_site
from tests.plugin.constructs import CONFIG, CONSTRUCTS, INCLUDED, Construct

each_construct = pytest.mark.parametrize(
    "construct", CONSTRUCTS, ids=[construct.name for construct in CONSTRUCTS]
)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a page for each construct, built by MkDocs and Material."""
    root = tmp_path_factory.mktemp("constructs")
    (root / "docs").mkdir()
    (root / "included").mkdir()
    (root / "mkdocs.yml").write_text(CONFIG, "utf-8")
    for name, text in INCLUDED.items():
        (root / "included" / name).write_text(text, "utf-8")
    for construct in CONSTRUCTS:
        (root / "docs" / f"{construct.name}.md").write_bytes(construct.data)
    return root


@pytest.fixture(scope="session")
def built(project: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)  # where MkDocs looks for what snippets include
        build(load_config(str(project / "mkdocs.yml"), use_directory_urls=False))
    return project / "site"


@pytest.fixture(scope="session")
def site(project: Path) -> Site:
    return load_site(project)


def read(site: Site, construct: Construct) -> Page:
    return read_page(site.docs_dir / f"{construct.name}.md", site)


def read_built(html: str) -> list[str]:
    """Return what the copy buttons of a built page give, by another parser than the checker's."""
    article = BeautifulSoup(html, "html.parser").find("article")
    assert article is not None
    given = []
    for block in article.select("div.highlight"):
        languages = {f"language-{name}" for name in ("sql", "SQL", "postgres", "postgresql", "plpgsql")}
        if not languages & set(block.get_attribute_list("class")):
            continue
        code = block.select_one("pre > code")
        assert code is not None
        copied = block.get("data-copy", code.get_text())
        # JavaScript's trimEnd, as far as these pages need it
        given.append(re.sub(r"[\s\ufeff]+$", "", str(copied)))
    return given


def check_map(root: Path, snippet: Snippet) -> None:
    """Assert that each character of the SQL stands in the author's file where it is said to."""
    for offset, char in enumerate(snippet.sql):
        place = snippet.locate(offset)
        line = re.split(r"\r\n|\r|\n", (root / place.path).read_bytes().decode("utf-8-sig"))[
            place.line - 1
        ]
        if char == "\n":
            continue
        written = line[place.column - 1]
        assert written == char or (char == " " and written == "\t"), (offset, char, place, line)


@each_construct
def test_finds_what_the_construct_shows(site: Site, construct: Construct) -> None:
    page = read(site, construct)
    assert tuple(snippet.sql for snippet in page.snippets) == construct.shown


@each_construct
def test_finds_what_the_built_site_shows(site: Site, built: Path, construct: Construct) -> None:
    page = read(site, construct)
    html = (built / f"{construct.name}.html").read_text("utf-8")
    assert [snippet.sql for snippet in page.snippets] == read_built(html)


@each_construct
def test_says_why_a_fence_is_not_shown(site: Site, construct: Construct) -> None:
    page = read(site, construct)
    assert len(page.not_rendered) == len(construct.unshown)
    for found, reason in zip(page.not_rendered, construct.unshown, strict=True):
        assert reason in found.reason
        source = (site.root / found.location.path).read_text("utf-8").split("\n")
        opener = source[found.location.line - 1][found.location.column - 1 :]
        assert opener.startswith(("```", "~~~"))
        assert "sql" in opener


@each_construct
def test_maps_each_character_to_the_file(site: Site, construct: Construct) -> None:
    for snippet in read(site, construct).snippets:
        check_map(site.root, snippet)


@each_construct
def test_names_each_item_once(site: Site, construct: Construct) -> None:
    ids = [snippet.id for snippet in read(site, construct).snippets]
    assert len(set(ids)) == len(ids)
