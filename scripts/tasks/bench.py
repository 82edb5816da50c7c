"""Measure.  A section is a module ``bench_NAME`` beside this one, run by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.tasks.common import VENV_PYTHON, TaskError, run, say
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "bench_"


def main(arguments: Sequence[str]) -> int:
    """Run the section that is named first, with the other arguments; without one, all of them."""
    sections = sorted(
        path.stem.removeprefix(_PREFIX) for path in Path(__file__).parent.glob(f"{_PREFIX}*.py")
    )
    chosen, rest = (arguments[:1], arguments[1:]) if arguments else (sections, ())
    for name in chosen:
        if name not in sections:
            raise TaskError(f"There is no section {name!r}: choose one of {', '.join(sections)}.")
    prepare("dev")
    failed = 0
    for name in chosen:
        say(f"Measuring: {name}")
        failed |= run([VENV_PYTHON, "-m", f"scripts.tasks.{_PREFIX}{name}", *rest])
    return int(bool(failed))
