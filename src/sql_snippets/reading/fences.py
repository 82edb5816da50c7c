"""Watch the site's own Markdown pipeline, to learn which fences it finds and where they stand.

superfences decides what a fence is; nothing here does.  Its preprocessor is watched at the points
where it takes a line, keeps a block or gives one up.  Each block it keeps gets a marker in its
HTML, so that the finished page tells which of them are really shown: one inside an HTML comment or
taken back into indented code has no marked element there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from markdown.preprocessors import NormalizeWhitespace, Preprocessor
from pygments.lexers import find_lexer_class_by_name
from pygments.lexers.sql import PlPgsqlLexer, PostgresLexer, SqlLexer
from pygments.util import ClassNotFound
from pymdownx.snippets import SnippetPreprocessor
from pymdownx.superfences import (
    FENCED_BLOCK_RE,
    SuperFencesBlockPreprocessor,
    SuperFencesRawBlockPreprocessor,
)

from sql_snippets.reading.site import Site, SiteError, new_markdown
from sql_snippets.reading.source import TracedLine, carry, cut
from sql_snippets.reading.uncoloured import leave_out_colours

if TYPE_CHECKING:
    from collections.abc import Callable

    import markdown

MARKER = "data-sql-snippets-fence"

_FIRST_TAG = re.compile(r"\s*<[a-zA-Z][^\s/>]*")
_DIRECTIVE = re.compile(r"<!--\s*sql:")

# Lines that hold a block that superfences has taken out have a placeholder with this character.
_PLACEHOLDER = "\x02"


@cache
def is_sql(language: str) -> bool:
    """Return whether a fence of this language is SQL for PostgreSQL, by the lexer it gets."""
    if language.lower() == "pgsql":  # an editor's name for it, which Pygments does not know
        return True
    try:
        lexer = find_lexer_class_by_name(language)
    except ClassNotFound:
        return False
    return lexer in {SqlLexer, PostgresLexer, PlPgsqlLexer}


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence that superfences found, shown or not.

    ``start`` and ``end`` are the indices, in the lines that superfences was given, of its opening
    line and of the line after its closing one.
    """

    number: int
    language: str
    start: int
    end: int
    code: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comment:
    """A ``<!-- sql: ... -->`` as written.

    ``start`` is the line and the index in it of ``<!--``; ``body`` what stands between ``sql:`` and
    the end, line by line; ``follower`` the index of the first line of content below.
    """

    start: tuple[str, int]
    body: tuple[str, ...]
    is_closed: bool
    follower: int


@dataclass(slots=True)
class Trail:
    """What was seen while one page was rendered.

    ``lines`` are those that superfences was given, and the indices in ``fences``, ``given_up``
    (opening line to the line that ended the attempt), ``unclosed`` and ``refused`` are theirs.
    ``prose`` is what it left: a line for each block that it took out.
    """

    source: list[TracedLine] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    given_up: dict[int, int] = field(default_factory=dict)
    unclosed: int | None = None
    refused: set[int] = field(default_factory=set)
    prose: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)


class _WatchedFences(SuperFencesBlockPreprocessor):  # type: ignore[misc]  # untyped base
    """superfences, telling what it does.  An instance that the site made takes this class on."""

    trail = Trail()
    held: dict[str, list[str]]
    _index = -1
    _opener = -1
    _kept = False

    def restore_raw_text(self, lines: list[str]) -> list[str]:
        """Follow the blocks whose tabs were kept out of the whitespace step's way."""
        restored: list[str] = []
        for line in lines:
            block = super().restore_raw_text([line])
            placeholder = FENCED_BLOCK_RE.match(line)
            if placeholder and (held := self.held.get(placeholder.group(2))):
                block = carry(held, block, self.tab_len)
            restored += block
        return restored

    def search_nested(self, lines: list[str]) -> list[str]:
        """Search as ever, and note a block that is open when the text ends."""
        self.trail.lines = lines
        self._index = self._opener = -1
        found: list[str] = super().search_nested(lines)
        if self.fence is not None:
            self.trail.unclosed = self._opener
        self._index = -1
        return found

    # For each line in turn the search calls the first of these outside of a fence, else the second.

    def parse_whitespace(self, line: str) -> str:
        """Count the line: it may open a block."""
        self._index += 1
        self._opener = self._index
        ws: str = super().parse_whitespace(line)
        return ws

    def parse_fence_line(self, line: str) -> tuple[str, str]:
        """Count the line: it is inside a block."""
        self._index += 1
        ws, content = super().parse_fence_line(line)
        return ws, content

    def clear(self) -> None:
        """Note why an attempt at a block ends: kept, given up, or refused at its first line."""
        if self._index >= 0 and not self._kept:
            if self.fence is None:
                self.trail.refused.add(self._opener)
            else:
                self.trail.given_up[self._opener] = self._index
        self._kept = False
        super().clear()

    def _store(self, source: str, code: object, start: int, end: int) -> None:
        number = len(self.trail.fences)
        rebuilt = [line[self.ws_virtual_len :] for line in self.code]
        lines = carry(self.trail.lines[start + 1 : end - 1], rebuilt, self.tab_len)
        self.trail.fences.append(Fence(number, self._language(), start, end, tuple(lines)))
        self._kept = True
        super()._store(source, _mark(str(code), number), start, end)

    def _language(self) -> str:
        language = self.lang or self.default_lang
        if not isinstance(language, str):
            return ""
        for alias in self.extend_pygments_lang or ():
            if str(alias.get("name", "")).lower() == language.lower():
                return str(alias.get("lang", language))
        return language


class _WatchedRawFences(SuperFencesRawBlockPreprocessor):  # type: ignore[misc]  # untyped base
    """The first pass of superfences with ``preserve_tabs``: it hides blocks from the next step."""

    held: dict[str, list[str]]
    _lines: list[str]

    def search_nested(self, lines: list[str]) -> list[str]:
        """Search as ever, and keep the lines at hand."""
        self._lines = lines
        found: list[str] = super().search_nested(lines)
        return found

    def _store(self, source: str, code: str, start: int, end: int) -> None:
        super()._store(source, code, start, end)
        key = next(reversed(self.extension.stash.stash))
        self.held[key] = self._lines[start:end]


def _mark(html: str, number: int) -> str:
    """Mark the first element, which changes nothing in how Markdown goes on with it."""
    attribute = f' {MARKER}="{number}"'
    if tag := _FIRST_TAG.match(html):
        return html[: tag.end()] + attribute + html[tag.end() :]
    return f"<div{attribute}>{html}</div>"


def _number_comments(lines: list[str], trail: Trail) -> list[str]:
    """Note the directive comments, and number them for the finished page to name.

    This happens when the fences are out of the text and the comments still in it.
    """
    trail.prose = list(lines)
    numbered: list[str] = []
    for row, line in enumerate(lines):
        pieces = []
        done = 0
        for match in _DIRECTIVE.finditer(line):
            pieces.append(f"{line[done : match.end()]}#{len(trail.comments)} ")
            done = match.end()
            trail.comments.append(_read_comment(lines, row, match.start(), match.end()))
        numbered.append("".join((*pieces, line[done:])) if pieces else line)
    return numbered


def _read_comment(lines: list[str], row: int, start: int, column: int) -> Comment:
    """Read the comment whose words begin at ``column`` of line ``row``."""
    body: list[str] = []
    origin = (lines[row], start)
    for end_row in range(row, len(lines)):
        line = lines[end_row]
        end = line.find("-->", column)
        limit = len(line) if end < 0 else end
        if _PLACEHOLDER in line or "<!--" in line[column:limit]:
            break
        body.append(cut(line, column, limit))
        if end >= 0:
            follower = _next_content(lines, end_row, end + 3)
            return Comment(origin, tuple(body), is_closed=True, follower=follower)
        column = _quote_width(lines, end_row + 1) if ">" in lines[row][:start] else 0
    return Comment(origin, tuple(body), is_closed=False, follower=len(lines))


def _quote_width(lines: list[str], row: int) -> int:
    """Return how much of a line is the mark of the block quote that it stands in."""
    line = lines[row] if row < len(lines) else ""
    return len(line) - len(line.lstrip(" \t>"))


def _next_content(lines: list[str], row: int, column: int) -> int:
    """Return the index of the first line with more than comments on it, from a place on."""
    in_comment = False
    while row < len(lines):
        line = lines[row]
        if in_comment:
            end = line.find("-->", column)
            in_comment = end < 0
            row, column = (row + 1, 0) if in_comment else (row, end + 3)
            continue
        rest = line[column:].lstrip(" \t>")
        if rest.startswith("<!--"):
            in_comment = True
            column = line.index("<!--", column) + 4
        elif rest:
            return row
        else:
            row, column = row + 1, 0
    return row


class _Step(Preprocessor):
    """A step of our own among the preprocessors."""

    def __init__(self, md: markdown.Markdown, step: Callable[[list[str]], list[str]]) -> None:
        super().__init__(md)
        self.step = step

    def run(self, lines: list[str]) -> list[str]:
        """Apply the step."""
        return self.step(lines)


class Pipeline:
    """One Markdown instance of a site, watched.  It renders one page at a time."""

    def __init__(self, site: Site, page: Path | None = None) -> None:
        self.site = site
        self.md = new_markdown(site, page)
        self.trail = Trail()
        self._held: dict[str, list[str]] = {}
        leave_out_colours(self.md)
        self._watch()

    def render(self, text: str, source: list[TracedLine]) -> tuple[str, Trail]:
        """Return the HTML of ``text``, whose lines are ``source``, and what was seen meanwhile."""
        self.trail = Trail(source=source)
        self._fences.trail = self.trail
        self._held.clear()
        return self.md.reset().convert(text), self.trail

    def _watch(self) -> None:
        steps = self.md.preprocessors
        self._fences: Any = steps["fenced_code_block"]
        if not isinstance(self._fences, SuperFencesBlockPreprocessor):
            raise SiteError(
                f"{self.site.config_path}: markdown_extensions lacks pymdownx.superfences, which "
                "finds the blocks of a page. Add it, as Material for MkDocs recommends."
            )
        step: Any
        for step in steps:
            if step is self._fences:
                break
            step.run = partial(self._follow, step, step.run)
            if isinstance(step, SuperFencesRawBlockPreprocessor):
                step.__class__ = _WatchedRawFences
                step.held = self._held
            elif isinstance(step, SnippetPreprocessor):
                self._trace_includes(step)
        # The class is changed, and not the instance replaced, because the site's extensions hold
        # on to the instance and to its methods.
        self._fences.__class__ = _WatchedFences
        self._fences.held = self._held
        steps.register(_Step(self.md, self._enter), "sql_snippets_source", 1000)
        steps.register(_Step(self.md, self._number_comments), "sql_snippets_directives", 24)

    def _enter(self, lines: list[str]) -> list[str]:
        return carry(self.trail.source, lines, self.md.tab_length, in_step=True)

    def _number_comments(self, lines: list[str]) -> list[str]:
        return _number_comments(lines, self.trail)

    def _follow(
        self, step: Preprocessor, run: Callable[[list[str]], list[str]], lines: list[str]
    ) -> list[str]:
        in_step = isinstance(step, NormalizeWhitespace)  # it adds two lines, at the end
        return carry(lines, run(list(lines)), self.md.tab_length, in_step=in_step)

    def _trace_includes(self, snippets: Any) -> None:
        """Let the lines of an included file know where they stand."""
        if not hasattr(snippets, "read_lines"):  # before pymdown-extensions 13
            self._match_includes(snippets)
            return
        read_lines, dedent = snippets.read_lines, snippets.dedent

        def read_traced(path: str) -> list[str]:
            name = self.site.name_of(Path(path))
            return [TracedLine(line, name, n) for n, line in enumerate(read_lines(path), 1)]

        def dedent_traced(lines: list[str]) -> list[str]:
            return carry(lines, dedent(lines), self.md.tab_length)

        snippets.read_lines, snippets.dedent = read_traced, dedent_traced

    def _match_includes(self, snippets: Any) -> None:
        """Find the included lines again in their file, where the reading cannot be followed."""
        parse = snippets.parse_snippets

        def parse_traced(
            lines: list[str], file_name: str | None = None, **options: object
        ) -> list[str]:
            if file_name is not None and not options.get("is_url"):
                text = Path(file_name).read_text(encoding=snippets.encoding)
                name = self.site.name_of(Path(file_name))
                written = [TracedLine(line, name, n) for n, line in enumerate(text.split("\n"), 1)]
                lines = carry(written, lines, self.md.tab_length)
            return cast("list[str]", parse(lines, file_name, **options))

        snippets.parse_snippets = parse_traced
