"""Read the HTML of a page as its reader goes through it: headings, text, blocks, tables, in order.

What belongs together on a page is decided here and not in the Markdown, because this is what is
shown: a paragraph directly above a block, a comment directly above a table, a heading's anchor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from sql_snippets.model import Mark, ValueKind
from sql_snippets.reading.cells import Part, numbers_in
from sql_snippets.reading.fences import MARKER
from sql_snippets.reading.marks import NO_WORDS, Emphasis, Words

_INLINE = frozenset(
    {
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    }
)
_VOID = frozenset(
    {
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    }
)
_VISIBLE = frozenset(
    {"audio", "button", "hr", "iframe", "img", "input", "object", "select", "svg", "video"}
)
_UNSEEN = frozenset({"script", "style", "template", "noscript"})
_BOLD = frozenset({"strong", "b"})
_EMPHASIS = _BOLD | {"em", "i", "code", "mark", "u", "ins", "kbd", "samp", "tt", "big", "var"}
_HEADING = re.compile(r"h([1-6])")
_NUMBERED = re.compile(r"\s*sql:#(\d+)\b")
_NUMBERED_IN_TEXT = re.compile(r"<!--\s*sql:#(\d+)\b ?")
_MARKED = re.compile(rf'{MARKER}="(\d+)"')

# What JavaScript's trimEnd takes off, which is what Material's copy button does to the block.
_SCRIPT_WHITESPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading as it is read, with the anchor that links to it."""

    level: int
    anchor: str
    text: str = ""
    words: Words = NO_WORDS


@dataclass(frozen=True, slots=True)
class Text:
    """Something to see that is neither heading nor table nor block, and the mark it begins with."""

    mark: Mark | None = None
    words: Words = NO_WORDS


@dataclass(frozen=True, slots=True)
class Block:
    """A fence that is shown.  ``text`` is what the copy button gives, None where there is none."""

    fence: int
    text: str | None
    is_replaced: bool


@dataclass(slots=True)
class Table:
    """A table, cell by cell, as read: no Markdown marks; ``values`` are those in its body cells."""

    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    values: list[tuple[tuple[Part, ...], ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DirectiveMark:
    """A directive comment, by its number."""

    number: int


Item = Heading | Text | Block | Table | DirectiveMark


@dataclass(slots=True)
class Rendered:
    """A page as its reader goes through it, and what the reader does not see.

    ``commented`` are the fences inside HTML comments; ``broken`` the directives that the browser
    shows as text, because they are not closed; ``quoted`` those that the page only talks about.
    ``codes`` are the pieces of inline code, ``comments`` the texts of comments that are no
    directives.
    """

    items: list[Item] = field(default_factory=list)
    commented: set[int] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    quoted: set[int] = field(default_factory=set)
    codes: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


def read_html(html: str) -> Rendered:
    """Return what there is to read in the HTML of a page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.flush()
    return reader.rendered


@dataclass(slots=True)
class _OpenBlock:
    fence: int
    tag: str
    replaced: str | None
    depth: int = 1
    code_depth: int = 0
    code_seen: bool = False
    text: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rendered = Rendered()
        self._block: _OpenBlock | None = None
        self._table: Table | None = None
        self._row: list[str] | None = None
        self._row_is_header = False
        self._cell: list[str] | None = None
        # What the cell and the row at hand hold; text between values waits in plain parts.
        self._parts: list[Part] = []
        self._row_parts: list[tuple[Part, ...]] = []
        self._links: list[str] = []
        self._inline_code: list[str] | None = None
        self._pre = 0
        self._heading: Heading | None = None
        self._heading_text: list[str] = []
        self._in_permalink = False
        self._unseen = 0
        self._code = 0
        # The run of inline content at hand: has it anything visible, and the bold it begins with.
        self._has_text = False
        self._bold: list[str] | None = None
        self._in_bold = False
        self._run = ""
        self._emphases: list[Emphasis] = []
        # The tags that emphasise what is being read, and where the outermost begins.
        self._emphasising: list[str] = []
        self._emphasis_start = 0

    def flush(self) -> None:
        """End the run of inline content at hand."""
        while self._emphasising:
            self._leave_emphasis(self._emphasising[0])
        words = Words(self._run, tuple(self._emphases))
        if self._has_text and self._heading is not None:
            self._heading = replace(self._heading, words=words)
        elif self._has_text and self._table is None:
            bold = "".join(self._bold or ()).strip().rstrip(":.")
            mark = Mark(bold) if bold in list(Mark) else None
            self.rendered.items.append(Text(mark, words))
        self._has_text = self._in_bold = False
        self._bold = None
        self._run = ""
        self._emphases = []

    def _leave_emphasis(self, tag: str) -> None:
        if tag not in self._emphasising:
            return
        outermost = self._emphasising[0]
        self._emphasising.remove(tag)
        if not self._emphasising:
            text = self._run[self._emphasis_start :]
            self._emphases.append(Emphasis(self._emphasis_start, text, outermost in _BOLD))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if self._block is not None:
            self._enter_in_block(self._block, tag, values)
        elif MARKER in values:
            self.flush()
            self._block = _OpenBlock(int(values[MARKER] or 0), tag, values.get("data-copy"))
            self._block.code_depth = int(tag == "code")
        elif tag in _INLINE:
            self._enter_inline(tag, values)
        else:
            self._enter_element(tag, values)

    def _enter_inline(self, tag: str, values: dict[str, str | None]) -> None:
        if tag in _EMPHASIS:
            if not self._emphasising:
                self._emphasis_start = len(self._run)
            self._emphasising.append(tag)
        if tag == "code":
            self._code += 1
            if self._code == 1 and not self._pre and not self._unseen:
                self._inline_code = []
        elif tag == "a":
            self._links.append(values.get("href") or "")
            self._in_permalink = "headerlink" in (values.get("class") or "").split()
        elif tag in _VISIBLE:
            self._has_text = True
        elif tag in _BOLD and not self._has_text and self._bold is None:
            self._bold, self._in_bold = [], True
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def _enter_element(self, tag: str, values: dict[str, str | None]) -> None:
        self.flush()
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _VISIBLE:
            self.rendered.items.append(Text())
        elif tag == "pre":
            self._pre += 1
        elif heading := _HEADING.fullmatch(tag):
            self._heading = Heading(int(heading.group(1)), values.get("id") or "")
            self._heading_text = []
        else:
            self._enter_in_table(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._block is not None:
            self._leave_in_block(self._block, tag)
            return
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        self._leave_inline(tag)
        if tag in _BOLD:
            self._in_bold = False
        self._leave_emphasis(tag)
        if tag in _INLINE:
            return
        self.flush()
        if _HEADING.fullmatch(tag) and self._heading is not None:
            text = _clean_cell("".join(self._heading_text))
            self.rendered.items.append(replace(self._heading, text=text))
            self._heading = None
        else:
            self._leave_in_table(tag)

    def _leave_inline(self, tag: str) -> None:
        if tag == "code":
            self._code = max(0, self._code - 1)
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
        if tag == "code" and self._code == 0 and self._inline_code is not None:
            text = _NUMBERED_IN_TEXT.sub("<!-- sql:", "".join(self._inline_code))
            self._inline_code = None
            if self._cell is not None:
                self._parts.append(Part(ValueKind.CODE, text, len(self.rendered.codes)))
            self.rendered.codes.append(text)
        if tag == "a" and self._links:
            link = self._links.pop()
            self._in_permalink = False
            if self._cell is not None:
                self._parts.append(Part(ValueKind.LINK, link))

    def handle_data(self, data: str) -> None:
        if self._block is not None:
            if self._block.code_depth:
                self._block.text.append(data)
            return
        numbers = {int(number) for number in _NUMBERED_IN_TEXT.findall(data)}
        (self.rendered.quoted if self._code else self.rendered.broken).update(numbers)
        if self._unseen:
            return
        if self._inline_code is not None:
            self._inline_code.append(data)
        elif self._cell is not None:
            self._parts += numbers_in(data)
        if self._cell is not None:
            self._cell.append(data)
        if self._in_bold and self._bold is not None:
            self._bold.append(data)
        self._run += data
        if not self._in_permalink:
            self._heading_text.append(data)
        self._has_text = self._has_text or bool(data.strip())

    def handle_comment(self, data: str) -> None:
        self.rendered.commented.update(int(number) for number in _MARKED.findall(data))
        directive = _NUMBERED.match(data)
        if directive is None:
            self.rendered.comments.append(data)
        elif self._block is None:
            self.flush()
            self.rendered.items.append(DirectiveMark(int(directive.group(1))))

    def _enter_in_block(self, block: _OpenBlock, tag: str, values: dict[str, str | None]) -> None:
        if tag == block.tag:
            block.depth += 1
        if block.replaced is None:
            block.replaced = values.get("data-copy")
        if block.code_depth:
            block.code_depth += tag not in _VOID
        elif tag == "code" and not block.code_seen:
            block.code_seen = True
            block.code_depth = 1

    def _leave_in_block(self, block: _OpenBlock, tag: str) -> None:
        if block.code_depth and tag not in _VOID:
            block.code_depth -= 1
        if tag == block.tag:
            block.depth -= 1
        if block.depth:
            return
        text = block.replaced
        if text is None and block.code_seen:
            text = "".join(block.text)
        text = None if text is None else text.rstrip(_SCRIPT_WHITESPACE)
        self.rendered.items.append(Block(block.fence, text, block.replaced is not None))
        self._block = None

    def _enter_in_table(self, tag: str) -> None:
        if tag == "table" and self._table is None:
            self._table = Table()
            self.rendered.items.append(self._table)
        elif self._table is None:
            return
        elif tag == "tr":
            self._row, self._row_is_header, self._row_parts = [], False, []
        elif tag in {"td", "th"}:
            self._cell, self._parts = [], []
            self._row_is_header = self._row_is_header or tag == "th"

    def _leave_in_table(self, tag: str) -> None:
        table = self._table
        if table is None:
            return
        if tag in {"td", "th"} and self._cell is not None and self._row is not None:
            text = _clean_cell("".join(self._cell))
            self._row.append(text)
            self._row_parts.append(tuple(self._parts) or (Part(ValueKind.TEXT, text),))
            self._cell = None
        elif tag == "tr" and self._row is not None:
            if self._row_is_header and not table.header:
                table.header = tuple(self._row)
            else:
                table.rows.append(tuple(self._row))
                table.values.append(tuple(self._row_parts))
            self._row = None
        elif tag == "table":
            self._table = None


def _clean_cell(text: str) -> str:
    text = _NUMBERED_IN_TEXT.sub("<!-- sql:", text)
    return " ".join(text.split())
