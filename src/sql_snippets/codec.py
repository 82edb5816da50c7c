"""Plain frozen values as JSON has them, and back.

What a reader does not know is left out, and what is not there has its default: so a file can be
read that another version has written.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

_Value = TypeVar("_Value")
_Decode = Callable[[Any], Any]

_PLAIN = {type(None), bool, int, float, str}

NOT_WRITTEN: Mapping[str, bool] = {"written": False}
"""The metadata of a field that is not written."""


def encode(value: object) -> Any:
    """Return a value as JSON has it."""
    kind = type(value)
    encoded: Any = value
    if kind in _PLAIN:
        pass
    elif dataclasses.is_dataclass(kind):
        encoded = {name: encode(getattr(value, name)) for name in _written(kind)}
    elif isinstance(value, tuple | list):
        encoded = [encode(part) for part in value]
    elif isinstance(value, Mapping):
        encoded = {str(name): encode(part) for name, part in value.items()}
    elif isinstance(value, Enum):
        encoded = value.value
    elif isinstance(value, datetime):
        encoded = value.isoformat()
    elif isinstance(value, str | Path):
        encoded = str(value)
    else:
        raise TypeError(f"a {kind.__name__} is not known here")
    return encoded


def decode(kind: type[_Value], value: Any) -> _Value:
    """Return the value of a kind that JSON holds.

    Raise ValueError, TypeError, AttributeError or LookupError when it is none.
    """
    return cast("_Value", _decoder(cast("Any", kind))(value))


@cache
def _written(kind: type) -> tuple[str, ...]:
    fields = dataclasses.fields(kind)
    return tuple(field.name for field in fields if field.metadata.get("written", True))


@cache
def _decoder(kind: Any) -> _Decode:
    """Return what makes a value of a kind; worked out once, as there are thousands on a page."""
    arguments = typing.get_args(kind)
    if arguments:
        return _decoder_of_parts(typing.get_origin(kind), arguments)
    if dataclasses.is_dataclass(kind):
        return _Record(kind)
    if kind is datetime:
        return _moment
    return kind if isinstance(kind, type) and issubclass(kind, Enum | Path) else _same


def _decoder_of_parts(origin: Any, arguments: tuple[Any, ...]) -> _Decode:
    first, last = _decoder(arguments[0]), _decoder(arguments[-1])
    if origin in {typing.Union, types.UnionType}:
        return lambda value: None if value is None else first(value)
    if origin is tuple and arguments[1:] == (...,):
        return tuple if first is _same else lambda value: tuple(map(first, value))
    if origin is tuple:
        makers = tuple(map(_decoder, arguments))
        return lambda value: tuple(make(part) for make, part in zip(makers, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value: {name: last(part) for name, part in value.items()}
    return _same


def _moment(text: str) -> datetime:
    """Return a time in UTC, which is what a time without a zone is taken for."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _same(value: Any) -> Any:
    return value


class _Record:
    """Makes the values of one dataclass."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        # Later, as a class may hold others of itself.
        self.makers: dict[str, _Decode] = {}

    def __call__(self, value: Any) -> Any:
        if not self.makers:
            hints = typing.get_type_hints(self.kind)
            self.makers = {name: _decoder(hints[name]) for name in _written(self.kind)}
        makers = self.makers
        return self.kind(
            **{name: makers[name](part) for name, part in value.items() if name in makers}
        )
