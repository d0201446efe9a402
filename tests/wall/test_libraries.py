"""A script with libraries and tables in the jail: the same wall, the same limits, and nothing outlives a run."""

from __future__ import annotations

import time
from typing import Any

import pytest

from revscript.jail import wire
from revscript.jail.effects import LabelMail
from revscript.methods.script import outcome_of
from revscript.sandbox import Sandbox
from tests.wall.kit import run_set
from tests.wall.liars import END, frame, label, lying, raw_frame
from tests.wall.test_hostile_child import TABLES, run_script

MAIN = "from units import convert\n\n\ndef onEMail(mail):\n    mail.label(convert(mail.subject))\n"
UNITS = "from words import upper\n\nSEEN = []\n\n\ndef convert(text):\n    SEEN.append(1)\n    return upper(text)\n"
WORDS = "def upper(text):\n    return text.upper()\n"
SET = {"units": UNITS, "words": WORDS}


def test_libraries_of_libraries(sandbox: Sandbox) -> None:
    finished = run_set(sandbox, MAIN, SET)
    assert (finished.end.kind, finished.effects) == ("done", [LabelMail(text="B 3 LAGERHALLE")])


def test_nothing_that_a_library_keeps_reaches_the_next_run(sandbox: Sandbox) -> None:
    main = "from keep import SEEN, again\n\ndef onEMail(mail):\n    again()\n    log(SEEN)\n"
    keep = "SEEN = []\n\ndef again():\n    SEEN.append(len(SEEN))\n"
    for _ in range(3):
        assert run_set(sandbox, main, {"keep": keep}).log == ["[0]"]


def test_lines_of_a_library(sandbox: Sandbox) -> None:
    finished = run_set(sandbox, MAIN, {"units": UNITS, "words": "def upper(text):\n    return {}[text]\n"})
    assert finished.end.trouble is not None
    assert finished.end.trouble.frames == ((5, "onEMail"), (8, "units.py in convert"), (2, "words.py in upper"))
    assert finished.end.trouble.line == 5
    assert str(finished.end.trouble) == "KeyError: 'B 3 Lagerhalle' (line 5 → words.py line 2)"


def test_limits_hold_inside_a_library(tight: Sandbox) -> None:
    main = "from deep import down\n\ndef onEMail(mail):\n    down(0)\n"
    for body, kind in (
        ("while True:\n        pass", "time"),
        ("x = 'x' * (1 << 40)", "memory"),
        ("for i in range(201):\n        missions.find(str(i))", "cap"),
        ("return down(n + 1)", "failed"),
    ):
        finished = run_set(tight, main, {"deep": f"def down(n):\n    {body}\n"})
        assert (finished.end.kind, finished.effects) == (kind, [])
        assert finished.end.trouble is not None
        assert finished.end.trouble.line == 4, body
        assert finished.end.trouble.frames[-1][1] == "deep.py in down"


def test_a_library_that_does_not_come_to_its_end_while_it_is_loaded(tight: Sandbox) -> None:
    finished = run_set(
        tight, "from bad import x\n\ndef onEMail(mail):\n    pass\n", {"bad": "while True:\n    x = 1\n"}
    )
    assert finished.end.kind == "time"
    assert finished.end.trouble is not None
    assert finished.end.trouble.line == 1


@pytest.mark.parametrize(
    ("libraries", "text"),
    [
        ({}, "line 1, column 1: module 'units' is not available to scripts, and there is no library units.py"),
        ({"units": UNITS}, "units.py, line 1, column 1: module 'words' is not available"),
        ({"units": "import os\n", "words": WORDS}, "units.py, line 1, column 8: module 'os' is not available"),
        ({"units": "x = 1"}, "line 1, column 1: library units.py has no 'convert'"),
        ({"units": "from units import x\ndef convert(): pass"}, "imports go in a circle: units → units"),
        ({"units": "def convert(): pass\ndef onEMail(mail): pass"}, "units.py is a script"),
    ],
)
def test_a_set_that_is_not_whole_does_not_run(sandbox: Sandbox, libraries: dict[str, str], text: str) -> None:
    outcome = outcome_of("onEMail.py", run_set(sandbox, MAIN, libraries))
    assert outcome.exit == "refused"
    assert outcome.trouble is not None
    assert text in outcome.trouble.text


def test_hostile_libraries_are_no_better_off(sandbox: Sandbox) -> None:
    """Each way out is refused when it is compiled, or raises when it runs."""
    main = "from way import out\n\ndef onEMail(mail):\n    mail.label(str(out(mail)))\n"
    for body in (
        "return out.__globals__",
        "return getattr(out, '__globals__')",
        "return getattr(mail, '_desk')",
        "return (n for n in ()).gi_frame",
        "return __builtins__",
        "return __import__('os')",
        "import os\n    return os",
        "from os import environ\n    return environ",
        "from way import out as me\n    return me.__code__",
        "return open('/etc/passwd')",
        "global _getattr_\n    _getattr_ = 1",
    ):
        finished = run_set(sandbox, main, {"way": f"def out(mail):\n    {body}\n"})
        assert finished.end.kind in ("refused", "failed"), body
        assert finished.effects == [], body


def test_a_library_cannot_change_the_scripts_guards_or_builtins(sandbox: Sandbox) -> None:
    """Names that a library gives itself are its own: the script's `len`, `mail` and `log` stay."""
    library = "def len(x):\n    return 99\n\ndef log(x):\n    return 99\n\nprint = missions = 5\nx = 1\n"
    main = "from names import x\n\ndef onEMail(mail):\n    log(len('ab'), missions.running())\n"
    finished = run_set(sandbox, main, {"names": library}, answer=lambda _: [])
    assert finished.log == ["2 []"]


# ---------------------------------------------------------------- tables


def test_tables_in_the_jail(sandbox: Sandbox) -> None:
    main = (
        "from units import name\n\ndef onEMail(mail):\n    log(name('1'), tables('levels').get('B 3', 'level'))\n"
        "    try:\n        tables('nix')\n    except KeyError as error:\n        log(error)\n"
    )
    library = "def name(key):\n    return tables('units').get(key, 'Name')\n"
    tables = {"units.csv": "Funk;Name\n1;Süd\n", "levels.json": '{"B 3": {"level": "alarm"}}'}
    finished = run_set(sandbox, main, {"units": library}, tables)
    assert finished.log[0] == "Süd alarm"
    assert "there are: units, levels" in finished.log[1]


def test_a_table_as_large_as_they_may_be(sandbox: Sandbox) -> None:
    text = "key;value\n" + "".join(f"{n};ü{n}\n" for n in range(70_000))
    main = "def onEMail(mail):\n    log(len(tables('t').rows), tables('t').get('69999', 'value'))\n"
    assert len(text.encode()) < 1_100_000
    assert run_set(sandbox, main, tables={"t.csv": text}).log == ["70000 ü69999"]


def test_checking_tables(sandbox: Sandbox) -> None:
    assert sandbox.check_table("a.csv", "a;b\n1;2\n") == ()
    (problem,) = sandbox.check_table("a.csv", "a;b\n1;2;3\n")
    assert (problem.line, problem.column, "3 cells" in problem.text) == (2, 1, True)
    (problem,) = sandbox.check_table("a.json", "a;b\n1;2;3\n")
    assert "JSON" in problem.text
    (problem,) = sandbox.check_table("a.json", "[" * 500_000)
    assert (problem.line, problem.column) == (None, None)


TABLE = frame("table", file="units.csv")


@pytest.mark.parametrize(
    "says",
    [
        pytest.param([TABLE, TABLE], id="once more"),
        pytest.param([frame("table", file="other.csv")], id="one that is not in the set"),
        pytest.param([frame("table", file="../units.csv")], id="one that lies elsewhere"),
        pytest.param([frame("table", file="")], id="no name"),
        pytest.param([frame("table")], id="nothing"),
        pytest.param([frame("outline")], id="an outline"),
    ],
)
def test_a_child_that_wants_too_many_tables(says: list[bytes]) -> None:
    with lying(label(), *says, END, then="cat; exec sleep 60") as sandbox:
        finished = run_script(sandbox)
    assert finished.end.kind == "protocol"


def test_the_liars_can_ask_for_a_table() -> None:
    with lying(TABLE, END) as sandbox:
        assert run_script(sandbox).end.kind == "done"
    assert list(TABLES) == ["units.csv"]


# ---------------------------------------------------------------- compile children that lie

OUTLINE = frame("outline", is_script=True)
CODE = raw_frame(b"code")


def outline(**fields: Any) -> bytes:
    return frame("outline", **fields)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param([CODE, END], id="no outline"),
        pytest.param([OUTLINE, END], id="no code"),
        pytest.param([CODE, OUTLINE, END], id="the wrong way round"),
        pytest.param([OUTLINE, OUTLINE, END], id="two outlines"),
        pytest.param([OUTLINE, CODE, CODE, END], id="two codes"),
        pytest.param([OUTLINE, frame("end", kind="refused")], id="refused for no reason"),
        pytest.param([outline(imports=[{"module": "a"}]), CODE, END], id="half an import"),
        pytest.param([outline(defines=["x\ny"]), CODE, END], id="a name of two lines"),
        pytest.param([outline(defines=["x"] * (wire.MAX_DEFINED + 1)), CODE, END], id="too many names"),
        pytest.param([outline(tables=[{"name": "a", "line": 0, "column": 1}]), CODE, END], id="a false line"),
        pytest.param([outline(entry="x"), CODE, END], id="a reason that is none"),
        pytest.param([label(), OUTLINE, CODE, END], id="an effect"),
        pytest.param([], id="nothing"),
        pytest.param([outline(defines=["x" * 200] * 5000) * 5], id="too many bytes"),
    ],
)
def test_an_outline_that_is_none(says: list[bytes]) -> None:
    started = time.monotonic()
    with lying(*says) as sandbox:
        found = sandbox.check_script("def onEMail(mail):\n    pass\n")
        assert "checking it ended by" in found.problems[0].text
        again = run_set(sandbox, "def onEMail(mail):\n    pass\n")
    assert again.end.kind in ("protocol", "crash")
    assert time.monotonic() - started < 20


def test_an_outline_is_believed_in_what_it_may_say() -> None:
    imported = {"module": "../../etc", "names": ["x"], "line": 1, "column": 1}
    with lying(outline(is_script=True, imports=[imported]), CODE, END) as sandbox:
        (problem,) = run_set(sandbox, "x").end.problems
    assert "there is no library ../../etc.py" in problem.text
