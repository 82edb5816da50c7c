"""pg_net by its published signatures, columns, grants and errors.

The extension itself is in no package of Debian; pointed at a server that has it, this is the proof
that the stand-in is like it.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.platform_contract.catalog import columns, may_execute, privileges, signatures

Connection = psycopg.Connection[Any]

TABLES = ("net.http_request_queue", "net._http_response")
EVERYBODY = ("postgres", "anon", "authenticated", "service_role")


def test_functions(postgres: Connection) -> None:
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


def test_queue(postgres: Connection) -> None:
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


def test_responses(postgres: Connection) -> None:
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
def test_a_crash_empties_it(postgres: Connection, table: str) -> None:
    row = postgres.execute(
        "select relpersistence from pg_class where oid = %s::text::regclass", (table,)
    ).fetchone()
    assert row == ("u",)


def test_responses_are_found_by_time(postgres: Connection) -> None:
    rows = postgres.execute(
        "select pg_get_indexdef(indexrelid) from pg_index "
        "where indrelid = 'net._http_response'::regclass"
    ).fetchall()
    assert [row[0].rpartition(" ")[2] for row in rows] == ["(created)"]


@pytest.mark.parametrize("role", EVERYBODY)
def test_everybody_may_do_everything(postgres: Connection, role: str) -> None:
    usage = postgres.execute("select has_schema_privilege(%s, 'net', 'usage')", (role,))
    assert usage.fetchone() == (True,)
    for table in TABLES:
        assert {"SELECT", "INSERT", "UPDATE", "DELETE"} <= privileges(postgres, role, table)
    assert may_execute(postgres, role, "net.http_post(text, jsonb, jsonb, jsonb, integer)")


def test_the_operator_cannot_take_it_back(postgres: Connection) -> None:
    postgres.add_notice_handler(lambda _: None)
    postgres.execute("revoke all on net.http_request_queue from public")
    assert "SELECT" in privileges(postgres, "anon", "net.http_request_queue")


def test_post_queues_the_request(postgres: Connection) -> None:
    row = postgres.execute(
        "select net.http_post('http://127.0.0.1:9/x', '{\"a\": 1}', '{\"q\": \"1\"}', "
        "timeout_milliseconds := 700)"
    ).fetchone()
    queued = postgres.execute(
        "select id, method::text, url, headers, body, timeout_milliseconds "
        "from net.http_request_queue"
    ).fetchall()
    assert row is not None
    ((request_id, method, url, headers, body, timeout),) = queued
    assert request_id == row[0]
    assert (method, url, timeout) == ("POST", "http://127.0.0.1:9/x?q=1", 700)
    assert headers == {"Content-Type": "application/json"}
    assert json.loads(body) == {"a": 1}


def test_post_adds_the_content_type_to_headers_that_omit_it(postgres: Connection) -> None:
    postgres.execute(
        "select net.http_post('http://127.0.0.1:9/', headers := '{\"Authorization\": null}')"
    )
    row = postgres.execute("select headers from net.http_request_queue").fetchone()
    # A null secret becomes a null header, silently.
    assert row == ({"Authorization": None, "Content-Type": "application/json"},)


def test_post_takes_json_only(postgres: Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException) as caught:
        postgres.execute(
            "select net.http_post('http://127.0.0.1:9/', "
            'headers := \'{"content-type": "text/plain"}\')'
        )
    assert caught.value.diag.message_primary == 'Content-Type header must be "application/json"'


@pytest.mark.parametrize("function", ["http_get", "http_delete"])
def test_get_and_delete_queue_without_a_body(postgres: Connection, function: str) -> None:
    postgres.execute(f"select net.{function}('http://127.0.0.1:9/')")
    row = postgres.execute(
        "select method::text, body, headers, timeout_milliseconds from net.http_request_queue"
    ).fetchone()
    assert row == (function.removeprefix("http_").upper(), None, {}, 5000)


def test_a_rollback_queues_nothing(postgres: Connection) -> None:
    with postgres.transaction(force_rollback=True):
        postgres.execute("select net.http_get('http://127.0.0.1:9/')")
    row = postgres.execute("select count(*) from net.http_request_queue").fetchone()
    assert row == (0,)
