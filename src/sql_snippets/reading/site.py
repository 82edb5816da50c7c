"""The site a page belongs to: which pages it has, and the Markdown pipeline that renders them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import markdown

from sql_snippets.reading.source import relative_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What MkDocs has built in and Material for MkDocs recommends, for pages that belong to no site.
_DEFAULT_EXTENSIONS = (
    "toc",
    "tables",
    "fenced_code",
    "admonition",
    "attr_list",
    "def_list",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.tabbed",
    "pymdownx.details",
)
_DEFAULT_CONFIGS: Mapping[str, Mapping[str, Any]] = {"pymdownx.tabbed": {"alternate_style": True}}


class SiteError(Exception):
    """The site's configuration cannot be used; the message names the file and the line."""


class _PageFolder:
    """``!relative`` without a value: the folder of whichever page is being rendered."""


PAGE_FOLDER = _PageFolder()


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What decides on the pages and how they are rendered.

    ``root`` is the folder of the project: paths that the checker reports are relative to it.
    Without a configuration it is the folder that was asked about, and so is ``docs_dir``.
    ``pages`` are the files that the site is built from, each with its place below ``docs_dir``; a
    link is there under both its names.
    """

    root: Path
    docs_dir: Path
    config_path: Path | None
    extensions: tuple[str, ...]
    extension_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pages: Mapping[Path, str] = field(default_factory=dict)

    def name_of(self, path: Path) -> str:
        """Return what a file is called in reports: a page by its place in the site.

        A page that is a link to a file elsewhere is called by where the site has it.
        """
        uri = self.place_of(path)
        file = path.resolve() if uri is None else self.docs_dir / uri
        return relative_name(file, self.root)

    def place_of(self, path: Path) -> str | None:
        """Return the place of a page in the site, None for any other file."""
        as_named = path.parent.resolve() / path.name
        return self.pages.get(as_named, self.pages.get(path.resolve()))

    @property
    def depends_on_page(self) -> bool:
        """Whether the pipeline differs from page to page (``!relative`` without a value)."""
        return any(_mentions_page(config) for config in self.extension_configs.values())


def site_without_configuration(folder: Path) -> Site:
    """Return what pages in ``folder`` are read as that belong to no site."""
    return Site(folder, folder, None, _DEFAULT_EXTENSIONS, _DEFAULT_CONFIGS)


def new_markdown(site: Site, page: Path | None = None) -> markdown.Markdown:
    """Return a Markdown instance that renders as the site does.

    ``page`` matters only where the configuration says ``!relative`` without a value.  Raises
    `SiteError` when an extension does not import or refuses its options.
    """
    folder = str(page.resolve().parent if page else site.docs_dir)
    configs = {
        name: {key: _settle(value, folder) for key, value in config.items()}
        for name, config in site.extension_configs.items()
    }
    if "pymdownx.snippets" in site.extensions:
        # MkDocs leaves relative paths to the working directory, and it is run in the project.
        base_of_paths = site.config_path.parent if site.config_path else site.root
        snippets = configs.setdefault("pymdownx.snippets", {})
        base = snippets.get("base_path", ["."])
        bases = [base] if isinstance(base, (str, os.PathLike)) else base
        snippets["base_path"] = [str(base_of_paths / os.fspath(item)) for item in bases]

    md = markdown.Markdown()
    for name in site.extensions:
        try:
            md.registerExtensions([name], configs)
        except Exception as err:  # an extension is anybody's code: it may raise anything
            place = site.config_path or "the default Markdown extensions"
            raise SiteError(
                f"{place}: the Markdown extension {name!r} cannot be used: "
                f"{type(err).__name__}: {err}"
            ) from err
    return md


def _mentions_page(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_mentions_page, value.values()))
    if isinstance(value, list):
        return any(map(_mentions_page, value))
    return isinstance(value, _PageFolder)


def _settle(value: Any, folder: str) -> Any:
    """Copy an option, so that no extension changes the site's own, with ``!relative`` resolved."""
    if isinstance(value, dict):
        return {key: _settle(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_settle(item, folder) for item in value]
    return folder if isinstance(value, _PageFolder) else value
