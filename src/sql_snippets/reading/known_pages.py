"""Pages as they were read before, kept so that a page that has not changed is not rendered again.

Only what is known to depend on nothing else is kept: pages of sites whose extensions come with
Markdown and pymdownx and read no files.  An entry is plain JSON; one that cannot be read, or is
another user's, is ignored.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_bytes, hash_of, own_digest, read_entry, write_whole
from sql_snippets.codec import decode, encode
from sql_snippets.model import Page
from sql_snippets.reading.source import read_text

if TYPE_CHECKING:
    from sql_snippets.reading.site import Site

# Extensions of these packages depend on the page and on their options; but for these few, which
# read files or run code of their own.
_PACKAGES = ("markdown.extensions.", "pymdownx.", "material.extensions.")
_READ_MORE = {"pymdownx.snippets", "pymdownx.b64", "pymdownx.pathconverter"}
_SHORT_NAMES = {
    *("abbr", "admonition", "attr_list", "codehilite", "def_list", "extra", "fenced_code"),
    *("footnotes", "legacy_attrs", "legacy_em", "md_in_html", "meta", "nl2br", "sane_lists"),
    *("smarty", "tables", "toc", "wikilinks"),
}


def read_known_page(path: Path, site: Site, cache_dir: Path) -> Page:
    """Do as `read_page` does, with what an earlier run has kept in ``cache_dir``."""
    options = plain_options(site)
    if options is None:
        return _read(path, site)
    text = read_text(path)
    name = site.name_of(path)
    key = hash_of([own_digest(), sys.version, installed(), options, str(site.root), name, text])
    entry = cache_dir / "pages" / f"{hash_of([str(site.root), name])[:32]}.json"
    page = _find(entry, key, site.root)
    if page is None:
        page = _read(path, site)
        if read_text(path) == text:
            _keep(entry, key, page, site.root)
    return page


def _read(path: Path, site: Site) -> Page:
    # Where all pages are known, what renders them is not even imported.
    from sql_snippets.reading.pages import read_page  # noqa: PLC0415 - see above

    return read_page(path, site)


def _find(entry: Path, key: str, root: Path) -> Page | None:
    try:
        content = read_entry(entry)
        if content["key"] != key or content["check"] != hash_of(content["page"]):
            return None
        if any(_digest_of(root / name) != digest for name, digest in content["facts"].items()):
            return None
        return decode(Page, content["page"])
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None


def _keep(entry: Path, key: str, page: Page, root: Path) -> None:
    values = encode(page)
    # The queries of facts stand in files of their own.
    facts = {table.source: _digest_of(root / table.source) for table in page.facts}
    content = {"key": key, "facts": facts, "check": hash_of(values), "page": values}
    with suppress(OSError):
        write_whole(entry, json.dumps(content))


def plain_options(site: Site) -> str | None:
    """Return what decides how the site renders; None where not all of it can be written down."""
    if site.depends_on_page or not all(map(_is_self_contained, site.extensions)):
        return None
    try:
        options = json.dumps(site.extension_configs, default=_name_of, sort_keys=True)
    except (TypeError, ValueError):
        return None
    return json.dumps([site.extensions, options, str(site.config_path)])


def _is_self_contained(extension: str) -> bool:
    return extension in _SHORT_NAMES or (
        extension.startswith(_PACKAGES) and extension not in _READ_MORE
    )


def _name_of(value: object) -> str:
    """Return the name of a function of a package; raise TypeError for anything else."""
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    if not f"{module}.".startswith(_PACKAGES) or not name or "<" in name:
        raise TypeError
    return f"{module}:{name}"


@cache
def installed() -> tuple[str, ...]:
    """Return names and versions of the packages: any of them may have a part in rendering."""
    names: set[str] = set()
    for folder in sys.path:
        with suppress(OSError):
            names |= {path.name for path in Path(folder).iterdir() if path.suffix == ".dist-info"}
    return tuple(sorted(names))


def _digest_of(path: Path) -> str | None:
    try:
        return hash_bytes(path.read_bytes())
    except OSError:
        return None
