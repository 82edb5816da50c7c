"""Pages that are not rendered again: the same items, and never those of another page."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sql_snippets.cache import hash_of
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading import known_pages
from sql_snippets.reading.known_pages import read_known_page
from sql_snippets.reading.pages import read_page
from tests.plugin.constructs import CONFIG, CONSTRUCTS, Construct

if TYPE_CHECKING:
    from sql_snippets.model import Page
    from sql_snippets.reading.site import Site

ROOT = Path(__file__).parents[2]
WITHOUT_FILES = CONFIG.replace("  - pymdownx.snippets:\n      base_path: [included]\n", "")
PAGE = """\
# Page

<!-- sql: name=a fill.x=1 columns="n integer" -->

```sql
select <x> as n;
```

**READ** · Again

<!-- sql: name=b after=a rows=1 -->

```sql
select 2;
```

<!-- sql: table=public.orders -->

| Column | Type |
| --- | --- |
| `id` | integer |
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "mkdocs.yml").write_text(WITHOUT_FILES, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE, encoding="utf-8")
    return load_site(tmp_path)


def _read(site: Site, name: str = "page.md") -> Page:
    return read_known_page(site.docs_dir / name, site, site.root / "cache")


def _is_known(site: Site, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the page is taken from what was kept."""
    rendered = []

    def render(path: Path, site: Site) -> Page:
        rendered.append(path)
        return read_page(path, site)

    with monkeypatch.context() as patch:
        patch.setattr("sql_snippets.reading.pages.read_page", render)
        _read(site)
    return not rendered


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.name)
def test_a_page_that_is_known_gives_the_same_items(
    site: Site, construct: Construct, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.docs_dir / "page.md"
    path.write_bytes(construct.data)
    page = read_page(path, site)
    assert _read(site) == page
    assert _is_known(site, monkeypatch)
    known = _read(site)
    assert known == page
    assert repr(known) == repr(page)


def test_the_pages_of_this_site_are_known(tmp_path: Path) -> None:
    site = load_site(ROOT)
    for path in sorted(site.docs_dir.rglob("*.md")):
        page = read_page(path, site)
        for _ in range(2):
            assert repr(read_known_page(path, site, tmp_path)) == repr(page)
        (kept,) = tmp_path.glob("pages/*")
        kept.unlink()


def test_what_changed_is_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _is_known(site, monkeypatch)
    assert _is_known(site, monkeypatch)
    path = site.docs_dir / "page.md"
    path.write_text(PAGE.replace("select 2", "select 3"), encoding="utf-8")
    assert not _is_known(site, monkeypatch)
    assert _read(site).snippets[1].sql == "select 3;"
    assert _is_known(site, monkeypatch)
    options = {**site.extension_configs, "toc": {"permalink": False}}
    assert not _is_known(replace(site, extension_configs=options), monkeypatch)
    assert not _is_known(replace(site, extensions=site.extensions[:-1]), monkeypatch)
    assert not _is_known(site, monkeypatch)
    for function in ("installed", "own_digest"):
        with monkeypatch.context() as patch:
            patch.setattr(known_pages, function, lambda: "other")
            assert not _is_known(site, monkeypatch)


def test_the_key_holds_the_versions_of_the_packages() -> None:
    assert any(name.startswith("pymdown_extensions-") for name in known_pages.installed())


@pytest.mark.parametrize(
    "extension", ["pymdownx.snippets", "mkdocs_macros.something", "hooks.of_the_site"]
)
def test_a_site_whose_pages_depend_on_more_is_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    monkeypatch.setattr("sql_snippets.reading.pages.read_page", lambda path, _: path)
    more = replace(site, extensions=(*site.extensions, extension))
    _read(more)
    assert not list(site.root.glob("cache/pages/*"))


def test_a_function_of_the_site_is_not_known(site: Site) -> None:
    options = {"toc": {"slugify": lambda text, _: text}}
    assert known_pages.plain_options(replace(site, extension_configs=options)) is None


def test_a_page_with_facts_depends_on_their_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.docs_dir / "page.md").write_text(
        "<!-- sql: facts=f.sql -->\n\n| A | B |\n| --- | --- |\n| x | 1 |\n", encoding="utf-8"
    )
    (site.docs_dir / "f.sql").write_text("-- fact: x\nselect 1;\n", encoding="utf-8")
    assert not _is_known(site, monkeypatch)
    assert _is_known(site, monkeypatch)
    (site.docs_dir / "f.sql").write_text("-- fact: x\nselect 2;\n", encoding="utf-8")
    assert not _is_known(site, monkeypatch)
    assert _read(site).facts[0].facts[0].sql.strip() == "select 2;"
    (site.docs_dir / "f.sql").unlink()
    assert not _is_known(site, monkeypatch)
    assert _read(site).facts[0].problems


def test_a_damaged_entry_is_as_none(site: Site) -> None:
    page = _read(site)
    (entry,) = site.root.glob("cache/pages/*.json")
    whole = entry.read_text(encoding="utf-8")
    content = json.loads(whole)
    damaged = [whole[: len(whole) * part // 20] for part in range(20)]
    damaged.append(json.dumps({**content, "facts": 3}))
    damaged += ["[]", "null", "{}", "[" * 100_000, whole.replace("select 2", "select 4")]
    broken: object
    page_of = content["page"]
    lacking = {name: part for name, part in page_of.items() if name != "path"}
    wrong = {**page_of, "snippets": [{**page_of["snippets"][0], "claims": {"mark": "SAFE"}}]}
    for broken in (None, 3, [], "path", {}, lacking, {**page_of, "tables": [3]}, wrong):
        check = hash_of(broken)
        damaged.append(json.dumps({**content, "page": broken, "check": check}))
    for text in damaged:
        entry.write_text(text, encoding="utf-8")
        assert _read(site) == page
    assert entry.read_text(encoding="utf-8") == whole


def test_an_entry_of_another_user_is_as_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _read(site)
    assert _is_known(site, monkeypatch)
    (entry,) = site.root.glob("cache/pages/*.json")
    if os.geteuid() == 0:
        os.chown(entry, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert not _is_known(site, monkeypatch)


def test_a_folder_that_cannot_be_written_stops_nothing(site: Site) -> None:
    (site.root / "cache").write_text("a file", encoding="utf-8")
    assert _read(site) == read_page(site.docs_dir / "page.md", site)
