"""Libraries: each runs once in a run, in names of its own, under the scripts' rules."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from revscript.jail.scripting import libraries
from revscript.jail.scripting.policy import PolicyRefused, compile_script
from revscript.jail.scripting.run import describe, where
from tests.scripting.fake import FakeSession, run

UNITS = """
import re
from datetime import timedelta

log("loaded")
COUNTS = {"n": 0}
LIMIT = timedelta(minutes=5)


def convert(text):
    COUNTS["n"] += 1
    return re.sub("a", lambda found: found[0].upper(), text)


def fail(d):
    return d["nope"]


def note(text):
    notify.all(text)
"""


def run_with(body: str, session: FakeSession | None = None, /, **texts: str) -> FakeSession:
    return run(body, session, {"units": UNITS} | texts)


def frames(body: str, **texts: str) -> list[tuple[int, str]]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        run_with(body, None, **texts)
    return [(frame.line, frame.function) for frame in describe(caught.value).frames]


def test_names_are_bound() -> None:
    session = run_with("from units import convert, LIMIT as limit\nlog(convert('aba'), limit)")
    assert session.lines == ["loaded", "AbA 0:05:00"]


def test_it_runs_once_however_often_it_is_imported() -> None:
    more = "from units import COUNTS, convert\nconvert('x')"
    session = run_with(
        "from units import COUNTS\nfrom more import COUNTS as same\nfrom units import convert\nconvert('x')\n"
        "log(COUNTS, same is COUNTS)",
        more=more,
    )
    assert session.lines == ["loaded", "{'n': 2} True"]


def test_it_runs_only_when_it_is_needed() -> None:
    assert run_with("if not mail:\n    from units import convert").lines == []


def test_runs_do_not_share_what_a_library_keeps() -> None:
    session = FakeSession()
    for _ in range(2):
        run_with("from units import COUNTS, convert\nconvert('x')\nlog(COUNTS['n'])", session)
    assert session.lines == ["loaded", "1", "loaded", "1"]


def test_names_are_its_own() -> None:
    names = "x = 'theirs'\ndef theirs():\n    return x\ndef ours():\n    return main_only"
    session = run_with(
        "x = main_only = 'ours'\nfrom names import theirs, ours\nlog(x, theirs())\n"
        "try:\n    ours()\nexcept NameError as error:\n    log(error)",
        names=names,
    )
    assert session.lines == ["ours theirs", "name 'main_only' is not defined"]


def test_its_wishes_are_the_scripts() -> None:
    session = run_with("from units import note\nnote('x')\nmail.label('y')")
    assert [effect.effect for effect in session.effects] == ["notify", "label_mail"]


def test_a_decorator_of_a_library_may_wrap_the_entry() -> None:
    guard = "def own(function):\n    def inner(mail):\n        log('guarded')\n        function(mail)\n    return inner"
    script = "from guard import own\n\n@own\ndef onEMail(mail):\n    log('ran')"
    assert run_with(script, guard=guard).lines == ["guarded", "ran"]


def test_a_listed_module_is_not_replaced() -> None:
    assert run_with("from math import floor\nlog(floor(1.5))", math="def floor(x):\n    return 'false'").lines == ["1"]
    # What C code loads behind the script's back is no business of libraries either.
    assert run_with("log(f'{mail.received:%H:%M}')", time="1 / 0", datetime="1 / 0").lines == ["13:00"]


# ---------------------------------------------------------------- what goes wrong


def test_lines_of_a_library_say_so() -> None:
    script = "from units import fail\n\ndef helper():\n    fail({})\n\ndef onEMail(mail):\n    helper()"
    assert frames(script) == [(7, "onEMail"), (4, "helper"), (16, "units.py in fail")]


def test_lines_of_a_library_that_fails_when_it_is_loaded() -> None:
    script = "from bad import x\n\ndef onEMail(mail):\n    pass"
    assert frames(script, bad="x = 1\ny = 1 / 0") == [(1, "<module>"), (2, "bad.py in <module>")]


def test_the_scripts_own_line_is_always_among_them() -> None:
    deep = "def down(n):\n    return down(n + 1)"
    found = frames("from deep import down\ndown(0)", deep=deep)
    assert len(found) == 20
    assert found[0] == (3, "onEMail")
    assert set(found[1:]) == {(2, "deep.py in down")}


def test_where_names_libraries_too() -> None:
    found: list[Any] = []

    class Watching(FakeSession):
        def log(self, text: str) -> None:
            found.append(where(__import__("sys")._getframe()))

    run_with("from units import convert", Watching())
    assert [(frame.line, frame.function) for frame in found[0]] == [(2, "onEMail"), (5, "units.py in <module>")]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": "from b import y\nx = 1", "b": "from a import x\ny = 1"}, "library a did not come to its end"),
        ({"a": "from a import x\nx = 1"}, "library a did not come to its end"),
        ({"a": "y = 1"}, "library a has no 'x'"),
        ({"b": "x = 1"}, "module 'a' is not available to scripts"),
    ],
)
def test_an_import_that_cannot_be(texts: dict[str, str], said: str) -> None:
    with pytest.raises(ImportError, match=said):
        run_with("from a import x", None, **texts)


def test_one_that_failed_is_not_tried_again() -> None:
    session = run_with(
        "for n in range(2):\n    try:\n        from bad import x\n    except Exception as error:\n        log(error)",
        bad="log('once')\n1 / 0",
    )
    assert session.lines[:2] == ["once", "division by zero"]
    assert "has failed before" in session.lines[2]


@pytest.mark.parametrize(
    "name", ["_getattr_", "__builtins__", "__name__", "__import__", "_names", "_title", "__class__"]
)
def test_no_guard_of_a_library_is_reached(name: str) -> None:
    """Not by the policy, and not behind it either."""
    with pytest.raises(PolicyRefused):
        compile_script(f"from units import {name}\ndef onEMail(mail):\n    pass")
    own = libraries.Libraries({"units": lambda: compile_script("x = 1", library=True)}, {})
    with pytest.raises(ImportError):
        own.import_name("units", fromlist=(name,))


def test_guards_work_inside() -> None:
    for body, error in (
        ("def peek(mail):\n    return getattr(mail, '__class__')", AttributeError),
        ("def peek(mail):\n    return getattr(peek, '__globals__')", AttributeError),
        ("def peek(mail):\n    mail.headers['x'] = 1", TypeError),
    ):
        with pytest.raises(error):
            run_with("from bad import peek\npeek(mail)", bad=body)


# ---------------------------------------------------------------- the policy


@pytest.mark.parametrize(
    ("line", "column", "text"),
    [
        ("import units", 8, "a library is imported like this: from units import …"),
        ("import os", 8, "module 'os' is not available to scripts"),
        ("from units import *", 19, "'import *' is not available in scripts; name what you need from units"),
        ("from .units import x", 1, "write: from units import …"),
        ("from ..tools.units import x", 1, "write: from units import …"),
        ("from . import units", 1, "write: from units import …"),
        ("from tools.units import x", 1, "put units.py into user_scripts and write: from units import …"),
        ("from _units import x", 1, "names of libraries must not begin with '_'"),
        ("from units import _x", 19, "'_x' cannot be used"),
        ("from units import x as _y", 19, "'_y' cannot be used"),
        ("from units import __class__", 19, "'__class__' cannot be used"),
    ],
)
def test_refused_imports(line: str, column: int, text: str) -> None:
    with pytest.raises(PolicyRefused) as caught:
        compile_script(f"{line}\n\ndef onEMail(mail):\n    pass")
    assert [(one.line, one.column) for one in caught.value.problems if text in one.text] == [(1, column)]


def test_import_os_says_nothing_of_libraries() -> None:
    with pytest.raises(PolicyRefused) as caught:
        compile_script("import os", library=True)
    assert "library" not in str(caught.value)


def test_a_library_needs_no_entry_but_keeps_the_rules() -> None:
    assert compile_script("x = 1", library=True)
    with pytest.raises(PolicyRefused, match="classes are not available"):
        compile_script("class A: pass", library=True)
    with pytest.raises(PolicyRefused, match="there is onEmail"):
        compile_script(textwrap.dedent("def onEmail(mail):\n    pass"), library=True)
