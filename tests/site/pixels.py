"""What is seen in a picture of the page, whatever made it so: contrast, as WCAG measures it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

_READ = """
async function read(picture) {
    const bytes = await (await fetch("data:image/png;base64," + picture)).blob()
    const image = await createImageBitmap(bytes)
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d")
    context.drawImage(image, 0, 0)
    return context
}
const linear = c => c <= 0.04045 * 255 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4
function lights({data}) {
    const found = []
    for (let at = 0; at < data.length; at += 4) found.push(
        0.2126 * linear(data[at]) + 0.7152 * linear(data[at + 1]) + 0.0722 * linear(data[at + 2]))
    return found
}
const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
"""
_CHANGED = (
    "async ([one, other, least]) => {"
    + _READ
    + """
    const [before, after] = [await read(one), await read(other)].map(
        c => lights(c.getImageData(0, 0, c.canvas.width, c.canvas.height)))
    if (before.length !== after.length) throw new Error("the pictures differ in size")
    return before.filter((light, at) => contrast(light, after[at]) >= least).length
}"""
)
_CONTRASTS = (
    "async ([picture, boxes]) => {"
    + _READ
    + """
    const context = await read(picture)
    return boxes.map(box => {
        const found = lights(context.getImageData(...box)).sort((a, b) => a - b)
        return contrast(found[0], found.at(-1))
    })
}"""
)


def count_changed(page: Page, before: bytes, after: bytes, contrast: float) -> int:
    """Return how many pixels have at least this contrast to what they were before."""
    pictures = [base64.b64encode(picture).decode() for picture in (before, after)]
    changed: int = page.evaluate(_CHANGED, [*pictures, contrast])
    return changed


def contrasts(page: Page, picture: bytes, boxes: Sequence[Sequence[float]]) -> list[float]:
    """Return the contrast of the lightest and the darkest pixel of each box of a picture.

    A box is left, top, width and height.
    """
    found: list[float] = page.evaluate(
        _CONTRASTS, [base64.b64encode(picture).decode(), [[*map(round, box)] for box in boxes]]
    )
    return found
