from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from mkdocs.config import load_config
from pymdownx.superfences import fence_div_format

from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.site import SiteError, new_markdown

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, config: str, name: str = "mkdocs.yml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "docs").mkdir(exist_ok=True)
    (folder / name).write_text(config, "utf-8")
    return folder


def test_finds_the_configuration_above(tmp_path: Path) -> None:
    write(tmp_path, "docs_dir: pages\n")
    deep = tmp_path / "pages" / "a"
    deep.mkdir(parents=True)
    (deep / "b.md").touch()
    for start in (tmp_path, deep, deep / "b.md"):
        site = load_site(start)
        assert site.root == tmp_path
        assert site.docs_dir == tmp_path / "pages"
        assert site.config_path == tmp_path / "mkdocs.yml"


def test_without_a_configuration_reads_as_material_recommends(tmp_path: Path) -> None:
    site = load_site(tmp_path)
    assert (site.root, site.docs_dir, site.config_path) == (tmp_path, tmp_path, None)
    html = new_markdown(site).convert('=== "Tab"\n\n    ```sql\n    select 1;\n    ```\n')
    assert "tabbed-alternate" in html
    assert "highlight" in html


CONFIG = """\
site_name: x
theme: {name: material, font: false}
plugins: []
INHERIT: ../base.yml
markdown_extensions:
  toc:
    permalink: !ENV [SQL_SNIPPETS_TEST_PERMALINK, "#"]
  pymdownx.superfences:
    custom_fences:
      - name: x
        class: x
        format: !!python/name:pymdownx.superfences.fence_div_format
  pymdownx.snippets:
    base_path: [!relative $config_dir/parts, !relative $docs_dir]
"""
BASE = """\
markdown_extensions:
  toc:
    permalink: "overridden"
    toc_depth: 3
  admonition: {}
"""


def test_reads_tags_and_inheritance_as_mkdocs_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQL_SNIPPETS_TEST_PERMALINK", "true")
    (tmp_path / "base.yml").write_text(BASE, "utf-8")
    root = write(tmp_path / "project", CONFIG)
    site = load_site(root)
    theirs = load_config(str(root / "mkdocs.yml"))

    assert list(site.extensions) == theirs["markdown_extensions"]
    ours = {name: dict(options) for name, options in site.extension_configs.items()}
    assert ours["toc"] == theirs["mdx_configs"]["toc"] == {"permalink": True, "toc_depth": 3}
    assert ours["pymdownx.superfences"] == theirs["mdx_configs"]["pymdownx.superfences"]
    assert ours["pymdownx.superfences"]["custom_fences"][0]["format"] is fence_div_format
    assert ours["pymdownx.snippets"]["base_path"] == [
        str((root / str(path)).resolve())
        for path in theirs["mdx_configs"]["pymdownx.snippets"]["base_path"]
    ]


def test_accepts_each_form_of_the_extension_list(tmp_path: Path) -> None:
    listed = write(
        tmp_path / "a", "markdown_extensions:\n  - admonition\n  - toc:\n      toc_depth: 2\n"
    )
    mapped = write(
        tmp_path / "b", "markdown_extensions:\n  admonition:\n  toc:\n    toc_depth: 2\n"
    )
    one, other = load_site(listed), load_site(mapped)
    assert one.extensions == other.extensions == ("toc", "tables", "fenced_code", "admonition")
    assert one.extension_configs == other.extension_configs == {"toc": {"toc_depth": 2}}


def test_relative_without_a_value_is_the_folder_of_the_page(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        "markdown_extensions:\n  - pymdownx.superfences\n"
        "  - pymdownx.snippets:\n      base_path: [!relative ]\n",
    )
    (root / "docs" / "deep").mkdir()
    (root / "docs" / "deep" / "part.txt").write_text("included\n", "utf-8")
    site = load_site(root)
    assert site.depends_on_page
    html = new_markdown(site, root / "docs" / "deep" / "page.md").convert('--8<-- "part.txt"')
    assert html == "<p>included</p>"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("a: [\n", "mkdocs.yml:2:1: while parsing a flow node"),
        ("a: b: c\n", "mkdocs.yml:1:5: mapping values are not allowed here"),
        ("- a\n", "mkdocs.yml is not a mapping of settings but a list"),
        (
            "x: 1\nmarkdown_extensions:\n  - a:\n      f: !!python/name:no_such_module.f\n",
            "mkdocs.yml:4:10: while constructing a Python object cannot find module",
        ),
        ("a: !nonsense b\n", "mkdocs.yml:1:4: could not determine a constructor"),
        ("a: !relative $x/y\n", "mkdocs.yml: Unknown prefix '$x' in !relative '$x/y'"),
        ("INHERIT: gone.yml\n", "mkdocs.yml: Inherited config file 'gone.yml' does not exist"),
        ("INHERIT: mkdocs.yml\n", "INHERIT leads back to this file"),
        ("markdown_extensions: {a: 1}\n", "Invalid config options for Markdown Extension 'a'"),
        ("markdown_extensions: 3\n", "Invalid Markdown Extensions configuration"),
        ("markdown_extensions: [{a: {}, b: {}}]\n", "Invalid Markdown Extensions configuration"),
        ("exclude_docs: 3\n", "exclude_docs: Expected a multiline string"),
    ],
)
def test_names_the_place_of_what_cannot_be_used(tmp_path: Path, config: str, message: str) -> None:
    root = write(tmp_path, config)
    with pytest.raises(SiteError, match=re.escape(message)) as caught:
        load_site(root)
    assert str(root / "mkdocs.yml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("- no_such_extension", "the Markdown extension 'no_such_extension' cannot be used"),
        ("- admonition:\n      nonsense: 1", "the Markdown extension 'admonition' cannot be used"),
    ],
)
def test_names_the_line_of_an_extension_that_fails(
    tmp_path: Path, entry: str, message: str
) -> None:
    root = write(tmp_path, f"site_name: x\nmarkdown_extensions:\n  {entry}\n")
    with pytest.raises(SiteError, match=re.escape(message)) as caught:
        load_site(root)
    assert str(caught.value).startswith(f"{root / 'mkdocs.yml'}:3: ")


def test_a_configuration_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_bytes(b"site_name: \xff\n")
    with pytest.raises(SiteError, match=r"mkdocs\.yml is not UTF-8: byte 11"):
        load_site(tmp_path)
