"""Logging: JSON lines, libraries' warnings among them, and nothing that steers a terminal or tells of people."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import structlog

from revscript import logs

NOW = datetime(2026, 3, 1, 11, 0, 5, 250_000, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def plain(text: str) -> str:
    """What a person reads: without the colours."""
    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_one_json_object_a_line() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    structlog.get_logger().debug("dropped")
    structlog.get_logger().info("read", mail=1, why="Übung\nzwei")
    logging.getLogger("imapclient").info("chatter")
    logging.getLogger("imapclient").warning("odd answer %s", "x")
    try:
        raise ValueError("kaputt")
    except ValueError:
        structlog.get_logger().exception("engine failed")
    ours, theirs, failed = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ours.pop("time").endswith("Z")
    assert ours == {"event": "read", "level": "info", "mail": 1, "why": "Übung\nzwei"}
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("odd answer x", "warning", "imapclient")
    assert "ValueError: kaputt" in failed["exception"]


def test_people_read_their_own_time_then_what_then_about_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "wall_clock", lambda: NOW)
    stream = Terminal()
    logs.configure("debug", stream, ZoneInfo("Europe/Berlin"))
    structlog.get_logger().info("received", size=7, mail=1, account="post")
    structlog.get_logger().warning("failed", why="no way", effects=["a form", "a\x1b[2J notice"], task=3)
    assert plain(stream.getvalue()).splitlines() == [
        "01.03. 12:00:05.2 [info    ] received     account=post mail=1 size=7",
        '01.03. 12:00:05.2 [warning ] failed       task=3 why="no way" effects=a form; a[2J notice',
    ]


def test_a_library_warns_people_too() -> None:
    stream = Terminal()
    logs.configure("info", stream)
    logging.getLogger("imapclient").warning("odd answer")
    assert plain(stream.getvalue()).endswith("[warning ] odd answer   logger=imapclient\n")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_people_are_named_at_debug_only(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    said = {"to": ["meier@post.example"], "words": ["mail to meier@post.example", "label 'Meier'"]}
    structlog.get_logger().info("sent", act=4, subject="Meier", **said)
    quiet = stream.getvalue()
    assert "eier" not in quiet
    logs.configure("debug", stream)
    structlog.get_logger().info("sent", act=4, subject="Meier", **said)
    assert "mail to meier@post.example" in stream.getvalue()


def test_how_many_there_were_is_still_said() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    structlog.get_logger().info("committed", mail=1, words=["a", "b"], to=3)
    line = json.loads(stream.getvalue())
    assert (line["words"], line["to"]) == (2, 3)


def test_a_terminal_is_not_steered_and_sees_no_variables() -> None:
    stream = Terminal()
    logs.configure("info", stream)
    structlog.get_logger().info("failed", why="no\x1b]0;owned\x07 way")
    structlog.get_logger().info("failed", names=["no\x1b]0;owned\x07 way"])
    password = "hunter2"
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("failed")
    said = stream.getvalue()
    assert "\x1b]0;" not in said
    assert "\x07" not in said
    assert "hunter2" not in said.replace('password = "hunter2"', "")
    assert "ValueError: 7" in said
