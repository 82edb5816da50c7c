"""Show on the site what its pages link to in the repository.

A page may link to a file outside ``docs/``, as ``../../tests/test_x.py``: right for a reader of the
repository, and nothing that the site would have.  For each such file the site gets a page with its
text, so the link works there too, with no request to the host of the repository.  A JSON Schema is
for programs: the site has it as it is.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

FOLDER = "source"
_LINK = re.compile(r"(?<=\]\()(?P<target>(?:\.\./)+[^)#\s]+)(?=[)#])")
_FENCES = re.compile(r"^`{3,}", re.MULTILINE)
_LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".json": "json"}


def _find(target: str, page: File, config: MkDocsConfig) -> Path | None:
    """Return the file outside the pages that a link leads to, relative to the project."""
    if page.abs_src_path is None:
        return None
    project = Path(config.config_file_path).parent.resolve()
    found = (Path(page.abs_src_path).parent / target).resolve()
    outside = not found.is_relative_to(Path(config.docs_dir).resolve())
    if found.is_file() and found.is_relative_to(project) and outside:
        return found.relative_to(project)
    return None


def _show(path: Path, text: str) -> str:
    fence = "`" * max([3, *(len(run) + 1 for run in _FENCES.findall(text))])
    # SQL is shown as plain text: a file is not a block to copy and run.
    language = _LANGUAGES.get(path.suffix, "text")
    return (
        "---\nhide:\n  - toc\n---\n\n"
        f"# {path.name}\n\n"
        f"`{path.as_posix()}` of this site's repository.\n\n"
        f"{fence}{language}\n{text.rstrip()}\n{fence}\n"
    )


def _address(path: Path) -> str:
    as_it_is = path.name.endswith(".schema.json")
    return f"{FOLDER}/{path.as_posix()}" + ("" if as_it_is else ".md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page, or the file itself, for each file outside that a page links to."""
    project = Path(config.config_file_path).parent.resolve()
    linked = {
        path
        for page in files.documentation_pages()
        for link in _LINK.finditer(page.content_string)
        if (path := _find(link["target"], page, config))
    }
    for path in sorted(linked):
        text, address = (project / path).read_text(encoding="utf-8"), _address(path)
        content = _show(path, text) if address.endswith(".md") else text
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to the pages that were added."""
    del files
    here = PurePosixPath(page.file.src_uri).parent

    def lead(link: re.Match[str]) -> str:
        path = _find(link["target"], page.file, config)
        if path is None:
            return link[0]
        return os.path.relpath(_address(path), here)

    return _LINK.sub(lead, markdown)
