"""What the page says undoes a WRITE block undoes it: all that an operator can set is as it was.

The words of the mark line say how.  A block whose words are not known here fails, so a new undo
cannot be written without being tried.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from sql_snippets.model import Mark
from sql_snippets.sqltext.placeholders import fill
from tests.sql_snippets.page_blocks import PAGE, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from sql_snippets import Database
    from sql_snippets.model import Snippet

# All that an operator can set.  A correction cannot be taken back: the undo of one is another.
STATE = """
select jsonb_build_object(
  'jobs', (select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j),
  'settings', (select jsonb_agg(to_jsonb(s)) from reminder.settings s),
  'secrets', (select jsonb_agg(jsonb_build_array(v.name, v.decrypted_secret) order by v.name)
              from vault.decrypted_secrets v),
  'corrections', (select count(*) from reminder.last_contact_corrections),
  'contacts', (select jsonb_object_agg(a.id, a.last_contact_date) from public.assignments a),
  'triggers', (select jsonb_object_agg(t.tgname, t.tgenabled) from pg_trigger t
               where t.tgrelid = 'public.activities'::regclass)
) as state
"""
JOB = "peer-mentor-reminders"
JOBS = (JOB, "reminder-watchdog", "reminder-retention")


def _mark_line(snippet: Snippet) -> str:
    above = PAGE.read_text(encoding="utf-8").splitlines()[: snippet.fence.line]
    return next(line for line in reversed(above) if line.startswith("**"))


def _undo_of(snippet: Snippet) -> str:
    """Return the words that say how to undo a block; empty where the line says there is none."""
    said = re.search(r"· undo: (.*)", _mark_line(snippet))
    return said[1] if said and not said[1].startswith("none needed") else ""


def _write_block_of(section: str) -> str:
    """Return the block that an undo leads to which links to a section."""
    (name,) = (
        snippet.name
        for snippet in blocks().values()
        if snippet.section == section and snippet.claims.mark is Mark.WRITE
    )
    return name


class Operator:
    """Somebody with the page and a session, who fills in and runs one block after the other."""

    def __init__(self, session: psycopg.Cursor[dict[str, Any]]) -> None:
        self.session = session

    def runs(
        self, name: str, *, changed: tuple[str, str] = ("", ""), **values: object
    ) -> list[dict[str, Any]]:
        """Run a block with the page's values and these, with one piece of its SQL changed."""
        snippet = blocks()[name]
        old, new = changed
        assert old in snippet.sql, f"{snippet.id} has no {old!r} to be changed"
        filled = fill(snippet.sql.replace(old, new), {**snippet.claims.fill, **values})
        self.session.execute(filled.sql.encode())
        # As the editor shows it, the last result.
        while self.session.nextset():
            pass
        return self.session.fetchall()

    def sees(self) -> dict[str, Any]:
        """Return all that an operator can set."""
        (row,) = self.session.execute(STATE).fetchall()
        state: dict[str, Any] = row["state"]
        return state


@pytest.fixture
def operator(sql_database: Database) -> Iterator[Operator]:
    with (
        sql_database.connect() as connection,
        connection.cursor(row_factory=dict_row) as session,
    ):
        yield Operator(session)


# Each is followed in three parts: up to the change, the change, the undo.  Between them, where it
# yields, the test looks at everything.


def _schedule_of_the_job(operator: Operator) -> object:
    jobs = operator.runs("registered-jobs")
    return next(row["schedule"] for row in jobs if row["jobname"] == JOB)


def _schedule(operator: Operator) -> Iterator[None]:
    old = _schedule_of_the_job(operator)
    yield
    operator.runs("change-schedule")
    yield
    operator.runs("change-schedule", schedule=old)


def _registration(operator: Operator, *missing: str) -> Iterator[None]:
    """Register where some jobs are missing, beside others with a schedule of one's own."""
    for number, name in enumerate(JOBS):
        operator.session.execute(
            "select * from reminder.change_job(%s, 'Anna', 'a time of her own', schedule => %s)",
            [name, f"{number} 5 * * *"],
        )
    for name in missing:
        operator.session.execute("select cron.unschedule(%s)", [name])
    noted = {row["jobname"] for row in operator.runs("registered-jobs")}
    assert noted == set(JOBS) - set(missing)
    yield
    operator.runs("register-again")
    yield
    for name in missing:
        operator.session.execute("select cron.unschedule(%s)", [name])


def _threshold(operator: Operator) -> Iterator[None]:
    yield
    (changed,) = operator.runs("change-threshold")
    yield
    operator.runs("change-threshold", failures=changed["old_number"])


def _setting(operator: Operator) -> Iterator[None]:
    operator.runs("change-threshold", failures=7)
    yield
    (reset,) = operator.runs("reset-setting", setting="failure_threshold")
    yield
    operator.runs("change-threshold", failures=reset["was"])


def _address(operator: Operator) -> Iterator[None]:
    # Both are what the operator keeps outside: the page shows no secret.
    operator.runs("set-webhook", webhook_url="https://old.example/hook")
    yield
    operator.runs("set-webhook", webhook_url="https://new.example/hook")
    yield
    operator.runs("set-webhook", webhook_url="https://old.example/hook")


def _heartbeat(operator: Operator) -> Iterator[None]:
    operator.runs("set-heartbeat", heartbeat_url="https://old.example/beat")
    yield
    operator.runs("set-heartbeat", heartbeat_url="https://new.example/beat")
    yield
    operator.runs("set-heartbeat", heartbeat_url="https://old.example/beat")


def _waived(operator: Operator) -> Iterator[None]:
    yield
    operator.runs("waive-heartbeat")
    yield
    operator.runs("waive-heartbeat", changed=("= true", "= false"))


def _correction(operator: Operator) -> Iterator[None]:
    yield
    (corrected,) = operator.runs("correct-one-assignment")
    yield
    operator.runs("correct-one-assignment", new_date=corrected["old_date"])


def _correction_of_none(operator: Operator) -> Iterator[None]:
    operator.session.execute("update public.assignments set last_contact_date = null where id = 8")
    yield
    (corrected,) = operator.runs("correct-one-assignment")
    assert corrected["old_date"] is None
    yield
    operator.runs("correct-one-assignment", changed=("'<new_date>'", "null"))


# What an undo changes in a block that switches a job on.
SWITCH = ("active => true", "active => false")


def _watchdog(operator: Operator) -> Iterator[None]:
    operator.runs("enable-watchdog", changed=SWITCH)
    yield
    operator.runs("enable-watchdog")
    yield
    operator.runs("enable-watchdog", changed=SWITCH)


def _off(operator: Operator) -> Iterator[None]:
    yield
    operator.runs("disable-job")
    yield
    operator.runs(_write_block_of("enable-the-job"))


def _on(operator: Operator) -> Iterator[None]:
    operator.runs("disable-job")
    yield
    operator.runs("enable-job")
    yield
    operator.runs("enable-job", changed=SWITCH)


REGISTERED = "`select cron.unschedule('…')` for each that says `registered`"
CORRECTED = "the same with `old_date`; both stay recorded"
UNDOS = [
    ("change-schedule", "run it again with the old schedule", _schedule),
    ("register-again", REGISTERED, lambda operator: _registration(operator, "reminder-retention")),
    ("register-again", REGISTERED, lambda operator: _registration(operator, *JOBS)),
    ("change-threshold", "the same with `old_number`", _threshold),
    ("disable-job", "[Enable the job](#enable-the-job)", _off),
    ("enable-job", "the same with `active => false`", _on),
    ("enable-watchdog", "the same with `active => false`", _watchdog),
    ("set-webhook", "the same with the old address", _address),
    ("reset-setting", "as in [Change the threshold](#change-the-threshold), with `was`", _setting),
    ("set-heartbeat", "the same with the old address", _heartbeat),
    ("waive-heartbeat", "the same with `false`", _waived),
    ("correct-one-assignment", CORRECTED, _correction),
    ("correct-one-assignment", CORRECTED, _correction_of_none),
]


def test_each_undo_of_the_page_is_tried_here() -> None:
    on_the_page = {name: _undo_of(block) for name, block in blocks().items() if _undo_of(block)}
    tried = {name: says for name, says, _ in UNDOS}
    assert on_the_page == tried, "UNDOS has for each the words of the page, and how it is followed"


@pytest.mark.parametrize("followed", [undo for *_, undo in UNDOS])
def test_undo_brings_back_what_was(
    operator: Operator, followed: Callable[[Operator], Iterator[None]]
) -> None:
    parts = followed(operator)
    next(parts)
    before = operator.sees()
    next(parts)
    changed = operator.sees()
    assert changed != before, "the block changed nothing: there is nothing to undo"
    assert list(parts) == []
    after = operator.sees()
    stays = 2 if changed["corrections"] != before["corrections"] else 0
    assert after.pop("corrections") == before.pop("corrections") + stays
    assert after == before
