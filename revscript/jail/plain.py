"""Dataclasses to plain JSON data and back, for values that conform already (the other side's check comes first)."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

Record = TypeVar("Record")


def to_plain(value: Any) -> Any:
    """A dataclass, tuple or simple value as what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in typing.cast("list[Any]", value)]
    return value


_hints: dict[type, dict[str, Any]] = {}


def from_plain(cls: type[Record], data: dict[str, Any]) -> Record:
    """Build `cls` from what `to_plain` made of it; missing keys take their defaults."""
    if cls not in _hints:
        _hints[cls] = typing.get_type_hints(cls)
    hints = _hints[cls]
    return cls(**{name: _build(hints[name], value) for name, value in data.items()})


def _build(annotation: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not types.NoneType)
    if dataclasses.is_dataclass(annotation):
        return from_plain(typing.cast("type[Any]", annotation), value)
    if typing.get_origin(annotation) is tuple:
        inner = typing.get_args(annotation)[0]
        return tuple(_build(inner, item) for item in value)
    return value
