"""The nouns of the checker: what a page holds, what a run gave, what was found wrong.

Every other module takes or returns these values.  They are plain and frozen, so a snippet that was
collected once can be run in any order, in any process, with the same verdict.

Paths are POSIX strings relative to the project root, lines and columns are 1-based, and a column
counts characters (not bytes) of the author's own line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence  # noqa: TC003 - `codec` reads the types
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a source file, as a person would look it up in an editor."""

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


# What a terminal would obey, and what turns the direction of the words around it.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 5000
_LAST_BYTE = 0xFF


def harmless(text: str) -> str:
    """Return a text with each character spelled out that a terminal would obey, and an end."""
    if len(text) > 2 * _LONGEST:  # so that what was cut is not cut again
        text = f"{text[:_LONGEST]}… ({len(text)} characters)"
    return _OBEYED.sub(lambda match: _spelled(ord(match[0])), text)


def _spelled(code: int) -> str:
    return f"\\x{code:02X}" if code <= _LAST_BYTE else f"\\u{code:04X}"


QUERY_CANCELED = "57014"
"""The SQLSTATE of a statement that was stopped, such as after ``sql_timeout``."""

TOP = "top"
"""The section of what stands above the first heading."""


def id_of(page: str, section: str, name: str) -> str:
    """Return what an item is called, whatever changes above it; some belong to no section."""
    return "::".join(filter(None, (page, section, name)))


class _Item:
    """A part of a page that is checked by itself."""

    __slots__ = ()
    page: str
    section: str
    name: str

    @property
    def id(self) -> str:
        """Name of the item, stable when text above it changes."""
        return id_of(self.page, self.section, self.name)


class Mark(StrEnum):
    """The danger a page states for a block, weakest first."""

    READ = "READ"
    WRITE = "WRITE"
    STOP = "STOP"


class Step(StrEnum):
    """The part a block plays when its section is followed against an incident.

    ``confirm`` returns rows if and only if the incident is there; ``resolve`` ends it; ``verify``
    returns one row whose boolean column ``resolved`` says whether it has ended.
    """

    CONFIRM = "confirm"
    RESOLVE = "resolve"
    VERIFY = "verify"


class Order(StrEnum):
    """How blocks that are run in order share their database: with a session each, or with one."""

    SESSIONS = "sessions"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Fix:
    """New text for a part of a page that makes the page true.

    Without ``columns``, ``new`` replaces the lines from ``line`` to ``last_line``, where the output
    of a block stands without its fences; where that is empty, the last line is the one before.
    With ``columns``, only the characters of ``line`` from the first of them to before the second
    are replaced; with (0, 0), ``new`` is put in below ``line``.
    """

    path: str
    line: int
    last_line: int
    old: str
    new: str
    columns: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason why something on a page is not true, or cannot be checked.

    ``notes`` are drawn below the source, each ``label: text`` (detail, hint, nearest).  ``fixes``
    are the changes that would mend it, where the page can be mended by itself.

    Its words may be a server's, and are shown in terminals and pages: they are made harmless, and
    cut where they have no end.
    """

    location: Location
    message: str
    sqlstate: str | None = None
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()

    def __post_init__(self) -> None:
        """Make the words harmless."""
        object.__setattr__(self, "message", harmless(self.message))
        object.__setattr__(self, "notes", tuple(map(harmless, self.notes)))


@dataclass(frozen=True, slots=True)
class LineOrigin:
    """Where one line of a block's SQL stands in the author's file.

    ``columns[i]`` is the author's column of the line's character ``i``; one more entry than the
    line has characters, the last being the column just past its end.  It is a table and not an
    offset because the site expands tabs.
    """

    path: str
    line: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExpectedOutput:
    """The ``text`` block below a snippet: what the page says will come back."""

    text: str
    location: Location
    end_line: int


@dataclass(frozen=True, slots=True)
class TableBelow:
    """A Markdown table in sight below a snippet, which may show what will come back."""

    header: tuple[str, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class BlockColumn:
    """A column of the first row that another block of the page returns, by their names."""

    block: str
    column: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What the page says about one block, in its visible text and in its directive.

    ``fill`` gives placeholders their values, ``taken`` those that an earlier block returns.
    ``message`` is a part of the message of the expected ``error``.  ``after`` names the block of
    the same page that must have run before, in the same database.
    ``no_effect`` is why the block leaves nothing behind, or why nobody sees what it does.
    ``within`` is how long, in seconds, a verification may take to come true.  ``ends`` is true for
    a ``resolve`` block outside of a drill, which has to end the incident by itself.
    """

    mark: Mark | None = None
    role: str | None = None
    scenario: str | None = None
    step: Step | None = None
    after: str | None = None
    within: float | None = None
    error: str | None = None
    message: str | None = None
    rows: int | None = None
    columns: tuple[Column, ...] | None = None
    volatile: tuple[str, ...] = ()
    once: bool = False
    no_effect: str | None = None
    ends: bool = False
    fill: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, BlockColumn] = field(default_factory=dict)
    output: ExpectedOutput | None = None

    def source_of(self, name: str) -> str:
        """Return where a placeholder's value comes from, as the page says it."""
        if name in self.fill:
            return f"fill.{name}"
        if name in self.taken:
            return f"@{self.taken[name].block}.{self.taken[name].column}"
        return f"scenario {self.scenario}" if self.scenario else "nothing"


@dataclass(frozen=True, slots=True)
class Snippet(_Item):
    """One SQL block that the site shows, with its claims and its way back to the source.

    ``sql`` is exactly what the copy button gives.  ``earlier`` are the blocks that must run before
    it, in order.  ``order`` is that of the section whose blocks are run one after the other.
    ``tables_below`` are not compared with what comes back.  ``problems`` belong to this block
    alone: they fail its item and no other.
    """

    page: str
    section: str
    name: str
    sql: str
    origins: tuple[LineOrigin, ...]
    fence: Location
    end_line: int
    claims: Claims = Claims()
    skipped: str | None = None
    earlier: tuple[Snippet, ...] = ()
    order: Order | None = None
    tables_below: tuple[TableBelow, ...] = ()
    problems: tuple[Failure, ...] = ()

    @property
    def location(self) -> Location:
        """The place of the fence, from which the block is looked for."""
        return self.fence

    @property
    def start(self) -> Location:
        """The place of the first character of the SQL, or of the fence when it is empty."""
        return self.locate(0) if self.origins else self.fence

    def locate(self, offset: int) -> Location:
        """Return the author's place of the character ``offset`` (0-based) of ``sql``."""
        before = self.sql[:offset]
        row = min(before.count("\n"), len(self.origins) - 1)
        origin = self.origins[row]
        column = offset - (before.rfind("\n") + 1)
        return Location(
            origin.path, origin.line, origin.columns[min(column, len(origin.columns) - 1)]
        )


@dataclass(frozen=True, slots=True)
class Span:
    """A part of one line of a source file and its text; ``end`` is the column just past it."""

    start: Location
    end: int
    text: str


class ValueKind(StrEnum):
    """How a value stands in a cell of a table."""

    CODE = "code"
    LINK = "link"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class CellValue:
    """A value in a cell: inline code, the target of a link, a number, or else all of its text.

    ``span`` is what an update may replace, None where the source does not show it plainly.
    ``code`` is the number of the inline code among those of the page.
    """

    kind: ValueKind
    text: str
    span: Span | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One body row of a Markdown table, cells as the reader sees them (no Markdown marks).

    ``spans`` are the cells as written, None where the row was not written in Markdown; ``values``
    is what stands in each.
    """

    location: Location
    cells: tuple[str, ...]
    spans: tuple[Span | None, ...] = ()
    values: tuple[tuple[CellValue, ...], ...] = ()

    @property
    def label(self) -> str:
        """The first cell."""
        return self.cells[0] if self.cells else ""


@dataclass(frozen=True, slots=True)
class BoundTable(_Item):
    """A Markdown table that a directive binds to a table of the catalog."""

    page: str
    section: str
    name: str
    relation: str
    header: tuple[str, ...]
    rows: tuple[TableRow, ...]
    location: Location
    skipped: str | None = None
    problems: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One query of a file of facts; ``label`` is None for the query of a whole table."""

    label: str | None
    sql: str
    location: Location


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A row that no query can check, and why."""

    label: str
    reason: str
    location: Location


@dataclass(frozen=True, slots=True)
class FactsTable(_Item):
    """A Markdown table whose values are what queries return."""

    page: str
    section: str
    name: str
    source: str
    facts: tuple[Fact, ...]
    unchecked: tuple[Unchecked, ...]
    header: tuple[str, ...]
    rows: tuple[TableRow, ...]
    location: Location
    skipped: str | None = None
    problems: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class InlineCode:
    """Inline code in the text of a page, as its reader sees it."""

    text: str
    location: Location


@dataclass(frozen=True, slots=True)
class Drill(_Item):
    """One section, followed top to bottom against the incident of its scenario."""

    page: str
    section: str
    scenario: str
    steps: tuple[Snippet, ...]
    location: Location
    problems: tuple[Failure, ...] = ()
    skipped: str | None = None
    name: str = "drill"

    def having(self, step: Step) -> tuple[Snippet, ...]:
        """Return the blocks that play a part."""
        return tuple(snippet for snippet in self.steps if snippet.claims.step is step)


PagePart = Snippet | BoundTable | FactsTable | Drill
"""What is checked by itself, and stands at a place of its page."""


@dataclass(frozen=True, slots=True)
class NotRendered:
    """A SQL fence that the author wrote and the site does not show as one, and why."""

    location: Location
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the checker found on one page.

    ``problems`` are those that belong to no block: a directive with nothing below it, say.
    ``not_names`` are the words that the author says are no names of the database.  ``skipped`` is
    why the page says that nothing on it is checked.  ``titles`` are the headings as they are read,
    by section.
    """

    path: str
    snippets: tuple[Snippet, ...] = ()
    tables: tuple[BoundTable, ...] = ()
    facts: tuple[FactsTable, ...] = ()
    codes: tuple[InlineCode, ...] = ()
    not_names: tuple[InlineCode, ...] = ()
    drills: tuple[Drill, ...] = ()
    not_rendered: tuple[NotRendered, ...] = ()
    skipped: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result: its name and its PostgreSQL type as ``format_type`` prints it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column of a relation; ``type`` as ``format_type`` prints it."""

    name: str
    type: str
    nullable: bool
    default: str | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error the server reported.  ``offset`` counts characters of the block's SQL from 0.

    ``nearest`` is the name of the catalog that was most likely meant, where it is about a name.
    """

    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None
    context: str | None = None
    offset: int | None = None
    nearest: str | None = None


@dataclass(frozen=True, slots=True)
class Danger:
    """What a run was seen to do: the weakest mark that is true of it, and why, worst first.

    ``unmeasured`` is what may have been done unseen.  ``at_most`` is the strongest mark that may be
    true, where that cannot be told.  An ``idle`` run found nothing to do, or nothing stays of it.
    """

    level: Mark
    seen: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    at_most: Mark | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of one block gave back.

    ``columns`` and ``rows`` are those of the last result that has rows, which is all that the SQL
    Editor shows, or of the last one if none has.  A row holds the server's own text form, ``None``
    for null.  ``tag`` is the command tag of the last statement.  ``seconds`` is the time of the
    statement alone.  ``danger`` is there where the run was watched, and ``unread`` names the
    settings that it set and nobody reads, ``unknown`` what the bodies of its functions name and is
    not there.  ``added`` is what the editor added to the text.
    """

    columns: tuple[Column, ...] | None
    rows: Sequence[tuple[str | None, ...]]
    tag: str
    error: ServerError | None
    notices: tuple[str, ...]
    seconds: float
    isolation: str
    danger: Danger | None = None
    unread: tuple[str, ...] = ()
    added: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One placeholder: the type of its value, and the word or block that gives it."""

    name: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What the check of one item came to.

    One that was not ``tested`` could not be: its incident did not come about, or a block before it
    failed.  ``outcome`` is that of a block that was sent; ``seconds`` is the time of the SQL alone.
    """

    failures: tuple[Failure, ...] = ()
    tested: bool = True
    outcome: Outcome | None = None
    seconds: float = 0.0
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario fixture yields: an incident that can be seen without the page's help.

    ``is_present`` looks at the database by itself, so that neither the page's diagnosis nor its
    verification is trusted about its own success.  ``values`` fill placeholders by name.
    """

    is_present: Callable[[], bool]
    values: Mapping[str, object] = field(default_factory=dict)
