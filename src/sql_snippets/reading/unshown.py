"""Find the SQL fences that an author wrote and the site does not show as one, and say why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pymdownx.superfences import RE_NESTED_FENCE_START

from sql_snippets.model import Location, NotRendered
from sql_snippets.reading.fences import Fence, Trail, is_sql
from sql_snippets.reading.rendered import Block, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Wider than what any site accepts: this is what a person would take for the start of a block.
_LOOKS_LIKE_FENCE = re.compile(
    r"""(?x)
    (?P<prefix> [\s>]* (?P<item> (?:[-*+]|\d+[.)]) [ \t]+ )* )
    (?P<ticks> `{3,} | ~{3,} )
    [ \t]* (?: \{ (?P<braces> [^}]* ) \}? | \.?(?P<language> [\w\#.+-]+ ) )
    """
)
_CLASS = re.compile(r"(?:^|\s)\.([\w#+-]+)")


def find_unshown(
    trail: Trail, rendered: Rendered, locate: Callable[[int, int], Location]
) -> tuple[NotRendered, ...]:
    """Return the SQL fences that are written but not shown, in page order.

    ``locate`` gives the place of a character of a line of ``trail.lines``, by two indices.
    """
    return tuple(_Search(trail, rendered, locate).run())


def _read_opener(line: str) -> re.Match[str] | None:
    """Return what looks like the first line of a SQL block."""
    match = _LOOKS_LIKE_FENCE.match(line)
    if match is None:
        return None
    if match["ticks"].startswith("`") and "`" in line[match.end("ticks") :]:
        return None  # inline code that uses three backticks
    language = match["language"]
    if language is None:
        classes = _CLASS.findall(match["braces"])
        language = classes[0] if classes else match["braces"].split(" ")[0]
    return match if language and is_sql(language) else None


def _quotes(outer: str, ticks: str) -> bool:
    """Return whether a fence quotes another: it is longer, or of the other character."""
    fence = re.search(r"`{3,}|~{3,}", outer)
    return fence is not None and (fence.group()[0] != ticks[0] or len(fence.group()) > len(ticks))


class _Search:
    def __init__(
        self, trail: Trail, rendered: Rendered, locate: Callable[[int, int], Location]
    ) -> None:
        self._trail = trail
        self._rendered = rendered
        self._locate = locate
        blocks = [item for item in rendered.items if isinstance(item, Block)]
        self._shown = {block.fence for block in blocks if block.text is not None}
        self._without_code = {block.fence for block in blocks if block.text is None}
        self._by_start = {fence.start: fence for fence in trail.fences}

    def run(self) -> Iterator[NotRendered]:
        """Yield the fences that are not shown."""
        for index, line in enumerate(self._trail.lines):
            opener = _read_opener(line)
            if opener is None:
                continue
            fence = self._by_start.get(index)
            if fence and fence.number in self._shown:
                continue
            around = self._around(index)
            if around and _quotes(self._trail.lines[around.start], opener["ticks"]):
                continue
            if fence:
                reason = self._why_hidden(fence)
            elif around:
                reason = (
                    f"it is text inside the block that opens at {self._line(around.start)}, "
                    "which nothing closes before it. Close that block, or give it a longer fence "
                    "if it quotes this one."
                )
            elif self._is_refused(index, opener):
                reason = _why_refused(opener)
            else:
                reason = self._why_given_up(index)
            yield NotRendered(self._locate(index, opener.start("ticks")), reason)

    def _around(self, index: int) -> Fence | None:
        inside = (fence for fence in self._trail.fences if fence.start < index < fence.end - 1)
        return next(inside, None)

    def _line(self, index: int) -> str:
        return f"line {self._locate(index, 0).line}"

    def _why_hidden(self, fence: Fence) -> str:
        if fence.number in self._rendered.commented:
            return "it is inside an HTML comment, so no reader sees it."
        if fence.number in self._without_code:
            return f"a custom fence shows {fence.language!r}, but not as code that can be copied."
        return (
            "it is taken for indented code, because it is indented by four or more columns beyond "
            "the text around it. Indent it like that text."
        )

    def _is_refused(self, index: int, opener: re.Match[str]) -> bool:
        if index in self._trail.refused:
            return True
        if any(start < index <= end for start, end in self._trail.given_up.items()):
            return False
        line = self._trail.lines[index]
        prefix = line[: opener.start("ticks")]
        return bool(prefix.strip(" \t>")) or not RE_NESTED_FENCE_START.match(line, len(prefix))

    def _why_given_up(self, index: int) -> str:
        trail = self._trail
        if index == trail.unclosed:
            return "it is never closed: no line below has the same fence at the same indentation."
        if index in trail.given_up:
            end = trail.given_up[index]
            if trail.lines[end].strip(" \t>").startswith(("```", "~~~")):
                return (
                    f"the fence at {self._line(end)} does not stand at the same indentation, or "
                    "the options cannot be used, so this block has no end."
                )
            return (
                f"{self._line(end)} is indented less than the fence, or is in another block "
                "quote, before the fence is closed."
            )
        spoilers = [start for start, end in trail.given_up.items() if start < index <= end]
        if not spoilers and trail.unclosed is not None and trail.unclosed < index:
            spoilers = [trail.unclosed]
        if spoilers:
            return (
                f"it is lost in the block that opens at {self._line(spoilers[-1])} and is never "
                "closed. Close that one."
            )
        return "the site's Markdown does not render it as a block."


def _why_refused(opener: re.Match[str]) -> str:
    if opener["item"]:
        return (
            "it starts on the line of the list item. Put the fence on a line of its own, indented "
            "by four columns."
        )
    if prefix := opener["prefix"].strip(" \t>"):
        return f"there is {prefix!r} before the fence, which is not an ordinary space."
    header = opener.string[opener.start("ticks") :].strip()
    return (
        f"superfences does not accept the line {header!r}: after the language it takes title, "
        'linenums and hl_lines as key="value", or attributes in braces with attr_list.'
    )
