"""The heartbeat: it goes out after a success and never else, and a run does not depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.reminder_system.people import add_assignments
from tests.reminder_system.runs import (
    RUN,
    break_dispatch,
    calling,
    check,
    close_gate,
    eventually,
    lock_holder,
    mend_dispatch,
    one,
    open_gate,
    run,
    set_settings,
    statuses,
    wait_at_gate,
)
from tests.sql_snippets.http_receiver import Answer, Receiver, http_receiver
from tests.sql_snippets.net_worker import running_net_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

PATH = "/dead-man-switch"


def set_address(postgres: Connection, url: str) -> None:
    postgres.execute("select vault.create_secret(%s, 'REMINDER_HEARTBEAT_URL')", (url,))


def queued(postgres: Connection) -> int:
    count = one(postgres, "select count(*) from net.http_request_queue")
    assert isinstance(count, int)
    return count


@pytest.fixture
def address(postgres: Connection) -> str:
    """Set an address where nobody listens; without a worker nothing is sent to it anyway."""
    url = f"http://127.0.0.1:9{PATH}"
    set_address(postgres, url)
    return url


def test_arrives_after_each_success(database: Database, postgres: Connection) -> None:
    with http_receiver() as receiver, running_net_worker(database):
        receiver.path = PATH
        set_address(postgres, receiver.url)
        for count in (1, 2):
            assert run(postgres) is None
            requests = receiver.wait_for(count)
    assert [(r.method, r.path, r.body) for r in requests] == [("GET", PATH, "")] * 2


def test_is_not_sent_without_an_address(postgres: Connection) -> None:
    assert run(postgres) is None
    assert one(postgres, "select reminder.send_heartbeat()") is None
    set_address(postgres, "")
    assert run(postgres) is None
    assert queued(postgres) == 0
    assert statuses(postgres) == ["succeeded"] * 2


@pytest.mark.usefixtures("address")
def test_is_not_sent_by_a_run_that_failed(postgres: Connection) -> None:
    add_assignments(postgres, 1)
    break_dispatch(postgres)
    assert run(postgres) == "53100"
    assert queued(postgres) == 0
    mend_dispatch(postgres)
    assert run(postgres) is None
    assert queued(postgres) == 1


@pytest.mark.usefixtures("address")
def test_is_not_sent_by_a_run_that_timed_out(postgres: Connection) -> None:
    set_settings(postgres, run_time_limit="0 seconds")
    assert run(postgres) == "57014"
    assert queued(postgres) == 0


@pytest.mark.usefixtures("address")
def test_is_not_sent_by_a_run_that_was_skipped(database: Database, postgres: Connection) -> None:
    add_assignments(postgres, 1)
    close_gate(postgres)
    with calling(database) as call:
        wait_at_gate(postgres, call)
        assert run(postgres) is None
        assert queued(postgres) == 0
        open_gate(postgres)
        assert call.finish() is None
    assert queued(postgres) == 1
    assert sorted(statuses(postgres)) == ["skipped", "succeeded"]


@pytest.mark.usefixtures("address")
def test_that_cannot_be_queued_does_not_fail_the_run(
    postgres: Connection, superuser: Connection
) -> None:
    superuser.execute(
        "create function public.refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'the queue is full'; end $$; "
        "create trigger refuse before insert on net.http_request_queue "
        "for each statement execute function public.refuse()"
    )
    add_assignments(postgres, 1)
    warnings: list[str] = []
    postgres.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
    postgres.execute(RUN)
    assert statuses(postgres) == ["succeeded"]
    assert lock_holder(postgres) is None
    assert queued(postgres) == 0
    assert any("No heartbeat was sent" in text for text in warnings)
    assert one(postgres, "select count(*) from reminder.alerts") == 0


@pytest.mark.parametrize("trouble", ["refused", "status 500"])
def test_that_nobody_takes_does_not_fail_the_run(
    database: Database, postgres: Connection, trouble: str
) -> None:
    with http_receiver() as receiver, running_net_worker(database):
        set_address(postgres, receiver.url)
        _make(receiver, trouble)
        assert run(postgres) is None
        eventually(
            lambda: one(postgres, "select count(*) from net._http_response") == 1, "the answer"
        )
    assert statuses(postgres) == ["succeeded"]
    assert one(postgres, "select count(*) from reminder.alerts") == 0


def _make(receiver: Receiver, trouble: str) -> None:
    if trouble == "refused":
        receiver.refuse()
    else:
        receiver.answer_with(Answer(status=500))


@pytest.mark.usefixtures("address")
def test_goes_out_when_the_lock_is_free_already(
    postgres: Connection, superuser: Connection
) -> None:
    """A heartbeat that takes long must not make the next run a skipped one."""
    superuser.execute(
        "create table public.seen (holder integer); "
        "create function public.look() returns trigger language plpgsql security definer as "
        "$$ begin insert into public.seen values (reminder.lock_holder()); return null; end $$; "
        "create trigger look after insert on net.http_request_queue "
        "for each statement execute function public.look()"
    )
    assert run(postgres) is None
    assert superuser.execute("select holder from public.seen").fetchall() == [(None,)]


def test_address_stands_in_no_table_that_others_read(postgres: Connection, address: str) -> None:
    assert run(postgres) is None
    postgres.execute("select reminder.send_test_alert('Dana'); select reminder.watch()")
    for table in ("public.cron_execution_logs", "reminder.alerts", "reminder.watchdog_log"):
        rows = postgres.execute(f"select to_jsonb(t)::text from {table} t").fetchall()  # noqa: S608 - from the catalog
        assert rows, table
        assert not [row for row in rows if address in str(row[0])], table


class TestRecord:
    @pytest.fixture
    def receiver(self, postgres: Connection) -> Iterator[Receiver]:
        with http_receiver() as receiver:
            set_address(postgres, receiver.url)
            yield receiver

    def beat(self, database: Database, postgres: Connection) -> None:
        with running_net_worker(database):
            assert run(postgres) is None
            eventually(
                lambda: one(postgres, "select not exists (select from net.http_request_queue)"),
                "the heartbeat is answered",
            )
        postgres.execute("select reminder.watch()")

    @pytest.mark.usefixtures("receiver")
    def test_says_when_it_was_accepted(self, database: Database, postgres: Connection) -> None:
        assert check(postgres, "heartbeat") == (
            False,
            "No answer since the last success: never accepted",
            "heartbeat",
        )
        self.beat(database, postgres)
        assert check(postgres, "heartbeat") == (True, "accepted 0 hours ago", "heartbeat")
        assert one(postgres, "select accepted_at >= sent_at from reminder.heartbeat")
        assert one(postgres, "select count(*) from reminder.requests") == 0

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (Answer(404), "The receiver answered with HTTP status 404."),
            (Answer(302, location="/login"), "The receiver redirects to another address"),
        ],
    )
    def test_says_why_it_was_not(
        self, database: Database, postgres: Connection, receiver: Receiver, answer: Answer, why: str
    ) -> None:
        self.beat(database, postgres)
        receiver.answer_with(answer, Answer())
        self.beat(database, postgres)
        well, finding, _ = check(postgres, "heartbeat")
        assert well is False
        assert finding.startswith(why)
        receiver.answer_with(Answer())
        self.beat(database, postgres)
        assert check(postgres, "heartbeat")[0] is True

    @pytest.mark.usefixtures("receiver")
    def test_sees_that_a_later_success_had_none(
        self, database: Database, postgres: Connection, superuser: Connection
    ) -> None:
        self.beat(database, postgres)
        superuser.execute("update vault.secrets set updated_at = now() - interval '3 days'")
        postgres.execute(
            "update reminder.heartbeat set sent_at = now() - interval '2 days', "
            "accepted_at = now() - interval '2 days'"
        )
        assert check(postgres, "heartbeat")[0] is True
        postgres.execute(
            "update public.cron_execution_logs set finished_at = now() - interval '20 minutes', "
            "started_at = now() - interval '20 minutes'"
        )
        assert check(postgres, "heartbeat")[0] is False

    @pytest.mark.usefixtures("receiver")
    def test_of_an_earlier_one_is_read_before_the_next_takes_its_place(
        self, database: Database, postgres: Connection
    ) -> None:
        """As with a job of every minute, where the watchdog finds none that is answered."""
        with running_net_worker(database):
            assert run(postgres) is None
            eventually(
                lambda: one(postgres, "select count(*) from net._http_response") == 1, "the answer"
            )
        assert run(postgres) is None
        assert check(postgres, "heartbeat")[0] is True

    def test_of_none_is_not_well_until_it_is_waived(self, postgres: Connection) -> None:
        says = "Vault has no secret named REMINDER_HEARTBEAT_URL. never accepted"
        assert check(postgres, "heartbeat") == (False, says, "heartbeat")
        assert run(postgres) is None
        assert check(postgres, "heartbeat") == (False, says, "heartbeat")
        set_settings(postgres, heartbeat_waived=True)
        assert check(postgres, "heartbeat") == (True, "waived in reminder.settings", "heartbeat")

    def test_of_a_new_project_is_not_well(self, postgres: Connection) -> None:
        ill = postgres.execute("select what from reminder.health where not ok").fetchall()
        assert {("alert address",), ("heartbeat",)} <= set(ill)
