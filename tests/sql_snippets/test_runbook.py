"""The runbook holds what an operator needs, in the place where it is looked for.

These tests read the page as text.  That the SQL on it is right is checked by running it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Mark, Page, Snippet, Step
from sql_snippets.reading.pages import read_page
from sql_snippets.sqltext.placeholders import find
from tests.sql_snippets.decisions import LEADING_COLUMNS, read_sections, sections_of_health, slug
from tests.sql_snippets.incidents import PRACTICE

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/operations/cron-reminder-runbook.md"

CHAPTERS = [
    "Overview",
    "Architecture Diagram",
    "Cron Schedule Registration",
    "Execution Log Schema",
    "Advisory Lock",
    "Alerting",
    "Manual Operations",
    "Troubleshooting",
    "Activity Registration Hook",
]


@dataclass(frozen=True)
class Section:
    level: int
    title: str
    text: str


@cache
def sections() -> list[Section]:
    """Split the page at its headings; a line in a fence is no heading."""
    found: list[Section] = []
    lines: list[str] = []
    level, title, fenced = 0, "", False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        heading = None if fenced else re.fullmatch(r"(#+) (.+)", line)
        if heading:
            found.append(Section(level, title, "\n".join(lines)))
            level, title, lines = len(heading[1]), heading[2], []
        else:
            lines.append(line)
    found.append(Section(level, title, "\n".join(lines)))
    return found


def section(title: str) -> str:
    """Return the text of one section, without those below it."""
    (found,) = [s for s in sections() if s.title == title]
    return found.text


def chapter(title: str) -> str:
    """Return a chapter with everything below it."""
    everything = sections()
    start = next(i for i, s in enumerate(everything) if s.title == title and s.level == 2)
    texts = [everything[start].text]
    for below in everything[start + 1 :]:
        if below.level <= 2:
            break
        texts.append(f"{below.title}\n{below.text}")
    return "\n".join(texts)


@cache
def page() -> Page:
    return read_page(PAGE, load_site(ROOT))


def blocks(anchor: str) -> list[Snippet]:
    return [snippet for snippet in page().snippets if snippet.section == anchor]


def test_chapters_are_the_nine_in_order() -> None:
    assert [s.title for s in sections() if s.level == 2] == CHAPTERS


def test_nothing_but_the_title_and_two_lines_stands_before_the_first_chapter() -> None:
    before = PAGE.read_text(encoding="utf-8").split("\n## ")[0].splitlines()
    assert before[0].startswith("# ")
    assert len([line for line in before[1:] if line]) == 2


# Each row: what must be found, in which section or chapter, by which words of it.
POINTS = [
    ("how the schedule is registered", "Cron Schedule Registration", ["cron.schedule(", "pg_cron"]),
    ("the cron expression", "Facts at a glance", ["`0 6 * * *`"]),
    ("the time zone", "Time zone and daylight saving", ["UTC", "GMT"]),
    ("what daylight saving does", "Time zone and daylight saving", ["winter", "summer"]),
    ("change the schedule in SQL", "Change the schedule", ["reminder.change_job"]),
    ("change the schedule in the Dashboard", "Change the schedule", ["Integrations > Cron > Jobs"]),
    ("undo a change of the schedule", "Change the schedule", ["undo: run it again"]),
    ("the key of the lock", "Advisory Lock", ["`741852963`"]),
    ("how the lock looks in pg_locks", "Advisory Lock", ["`pg_locks`", "`classid`", "`objsubid`"]),
    ("what a run does that finds it held", "Advisory Lock", ["`skipped`"]),
    ("how to see who holds it", "Who holds the lock", ["pg_locks", "pg_stat_activity"]),
    ("how to decide whether it is stuck", "Who holds the lock", ["`stuck` is `t`", "10 minutes"]),
    ("how to release a stuck lock", "Release a stuck lock", ["pg_terminate_backend"]),
    ("what does not work", "What does not work", ["pg_advisory_unlock"]),
    ("the failure count", "Alerting", ["`failure_threshold`", "default 3"]),
    ("where the alert goes", "Alerting", ["`REMINDER_ALERT_WEBHOOK_URL`", "`net.http_post`"]),
    ("change the destination", "Change the destination", ["Integrations > Vault > Secrets"]),
    ("send a test alert", "Send a test alert", ["reminder.send_test_alert"]),
    ("what happens to missed runs", "Enable the job", ["missed in between", "not make up for"]),
    ("the table of the hook", "Activity Registration Hook", ["`public.activities`"]),
    ("the events of the hook", "Activity Registration Hook", ["insert, update, delete"]),
    ("the qualifying types", "Qualifying types", ["counts_as_contact"]),
    (
        "the four registration paths",
        "Registration paths",
        ["`direct`", "`proxy`", "`bulk`", "`coordinator_proxy`"],
    ),
    ("verify the hook", "Verify last contact", ["last_contact_date"]),
    ("correct one assignment", "Correct one assignment", ["reminder.correct_last_contact_date"]),
    ("the diagram", "Architecture Diagram", ["```mermaid", "accTitle", "accDescr"]),
    (
        "the integration test as reference",
        "Activity Registration Hook",
        ["tests/reminder_system/test_activity_registration.py"],
    ),
]


@pytest.mark.parametrize(("point", "where", "words"), POINTS, ids=[point for point, *_ in POINTS])
def test_page_holds(point: str, where: str, words: list[str]) -> None:
    text = chapter(where) if where in CHAPTERS else section(where)
    missing = [word for word in words if word not in text]
    assert not missing, f"{point}: section {where!r} does not say {missing}"


def test_schema_table_is_bound_to_the_catalog() -> None:
    (table,) = [t for t in page().tables if t.relation == "public.cron_execution_logs"]
    assert [name.lower() for name in table.header] == ["column", "type", "nullable", "purpose"]


def test_diagram_and_list_have_the_same_steps() -> None:
    text = section("Architecture Diagram")
    diagram, words = text.split("The same flow in words:")
    numbers = sorted({int(n) for n in re.findall(r'[{[]"(\d+) ', diagram)})
    listed = [int(n) for n in re.findall(r"^(\d+)\. \*\*", words, re.MULTILINE)]
    assert numbers == listed == list(range(1, 9))


def test_warning_stands_before_the_first_manual_operation() -> None:
    below = chapter("Manual Operations")
    warning = below.index("> [!WARNING]")
    assert warning < below.index("Trigger a run\n")
    assert "without telling the team" in below[warning:][:300]


def _reads_at(text: str, anchor: str) -> bool:
    """Whether a text has a READ block, or leads to a section that has one and is no other task."""
    links = {anchor for anchor in re.findall(r"\]\(#([\w-]+)\)", text) if anchor in _LOOKS}
    elsewhere = [snippet for link in links for snippet in blocks(link)]
    here = [snippet for snippet in blocks(anchor) if f"name={snippet.name} " in text]
    return any(snippet.claims.mark is Mark.READ for snippet in [*here, *elsewhere])


# Sections that are there to look at something.
_LOOKS = {"see-the-registered-jobs", "who-holds-the-lock", "check-health"}


@pytest.mark.parametrize("operation", ["Trigger a run", "Disable the job", "Enable the job"])
def test_manual_operation_is_complete(operation: str) -> None:
    text = section(operation)
    anchor = slug(operation)
    (change,) = [each for each in blocks(anchor) if each.claims.mark is Mark.WRITE]
    before, after = text.split(f"name={change.name} ")
    assert "Before" in before
    assert _reads_at(before, anchor), "nothing to look at before the change"
    assert "Verify" in after
    assert _reads_at(after, anchor), "nothing to look at after the change"
    assert "undo" in text.casefold()
    assert all(snippet.claims.output for snippet in blocks(anchor)), "each shows what comes back"


def _troubles() -> list[str]:
    titles = [(found.level, found.title) for found in sections()]
    below = titles[titles.index((2, "Troubleshooting")) + 1 :]
    return [title for level, title in takewhile(lambda each: each[0] > 2, below) if level == 3]


TROUBLES = _troubles()


def test_there_are_troubles() -> None:
    assert {"Missed runs", "Stuck lock", "Repeated failures"} <= set(TROUBLES)
    assert len(TROUBLES) >= 9


def test_every_drill_says_whether_it_can_be_practised() -> None:
    drilled = {drill.scenario for drill in page().drills}
    assert drilled == PRACTICE.keys(), "PRACTICE in incidents.py has not exactly these"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_has_every_part_in_order(trouble: str) -> None:
    text = section(trouble)
    parts = [
        text.index(f"**{part}")
        for part in ("Symptom.", "Impact.", "Confirm.", "Cause.", "Resolve.", "Verify.", "Escalate")
    ]
    assert parts == sorted(parts)
    assert f"({'#' + trouble.lower().replace(' ', '-')})" in section("Find your symptom")


def _urgency(trouble: str) -> set[str]:
    """Return how bad the table of symptoms says a trouble is, and when to act."""
    link = f"(#{slug(trouble)}) · "
    rows = [line.split("|")[2] for line in section("Find your symptom").splitlines() if "|" in line]
    return {row.partition(link)[2].strip().partition(". ")[0] for row in rows if link in row}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_whoever_lands_in_a_trouble_is_told_how_bad_it_is_and_how_to_run_its_blocks(
    trouble: str,
) -> None:
    text = section(trouble)
    said = re.match(r"\s*\*\*(.+?)\.\*\* .*\(#how-to-run-a-block\)", text)
    assert said, "the first line says how bad it is, when to act, and how to run a block"
    assert said.end() < text.index("**Symptom.")
    assert {said[1].lower()} == _urgency(trouble), "the table of symptoms says something else"


def _led_to() -> list[str]:
    """Return the sections that health or a symptom leads to."""
    symptoms = read_sections(PAGE.read_text(encoding="utf-8"))["find-your-symptom"].links
    return sorted((symptoms | sections_of_health()) - {"check-health", "escalate"})


@pytest.mark.parametrize("anchor", _led_to())
def test_whoever_is_led_to_a_section_is_told_how_bad_it_is(anchor: str) -> None:
    (text,) = [found.text for found in sections() if slug(found.title) == anchor]
    assert re.match(r"\s*\*\*(High|Medium|Low), [a-z ,]+\.\*\*", text)


RULES_SAID_ONCE = [
    "alone into the SQL Editor",
    "role `postgres`",
    "under a second",
    "An error of a READ",
    "error of a WRITE or STOP",
    "Anything else that is not listed",
    "Dashboard paths are as of",
]


def test_what_holds_for_all_blocks_is_said_once_and_before_the_first() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for rule in RULES_SAID_ONCE:
        assert text.count(rule) == 1, rule
        assert rule in section("How to run a block")
    assert text.index("### How to run a block") < text.index("```sql")


def test_no_block_stands_twice() -> None:
    texts = [snippet.sql for snippet in page().snippets]
    assert not {sql for sql in texts if texts.count(sql) > 1}


def test_nobody_is_led_to_remind_the_wrong_people() -> None:
    """A run while dates are stale or the duplicate guard is gone cannot be taken back."""
    (running,) = [snippet for snippet in page().snippets if "run_manually" in snippet.sql]
    (text,) = [s.text for s in sections() if slug(s.title) == running.section]
    before = text[: text.index(f"name={running.name} ")]
    assert "health where step in (1, 2, 3, 4, 6)" in before
    assert "else the wrong people are reminded" in before


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_drilled(trouble: str) -> None:
    anchor = slug(trouble)
    (drill,) = [d for d in page().drills if d.section == anchor]
    assert {snippet.claims.step for snippet in drill.steps} == set(Step)
    verify = {each.name for each in drill.steps if each.claims.step is Step.VERIFY}
    leads_on = "(#close-the-incident)" in section(trouble)
    assert verify == {"close-incident"} or leads_on, "it ends before all is well"


def test_a_step_of_a_drill_in_another_section_is_linked_from_its_own() -> None:
    elsewhere = [
        (drill, step)
        for drill in page().drills
        for step in drill.steps
        if step.section != drill.section
    ]
    assert len(elsewhere) >= 10
    for drill, step in elsewhere:
        (text,) = [s.text for s in sections() if slug(s.title) == drill.section]
        assert f"(#{step.section})" in text, f"{drill.section} never leads to {step.id}"


def test_every_block_is_marked_named_and_run() -> None:
    assert page().snippets
    for snippet in page().snippets:
        assert snippet.claims.mark is not None, f"{snippet.fence}: no READ, WRITE or STOP above"
        assert not snippet.name.startswith("sql-"), f"{snippet.fence}: no name"
        assert snippet.skipped is None, f"{snippet.fence}: {snippet.skipped}"
        assert not snippet.problems
    assert not page().problems
    assert not page().not_rendered


def _mark_lines() -> list[tuple[int, str]]:
    return [
        (number, line)
        for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"\*\*(READ|WRITE|STOP)\*\* ·", line)
    ]


def test_every_block_shows_what_should_come_back() -> None:
    silent = [str(snippet.fence) for snippet in page().snippets if not snippet.claims.output]
    assert not silent


def _wanting(line: str, role: str = "postgres") -> list[str]:
    """Return what a mark line does not say, part by part between its dots.

    Role, time and who reads along are said once for all; a line says only what is otherwise.
    """
    mark, *parts = [part.strip() for part in line.split("·")]
    why = parts[0]
    undo = re.compile(r"(?:no )?undo: .{8,}")
    said = {
        "why": len(why.split()) >= 3 and not re.match(r"role|undo|no undo|up to|\d", why),
        "the role": role == "postgres" or f"role `{role}`" in parts,
        "how to undo it, or why not": mark == "**READ**" or any(undo.match(p) for p in parts),
    }
    return [what for what, found in said.items() if not found]


def test_every_mark_says_why_and_how_to_undo_it() -> None:
    assert len(_mark_lines()) == len(page().snippets)
    wanting = {
        f"{PAGE.name}:{number}": _wanting(line, snippet.claims.role or "postgres")
        for (number, line), snippet in zip(_mark_lines(), page().snippets, strict=True)
    }
    assert {where: what for where, what in wanting.items() if what} == {}


@pytest.mark.parametrize(
    ("line", "role", "what"),
    [
        ("**READ** · up to 5 s", "postgres", "why"),
        ("**READ** · Verify it", "postgres", "why"),
        ("**READ** · The last five runs", "authenticated", "the role"),
        ("**WRITE** · Set the new time · no undo", "postgres", "how to undo it, or why not"),
    ],
)
def test_what_a_mark_does_not_say_is_found(line: str, role: str, what: str) -> None:
    assert _wanting(line, role) == [what]


def test_what_is_to_be_filled_in_stands_together_at_the_top() -> None:
    asking = [snippet for snippet in page().snippets if find(snippet.sql)]
    assert asking
    for snippet in asking:
        names = [placeholder.name for placeholder in find(snippet.sql)]
        lines = [snippet.sql.count("\n", 0, placeholder.start) for placeholder in find(snippet.sql)]
        where = f"{snippet.fence}: {names}"
        assert snippet.sql.startswith("-- Fill in "), f"{where}: the first line does not ask for it"
        assert len(names) == len(set(names)), f"{where}: one is to be filled in twice"
        assert lines[0] <= 2, f"{where}: the first stands too far down"
        assert sorted(set(lines)) == [*range(lines[0], lines[-1] + 1)], f"{where}: scattered"


def test_symptom_table_comes_first() -> None:
    titles = [s.title for s in sections() if s.level >= 2]
    assert titles[:2] == ["Overview", "Find your symptom"]
    assert section("Find your symptom").lstrip().startswith("| What you see |")


def test_no_paragraph_is_longer_than_three_lines() -> None:
    # The text column of the site holds about a hundred characters a line.
    for found in sections():
        outside = re.sub(r"```.*?```", "", found.text, flags=re.DOTALL)
        for paragraph in outside.split("\n\n"):
            if re.match(r"\s*(\||- |>|<!--|\d+\. |$)", paragraph):
                continue
            shown = re.sub(r"\]\([^)]*\)", "", " ".join(paragraph.split()))
            assert len(shown) <= 300, f"{found.title}: {shown[:60]}… ({len(shown)} characters)"


def test_nothing_that_is_to_be_done_is_folded() -> None:
    text = PAGE.read_text(encoding="utf-8")
    folds = re.findall(r"<details.*?</details>", text, re.DOTALL)
    assert len(folds) >= 40
    for fold in folds:
        assert not re.search(r"^\*\*(READ|WRITE|STOP)\*\* ·", fold, re.MULTILINE), fold
        assert "```sql" not in fold, fold
        # A list or a table of what may come back leads somewhere, or says that it is over.
        assert not re.search(r"^- .*(:|,) (go on|done|run the block)\b", fold, re.MULTILINE), fold
        assert "| Resolve |" not in fold, fold


def test_a_table_that_leads_on_is_folded_only_where_its_rows_stand_open_too() -> None:
    """An alert links to its section itself; the table of all alerts is for reference."""
    text = PAGE.read_text(encoding="utf-8")
    folded = [
        fold
        for fold in re.findall(r"<details.*?</details>", text, re.DOTALL)
        if any(f"| {column} |" in fold for column in LEADING_COLUMNS)
    ]
    open_ = set(re.findall(r"\]\(#([\w-]+)\)", section("Find your symptom")))
    # Of these two nobody has to be told what to do.
    well = {"recovered", "send-a-test-alert"}
    assert len(folded) == 1
    assert set(re.findall(r"\]\(#([\w-]+)\)", folded[0])) - well <= open_


def test_dashboard_paths_are_dated() -> None:
    text = PAGE.read_text(encoding="utf-8")
    path = re.compile(
        r"\*\*(Integrations|Project Settings|SQL Editor|Observability|Database|Logs)\b.*?\*\*"
    )
    dated = re.search(r"Dashboard paths are as of \d{4}-\d\d-\d\d\b", text)
    assert dated
    paths = [match.start() for match in path.finditer(text)]
    assert len(paths) >= 8
    assert dated.start() < min(paths)


def test_a_step_in_the_dashboard_has_sql_or_says_that_there_is_none() -> None:
    """In its own line, or as a block of its section."""
    for found in sections():
        for line in found.text.splitlines():
            if "Dashboard" not in line or not re.search(r"\*\*[A-Z][\w ]+( > [\w ]+)*\*\*", line):
                continue
            said = re.search(r"no SQL for it|\bor `create extension`|keeps no (name|who)", line)
            has_block = any(each.claims.mark for each in blocks(slug(found.title)))
            assert said or has_block, line


def test_no_secret_and_no_address_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"https?://", text), "an address; name the secret instead"
    assert not re.search(r"\b(eyJ[\w-]{10,}|sb_secret_\w+|sk_\w{8,})", text)


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {slug(s.title) for s in sections()}
    text = PAGE.read_text(encoding="utf-8")
    dead = {link for link in re.findall(r"\]\(#([^)]+)\)", text) if link not in anchors}
    assert not dead


def test_linked_files_exist() -> None:
    for link in re.findall(r"\]\((\.\./[^)#]+)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / link).is_file(), link
