"""Limits of everything that crosses the wall, written once and enforced on both sides.

A limit is a marker inside `Annotated[...]`. In the jail `conform()` checks a value against its annotation, so that
a script gets a clear error at its own line; in the host pydantic calls the very same `check` through
`__get_pydantic_core_schema__` (which only builds a plain dict: nothing of pydantic is imported here).

SECURITY: the jail's own check is a courtesy to the script's author; the host's is the one that counts.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable
from typing import Any, ClassVar

STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}

# C0, DEL and C1 controls, and what reorders or breaks a line on screen (Unicode bidi controls, line separators).
_LINE_BREAKERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_TEXT_BREAKERS = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,252})")
_REF = re.compile(r"(mission|form):[1-9][0-9]{0,17}|effect:(0|[1-9][0-9]{0,3})")


class Limit:
    """Base of the markers: stateless, `check` raises ValueError with a text for the script's author."""

    __slots__ = ()

    def check(self, value: Any) -> Any:
        """Return `value` unchanged, or raise ValueError."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": self.check},
            "schema": handler(source),
        }


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text holds half of a character (a lone surrogate)") from None
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class Line(Limit):
    """One line of text of `min` to `max` characters without control characters: safe in a header or a list."""

    max: int
    min: int = 0

    def check(self, value: str) -> str:
        if not self.min <= len(value) <= self.max:
            raise ValueError(f"text must have {self.min} to {self.max} characters, this one has {len(value)}")
        if found := _LINE_BREAKERS.search(value):
            raise ValueError(f"text must be one line without control characters, found {found[0]!r}")
        return _encodable(value)


@dataclasses.dataclass(frozen=True, slots=True)
class FileName(Limit):
    """A name that stays where it is put: one path component of at most `max` bytes as UTF-8 (mime.md §5)."""

    max: int

    def check(self, value: str) -> str:
        if not 1 <= len(_encodable(value).encode()) <= self.max:
            raise ValueError(f"a file name must have 1 to {self.max} bytes")
        if value in (".", "..") or "/" in value or "\\" in value or _LINE_BREAKERS.search(value):
            raise ValueError("a file name must not hold path separators or control characters")
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Text(Limit):
    """Text of up to `max` characters; of the control characters only tab and line feed."""

    max: int

    def check(self, value: str) -> str:
        if len(value) > self.max:
            raise ValueError(f"text must have at most {self.max} characters, this one has {len(value)}")
        if found := _TEXT_BREAKERS.search(value):
            raise ValueError(f"text must not hold the control character {found[0]!r}")
        return _encodable(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Address(Limit):
    """A mail address (addr-spec with dot-atom or UTF-8 local part, RFC 5321 §4.1.2, RFC 6531), no display name."""

    def check(self, value: str) -> str:
        if len(value) > 254 or not _ADDRESS.fullmatch(value) or _LINE_BREAKERS.search(value):
            raise ValueError(f"{value[:100]!r} is not a mail address")
        return _encodable(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Ref(Limit):
    """Points at a record: `mission:ID`, `form:ID` (seen in an answer of this run) or `effect:N` (made in this run)."""

    kind: str

    def check(self, value: str) -> str:
        if not _REF.fullmatch(value) or not value.startswith((self.kind + ":", "effect:")):
            raise ValueError(f"{value[:50]!r} does not point at a {self.kind}")
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Range(Limit):
    """A finite number between `low` and `high`, both included."""

    low: float
    high: float

    def check(self, value: float) -> float:
        if not self.low <= value <= self.high:  # no number that is none, no endless one, no integer beyond all floats
            raise ValueError(f"number must be between {self.low:g} and {self.high:g}")
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Items(Limit):
    """At most `max` entries."""

    max: int

    def check(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(value) > self.max:
            raise ValueError(f"at most {self.max} entries are allowed, these are {len(value)}")
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Tagged(Limit):
    """A union of dataclasses told apart by the literal in their field `key`: one clear error instead of one each."""

    key: str

    def check(self, value: Any) -> Any:
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        choices: dict[str, Any] = {}
        for cls in typing.get_args(source):
            tag = typing.get_args(typing.get_type_hints(cls)[self.key])[0]
            choices[tag] = handler.generate_schema(cls)
        return {"type": "tagged-union", "choices": choices, "discriminator": self.key}


class Strict:
    """Base of every dataclass that crosses the wall: unknown keys and NaN are refused by the host."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


def conform(value: Any, annotation: Any) -> None:
    """Check `value` against a type annotation with its limits; ValueError or TypeError says what is wrong."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        base, *markers = typing.get_args(annotation)
        conform(value, base)
        for marker in markers:
            if isinstance(marker, Limit):
                marker.check(value)
    elif origin is typing.Literal:
        if value not in typing.get_args(annotation):
            choices = ", ".join(repr(choice) for choice in typing.get_args(annotation))
            raise ValueError(f"{value!r} is not one of {choices}")
    elif origin in (typing.Union, types.UnionType):
        _conform_union(value, typing.get_args(annotation))
    elif origin is tuple:
        if type(value) is not tuple:
            raise TypeError(f"a {type(value).__name__} was given where a list is needed")
        for item in typing.cast("tuple[Any, ...]", value):
            conform(item, typing.get_args(annotation)[0])
    elif dataclasses.is_dataclass(annotation):
        if type(value) is not annotation:
            raise TypeError(f"a {type(value).__name__} was given where a {annotation} is needed")
        conform_fields(value)
    elif annotation is float:
        if type(value) not in (int, float):
            raise TypeError(f"a {type(value).__name__} was given where a number is needed")
    elif type(value) is not annotation:
        raise TypeError(f"a {type(value).__name__} was given where a {annotation.__name__} is needed")


def _conform_union(value: Any, choices: tuple[Any, ...]) -> None:
    if value is None and types.NoneType in choices:
        return None
    problem: Exception = TypeError("nothing fits")
    for choice in choices:
        if choice is types.NoneType:
            continue
        try:
            return conform(value, choice)
        except (TypeError, ValueError) as error:
            problem = error
    raise problem


_hints: dict[type, dict[str, Any]] = {}


def conform_fields(record: Any) -> None:
    """Check every field of a dataclass instance; the error names the field."""
    cls = typing.cast("type[Any]", type(record))
    if cls not in _hints:
        _hints[cls] = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        try:
            conform(getattr(record, field.name), _hints[cls][field.name])
        except (TypeError, ValueError) as error:
            raise type(error)(f"{field.name}: {error}") from None
