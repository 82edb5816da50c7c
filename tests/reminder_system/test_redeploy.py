# ruff: noqa: S608 - every part of a query is a constant of this file
"""reminder.redeploy puts back what differs from what the migrations made, all of it at once.

reminder.drift, which has tests of its own, says whether anything is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from sql_snippets.sqltext.placeholders import fill
from tests.reminder_system.runbook import runbook_block
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

OURS = (
    "select id::regclass as id, name from reminder.own_relations() o "
    "join pg_class c on c.oid = o.id where c.relkind"
)
# What redeploy itself rests on is not dropped, nor what a cascade would take it along with.
MACHINERY = "'redeploy|deployed|repair_grants|own_relations|find_drift|drift'"
# Each gives statements; all that they undo has to come back.
LOSSES = {
    "every constraint but keys": (
        f"select format('alter table %s drop constraint %I cascade', t.name, k.conname) "
        f"from ({OURS} = 'r') t "
        "join pg_constraint k on k.conrelid = t.id and k.contype in ('c', 'f')"
    ),
    "every key": (
        f"select format('alter table %s drop constraint %I cascade', t.name, k.conname) "
        f"from ({OURS} = 'r') t "
        "join pg_constraint k on k.conrelid = t.id and k.contype in ('p', 'u') "
        "where t.name <> 'reminder.deployed'"
    ),
    "every index": (
        f"select format('drop index %s', x.indexrelid::regclass) from ({OURS} = 'r') t "
        "join pg_index x on x.indrelid = t.id "
        "where not exists (select from pg_constraint k where k.conindid = x.indexrelid)"
    ),
    "every default": (
        f"select format('alter table %s alter column %I drop default', t.name, a.attname) "
        f"from ({OURS} = 'r') t join pg_attribute a on a.attrelid = t.id and a.atthasdef "
        "and a.attgenerated = ''"
    ),
    "every column has another name": (
        "select format('alter table %s rename column %I to %I', "
        "t.name, a.attname, a.attname || '2') "
        f"from ({OURS} = 'r') t join lateral (select * from pg_attribute a where a.attrelid = t.id "
        "and a.attnum > 0 and not attisdropped order by attnum limit 1) a on true "
        "where t.name <> 'reminder.deployed'"
    ),
    "every view": (
        f"select format('drop view if exists %s cascade', t.name) from ({OURS} = 'v') t "
        "where t.name <> 'reminder.drift'"
    ),
    "every function": (
        "select format('drop routine if exists %s cascade', p.oid::regprocedure) from pg_proc p "
        f"where pronamespace = 'reminder'::regnamespace and proname !~ {MACHINERY}"
    ),
    "every function does nothing": (
        "select format('alter routine %s reset all', p.oid::regprocedure) from pg_proc p "
        f"where pronamespace = 'reminder'::regnamespace and proname !~ {MACHINERY}"
    ),
    "every view as its owner": (
        f"select format('alter view %s reset (security_invoker)', t.name) from ({OURS} = 'v') t"
    ),
    "what keeps rows out": (
        "values ('alter table public.activities add constraint never check (false) not valid'), "
        "('create rule quiet as on insert to public.activities do instead nothing'), "
        "('create unique index once on public.activities (assignment_id)'), "
        "('create trigger more before insert on public.activities for each row "
        "execute function reminder.note_changed_settings()')"
    ),
}


def _redeployed(connection: Connection) -> dict[str, str]:
    rows = connection.execute("select object, done from reminder.redeploy()").fetchall()
    return {str(what): str(done) for what, done in rows}


def _differences(connection: Connection) -> list[str]:
    rows = connection.execute("select object from reminder.drift where not on_purpose").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("loss", LOSSES)
def test_everything_of_a_kind_comes_back(database: Database, loss: str) -> None:
    with database.connect() as connection:
        statements = [str(row[0]) for row in connection.execute(LOSSES[loss].encode()).fetchall()]
        for statement in statements:
            connection.execute(statement.encode())
        said = _redeployed(connection)
        failed = {what: done for what, done in said.items() if done.startswith("could not")}
        assert not failed
        assert len(said) >= min(len(statements), 4)
        assert _differences(connection) == []


# What somebody may have wanted, and lost if it were not in the answer.
REPLACED = {
    "function reminder.alert_back_off(integer)": (
        "create or replace function reminder.alert_back_off(p_attempts integer) returns interval "
        "language sql immutable as $f$ select interval '7 hours' $f$"
    ),
    "procedure reminder.clear_old_rows()": (
        "create or replace procedure reminder.clear_old_rows() "
        "language plpgsql as 'begin perform 42; end'"
    ),
}


@pytest.mark.parametrize("what", REPLACED)
def test_what_was_there_is_in_the_answer(database: Database, what: str) -> None:
    with database.connect() as connection:
        connection.execute(REPLACED[what].encode())
        done = _redeployed(connection)[what]
        assert _differences(connection) == []
        connection.execute(done.removeprefix("was ").encode())
        assert what in _differences(connection)
        found = one(connection, "select found from reminder.drift where object = %s", what)
        assert "7 hours" in found or "perform 42" in found


def test_a_healthy_database_stays_as_it_is(database: Database) -> None:
    with database.connect() as connection:
        assert connection.execute("select * from reminder.redeploy()").fetchall() == []


def test_the_row_of_settings_comes_back_as_deployed(database: Database) -> None:
    with database.server.connect(database.name) as god:
        god.execute("set session_replication_role = replica; delete from reminder.settings")
    with database.connect() as connection:
        connection.execute("select * from reminder.redeploy()")
        assert _differences(connection) == []


def test_what_cannot_be_put_back_is_said(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            "alter table public.activity_types drop constraint activity_types_pkey cascade"
        )
        connection.execute("insert into public.activity_types select * from public.activity_types")
        said = _redeployed(connection)
        done = said["constraint activity_types_pkey on public.activity_types"]
        assert done.startswith("could not be put back: ")
        assert "23505" in done


def test_a_column_that_was_dropped_is_not_taken_for_another(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("alter table reminder.alerts rename column run_id to other")
        connection.execute("alter table reminder.alerts drop column subject_id cascade")
        connection.execute("select * from reminder.redeploy()")
        left = _differences(connection)
        assert "column reminder.alerts.subject_id" in left
        assert "column reminder.alerts.other" in left


def test_a_setting_is_set_back_and_the_old_value_kept(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("update reminder.settings set missed_run_grace = '20 years'")
        row = connection.execute("select * from reminder.reset_setting('missed_run_grace')")
        assert row.fetchall() == [("missed_run_grace", "20 years", "01:00:00")]
        assert (
            one(connection, "select old_value from reminder.changes order by id desc limit 1")
            == "20 years"
        )
        with pytest.raises(psycopg.errors.NoDataFound, match="There is no setting only_row"):
            connection.execute("select * from reminder.reset_setting('only_row')")


def test_a_setting_is_taken_off_the_role_that_runs_the_job(database: Database) -> None:
    with database.server.connect(database.name) as superuser, database.connect() as connection:
        where = ("", f" in database {database.name}")
        try:
            for each in where:
                superuser.execute(
                    f"alter role postgres{each} set statement_timeout = '1s'".encode()
                )
            assert (
                one(connection, "select ok from reminder.health where what = 'settings'") is False
            )
            rows = connection.execute("select * from reminder.reset_setting('statement_timeout')")
            assert rows.fetchall() == [("statement_timeout", "1s", None)] * 2
            assert one(connection, "select ok from reminder.health where what = 'settings'") is True
        finally:
            for each in where:
                superuser.execute(f"alter role postgres{each} reset statement_timeout".encode())


@pytest.mark.parametrize("role", ["postgres", "authenticated"])
def test_a_role_that_may_only_read_is_let_write_again(database: Database, role: str) -> None:
    """By the block of the runbook, in a session that begins read-only itself."""
    filled = fill(runbook_block("reset-setting"), {"setting": "default_transaction_read_only"})
    with database.server.connect(database.name) as superuser:
        superuser.execute(f"alter role {role} set default_transaction_read_only = on".encode())
        try:
            with database.connect() as connection:
                connection.execute(filled.sql.encode())
            with database.connect() as connection:
                assert (
                    one(connection, "select ok from reminder.health where what = 'settings'")
                    is True
                )
        finally:
            superuser.execute(f"alter role {role} reset default_transaction_read_only".encode())


def test_every_problem_of_the_settings_names_the_setting(database: Database) -> None:
    """The runbook takes the name from what stands before the colon."""
    with database.connect() as connection:
        connection.execute(
            "update reminder.settings set run_time_limit = '0', manual_run_time_limit = '0', "
            "batch_size = 1, failure_threshold = 50, missed_run_grace = '20 years', "
            "alert_max_attempts = 1, keep_logs = '200 years', repeat_every_days = 300, "
            "reminder_after_days = 300, run_hard_limit = '1 day', long_run_after = '2 days'"
        )
        finding = one(connection, "select finding from reminder.health where what = 'settings'")
        for problem in finding.split("; "):
            name = problem.partition(":")[0]
            connection.execute("select * from reminder.reset_setting(%s)", (name,))
        assert one(connection, "select ok from reminder.health where what = 'settings'") is True
