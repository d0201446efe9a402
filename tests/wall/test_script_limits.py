"""Scripts that do not end, or want too much: each is ended, with its own line, and nothing counts."""

from __future__ import annotations

import time

import pytest

from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.jail.effects import LabelMail
from revscript.methods.script import outcome_of
from revscript.model import FAILED_EXITS
from revscript.sandbox import Sandbox, ScriptRun
from revscript.sandbox.conversation import GRACE, EndKind
from tests.wall.kit import run

WALL = 0.6  # s, of the tight jail
SLACK = 5.0  # s for a busy machine; only an endless run takes longer

ENDLESS = {
    "a loop": ("mail.label('x')\nwhile True:\n    pass", {3, 4}),
    "a function of its own": ("def inner():\n    while True:\n        pass\ninner()", {3, 4}),
    "a bare except": ("while True:\n    try:\n        x = 1\n    except:\n        pass", {2, 3, 4, 5, 6}),
    "finally": ("while True:\n    try:\n        x = 1\n    finally:\n        y = 1", {2, 3, 4, 5, 6}),
    "a log": ("while True:\n    print('x' * 100)", {2, 3}),
    "reading": ("while True:\n    mail.search('x')", {2, 3}),
    "swallowed memory": (
        "x = []\nwhile True:\n    try:\n        x += x or ['x']\n    except:\n        pass",
        {3, 4, 5, 6, 7},
    ),
    "a number": ("x = 9**9**9", {2}),
}


def check_nothing_counts(finished: ScriptRun) -> None:
    """Whatever was wished before, the engine applies nothing of it."""
    assert outcome_of("onEMail.py", finished).exit in FAILED_EXITS


@pytest.mark.parametrize(("body", "lines"), [pytest.param(*case, id=name) for name, case in ENDLESS.items()])
def test_time(tight: Sandbox, body: str, lines: set[int]) -> None:
    """Not before its time, and soon after it."""
    started = time.monotonic()
    finished = run(tight, body)
    lasted = time.monotonic() - started
    assert finished.end.kind == "time"
    assert WALL <= lasted < WALL + GRACE + SLACK
    assert finished.end.trouble is not None
    assert "time limit" in finished.end.trouble.text
    assert finished.end.trouble.line in lines
    check_nothing_counts(finished)


@pytest.mark.parametrize(
    "body", ["mail.label('x')\nx = sum(range(10**13))", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')"]
)
def test_time_in_c_code_that_no_handler_interrupts(tight: Sandbox, body: str) -> None:
    started = time.monotonic()
    finished = run(tight, body)
    assert WALL <= time.monotonic() - started < WALL + GRACE + SLACK
    assert finished.end.kind == "time"
    check_nothing_counts(finished)


def test_processor_time_is_another_limit() -> None:
    sandbox = Sandbox(Limits(cpu=1, memory=64 << 20, wall=30_000), children=1)
    try:
        finished = run(sandbox, "while True:\n    pass")
    finally:
        sandbox.stop()
    assert finished.end.kind == "cpu"
    assert finished.end.trouble is not None
    assert finished.end.trouble.line in {2, 3}
    assert 700 <= finished.end.cpu_ms < 3000  # the kernel counts in ticks


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param("x = []\nwhile True:\n    x.append('x' * 1000000)", 4, id="large pieces"),
        pytest.param("x = 'x' * (1 << 40)", 2, id="at once"),
        pytest.param("print('x' * 100_000_000)", 2, id="a print of 100 MB"),
    ],
)
def test_memory(tight: Sandbox, body: str, line: int) -> None:
    finished = run(tight, body)
    assert finished.end.kind == "memory"
    assert finished.end.trouble is not None
    assert finished.end.trouble.line == line
    check_nothing_counts(finished)


def test_memory_in_small_pieces(sandbox: Sandbox) -> None:
    """Where the last byte goes is chance; that it ends by the limit is not."""
    finished = run(sandbox, "x = []\nwhile True:\n    x.append([1])")
    assert finished.end.kind == "memory"
    check_nothing_counts(finished)


def test_a_script_may_live_with_less(tight: Sandbox) -> None:
    finished = run(tight, "try:\n    x = 'x' * (1 << 40)\nexcept MemoryError:\n    mail.label('too large')")
    assert (finished.end.kind, finished.effects) == ("done", [LabelMail(text="too large")])


# ---------------------------------------------------------------- output


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("for i in range({n}):\n    mail.label(str(i))", "cap"),
        ("for i in range({n}):\n    missions.find(str(i))", "cap"),
        (
            "for i in range({n}):\n    if i % 2:\n        missions.find(str(i))\n    else:\n        mail.label('x')",
            "cap",
        ),
        ("for i in range({n}):\n    try:\n        mail.label(str(i))\n    except:\n        pass", "cap"),
    ],
)
def test_effects_and_questions_are_counted(sandbox: Sandbox, body: str, kind: EndKind) -> None:
    enough = run(sandbox, body.format(n=wire.MAX_EFFECTS))
    assert (enough.end.kind, len(enough.effects) + len(enough.asked)) == ("done", wire.MAX_EFFECTS)
    too_many = run(sandbox, body.format(n=wire.MAX_EFFECTS + 1))
    assert too_many.end.kind == kind
    assert len(too_many.effects) + len(too_many.asked) == wire.MAX_EFFECTS
    check_nothing_counts(too_many)


def test_effects_are_weighed(sandbox: Sandbox) -> None:
    finished = run(sandbox, "for i in range(100):\n    send_mail(to='a@b.example', subject='x', text='y' * 100000)")
    assert finished.end.kind == "cap"
    assert finished.end.trouble is not None
    assert (finished.end.trouble.text, finished.end.trouble.line) == ("the script's effects are larger than 1 MiB", 3)


def test_the_log_is_capped_and_the_script_goes_on(sandbox: Sandbox) -> None:
    lines = run(sandbox, "for i in range(2000):\n    print(i)\nmail.label('x')")
    assert (lines.end.kind, len(lines.effects)) == ("done", 1)
    assert lines.log[: wire.MAX_LOG_LINES] == [str(number) for number in range(wire.MAX_LOG_LINES)]
    assert lines.log[wire.MAX_LOG_LINES :] == ["… further log lines dropped"]
    size = run(sandbox, "for i in range(200):\n    print('x' * 1000)\nprint('y' * 10_000_000)\nmail.label('x')")
    assert (size.end.kind, len(size.effects)) == ("done", 1)
    assert sum(len(line) for line in size.log) <= wire.MAX_LOG_BYTES
    assert size.log[-1] == "… further log lines dropped"


# ---------------------------------------------------------------- scripts that fail


@pytest.mark.parametrize(
    ("body", "kind", "line"),
    [
        ("mail.label('x')\n1 / 0", "ZeroDivisionError", 3),
        ("def inner(n):\n    return inner(n + 1)\ninner(0)", "RecursionError", 3),
        ("raise ValueError('ü' * 100000)", "ValueError", 2),
        ("x = y", "NameError", 2),
        ("mail.label('')", "ValueError", 2),
        ("x = []\nfor i in range(100000):\n    x = [x]\nx == x[:]\nstr(x)", "RecursionError", 6),
    ],
)
def test_a_script_that_raises(sandbox: Sandbox, body: str, kind: str, line: int) -> None:
    finished = run(sandbox, body)
    assert finished.end.kind == "failed"
    assert finished.end.trouble is not None
    assert (finished.end.trouble.type, finished.end.trouble.line) == (kind, line)
    assert len(finished.end.trouble.text) <= 2000
    check_nothing_counts(finished)


def test_the_lines_are_the_scripts_own(sandbox: Sandbox) -> None:
    finished = run(sandbox, "def inner(n):\n    if n:\n        inner(n - 1)\n    raise KeyError(n)\ninner(2)")
    assert finished.end.trouble is not None
    assert finished.end.trouble.frames == ((6, "onEMail"), (4, "inner"), (4, "inner"), (5, "inner"))


@pytest.mark.parametrize(
    "source", ["(" * 50_000 + ")" * 50_000, "x = " + "-" * 100_000 + "1", "def onEMail(mail): " * 2000]
)
def test_a_script_that_breaks_the_compiler_is_a_refused_one(sandbox: Sandbox, source: str) -> None:
    assert sandbox.check_script(source).problems != ()
