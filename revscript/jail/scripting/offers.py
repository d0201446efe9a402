"""The closed world: which attributes scripts may read, by exact type. What is not listed does not exist.

SECURITY: this table is the guard rail inside the jail (the process is the wall). An entry must not lead to a
module, a frame, a code object, a traceback or a function's globals; the crawler in the tests follows every
entry.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import difflib
import itertools
import json
import re
import types
import zoneinfo
from collections.abc import Callable
from typing import Any, TypeVar

Names = frozenset[str]
Class = TypeVar("Class", bound=type)

NOTHING: Names = frozenset()


def names(text: str) -> Names:
    """A set of names, written with blanks between them."""
    return frozenset(text.split())


def public(cls: type, *without: str) -> Names:
    """All names of a plain data type that have no underscore in front."""
    return frozenset(name for name in dir(cls) if not name.startswith("_")) - set(without)


class Namespace:
    """What a script gets for a module: the listed names and nothing else, never a module object.

    It has no `__name__`: `from x import y` would look into `sys.modules` by that name when `y` is missing.
    """

    __slots__ = ("_contents", "_title")

    def __init__(self, title: str, contents: dict[str, Any]) -> None:
        self._title = title
        self._contents = contents

    def __getattr__(self, name: str) -> Any:
        # Called by the interpreter for `from x import y` only; the policy has checked the name before.
        try:
            return self._contents[name]
        except KeyError:
            raise AttributeError(f"{self._title} offers no '{name}' to scripts") from None

    def __repr__(self) -> str:
        return f"<module {self._title}>"

    def __dir__(self) -> list[str]:
        return sorted(self._contents)


_DATE = names("year month day replace toordinal weekday isoweekday isocalendar isoformat ctime strftime")
_TIME = names("hour minute second microsecond tzinfo fold replace isoformat strftime utcoffset dst tzname")

_EMPTY: dict[str, str] = {}
_KEYS: type = type(_EMPTY.keys())
_ITEMS: type = type(_EMPTY.items())

OFFERS: dict[type, Names] = {
    str: public(str, "format", "format_map", "maketrans"),
    bytes: public(bytes, "maketrans"),
    int: names("bit_length bit_count to_bytes as_integer_ratio numerator denominator real imag"),
    float: names("is_integer as_integer_ratio hex real imag"),
    list: public(list),
    tuple: public(tuple),
    dict: public(dict),
    set: public(set),
    frozenset: public(frozenset),
    range: names("start stop step count index"),
    slice: names("start stop step indices"),
    _KEYS: names("isdisjoint"),
    _ITEMS: names("isdisjoint"),
    types.MappingProxyType: names("get keys values items copy"),
    re.Pattern: names("match fullmatch search findall finditer split sub subn pattern flags groups groupindex"),
    re.Match: names("group groups groupdict start end span pos endpos lastindex lastgroup string re expand"),
    datetime.date: _DATE,
    datetime.time: _TIME,
    datetime.datetime: _DATE | _TIME | names("date time timetz astimezone timestamp"),
    datetime.timedelta: names("days seconds microseconds total_seconds"),
    datetime.timezone: names("utcoffset tzname dst"),
    type(datetime.date(2000, 1, 1).isocalendar()): names("year week weekday"),
    zoneinfo.ZoneInfo: names("key utcoffset tzname dst"),
    decimal.Decimal: names(
        "quantize normalize is_nan is_finite is_zero is_signed as_tuple to_integral_value sqrt copy_abs compare"
    ),
    collections.Counter: public(collections.Counter),
    collections.OrderedDict: public(collections.OrderedDict),
    collections.defaultdict: public(collections.defaultdict, "default_factory"),
    collections.deque: public(collections.deque),
}

CLASS_OFFERS: dict[type, Names] = {
    str: public(str, "format", "format_map"),
    bytes: names("fromhex maketrans"),
    int: names("from_bytes"),
    float: names("fromhex"),
    dict: names("fromkeys"),
    datetime.date: names("fromisoformat fromordinal fromisocalendar min max"),
    datetime.time: names("fromisoformat min max"),
    datetime.datetime: names("strptime fromisoformat fromtimestamp combine min max"),
    datetime.timedelta: names("min max"),
    datetime.timezone: names("utc"),
    itertools.chain: names("from_iterable"),
}

_EXCEPTION = names("args")
_EXCEPTION_EXTRAS: dict[type, Names] = {json.JSONDecodeError: names("msg pos lineno colno")}

_HINTS: dict[tuple[type, str], str] = {
    (str, "format"): "use an f-string",
    (str, "format_map"): "use an f-string",
    (str, "maketrans"): "write str.maketrans(…)",
    # A run is a function of its inputs; the machine's clock is none of them.
    (datetime.datetime, "now"): "use now(), the run's time",
    (datetime.datetime, "utcnow"): "use now(), the run's time",
    (datetime.datetime, "today"): "use now(), the run's time",
    (datetime.date, "today"): "use now().date(), the run's day",
}


def offers(text: str) -> Callable[[Class], Class]:
    """Class decorator: scripts may read these names of instances of this very class."""

    def register(cls: Class) -> Class:
        OFFERS[cls] = names(text)
        return cls

    return register


def kind_of(value: object) -> type:
    """The exact type of a value; what a value says about itself is not asked."""
    return type(value)


def offered(value: Any) -> Names:
    """The names that scripts may read of this value."""
    kind = kind_of(value)
    if kind is type:
        return CLASS_OFFERS.get(value, NOTHING)
    if kind is Namespace:
        return frozenset(dir(value))
    found = OFFERS.get(kind)
    if found is None and issubclass(kind, BaseException):
        found = _EXCEPTION | _EXCEPTION_EXTRAS.get(kind, NOTHING)
    return found or NOTHING


def refusal(value: Any, name: str) -> str:
    """Why a name cannot be read, and which one was probably meant; text only, errors carry no objects."""
    if value is None:
        return f"None has no '{name}': there was no result"
    kind: type = value if kind_of(value) is type else kind_of(value)
    title = repr(value) if kind is Namespace else kind.__name__
    text = f"{title} offers no '{name}' to scripts"
    if hint := _HINTS.get((kind, name)):
        return f"{text}: {hint}"
    if near := difflib.get_close_matches(name, sorted(offered(value)), n=1):
        return f"{text}; did you mean '{near[0]}'?"
    return text
