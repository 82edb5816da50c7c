"""Writing what was accepted back into the pages: only the bytes of an output or a cell change.

All edits of a run are collected first and written at its end, so that a page is read and written
once and the lines of a later edit are not moved by an earlier one.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"(?P<indent>[\s>]*)(?:`{3,}|~{3,})")


class RewriteError(Exception):
    """A page was not written; it is as it was."""


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """New text for the output of one block.

    ``digest`` is that of the file when the block was read (`digest_of`).  ``first_line`` and
    ``last_line`` (1-based) are the output without its fences; when it is empty the last line is
    the one before the first.
    """

    path: Path
    first_line: int
    last_line: int
    old: str
    new: str
    digest: str


@dataclass(frozen=True, slots=True, order=True)
class CellEdit:
    """A change within one line, or, with ``start`` 0, new lines below it.

    Columns count characters from 1, without a byte order mark; ``end`` is just past the change.
    """

    path: Path
    first_line: int
    start: int
    end: int
    old: str
    new: str
    digest: str

    @property
    def last_line(self) -> int:
        """Return the line itself: a change never spans several."""
        return self.first_line


def edit_from(values: Mapping[str, Any]) -> Edit | CellEdit:
    """Return the edit that `dataclasses.asdict` took apart."""
    kind = CellEdit if "start" in values else Edit
    return kind(**{**values, "path": Path(values["path"])})


def digest_of(path: Path) -> str:
    """Return a hash of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _content(lines: Iterable[str]) -> list[str]:
    """Return the lines as the site renders them: tabs expanded, no blanks around them."""
    return "\n".join(line.expandtabs(4).rstrip() for line in lines).strip("\n").split("\n")


def _prefix(edit: Edit, lines: list[str]) -> str:
    """Return what stands before each line of the output: indent and block quote marks.

    The opening fence knows it; only blank lines may stand between it and the output.
    """
    for line in reversed(lines[: edit.first_line - 1]):
        fence = _FENCE.match(line)
        if fence:
            return fence["indent"]
        if line.strip(" \t>\r\n"):
            break
    raise RewriteError(f"{edit.path}:{edit.first_line}: no fence stands above; nothing written")


def _without(prefix: str, line: str) -> str:
    """Take the block quote marks and the indent off a line, as far as they are there."""
    if line.startswith(prefix):
        return line[len(prefix) :]
    return line if line.strip(" \t>") else ""


def _apply(text: str, edits: Iterable[Edit | CellEdit]) -> str:
    lines = _LINE.findall(text)
    # From the bottom up, so that the places of the edits still to come stay as they are.
    for edit in sorted(edits, key=_place, reverse=True):
        if isinstance(edit, CellEdit):
            _apply_to_cell(edit, lines)
        else:
            _apply_to_output(edit, lines)
    return "".join(lines)


def _place(edit: Edit | CellEdit) -> tuple[int, bool, int]:
    """Order the edits of a page; lines below a line come after the changes within it."""
    start = edit.start if isinstance(edit, CellEdit) else 1
    return edit.first_line, start == 0, start


def _apply_to_output(edit: Edit, lines: list[str]) -> None:
    prefix = _prefix(edit, lines)
    start, stop = edit.first_line - 1, edit.last_line
    body = [_without(prefix, line.rstrip("\r\n")) for line in lines[start:stop]]
    if _content(body) != _content(edit.old.split("\n")):
        raise RewriteError(
            f"{edit.path}:{edit.first_line}: the lines are not the output that was read; "
            "nothing written"
        )
    ending = "\r\n" if lines[start - 1].endswith("\r\n") else "\n"
    lines[start:stop] = [f"{prefix}{line}".rstrip() + ending for line in edit.new.split("\n")]


def _apply_to_cell(edit: CellEdit, lines: list[str]) -> None:
    line = lines[edit.first_line - 1]
    if edit.start == 0:
        content = line.rstrip("\r\n")
        prefix = content[: len(content) - len(content.lstrip(" \t>"))]
        ending = line[len(content) :]
        rows = [f"{prefix}{row}" for row in edit.new.split("\n")]
        # The last line of a file may have no end of its own.
        lines[edit.first_line - 1] = (
            content + (ending or "\n") + (ending or "\n").join(rows) + ending
        )
        return
    start, end = edit.start - 1, edit.end - 1
    if line[start:end] != edit.old:
        raise RewriteError(
            f"{edit.path}:{edit.first_line}:{edit.start}: this is not the cell that was read; "
            "nothing written"
        )
    lines[edit.first_line - 1] = line[:start] + edit.new + line[end:]


def _overlap(first: Edit | CellEdit, second: Edit | CellEdit) -> bool:
    if isinstance(first, CellEdit) and isinstance(second, CellEdit):
        same_line = first.first_line == second.first_line
        return same_line and second.start != 0 and second.start < first.end
    return second.first_line <= first.last_line


def _rewritten(path: Path, edits: list[Edit | CellEdit]) -> bytes:
    for first, second in pairwise(sorted(edits, key=_place)):
        if _overlap(first, second):
            raise RewriteError(
                f"{path}: the changes at lines {first.first_line} and {second.first_line} overlap; "
                "nothing written"
            )
    data = path.read_bytes()
    if any(edit.digest != hashlib.sha256(data).hexdigest() for edit in edits):
        raise RewriteError(
            f"{path}: the file changed while the blocks were run; nothing written, run again"
        )
    # Not read_text(): it would turn CRLF into LF. A BOM stays as a character of the first line.
    return _apply(data.decode("utf-8"), edits).encode("utf-8")


def _replace(path: Path, data: bytes) -> None:
    """Replace the file as a whole, so that an interruption leaves the old or the new one."""
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.chmod(target.stat().st_mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_back(
    edits: Iterable[Edit | CellEdit],
) -> tuple[list[Edit | CellEdit], list[str]]:
    """Write the edits; return those written and a sentence for each page that was refused.

    The same edit may come several times (an output that several items share); two different ones
    for the same lines refuse the page.
    """
    written: list[Edit | CellEdit] = []
    refused: list[str] = []
    in_order = sorted(set(edits), key=lambda edit: (edit.path, _place(edit)))
    for path, group in groupby(in_order, key=lambda edit: edit.path):
        of_page = list(group)
        try:
            data = _rewritten(path, of_page)
            _replace(path, data)
        except RewriteError as error:
            refused.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            refused.append(f"{path}: {error}; nothing written")
        else:
            written += of_page
    return written, refused
