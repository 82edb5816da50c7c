"""The generated page shows the headings of the site's pages as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bs4 import BeautifulSoup
from mkdocs.commands.build import build
from mkdocs.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
site_name: Site
use_directory_urls: false
plugins:
  - sql-snippets: {verification: seen.md}
markdown_extensions:
  - pymdownx.highlight: {pygments_lang_class: true}
  - pymdownx.superfences
  - attr_list
  - toc: {permalink: true}
"""
HEADINGS = {
    "## مرحبا بالعالم": "مرحبا بالعالم",
    "## Überblick": "Überblick",
    "## Überblick ": "Überblick",
    "## 日本語 {#jp}": "日本語",
    '## *One* &lt;two> & `a_b` "q" [link](page.md)': 'One <two> & a_b "q" link',
    "## `select` — 1 < 2": "select — 1 < 2",
}


def test_headings_are_shown_as_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(CONFIG, encoding="utf-8")
    blocks = [
        f"{heading}\n\n<!-- sql: name=b{number} -->\n\n```sql\nselect {number};\n```\n"
        for number, heading in enumerate(HEADINGS)
    ]
    page = "# Das *große* Ganze: a_b_c & <x>\n\n" + "\n".join(blocks)
    (tmp_path / "docs" / "page.md").write_text(page, encoding="utf-8")
    build(load_config(str(tmp_path / "mkdocs.yml")))
    soup = BeautifulSoup((tmp_path / "site" / "seen.html").read_text("utf-8"), "html.parser")
    links = {
        link.get_text(): link["href"]
        for link in soup.select(".sql-table--blocks td a")
        if "block-" not in str(link["href"])
    }
    assert list(links) == list(dict.fromkeys(HEADINGS.values()))
    assert links["日本語"] == "page.html#jp"
    headings = [heading.get_text().rstrip("¶") for heading in soup.select("h2")]
    assert "Das große Ganze: a_b_c &" in headings[0]
