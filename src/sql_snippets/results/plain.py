"""What a page says, as plain values to make a hash of."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from sql_snippets.model import LineOrigin, Location, Span

_PLACES = (Location, LineOrigin, Span)


def plain(value: object) -> Any:
    """Return a value of the model as JSON has it, without the places where it stands."""
    if isinstance(value, _PLACES):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return [
            type(value).__name__,
            {
                field.name: plain(getattr(value, field.name))
                for field in fields(value)
                if field.name != "end_line"
            },
        ]
    if isinstance(value, dict):
        return sorted((str(key), plain(part)) for key, part in value.items())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
