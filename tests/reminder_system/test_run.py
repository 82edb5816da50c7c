"""One run of the job: what it logs, how it ends, and what becomes of its lock."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.people import AMARA, add_assignments
from tests.reminder_system.runs import (
    DEADLINE,
    PG_CRON,
    RUN,
    break_dispatch,
    calling,
    close_gate,
    eventually,
    lock_holder,
    log,
    mend_dispatch,
    one,
    open_gate,
    reminders,
    run,
    set_settings,
    statuses,
    wait_at_gate,
)

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

MANUAL = "call reminder.run_manually(requested_by => 'Dana', reason => 'after the restore')"


# As many as the platform's smallest instance has connections to spare.
TRIGGERS = 50

# A run of nothing takes milliseconds: enough to strike between any two statements of it.
CANCELS = 300


def _trigger(database: Database, moment: threading.Barrier, number: int) -> str | None:
    """Start a run in a session of its own, at the moment when all others are ready too."""
    with database.connect() as session:
        moment.wait(DEADLINE)
        return run(session, RUN if number % 2 else MANUAL)


class TestLogRow:
    def test_is_visible_as_running_while_the_run_goes_on(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            (row,) = log(postgres)
            open_gate(postgres)
            assert call.finish() is None
        assert row["status"] == "running"
        assert row["backend_pid"] == call.pid
        assert row["finished_at"] is None
        assert row["duration"] is None

    def test_of_a_scheduled_run_that_succeeded(self, postgres: Connection) -> None:
        add_assignments(postgres, 3)
        add_assignments(postgres, 2, started_days_ago=5)
        add_assignments(postgres, 4, status="paused")
        assert run(postgres) is None
        (row,) = log(postgres)
        assert (row["status"], row["trigger_source"]) == ("succeeded", "cron")
        assert row["triggered_by"] == "peer-mentor-reminders"
        assert row["trigger_reason"] is None
        assert row["assignments_evaluated"] == 5
        assert row["reminders_dispatched"] == 3
        assert row["consecutive_failures"] == 0
        assert (row["error_code"], row["error_message"], row["blocked_by_pid"]) == (None,) * 3
        assert row["duration"] == row["finished_at"] - row["started_at"]
        assert row["backend_pid"] == postgres.info.backend_pid

    def test_counts_only_reminders_that_are_new(self, postgres: Connection) -> None:
        add_assignments(postgres, 3)
        run(postgres)
        run(postgres)
        assert [row["reminders_dispatched"] for row in log(postgres)] == [3, 0]
        assert [row["assignments_evaluated"] for row in log(postgres)] == [3, 3]

    def test_of_a_run_that_failed_has_the_error_and_the_caller_gets_it_too(
        self, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        break_dispatch(postgres)
        with pytest.raises(psycopg.errors.DiskFull, match="Reminder run 1 failed: the disk is"):
            postgres.execute(RUN)
        (row,) = log(postgres)
        assert (row["status"], row["error_code"]) == ("failed", "53100")
        assert row["error_message"] == "the disk is full"
        assert row["finished_at"] is not None
        assert row["consecutive_failures"] == 1

    def test_counts_failures_in_a_row_and_a_success_ends_the_count(
        self, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        for broken in (True, True, False, True):
            if broken:
                break_dispatch(postgres)
            run(postgres)
            if broken:
                mend_dispatch(postgres)
        assert [row["consecutive_failures"] for row in log(postgres)] == [1, 2, 0, 1]

    def test_of_a_skipped_run_keeps_the_count_of_failures(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        break_dispatch(postgres)
        run(postgres)
        mend_dispatch(postgres)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            assert run(postgres) is None
            skipped = log(postgres)[-1]
            open_gate(postgres)
            assert call.finish() is None
        assert skipped["status"] == "skipped"
        assert skipped["consecutive_failures"] == 1
        break_dispatch(postgres)
        run(postgres)
        # The success of the held run came between.
        assert log(postgres)[-1]["consecutive_failures"] == 1


class TestLock:
    def test_a_run_that_finds_it_held_is_skipped_and_says_by_whom(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            assert run(postgres) is None
            assert run(postgres, MANUAL) is None
            holder = lock_holder(postgres)
            open_gate(postgres)
            assert call.finish() is None
        first, scheduled, manual = log(postgres)
        assert holder == call.pid
        for row in (scheduled, manual):
            assert row["status"] == "skipped"
            assert row["blocked_by_pid"] == call.pid
            assert str(call.pid) in row["error_message"]
            assert row["error_code"] is None
            assert row["finished_at"] is not None
        assert manual["trigger_source"] == "manual"
        assert first["status"] == "succeeded"

    def test_of_fifty_triggers_at_the_same_moment_one_runs(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 5)
        close_gate(postgres)
        with ThreadPoolExecutor(TRIGGERS) as pool:
            moment = threading.Barrier(TRIGGERS)
            ends = [pool.submit(_trigger, database, moment, n) for n in range(TRIGGERS)]
            eventually(lambda: len(log(postgres)) == TRIGGERS, "every trigger has a row")
            holder = lock_holder(postgres)
            open_gate(postgres)
            assert [end.result() for end in ends] == [None] * TRIGGERS
        rows = log(postgres)
        (ran,) = (row for row in rows if row["status"] == "succeeded")
        skipped = [row for row in rows if row["status"] == "skipped"]
        assert ran["backend_pid"] == holder
        assert len(skipped) == TRIGGERS - 1
        assert {row["blocked_by_pid"] for row in skipped} == {holder}
        assert all(str(holder) in row["error_message"] for row in skipped)
        assert all(row["duration"] == dt.timedelta(0) for row in skipped)
        assert {row["trigger_source"] for row in rows} == {"cron", "manual"}
        assert len(reminders(postgres)) == 5
        assert lock_holder(postgres) is None

    def test_fifty_triggers_whose_run_is_over_at_once_never_overlap(
        self, database: Database, postgres: Connection
    ) -> None:
        """Nothing holds the run up: a trigger may find that it has just ended, or run itself."""
        add_assignments(postgres, 5)
        with ThreadPoolExecutor(TRIGGERS) as pool:
            moment = threading.Barrier(TRIGGERS)
            ends = [pool.submit(_trigger, database, moment, n) for n in range(TRIGGERS)]
            assert [end.result() for end in ends] == [None] * TRIGGERS
        rows = log(postgres)
        assert len(rows) == TRIGGERS
        ran = [row for row in rows if row["status"] == "succeeded"]
        skipped = [row for row in rows if row["status"] == "skipped"]
        assert len(ran) + len(skipped) == TRIGGERS
        ran.sort(key=lambda row: row["started_at"])
        assert all(a["finished_at"] <= b["started_at"] for a, b in pairwise(ran))
        holders = {row["backend_pid"] for row in ran}
        for row in skipped:
            if row["blocked_by_pid"] is None:
                assert row["error_message"] == "Another run held the lock and has just ended."
            else:
                assert row["blocked_by_pid"] in holders
                assert str(row["blocked_by_pid"]) in row["error_message"]
        assert sum(row["reminders_dispatched"] for row in ran) == len(reminders(postgres)) == 5

    def test_is_free_after_success_in_a_session_that_stays(self, postgres: Connection) -> None:
        run(postgres)
        assert lock_holder(postgres) is None

    def test_is_free_after_an_error_in_a_session_that_stays(self, postgres: Connection) -> None:
        break_dispatch(postgres)
        add_assignments(postgres, 1)
        assert run(postgres) == "53100"
        assert lock_holder(postgres) is None

    def test_is_free_when_the_run_cannot_even_be_opened(self, postgres: Connection) -> None:
        assert run(postgres, "call reminder.run_job('Dana', '')") == "23514"
        assert lock_holder(postgres) is None
        assert log(postgres) == []

    def test_is_free_after_a_cancel_in_a_session_that_stays(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            postgres.execute("select pg_cancel_backend(%s)", (call.pid,))
            assert call.finish() == "57014"
            assert lock_holder(postgres) is None
        (row,) = log(postgres)
        assert (row["status"], row["error_code"]) == ("failed", "57014")

    def test_is_free_wherever_a_cancel_strikes_a_session_that_stays(
        self, database: Database, postgres: Connection
    ) -> None:
        """The next run gets the lock, be it that it has to end the session that kept it."""
        add_assignments(postgres, 1)
        assert run(postgres) is None
        began = time.monotonic()
        assert run(postgres) is None
        seconds = time.monotonic() - began
        dice = random.Random(741852963)
        hits, strikes = 0, 0
        # One that comes too late strikes nothing.
        while hits < CANCELS and strikes < 10 * CANCELS:
            strikes += 1
            with calling(database) as call:
                time.sleep(dice.uniform(0, 1.2 * seconds))
                postgres.execute("select pg_cancel_backend(%s)", (call.pid,))
                hits += call.finish() == "57014"
                began = time.monotonic()
                assert run(postgres) is None
                seconds = time.monotonic() - began
                last = log(postgres)[-1]
                assert last["status"] == "succeeded", f"after cancel {strikes}: {last}"
                postgres.execute("delete from public.cron_execution_logs")
        assert hits == CANCELS, f"{hits} of {strikes} cancels hit a run"

    def test_is_free_in_the_moment_in_which_the_result_is_seen(self, postgres: Connection) -> None:
        """What still holds the lock at the commit of the result is the transaction alone."""
        postgres.execute(
            """
            create table public.seen (held bigint, by_session boolean);
            create function public.look() returns trigger language plpgsql as $$
            begin
              insert into public.seen
              select count(*), pg_advisory_unlock(741852963)
              from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
              return null;
            end $$;
            create constraint trigger look after update on public.cron_execution_logs
            deferrable initially deferred for each row
            when (new.status = 'succeeded') execute function public.look()
            """
        )
        assert run(postgres) is None
        assert postgres.execute("select * from public.seen").fetchall() == [(1, False)]
        assert lock_holder(postgres) is None

    @pytest.mark.parametrize("end", ["terminated", "client lost"])
    def test_is_free_soon_after_the_session_was_lost(
        self, database: Database, postgres: Connection, end: str
    ) -> None:
        add_assignments(postgres, 1)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            pid = call.pid
            if end == "terminated":
                postgres.execute("select pg_terminate_backend(%s)", (pid,))
            else:
                call.hang_up()
            # The gate stays closed: the run cannot have come to its own end.
            eventually(lambda: lock_holder(postgres) is None, f"session {pid} has freed the lock")
        eventually(
            lambda: one(postgres, "select count(*) from pg_stat_activity where pid = %s", pid) == 0,
            f"session {pid} has ended",
        )
        assert statuses(postgres) == ["running"]

    def test_lock_holder_looks_at_this_database_and_this_key_only(
        self, database: Database, postgres: Connection
    ) -> None:
        key = one(postgres, "select reminder.lock_key()")
        with (
            database.connect() as here,
            database.server.connect("template1") as elsewhere,
        ):
            here.execute("select pg_advisory_lock(%s)", (key + 1,))
            here.execute("select pg_advisory_lock(0, %s::bigint::int4)", (key,))
            elsewhere.execute("select pg_advisory_lock(%s)", (key,))
            assert one(postgres, "select reminder.lock_holder()") is None
            here.execute("select pg_advisory_lock(%s)", (key,))
            assert one(postgres, "select reminder.lock_holder()") == here.info.backend_pid


class TestAbandonedRun:
    def test_is_closed_and_taken_up_by_the_next_run(
        self, database: Database, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 5)
        set_settings(postgres, batch_size=2)
        hold_second_batch(postgres)
        with calling(database) as call:
            eventually(
                lambda: [row["assignments_evaluated"] for row in log(postgres)] == [2],
                "the first batch is complete",
            )
            postgres.execute("select pg_terminate_backend(%s)", (call.pid,))
            assert call.finish() in {"57P01", "lost"}
        eventually(lambda: lock_holder(postgres) is None, "the lock is free")
        assert len(reminders(postgres)) == 2
        open_gate(postgres)
        assert run(postgres) is None
        abandoned, succeeded = log(postgres)
        assert abandoned["status"] == "abandoned"
        assert abandoned["finished_at"] is not None
        assert abandoned["consecutive_failures"] == 1
        assert (abandoned["assignments_evaluated"], abandoned["reminders_dispatched"]) == (2, 2)
        assert "ended before" in abandoned["error_message"]
        assert succeeded["status"] == "succeeded"
        assert succeeded["consecutive_failures"] == 0
        assert succeeded["reminders_dispatched"] == 3
        assert [row[0] for row in reminders(postgres)] == ids

    def test_is_not_taken_for_dead_while_it_lives(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        close_gate(postgres)
        with calling(database) as call:
            wait_at_gate(postgres, call)
            assert one(postgres, "select reminder.close_abandoned_runs()") == 0
            assert statuses(postgres) == ["running"]
            open_gate(postgres)
            assert call.finish() is None

    @pytest.mark.parametrize("found_by", ["the next run", "the watchdog"])
    def test_whose_session_sits_idle_on_the_lock_is_ended(
        self, database: Database, postgres: Connection, found_by: str
    ) -> None:
        """A cancel between two batches leaves this behind, in a SQL tool that stays open."""
        add_assignments(postgres, 2)
        with database.connect() as tool:
            self.leave_behind(tool)
            if found_by == "the next run":
                assert run(postgres) is None
                assert statuses(postgres) == ["abandoned", "succeeded"]
            else:
                postgres.execute("select reminder.watch()")
                assert statuses(postgres) == ["abandoned"]
            assert lock_holder(postgres) is None
            with pytest.raises(psycopg.OperationalError):
                tool.execute("select 1")

    def test_of_somebody_who_holds_the_lock_on_purpose_is_left_alone(
        self, database: Database, postgres: Connection
    ) -> None:
        with database.connect() as tool:
            tool.execute("select pg_advisory_lock(741852963)")
            assert run(postgres) is None
            postgres.execute("select reminder.watch()")
            assert statuses(postgres) == ["skipped"]
            assert lock_holder(postgres) == tool.info.backend_pid

    def test_of_a_superuser_does_not_break_the_next_one(
        self, superuser: Connection, postgres: Connection
    ) -> None:
        self.leave_behind(superuser)
        assert run(postgres) is None
        postgres.execute("select reminder.watch()")
        assert statuses(postgres) == ["running", "skipped"]
        assert one(postgres, "select count(*) from reminder.stuck_lock") == 1

    def leave_behind(self, session: Connection) -> None:
        session.execute("select pg_advisory_lock(741852963)")
        session.execute(
            "insert into public.cron_execution_logs (trigger_source, triggered_by, status) "
            "values ('cron', 'x', 'running')"
        )

    def test_two_rows_can_never_be_running(self, postgres: Connection) -> None:
        insert = (
            "insert into public.cron_execution_logs (trigger_source, triggered_by, status) "
            "values ('cron', 'x', 'running')"
        )
        postgres.execute(insert)
        with pytest.raises(psycopg.errors.UniqueViolation):
            postgres.execute(insert)


def hold_second_batch(postgres: Connection) -> None:
    """Let one batch through, then close the gate by itself."""
    close_gate(postgres)
    postgres.execute(
        """
        create or replace function test_gate.wait() returns trigger language plpgsql as $$
        begin
          while not (select is_open from test_gate.gate)
            and exists (select from reminder.dispatched_reminders) loop
            perform pg_catalog.pg_sleep(0.01);
          end loop;
          return null;
        end
        $$
        """
    )


class TestTimeLimit:
    def test_keeps_the_work_resumes_after_it_and_wraps_round(self, postgres: Connection) -> None:
        ids = add_assignments(postgres, 7)
        set_settings(postgres, batch_size=3, run_time_limit="1 second")
        slow_down(postgres)
        assert run(postgres) == "57014"
        assert [row[0] for row in reminders(postgres)] == ids[:3]
        assert run(postgres) == "57014"
        assert [row[0] for row in reminders(postgres)] == ids[:6]
        postgres.execute("drop trigger slow on reminder.dispatched_reminders")
        # What fell due behind the point where the run goes on is reached by wrapping round.
        postgres.execute(
            "delete from reminder.dispatched_reminders where assignment_id = %s", ids[:1]
        )
        assert run(postgres) is None
        assert [row[0] for row in reminders(postgres)] == ids
        first, second, third = log(postgres)
        assert [row["status"] for row in (first, second, third)] == [
            "timed_out",
            "timed_out",
            "succeeded",
        ]
        assert [row["consecutive_failures"] for row in (first, second, third)] == [1, 2, 0]
        assert first["error_code"] == "57014"
        assert "the next run goes on from here" in first["error_message"]
        assert [row["last_assignment_id"] for row in (first, second)] == [ids[2], ids[5]]
        # Every assignment once, no matter where the run began.
        assert third["assignments_evaluated"] == 7
        assert third["reminders_dispatched"] == 2

    def test_that_leaves_no_time_at_all_ends_the_run_at_once(self, postgres: Connection) -> None:
        add_assignments(postgres, 1)
        set_settings(postgres, run_time_limit="0 seconds")
        assert run(postgres) == "57014"
        assert statuses(postgres) == ["timed_out"]
        assert lock_holder(postgres) is None

    def test_of_a_run_by_hand_is_its_own(self, postgres: Connection) -> None:
        set_settings(postgres, manual_run_time_limit="0 seconds")
        assert run(postgres, MANUAL) == "57014"
        assert run(postgres) is None

    def test_after_a_success_the_next_run_begins_at_the_beginning(
        self, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 3)
        run(postgres)
        run(postgres)
        assert [row["assignments_evaluated"] for row in log(postgres)] == [3, 3]
        assert log(postgres)[-1]["last_assignment_id"] == ids[-1]

    def test_a_statement_timeout_within_a_batch_is_logged_and_frees_the_lock(
        self, database: Database, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1)
        set_settings(postgres, run_time_limit="100 milliseconds")
        close_gate(postgres)
        with database.connect(options="-c statement_timeout=3s") as short:
            assert run(short) == "57014"
            assert lock_holder(postgres) is None
        (row,) = log(postgres)
        # Longer than its own limit, so it timed out and was not cancelled by a person.
        assert (row["status"], row["error_code"]) == ("timed_out", "57014")

    def test_a_row_that_the_application_holds_for_long_fails_the_run_and_not_the_job(
        self, database: Database, postgres: Connection
    ) -> None:
        (held,) = add_assignments(postgres, 1)
        with database.connect(autocommit=False) as application:
            application.execute("select from public.assignments where id = %s for update", (held,))
            assert run(postgres) == "55P03"
        assert run(postgres) is None
        assert statuses(postgres) == ["failed", "succeeded"]


def slow_down(postgres: Connection) -> None:
    """Make each batch take as long as the run may take, counted from the start of the run."""
    postgres.execute(
        """
        create schema test_slow;
        create function test_slow.wait() returns trigger language plpgsql as $$
        begin
          perform pg_catalog.pg_sleep_until(l.started_at + s.run_time_limit)
          from public.cron_execution_logs l, reminder.settings s
          where l.status = 'running';
          return null;
        end
        $$;
        create trigger slow before insert on reminder.dispatched_reminders
          for each statement execute function test_slow.wait();
        """
    )


class TestRefusal:
    """Where a procedure cannot commit it must not have done anything either."""

    @pytest.mark.parametrize("call", [RUN, MANUAL])
    @pytest.mark.parametrize(
        "message",
        [
            "begin; {}; commit",
            "set statement_timeout = '10min'; {}",
            "do $do$ begin execute $call${}$call$; end $do$",
            (
                "create function pg_temp.f() returns void language plpgsql as "
                "$f$ begin {}; end $f$; select pg_temp.f()"
            ),
        ],
        ids=["transaction block", "second statement", "DO EXECUTE", "function"],
    )
    def test_in_a_transaction_locks_and_writes_nothing(
        self, database: Database, postgres: Connection, message: str, call: str
    ) -> None:
        add_assignments(postgres, 1)
        with database.connect() as session:
            result = session.pgconn.exec_(message.format(call).encode())
            sqlstate = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            assert sqlstate == b"2D000", result.get_error_message()
            assert lock_holder(postgres) is None
        assert log(postgres) == []
        assert reminders(postgres) == []


class TestRunByHand:
    def test_says_who_and_why(self, postgres: Connection) -> None:
        add_assignments(postgres, 2)
        assert run(postgres, MANUAL) is None
        (row,) = log(postgres)
        assert (row["status"], row["trigger_source"]) == ("succeeded", "manual")
        assert (row["triggered_by"], row["trigger_reason"]) == ("Dana", "after the restore")
        assert row["reminders_dispatched"] == 2

    @pytest.mark.parametrize(
        "arguments", ["'', 'why'", "'Dana', ''", "'  ', 'why'", "'Dana', null", "null, 'why'"]
    )
    def test_without_name_or_reason_is_refused(self, postgres: Connection, arguments: str) -> None:
        assert run(postgres, f"call reminder.run_manually({arguments})") == "22023"
        assert log(postgres) == []
        assert lock_holder(postgres) is None


class TestWhatStartedIt:
    """The real pg_cron, over a connection and as a background worker, is in its own file."""

    @pytest.mark.parametrize(
        ("program", "triggered_by"),
        [
            ("psql", "postgres, psql"),
            ("supabase/dashboard-query-editor", "postgres, supabase/dashboard-query-editor"),
            ("pg_cron scheduler", "postgres, pg_cron scheduler"),
            ("", "postgres"),
        ],
    )
    def test_is_a_person_when_the_command_of_the_job_is_called_by_hand(
        self, database: Database, postgres: Connection, program: str, triggered_by: str
    ) -> None:
        with database.connect(application_name=program) as session:
            session.execute(RUN)
        (row,) = log(postgres)
        assert (row["trigger_source"], row["triggered_by"]) == ("manual", triggered_by)
        assert "called by hand" in row["trigger_reason"]

    def test_is_said_of_a_skipped_run_too(self, database: Database, postgres: Connection) -> None:
        postgres.execute("select pg_advisory_lock(741852963)")
        for program in ("psql", PG_CRON):
            with database.connect(application_name=program) as session:
                session.execute(RUN)
        assert [(row["status"], row["trigger_source"]) for row in log(postgres)] == [
            ("skipped", "manual"),
            ("skipped", "cron"),
        ]

    def test_is_the_person_named_whoever_passes_the_name_on(
        self, database: Database, postgres: Connection
    ) -> None:
        with database.connect(application_name=PG_CRON) as session:
            session.execute(MANUAL)
        (row,) = log(postgres)
        assert (row["trigger_source"], row["triggered_by"]) == ("manual", "Dana")


class TestDispatch:
    def test_twice_at_once_writes_each_reminder_once(
        self, database: Database, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 50)
        dispatch = (
            "select reminder.reminder_dispatch_service(%s, "
            "(now() at time zone 'utc')::date, 0, 9223372036854775807)"
        )
        with database.connect(autocommit=False) as first:
            assert one(first, dispatch, 1) == 50
            with calling(database, dispatch.replace("%s", "2")) as second:
                eventually(
                    lambda: one(
                        postgres,
                        "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s",
                        second.pid,
                    ),
                    "the second waits for the first",
                )
                first.commit()
                assert second.finish() is None
        assert [row[0] for row in reminders(postgres)] == ids
        assert one(
            postgres, "select array_agg(distinct run_id) from reminder.dispatched_reminders"
        ) == [1]

    @pytest.mark.parametrize("days_late", [1, 3, 6])
    def test_late_is_of_the_same_reminder(self, postgres: Connection, days_late: int) -> None:
        # Due today for the first time; the same reminder until the next falls due a week later.
        add_assignments(postgres, 1, started_days_ago=30)
        assert dispatch(postgres) == 1
        days_pass(postgres, days_late)
        assert dispatch(postgres) == 0
        days_pass(postgres, 7 - days_late)
        assert dispatch(postgres) == 1
        first, second = (row[1] for row in reminders(postgres))
        assert second - first == dt.timedelta(days=7)

    def test_of_a_run_that_was_missed_carries_the_day_it_fell_due(
        self, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1, started_days_ago=34)
        today = one(postgres, "select (now() at time zone 'utc')::date")
        assert dispatch(postgres) == 1
        ((_, due_on),) = reminders(postgres)
        assert due_on == today - dt.timedelta(days=4)

    def test_starts_anew_after_a_contact(self, postgres: Connection) -> None:
        (assignment,) = add_assignments(postgres, 1, started_days_ago=30)
        assert dispatch(postgres) == 1
        postgres.execute(
            "insert into public.activities (assignment_id, activity_type, occurred_on) "
            "values (%s, 'phone_call', (now() at time zone 'utc')::date)",
            (assignment,),
        )
        days_pass(postgres, 29)
        assert dispatch(postgres) == 0
        days_pass(postgres, 1)
        assert dispatch(postgres) == 1


def dispatch(postgres: Connection) -> int:
    """Dispatch to all who are due; return how many reminders were new."""
    written = one(
        postgres,
        "select reminder.reminder_dispatch_service(1, "
        "(now() at time zone 'utc')::date, null, 9223372036854775807)",
    )
    assert isinstance(written, int)
    return written


def days_pass(postgres: Connection, days: int) -> None:
    """Move everything that was written into the past."""
    for statement in (
        (
            "update public.assignments set started_on = started_on - %(days)s, "
            "last_contact_date = last_contact_date - %(days)s"
        ),
        (
            "update public.activities set occurred_on = occurred_on - %(days)s, "
            "registered_at = registered_at - %(days)s * interval '1 day'"
        ),
        (
            "update reminder.dispatched_reminders set due_on = due_on - %(days)s, "
            "dispatched_at = dispatched_at - %(days)s * interval '1 day'"
        ),
    ):
        postgres.execute(statement.encode(), {"days": days})


BREAKS_ONE = """
create schema test_fault;
create function test_fault.fail() returns trigger language plpgsql as $$
begin
  raise exception using errcode = '22008', message = 'a date out of range';
end
$$;
create trigger fault before insert on reminder.dispatched_reminders
  for each row when (new.assignment_id = any ('{%s}')) execute function test_fault.fail();
"""


class TestAssignment:
    """One that is deleted, locked or broken costs its own reminder and no other."""

    def test_deleted_during_the_run_is_left_out(
        self, database: Database, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 1000)
        # Uncommitted: the run sees the row, waits for it at the foreign key, and finds it gone.
        with database.connect(autocommit=False) as application:
            application.execute("delete from public.assignments where id = %s", ids[499:500])
            with calling(database) as call:
                eventually(
                    lambda: one(postgres, "select cardinality(pg_blocking_pids(%s)) > 0", call.pid),
                    "the run waits for the deletion",
                )
                application.commit()
                assert call.finish() is None
        assert [row[0] for row in reminders(postgres)] == ids[:499] + ids[500:]
        (row,) = log(postgres)
        assert (row["status"], row["error_message"]) == ("succeeded", None)
        assert (row["assignments_evaluated"], row["reminders_dispatched"]) == (999, 999)

    def test_locked_for_long_is_passed_over_named_and_taken_up_by_the_next_run(
        self, database: Database, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 9)
        set_settings(postgres, batch_size=3)
        with database.connect(autocommit=False) as other:
            held = [ids[3], ids[7]]
            other.execute("select from public.assignments where id = any(%s) for update", (held,))
            assert run(postgres) == "55P03"
        assert [row[0] for row in reminders(postgres)] == sorted({*ids} - {*held})
        (row,) = log(postgres)
        assert (row["status"], row["error_code"]) == ("failed", "55P03")
        assert row["error_message"].endswith(f"passed over: assignment {ids[3]}, {ids[7]}."), row[
            "error_message"
        ]
        assert (row["assignments_evaluated"], row["reminders_dispatched"]) == (9, 7)
        assert run(postgres) is None
        assert [row[0] for row in reminders(postgres)] == ids
        assert log(postgres)[-1]["reminders_dispatched"] == 2

    @pytest.mark.parametrize("places", [[0], [57], [99], [40, 41, 42], [0, 1, 2, 50, 98, 99]])
    def test_broken_is_passed_over_and_named(self, postgres: Connection, places: list[int]) -> None:
        ids = add_assignments(postgres, 100)
        broken = [ids[place] for place in places]
        set_settings(postgres, batch_size=40)
        postgres.execute((BREAKS_ONE % ",".join(map(str, broken))).encode())
        assert run(postgres) == "22008"
        assert [row[0] for row in reminders(postgres)] == sorted({*ids} - {*broken})
        (row,) = log(postgres)
        assert row["error_message"] == (
            f"a date out of range; passed over: assignment {', '.join(map(str, broken))}."
        )
        assert row["assignments_evaluated"] == 100 - len(broken)
        mend_dispatch(postgres)
        assert run(postgres) is None
        assert [row[0] for row in reminders(postgres)] == ids

    def test_names_twenty_at_most(self, postgres: Connection) -> None:
        ids = add_assignments(postgres, 40)
        postgres.execute((BREAKS_ONE % ",".join(map(str, ids[:30]))).encode())
        assert run(postgres) == "22008"
        (row,) = log(postgres)
        assert row["error_message"].endswith(f"{ids[19]} and 10 more.")
        assert len(reminders(postgres)) == 10

    def test_and_all_others_broken_end_the_run_and_the_next_one_begins_behind_them(
        self, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 130)
        set_settings(postgres, batch_size=7)
        break_dispatch(postgres)
        assert run(postgres) == "53100"
        (row,) = log(postgres)
        assert row["last_assignment_id"] == ids[99]
        assert row["assignments_evaluated"] == 0
        assert row["error_message"] == "the disk is full"
        mend_dispatch(postgres)
        set_settings(postgres, run_time_limit="1 second")
        slow_down(postgres)
        assert run(postgres) == "57014"
        assert [row[0] for row in reminders(postgres)] == ids[100:107]

    def test_and_a_hundred_others_broken_cost_nobody_between_them_a_reminder(
        self, postgres: Connection
    ) -> None:
        ids = add_assignments(postgres, 240)
        broken = ids[::2]
        postgres.execute((BREAKS_ONE % ",".join(map(str, broken))).encode())
        assert run(postgres) == "22008"
        assert [row[0] for row in reminders(postgres)] == ids[1::2]

    def test_of_any_key_is_reminded(self, postgres: Connection) -> None:
        keys = [-(2**63) + 1, -7, -1, 0, 1, 5, 2**63 - 1]
        postgres.execute(
            "insert into public.assignments (id, mentor_id, person_id, started_on) "
            "overriding system value "
            "select k, %s, gen_random_uuid(), current_date - 200 from unnest(%s::bigint[]) k",
            (AMARA, keys),
        )
        set_settings(postgres, batch_size=2, run_time_limit="1 second")
        slow_down(postgres)
        # Stopped after a batch below zero, a run goes on from there.
        assert run(postgres) == "57014"
        assert [row[0] for row in reminders(postgres)] == keys[:2]
        assert log(postgres)[-1]["last_assignment_id"] == -7
        postgres.execute("drop trigger slow on reminder.dispatched_reminders")
        assert run(postgres) is None
        assert [row[0] for row in reminders(postgres)] == keys
        assert log(postgres)[-1]["assignments_evaluated"] == len(keys)
        with pytest.raises(psycopg.errors.CheckViolation):
            postgres.execute(
                "insert into public.assignments (id, mentor_id, person_id) "
                "overriding system value values (%s, %s, gen_random_uuid())",
                (-(2**63), AMARA),
            )


class TestSecondReminder:
    """Nobody gets one on the same day, whatever is set in between."""

    @pytest.mark.parametrize(
        "settings",
        [
            [{"reminder_after_days": 28}],
            [{"reminder_after_days": 28}, {"reminder_after_days": 30}],
            [{"reminder_after_days": 1, "repeat_every_days": 1}],
            [{"repeat_every_days": 1}, {"repeat_every_days": 365}, {"repeat_every_days": 7}],
            [{"reminder_after_days": 365}, {"reminder_after_days": 30}],
        ],
    )
    def test_on_the_same_day_never_comes(
        self, postgres: Connection, settings: list[dict[str, int]]
    ) -> None:
        # Every phase of the repetition: due today, yesterday, ... and not yet.
        for ago in range(400):
            add_assignments(postgres, 1, started_days_ago=ago)
        run(postgres)
        first = reminders(postgres)
        reminded = {row[0] for row in first}
        for change in settings:
            set_settings(postgres, **change)
            assert run(postgres) is None
        postgres.execute("call reminder.clear_old_rows()")
        assert run(postgres) is None
        again = [row[0] for row in reminders(postgres)]
        assert len(again) == len(set(again))
        # Those for whom only the new setting had a due day have one now.
        assert reminded <= set(again)

    def test_does_not_come_on_the_next_day_for_a_due_day_that_was_served(
        self, postgres: Connection
    ) -> None:
        add_assignments(postgres, 1, started_days_ago=30)
        assert dispatch(postgres) == 1
        set_settings(postgres, reminder_after_days=28)
        for written in (0, 0, 0, 0, 1):
            days_pass(postgres, 1)
            assert dispatch(postgres) == written

    def test_is_refused_whoever_writes_it(self, postgres: Connection) -> None:
        (assignment,) = add_assignments(postgres, 1)
        assert dispatch(postgres) == 1
        with pytest.raises(psycopg.errors.UniqueViolation):
            postgres.execute(
                "insert into reminder.dispatched_reminders "
                "(assignment_id, due_on, mentor_id, run_id) values (%s, current_date - 99, %s, 2)",
                (assignment, AMARA),
            )

    def test_from_the_future_keeps_nobody_waiting(self, postgres: Connection) -> None:
        (assignment,) = add_assignments(postgres, 1)
        postgres.execute(
            "insert into reminder.dispatched_reminders "
            "(assignment_id, due_on, mentor_id, run_id, dispatched_at) "
            "values (%s, current_date + 99, %s, 2, now() + interval '99 days')",
            (assignment, AMARA),
        )
        assert dispatch(postgres) == 1
