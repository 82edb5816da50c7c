"""Writing what was accepted back into the pages: only the bytes of an output or a cell change.

All edits of a run are collected first and written at its end, so that a page is read and written
once and the lines of a later edit are not moved by an earlier one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path  # noqa: TC003 - `codec` reads the types of fields
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_bytes, write_whole
from sql_snippets.model import Fix  # noqa: TC001 - `codec` reads the types of fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"(?P<indent>[\s>]*)(?:`{3,}|~{3,})")


class RewriteError(Exception):
    """A page was not written; it is as it was."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A fix of one file; ``digest`` is that of the file when the page was read (`digest_of`).

    ``changing`` are the columns whose values were others when the block was run once more.
    """

    path: Path
    fix: Fix
    digest: str
    changing: tuple[str, ...] = ()

    @property
    def is_cell(self) -> bool:
        """Whether it is a change within a line, or of the rows below one."""
        return self.fix.columns is not None

    def __str__(self) -> str:
        return f"{self.path}:{self.fix.line}"


def edit_of(fix: Fix, root: Path, digests: Mapping[Path, str]) -> Edit:
    """Return the edit that a fix is in the project at ``root``."""
    path = root / fix.path
    return Edit(path, fix, digests[path])


def digest_of(path: Path) -> str:
    """Return a hash of the file's bytes."""
    return hash_bytes(path.read_bytes())


def _content(lines: Iterable[str]) -> list[str]:
    """Return the lines as the site renders them: tabs expanded, no blanks around them."""
    return "\n".join(line.expandtabs(4).rstrip() for line in lines).strip("\n").split("\n")


def _prefix(edit: Edit, lines: list[str]) -> str:
    """Return what stands before each line of the output: indent and block quote marks.

    The opening fence knows it; only blank lines may stand between it and the output.
    """
    for line in reversed(lines[: edit.fix.line - 1]):
        fence = _FENCE.match(line)
        if fence:
            return fence["indent"]
        if line.strip(" \t>\r\n"):
            break
    raise RewriteError(f"{edit}: no fence stands above; nothing written")


def _without(prefix: str, line: str) -> str:
    """Take the block quote marks and the indent off a line, as far as they are there."""
    if line.startswith(prefix):
        return line[len(prefix) :]
    return line if line.strip(" \t>") else ""


def _apply(text: str, edits: Iterable[Edit]) -> str:
    lines = _LINE.findall(text)
    # From the bottom up, so that the places of the edits still to come stay as they are.
    for edit in sorted(edits, key=_place, reverse=True):
        if edit.fix.columns is None:
            _apply_to_output(edit, lines)
        else:
            _apply_to_cell(edit, edit.fix.columns, lines)
    return "".join(lines)


def _place(edit: Edit) -> tuple[int, bool, int]:
    """Order the edits of a page; lines below a line come after the changes within it."""
    start, _ = edit.fix.columns or (1, 1)
    return edit.fix.line, start == 0, start


def _apply_to_output(edit: Edit, lines: list[str]) -> None:
    prefix = _prefix(edit, lines)
    start, stop = edit.fix.line - 1, edit.fix.last_line
    body = [_without(prefix, line.rstrip("\r\n")) for line in lines[start:stop]]
    if _content(body) != _content(edit.fix.old.split("\n")):
        raise RewriteError(f"{edit}: the lines are not the output that was read; nothing written")
    ending = "\r\n" if lines[start - 1].endswith("\r\n") else "\n"
    lines[start:stop] = [f"{prefix}{line}".rstrip() + ending for line in edit.fix.new.split("\n")]


def _apply_to_cell(edit: Edit, columns: tuple[int, int], lines: list[str]) -> None:
    number = edit.fix.line - 1
    line = lines[number]
    if columns[0] == 0:
        content = line.rstrip("\r\n")
        prefix = content[: len(content) - len(content.lstrip(" \t>"))]
        ending = line[len(content) :]
        rows = [f"{prefix}{row}" for row in edit.fix.new.split("\n")]
        # The last line of a file may have no end of its own.
        lines[number] = content + (ending or "\n") + (ending or "\n").join(rows) + ending
        return
    start, end = columns[0] - 1, columns[1] - 1
    if line[start:end] != edit.fix.old:
        raise RewriteError(
            f"{edit}:{columns[0]}: this is not the cell that was read; nothing written"
        )
    lines[number] = line[:start] + edit.fix.new + line[end:]


def _overlap(first: Edit, second: Edit) -> bool:
    if first.fix.columns is not None and second.fix.columns is not None:
        same_line = first.fix.line == second.fix.line
        return same_line and 0 != second.fix.columns[0] < first.fix.columns[1]
    return second.fix.line <= first.fix.last_line


def _rewritten(path: Path, edits: list[Edit]) -> bytes:
    for first, second in pairwise(sorted(edits, key=_place)):
        if _overlap(first, second):
            raise RewriteError(
                f"{path}: the changes at lines {first.fix.line} and {second.fix.line} overlap; "
                "nothing written"
            )
    data = path.read_bytes()
    if any(edit.digest != hash_bytes(data) for edit in edits):
        raise RewriteError(
            f"{path}: the file changed while the blocks were run; nothing written, run again"
        )
    # Not read_text(): it would turn CRLF into LF. A BOM stays as a character of the first line.
    return _apply(data.decode("utf-8"), edits).encode("utf-8")


def write_back(
    edits: Iterable[Edit],
) -> tuple[list[Edit], list[str]]:
    """Write the edits; return those written and a sentence for each page that was refused.

    The same edit may come several times (an output that several items share); two different ones
    for the same lines refuse the page.
    """
    written: list[Edit] = []
    refused: list[str] = []
    in_order = sorted(set(edits), key=lambda edit: (edit.path, _place(edit)))
    for path, group in groupby(in_order, key=lambda edit: edit.path):
        of_page = list(group)
        try:
            data = _rewritten(path, of_page)
            write_whole(path, data)
        except RewriteError as error:
            refused.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            refused.append(f"{path}: {error}; nothing written")
        else:
            written += of_page
    return written, refused
