"""Find the SQL fences that an author wrote and the site does not show as one, and say why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pymdownx.superfences import RE_NESTED_FENCE_START  # type: ignore[import-untyped]

from sql_snippets.fences import Fence, Trail, is_sql
from sql_snippets.model import Location, NotRendered
from sql_snippets.rendered import Block, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """Return the SQL fences that are written but not shown, in page order."""
    shown = {
        item.fence for item in rendered.items if isinstance(item, Block) and item.text is not None
    }
    by_start = {fence.start: fence for fence in trail.fences}
    found = []
    for index, line in enumerate(trail.lines):
        opener = _read_opener(line)
        if opener is None:
            continue
        fence = by_start.get(index)
        if fence and fence.number in shown and is_sql(fence.language):
            continue
        around = next((f for f in trail.fences if f.start < index < f.end - 1), None)
        if around and _quotes(trail.lines[around.start], opener["ticks"]):
            continue
        reason = _why(index, opener, fence, around, trail, rendered, locate)
        found.append(NotRendered(locate(index, len(opener["prefix"])), reason))
    return tuple(found)


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


def _why(
    index: int,
    opener: re.Match[str],
    fence: Fence | None,
    around: Fence | None,
    trail: Trail,
    rendered: Rendered,
    locate: Callable[[int, int], Location],
) -> str:
    """Say why the fence that opens at line ``index`` is not shown."""
    if fence and fence.number in rendered.commented:
        return "it is inside an HTML comment, so no reader sees it."
    if fence and any(isinstance(i, Block) and i.fence == fence.number for i in rendered.items):
        return (
            f"a custom fence shows {fence.language!r} as something else than code, so there is no "
            "SQL to copy."
        )
    if fence:
        return (
            "it is taken for indented code, because it is indented by four or more columns beyond "
            "the text around it. Indent it like that text."
        )
    if around:
        outer = locate(around.start, 0)
        return (
            f"it is text inside of the block that opens at line {outer.line}, which nothing closes "
            "before it. Close that block, or give it a longer fence if it quotes this one."
        )
    if (
        index in trail.refused
        or RE_NESTED_FENCE_START.match(trail.lines[index], _indent(opener)) is None
    ):
        return _why_refused(opener)
    return _why_given_up(index, trail, locate)


def _indent(opener: re.Match[str]) -> int:
    return opener.start("ticks")


def _why_refused(opener: re.Match[str]) -> str:
    if opener["item"]:
        return (
            "it starts on the line of the list item. Put the fence on a line of its own, indented "
            "by four columns."
        )
    prefix = opener["prefix"].strip(" \t>")
    if prefix:
        return f"there is {prefix!r} before the fence, which is no ordinary space."
    header = opener.string[opener.start("ticks") :].strip()
    return (
        f"superfences does not accept the line {header!r}: after the language it takes title, "
        'linenums and hl_lines as key="value", or attributes in braces with attr_list.'
    )


def _why_given_up(index: int, trail: Trail, locate: Callable[[int, int], Location]) -> str:
    if index == trail.unclosed:
        return "it is never closed: no line below it has the same fence at the same indentation."
    if index in trail.given_up:
        end = trail.given_up[index]
        line = trail.lines[end]
        place = locate(end, 0).line
        if line.strip(" \t>").startswith(("```", "~~~")):
            return (
                f"the fence at line {place} does not stand at the same indentation, or cannot be "
                "formatted with the options given, so this block has no end."
            )
        return (
            f"line {place} is indented less than the fence, or stands in another block quote, "
            "before the fence is closed."
        )
    spoiled = [(start, end) for start, end in trail.given_up.items() if start < index <= end]
    if spoiled:
        outer = locate(spoiled[-1][0], 0).line
        return (
            f"it is lost in the block that opens at line {outer}, which has no end. Close that one."
        )
    if trail.unclosed is not None and trail.unclosed < index:
        outer = locate(trail.unclosed, 0).line
        return f"it is lost in the block that opens at line {outer}, which is never closed."
    return "the site's Markdown does not take it for a block."
