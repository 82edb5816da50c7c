"""The command ``sql-snippets``: say what is on the pages, or check again what is saved."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sql_snippets.mkdocs_site import is_page, load_site
from sql_snippets.reading.pages import PageError, read_page
from sql_snippets.reading.site import Site, SiteError
from sql_snippets.sqltext.placeholders import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sql_snippets.model import (
        BoundTable,
        Claims,
        Drill,
        FactsTable,
        Failure,
        Location,
        Page,
        Snippet,
    )

EXIT_OK = 0
EXIT_UNREADABLE = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 when something cannot be read."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    return command(arguments)


def _watch(arguments: argparse.Namespace) -> int:
    from sql_snippets.project import ProjectError  # noqa: PLC0415 - to list takes no pytest
    from sql_snippets.settings import SettingsError  # noqa: PLC0415 - to list takes no pytest
    from sql_snippets.watching.watch import Place, watch  # noqa: PLC0415 - to list takes no pytest

    try:
        place = Place.of(arguments.config_file, arguments.report, arguments.paths)
        watch(place, from_now=arguments.from_now, beside=arguments.beside)
    except (SiteError, ProjectError, SettingsError) as err:
        _write(f"sql-snippets: error: {err}", sys.stderr)
        return EXIT_UNREADABLE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK


def _list(arguments: argparse.Namespace) -> int:
    pages: list[Page] = []
    errors: list[str] = []
    for path in arguments.paths:
        try:
            site = load_site(path, arguments.config_file)
            files = list(find_pages(path, site))
        except (SiteError, PageError) as err:
            errors.append(str(err))
            continue
        for file in files:
            try:
                pages.append(read_page(file, site))
            except PageError as err:
                errors.append(str(err))
            except SiteError as err:
                errors.append(str(err))
                break
    _write(_dump(pages) if arguments.json else "\n".join(as_text(pages)), sys.stdout)
    for error in dict.fromkeys(errors):
        _write(f"sql-snippets: error: {error}", sys.stderr)
    return EXIT_UNREADABLE if errors else EXIT_OK


def _dump(pages: Sequence[Page]) -> str:
    return json.dumps(as_json(pages), indent=2)


def _write(text: str, stream: TextIO) -> None:
    """Write a text whatever the terminal can show: SQL may hold any character."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sql-snippets",
        description="Find the SQL blocks of a MkDocs site, or watch them. To run them, use pytest.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('sql-snippets')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser(
        "list",
        help="list the SQL blocks of pages, with what the pages say about them",
        description=(
            "List every SQL block that the site shows, found by the Markdown extensions of the "
            "nearest mkdocs.yml, with what the page says about it, and every SQL fence that "
            "the site does not show, with the reason. Nothing is run."
        ),
        epilog="Exit status: 0, or 2 when a page or the configuration cannot be read.",
    )
    listing.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a page, or a folder of pages"
    )
    listing.add_argument(
        "-f",
        "--config-file",
        type=Path,
        metavar="FILE",
        help="the mkdocs.yml of the pages, if it is not in their folder or above it",
    )
    listing.add_argument(
        "--json",
        action="store_true",
        help='print one object with the lists "blocks", "not_rendered" and "problems"',
    )
    listing.set_defaults(run=_list)
    watching = commands.add_parser(
        "watch",
        help="re-check what you save, for pages open under `mkdocs serve`",
        description=(
            "Check the pages of the site, then re-check what is saved: a page by itself, or all of "
            "them after any other change. An open page of `mkdocs serve` shows the verdicts as "
            "they come. Ends with the program that started it."
        ),
    )
    watching.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="more files and folders that the checks use, such as the fixtures of incidents",
    )
    watching.add_argument(
        "-f", "--config-file", type=Path, metavar="FILE", help="the mkdocs.yml of the site"
    )
    watching.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="the report that mkdocs.yml names, if it is not .cache/sql-snippets/report.json",
    )
    watching.add_argument(
        "--from-now", action="store_true", help="check only what is saved from now on"
    )
    watching.add_argument(
        "--beside",
        type=int,
        metavar="PID",
        help="end when this process, which started the command, ends, even if it already has",
    )
    watching.set_defaults(run=_watch)
    return parser


def find_pages(path: Path, site: Site) -> Iterator[Path]:
    """Yield the pages at a path, in name order: the file itself, or those of the site in a folder.

    Where there is no site, they are the Markdown files outside of hidden folders.
    """
    if not path.exists():
        raise PageError(f"{path} does not exist.")
    if not path.is_dir():
        yield path
        return
    if site.config_path is not None:
        files = (site.docs_dir / uri for uri in sorted(set(site.pages.values())))
        yield from (file for file in files if file.is_relative_to(path.resolve()))
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if not hidden and is_page(file) and file.is_file():
            yield file


def as_json(pages: Sequence[Page]) -> dict[str, list[dict[str, Any]]]:
    """Return the inventory of pages as plain values for JSON."""
    return {
        "blocks": [_block(snippet) for page in pages for snippet in page.snippets],
        "not_rendered": [
            {**_place(item.location), "reason": item.reason}
            for page in pages
            for item in page.not_rendered
        ],
        "problems": [
            {**_place(problem.location), "message": problem.message}
            for page in pages
            for problem in _all_problems(page)
        ],
    }


def as_text(pages: Sequence[Page]) -> Iterator[str]:
    """Yield the lines of the inventory for a person to read."""
    count = 0
    for page in pages:
        for snippet in page.snippets:
            count += 1
            yield f"{snippet.page}:{_lines(snippet)[0]}  {snippet.id}"
            yield f"    {_first_line(snippet.sql)}"
            if claims := _describe(snippet.claims):
                yield f"    claims: {claims}"
            for placeholder in _placeholders(snippet):
                yield f"    <{placeholder['name']}> from {placeholder['source']}"
            if snippet.skipped is not None:
                yield f"    skipped: {snippet.skipped}"
    for page in pages:
        for item in page.not_rendered:
            yield f"{item.location}: not shown by the site: {item.reason}"
        for problem in _all_problems(page):
            yield f"{problem.location}: {problem.message}"
    lost = sum(len(page.not_rendered) for page in pages)
    wrong = sum(len(_all_problems(page)) for page in pages)
    yield (
        f"{_counted(count, 'block')} on {_counted(len(pages), 'page')}, "
        f"{lost} written but not shown, {_counted(wrong, 'problem')}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _block(snippet: Snippet) -> dict[str, Any]:
    first, last = _lines(snippet)
    return {
        "path": snippet.page,
        "line": first,
        "end_line": last,
        "id": snippet.id,
        "sql": snippet.sql,
        "claims": asdict(snippet.claims),
        "placeholders": _placeholders(snippet),
        "skipped": snippet.skipped,
    }


def _placeholders(snippet: Snippet) -> list[dict[str, str]]:
    """Return each placeholder and what gives its value; types are known when it is run."""
    names = dict.fromkeys(placeholder.name for placeholder in find(snippet.sql))
    return [{"name": name, "source": snippet.claims.source_of(name)} for name in names]


def _lines(snippet: Snippet) -> tuple[int, int]:
    return snippet.origins[0].line, snippet.origins[-1].line


def _place(location: Location) -> dict[str, Any]:
    return asdict(location)


def _all_problems(page: Page) -> list[Failure]:
    owners: tuple[Snippet | BoundTable | FactsTable | Drill, ...]
    owners = (*page.snippets, *page.tables, *page.facts, *page.drills)
    problems = [*page.problems, *(problem for owner in owners for problem in owner.problems)]
    return sorted(problems, key=lambda problem: problem.location)


def _first_line(sql: str) -> str:
    line, *more = sql.strip().split("\n")
    return f"{line} ..." if more else line


def _describe(claims: Claims) -> str:
    parts = [str(claims.mark)] if claims.mark else []
    if claims.role:
        parts.append(f"role {claims.role}")
    if claims.scenario:
        step = f" ({claims.step})" if claims.step else ""
        parts.append(f"scenario {claims.scenario}{step}")
    if claims.error:
        parts.append(f"error {claims.error}")
    if claims.message:
        parts.append(f"message {claims.message!r}")
    if claims.columns is not None:
        shape = ", ".join(f"{column.name} {column.type}" for column in claims.columns)
        parts.append(f"columns {shape}")
    if claims.rows is not None:
        parts.append(_counted(claims.rows, "row"))
    if claims.output:
        parts.append(f"output at line {claims.output.location.line}")
    return ", ".join(parts)
