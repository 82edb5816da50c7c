"""Whatever is put wrong in the system shows in `reminder.health`, if it breaks the promise.

The faults are generated.  Of each that no row of health names, an oracle says whether it breaks
what is promised, which none of them may.  On the page of figures every fault was judged.
"""

from __future__ import annotations

from dataclasses import astuple
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.sql_snippets.faults.catalogue import KINDS, Fault, catalogue, chosen_pairs
from tests.sql_snippets.faults.ground import Ground, Looked, open_ground
from tests.sql_snippets.faults.reporting import PAIRS, PROPERTY, Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PARTS = 4
# For each row of health a fault that no other row names: without the row, nobody would hear of it.
ALONE = {
    "lock": "a session holds the lock of the job",
    "contact dates": "last contact of all: tomorrow",
    "deployment": "all on public.activities given to public",
    "jobs": "job peer-mentor-reminders: schedule becomes '0 6 * * 1'",
    "settings": "setting failure_threshold becomes 100",
    "watchdog": "the watchdog looked an hour ago",
    "last success": "no run since last week",
    "failures in a row": "three runs failed",
    "promise": "the reminders of today deleted",
    "alert address": "secret REMINDER_ALERT_WEBHOOK_URL gone",
    "alerts": "an alert was given up",
    "heartbeat": "secret REMINDER_HEARTBEAT_URL gone",
}
# The catalogue has none for the row of the guard: only who records the loss hides it elsewhere.
LOST_GUARD = Fault(
    "recorded",
    "the guard dropped, and what is left recorded as deployed",
    "alter table reminder.dispatched_reminders drop constraint dispatched_reminders_pkey; "
    "select reminder.record_deployment()",
)
# For each kind of difference a fault that no other kind names: by its name in the catalogue, or as
# SQL where that has none.
DIFFERENCES = {
    "relation": "alter view public.reminders reset (security_invoker)",
    "row security": "alter table public.activities disable row level security",
    "column": "default of public.activities.registration_path dropped",
    "constraint": "constraint activities_assignment_id_fkey of public.activities dropped",
    "index": "index public.assignments_active_idx dropped",
    "expression": (
        "create or replace view public.reminders with (security_invoker = true) as "
        "select assignment_id, due_on, mentor_id, dispatched_at "
        "from reminder.dispatched_reminders where due_on > '2020-01-01'"
    ),
    "rule": "a rule on public.activities does nothing instead",
    "trigger": "trigger contact_changed on public.activities dropped",
    "policy": "policy of everybody on reminder.dispatched_reminders",
    "grant": "all on public.activities given to anon",
    "type": "create domain reminder.day as date",
    "default privileges": (
        "alter default privileges in schema reminder grant select on tables to anon"
    ),
    "role setting": "postgres checks no connection",
    "role": "service_role becomes nobypassrls",
    "membership": "revoke anon from authenticator",
    "data": "update reminder.alert_kinds set meaning = 'x' where kind = 'test'",
    "setting": (
        "set session_replication_role = replica; "
        "update reminder.settings set keep_logs = '500 days'"
    ),
}
# A new owner of the schema is named by its grants as well.  What a view or a policy reads is for
# what another version of PostgreSQL spells in another way.  Without its functions each row of
# health says that its check is not the deployed one.
NEVER_ALONE = {"schema", "reads", "function"}
# The system as if its migrations had been written without a kind.
_WITHOUT = """
alter function reminder.current_state() rename to whole_state;
create function reminder.current_state() returns table (kind text, object text, state text)
language sql stable rows 1000
set search_path = pg_catalog, pg_temp
as $$ select * from reminder.whole_state() s where s.kind <> '{kind}' $$;
select reminder.record_deployment();
"""


@pytest.fixture(scope="module")
def ground(pytestconfig: pytest.Config) -> Iterator[Ground]:
    with open_ground(judge_all=pytestconfig.getoption("--faults-keep")) as ground:
        yield ground


@pytest.fixture(scope="module")
def faults(ground: Ground) -> tuple[Fault, ...]:
    with ground.clone() as database, database.server.connect(database.name) as god:
        return catalogue(god)


def test_the_healthy_database_keeps_its_promise_and_says_so(ground: Ground) -> None:
    looked = ground.look(ask=True)
    assert looked.broken is None
    assert looked.not_ok == ()


def test_the_catalogue_is_as_large_as_it_has_to_be(faults: tuple[Fault, ...]) -> None:
    assert len(faults) >= 120
    assert {fault.kind for fault in faults} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_breaks_the_promise_shows_in_health(
    kind: str,
    ground: Ground,
    faults: tuple[Fault, ...],
    record_property: Callable[[str, object], None],
) -> None:
    score, failures = judge(kind, ground.look_at_each([f for f in faults if f.kind == kind]))
    record_property(PROPERTY, astuple(score))
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("row", [*ALONE, "duplicate guard"])
def test_each_row_is_the_only_one_that_names_some_fault(
    row: str, ground: Ground, faults: tuple[Fault, ...]
) -> None:
    (fault,) = [
        fault for fault in (*faults, LOST_GUARD) if fault.name == ALONE.get(row, LOST_GUARD.name)
    ]
    (named,) = ground.look(fault, ask=False).not_ok
    assert named.partition(":")[0] == row


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_each_kind_of_difference_is_the_only_one_that_names_some_fault(
    kind: str, ground: Ground, faults: tuple[Fault, ...]
) -> None:
    found = {fault.name: fault for fault in faults}
    said = DIFFERENCES[kind]
    fault = found.get(said, Fault("difference", said, said))
    without = Fault("recorded", f"drift without its {kind}", _WITHOUT.format(kind=kind))
    (named,) = ground.look(fault, ask=False).not_ok
    assert named.startswith("deployment: differs")
    assert ground.look(without, fault, ask=False).not_ok == ()


def test_every_kind_of_difference_is_tried(ground: Ground) -> None:
    with ground.clone() as database, database.connect() as session:
        rows = session.execute("select distinct kind from reminder.deployed").fetchall()
    assert {kind for (kind,) in rows} <= DIFFERENCES.keys() | NEVER_ALONE


@pytest.mark.parametrize("part", range(PARTS))
def test_two_faults_at_once_do_not_hide_each_other(
    part: int,
    ground: Ground,
    faults: tuple[Fault, ...],
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    pairs = chosen_pairs(
        faults, pytestconfig.getoption("--fault-pairs"), pytestconfig.getoption("--fault-seed")
    )
    score, failures = judge(
        PAIRS, (ground.look(*pair) for pair in islice(pairs, part, None, PARTS))
    )
    record_property(PROPERTY, astuple(score))
    assert not failures, "\n".join(failures)


def judge(kind: str, looked: Iterable[Looked]) -> tuple[Score, list[str]]:
    """Return the score, and a sentence on each fault that is broken and not seen."""
    count = refused = named = judged = broken = seen = 0
    failures, alone = [], []
    for one in looked:
        count += 1
        refused += one.refused is not None
        named += bool(one.not_ok)
        judged += one.is_judged
        if one.broken is None:
            continue
        broken += 1
        seen += not one.is_unseen
        if one.is_unseen:
            failures.append(f"{one.name}: every row of health is ok. {one.broken}")
        elif len(one.not_ok) == 1:
            alone.append(one.not_ok[0].partition(":")[0])
    score = Score(kind, count, refused, named, judged, broken, seen, tuple(failures), tuple(alone))
    return score, failures
