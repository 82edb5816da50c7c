"""Say beside the table of the walks when the runbook has changed since it was walked.

The page of what the checks found leads to that table.  Only what a reader runs and where a link
leads count: other words change no walk.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

FIGURES, RUNBOOK = "figures.md", "operations/cron-reminder-runbook.md"
VERIFICATION, DRILLS = "verification.md", "## Drills\n"
WALKS = "assets/figures/walks.json"
_PLACE = "<!-- figures: walks -->\n"
_STEP = re.compile(r"^```sql\n(.*?)^```|\]\((#[^)]+)\)", re.DOTALL | re.MULTILINE)
AGAIN = "scripts/test tests/sql_snippets/test_walks.py --walks all --walks-keep"
_NOTE = f"""
> [!NOTE]
> Blocks or links of the runbook have changed since. To walk it again: `{AGAIN}`
"""
_LEADS_THERE = """\
A machine has also walked the runbook, from many things that can go wrong to the end of each walk:
[what it came to](figures.md#walks).

"""


def digest_of(runbook: str) -> str:
    """Return what the blocks of a page and the links between its sections are told by."""
    steps = [match[1] or match[2] for match in _STEP.finditer(runbook)]
    return hashlib.sha256("\0".join(steps).encode()).hexdigest()


def is_walked(docs: Path) -> bool:
    """Whether the table that is kept is of the runbook as it is now."""
    kept = json.loads((docs / WALKS).read_text(encoding="utf-8"))
    of: str = kept["findings"].get("of", "")
    return of == digest_of((docs / RUNBOOK).read_text(encoding="utf-8"))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the note where the table begins, and lead to the table."""
    if page.file.src_uri == VERIFICATION and files.get_file_from_path(FIGURES) is not None:
        return markdown.replace(DRILLS, _LEADS_THERE + DRILLS)
    is_asked = page.file.src_uri == FIGURES and files.get_file_from_path(RUNBOOK) is not None
    if not is_asked or is_walked(Path(config.docs_dir)):
        return markdown
    return markdown.replace(_PLACE, _PLACE + _NOTE)
