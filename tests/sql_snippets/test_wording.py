"""What the runbook tells people to do is what `wording.toml` says, and nothing else.

The table is kept by hand.  Whoever changes a mark, an undo, a severity, an outcome or where it
leads changes both, and so reads it twice.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.sql_snippets.decisions import PAGE
from tests.sql_snippets.wording import words_of

TABLE = Path(__file__).with_name("wording.toml")


def _told(value: object, where: str = "") -> dict[str, str]:
    """Return each single thing that is told, by where it stands; the order counts."""
    if isinstance(value, dict):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(str(number), part) for number, part in enumerate(value, 1)]
    else:
        return {where: str(value)}
    return {
        place: told
        for name, part in parts
        for place, told in _told(part, f"{where}, {name}" if where else name).items()
    }


def differences(page: str) -> list[str]:
    """Return where page and table tell people something else, each as a sentence."""
    said = _told(words_of(page))
    right = _told(tomllib.loads(TABLE.read_text(encoding="utf-8")))
    return [
        f"{place}: the page says {said.get(place)!r}, and {TABLE.name} {right.get(place)!r}."
        for place in sorted(said.keys() | right.keys())
        if said.get(place) != right.get(place)
    ]


def test_page_tells_people_what_the_table_says() -> None:
    assert differences(PAGE.read_text(encoding="utf-8")) == []


def test_a_word_that_misleads_is_found() -> None:
    """Of each kind one that a maintainer could write; everything else on the page stays right."""
    page = PAGE.read_text(encoding="utf-8")
    missed = []
    for old, new in (
        ("| **STOP** | Can lose work.", "| **STOP** | Changes nothing."),
        ("**STOP** · End a session", "**WRITE** · End a session"),
        ("An error of a READ: nothing was changed.", "An error of a READ: it may have changed."),
        ("[Stuck lock](#stuck-lock) · high, now", "[Stuck lock](#stuck-lock) · low, today"),
        ("**High, now.**", "**Low, today.**"),
        ("- `now_active` is `f`: done.", "- `now_active` is `t`: done."),
        ("(#see-the-registered-jobs) shows `f`", "(#see-the-registered-jobs) shows `t`"),
        ("for too long. [Release a stuck lock](#release-a-stuck-lock)", "Wait, then go on"),
        ("the lock is free, no run is active, [close](#close-the-incident)", "[go](#missed-runs)"),
        ("undo: the same with `old_number`", "undo: the same with `new_number`"),
        ("undo: run it again with the old schedule", "undo: run it again"),
        ("keep `old_date` for the undo", "keep `new_date` for the undo"),
        (
            "[Disable the job](#disable-the-job), [Release",
            "[Enable the job](#enable-the-job), [Rel",
        ),
        ("Finished batches are kept", "[Disable](#disable-the-job). Finished batches are kept"),
        ("- `running`: wait, then run", "- `running`: run"),
        (" and, unless the lock is stuck, wait until", " and wait until"),
        (", or [Trigger a run](#trigger-a-run) if that leads back here.", "."),
        ("`reminder.run_job()`: low, in the morning.", "`reminder.run_job()`: high, now."),
        ("; if nobody outside watches, the last WRITE block", ""),
        (
            "[disable the job](#disable-the-job) instead, switch",
            "[disable](#disable-the-job), switch",
        ),
        ("[escalate](#escalate) to that person", "[escalate](#escalate)"),
        ("to the developers, with the last migrations.", "to the developers."),
        ("> Do not trigger a run on production", "> Do trigger a run on production"),
        ("tell these mentors. Go on.", "go on."),
        ("the second WRITE block below |", "the first WRITE block below |"),
        ("- No row: by its schedule no run is missing, [close](#close-the-incident).\n", ""),
        ("only duplicate or wrong reminders are a reason to [disable it](#disable-the-job)", "so"),
    ):
        assert old in page, f"the page no longer holds {old!r}: this breaks nothing"
        if not differences(page.replace(old, new, 1)):
            missed.append(new)
    assert missed == []
