"""What a page says, as plain values to make a hash of."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from sql_snippets.model import LineOrigin, Location, Span

_PLACES = (Location, LineOrigin, Span)


@cache
def _names_of(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name != "end_line")


def plain(value: object) -> Any:
    """Return a value of the model as JSON has it, without the places where it stands."""
    if isinstance(value, _PLACES):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        return [kind.__name__, {name: plain(getattr(value, name)) for name in _names_of(kind)}]
    if isinstance(value, dict):
        return sorted((str(key), plain(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
