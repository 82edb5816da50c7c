"""The alerts of the database and the sections of the page, compared in both directions."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sql_snippets import Database

PAGE = Path(__file__).resolve().parents[2] / "docs/operations/cron-reminder-runbook.md"
PUBLISHED = Path(__file__).with_name("published_anchors.txt")


@cache
def text() -> str:
    """Return the page without its blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", PAGE.read_text(encoding="utf-8"))


def headings() -> list[str]:
    titles = re.findall(r"^#{2,6} (.+)$", text(), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles]


def anchors() -> list[str]:
    """Return every place that a link may lead to: headings, and their old names."""
    return [*headings(), *re.findall(r'<a id="([^"]+)"></a>', text())]


def table() -> dict[str, str]:
    rows = text().split("### Alerts and where they lead\n", 1)[1].split("\n### ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \|.*\(#([\w-]+)\) \|$", rows, re.MULTILINE))


def kinds(database: Database) -> dict[str, str]:
    query = "select kind, runbook_anchor from reminder.alert_kinds"
    with database.connect() as connection:
        return {str(kind): str(anchor) for kind, anchor in connection.execute(query)}


def test_each_alert_leads_to_exactly_one_section(sql_database: Database) -> None:
    sections = anchors()
    for kind, anchor in kinds(sql_database).items():
        assert sections.count(anchor) == 1, f"alert {kind} leads to #{anchor}"


def test_page_names_the_alerts_of_the_database_and_no_others(sql_database: Database) -> None:
    assert kinds(sql_database)
    assert table() == kinds(sql_database)


def test_no_two_alerts_share_a_section(sql_database: Database) -> None:
    found = list(kinds(sql_database).values())
    assert len(found) == len(set(found))


def test_no_anchor_stands_twice() -> None:
    assert len(anchors()) == len(set(anchors()))


def test_every_anchor_that_was_ever_published_is_still_there() -> None:
    published = PUBLISHED.read_text(encoding="utf-8").split()
    gone = set(published) - set(anchors())
    assert not gone, f'put <a id="{min(gone)}"></a> above the heading that has its text now'


def test_every_anchor_is_kept_from_now_on() -> None:
    published = PUBLISHED.read_text(encoding="utf-8").split()
    new = set(anchors()) - set(published)
    assert not new, f"add to {PUBLISHED.name}: {' '.join(sorted(new))}"
    assert published == sorted(published), f"{PUBLISHED.name} is in alphabetical order"


@pytest.mark.parametrize("name", ["missed-runs", "stuck-lock"])
def test_a_renamed_heading_needs_its_old_anchor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    title = name.replace("-", " ").capitalize()
    renamed = text().replace(f"### {title}\n", "### Something else\n")
    monkeypatch.setitem(globals(), "text", lambda: renamed)
    assert name not in anchors()
    kept = renamed.replace("### Something else\n", f'<a id="{name}"></a>\n\n### Something else\n')
    monkeypatch.setitem(globals(), "text", lambda: kept)
    assert anchors().count(name) == 1
