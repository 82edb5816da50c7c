"""What is built: the same from the same files, by two programs, small, and right on GitHub."""

from __future__ import annotations

import gzip
import re
import unicodedata
from typing import TYPE_CHECKING

import pytest

from scripts.hooks.reproducible import last_commit
from scripts.tasks.common import ROOT
from scripts.tasks.local_site import build
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.site import new_markdown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.site.shared_site import Site

RUNBOOK = "operations/cron-reminder-runbook"
# All of them are read in the repository too.
ON_GITHUB = sorted((ROOT / "docs").rglob("*.md"))
AT_THE_TOP = sorted(ROOT.glob("*.md"))
LIMIT = 300_000  # bytes, compressed, of all that a page needs before its diagram


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(built_site: Site) -> dict[str, bytes]:
    assert "WARNING -" not in built_site.said.read_text(encoding="utf-8")
    return _files(built_site.folder)


def test_same_files_give_the_same_bytes(built: dict[str, bytes], site: str, tmp_path: Path) -> None:
    build(tmp_path, site)
    again = _files(tmp_path)
    assert again.keys() == built.keys()
    assert [name for name, content in built.items() if again[name] != content] == []


def test_dates_are_those_of_the_last_commit(
    built: dict[str, bytes], site: str, tmp_path: Path
) -> None:
    assert int(last_commit(ROOT)) > 0
    assert last_commit(tmp_path) == "0"
    map_of_site = built["sitemap.xml.gz"]
    assert int.from_bytes(map_of_site[4:8], "little") <= int(last_commit(ROOT))
    build(tmp_path, site, extra={"SOURCE_DATE_EPOCH": "1000000000"})
    assert b"2001-09-09" in (tmp_path / "sitemap.xml").read_bytes()


def test_properdocs_builds_the_same_pages(
    built: dict[str, bytes], site: str, tmp_path: Path
) -> None:
    said = build(tmp_path, site, program="properdocs")
    assert "WARNING -" not in said
    other = _files(tmp_path)
    assert other.keys() == built.keys()
    generator = re.compile(rb'<meta[^>]*name="generator"[^>]*>')
    differ = [
        name
        for name, content in built.items()
        if generator.sub(b"", other[name]) != generator.sub(b"", content)
    ]
    assert differ == []


def _needed(built: dict[str, bytes], name: str) -> list[str]:
    html = built[name].decode()
    found = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+\.(?:js|css))"', html)
    worker = re.search(r'"search": "([^"]+)"', html)
    assert found
    assert worker
    return [re.sub(r"^(?:\.\./)+", "", path) for path in [*found, worker[1]]]


def test_page_is_small_before_its_diagram(built: dict[str, bytes]) -> None:
    page = f"{RUNBOOK}/index.html"
    names = [page, *_needed(built, page)]
    assert not [name for name in names if "mermaid.min" in name]
    assert len(names) >= 10
    sizes = {name: len(gzip.compress(built[name], 6)) for name in names}
    total = sum(sizes.values())
    listing = "\n".join(f"{size:8} {name}" for name, size in sizes.items())
    assert 50_000 < total < LIMIT, f"{total} bytes:\n{listing}"


def _outside_fences(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"(?ms)^(`{3,})[^`\n]*\n.*?^\1`*$", "", text)


def github_slugs(path: Path) -> list[str]:
    """Return the anchors as GitHub makes them: lower case, no punctuation, a hyphen a space."""
    found: list[str] = []
    seen: dict[str, int] = {}
    for title in re.findall(r"^#{1,6} (.+)$", _outside_fences(path), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip()
        kept = [
            character
            for character in shown.lower()
            if character in " -_" or unicodedata.category(character)[0] in "LNM"
        ]
        slug = "".join(kept).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.append(f"{slug}-{number}" if number else slug)
    return found


def site_slugs(path: Path) -> list[str]:
    """Return the anchors as the site makes them."""
    html = new_markdown(load_site(ROOT)).convert(path.read_text(encoding="utf-8"))
    return re.findall(r'<h[1-6][^>]* id="([^"]+)"', html)


@pytest.mark.parametrize("path", ON_GITHUB, ids=lambda path: path.stem)
def test_headings_have_the_same_anchor_on_both(path: Path) -> None:
    assert github_slugs(path)
    assert site_slugs(path) == github_slugs(path)


@pytest.mark.parametrize("path", [*ON_GITHUB, *AT_THE_TOP], ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere_on_github(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", _outside_fences(path))
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        assert not target.startswith("/"), f"{target} is not relative"
        if "://" in target:
            continue
        leads_to = (path.parent / target).resolve() if target else path
        assert leads_to.exists(), f"{path.name} leads to {target}"
        if anchor:
            old = re.findall(r'<a id="([^"]+)"></a>', leads_to.read_text(encoding="utf-8"))
            assert anchor in {*github_slugs(leads_to), *old}, f"{path.name}: {target}#{anchor}"


@pytest.mark.parametrize("path", ON_GITHUB, ids=lambda path: path.stem)
def test_nothing_that_only_the_site_understands(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", _outside_fences(path))
    assert not re.search(r"^(?:!!!|\?\?\?|===) ", text, re.MULTILINE), "use > [!WARNING]"
    assert not re.search(r"\{ ?[#.:]", text), "attributes in braces are text on GitHub"
    assert not text.startswith("---"), "front matter is a table on GitHub"
    for kind in re.findall(r"^> \[!(.*?)\]", text, re.MULTILINE):
        assert kind in {"NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION"}
    assert not re.findall(r"!\[[^\]]*\]\((?:https?:|/)", text), "images are relative"


@pytest.mark.parametrize(
    ("title", "slug"),
    [("What's new?", "whats-new"), ("A `b_c` & D", "a-b_c--d"), ("Ünder 5 %", "ünder-5-")],
)
def test_slugs_of_github(tmp_path: Path, title: str, slug: str) -> None:
    page = tmp_path / "x.md"
    page.write_text(f"# {title}\n\n```\n# no heading\n```\n\n## {title}\n", encoding="utf-8")
    assert github_slugs(page) == [slug, f"{slug}-1"]
