"""Scripts that do not end, or want too much: each ends by itself, with the script's own line, and nothing applied."""

from __future__ import annotations

import time

import pytest

from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.sandbox import Sandbox
from revscript.sandbox.conversation import GRACE
from tests.wall.kit import run

WALL = 0.6  # s, of the tight jail
SLACK = 5.0  # s for a busy machine; only an endless run takes longer


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        pytest.param("mail.label('x')\nwhile True:\n    pass", {3, 4}, id="a loop"),
        pytest.param("def inner():\n    while True:\n        pass\ninner()", {3, 4}, id="in a function of its own"),
        pytest.param("while True:\n    try:\n        x = 1\n    except:\n        pass", {2, 3, 4, 5, 6}, id="except"),
        pytest.param(
            "while True:\n    try:\n        x = 1\n    except Exception:\n        pass\n    finally:\n        y = 1",
            set(range(2, 9)),
            id="finally",
        ),
        pytest.param("x = 9**9**9", {2}, id="a number beyond all bounds"),
        pytest.param("x = sum(range(10**13))", set(), id="a loop in C"),
        pytest.param("while True:\n    print('x' * 100)", {2, 3}, id="a log without end"),
        pytest.param("while True:\n    missions.running", {2, 3}, id="questions", marks=pytest.mark.xfail(reason="a cap")),
    ],
)
def test_time(tight: Sandbox, body: str, lines: set[int]) -> None:
    started = time.monotonic()
    finished = run(tight, body)
    lasted = time.monotonic() - started
    assert finished.end.kind == "time"
    assert WALL <= lasted < WALL + GRACE + SLACK
    trouble = finished.end.trouble
    assert trouble is not None
    assert "time limit" in trouble.text
    assert trouble.line in lines if lines else trouble.line is None
