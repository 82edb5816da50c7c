"""Measure how fast blocks are found on many pages, beside other checkers and plain pytest.

All have the same pages: prose, headings and one-line blocks, in SQL for this checker and in Python
for the others.  Plain pytest has as many tests with nothing in them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus
from benchmarks.children import Ended, run_measured
from benchmarks.measured import Aim, Findings, Table, run_section
from benchmarks.peers import clean_environment, prepare_peers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_CONFTEST = """\
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"]).pytest()
"""
# What the environment of development has beside the checker, and the others have not.
_ALONE = ("-p", "no:xdist", "-p", "no:hypothesispytest")
_COLLECT = "--collect-only"

FLOOR, SYBIL, SCANNER, PARSER, OURS, AGAIN = (
    "plain `pytest`, a file a page",
    "`sybil`",
    "`pytest-codeblocks`",
    "`pytest-markdown-docs`",
    "this checker, first time",
    "this checker, again",
)
ONE_FILE = "plain `pytest`, one file"
_HOW = {
    ONE_FILE: "empty tests",
    FLOOR: "empty tests",
    SYBIL: "regular expressions",
    SCANNER: "a loop over lines",
    PARSER: "`markdown-it-py`",
    OURS: "the site's own renderer",
    AGAIN: "the same, pages unchanged",
}
Way = tuple[str, "Callable[[str], Ended]"]


@dataclass(frozen=True, slots=True)
class _Size:
    pages: int
    blocks: int

    @property
    def items(self) -> int:
        return self.pages * self.blocks


def main(arguments: list[str]) -> int:
    """Print the section."""
    return run_section("collecting", arguments, measure, _options, __doc__)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pages", type=int, default=1000, help="so many pages (1000)")
    parser.add_argument("--blocks", type=int, default=10, help="so many blocks on each (10)")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many (3)")


def measure(options: argparse.Namespace) -> Findings:
    """Collect with each in turn, round by round, so that a busy moment hits all alike."""
    size = _Size(options.pages, options.blocks)
    with tempfile.TemporaryDirectory(prefix="sql-snippets-bench-") as folder:
        ways = _peers(Path(folder), size)
        project = _our_project(Path(folder) / "ours", size)
        collected: dict[str, list[Ended]] = {name: [] for name in _HOW}
        for number in range(options.rounds):
            for name, way in ways:
                collected[name].append(way(_COLLECT))
            cache = Path(folder) / f"cache-{number}"
            for name in (OURS, AGAIN):
                collected[name].append(
                    project.run("docs", _COLLECT, *_ALONE, expects=f"{size.items} ", cache=cache)
                )
        ran = {name: way("") for name, way in ways}
    return _findings(size, options.rounds, collected, ran)


def _peers(folder: Path, size: _Size) -> list[Way]:
    python = prepare_peers()

    def way(name: str, *plugin: str) -> Way:
        def run(more: str) -> Ended:
            return run_measured(
                # Only the plugin that is measured, as someone who uses one of them has it.
                [
                    *(
                        str(python),
                        "-m",
                        "pytest",
                        "-q",
                        "-p",
                        "no:cacheprovider",
                        *_others(plugin),
                    ),
                    *(*plugin, *([more] if more else []), "."),
                ],
                cwd=folder / name,
                env=clean_environment(),
                expects=f"{size.items} ",
            )

        return name, run

    trivial = [f"def test_{n}():\n    pass\n" for n in range(size.items)]
    for name in (ONE_FILE, FLOOR, SYBIL, SCANNER, PARSER):
        (folder / name).mkdir()
        (folder / name / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / SYBIL / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / ONE_FILE / "test_all.py").write_text("".join(trivial), encoding="utf-8")
    for number in range(size.pages):
        numbers = range(number * size.blocks, (number + 1) * size.blocks)
        tests = "".join(trivial[n] for n in numbers)
        (folder / FLOOR / f"test_{number}.py").write_text(tests, encoding="utf-8")
        text = corpus.page(f"Page {number}", "python", [("", f"value = {n}") for n in numbers])
        for name in (SYBIL, SCANNER, PARSER):
            (folder / name / f"page_{number}.md").write_text(text, encoding="utf-8")
    return [
        way(ONE_FILE),
        way(FLOOR),
        way(SYBIL),
        way(SCANNER, "--codeblocks"),
        way(PARSER, "--markdown-docs"),
    ]


def _others(plugin: tuple[str, ...]) -> list[str]:
    names = {"--codeblocks": "codeblocks", "--markdown-docs": "pytest_markdown_docs"}
    unused = [name for option, name in names.items() if option not in plugin]
    return [part for name in (*unused, "pytest_postgresql") for part in ("-p", f"no:{name}")]


def _our_project(folder: Path, size: _Size) -> corpus.Project:
    project = corpus.Project(folder)
    for number in range(size.pages):
        numbers = range(number * size.blocks, (number + 1) * size.blocks)
        blocks = [("READ", f"select {n} as value;") for n in numbers]
        project.write(f"page_{number}.md", corpus.page(f"Page {number}", "sql", blocks))
    return project


def _findings(
    size: _Size, rounds: int, collected: dict[str, list[Ended]], ran: dict[str, Ended]
) -> Findings:
    seconds = {
        name: statistics.median(each.seconds for each in ended) for name, ended in collected.items()
    }
    rows = tuple(
        (
            name,
            how,
            f"{seconds[name]:.2f}",
            f"{size.items / seconds[name]:,.0f}",
            f"{seconds[name] / seconds[FLOOR]:.2f}",
            f"{max(each.peak_mb for each in collected[name]):.0f}",
            f"{ran[name].seconds:.2f}" if name in ran else "",
            f"{ran[name].peak_mb:.0f}" if name in ran else "",
        )
        for name, how in _HOW.items()
    )
    table = Table(
        f"Collecting {size.items:,} items: {size.pages:,} pages of {size.blocks}",
        (
            *("Who", "Finds them by", "Collect, s", "Items a second", "Ratio to the floor"),
            *("Peak, MB", "Run, s", "Peak, MB"),
        ),
        rows,
        f"Median of {rounds}; peak of the largest process. The floor is a file a page. Running "
        "SQL has a section of its own.",
    )
    aims = []
    for name in (OURS, AGAIN):
        to_parser, to_floor = seconds[name] / seconds[PARSER], seconds[name] / seconds[FLOOR]
        aims += [
            Aim(
                f"Collecting, {name}, beside the fastest with a real parser ({PARSER})",
                "1.0 times its time",
                f"{to_parser:.2f} times",
                to_parser <= 1,
            ),
            Aim(
                f"Collecting, {name}, beside {FLOOR}",
                "2 times its time",
                f"{to_floor:.2f} times",
                to_floor <= 2,  # noqa: PLR2004 - the aim
            ),
        ]
    return Findings((table,), tuple(aims))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
