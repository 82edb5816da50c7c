"""Measure.  A section is a module ``bench_NAME`` in ``benchmarks``, run by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT, VENV_PYTHON, TaskError, run, say
from scripts.tasks.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "bench_"
KEEP = "--keep"


def main(arguments: Sequence[str]) -> int:
    """Run the section that is named first, with the other arguments; without one, all of them.

    With ``--keep`` the findings are written beside the page of figures, and it is made from them.
    """
    keep = KEEP in arguments
    given = [argument for argument in arguments if argument != KEEP]
    sections = sorted(
        path.stem.removeprefix(_PREFIX) for path in (ROOT / "benchmarks").glob(f"{_PREFIX}*.py")
    )
    chosen, rest = (given[:1], given[1:]) if given else (sections, [])
    for name in chosen:
        if name not in sections:
            raise TaskError(f"There is no section {name!r}: choose one of {', '.join(sections)}.")
    prepare("dev")
    failed = 0
    for name in chosen:
        say(f"Measuring: {name}")
        module = f"benchmarks.{_PREFIX}{name}"
        failed |= run([VENV_PYTHON, "-m", module, *rest, *([KEEP] if keep else [])])
    if keep:
        failed |= run([VENV_PYTHON, "-m", "benchmarks.figures"])
    return int(bool(failed))
