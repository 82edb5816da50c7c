"""Whoever starts at a symptom gets somewhere: the runbook as a graph, walked to its ends.

An end is "done" (the job is well, or nothing has to be done) or "escalate".
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.raised_errors import RaisedError, raised_errors
from tests.sql_snippets.decisions import (
    AGAIN,
    DONE,
    ENDS,
    ESCALATE,
    NEXT,
    PAGE,
    Kind,
    Node,
    Outcome,
    Section,
    dead_ends,
    ends_from,
    outcomes_of,
    read_sections,
    sections_in_output,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS = PAGE.parents[2] / "supabase/migrations"
HOME = PAGE.parents[1] / "index.md"

# Blocks that read from something and have a row whenever they have no error: a view of one row a
# check, types that a migration brings, functions that return one row.
ALWAYS_A_ROW = {
    "change-schedule",
    "disable-job",
    "enable-job",
    "register-again",
    "health",
    "before-trigger",
    "qualifying-types",
    "resolve-watchdog-look",
    "correct-one-assignment",
}
TRUE_OR_FALSE = {"active", "ended", "ok", "resolved", "up_to_date"}
# What makes it sensible to run the same block again.
FIRST = re.compile(r"\b(?:wait|correct|check|fill)\b")
REFUSED = {"invalid_parameter_value", "no_data_found"}
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
        for kind in _must_answer(block):
            answers = [outcome for outcome in outcomes if kind in outcome.kinds]
            if not answers:
                found.append(f"{block} does not say what to do about {kind.value}")
        if not any(_worked(block, outcome) for outcome in outcomes):
            found.append(f"{block} does not say what to do when it worked")
        found += [
            f"{outcome} says to try again and not what to do then"
            for outcome in block.outcomes
            if outcome.exits == {AGAIN} and not FIRST.search(outcome.text)
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
    if block.mark != "READ":
        kinds.add(Kind.ERROR)
    return kinds


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
    assert asked.count(Kind.ERROR) >= 20
    assert asked.count(Kind.NO_ROW) >= 30
    assert asked.count(Kind.FALSE) >= 10
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


def test_every_trouble_has_both_ends_in_itself(sections: dict[str, Section]) -> None:
    assert len(troubles(sections)) >= 8
    for section in troubles(sections):
        assert any(DONE in outcome.exits for outcome in section.outcomes), section.title
        assert section.escalates, f"{section.title} does not say when to escalate, with a link"


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
    for table in tables:
        last = table.outcomes[-1]
        rule = f"{last}\nThe last row begins with: anything else, none of these, or neither."
        assert CATCHES_THE_REST.match(last.text), rule
        assert last.exits & {ESCALATE, NEXT}, f"{last}\nIt leads to escalate or to a block below."


def test_what_a_query_of_causes_may_say_is_in_the_table(sections: dict[str, Section]) -> None:
    """The words that the SQL itself puts into its row."""
    found = 0
    for section, block in blocks(sections):
        words = re.findall(r"(?:then|else) '([a-z][a-z ]+)'|\), '([a-z][a-z ]+)'\)", block.sql)
        following = section.nodes[section.nodes.index(block) + 1 :]
        if words and following and not following[0].mark:
            table = " ".join(each.text.split("|")[1] for each in following[0].outcomes)
            said = {word for pair in words for word in pair if word} - {"active", "no message"}
            found += len(said)
            assert not [word for word in said if f"`{word}`" not in table], block
    assert found >= 4


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
    assert not [cause for cause in causes[:-3] if not any(cause in text for text in stored)]


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
    verifications = _steps(sections, "verify")
    assert len(verifications) >= 7
    for block in verifications:
        rule = f"{block}: one item begins with `t`, says done and links to Check health."
        well = [each for each in block.outcomes if Kind.TRUE in each.kinds]
        # One incident ended is not all well: another may stand behind it.
        assert [{DONE, "check-health"} <= each.exits for each in well] == [True], rule


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
    assert {"missed-runs", ESCALATE} <= answers["error instead of rows"].exits
    silent = next(each for head, each in answers.items() if head.startswith("answer within"))
    assert "service-timeout" in silent.exits


def test_health_query_names_sections_that_are_there(sections: dict[str, Section]) -> None:
    named = sections_in_output(runbook())
    assert len(named) >= 5
    assert named <= sections.keys()


def test_every_section_that_health_may_name_is_a_link_below_it(
    sections: dict[str, Section],
) -> None:
    checks = [
        body
        for path in MIGRATIONS.glob("*.sql")
        for body in re.findall(
            r"^create function reminder\.(?:check_\w+|look_at_health)\b.*?^\$\$;",
            path.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
    ]
    assert len(checks) >= 10
    named = set(re.findall(r"'([a-z]+(?:-[a-z]+)+|heartbeat)'", "\n".join(checks)))
    named -= {"peer-mentor-reminders"}
    assert named >= sections_in_output(runbook())
    assert named <= sections["check-health"].links


def refusals() -> list[RaisedError]:
    """Return the errors with which a function of the migrations refuses its input."""
    return [error for error in raised_errors() if error.code in REFUSED]


def unexplained(sections: dict[str, Section]) -> list[str]:
    """Return what the functions of a block may refuse and the list below it does not say."""
    return [
        f"{block} does not say what to do about {error.text!r}"
        for _, block in blocks(sections)
        for error in refusals()
        if f"{error.routine}(" in block.sql
        if not any(_quotes(outcome, error.text) for outcome in block.outcomes)
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
        ("go to [Enable the job](#enable-the-job).", "that is odd."),
        (
            "switched off and forgotten | both WRITE blocks below |",
            "switched off and forgotten | think |",
        ),
        ("No row: every alert arrived, done.", "No row: every alert arrived."),
        ("[Register again](#register-again), then the", "[Register again](#gone), then the"),
        ("- `f`: [escalate](#escalate).", "- `f`: escalate."),
        (
            "- One row: [decide whether it is stuck](#decide-whether-it-is-stuck).",
            "- One row: go on.",
        ),
    ],
)
def test_a_dead_end_is_found(old: str, new: str) -> None:
    assert dead_ends(_broken(old, new))


@pytest.mark.parametrize(
    "line",
    [
        "- `f`: run the STOP block once more, then [escalate](#escalate).\n",
        "- An error: nothing was ended, [escalate](#escalate).\n",
        "- Any other error: nothing was deleted, [escalate](#escalate).\n",
        "- No row: the settings are gone, [escalate](#escalate).\n",
        "- One row: [decide whether it is stuck](#decide-whether-it-is-stuck).\n",
        "- Your number: done.\n",
    ],
)
def test_a_line_that_is_wanting_is_found(line: str) -> None:
    assert unanswered(_broken(line, ""))


@pytest.mark.parametrize(
    "line",
    ["- `lies in the future`: ", "- `A test alert needs the name`: ", "- `A run by hand needs"],
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
