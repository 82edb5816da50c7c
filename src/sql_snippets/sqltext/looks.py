"""Whether a text looks like what a database program prints."""

from __future__ import annotations

import re
from itertools import pairwise

_FOOTER = re.compile(r"\s*\(\d+ rows?\)\s*")
_RULE = re.compile(r"-+(?:\+-+)*")
_SEVERAL_COLUMNS = re.compile(r"\s*-+(?:\+-+)+\s*")
_BOX = re.compile(r"\s*(?:\+[-=]+(?:\+[-=]+)*\+|[┌├└╭╰╞╘╔╠╚][─═┬┼┴╪╤╧╦╬╩]+[┐┤┘╮╯╡╛╗╣╝])\s*")
_EXPANDED = re.compile(r"\s*-\[ RECORD \d+ \][-+]*\s*|\*+ \d+\. row \*+")
_MARKDOWN_RULE = re.compile(
    r"\s*\|\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*|\s*:?-+:?(?:\s*\|\s*:?-+:?)+\s*"
)
_TAG = re.compile(r"(?:INSERT 0|UPDATE|DELETE|SELECT|MERGE|COPY|FETCH|MOVE) \d+")
_ERROR = re.compile(r"(?:psql:\S+ )?(?:ERROR|FATAL|PANIC):\s")


def looks_like_output(text: str) -> bool:
    """Return whether a text has the shape of a result, of a command tag or of an error."""
    lines = text.expandtabs().rstrip().split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        return False
    if _TAG.fullmatch(lines[-1].strip()) or _ERROR.match(lines[0]):
        return True
    shapes = (_FOOTER, _SEVERAL_COLUMNS, _BOX, _EXPANDED)
    if any(shape.fullmatch(line) for line in lines for shape in shapes):
        return True
    return any(_is_below_header(above, line) for above, line in pairwise(lines))


def _is_below_header(above: str, line: str) -> bool:
    """Whether a line rules off a header.  The rule of psql is a blank wider on both sides."""
    if not above.strip():
        return False
    if _MARKDOWN_RULE.fullmatch(line):
        return "|" in above
    return (
        above.startswith(" ")
        and _RULE.fullmatch(line.strip()) is not None
        and len(line.strip()) >= len(above.strip()) + 2
    )
