"""From the effects' annotations: a good value of every field, and bad ones that break each of its limits once."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from revscript.jail.effects import Effect, ShowInCentre
from revscript.jail.limits import Address, Items, Line, Range, Ref, Text

EFFECTS: tuple[type[Any], ...] = typing.get_args(Effect)
SURROGATE = "half \ud83d"

_GOOD: dict[type[Any], Callable[[Any], Any]] = {
    Line: lambda limit: "x" * max(1, limit.min),
    Text: lambda _: "x\n",
    Address: lambda _: "mue@thw.example",
    Ref: lambda limit: f"{limit.kind}:1",
    Range: lambda limit: limit.low,
    Items: lambda _: (),
}
_WRONG_TYPES: dict[type[Any], tuple[Any, ...]] = {
    str: (5, True, ["x"]),
    int: ("5", 1.5, True),
    float: ("5", True),
    bool: (1, "true"),
}


class Bad(NamedTuple):
    """A value that is to be refused, and what is wrong with it."""

    what: str
    value: Any


def hints(cls: type[Any]) -> dict[str, Any]:
    """The annotations of a class's fields, with their limits."""
    found = typing.get_type_hints(cls, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(cls)}


def good(cls: type[Any]) -> Any:
    """An effect with every field filled."""
    return cls(**{name: good_value(annotation) for name, annotation in hints(cls).items()})


def good_value(annotation: Any) -> Any:
    """A value that fits an annotation."""
    base, limits = _taken_apart(annotation)
    if typing.get_origin(base) is tuple:
        return (good_value(typing.get_args(base)[0]),)
    if limits:
        return _GOOD[type(limits[0])](limits[0])
    if typing.get_origin(base) is typing.Literal:
        return typing.get_args(base)[0]
    return True if base is bool else good(base)


def bad_values(annotation: Any) -> Iterator[Bad]:
    """Values that break an annotation, each in one way."""
    base, limits = _taken_apart(annotation)
    if not _may_be_missing(annotation):
        yield Bad("nothing", None)
    for limit in limits:
        yield from _BREAKERS[type(limit)](limit)
    origin = typing.get_origin(base)
    if origin is typing.Literal:
        yield from (Bad("an unknown word", "unknown"), Bad("of type int", 5))
    elif origin is tuple:
        item = typing.get_args(base)[0]
        yield Bad("of type str", "x")
        for limit in limits:
            yield Bad("too many", (good_value(item),) * (limit.max + 1))
        yield from (Bad(f"an item of {bad.what}", (bad.value,)) for bad in bad_values(item))
    elif dataclasses.is_dataclass(base):
        cls = typing.cast("type[Any]", base)
        yield Bad("of another type", ShowInCentre())
        for name, hint in hints(cls).items():
            yield from (Bad(f"{name}: {bad.what}", _with(good(cls), name, bad.value)) for bad in bad_values(hint))
    else:
        yield from (Bad(f"of type {type(value).__name__}", value) for value in _WRONG_TYPES[base])


def bad_effects() -> Iterator[tuple[str, Any, str]]:
    """(what is wrong, the effect, its wrong field) for every field of every effect."""
    for cls in EFFECTS:
        for name, annotation in hints(cls).items():
            for bad in bad_values(annotation):
                yield f"{cls.__name__}.{name}: {bad.what}", _with(good(cls), name, bad.value), name


def _line(limit: Line) -> Iterator[Bad]:
    if limit.min:
        yield Bad("too short", "x" * (limit.min - 1))
    yield Bad("too long", "x" * (limit.max + 1))
    for name, sign in [("LF", "\n"), ("CR", "\r"), ("NUL", "\0"), ("C1", "\x85"), ("LS", "\u2028"), ("bidi", "\u202e")]:
        yield Bad(name, f"a{sign}b")
    yield Bad("half a character", SURROGATE)


def _text(limit: Text) -> Iterator[Bad]:
    yield Bad("too long", "x" * (limit.max + 1))
    for name, sign in [("CR", "\r"), ("NUL", "\0"), ("ESC", "\x1b"), ("bidi", "\u2066")]:
        yield Bad(name, f"a{sign}b")
    yield Bad("half a character", SURROGATE)


def _address(_: Address) -> Iterator[Bad]:
    texts = {
        "empty": "",
        "no at": "mue",
        "blank": "m ue@thw.example",
        "second header": "mue@thw.example\nBcc: x@y.example",
        "name": "Mue <mue@thw.example>",
        "two": "mue@thw.example,x@y.example",
        "long": "m@" + "x" * 253,
        "bidi": "m\u202eue@thw.example",
        "half a character": "m\ud83d@thw.example",
    }
    yield from (Bad(name, text) for name, text in texts.items())


def _ref(limit: Ref) -> Iterator[Bad]:
    other = "form" if limit.kind == "mission" else "mission"
    for text in ("", limit.kind, f"{other}:1", f"{limit.kind}:0", f"{limit.kind}:-1", f"{limit.kind}:1\n", "effect:01"):
        yield Bad(repr(text), text)
    yield Bad("a number that no database takes", f"{limit.kind}:{10**19}")
    yield Bad("foreign digits", f"{limit.kind}:\u0661")


def _range(limit: Range) -> Iterator[Bad]:
    whole = isinstance(limit.low, int) and isinstance(limit.high, int)
    yield from (Bad("too low", limit.low - 1), Bad("too high", limit.high + 1))
    yield from (Bad("NaN", math.nan), Bad("endless", math.inf), Bad("endless below", -math.inf))
    yield Bad("a number beyond all floats", 10**400 if whole else 1e308)


def _items(_: Items) -> Iterator[Bad]:
    return iter(())  # with the tuple that it limits, above


_BREAKERS: dict[type[Any], Callable[[Any], Iterator[Bad]]] = {
    Line: _line,
    Text: _text,
    Address: _address,
    Ref: _ref,
    Range: _range,
    Items: _items,
}


def _taken_apart(annotation: Any) -> tuple[Any, list[Any]]:
    """The type behind `… | None` and `Annotated`, and its limits."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(choice for choice in typing.get_args(annotation) if choice is not types.NoneType)
    if typing.get_origin(annotation) is typing.Annotated:
        base, *limits = typing.get_args(annotation)
        return base, limits
    return annotation, []


def _may_be_missing(annotation: Any) -> bool:
    return types.NoneType in typing.get_args(annotation)


def _with(record: Any, name: str, value: Any) -> Any:
    """The record with another value in one field; replaces without asking, like a compromised child."""
    changed = dataclasses.replace(record)
    object.__setattr__(changed, name, value)
    return changed
