"""Plots that the pages show: what is drawn is what was measured."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.plots import Series, log_log

SVG = "{http://www.w3.org/2000/svg}"
RUN = Series("run", ((10, 1), (100, 10), (1000, 100)))
FLOOR = Series("floor & more", ((10, 1), (1000, 99)))


def drawn(*series: Series) -> ET.Element:
    return ET.fromstring(log_log("Title", "x", "y", series))  # noqa: S314 - made here


def dots(svg: ET.Element) -> list[tuple[float, float]]:
    return [
        (float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in svg.iter(f"{SVG}circle")
    ]


def words(svg: ET.Element) -> list[str | None]:
    return [text.text for text in svg.iter(f"{SVG}text")]


def test_what_grows_in_proportion_is_a_straight_line_upwards() -> None:
    (x1, y1), (x2, y2), (x3, y3) = dots(drawn(RUN))
    assert x1 < x2 < x3
    assert y1 > y2 > y3
    assert (y2 - y1) / (x2 - x1) == pytest.approx((y3 - y2) / (x3 - x2))


def test_axes_are_labelled_with_powers_of_ten_and_lines_with_their_names() -> None:
    found = words(drawn(RUN, FLOOR))
    assert {"10", "100", "1,000", "Title", "x", "y", "run", "floor & more"} <= set(found)
    assert "0.01" in words(drawn(Series("small", ((1, 0.05),))))


def test_names_of_lines_that_end_together_do_not_lie_on_each_other() -> None:
    svg = drawn(RUN, FLOOR)
    heights = [
        float(t.get("y", "")) for t in svg.iter(f"{SVG}text") if t.text in {"run", "floor & more"}
    ]
    assert abs(heights[0] - heights[1]) >= 16


def test_has_no_colour_but_that_of_the_text_around_it() -> None:
    text = log_log("Title", "x", "y", [RUN])
    style = text[text.index("<style>") : text.index("</style>")]
    assert set(re.findall(r"(?:fill|stroke):(\w+)", style)) == {"currentColor", "none"}
    assert "prefers-color-scheme:dark" in style
    assert "#" not in text.replace(style, "")


@pytest.mark.parametrize("points", [(), ((0, 1),), ((1, -1),)])
def test_nothing_is_drawn_of_what_has_no_place(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"point|logarithmic"):
        log_log("Title", "x", "y", [Series("none", points)])
