"""Pictures of the site: those that its program takes, and the one that the README shows."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from typing import TYPE_CHECKING

from scripts.tasks.common import ROOT
from tests.site.pixels import contrasts, count_changed

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

SIZES = {"phone": (780, 1688), "desktop": (1280, 800)}  # a phone has two pixels for each of CSS
HEADER = 100  # pixels, more than it takes
READABLE = 4.5


def _size(picture: bytes) -> tuple[int, int]:
    """Return the width and height that a PNG file says it has."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])


def _take(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "screenshots"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_program_takes_pictures_phone_and_desktop_light_and_dark(
    page: Page, tmp_path: Path
) -> None:
    done = _take(str(tmp_path), "--only", "home", "missed")
    assert done.returncode == 0, done.stdout + done.stderr
    taken = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    kinds = product(("home", "missed"), SIZES, ("light", "dark"))
    assert set(taken) == {"-".join(kind) for kind in kinds}
    for name, picture in taken.items():
        width, height = SIZES[name.split("-")[1]]
        assert _size(picture) == (width, height), name
        below = (0, HEADER, width, height - HEADER)
        assert contrasts(page, picture, [below])[0] >= READABLE, f"{name} is blank"
    for kind in ("home-phone", "home-desktop", "missed-phone", "missed-desktop"):
        light, dark = taken[f"{kind}-light"], taken[f"{kind}-dark"]
        width, height = _size(light)
        assert count_changed(page, light, dark, READABLE) > width * height / 2
    assert len(set(taken.values())) == len(taken)


def test_name_that_is_no_picture_is_refused() -> None:
    done = _take("--only", "hom")
    assert done.returncode != 0
    assert "invalid choice: 'hom'" in done.stderr


def test_picture_of_the_readme_is_one_that_the_program_takes(page: Page) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", readme)
    assert len(shown) == 1
    picture = (ROOT / shown[0][1]).read_bytes()
    width, height = SIZES["desktop"]
    assert _size(picture) == (width, height)
    assert contrasts(page, picture, [(0, HEADER, width, height - HEADER)])[0] >= READABLE
