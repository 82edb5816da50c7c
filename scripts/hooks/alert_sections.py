"""Tell the page for wrong addresses which sections the runbook has, and which alert leads where.

An alert's name is what somebody types who has lost its link.  Names and sections are read from the
rendered runbook, so a renamed heading or a new alert is known here without being written twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.toc import AnchorLink

RUNBOOK = "operations/cron-reminder-runbook.md"
_MISSING = f"{RUNBOOK} is not there, and the page for wrong addresses needs it."
TABLE = "alerts-and-where-they-lead"


@dataclass(frozen=True)
class Section:
    """A section of the runbook and the alerts that lead to it."""

    anchor: str
    title: str
    alerts: tuple[str, ...] = ()


class _Alerts(HTMLParser):
    """Reads the first table below the heading of the alerts: name first, link last in each row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._wanted = False
        self._in_code = False
        self._name = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id") == TABLE:
            self._wanted = True
        elif tag == "tr":
            self._name = ""
        elif tag == "code":
            self._in_code = self._name == ""
        elif tag == "a" and self._wanted and self._name:
            self.found[self._name] = (values.get("href") or "").lstrip("#")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._wanted = False
        elif tag == "code":
            self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._wanted and self._in_code:
            self._name += data


def read_alerts(html: str) -> dict[str, str]:
    """Return the anchor that each alert of the rendered page's table leads to."""
    return _Alerts(html).found


def _flat(items: Sequence[AnchorLink]) -> Iterator[AnchorLink]:
    for item in items:
        yield item
        yield from _flat(item.children)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Say at once, and not after all pages have been read, that the runbook is not there."""
    if not Path(config.docs_dir, RUNBOOK).is_file():
        raise PluginError(_MISSING)
    return config


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Give all templates ``runbook_sections``, and ``alert_sections`` in the order of the table."""
    del config
    file = files.get_file_from_path(RUNBOOK)
    if file is None or file.page is None:
        raise PluginError(_MISSING)
    alerts = read_alerts(file.page.content or "")
    sections = [
        Section(item.id, item.title, tuple(name for name, to in alerts.items() if to == item.id))
        for item in _flat(file.page.toc.items)
        if item.level > 0
    ]
    order = list(alerts.values())
    env.globals["runbook_sections"] = sections
    env.globals["alert_sections"] = sorted(
        (section for section in sections if section.alerts),
        key=lambda section: order.index(section.anchor),
    )
    return env
