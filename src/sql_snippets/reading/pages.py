"""Turn a page of the site into what is checked on it: blocks, tables, drills, and what is amiss."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_bytes
from sql_snippets.model import (
    TOP,
    BoundTable,
    Drill,
    ExpectedOutput,
    FactsTable,
    Failure,
    InlineCode,
    LineOrigin,
    Location,
    Page,
    Snippet,
    Step,
    TableBelow,
    TableRow,
)
from sql_snippets.reading.cells import place_codes, place_row
from sql_snippets.reading.directives import (
    BlockDirective,
    Directive,
    Word,
    bind_block,
    bind_heading,
    bind_other,
    bind_table,
    meant_by,
    parse_directive,
    read_not_names,
    split_page_words,
)
from sql_snippets.reading.facts_file import FactsError, read_facts
from sql_snippets.reading.fences import Comment, Fence, Pipeline, Trail, is_sql
from sql_snippets.reading.marks import find_almost_mark, meant_mark
from sql_snippets.reading.outputs import find_below
from sql_snippets.reading.rendered import (
    Block,
    DirectiveMark,
    Heading,
    Item,
    Rendered,
    Table,
    Text,
    read_html,
)
from sql_snippets.reading.scopes import Scopes
from sql_snippets.reading.site import Site, SiteError
from sql_snippets.reading.source import (
    PageError,
    TracedLine,
    carry,
    count_front_matter,
    cut,
    read_text,
    relative_name,
    trace,
)
from sql_snippets.reading.unshown import find_unshown
from sql_snippets.sqltext.lexer import statements
from sql_snippets.sqltext.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["PageError", "SiteError", "read_page"]

NOT_IN_ORDER = ("after", "scenario", "step")
DRILL = "drill"
_NEAR_LINES = 20


def read_page(path: Path, site: Site) -> Page:
    """Return everything to check on one page, as the site shows it.

    Raises `PageError` when the file cannot be read or rendered, `SiteError` when the site's
    extensions cannot be used.
    """
    text = read_text(path)
    name = site.name_of(path)
    skipped = count_front_matter(text)
    body = text.split("\n")[skipped:]
    pipeline = Pipeline(site, path) if site.depends_on_page else _pipeline(site)
    try:
        html, trail = pipeline.render("\n".join(body), trace(text, name)[skipped:])
    except Exception as err:  # an extension is anybody's code: it may raise anything
        raise PageError(
            f"{path} cannot be rendered by the site's Markdown extensions: "
            f"{type(err).__name__}: {err}"
        ) from err
    return _Assembly(name, site.root, trail, read_html(html), pipeline.md.tab_length).page()


@lru_cache(maxsize=8)
def _pipeline(site: Site) -> Pipeline:
    """Keep one instance a site: to make one costs as much as to render a dozen pages."""
    return Pipeline(site)


@dataclass(slots=True)
class _OpenDrill:
    """A drill whose section is being read."""

    level: int
    section: str
    scenario: str
    location: Location
    elsewhere: Mapping[Step, tuple[tuple[str, Word], ...]]
    within: float | None
    problems: tuple[Failure, ...]
    skipped: str | None
    steps: list[Snippet] = field(default_factory=list)


class _Assembly:
    """Go through a page in its reader's order, and put together what belongs together."""

    def __init__(
        self, page: str, root: Path, trail: Trail, rendered: Rendered, tab_length: int
    ) -> None:
        self._page = page
        self._root = root
        self._trail = trail
        self._rendered = rendered
        self._tab_length = tab_length
        self._section = TOP
        self._above: Text | Heading | None = None
        self._texts: list[Text] = []
        self._pending: list[int] = []
        self._scopes = Scopes()
        self._skipped: str | None = None
        self._drills: list[_OpenDrill] = []
        self._done_drills: list[_OpenDrill] = []
        self._snippets: list[Snippet] = []
        self._tables: list[BoundTable] = []
        self._facts: list[FactsTable] = []
        self._not_names: list[InlineCode] = []
        self._problems: list[Failure] = []
        self._taken: set[tuple[str, str]] = set()
        self._titles: dict[str, str] = {}

    def page(self) -> Page:
        """Return the page."""
        items = self._rendered.items
        for index, item in enumerate(items):
            match item:
                case DirectiveMark():
                    self._pending.append(item.number)
                    continue
                case Heading():
                    self._take_heading(item)
                case Block():
                    self._take_block(item, items[index + 1 :])
                case Table():
                    self._take_table(item)
                case Text():
                    self._drop_pending("a paragraph or something else that is not one of these")
            self._above = item if isinstance(item, Text | Heading) else None
            self._texts = [*self._texts, item] if isinstance(item, Text) else []
        self._drop_pending("the end of the page")
        self._close_drills(level=1)
        self._problems += self._scopes.leave(level=1)
        self._find_broken_comments()
        self._find_almost_directives()
        not_rendered = find_unshown(self._trail, self._rendered, self._location_of)
        return Page(
            path=self._page,
            snippets=tuple(self._snippets),
            tables=tuple(self._tables),
            facts=tuple(self._facts),
            codes=tuple(self._codes()),
            not_names=tuple(self._not_names),
            drills=tuple(self._finish_drill(drill) for drill in self._done_drills),
            not_rendered=not_rendered,
            skipped=self._skipped,
            titles=self._titles,
            problems=tuple(sorted(self._problems, key=lambda problem: problem.location)),
        )

    # -- what stands above something -------------------------------------------------------------

    def _take_pending(self) -> list[Directive]:
        """Return the directives that belong to what comes now."""
        numbers, self._pending = self._pending, []
        directives = []
        for number in numbers:
            comment = self._trail.comments[number]
            if comment.is_closed:
                directive, of_page = split_page_words(self._parse(comment))
                self._take_page_words(of_page)
                if directive.words or directive.problems or not of_page:
                    directives.append(directive)
        return directives

    def _take_page_words(self, words: Sequence[Word]) -> None:
        for word in words:
            try:
                names = read_not_names(word)
            except ValueError as err:
                self._problems.append(Failure(word.location, f"`{word}`: {err}."))
                continue
            self._not_names += [InlineCode(name, word.location) for name in names]

    def _drop_pending(self, follower: str) -> None:
        for directive in self._take_pending():
            self._problems.append(
                Failure(
                    directive.location,
                    "this directive belongs to nothing: a directive goes directly above a SQL "
                    f"block, a table or a heading, but below this one is {follower}.",
                )
            )

    def _parse(self, comment: Comment) -> Directive:
        start = _locate(*comment.start) or Location(self._page, 1)

        def locate(offset: int) -> Location:
            row, column = 0, offset
            while column > len(comment.body[row]) and row + 1 < len(comment.body):
                column -= len(comment.body[row]) + 1
                row += 1
            return _locate(comment.body[row], column) or start

        return parse_directive("\n".join(comment.body), start, locate)

    def _find_broken_comments(self) -> None:
        """Report the directives that are no comments, because nothing ends them."""
        for number, comment in enumerate(self._trail.comments):
            broken = not comment.is_closed or number in self._rendered.broken
            if broken and number not in self._rendered.quoted:
                self._problems.append(
                    Failure(
                        _locate(*comment.start) or Location(self._page, 1),
                        "this directive is not closed: no `-->` before the next comment, the next "
                        "block or the end of the page. What follows may be hidden from the reader.",
                    )
                )

    def _find_almost_directives(self) -> None:
        """Report the comments that were meant to be directives, and are none."""
        row = 0
        prose = self._trail.prose
        for comment in self._rendered.comments:
            # The same behind a backtick is one that the page only talks about.
            written = re.compile(r"(?<!`)" + re.escape(f"<!--{comment.partition(chr(10))[0]}"))
            places = ((n, written.search(line)) for n, line in enumerate(prose[row:], row))
            row, found = next(((n, match) for n, match in places if match), (row, None))
            meant = meant_by(comment)
            if meant is None:
                continue
            place = _locate(prose[row], found.start()) if found else None
            self._problems.append(
                Failure(
                    place or Location(self._page, 1),
                    f"this comment is not a directive: a directive begins with `<!-- sql:`. "
                    f"Did you mean `{meant}`?",
                )
            )

    # -- headings and drills ---------------------------------------------------------------------

    def _take_heading(self, heading: Heading) -> None:
        self._section = heading.anchor or TOP
        if not self._titles:
            self._titles[TOP] = heading.text
        self._titles.setdefault(self._section, heading.text)
        self._close_drills(heading.level)
        self._problems += self._scopes.leave(heading.level)
        follower = self._follower()
        directives = self._take_pending()
        if not directives:
            return
        bound = bind_heading(directives)
        location = self._prose_location(follower) or directives[-1].location
        self._problems += self._scopes.enter(heading.level, bound, location)
        if heading.level == 1:
            self._skipped = self._skipped or bound.skip
        if bound.scenario is None:
            self._problems += bound.problems
            return
        problems = bound.problems
        if self._drills:
            outer = self._drills[-1]
            problems += (
                Failure(
                    directives[-1].location,
                    f"a drill inside the drill of section {outer.section!r} "
                    f"({outer.location}): the blocks below would belong to both.",
                ),
            )
        if (self._section, DRILL) in self._taken:
            problems += (
                Failure(
                    location, f"section {self._section!r} already has something named `drill`."
                ),
            )
        self._taken.add((self._section, DRILL))
        self._drills.append(
            _OpenDrill(
                heading.level,
                self._section,
                bound.scenario,
                location,
                bound.elsewhere,
                bound.within,
                problems,
                self._scopes.skipped,
            )
        )

    def _close_drills(self, level: int) -> None:
        """End the drills whose section ends at a heading of this level."""
        while self._drills and self._drills[-1].level >= level:
            self._done_drills.append(self._drills.pop())

    def _finish_drill(self, drill: _OpenDrill) -> Drill:
        problems = list(drill.problems)
        elsewhere = list(self._steps_elsewhere(drill, problems))
        # A diagnosis comes before what it leads to.
        first = [snippet for snippet in elsewhere if snippet.claims.step is Step.CONFIRM]
        steps = [*first, *drill.steps, *elsewhere[len(first) :]]
        if not steps and not drill.elsewhere:
            problems.append(
                Failure(
                    drill.location,
                    f"the drill {drill.scenario!r} has no steps: no block of section "
                    f"{drill.section!r} has step=confirm, step=resolve or step=verify.",
                ),
            )
        return Drill(
            page=self._page,
            section=drill.section,
            scenario=drill.scenario,
            steps=tuple(steps),
            location=drill.location,
            skipped=drill.skipped,
            problems=tuple(problems),
        )

    def _steps_elsewhere(self, drill: _OpenDrill, problems: list[Failure]) -> Iterator[Snippet]:
        """Yield the blocks of other sections that the drill follows, as its steps.

        What their own section says of rows and output is about another state of the database.
        """
        for step, named in drill.elsewhere.items():
            for name, word in named:
                found = self._named(name)
                if len(found) != 1:
                    problems.append(
                        Failure(word.location, f"`{word}`: {self._not_one(name, ' of the page')}.")
                    )
                elif found[0].order is not None:
                    why = f"`{name}` is run in order, with the blocks above it"
                    problems.append(Failure(word.location, f"`{word}`: {why}."))
                elif found[0] in drill.steps:
                    why = f"`{name}` is a step of this section already"
                    problems.append(Failure(word.location, f"`{word}`: {why}."))
                else:
                    own = found[0].claims
                    claims = replace(
                        own,
                        step=step,
                        scenario=drill.scenario,
                        within=(step is Step.VERIFY and drill.within) or own.within,
                        rows=None,
                        output=None,
                        ends=False,
                    )
                    yield replace(found[0], claims=claims)

    # -- blocks ----------------------------------------------------------------------------------

    def _take_block(self, block: Block, following: Sequence[Item]) -> None:
        fence = self._trail.fences[block.fence]
        if not is_sql(fence.language) or block.text is None:
            self._pass_over(fence)
            return
        bound = bind_block(self._take_pending())
        opening = self._opening(fence)
        problems = list(bound.problems)
        problems += self._check_statements(block.text, opening)
        mark = self._above.mark if isinstance(self._above, Text) else None
        problems += self._almost_marks(fence) if mark is None else ()
        output, tables = self._read_below(fence, following, problems)
        claims = replace(bound.claims, mark=mark, output=output)
        if claims.step is not None and claims.scenario is None:
            claims = replace(claims, scenario=self._drills[-1].scenario if self._drills else None)
            if claims.scenario is None and self._scopes.order is None:
                problems.append(
                    Failure(
                        bound.words["step"].location,
                        f"`{bound.words['step']}` needs an incident: add scenario=FIXTURE here, or "
                        "drill=FIXTURE above the heading of the section.",
                    )
                )
        drill = self._drills[-1] if self._drills else None
        if claims.step is None or drill is None or drill.scenario != claims.scenario:
            drill = None
        if drill is None and claims.step is Step.RESOLVE:
            claims = replace(claims, ends=True)
        problems += self._scopes.misfits([bound.words.get(word) for word in NOT_IN_ORDER])
        snippet = Snippet(
            page=self._page,
            section=self._section,
            name=self._name_of(bound.name, _default_name(block.text), problems),
            sql=block.text,
            origins=self._origins(block, fence),
            fence=opening,
            end_line=self._location_of(fence.end - 1).line,
            claims=claims,
            skipped=bound.skip or self._scopes.skipped,
            earlier=self._all_earlier(bound, problems),
            order=self._scopes.order,
            tables_below=tables,
            problems=tuple(problems),
        )
        self._snippets.append(snippet)
        self._scopes.add(snippet)
        if drill is not None:
            drill.steps.append(snippet)

    def _all_earlier(self, bound: BlockDirective, problems: list[Failure]) -> tuple[Snippet, ...]:
        """Return what must have run before; one that is needed twice, once, at its first place."""
        claims, words = bound.claims, bound.words
        needed = [self._scopes.before()]
        if self._scopes.order is None and claims.after is not None:
            needed.append(self._earlier(words["after"], claims.after, problems))
        for name, word in bound.taken.items():
            block = claims.taken[name].block
            if self._scopes.order is None:
                needed.append(self._earlier(word, block, problems))
            elif [one.name for one in needed[0]].count(block) != 1:
                why = "it needs the name of one block above it in the same order"
                problems.append(Failure(word.location, f"`{word}`: {why}."))
        return tuple({one.id: one for group in needed for one in group}.values())

    def _earlier(self, word: Word, name: str, problems: list[Failure]) -> tuple[Snippet, ...]:
        """Return what must have run before: the block named, and what that one needs itself."""
        found = self._named(name)
        if len(found) == 1:
            return (*found[0].earlier, found[0])
        problems.append(Failure(word.location, f"`{word}`: {self._not_one(name, ' above')}."))
        return ()

    def _named(self, name: str) -> list[Snippet]:
        """Return the blocks read so far that have a name."""
        return [snippet for snippet in self._snippets if snippet.name == name]

    def _not_one(self, name: str, where: str) -> str:
        """Say why a name does not tell which block is meant."""
        found = len(self._named(name))
        if found:
            return f"{found} blocks{where} have this name; give the one you mean another"
        close = nearest(name, [s.name for s in self._snippets])
        hint = f"; did you mean `{close}`" if close else ""
        return f"no block{where} has this name{hint}"

    def _name_of(self, explicit: Word | None, default: str, problems: list[Failure]) -> str:
        """Return a name that nothing else of the section has."""
        name = wanted = explicit.value if explicit and explicit.value else default
        count = 1
        while (self._section, name) in self._taken:
            count += 1
            name = f"{wanted}-{count}"
        if explicit and count > 1:
            problems.append(
                Failure(
                    explicit.location,
                    f"`{explicit}`: section {self._section!r} already has an item of this name. "
                    "Names must be unique in a section, so that an item can be run by its name.",
                )
            )
        self._taken.add((self._section, name))
        return name

    def _pass_over(self, fence: Fence) -> None:
        """Take a block that is no SQL: all that can be said of it is that it is no output."""
        what = f"a block of {fence.language or 'no language'}"
        if any(self._says_not_output(number) for number in self._pending):
            self._problems += bind_other(self._take_pending(), what)
        else:
            self._drop_pending(what)

    def _check_statements(self, text: str, opening: Location) -> Iterator[Failure]:
        if not text:
            yield Failure(opening, "this block is empty: there is nothing to run.")
        elif not statements(text):
            why = "this block holds no statement, only comments or separators: nothing would be run"
            yield Failure(opening, f"{why}. Write the SQL, or say `skip=` and the reason.")

    def _almost_marks(self, fence: Fence) -> Iterator[Failure]:
        """Yield what a reader takes for the mark of a block that has none."""
        above = self._above
        written = above and find_almost_mark(above.words, in_heading=isinstance(above, Heading))
        if written:
            meant = meant_mark(written)
            hint = f"write `**{meant}** · …`" if meant else "write one of the three"
            yield Failure(
                self._place_above(fence, written),
                f"`{written}` looks like a mark but is not, so nothing is measured. A mark is "
                "**READ**, **WRITE** or **STOP**: bold, in capitals, alone, first in the paragraph "
                f"directly above its block. If it is meant as one, {hint}; if not, reword.",
            )
            return
        marks = [text.mark for text in self._texts if text.mark is not None]
        # Several are no mark of one block: a text about them.
        if len(marks) == 1:
            yield Failure(
                self._place_above(fence, marks[0]),
                f"the mark {marks[0]} belongs to no block, so nothing is measured: something else "
                "stands between it and the block below. Put the paragraph with the mark directly "
                "above the block.",
            )

    def _place_below(self, fence: Fence, written: str) -> Location:
        """Return where the header of a table is written below a fence."""
        for index in range(fence.end, min(fence.end + _NEAR_LINES, len(self._trail.lines))):
            if "|" in self._trail.lines[index] and written in self._trail.lines[index]:
                return self._location_of(index, self._trail.lines[index].find("|"))
        return self._location_of(fence.end - 1)

    def _place_above(self, fence: Fence, written: str) -> Location:
        """Return where something is written above a fence."""
        word = re.split(r"\W+", written.strip())[0]
        for index in range(fence.start - 1, max(fence.start - _NEAR_LINES, -1), -1):
            column = self._trail.lines[index].find(word)
            if column >= 0:
                return self._location_of(index, column)
        return self._opening(fence)

    def _read_below(
        self, block: Fence, following: Sequence[Item], problems: list[Failure]
    ) -> tuple[ExpectedOutput | None, tuple[TableBelow, ...]]:
        """Return the output shown below a block, and the tables that may be one."""
        below = find_below(following, self._trail.fences, self._says_not_output)
        for fence, where in below.unread:
            place = self._location_of(block.end - 1) if fence is None else self._opening(fence)
            problems.append(
                Failure(
                    place,
                    "this looks like the output of the block above, but it is not compared: it "
                    f"is in {where}. Put it into one fence ```text directly below the block, "
                    "or say `<!-- sql: not-output -->` above it if it is something else.",
                )
            )
        output = None if below.output is None else self._output_in(below.output)
        tables = tuple(
            TableBelow(table.header, self._place_below(block, table.header[0]))
            for table in below.tables
            if table.header
        )
        return output, tables

    def _says_not_output(self, number: int) -> bool:
        comment = self._trail.comments[number]
        return comment.is_closed and any(
            word.key == "not-output" for word in self._parse(comment).words
        )

    def _output_in(self, fence: Fence) -> ExpectedOutput:
        filled = [index for index, line in enumerate(fence.code) if line.strip()]
        first, last = (filled[0], filled[-1]) if filled else (0, -1)
        start = self._location_of(fence.start + 1 + first)
        return ExpectedOutput(
            text="\n".join(fence.code[first : last + 1]),
            location=_locate(fence.code[first]) or start if filled else start,
            end_line=start.line + last - first,
        )

    def _origins(self, block: Block, fence: Fence) -> tuple[LineOrigin, ...]:
        """Return where each line of what the copy button gives stands in the author's file."""
        text = block.text or ""
        opening = self._opening(fence)
        lines: Sequence[str]
        if not block.is_replaced:
            lines = _match_lines(fence.code, text.split("\n"), self._tab_length)
        else:
            # The attribute stands in the opening line, as it is unless it has escapes.
            header = self._trail.lines[fence.start]
            start = header.find(text)
            lines = text.split("\n") if start < 0 else [cut(header, start, start + len(text))]
        return tuple(
            LineOrigin(line.path, line.number, tuple(line.columns))
            if isinstance(line, TracedLine)
            else LineOrigin(opening.path, opening.line, (opening.column,) * (len(line) + 1))
            for line in lines
        )

    # -- tables ----------------------------------------------------------------------------------

    def _take_table(self, table: Table) -> None:
        first_line = self._follower()
        directives = self._take_pending()
        if not directives:
            return
        bound = bind_table(directives)
        location = self._prose_location(first_line) or directives[-1].location
        problems = list(bound.problems)
        rows = tuple(self._rows(table, first_line, location))
        if bound.relation is not None:
            name = self._name_of(bound.name, bound.relation, problems)
            self._tables.append(
                BoundTable(
                    page=self._page,
                    section=self._section,
                    name=name,
                    relation=bound.relation,
                    header=table.header,
                    rows=rows,
                    location=location,
                    skipped=self._scopes.skipped,
                    problems=tuple(problems),
                )
            )
        elif bound.not_output:
            self._problems += problems
        elif bound.facts is not None:
            self._take_facts(bound.facts, bound.name, table.header, rows, location, problems)
        else:
            self._problems += problems or [
                Failure(
                    directives[-1].location,
                    "this directive does not bind the table: add table=SCHEMA.RELATION or "
                    "facts=FILE.sql.",
                )
            ]

    def _take_facts(  # noqa: PLR0913, PLR0917 - each is one part of the table
        self,
        word: Word,
        name: Word | None,
        header: tuple[str, ...],
        rows: tuple[TableRow, ...],
        location: Location,
        problems: list[Failure],
    ) -> None:
        path = (self._root / self._page).parent / (word.value or "")
        source = relative_name(path.resolve(), self._root)
        try:
            facts, unchecked = read_facts(path, source)
        except FactsError as err:
            problems.append(Failure(err.location or word.location, str(err)))
            facts, unchecked = (), ()
        self._facts.append(
            FactsTable(
                page=self._page,
                section=self._section,
                name=self._name_of(name, path.stem, problems),
                source=source,
                facts=facts,
                unchecked=unchecked,
                header=header,
                rows=rows,
                location=location,
                skipped=self._scopes.skipped,
                problems=tuple(problems),
            )
        )

    def _rows(self, table: Table, first_line: int, location: Location) -> Iterator[TableRow]:
        """Yield the body rows, each with the place of its source."""
        places = self._row_locations(first_line, len(table.rows), location)
        prose = self._trail.prose
        for index, (place, cells, parts) in enumerate(
            zip(places, table.rows, table.values, strict=True)
        ):
            row = first_line + 2 + index
            line = prose[row] if place is not location and row < len(prose) else ""
            yield place_row(line, place, cells, parts)

    def _codes(self) -> Iterator[InlineCode]:
        """Yield the inline code of the page; what has no place has that of the code before it."""
        shown = self._rendered.codes
        last = Location(self._page, 1)
        for text, place in zip(shown, place_codes(shown, self._trail.prose), strict=True):
            last = place or last
            yield InlineCode(text, last)

    def _row_locations(self, first_line: int, count: int, table: Location) -> Iterator[Location]:
        """Locate the body rows of a Markdown table: below its header and the line of dashes."""
        rows = range(first_line + 2, first_line + 2 + count)
        prose = self._trail.prose
        is_markdown = rows.stop <= len(prose) and _is_delimiter(prose[first_line + 1])
        for row in rows:
            yield (self._prose_location(row) if is_markdown else None) or table

    # -- places ----------------------------------------------------------------------------------

    def _follower(self) -> int:
        """Return the index, in what is left without the blocks, of the line that comes next."""
        if not self._pending:
            return -1
        return self._trail.comments[self._pending[-1]].follower

    def _prose_location(self, index: int) -> Location | None:
        if not 0 <= index < len(self._trail.prose):
            return None
        line = self._trail.prose[index]
        return _locate(line, len(line) - len(line.lstrip(" \t>")))

    def _opening(self, fence: Fence) -> Location:
        line = self._trail.lines[fence.start]
        return self._location_of(fence.start, len(line) - len(line.lstrip(" \t>")))

    def _location_of(self, index: int, column: int = 0) -> Location:
        """Return the place of a line that superfences was given.

        A line that stands in no file, such as one that was downloaded, has the place of the last
        line before it that does.
        """
        for line in reversed(self._trail.lines[: index + 1]):
            if place := _locate(line, column):
                return place
            column = 0
        return Location(self._page, 1)


def _locate(line: str, column: int = 0) -> Location | None:
    return line.location(column) if isinstance(line, TracedLine) else None


def _match_lines(code: Sequence[str], shown: Sequence[str], tab_length: int) -> Sequence[str]:
    """Return the lines that are shown with the traces of those that were written.

    The highlighter drops blank lines at the start and the copy button white space at the end.  Any
    other difference is a change that some extension made: then the two are compared.
    """
    for start in range(len(code) - len(shown) + 1):
        written = code[start : start + len(shown)]
        if written[:-1] == tuple(shown[:-1]) and written[-1].startswith(shown[-1]):
            return [*written[:-1], cut(written[-1], 0, len(shown[-1]))]
        if written[0]:
            break
    return carry(code, shown, tab_length)


def _default_name(sql: str) -> str:
    return f"sql-{hash_bytes(' '.join(sql.split()).encode())[:8]}"


def _is_delimiter(line: str) -> bool:
    return "-" in line and not line.strip(" \t>|:-")
