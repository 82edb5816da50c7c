"""Alerts: raised once a streak, sent for real, followed until they arrive or are given up on."""

from __future__ import annotations

import datetime as dt
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql as query
from psycopg.rows import dict_row

from tests.reminder_system.lanes import LANES, open_own_server
from tests.reminder_system.people import add_assignments
from tests.reminder_system.runbook import runbook_block
from tests.reminder_system.runs import (
    break_dispatch,
    calling,
    check,
    close_gate,
    eventually,
    lock_holder,
    log,
    mend_dispatch,
    one,
    open_gate,
    run,
    set_settings,
    wait_at_gate,
)
from tests.sql_snippets.http_receiver import Answer, Receiver, http_receiver
from tests.sql_snippets.net_worker import running_net_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

PLATFORM = Path(__file__).parents[1] / "sql_snippets" / "platform"
SECRET = "REMINDER_ALERT_WEBHOOK_URL"  # noqa: S105 - the name of a secret


@dataclass(frozen=True, slots=True)
class Channel:
    """The way from the database to a receiver; pg_net's worker runs only where a test says so."""

    database: Database
    postgres: Connection
    receiver: Receiver

    def fail(self, times: int = 1) -> None:
        break_dispatch(self.postgres)
        for _ in range(times):
            assert run(self.postgres) == "53100"

    def succeed(self) -> None:
        mend_dispatch(self.postgres)
        assert run(self.postgres) is None

    def alerts(self) -> list[dict[str, Any]]:
        with self.postgres.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("select * from reminder.alerts order by id").fetchall()

    def alert(self) -> dict[str, Any]:
        (alert,) = self.alerts()
        return alert

    def send_test_alert(self) -> None:
        self.postgres.execute("select reminder.send_test_alert('Dana')")

    def answered(self) -> None:
        """Let the worker send what is queued, and wait until every answer is there."""
        with running_net_worker(self.database):
            eventually(
                lambda: one(
                    self.postgres,
                    "select not exists (select from net.http_request_queue) and not exists ("
                    "select from reminder.alerts a where a.status = 'sent' and not exists ("
                    "select from reminder.answers() r where r.alert_id = a.id))",
                ),
                "every request is answered",
            )

    def deliver(self) -> None:
        self.postgres.execute("select reminder.deliver_alerts()")

    def time_passes(self) -> None:
        """Make everything that waits for its time due, as if that time had come."""
        self.postgres.execute("update reminder.alerts set next_attempt_at = clock_timestamp()")

    def remove_secret(self) -> None:
        self.postgres.execute("delete from vault.secrets where name = %s", (SECRET,))

    def create_secret(self) -> None:
        self.postgres.execute("select vault.create_secret(%s, %s)", (self.receiver.url, SECRET))


@pytest.fixture
def channel(database: Database, postgres: Connection) -> Iterator[Channel]:
    add_assignments(postgres, 1)
    with http_receiver() as receiver:
        # Something in the address that can be looked for everywhere else.
        receiver.path = f"/services/{secrets.token_hex(16)}"
        channel = Channel(database, postgres, receiver)
        channel.create_secret()
        yield channel


class TestStreak:
    def test_below_the_threshold_raises_nothing(self, channel: Channel) -> None:
        channel.fail(2)
        assert channel.alerts() == []

    def test_at_the_threshold_raises_one(self, channel: Channel) -> None:
        channel.fail(3)
        alert = channel.alert()
        assert (alert["kind"], alert["subject_id"], alert["run_id"]) == (
            "consecutive_failures",
            1,
            3,
        )

    def test_raises_no_second_one_however_long_it_lasts(self, channel: Channel) -> None:
        channel.fail(7)
        assert len(channel.alerts()) == 1

    @pytest.mark.parametrize("threshold", [1, 2, 4])
    def test_has_a_threshold_that_is_a_setting(self, channel: Channel, threshold: int) -> None:
        set_settings(channel.postgres, failure_threshold=threshold)
        channel.fail(threshold - 1)
        assert channel.alerts() == []
        channel.fail()
        assert channel.alert()["run_id"] == threshold

    def test_that_a_lower_threshold_finds_above_it_raises_one(self, channel: Channel) -> None:
        set_settings(channel.postgres, failure_threshold=5)
        channel.fail(3)
        set_settings(channel.postgres, failure_threshold=2)
        channel.fail()
        assert channel.alert()["run_id"] == 4

    def test_of_its_own_raises_one_of_its_own(self, channel: Channel) -> None:
        channel.fail(3)
        channel.succeed()
        channel.fail(3)
        failures = [a for a in channel.alerts() if a["kind"] == "consecutive_failures"]
        assert [alert["subject_id"] for alert in failures] == [1, 5]

    def test_that_ends_after_an_alert_says_so_once(self, channel: Channel) -> None:
        channel.fail(4)
        channel.succeed()
        assert run(channel.postgres) is None
        raised, recovered = channel.alerts()
        assert recovered["kind"] == "recovered"
        assert recovered["subject_id"] == raised["subject_id"]
        assert recovered["run_id"] == 5
        assert "run 5 succeeded" in recovered["message"]

    def test_that_ends_before_an_alert_says_nothing(self, channel: Channel) -> None:
        """The first one, and one after another of which an alert was raised and taken back."""
        channel.fail(2)
        channel.succeed()
        assert channel.alerts() == []
        channel.fail(3)
        channel.succeed()
        raised = [(alert["kind"], alert["subject_id"]) for alert in channel.alerts()]
        assert raised == [("consecutive_failures", 4), ("recovered", 4)]
        for _ in range(2):
            channel.fail(2)
            channel.succeed()
        assert [(alert["kind"], alert["subject_id"]) for alert in channel.alerts()] == raised

    def test_is_not_broken_by_a_skipped_run(self, channel: Channel) -> None:
        channel.fail(2)
        mend_dispatch(channel.postgres)
        with channel.database.connect() as holder:
            holder.execute("select pg_advisory_lock(reminder.lock_key())")
            assert run(channel.postgres) is None
        eventually(lambda: lock_holder(channel.postgres) is None, "the lock is free")
        channel.fail()
        assert channel.alert()["run_id"] == 4

    def test_counts_a_run_that_lost_its_session(self, channel: Channel) -> None:
        set_settings(channel.postgres, failure_threshold=2)
        channel.fail()
        mend_dispatch(channel.postgres)
        close_gate(channel.postgres)
        with calling(channel.database) as call:
            wait_at_gate(channel.postgres, call)
            channel.postgres.execute("select pg_terminate_backend(%s)", (call.pid,))
            call.finish()
        eventually(lambda: lock_holder(channel.postgres) is None, "the lock is free")
        open_gate(channel.postgres)
        assert run(channel.postgres) is None
        kinds = [alert["kind"] for alert in channel.alerts()]
        assert kinds.count("consecutive_failures") == 1
        assert kinds.count("recovered") == 1


class TestMessage:
    def test_names_the_run_the_error_and_the_section_of_the_runbook(self, channel: Channel) -> None:
        channel.fail(3)
        channel.answered()
        (request,) = channel.receiver.requests
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/json"
        assert isinstance(request.body, dict)
        runbook = "https://runbooks.example.org/operations/cron-reminder-runbook/#repeated-failures"
        assert request.body["text"] == (
            "The reminder job failed 3 times in a row. "
            f"Run 3 failed: the disk is full (SQLSTATE 53100).\n{runbook}"
        )
        assert request.body["alert"] == "consecutive_failures"
        assert request.body["run_id"] == 3
        assert request.body["runbook"] == runbook

    def test_of_a_test_says_that_it_is_one(self, channel: Channel) -> None:
        channel.send_test_alert()
        channel.answered()
        (request,) = channel.receiver.requests
        assert isinstance(request.body, dict)
        assert "Dana" in request.body["text"]
        assert "Nothing is wrong" in request.body["text"]
        assert request.body["runbook"].endswith("#send-a-test-alert")

    def test_of_a_test_needs_a_name(self, channel: Channel) -> None:
        for name in ("", "  ", None, "<your_name>"):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                channel.postgres.execute("select reminder.send_test_alert(%s)", (name,))
        assert channel.alerts() == []


class TestDelivery:
    @pytest.mark.parametrize("status", [200, 201, 204])
    def test_is_confirmed_by_the_answer_and_not_before(self, channel: Channel, status: int) -> None:
        channel.receiver.answer_with(Answer(status, body=""))
        channel.fail(3)
        assert channel.alert()["status"] == "sent"
        channel.deliver()
        assert channel.alert()["status"] == "sent"
        channel.answered()
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"], alert["error"]) == ("delivered", 1, None)
        assert alert["delivered_at"] is not None
        channel.time_passes()
        channel.deliver()
        assert channel.alert()["attempts"] == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
    def test_is_retried_after_an_answer_that_is_an_error(
        self, channel: Channel, status: int
    ) -> None:
        channel.receiver.answer_with(Answer(status), Answer())
        channel.fail(3)
        self.assert_retried(channel, f"The receiver answered with HTTP status {status}.")

    def test_is_retried_after_no_answer_in_time(self, channel: Channel) -> None:
        channel.receiver.answer_with(Answer(delay=30), Answer())
        channel.fail(3)
        channel.postgres.execute("update net.http_request_queue set timeout_milliseconds = 200")
        self.assert_retried(channel, "The receiver did not answer in time.")

    def test_is_retried_after_a_refused_connection(self, channel: Channel) -> None:
        channel.receiver.refuse()
        channel.fail(3)
        channel.answered()
        channel.receiver.accept()
        self.assert_retried(channel, "The receiver could not be reached.")

    def test_is_retried_after_a_tls_error(self, channel: Channel) -> None:
        channel.postgres.execute(
            "select vault.update_secret(id, %s) from vault.secrets",
            (channel.receiver.url.replace("http:", "https:"),),
        )
        channel.fail(3)
        channel.answered()
        channel.postgres.execute(
            "select vault.update_secret(id, %s) from vault.secrets", (channel.receiver.url,)
        )
        self.assert_retried(channel, "The receiver could not be reached.")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_is_not_confirmed_by_a_redirect(self, channel: Channel, status: int) -> None:
        # pg_net follows it, with a GET that has no body, and reports the 200 of where it leads.
        channel.receiver.answer_with(Answer(status, location="/login"), Answer())
        channel.fail(3)
        channel.answered()
        assert [r.path for r in channel.receiver.requests][1:] == ["/login"]
        assert one(channel.postgres, "select status_code from net._http_response") == 200
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("queued", 1)
        assert alert["error"].startswith("The receiver redirects to another address")

    def test_is_confirmed_by_a_created_that_names_a_place(self, channel: Channel) -> None:
        channel.receiver.answer_with(Answer(201, location="/messages/1"))
        channel.fail(3)
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "delivered"

    def test_is_not_sent_again_while_the_worker_has_the_request(self, channel: Channel) -> None:
        channel.fail(3)
        # Down or stopped: its transaction is open, so the request is in the queue for all others.
        for _ in range(10):
            channel.time_passes()
            channel.deliver()
            channel.postgres.execute("select reminder.retry_alerts()")
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("sent", 1)
        assert "is its worker running?" in alert["error"]
        assert one(channel.postgres, "select count(*) from net.http_request_queue") == 1
        channel.answered()
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"], alert["error"]) == ("delivered", 1, None)
        assert len(channel.receiver.requests) == 1

    @pytest.mark.parametrize("end", ["dies", "answers"])
    def test_is_not_sent_again_while_the_worker_hangs_with_the_request(
        self, channel: Channel, end: str
    ) -> None:
        """Its transaction has deleted the row, which is locked and there for all others."""
        channel.fail(3)
        with channel.database.connect(autocommit=False) as worker:
            taken = worker.execute("delete from net.http_request_queue returning id").fetchall()
            assert len(taken) == 1
            # Whoever waited for the worker would hang with it.
            channel.postgres.execute("set lock_timeout = '1ms'")
            for _ in range(10):
                channel.time_passes()
                channel.postgres.execute("select reminder.watch()")
                channel.deliver()
                channel.postgres.execute("select reminder.retry_alerts()")
            alert = channel.alert()
            assert (alert["status"], alert["attempts"]) == ("sent", 1)
            assert "is its worker running?" in alert["error"]
            assert check(channel.postgres, "alerts")[0] is False
            queued = channel.postgres.execute("select id from net.http_request_queue").fetchall()
            assert queued == taken
            if end == "answers":
                worker.execute(
                    "insert into net._http_response (id, status_code) values (%s, 200)", taken[0]
                )
                worker.commit()
            else:
                worker.rollback()
        if end == "dies":
            channel.answered()
            assert len(channel.receiver.requests) == 1
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"], alert["error"]) == ("delivered", 1, None)
        assert one(channel.postgres, "select count(*) from net.http_request_queue") == 0

    def test_whose_answer_is_gone_is_neither_lost_nor_confirmed(self, channel: Channel) -> None:
        """As with a pg_net.ttl that is shorter than the watchdog's five minutes."""
        channel.fail(3)
        channel.answered()
        channel.postgres.execute("delete from net._http_response")
        for _ in range(10):
            channel.time_passes()
            channel.postgres.execute("select reminder.watch()")
        alert, about = channel.alerts()
        assert (alert["status"], alert["attempts"]) == ("unconfirmed", 1)
        assert "nobody knows whether it arrived" in alert["error"]
        assert (about["kind"], about["subject_id"]) == ("undelivered_alert", alert["id"])
        assert about["message"].startswith("Nobody knows whether an alert of ")
        assert check(channel.postgres, "alerts")[0] is False
        channel.postgres.execute("select reminder.retry_alerts()")
        channel.answered()
        channel.deliver()
        assert {a["status"] for a in channel.alerts()} == {"delivered"}

    def assert_retried(self, channel: Channel, why: str) -> None:
        channel.answered()
        before = one(channel.postgres, "select clock_timestamp()")
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"], alert["error"]) == ("queued", 1, why)
        # Not at once: five minutes first.
        assert alert["next_attempt_at"] >= before + dt.timedelta(minutes=5)
        channel.deliver()
        assert channel.alert()["attempts"] == 1
        channel.time_passes()
        channel.deliver()
        channel.answered()
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"], alert["error"]) == ("delivered", 2, None)

    def test_is_given_up_after_the_last_attempt_and_stays_to_be_found(
        self, channel: Channel
    ) -> None:
        set_settings(channel.postgres, alert_max_attempts=3)
        channel.receiver.answer_with(Answer(500))
        channel.fail(3)
        for _ in range(5):
            channel.answered()
            channel.deliver()
            channel.time_passes()
            channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("undelivered", 3)
        assert alert["error"] == "The receiver answered with HTTP status 500."
        assert len(channel.receiver.requests) == 3
        assert (
            one(channel.postgres, "select status from reminder.deliver_alerts()") == "undelivered"
        )

    def test_by_hand_sends_again_at_once_what_was_given_up(self, channel: Channel) -> None:
        set_settings(channel.postgres, alert_max_attempts=1)
        channel.receiver.answer_with(Answer(500), Answer())
        channel.fail(3)
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "undelivered"
        retried = channel.postgres.execute(
            "select kind, status, error from reminder.retry_alerts()"
        )
        assert retried.fetchall() == [("consecutive_failures", "sent", None)]
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "delivered"

    def test_by_hand_does_not_send_again_what_arrived_or_is_on_its_way(
        self, channel: Channel
    ) -> None:
        channel.fail(3)
        channel.postgres.execute("select reminder.retry_alerts()")
        channel.answered()
        channel.postgres.execute("select reminder.retry_alerts()")
        channel.answered()
        assert len(channel.receiver.requests) == 1

    def test_of_two_deliveries_at_once_sends_each_alert_once(self, channel: Channel) -> None:
        channel.postgres.execute(
            "insert into reminder.alerts (kind, message) "
            "select 'test', 'alert ' || n from generate_series(1, 40) n"
        )

        def send(_: int) -> Any:
            with channel.database.connect() as session:
                return one(session, "select reminder.send_alerts()")

        with ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(send, range(4)))
        assert sum(sent) == 40
        channel.answered()
        assert len(channel.receiver.requests) == 40


class TestNumbersThatComeAgain:
    """pg_net counts its requests from 1 again; what has the number of an alert is not its own."""

    VERIFY = "verify-alert-not-delivered"

    def answer_another_request(self, database: Database, postgres: Connection) -> None:
        """Let the application's own request have the number of the alert, and a good answer."""
        with http_receiver() as application, running_net_worker(database):
            number = one(postgres, "select net.http_get(%s)", application.url)
            assert number == 1, "the numbers were not given again: this shows nothing"
            eventually(
                lambda: one(postgres, "select count(*) from net._http_response") == 1,
                "the other request is answered",
            )

    @pytest.mark.parametrize("lane", LANES)
    def test_after_a_crash_are_of_other_requests_and_the_alert_is_sent_again(
        self, lane: str
    ) -> None:
        # What is committed is on the disk, as on the platform; only what is unlogged is lost.
        with (
            open_own_server(lane, synchronous_commit="on") as own,
            http_receiver() as receiver,
        ):
            with own.database.connect() as postgres:
                postgres.execute("select vault.create_secret(%s, %s)", (receiver.url, SECRET))
                postgres.execute("select reminder.send_test_alert('Dana')")
            own.crash()
            database = own.database
            with database.connect() as postgres:
                self.answer_another_request(database, postgres)
                assert one(postgres, runbook_block(self.VERIFY)) is False
                channel = Channel(database, postgres, receiver)
                channel.deliver()
                alert = channel.alert()
                assert (alert["status"], alert["attempts"]) == ("queued", 1)
                assert "lost in a crash" in alert["error"]
                channel.time_passes()
                channel.deliver()
                channel.answered()
                channel.deliver()
                assert channel.alert()["status"] == "delivered"
                assert len(receiver.requests) == 1
                assert one(postgres, runbook_block(self.VERIFY)) is True

    def test_without_a_crash_are_of_other_requests_too(
        self, channel: Channel, superuser: Connection
    ) -> None:
        """As when the extension is dropped and made again."""
        channel.send_test_alert()
        superuser.execute("truncate net.http_request_queue restart identity")
        self.answer_another_request(channel.database, channel.postgres)
        assert one(channel.postgres, runbook_block(self.VERIFY)) is False
        channel.deliver()
        assert (channel.alert()["status"], channel.alert()["attempts"]) == ("queued", 1)

    def test_are_forgotten_with_the_alert(self, channel: Channel) -> None:
        channel.send_test_alert()
        channel.postgres.execute("delete from reminder.alerts")
        assert one(channel.postgres, "select count(*) from reminder.requests") == 0


class TestTransaction:
    def test_that_is_rolled_back_sends_nothing(self, channel: Channel) -> None:
        with channel.database.connect(autocommit=False) as session:
            session.execute("select reminder.send_test_alert('Dana')")
            session.rollback()
        with running_net_worker(channel.database) as worker:
            channel.send_test_alert()
            channel.receiver.wait_for(1)
        assert worker.sent == 1
        assert len(channel.alerts()) == 1

    def test_of_the_failure_queues_the_alert_too(self, channel: Channel) -> None:
        # The failure and its alert are one transaction: whoever sees the one sees the other.
        channel.fail(2)
        with channel.database.connect(autocommit=False) as session:
            session.execute(
                "insert into public.cron_execution_logs (trigger_source, triggered_by, status) "
                "values ('cron', 'x', 'running')"
            )
            session.execute(
                "select reminder.close_run(id, 'failed', '53100', 'full') "
                "from public.cron_execution_logs where status = 'running'"
            )
            assert channel.alerts() == []
            session.commit()
        assert channel.alert()["status"] == "queued"

    def test_of_the_run_is_not_hurt_by_a_broken_pg_net(
        self, channel: Channel, superuser: Connection
    ) -> None:
        superuser.execute("alter table net.http_request_queue rename to gone")
        channel.fail(3)
        assert [row["status"] for row in log(channel.postgres)] == ["failed"] * 3
        assert lock_holder(channel.postgres) is None
        assert channel.alert()["status"] == "queued"
        assert "pg_net refused the request (SQLSTATE 42P01)" in channel.alert()["error"]
        superuser.execute("alter table net.gone rename to http_request_queue")
        channel.postgres.execute("select reminder.retry_alerts()")
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "delivered"


class TestSecret:
    def test_that_is_missing_is_an_error_on_the_alert_and_no_attempt(
        self, channel: Channel
    ) -> None:
        channel.remove_secret()
        channel.fail(3)
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("queued", 0)
        assert alert["error"] == f"Vault has no secret named {SECRET}."
        channel.create_secret()
        channel.deliver()
        channel.answered()
        channel.deliver()
        alert = channel.alert()
        assert (alert["status"], alert["error"]) == ("delivered", None)

    def test_is_read_when_the_alert_is_sent(self, channel: Channel) -> None:
        channel.send_test_alert()
        channel.answered()
        with http_receiver() as other:
            channel.postgres.execute(
                "select vault.update_secret(id, %s) from vault.secrets where name = %s",
                (other.url, SECRET),
            )
            channel.send_test_alert()
            channel.answered()
            assert len(other.requests) == 1
        assert len(channel.receiver.requests) == 1

    @pytest.mark.parametrize(
        "trouble", ["delivered", "status 500", "refused", "timeout", "pg_net broken"]
    )
    def test_stands_in_no_table_and_no_message(
        self, channel: Channel, superuser: Connection, trouble: str
    ) -> None:
        notices: list[str] = []
        channel.postgres.add_notice_handler(
            lambda notice: notices.append(f"{notice.message_primary} {notice.message_detail}")
        )
        if trouble == "status 500":
            channel.receiver.answer_with(Answer(500))
        elif trouble == "timeout":
            channel.receiver.answer_with(Answer(delay=30))
        elif trouble == "refused":
            channel.receiver.refuse()
        elif trouble == "pg_net broken":
            superuser.execute(
                "alter table net.http_request_queue add constraint broken check (false)"
            )
        channel.fail(3)
        channel.postgres.execute("update net.http_request_queue set timeout_milliseconds = 200")
        channel.answered()
        if trouble != "pg_net broken":
            channel.deliver()
        assert channel.receiver.path in channel.receiver.url
        assert _tables_with(superuser, channel.receiver.path) == []
        assert channel.receiver.path not in " ".join(notices)
        if trouble == "pg_net broken":
            assert "SQLSTATE 23514" in channel.alert()["error"]


def _tables_with(superuser: Connection, text: str) -> list[str]:
    """Return every table of the database whose rows hold the text, Vault's own aside."""
    tables = superuser.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'm', 'p') "
        "and n.nspname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > 10
    return [
        f"{schema}.{name}"
        for schema, name in tables
        if schema != "vault"
        and one(
            superuser,
            query.SQL("select exists (select from {} t where strpos(t::text, {}) > 0)")
            .format(query.Identifier(schema, name), query.Literal(text))
            .as_string(superuser),
        )
    ]


class TestAddressThatIsNone:
    @pytest.mark.parametrize(
        "address",
        ["not an address", "https:///x", "http:/x", "file:///etc", "https://<x>/", "https://x/ y"],
    )
    def test_is_an_error_on_the_alert_and_no_attempt(self, channel: Channel, address: str) -> None:
        channel.postgres.execute(
            "select vault.update_secret(id, %s) from vault.secrets where name = %s",
            (address, SECRET),
        )
        channel.fail(3)
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("queued", 0)
        assert "holds no address" in alert["error"]
        assert address not in alert["error"]
        assert check(channel.postgres, "alerts")[0] is False
        assert check(channel.postgres, "alert_address")[0] is False
        assert channel.postgres.execute(
            "select reminder.set_address(%s, %s)", (SECRET, address)
        ).fetchone() == (False,)
        assert channel.postgres.execute(
            "select reminder.set_address(%s, %s)", (SECRET, channel.receiver.url)
        ).fetchone() == (True,)
        channel.deliver()
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "delivered"

    @pytest.mark.parametrize(
        "address",
        ["https://example.org", "http://a:8080?x=1", "https://u:p@a.b/c", "https://[::1]:1/x"],
    )
    def test_is_not_said_of_one(self, channel: Channel, address: str) -> None:
        assert one(channel.postgres, "select reminder.is_address(%s)", address) is True

    def test_is_set_for_no_other_secret(self, channel: Channel) -> None:
        assert one(channel.postgres, "select reminder.set_address('x', 'https://a.b')") is False
        assert one(channel.postgres, "select count(*) from vault.secrets") == 1


# What may happen to a part of the platform, as its superuser, and what the alert then says.
TROUBLES = {
    "undecryptable": (
        "update vault.secrets set secret = 'no base64!'",
        "Vault cannot decrypt the secret REMINDER_ALERT_WEBHOOK_URL (SQLSTATE 22023)",
    ),
    "grant lost": (
        "revoke all on function vault._crypto_aead_det_decrypt from postgres, service_role",
        "The role postgres may not read Vault.",
    ),
    "no Vault": ("drop schema vault cascade", "Vault is not there"),
    "no pg_net": ("drop schema net cascade", "pg_net is not there"),
}


class TestPlatform:
    @pytest.mark.parametrize("trouble", TROUBLES)
    def test_in_trouble_stands_on_the_alert_and_in_health(
        self, channel: Channel, superuser: Connection, trouble: str
    ) -> None:
        sql, says = TROUBLES[trouble]
        superuser.execute(sql.encode())
        channel.fail(3)
        channel.postgres.execute("select reminder.watch()")
        alert = channel.alert()
        assert (alert["status"], alert["attempts"]) == ("queued", 0)
        assert alert["error"].startswith(says)
        assert channel.receiver.path not in alert["error"]
        well, finding, _ = check(channel.postgres, "alert_address")
        assert well is False
        assert finding.startswith(says)
        if trouble != "no pg_net":
            assert check(channel.postgres, "alerts")[0] is False

    def test_is_mended_by_a_new_address_where_the_old_one_cannot_be_decrypted(
        self, channel: Channel, superuser: Connection
    ) -> None:
        superuser.execute("update vault.secrets set secret = 'no base64!'")
        channel.send_test_alert()
        assert one(
            channel.postgres, "select reminder.set_address(%s, %s)", SECRET, channel.receiver.url
        )
        channel.deliver()
        channel.answered()
        channel.deliver()
        assert channel.alert()["status"] == "delivered"

    def test_that_cannot_show_its_answers_stands_on_what_was_sent(
        self, channel: Channel, superuser: Connection
    ) -> None:
        """And what is queued is sent all the same."""
        channel.send_test_alert()
        superuser.execute("alter table net._http_response rename to gone")
        channel.postgres.execute("insert into reminder.alerts (kind, message) values ('test', 'x')")
        channel.deliver()
        first, second = channel.alerts()
        assert first["status"] == second["status"] == "sent"
        assert "The answers of pg_net cannot be read" in first["error"]
        superuser.execute("alter table net.gone rename to _http_response")
        channel.answered()
        channel.deliver()
        assert {(a["status"], a["error"]) for a in channel.alerts()} == {("delivered", None)}

    @pytest.mark.parametrize("part", ["cron", "net", "vault"])
    def test_part_takes_nothing_of_ours_along_and_comes_back(
        self, channel: Channel, superuser: Connection, part: str
    ) -> None:
        """As with drop extension cascade, and create extension."""
        ours = (
            "select pg_describe_object(classid, objid, 0) from ("
            "select 'pg_class'::regclass, oid, relnamespace from pg_class union all "
            "select 'pg_proc'::regclass, oid, pronamespace from pg_proc) o(classid, objid, place) "
            "where place::regnamespace::text in ('public', 'reminder') order by 1"
        )
        before = superuser.execute(ours).fetchall()
        assert len(before) > 50
        channel.send_test_alert()
        superuser.execute(f"drop schema {part} cascade".encode())
        assert superuser.execute(ours).fetchall() == before
        row = channel.postgres.execute("select * from reminder.watch()").fetchone()
        assert row is not None
        for name in ("30_vault", "31_vault_grants", "40_net", "50_cron", "60_cron_grants"):
            if part in name:
                superuser.execute((PLATFORM / f"{name}.sql").read_bytes())
        if part == "vault":
            assert one(
                channel.postgres,
                "select reminder.set_address(%s, %s)",
                SECRET,
                channel.receiver.url,
            )
        elif part == "cron":
            assert check(channel.postgres, "jobs")[0] is False
            channel.postgres.execute("select * from reminder.register_jobs()")
            assert check(channel.postgres, "jobs")[0] is True
        channel.postgres.execute("select reminder.watch()")
        channel.time_passes()
        channel.postgres.execute("select reminder.watch()")
        channel.answered()
        channel.postgres.execute("select reminder.watch()")
        assert channel.alert()["status"] == "delivered"
        assert check(channel.postgres, "alert_address") == (True, "set", "alert-not-delivered")
        assert check(channel.postgres, "alerts") == (True, "0 not delivered", "alert-not-delivered")


class TestHealth:
    def test_sees_an_answer_that_nobody_has_read(self, channel: Channel) -> None:
        assert check(channel.postgres, "alerts") == (True, "0 not delivered", "alert-not-delivered")
        channel.receiver.answer_with(Answer(404))
        channel.send_test_alert()
        assert check(channel.postgres, "alerts")[0] is True
        channel.answered()
        well, finding, _ = check(channel.postgres, "alerts")
        assert (well, finding) == (
            False,
            "1 not delivered: The receiver answered with HTTP status 404.",
        )

    @pytest.mark.parametrize("status", ["queued", "sent"])
    def test_sees_an_alert_that_waits_without_a_word(self, channel: Channel, status: str) -> None:
        channel.send_test_alert()
        channel.postgres.execute(
            "update reminder.alerts set status = %s, created_at = now() - interval '1 hour'",
            (status,),
        )
        assert check(channel.postgres, "alerts")[0] is False

    def test_sees_a_new_project_without_an_address(self, channel: Channel) -> None:
        channel.remove_secret()
        assert check(channel.postgres, "alert_address") == (
            False,
            f"Vault has no secret named {SECRET}.",
            "change-the-destination",
        )

    @pytest.mark.parametrize(("ttl", "is_well"), [("1 minute", False), ("6 hours", True)])
    def test_sees_answers_that_go_too_soon(
        self, channel: Channel, *, ttl: str, is_well: bool
    ) -> None:
        # An address is well when an alert has arrived there.
        channel.postgres.execute(
            "insert into reminder.alerts (kind, message, status, delivered_at) "
            "values ('test', 'A test.', 'delivered', clock_timestamp())"
        )
        channel.postgres.execute(f"set pg_net.ttl = '{ttl}'".encode())
        assert check(channel.postgres, "alert_address")[0] is is_well
