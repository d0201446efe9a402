"""Logging: JSON lines, libraries' warnings among them, and nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from revscript import logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


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
    structlog.get_logger().info("read", mail=1, subject="Übung\nzwei")
    logging.getLogger("imapclient").info("chatter")
    logging.getLogger("imapclient").warning("odd answer %s", "x")
    try:
        raise ValueError("kaputt")
    except ValueError:
        structlog.get_logger().exception("engine failed")
    ours, theirs, failed = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ours.pop("time").endswith("Z")
    assert ours == {"event": "read", "level": "info", "mail": 1, "subject": "Übung\nzwei"}
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("odd answer x", "warning", "imapclient")
    assert "ValueError: kaputt" in failed["exception"]


def test_a_terminal_is_not_steered_and_sees_no_variables() -> None:
    stream = Terminal()
    logs.configure("info", stream)
    structlog.get_logger().info("failed", why="no\x1b]0;owned\x07 way")
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
