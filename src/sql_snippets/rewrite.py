"""Writing accepted output back into the pages: only the bytes of the output change.

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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def _apply(text: str, edits: Iterable[Edit]) -> str:
    lines = _LINE.findall(text)
    for edit in sorted(edits, reverse=True):
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
    return "".join(lines)


def _rewritten(path: Path, edits: list[Edit]) -> bytes:
    for first, second in pairwise(sorted(edits)):
        if second.first_line <= first.last_line:
            raise RewriteError(
                f"{path}: the outputs at lines {first.first_line} and {second.first_line} overlap; "
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


def write_back(edits: Iterable[Edit]) -> tuple[list[Edit], list[str]]:
    """Write the edits; return those written and a sentence for each page that was refused.

    The same edit may come several times (an output that several items share); two different ones
    for the same lines refuse the page.
    """
    written: list[Edit] = []
    refused: list[str] = []
    for path, group in groupby(sorted(set(edits)), key=lambda edit: edit.path):
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
