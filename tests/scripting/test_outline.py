"""What a file is made of: its entry, imports, names and tables."""

from __future__ import annotations

import pytest

from revscript.jail.limits import conform_fields
from revscript.jail.scripting.policy import examine
from revscript.jail.wire import MAX_DEFINED, MAX_IMPORTS, OutlineFrame


def outline(source: str) -> OutlineFrame:
    found = examine(source).outline
    conform_fields(found)
    return found


def imports(source: str) -> list[tuple[str, tuple[str, ...], int, int]]:
    return [(one.module, one.names, one.line, one.column) for one in outline(source).imports]


@pytest.mark.parametrize(
    ("source", "is_script"),
    [
        ("def onEMail(mail):\n    pass", True),
        ("async def onEMail(mail):\n    pass", True),
        ("x = (\ndef onEMail(mail):\n    pass", True),  # cannot be parsed: what it is meant to be
        ("x = (\n    def onEMail(mail):\n    pass", False),
        ("if 1:\n    def onEMail(mail):\n        pass", False),
        ("onEMail = 1", False),
        ("", False),
    ],
)
def test_a_script_has_an_entry(source: str, is_script: bool) -> None:
    assert outline(source).is_script == is_script


def test_why_it_is_no_script() -> None:
    entry = outline("x = 1").entry
    assert entry is not None
    assert entry.text == "the script has no function; write: def onEMail(mail):"
    assert examine("x = 1").problems == ()
    assert outline("def onEMail(mail):\n    pass").entry is None


def test_imports_with_their_places() -> None:
    source = (
        "import re\nfrom math import floor\nfrom units import a, b as c\n"
        "def f():\n    ä = 'ä'; from words import d\n    if f:\n        from units import e\n"
    )
    assert imports(source) == [("units", ("a", "b"), 3, 1), ("words", ("d",), 5, 14), ("units", ("e",), 7, 9)]


def test_imports_that_are_refused_are_not_among_them() -> None:
    assert imports("from . import a\nfrom .b import c\nfrom d.e import f\nfrom _g import h\nfrom i import *") == []


def test_names_that_others_can_import() -> None:
    source = """
import re, urllib.parse as up
from datetime import UTC as utc
from other import thing
A = 1
B: int = 2
(c, [d, *e]) = 1, [2, 3]
for f in []:
    g = 1
try:
    h = 1
except ValueError as gone:
    i = 1
match A:
    case {"x": j, **k}:
        pass
def l(argument):
    inside = 1
    global m
    m = 1
n = [o_inner for o_inner in [1] if (p := 1)]
q = lambda r_inner: r_inner
_private = 1
"""
    found = outline(source).defines
    assert "".join(name for name in found if len(name) == 1) == "ABcdefghijklmnpq"
    assert [name for name in found if len(name) > 1] == ["re", "thing", "up", "utc"]


def test_a_script_offers_nothing() -> None:
    assert outline("x = 1\ndef onEMail(mail):\n    pass").defines == ()


@pytest.mark.parametrize(
    ("source", "names", "any_table"),
    [
        ("x = 1", [], False),
        ("x = tables('units').get('a')", [("units", 1, 12)], False),
        ("def f():\n    return [tables('a'), tables('b')]", [("a", 2, 20), ("b", 2, 33)], False),
        ("x = tables(name)", [], True),
        ("x = tables('a'), tables(f'{x}')", [("a", 1, 12)], True),
        ("t = tables\nt('a')", [], True),
        ("x = tables(name='a')", [], True),
        ("x = tables('a', 1)", [], True),
        ("x = tables('" + "a" * 300 + "')", [], True),
        ("x = tables('a\\nb')", [], True),
        ("def tables(x):\n    return x\nx = tables('a')", [], True),
        ("x = mail.tables('a')", [], False),
    ],
)
def test_tables(source: str, names: list[tuple[str, int, int]], any_table: bool) -> None:
    found = outline(source)
    assert ([(one.name, one.line, one.column) for one in found.tables], found.any_table) == (names, any_table)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("from a import b\n" * (MAX_IMPORTS + 1), "import from libraries at most"),
        ("from a import " + ", ".join(f"n{n}" for n in range(MAX_IMPORTS + 1)), "an import may have"),
        ("from a import " + "b" * 300, "an import may have"),
        ("from " + "a" * 300 + " import b", "an import may have"),
        ("\n".join(f"n{n} = 1" for n in range(MAX_DEFINED + 1)), "a library may define"),
    ],
)
def test_what_no_outline_can_hold(source: str, text: str) -> None:
    found = examine(source)
    conform_fields(found.outline)
    assert any(text in one.text for one in found.problems)


def test_the_largest_outline_fits() -> None:
    found = examine("\n".join(f"{chr(0x10000 + n % 10)}{n:040} = 1" for n in range(MAX_DEFINED)))
    assert found.problems == ()
    conform_fields(found.outline)
    assert len(found.outline.defines) == MAX_DEFINED
