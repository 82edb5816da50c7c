"""Values written as JSON and read again, by this version and by another."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - `codec` reads the types of fields
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sql_snippets.codec import NOT_WRITTEN, decode, encode
from sql_snippets.model import Mark


@dataclass(frozen=True)
class Tree:
    name: str
    below: tuple[Tree, ...] = ()
    pair: tuple[int, Path] | None = None
    mark: Mark | None = None
    at: datetime | None = None
    others: Mapping[str, Tree] = field(default_factory=dict)
    worked_out: str = field(default="", metadata=NOT_WRITTEN)


AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
TREE = Tree(
    "top",
    (Tree("left", pair=(1, Path("a/b"))), Tree("right", mark=Mark.STOP)),
    at=AT,
    others={"x": Tree("below a name")},
)


def test_what_was_written_is_read() -> None:
    written = json.dumps(encode(TREE))
    assert decode(Tree, json.loads(written)) == TREE
    assert "worked_out" not in written


def test_what_is_not_known_is_left_out_and_what_is_not_there_has_its_default() -> None:
    values: dict[str, Any] = {"name": "x", "colour": "green", "worked_out": "y"}
    assert decode(Tree, values) == Tree("x")


@pytest.mark.parametrize("text", ["2026-11-27T12:00:00", "2026-11-27T13:00:00+01:00"])
def test_a_time_is_one_in_utc(text: str) -> None:
    at = decode(Tree, {"name": "x", "at": text}).at
    assert at == AT
    assert at is not None
    assert at.utcoffset() == timedelta(0)
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    assert decode(Tree, encode(Tree("x", at=elsewhere))).at == AT


@pytest.mark.parametrize(
    "values",
    [
        None,
        3,
        [],
        {},
        {"name": "x", "below": 3},
        {"name": "x", "below": [3]},
        {"name": "x", "mark": "SAFE"},
        {"name": "x", "pair": [1]},
        {"name": "x", "at": "yesterday"},
        {"name": "x", "others": []},
    ],
)
def test_what_is_no_such_value_is_an_error(values: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError, LookupError)):
        decode(Tree, values)


def test_a_kind_that_nobody_could_read_again_is_not_written() -> None:
    with pytest.raises(TypeError, match="a object is not known here"):
        encode({"x": object()})
