"""pg_net by its published signatures, columns, grants and errors, and by the addresses it takes.

The extension itself is in no package of Debian.  Where ``SQL_CONTRACT_URL`` names a server that has
it, these tests run in the database that its worker serves, which shows that they are true of the
real one; elsewhere they show that the stand-in is the same.  What the worker does after a commit
is not asked here.
"""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.platform_contract.catalog import columns, may_execute, privileges, signatures
from tests.platform_contract.places import OWN, Session

PART = "pg_net"
URL = f"http://127.0.0.1:9/{OWN}"
# What pg_net 0.20.4 with libcurl 7.88 does with addresses, most of them put together at random.
ADDRESSES: list[dict[str, str]] = json.loads(
    Path(__file__).with_name("net_urls.json").read_text(encoding="utf-8")
)
TABLES = ("net.http_request_queue", "net._http_response")
EVERYBODY = ("postgres", "anon", "authenticated", "service_role")


def test_functions(postgres: Session) -> None:
    found = signatures(postgres, "net", "http_get", "http_post", "http_delete")
    assert sorted(found.values()) == [
        (
            "url text, body jsonb DEFAULT '{}'::jsonb, params jsonb DEFAULT '{}'::jsonb, "
            'headers jsonb DEFAULT \'{"Content-Type": "application/json"}\'::jsonb, '
            "timeout_milliseconds integer DEFAULT 5000 -> bigint"
        ),
        (
            "url text, params jsonb DEFAULT '{}'::jsonb, headers jsonb DEFAULT '{}'::jsonb, "
            "timeout_milliseconds integer DEFAULT 5000 -> bigint"
        ),
        (
            "url text, params jsonb DEFAULT '{}'::jsonb, headers jsonb DEFAULT '{}'::jsonb, "
            "timeout_milliseconds integer DEFAULT 5000, body jsonb DEFAULT NULL::jsonb -> bigint"
        ),
    ]


def test_queue(postgres: Session) -> None:
    found = columns(postgres, "net.http_request_queue")
    assert [name for name, _, _ in found] == [
        "id",
        "method",
        "url",
        "headers",
        "body",
        "timeout_milliseconds",
    ]
    types = {name: (kind, needed) for name, kind, needed in found}
    assert types["id"] == ("bigint", True)
    assert types["url"] == ("text", True)
    assert types["headers"][0] == "jsonb"
    assert types["body"] == ("bytea", False)
    assert types["timeout_milliseconds"] == ("integer", True)


def test_responses(postgres: Session) -> None:
    assert columns(postgres, "net._http_response") == [
        ("id", "bigint", False),
        ("status_code", "integer", False),
        ("content_type", "text", False),
        ("headers", "jsonb", False),
        ("content", "text", False),
        ("timed_out", "boolean", False),
        ("error_msg", "text", False),
        ("created", "timestamp with time zone", True),
    ]


@pytest.mark.parametrize("table", TABLES)
def test_a_crash_empties_it(postgres: Session, table: str) -> None:
    row = postgres.execute(
        "select relpersistence from pg_class where oid = %s::text::regclass", (table,)
    ).fetchone()
    assert row == ("u",)


def test_responses_are_found_by_time(postgres: Session) -> None:
    rows = postgres.execute(
        "select pg_get_indexdef(indexrelid) from pg_index "
        "where indrelid = 'net._http_response'::regclass"
    ).fetchall()
    assert [row[0].rpartition(" ")[2] for row in rows] == ["(created)"]


@pytest.mark.parametrize("role", EVERYBODY)
def test_everybody_may_do_everything(postgres: Session, role: str) -> None:
    usage = postgres.execute("select has_schema_privilege(%s, 'net', 'usage')", (role,))
    assert usage.fetchone() == (True,)
    for table in TABLES:
        assert {"SELECT", "INSERT", "UPDATE", "DELETE"} <= privileges(postgres, role, table)
    assert may_execute(postgres, role, "net.http_post(text, jsonb, jsonb, jsonb, integer)")


def test_the_operator_cannot_take_it_back(postgres: Session) -> None:
    postgres.execute("revoke all on net.http_request_queue from public")
    assert "SELECT" in privileges(postgres, "anon", "net.http_request_queue")


def queued(connection: Session, request: str) -> dict[str, object]:
    """Return the row that a call has queued."""
    row = connection.execute(f"select {request}").fetchone()
    assert row is not None
    row = connection.execute(
        "select to_jsonb(q) || jsonb_build_object('body', convert_from(q.body, 'utf8')) "
        "from net.http_request_queue q where id = %s",
        (row[0],),
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], dict)
    return row[0]


def test_post_queues_the_request(postgres: Session) -> None:
    found = queued(
        postgres,
        f"""net.http_post('{URL}', '{{"a": 1}}', '{{"q": "1"}}', timeout_milliseconds := 700)""",
    )
    assert (found["method"], found["url"]) == ("POST", f"{URL}?q=1")
    assert found["timeout_milliseconds"] == 700
    assert found["headers"] == {"Content-Type": "application/json"}
    assert json.loads(str(found["body"])) == {"a": 1}


def test_parameters_are_encoded_and_those_without_a_value_left_out(postgres: Session) -> None:
    parameters = '{"a b": "1&2", "c": null, "q": "x~y"}'
    found = queued(postgres, f"net.http_get('{URL}?a=#f', '{parameters}')")
    assert found["url"] == f"{URL}?a=&q=x~y&a%20b=1%262#f"


def test_post_adds_the_content_type_to_headers_that_omit_it(postgres: Session) -> None:
    found = queued(postgres, f"""net.http_post('{URL}', headers := '{{"Authorization": null}}')""")
    # A null secret becomes a null header, silently.
    assert found["headers"] == {"Authorization": None, "Content-Type": "application/json"}


def test_post_without_headers_adds_none(postgres: Session) -> None:
    assert queued(postgres, f"net.http_post('{URL}', headers := null)")["headers"] is None


def test_post_takes_json_only(postgres: Session) -> None:
    with pytest.raises(psycopg.errors.RaiseException) as caught:
        postgres.execute(
            f"""select net.http_post('{URL}', headers := '{{"content-type": "text/plain"}}')"""
        )
    assert caught.value.diag.message_primary == 'Content-Type header must be "application/json"'


@pytest.mark.parametrize("function", ["http_get", "http_delete"])
def test_get_and_delete_queue_without_a_body(postgres: Session, function: str) -> None:
    found = queued(postgres, f"net.{function}('{URL}')")
    assert found["method"] == function.removeprefix("http_").upper()
    assert (found["body"], found["headers"], found["timeout_milliseconds"]) == (None, {}, 5000)


def test_a_rollback_queues_nothing(postgres: Session) -> None:
    with postgres.connection.transaction(force_rollback=True):
        queued(postgres, f"net.http_get('{URL}')")
    row = postgres.execute("select count(*) from net.http_request_queue where url = %s", (URL,))
    assert row.fetchone() == (0,)


def test_addresses_are_refused_or_queued_by_the_rules_of_libcurl(postgres: Session) -> None:
    assert len(ADDRESSES) >= 300
    assert min(sum(kind in entry for entry in ADDRESSES) for kind in ("queued", "refused")) > 100
    different = []
    for entry in ADDRESSES:
        url = entry["url"]
        try:
            row = postgres.execute(
                "select net._encode_url_with_params_array(%s, '{}')", (url,)
            ).fetchone()
            found = {"url": url, "queued": row and row[0]}
        except psycopg.errors.InternalError_ as err:
            said = f'invalid URL "{url}": '
            message = str(err.diag.message_primary)
            assert message.startswith(said)
            found = {"url": url, "refused": message.removeprefix(said)}
        if found != entry:
            different.append((entry, found))
    assert different == []


@pytest.mark.parametrize("function", ["http_get", "http_post", "http_delete"])
@pytest.mark.parametrize("url", ["http://x/ y", "https://<x>/", "http://x:65536/", "xyz://x/"])
def test_no_function_queues_an_address_that_is_refused(
    postgres: Session, function: str, url: str
) -> None:
    with pytest.raises(psycopg.errors.InternalError_, match="invalid URL"):
        postgres.execute(f"select net.{function}(%s)", (url,))


def test_an_address_is_needed(postgres: Session) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        postgres.execute("select net.http_get(null)")


def test_telling_the_worker_to_restart_writes_nothing(postgres: Session) -> None:
    with postgres.connection.transaction():
        postgres.connection.execute("set transaction read only")
        assert postgres.execute("select net.worker_restart()").fetchone() == (True,)
