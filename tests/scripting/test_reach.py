"""The crawler: from all that a script has, follow what it may read and call, and look at what comes out."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import functools
import itertools
import json
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from revscript.jail.scripting import guards, modules, offers
from revscript.jail.scripting.libraries import Libraries, Library
from revscript.jail.scripting.objects import Desk, Mail, names_for
from revscript.jail.scripting.policy import compile_script, examine
from tests.scripting.fake import CONTEXT, FakeSession, form, mission, reading

DEPTH = 5
World = list[tuple[str, Any]]
ARGUMENTS: tuple[tuple[Any, ...], ...] = ((), ("a",), (1,), ([1],))
FORBIDDEN = (
    types.ModuleType,
    types.FrameType,
    types.CodeType,
    types.TracebackType,
    types.CellType,
    Desk,
    FakeSession,
    Libraries,
    Library,
)
# Without end, or with too much of it.
ENDLESS = {"cycle", "count", "repeat"}


def errors() -> Iterator[Exception]:
    tries: list[Callable[[], Any]] = [
        lambda: 1 / 0,
        lambda: guards.get_attribute(Mail, "nope"),
        lambda: guards.import_module("os"),
        lambda: guards.writable(1),
        lambda: json.loads("{"),
        lambda: re.compile("("),
        lambda: decimal.Decimal("x"),
        lambda: "\ud800".encode(),
        lambda: next(iter([])),
        lambda: guards.BUILTINS["x"],
    ]
    for attempt in tries:
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - these are what is looked at
            yield error


LIBRARY = """
import re
from datetime import timedelta

def plain(x=None):
    return x or plain

def steps():
    yield plain

def fails(x=None):
    raise ValueError(x, plain, "text")

class_of_errors = ValueError
caught = []
for attempt in (fails, lambda: re.compile("("), lambda: mail):
    try:
        attempt()
    except Exception as error:
        caught.append(error)
values = {"re": re, "steps": steps(), "table": tables("a"), "pair": (timedelta, missions)}
"""


def imported(names: dict[str, Any]) -> dict[str, Any]:
    """What a script has after `from lib import …` of all that there is."""
    library = Libraries({"lib": functools.partial(compile_script, LIBRARY, library=True)}, names)
    wanted = examine(LIBRARY).outline.defines
    proxy = library.import_name("lib", fromlist=wanted)
    return {f"lib:{name}": getattr(proxy, name) for name in wanted}


def roots() -> dict[str, Any]:
    session = FakeSession()
    session.missions = {"a": mission("a", "mission:1")}
    session.forms = {"a": form(key="a", mission="mission:1"), None: form()}
    session.tables = {"a.csv": "a;b\n1;2\n"}
    desk = Desk(reading(), CONTEXT, session, tuple(session.tables))
    names = names_for(desk)
    found = {**guards.BUILTINS, **modules.MODULES, **modules.PACKAGES, **names, "mail": Mail(desk)}
    found |= imported(names)
    found.pop("__import__")  # not a name for scripts
    found |= {type(error).__name__ + "()": error for error in errors()}
    return found | {
        "function": lambda: 0,
        "generator": (n for n in [1]),
        "match": re.match("(?P<x>a)", "a"),
        "pattern": re.compile("(a)"),
        "datetime": datetime.datetime(2026, 1, 1, tzinfo=modules.ZONES["UTC"]),
        "zone": next(iter(modules.ZONES.values())),
        "counter": collections.Counter("aab"),
        "defaultdict": collections.defaultdict(list, a=[1]),
        "ordered": collections.OrderedDict(a=1),
        "deque": collections.deque([1]),
        "alias": list[int],
        "decimal": decimal.Decimal("1.5"),
        "view": {1: 2}.items(),
    }


def results(name: str, value: Any) -> Iterator[Any]:
    """What a call without or with one simple argument gives."""
    if not callable(value) or name in ENDLESS:
        return
    for args in ARGUMENTS:
        with contextlib.suppress(Exception):
            yield value(*args)


def contents(value: Any) -> list[Any]:
    if isinstance(value, dict | types.MappingProxyType):
        pairs = cast("dict[Any, Any]", value)
        return [item for pair in list(pairs.items())[:50] for item in pair]
    if isinstance(value, list | tuple | set | frozenset | Iterator):
        return list(itertools.islice(cast("Iterator[Any]", value), 50))
    return []


def is_dangerous(value: Any) -> bool:
    return isinstance(value, FORBIDDEN) or (isinstance(value, dict) and "__builtins__" in value)


def neighbours(value: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted(offers.offered(value)):
        with contextlib.suppress(Exception):
            yield "." + name, guards.get_attribute(value, name)
    with contextlib.suppress(Exception):
        for item in contents(value):
            yield "[…]", item


def identity(value: Any) -> Any:
    # One text is as good as another, and so is a list of texts; each function and own object is looked at.
    kind = offers.kind_of(value)
    if kind in offers.OFFERS and not issubclass(kind, Iterator) and not kind.__module__.startswith("revscript"):
        return kind, frozenset(offers.kind_of(item) for item in contents(value))
    return id(value)


def crawl() -> World:
    """All values found, with the way to them."""
    seen: set[Any] = set()
    found: World = []  # keeps them, so that no identity is used twice
    todo = collections.deque((name, value, 0) for name, value in roots().items())
    while todo:
        path, value, depth = todo.popleft()
        if depth and identity(value) in seen:
            continue
        seen.add(identity(value))
        found.append((path, value))
        if depth == DEPTH or is_dangerous(value):
            continue
        name = path.rpartition(".")[2].partition("(")[0]
        steps = list(neighbours(value)) + [("()", result) for result in results(name, value)]
        todo.extend((path + step, item, depth + 1) for step, item in steps)
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return crawl()


def test_it_walks(world: World) -> None:
    kinds = {type(value).__name__ for _, value in world}
    assert len(world) > 300
    assert {"lib:plain", "lib:values[…]", "lib:caught[…]"} <= {path for path, _ in world}
    assert {"Mail", "Address", "Attachment", "Headers", "Mission", "Folder", "Document", "Change", "Table"} <= kinds


def dangerous(world: World) -> list[str]:
    return [path for path, value in world if is_dangerous(value)]


def test_nothing_dangerous(world: World) -> None:
    assert dangerous(world) == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (types.FunctionType, "__globals__"),
        (types.MethodType, "__self__"),
        (types.GeneratorType, "gi_frame"),
        (ZeroDivisionError, "__traceback__"),
        (Mail, "_desk"),
    ],
)
def test_a_hole_would_be_found(monkeypatch: pytest.MonkeyPatch, kind: type, names: str) -> None:
    monkeypatch.setitem(offers.OFFERS, kind, offers.names(names))
    assert dangerous(crawl())


def test_classes_are_listed_ones(world: World) -> None:
    known: set[Any] = set(offers.CLASS_OFFERS) | set(offers.OFFERS)
    exports = [getattr(proxy, name) for proxy in modules.MODULES.values() for name in dir(proxy)]
    known |= {value for value in [*guards.BUILTINS.values(), *exports] if isinstance(value, type)}
    classes = [(path, value) for path, value in world if offers.kind_of(value) is type]
    # What Decimal("x") says is wrong comes as classes of exceptions.
    assert not [path for path, value in classes if value not in known and value.__module__ != "decimal"]


def test_only_listed_types_have_attributes(world: World) -> None:
    for path, value in world:
        kind = offers.kind_of(value)
        known = kind in offers.OFFERS or kind in (type, offers.Namespace) or issubclass(kind, Exception)
        assert known or not offers.offered(value), path


def test_no_private_name_is_offered() -> None:
    tables = [*offers.OFFERS.values(), *offers.CLASS_OFFERS.values()]
    assert not [name for table in tables for name in table if name.startswith("_")]


def test_every_offered_name_exists() -> None:
    for kind, names in (offers.OFFERS | offers.CLASS_OFFERS).items():
        assert not [name for name in names if not hasattr(kind, name)], kind
