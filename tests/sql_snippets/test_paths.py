"""Whoever starts at a symptom gets somewhere: the runbook as a graph, walked to its ends.

An end is "done" (the job is well, or nothing has to be done) or "escalate".
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.raised_errors import RaisedError, raised_errors
from tests.sql_snippets.decisions import (
    AGAIN,
    DONE,
    ENDS,
    ESCALATE,
    MIGRATIONS,
    NEXT,
    PAGE,
    Kind,
    Node,
    Outcome,
    Section,
    answers_of,
    dead_ends,
    ends_from,
    outcomes_of,
    read_sections,
    sections_in_output,
    sections_of_health,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = PAGE.parents[1] / "index.md"

# Blocks that read from something and have a row whenever they have no error: a view of one row a
# check, types that a migration brings, functions that return one row.
ALWAYS_A_ROW = {
    "change-schedule",
    "change-threshold",
    "close-incident",
    "disable-job",
    "enable-job",
    "enable-watchdog",
    "register-again",
    "health",
    "before-trigger",
    "qualifying-types",
    "resolve-watchdog-look",
    "sessions-by-program",
    "correct-one-assignment",
}
TRUE_OR_FALSE = {"active", "ended", "ok", "resolved", "run_missing", "up_to_date"}
# Where "done" may be said: health has told that all is well, or nothing had to be done.
SAYS_DONE = {"check-health", "close-the-incident", "disable-the-job", "status-values"}
REFUSED = {"invalid_parameter_value", "no_data_found"}
_PUT_INTO_A_ROW = r"(?:then|else) '([a-z][a-z ]+)'|,\s+'([a-z][a-z ]+)'\)"
CATCHES_THE_REST = re.compile(r"\| (?:anything else|none of these|neither) \|")


@cache
def runbook() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections() -> dict[str, Section]:
    return read_sections(runbook())


def symptoms(sections: dict[str, Section]) -> list[Outcome]:
    return sections["find-your-symptom"].outcomes


def troubles(sections: dict[str, Section]) -> list[Section]:
    return [sections[name] for name in sections["troubleshooting"].below]


def blocks(sections: dict[str, Section]) -> Iterator[tuple[Section, Node]]:
    for section in sections.values():
        for node in section.nodes:
            if node.mark:
                yield section, node


def unanswered(sections: dict[str, Section]) -> list[str]:
    """Return the blocks that say nothing of something that may come back."""
    found = []
    for section, block in blocks(sections):
        outcomes = outcomes_of(section, block)
        answered = {kind for each in answers_of(section, block) for kind in each.kinds}
        for kind in _must_answer(block):
            # Whatever else comes back as a row or as none has one rule for all blocks.
            by_rule = Kind.REST in answered and kind not in {Kind.ERROR, Kind.SILENCE}
            if kind not in answered and not by_rule:
                found.append(f"{block} does not say what to do about {kind.value}")
        if not any(_worked(block, outcome) for outcome in outcomes):
            found.append(f"{block} does not say what to do when it worked")
        found += [
            f"{outcome} says to try again and not what to do then"
            for outcome in block.outcomes
            if outcome.exits == {AGAIN} and Kind.REPEATED not in answered
        ]
    return found


def _worked(block: Node, outcome: Outcome) -> bool:
    """Whether an outcome is of a row, or of the command tag where no row can come."""
    if "row" not in block.output:
        return outcome.text.startswith(f"`{block.output.strip()}`")
    refused = re.search(r"\bnothing (?:was|ran)\b", outcome.text)
    return not refused and bool(outcome.kinds & {Kind.TRUE, Kind.FALSE, Kind.OTHER})


def _must_answer(block: Node) -> set[Kind]:
    kinds = set()
    if TRUE_OR_FALSE & set(block.columns):
        kinds |= {Kind.TRUE, Kind.FALSE}
    if block.sql.startswith("call ") or "\ncall " in block.sql:
        kinds.add(Kind.SILENCE)  # nothing else takes long enough to lose its connection
    if "resolved" not in block.columns and _may_be_empty(block):
        kinds.add(Kind.NO_ROW)
    return kinds | {Kind.ERROR, Kind.REST}


def _may_be_empty(block: Node) -> bool:
    """Whether rows are read: from a relation, and not only within parentheses."""
    outside, inner = "", block.sql
    while outside != inner:
        outside, inner = inner, re.sub(r"\([^()]*\)", "", inner)
    reads = re.search(r"\b(?:from|update)\b", outside)
    return bool(reads) and "row" in block.output and block.name not in ALWAYS_A_ROW


def test_nothing_leads_nowhere(sections: dict[str, Section]) -> None:
    assert dead_ends(sections) == []


def test_every_block_says_what_may_come_back(sections: dict[str, Section]) -> None:
    asked = [kind for _, block in blocks(sections) for kind in _must_answer(block)]
    assert asked.count(Kind.ERROR) >= 45
    assert asked.count(Kind.NO_ROW) >= 25
    assert asked.count(Kind.FALSE) >= 8
    assert unanswered(sections) == []


def test_every_step_leads_to_an_end(sections: dict[str, Section]) -> None:
    """From wherever somebody comes in, not only from a symptom."""
    stuck = [
        section.anchor
        for section in sections.values()
        if section.nodes and not ends_from(sections, section.anchor)
    ]
    assert stuck == []


def test_every_symptom_leads_to_an_end(sections: dict[str, Section]) -> None:
    assert len(symptoms(sections)) >= 12
    for symptom in symptoms(sections):
        assert symptom.exits - ENDS, symptom
        for exit_ in symptom.exits - ENDS:
            assert ends_from(sections, exit_) == ENDS, symptom


def test_every_trouble_ends_with_the_question_whether_all_is_well(
    sections: dict[str, Section],
) -> None:
    assert len(troubles(sections)) >= 9
    for section in troubles(sections):
        leads = {exit_ for outcome in section.outcomes for exit_ in outcome.exits}
        assert "close-the-incident" in {*section.verify, *leads}, section.title
        assert section.escalates, f"{section.title} does not say when to escalate, with a link"


def false_ends(sections: dict[str, Section]) -> list[str]:
    """Return the outcomes that say "done" and know of one thing only."""
    return [
        f"{outcome} says done, and nobody has asked whether all is well"
        for section in sections.values()
        for outcome in section.outcomes
        if DONE in outcome.exits and section.anchor not in SAYS_DONE
    ]


def test_done_is_said_where_all_is_well(sections: dict[str, Section]) -> None:
    assert false_ends(sections) == []
    for anchor in ("check-health", "close-the-incident"):
        well = [each for each in sections[anchor].outcomes if DONE in each.exits]
        assert [each.kinds for each in well] == [{Kind.TRUE}], anchor
        assert "reminder.health" in sections[anchor].nodes[0].sql


def test_every_trouble_is_reached_from_a_symptom(sections: dict[str, Section]) -> None:
    direct = {exit_ for symptom in symptoms(sections) for exit_ in symptom.exits}
    missing = {section.anchor for section in troubles(sections)} - direct
    assert not missing, f"no row of Find your symptom leads to {missing}"


def test_every_trouble_is_on_the_home_page(sections: dict[str, Section]) -> None:
    tiles = set(
        re.findall(r"^- \[\*\*.*#([\w-]+)\)", HOME.read_text(encoding="utf-8"), re.MULTILINE)
    )
    missing = {section.anchor for section in troubles(sections)} - tiles
    assert not missing, f"no tile of docs/index.md leads to {missing}"


def test_every_table_of_causes_catches_the_rest(sections: dict[str, Section]) -> None:
    tables = [node for section in troubles(sections) for node in section.nodes if not node.mark]
    assert len(tables) >= 8
    assert without_rest(sections) == []
    somewhere = {ESCALATE, NEXT, "trigger-a-run"}
    for last in (table.outcomes[-1] for table in tables if _catches_the_rest(table)):
        assert last.exits & somewhere, f"{last}\nIt leads to escalate, or to what helps always."


def _catches_the_rest(table: Node) -> bool:
    return bool(CATCHES_THE_REST.match(table.outcomes[-1].text))


def without_rest(sections: dict[str, Section]) -> list[str]:
    """Return the tables of causes that say nothing of the rest, where no rule of the page does."""
    return [
        f"{table} says nothing of anything else, and no rule for all blocks does"
        for section in troubles(sections)
        for table in section.nodes
        if not table.mark and not _catches_the_rest(table)
        if not any(
            Kind.REST in rule.kinds and ESCALATE in rule.exits for rule in section.nodes[0].general
        )
    ]


def unreached(sections: dict[str, Section], text: str) -> list[str]:
    """Return the blocks that nothing in their section leads to."""
    lines, starts = text.splitlines(), [*(each.line for each in sections.values())]
    found = []
    for section in sections.values():
        end = next((start for start in starts if start > section.line), len(lines) + 1)
        said = "\n".join(lines[section.line : end - 1])
        for before, block in pairwise(section.nodes):
            goes_on = any(NEXT in each.exits for each in outcomes_of(section, before))
            if block.mark and not goes_on and not _speaks_of(said, section, block):
                found.append(f"{block} stands there, and nothing in its section leads to it")
    return found


def _speaks_of(said: str, section: Section, block: Node) -> bool:
    """Whether a section names a block by its place: "the last WRITE block"."""
    alike = [node for node in section.nodes if node.mark == block.mark]
    names = ["first", "second", "third"][alike.index(block) :][:1]
    names += ["last"] * (block is alike[-1]) + ["the"] * (len(alike) == 1)
    place = rf"\b(?:both|{'|'.join(names)}) {block.mark} blocks?\b"
    return re.search(place, said, re.IGNORECASE) is not None


def test_every_block_is_led_to(sections: dict[str, Section]) -> None:
    (beside,) = unreached(sections, runbook())
    assert "The last five runs" in beside  # what whoever is done with health may look at


def test_what_a_query_of_causes_may_say_is_in_the_table(sections: dict[str, Section]) -> None:
    """The words that the function puts into its row."""
    sql = (MIGRATIONS / "20260601091845_jobs.sql").read_text(encoding="utf-8")
    body = sql.partition("create function reminder.job_state(")[2].partition("$$;")[0]
    words = {word for pair in re.findall(_PUT_INTO_A_ROW, body) for word in pair if word}
    assert words == {"active", "disabled", "not registered", "no message"}
    asking = [
        (section, block)
        for section, block in blocks(sections)
        if "reminder.job_state(" in block.sql
    ]
    assert len(asking) >= 2
    for section, block in asking:
        table = section.nodes[section.nodes.index(block) + 1]
        seen = " ".join(each.text.split("|")[1] for each in table.outcomes)
        said = words - {"active", "no message"}
        assert not [word for word in said if f"`{word}`" not in seen], block


def test_every_error_of_a_delivery_is_in_the_table_of_causes(
    sections: dict[str, Section],
) -> None:
    sql = (MIGRATIONS / "20260601090900_alerts.sql").read_text(encoding="utf-8")
    stored = re.findall(r"(?:then|format\(|:=)\s*'(?!Test )([A-Zp][^']{17,})'", sql)
    assert len(stored) >= 14
    (table,) = [node for node in sections["alert-not-delivered"].nodes if not node.mark]
    causes = [
        re.sub(r" \d.*", "", said.strip())
        for each in table.outcomes
        for said in each.text.split("|")[1].split(", ")
    ]
    assert not [text for text in stored if not any(cause in text for cause in causes)]
    assert not [cause for cause in causes[:-2] if not any(cause in text for text in stored)]


def test_every_alert_is_a_symptom(sections: dict[str, Section]) -> None:
    table = sections["alerts-and-where-they-lead"].outcomes
    assert len(table) >= 7
    alerts = [each.exits for each in table if not each.exits & {"recovered", "send-a-test-alert"}]
    symptoms_ = [each.exits for each in symptoms(sections) if each.text.startswith("| Alert: ")]
    rule = "A row of symptoms begins with 'Alert: ' if the database sends it, and only then."
    assert sorted(map(sorted, symptoms_)) == sorted(map(sorted, alerts)), rule


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("test-alert-status", "20260601090900_alerts.sql"),
        ("verify-trigger", "20260601090600_execution_log.sql"),
    ],
)
def test_every_status_leads_on(sections: dict[str, Section], name: str, table: str) -> None:
    sql = (MIGRATIONS / table).read_text(encoding="utf-8")
    values = re.search(r"check \(status in \(([^)]*)\)", sql)
    assert values
    (block,) = [block for _, block in blocks(sections) if block.name == name]
    said = " ".join(each.text.partition(":")[0] for each in block.outcomes)
    missing = [value for value in re.findall(r"\w+", values[1]) if f"`{value}`" not in said]
    assert missing == []


def _steps(sections: dict[str, Section], step: str) -> list[Node]:
    return [block for _, block in blocks(sections) if f" step={step}" in block.claim]


def test_every_verification_says_what_both_answers_mean(sections: dict[str, Section]) -> None:
    verifications = [
        *_steps(sections, "verify"),
        *[block for _, block in blocks(sections) if "resolved" in block.columns],
    ]
    assert len(verifications) >= 2
    for block in verifications:
        rule = f"{block}: one item begins with `t`, and is the end or leads there."
        well = [each.exits for each in block.outcomes if Kind.TRUE in each.kinds]
        # One incident ended is not all well: another may stand behind it.
        assert [bool({DONE, "close-the-incident"} & exits) for exits in well] == [True], rule
        assert any(Kind.FALSE in each.kinds for each in block.outcomes), block


def test_every_confirmation_says_what_both_answers_mean(sections: dict[str, Section]) -> None:
    confirmations = _steps(sections, "confirm")
    assert len(confirmations) >= 8
    for block in confirmations:
        rule = f"{block}: an item begins with 'No row: ', and one with 'A row', which says: go on."
        assert any(each.text.startswith("No row: ") for each in block.outcomes), rule
        here = [each.exits for each in block.outcomes if each.text.startswith("A row")]
        assert here == [{NEXT}], rule


def test_first_block_says_what_to_do_when_it_does_not_answer(
    sections: dict[str, Section],
) -> None:
    """The database may be what is ill."""
    (health,) = [block for _, block in blocks(sections) if block.name == "health"]
    answers = {each.text.partition(" ")[2].partition(":")[0]: each for each in health.outcomes}
    assert {"what-differs", ESCALATE} <= answers["error instead of rows"].exits
    # That section asks the same database: it has a way for whom it does not answer either.
    first = sections["what-differs"].nodes[0]
    assert any(Kind.ERROR in each.kinds and NEXT in each.exits for each in first.outcomes)
    silent = next(each for head, each in answers.items() if head.startswith("answer within"))
    assert "service-timeout" in silent.exits


def test_health_query_names_sections_that_are_there(sections: dict[str, Section]) -> None:
    named = sections_in_output(runbook())
    assert len(named) >= 5
    assert named <= sections.keys()


def test_every_section_that_health_may_name_is_a_link_below_it(
    sections: dict[str, Section],
) -> None:
    named = sections_of_health()
    assert named >= sections_in_output(runbook())
    assert named <= sections["check-health"].links


def refusals() -> list[RaisedError]:
    """Return the errors with which a function of the migrations refuses its input."""
    return [error for error in raised_errors() if error.code in REFUSED]


def unexplained(sections: dict[str, Section]) -> list[str]:
    """Return what the functions of a block may refuse and the page does not say.

    What somebody filled in is to be corrected: that is one rule for all blocks.  What is not there
    leads elsewhere.
    """
    return [
        f"{block} does not say what to do about {error.text!r}"
        for section, block in blocks(sections)
        for error in refusals()
        if f"{error.routine}(" in block.sql
        if not any(_quotes(outcome, error.text) for outcome in block.outcomes)
        if error.code == "no_data_found"
        or not any(Kind.REFUSAL in each.kinds for each in answers_of(section, block))
    ]


def _quotes(outcome: Outcome, text: str) -> bool:
    quoted = re.match(r"`([^`]{12,})`: ", outcome.text)
    return bool(quoted and quoted[1] in text)


def test_every_refusal_is_explained_below_the_block(sections: dict[str, Section]) -> None:
    assert len(refusals()) >= 5
    assert unexplained(sections) == []


def _broken(old: str, new: str) -> dict[str, Section]:
    assert old in runbook(), f"the page no longer holds {old!r}: this breaks nothing"
    return read_sections(runbook().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (": [Enable the job](#enable-the-job).", ": that is odd."),
        ("it never stays off: both WRITE blocks below |", "think |"),
        (
            "No row: by its schedule no run is missing, [close](#close-the-incident).",
            "No row: by its schedule no run is missing.",
        ),
        ("[Register again](#register-again), then the", "[Register again](#gone), then the"),
        (
            "for too long. [Release a stuck lock](#release-a-stuck-lock).",
            "for too long. Go on.",
        ),
    ],
)
def test_a_dead_end_is_found(old: str, new: str) -> None:
    assert dead_ends(_broken(old, new))


def test_an_end_that_asks_nobody_is_found() -> None:
    assert false_ends(
        _broken("no run is missing, [close](#close-the-incident).", "all well, done.")
    )


@pytest.mark.parametrize(
    "line",
    [
        "- An error of a READ: ",
        "- Any other error of a WRITE or STOP: ",
        "- Anything else that is not listed: ",
        "- The same answer again, ",
        "- No answer after a minute: ",
        "- Your number: ",
    ],
)
def test_a_line_that_is_wanting_is_found(line: str) -> None:
    (whole,) = [each for each in runbook().splitlines(keepends=True) if each.startswith(line)]
    without = runbook().replace(whole, "")
    if line.startswith("- No answer"):  # there is a rule for it as well
        without = re.sub(r"^- No answer within a minute: .*\n", "", without, flags=re.MULTILINE)
    assert unanswered(read_sections(without))
    if line.startswith("- Anything else"):
        assert without_rest(read_sections(without))


def test_a_block_that_nothing_leads_to_is_found() -> None:
    page = runbook().replace("the last WRITE block;", "it is waived;")
    assert any("Waive" in each for each in unreached(read_sections(page), page))


@pytest.mark.parametrize(
    "line", ["- `There is no assignment`: ", "- An error that names what you filled in: "]
)
def test_a_refusal_that_is_not_explained_is_found(line: str) -> None:
    assert unexplained(_broken(line, "- `Something else happened`: "))


def test_a_section_that_does_not_say_when_to_escalate_is_found() -> None:
    for gutted in ("**Escalate** if it", "**Escalate**"):
        page = _broken(
            "**Escalate** if the key cannot be made, or if it goes missing again.", gutted
        )
        assert not page["duplicate-reminders"].escalates


def test_a_circle_without_an_end_is_found() -> None:
    block = "**READ** · Look\n\n```sql\nselect 1\n```\n\n- A row: [go](#{})\n- No row: [go](#{})\n"
    text = f"# P\n\n## A\n\n### B\n\n{block.format('c', 'c')}\n### C\n\n{block.format('b', 'b')}"
    page = read_sections(text)
    assert dead_ends(page) == []
    assert ends_from(page, "b") == set()
