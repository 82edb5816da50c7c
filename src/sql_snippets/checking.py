"""A part of a page, checked: planned, run and judged, each of which knows nothing of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.judging.blocks import judge_block
from sql_snippets.judging.drills import judge_drill
from sql_snippets.judging.facts import check_facts
from sql_snippets.judging.identifiers import Mentions, check_identifiers
from sql_snippets.judging.tables import check_table
from sql_snippets.model import BoundTable, Drill, FactsTable, PagePart, Snippet, Trial
from sql_snippets.plan import RunOptions, plan_block, plan_drill
from sql_snippets.running.asking import ask_facts, ask_names, ask_relation
from sql_snippets.running.execute import JustBefore, execute

if TYPE_CHECKING:
    from sql_snippets.database.ground import Ground, Incident

Subject = PagePart | Mentions


def check(
    subject: Subject,
    options: RunOptions,
    ground: Ground,
    incident: Incident | None = None,
    just_before: JustBefore | None = None,
) -> Trial:
    """Return whether what a page says is what the databases of a ground do or hold.

    Nothing is left behind.  ``just_before`` is called when all is ready for a block that is run in
    a database of its own.  Raises ServerUnavailable, and MigrationFailed for the seed.
    """
    match subject:
        case Snippet():
            plan = plan_block(subject, options)
            return judge_block(subject, execute(plan, ground, incident, just_before))
        case Drill():
            return judge_drill(subject, execute(plan_drill(subject, options), ground, incident))
        case BoundTable():
            failures = check_table(subject, ask_relation(ground.shared, subject.relation))
        case FactsTable():
            queries = [fact.sql for fact in subject.facts]
            answers = ask_facts(ground.shared, queries, timeout=options.timeout)
            failures = check_facts(subject, answers)
        case Mentions():
            failures = check_identifiers(subject, ask_names(ground.shared))
    return Trial(tuple(failures))
