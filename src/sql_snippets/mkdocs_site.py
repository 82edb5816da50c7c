"""From a site's ``mkdocs.yml`` to what the checks need of it, read by MkDocs itself.

Of the configuration only what decides on pages and their Markdown is looked at: a theme, a plugin
or a hook need not be installed where pages are checked.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mkdocs.config import config_options
from mkdocs.config.base import Config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import ConfigurationError
from mkdocs.structure.files import get_files, set_exclusions
from mkdocs.utils import is_markdown_file
from mkdocs.utils.yaml import (
    ConfigDirPlaceholder,
    DocsDirPlaceholder,
    RelativeDirPlaceholder,
    get_yaml_loader,
    yaml_load,
)

from sql_snippets.project import ProjectError, find_project
from sql_snippets.reading.site import PAGE_FOLDER, Site, SiteError, site_without_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_NAMES = ("mkdocs.yml", "mkdocs.yaml")
_EXTENSION = re.compile(r"(?s)Failed to load extension '(?P<name>.*?)'\.\n.*?(?P<why>[^\n]*)\Z")


class _Wanted(Config):  # type: ignore[no-untyped-call]  # untyped base
    """The settings that decide which files are pages and how a page is rendered, as MkDocs' own."""

    # The folder may be made later.
    docs_dir = config_options.Type(str, default="docs")
    site_dir = config_options.Type(str, default="site")
    use_directory_urls = MkDocsConfig.use_directory_urls
    exclude_docs = MkDocsConfig.exclude_docs
    draft_docs = MkDocsConfig.draft_docs
    not_in_nav = MkDocsConfig.not_in_nav
    markdown_extensions = MkDocsConfig.markdown_extensions
    mdx_configs = MkDocsConfig.mdx_configs


def is_page(path: Path) -> bool:
    """Whether MkDocs takes a file of this name for a page."""
    return is_markdown_file(path.name)


def find_config(start: Path) -> Path | None:
    """Return the nearest ``mkdocs.yml`` in ``start`` (a file or folder) or above it."""
    start = start.resolve()
    for folder in (start, *start.parents):
        for name in CONFIG_NAMES:
            if (candidate := folder / name).is_file():
                return candidate
    return None


def load_site(start: Path, config_path: Path | None = None) -> Site:
    """Return the site of ``config_path``, or else the one that ``start``, a file or folder, is in.

    Without a ``mkdocs.yml`` there or above, the pages are read as Material for MkDocs recommends:
    admonition, attr_list, def_list, tables, toc, and pymdownx highlight, superfences, tabbed and
    details.  Raises `SiteError` for a configuration that cannot be used.
    """
    found = config_path.resolve() if config_path else find_config(start)
    if found is None:
        folder = start.resolve() if start.is_dir() else start.resolve().parent
        return site_without_configuration(folder)

    config: Any = _Wanted(config_file_path=str(found))
    written = _read(found, config)
    config.load_dict({name: written[name] for name in config if name in written})
    wrong, _ = config.validate()
    for name, error in wrong:
        raise SiteError(_refusal(found, name, str(error)))
    root = found.parent
    # Why it cannot be read is said where its settings are asked for.
    with suppress(ProjectError):
        root, _ = find_project(root)
    docs_dir = Path(os.path.normpath(found.parent / config.docs_dir))
    return Site(
        root=root,
        docs_dir=docs_dir.resolve(),
        config_path=found,
        extensions=tuple(config.markdown_extensions),
        extension_configs=_settled(config.mdx_configs, found.parent),
        pages=_pages(config, docs_dir.resolve()) if docs_dir.is_dir() else {},
    )


def _pages(config: Any, docs_dir: Path) -> dict[Path, str]:
    """Return the place in the site of each page that MkDocs builds, by its file.

    A page that is a link is there twice, also by the file that it leads to.
    """
    config.docs_dir = str(docs_dir)
    files = get_files(config)
    set_exclusions(files, config)
    uris = [file.src_uri for file in files.documentation_pages()]
    links = {(docs_dir / uri).resolve(): uri for uri in uris}
    return links | {docs_dir / uri: uri for uri in uris}


def _read(path: Path, config: Any) -> Mapping[str, Any]:
    """Read the configuration, merged over the one that it inherits from."""
    # As in MkDocs: a configuration names Python objects, and building the site runs them.
    loader = get_yaml_loader(yaml.UnsafeLoader, config)
    try:
        with path.open("rb") as file:
            written = yaml_load(file, loader)
    except ConfigurationError as err:
        raise SiteError(_where(path, err)) from err
    except RecursionError:
        raise SiteError(f"{path}: INHERIT leads back to this file.") from None
    except OSError as err:
        raise SiteError(f"{path} cannot be read: {err.strerror}.") from err
    except Exception as err:  # a tag may call anybody's code, which may raise anything
        raise SiteError(
            f"{path}: a Python object that it names failed: {type(err).__name__}: {err}"
        ) from err
    if not isinstance(written, dict):
        raise SiteError(f"{path} is not a mapping of settings but a {type(written).__name__}.")
    return written


def _refusal(path: Path, setting: str, error: str) -> str:
    """Return why MkDocs refuses a setting, with the line of the extension that it is about."""
    failed = _EXTENSION.match(error)
    if failed is None:
        return f"{path}: {setting}: {' '.join(error.split())}"
    name = failed["name"]
    listed = re.compile(rf"^\s*(?:-\s+)?['\"]?{re.escape(name)}['\"]?\s*:?")
    lines = path.read_text("utf-8-sig").splitlines()
    number = next((f":{n}" for n, line in enumerate(lines, 1) if listed.match(line)), "")
    why = failed["why"]
    return f"{path}{number}: the Markdown extension {name!r} cannot be used: {why}"


def _where(path: Path, error: ConfigurationError) -> str:
    """Return an error of MkDocs as one line that names the file and, where known, its line."""
    cause = error.__context__
    if isinstance(cause, yaml.reader.ReaderError):
        return f"{path} is not UTF-8: byte {cause.position} cannot be decoded."
    if not isinstance(cause, yaml.MarkedYAMLError):
        return f"{path}: {' '.join(str(error).split())}"
    mark = cause.problem_mark or cause.context_mark
    place = f"{mark.line + 1}:{mark.column + 1}:" if mark else ""
    sentence = " ".join(part for part in (cause.context, cause.problem) if part)
    return f"{path}:{place} {' '.join(sentence.split())}."


def _settled(value: Any, project: Path) -> Any:
    """Return an option with each ``!relative`` as a plain path, but for the page's own folder."""
    match value:
        case dict():
            return {key: _settled(item, project) for key, item in value.items()}
        case list():
            return [_settled(item, project) for item in value]
        case RelativeDirPlaceholder():
            return PAGE_FOLDER
        case ConfigDirPlaceholder() | DocsDirPlaceholder():
            # MkDocs leaves it to the working directory, and it is run in the project.
            return os.path.normpath(project / value)
        case _:
            return value
