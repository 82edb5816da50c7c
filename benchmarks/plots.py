"""Plots as SVG text, by hand: a few lines on two logarithmic axes need no library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 120, 40, 56
# currentColor is the colour of the text where the drawing stands in a page.  As an image of its own
# it has none to inherit, and goes by the colour scheme of the element that shows it.
_STYLE = (
    "svg:root{color:#1f2328}"
    "@media (prefers-color-scheme:dark){svg:root{color:#e6edf3}}"
    "text{font:13px system-ui,sans-serif;fill:currentColor}"
    ".title{font-weight:600;font-size:14px}"
    ".grid{stroke:currentColor;stroke-opacity:.15}"
    ".line{fill:none;stroke:currentColor;stroke-width:2}"
    ".dot{fill:currentColor}"
)
# Lines are told apart by their dashes and their names, so no colour has to be seen.
_DASHES = ("none", "6 4", "2 3", "10 3 2 3")


@dataclass(frozen=True, slots=True)
class Series:
    """A named line of points, each above zero in both directions."""

    name: str
    points: tuple[tuple[float, float], ...]


def log_log(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """Draw the series on two logarithmic axes; what grows in proportion is a line at one angle.

    The same input gives the same text.  Raises ValueError without points, or for one that is not
    above zero.
    """
    points = [point for line in series for point in line.points]
    if not points:
        raise ValueError("A plot needs a point.")
    if any(value <= 0 for point in points for value in point):
        raise ValueError("A logarithmic axis has no place for what is not above zero.")
    across = _Axis.of((x for x, _ in points), _LEFT, _WIDTH - _RIGHT)
    up = _Axis.of((y for _, y in points), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="22">{escape(title)}</text>',
    ]
    for power in across.powers:
        x = across.place(10.0**power)
        parts += [
            f'<path class="grid" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>',
            _text(x, _HEIGHT - _BOTTOM + 18, _number(power), "middle"),
        ]
    for power in up.powers:
        y = up.place(10.0**power)
        parts += [
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>',
            _text(_LEFT - 8, y + 4, _number(power), "end"),
        ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts += [
        _text(middle, _HEIGHT - 14, x_label, "middle"),
        f'<g transform="translate(18 {height:.0f})rotate(-90)">',
        _text(0, 0, y_label, "middle"),
        "</g>",
    ]
    ends = _apart([up.place(line.points[-1][1]) for line in series])
    for number, (line, end) in enumerate(zip(series, ends, strict=True)):
        placed = [(across.place(x), up.place(y)) for x, y in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        dash = _DASHES[number % len(_DASHES)]
        parts.append(f'<path class="line" stroke-dasharray="{dash}" d="M{path}"/>')
        parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in placed]
        parts.append(_text(placed[-1][0] + 10, end + 4, line.name, "start"))
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Axis:
    """Powers of ten from the one below all values to the one above, between two places."""

    powers: range
    start: float
    end: float

    @classmethod
    def of(cls, values: Iterable[float], start: float, end: float) -> _Axis:
        exponents = [math.log10(value) for value in values]
        low = math.floor(min(exponents))
        high = max(math.ceil(max(exponents)), low + 1)
        return cls(range(low, high + 1), start, end)

    def place(self, value: float) -> float:
        span = self.powers[-1] - self.powers[0]
        part = (math.log10(value) - self.powers[0]) / span
        return self.start + part * (self.end - self.start)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"


def _apart(places: Sequence[float], least: float = 16) -> list[float]:
    """Move the names of lines that end close together apart, in their order."""
    moved = [0.0] * len(places)
    floor = -math.inf
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        moved[index] = floor = max(places[index], floor + least)
    return moved
