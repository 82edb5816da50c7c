"""What the built HTML of a page shows: its code blocks, each with the mark above it.

The HTML is read and never rewritten: everything found comes with its offset, so that what is
added later leaves every other byte of the page as the site made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

from sql_snippets.model import Mark
from sql_snippets.reading.fences import is_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX: Final = "language-"
_MARKS: Final = {mark.value: mark for mark in Mark}

_Attributes = list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class StartTag:
    """The opening tag of an element: offsets of its ``<`` and of the character after its name."""

    start: int
    name_end: int


@dataclass(frozen=True, slots=True)
class ShownMark:
    """A paragraph directly above a block whose first word is a bold mark."""

    tag: StartTag
    mark: Mark


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """One code block of the page.  ``text`` is what the copy button gives, ``end`` is past it."""

    tag: StartTag
    end: int
    language: str
    text: str
    mark: ShownMark | None

    @property
    def is_sql(self) -> bool:
        """Whether the checks are to know this block."""
        return is_sql(self.language)


@dataclass(slots=True)
class _BegunBlock:
    element: str
    tag: StartTag
    language: str
    mark: ShownMark | None
    depth: int = 1
    in_code: int = 0
    text: str = ""


def _language(classes: Sequence[str]) -> str | None:
    return next((name[len(_PREFIX) :] for name in classes if name.startswith(_PREFIX)), None)


class _BlockReader(HTMLParser):
    """Walks the page once.  Highlighters nest their elements in three ways; all three are known.

    ``div.language-x.highlight > pre > code`` and ``pre.language-x.highlight > code`` come from
    pymdownx, ``pre > code.language-x`` from Python-Markdown itself.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[ShownBlock] = []
        self._line_starts = [0]
        for line in html.split("\n"):
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)
        self._open: _BegunBlock | None = None
        self._pre: StartTag | None = None
        self._paragraph: StartTag | None = None
        self._first: str | None = None
        self._in_strong = False
        self._above: ShownMark | None = None
        self.feed(html)
        self.close()

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._line_starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: _Attributes) -> None:
        if self._open is not None:
            self._open.depth += tag == self._open.element
            self._open.in_code += tag == "code"
            return
        here = StartTag(self._offset(), self._offset() + 1 + len(tag))
        if tag == "pre":
            self._pre = here
        if self._begins_block(tag, (dict(attrs).get("class") or "").split(), here):
            return
        if tag == "p":
            self._paragraph, self._first, self._above = here, None, None
        elif self._paragraph is not None:
            self._in_strong = tag == "strong" and self._first is None
            self._first = self._first or ""
        elif tag not in {"pre", "span"}:
            self._above = None

    def _begins_block(self, tag: str, classes: list[str], here: StartTag) -> bool:
        language = _language(classes)
        if language is None:
            return False
        if tag in {"div", "pre"} and "highlight" in classes:
            self._open = _BegunBlock(tag, here, language, self._above)
        elif tag == "code" and self._pre is not None:
            self._open = _BegunBlock("pre", self._pre, language, self._above, in_code=1)
        else:
            return False
        self._above = self._pre = None
        return True

    def handle_endtag(self, tag: str) -> None:
        if self._open is not None:
            self._close_in_block(self._open, tag)
        elif tag == "strong":
            self._in_strong = False
        elif tag == "p" and self._paragraph is not None:
            mark = _MARKS.get((self._first or "").strip())
            self._above = ShownMark(self._paragraph, mark) if mark else None
            self._paragraph = None
        elif tag == "pre":
            self._pre = None
        else:
            self._above = None

    def _close_in_block(self, block: _BegunBlock, tag: str) -> None:
        block.in_code -= tag == "code"
        block.depth -= tag == block.element
        if block.depth == 0:
            # An end tag of these elements, as the site's own renderers write it: no space inside.
            end = self._offset() + len(f"</{tag}>")
            self.blocks.append(ShownBlock(block.tag, end, block.language, block.text, block.mark))
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.text += data if self._open.in_code else ""
        elif self._paragraph is None:
            self._above = None if data.strip() else self._above
        elif self._in_strong:
            self._first = (self._first or "") + data
        elif data.strip():
            self._first = self._first or ""


def read_blocks(html: str) -> tuple[ShownBlock, ...]:
    """Return every code block of ``html`` that names its language, in page order."""
    return tuple(_BlockReader(html).blocks)


@dataclass(frozen=True, slots=True)
class Insertion:
    """Text to be put into a page at an offset of the page as it was."""

    offset: int
    text: str


def add_class(html: str, tag: StartTag, names: str) -> Insertion:
    """Return what gives an element the classes ``names`` besides those it has."""
    opening = html[tag.name_end : html.index(">", tag.name_end)]
    at = opening.find(' class="')
    if at < 0:
        return Insertion(tag.name_end, f' class="{names}"')
    return Insertion(tag.name_end + at + len(' class="'), f"{names} ")


def add_attribute(tag: StartTag, name: str, value: str) -> Insertion:
    """Return what gives an element one more attribute."""
    return Insertion(tag.name_end, f' {name}="{escape(value)}"')


def add_id(html: str, tag: StartTag, name: str) -> list[Insertion]:
    """Return what gives an element the id ``name``: nothing if it has one."""
    if ' id="' in html[tag.name_end : html.index(">", tag.name_end)]:
        return []
    return [add_attribute(tag, "id", name)]


def insert(html: str, insertions: Sequence[Insertion]) -> str:
    """Return ``html`` with all insertions made; those at one offset stay in their order."""
    parts: list[str] = []
    done = 0
    for item in sorted(insertions, key=lambda item: item.offset):
        parts += [html[done : item.offset], item.text]
        done = item.offset
    return "".join([*parts, html[done:]])
