from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.utils.meta import get_data

from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import PageError, read_page
from sql_snippets.reading.site import Site, new_markdown
from sql_snippets.reading.source import count_front_matter
from tests.plugin.constructs import CONFIG, CONSTRUCTS, INCLUDED, Construct

if TYPE_CHECKING:
    from pathlib import Path

    from markdown import Markdown

    from sql_snippets.model import Page, Snippet

each_construct = pytest.mark.parametrize(
    "construct", CONSTRUCTS, ids=[construct.name for construct in CONSTRUCTS]
)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a site with a page for each construct."""
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
    given = []
    for block in BeautifulSoup(html, "html.parser").select("div.highlight"):
        languages = {
            f"language-{name}" for name in ("sql", "SQL", "postgres", "postgresql", "plpgsql")
        }
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


@pytest.fixture(scope="session")
def plain(site: Site) -> Markdown:
    """Return the site's Markdown as it is when nobody watches it."""
    return new_markdown(site)


LINES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff") | st.just("\t"),
        max_size=12,
    ).filter(lambda line: not line.strip().startswith(("```", "~~~", "--8<--", ";--8<--", "--"))),
    min_size=1,
    max_size=5,
)
WRAPPERS = {
    "nothing": ("", ""),
    "list": ("- a\n\n", "    "),
    "list-by-tab": ("- a\n\n", "\t"),
    "nested-list": ("1. a\n    - b\n\n", "        "),
    "nested-list-by-tabs": ("1. a\n\t- b\n\n", "\t\t"),
    "admonition": ("!!! note\n\n", "    "),
    "quote": ("", "> "),
    "tab": ('=== "a"\n\n', "    "),
}


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)
@given(
    lines=LINES,
    wrapper=st.sampled_from(sorted(WRAPPERS)),
    file=st.tuples(
        st.sampled_from(["", "\ufeff", "---\na: 1\n---\n", "# é😀\n\n"]),
        st.sampled_from(["\n", "\r\n"]),
    ),
)
def test_maps_generated_blocks(
    site: Site, plain: Markdown, lines: list[str], wrapper: str, file: tuple[str, str]
) -> None:
    before, indent = WRAPPERS[wrapper]
    start, newline = file
    body = "".join(f"{indent}{line}\n" for line in ("```sql", *lines, "```"))
    page = site.docs_dir / "generated.txt"
    page.write_bytes((start + before + body).replace("\n", newline).encode())

    (snippet,) = read_page(page, site).snippets

    check_map(site.root, snippet)
    markdown, _ = get_data(page.read_text("utf-8-sig"))
    assert [snippet.sql] == read_built(plain.reset().convert(markdown))


def write_page(folder: Path, text: str, name: str = "page.md") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def read_text_page(folder: Path, text: str) -> Page:
    path = write_page(folder, text)
    return read_page(path, load_site(path))


def test_keeps_tabs_where_the_site_does(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        "markdown_extensions:\n  - pymdownx.superfences:\n      preserve_tabs: true\n", "utf-8"
    )
    (tmp_path / "docs").mkdir()
    path = write_page(
        tmp_path / "docs", "- a\n\n\t```sql\n\tselect\t1;\n\t\tb\n\t```\n\n```sql\n\tc\td\n```\n"
    )
    site = load_site(tmp_path)
    page = read_page(path, site)
    assert [snippet.sql for snippet in page.snippets] == ["select\t1;\n\tb", "\tc\td"]
    for snippet in page.snippets:
        check_map(tmp_path, snippet)


def test_counts_an_alias_of_the_site_as_sql(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        "markdown_extensions:\n  - pymdownx.superfences\n  - pymdownx.highlight:\n"
        "      extend_pygments_lang:\n        - {name: query, lang: sql}\n",
        "utf-8",
    )
    (tmp_path / "docs").mkdir()
    path = write_page(tmp_path / "docs", "```query\nselect 1;\n```\n\n```pgsql\nselect 2;\n```\n")
    page = read_page(path, load_site(tmp_path))
    assert [snippet.sql for snippet in page.snippets] == ["select 1;", "select 2;"]


def test_places_the_block_in_its_fence(tmp_path: Path) -> None:
    page = read_text_page(tmp_path, "# A\n\n- a\n\n    ```sql\n\n    select 1;\n    ```\n")
    (snippet,) = page.snippets
    assert str(snippet.fence) == "page.md:5:5"
    assert str(snippet.locate(0)) == "page.md:7:5"
    assert snippet.end_line == 8


def test_places_included_lines_in_their_own_file(site: Site) -> None:
    page = read_page(site.docs_dir / "included-lines.md", site)
    (snippet,) = page.snippets
    places = [str(snippet.locate(snippet.sql.index(word))) for word in ("before", "2", "after")]
    assert places == [
        "docs/included-lines.md:2:9",
        "included/whole.sql:2:8",
        "docs/included-lines.md:4:9",
    ]


def test_gives_a_block_the_anchor_of_its_heading(tmp_path: Path) -> None:
    block = "```sql\nselect 1;\n```\n\n"
    page = read_text_page(
        tmp_path, f"{block}# A b\n\n{block}## C {{ #own }}\n\n{block}## A b\n\n{block}{block}"
    )
    name = "sql-" + page.snippets[0].name.removeprefix("sql-")
    assert [snippet.id for snippet in page.snippets] == [
        f"page.md::top::{name}",
        f"page.md::a-b::{name}",
        f"page.md::own::{name}",
        f"page.md::a-b_1::{name}",
        f"page.md::a-b_1::{name}-2",
    ]


def test_names_a_block_by_its_words_and_not_their_spacing(tmp_path: Path) -> None:
    one = read_text_page(tmp_path, "```sql\nselect  1;\n```\n").snippets[0]
    other = read_text_page(tmp_path, "Text\n\n~~~sql\nselect\n1;\n~~~\n").snippets[0]
    assert one.name == other.name
    assert re.fullmatch(r"sql-[0-9a-f]{8}", one.name)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\xff", "is not UTF-8: byte 0xff at offset 1"),
        (b"a\n\0", "is not text: it holds a zero byte at offset 2"),
        (None, "cannot be read: No such file or directory"),
        (b"x" * 8_000_001, "has 8 MB"),
    ],
)
def test_refuses_what_is_no_page(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "page.md"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PageError, match=re.escape(message)) as caught:
        read_page(path, load_site(tmp_path))
    assert str(path) in str(caught.value)


def test_a_failing_extension_names_the_page(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        "markdown_extensions:\n  - pymdownx.superfences\n"
        "  - pymdownx.snippets:\n      check_paths: true\n",
        "utf-8",
    )
    (tmp_path / "docs").mkdir()
    path = write_page(tmp_path / "docs", '--8<-- "nowhere.sql"\n')
    with pytest.raises(PageError, match=r"page\.md cannot be rendered.*nowhere\.sql"):
        read_page(path, load_site(tmp_path))


def test_one_page_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    broken = write_page(tmp_path, "# A\n\n<!-- sql: name=x\n\n```sql\nselect 1;\n", "a.md")
    whole = write_page(tmp_path, "# A\n\n```sql\nselect 1;\n```\n", "b.md")
    site = load_site(tmp_path)
    alone = read_page(whole, load_site(tmp_path))
    read_page(broken, site)
    assert read_page(whole, site) == alone
    assert not alone.not_rendered
    assert not alone.problems


@each_construct
def test_takes_off_the_front_matter_that_mkdocs_does(construct: Construct) -> None:
    text = construct.source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    body, _ = get_data(text)
    assert "\n".join(text.split("\n")[count_front_matter(text) :]) == body


def test_the_reasons_are_those_of_the_page_at_hand(tmp_path: Path) -> None:
    unclosed = write_page(tmp_path, "```sql\na\nb\nc\nd\n", "a.md")
    refused = write_page(tmp_path, "Text\n\n- ```sql\n  select 1;\n", "b.md")
    site = load_site(tmp_path)
    read_page(unclosed, site)
    (found,) = read_page(refused, site).not_rendered
    assert "line of the list item" in found.reason


def test_maps_what_an_option_of_the_site_changed(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        "markdown_extensions:\n  - pymdownx.superfences\n"
        "  - pymdownx.highlight: {linenums: true, linenums_style: inline}\n",
        "utf-8",
    )
    (tmp_path / "docs").mkdir()
    path = write_page(tmp_path / "docs", "- a\n\n    ```sql\n    select 7;\n    from x\n    ```\n")
    (snippet,) = read_page(path, load_site(tmp_path)).snippets
    assert snippet.sql == "1select 7;\n2from x"  # the button copies such numbers too
    assert str(snippet.locate(snippet.sql.index("7"))) == "docs/page.md:4:12"
    assert str(snippet.locate(snippet.sql.index("from"))) == "docs/page.md:5:5"
