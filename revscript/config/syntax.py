"""A file's text as JSON, and what is wrong with it in words that an administrator knows.

SECURITY: no message repeats more of the file than one key; a password may stand beside the fault.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

MAX_FILE = 1_000_000  # bytes: an account has a few kB, a larger file is something else


class BadFile(Exception):
    """A file that cannot be read at all: place and text for the one finding."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


def content(path: Path) -> str:
    """Return the text of a file; BadFile when it cannot be read, is too large or no UTF-8."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise BadFile("", f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise BadFile("", f"the file is larger than {MAX_FILE} bytes")
    try:
        return data.decode("utf-8-sig")  # some editors put a byte order mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFile(f"line {line}", "is not UTF-8 text; save the file as UTF-8") from None


def parse(text: str) -> dict[str, Any]:
    """Return the object that the text holds; BadFile when it is no JSON object, or a key stands twice."""
    if not text.strip():
        raise BadFile("", "the file is empty; it must hold an object { … }")
    try:
        data = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadFile(f"line {error.lineno}, column {error.colno}", f"is not valid JSON: {_reason(error)}") from None
    except RecursionError:
        raise BadFile("", "is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise BadFile("", f"is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadFile("", "must be an object { … }")
    return data  # pyright: ignore[reportUnknownVariableType]


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: the first value would be ignored without a word."""
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise BadFile(key, "stands twice in the same object; take one of them out")
        data[key] = value
    return data


def _no_constant(name: str) -> NoReturn:
    raise BadFile("", f"is not valid JSON: {name} is not a number; write one, or leave the setting out")


# What stands at the place of the fault tells more than the parser's message.
_STRANGERS = (
    (r"//|/\*|#", "there are no comments in JSON; take it out"),
    ("[\u201c\u201d\u201e\u201f\u00ab\u00bb]", 'these quotes are typographic; write "'),
    (r"'", 'text stands in double quotes; write "'),
    (r"(True|False|None)\b", "write true, false and null in small letters (null for None)"),
    (r"[,}\]]", "a value or a key is missing here, or there is a comma too many before it"),
)

# Beginnings of the messages of Python's json module, which differ a little from version to version.
_REASONS = (
    ("Expecting ','", "a comma is missing before this place, or a closing bracket"),
    ("Expecting ':'", "a colon is missing between a key and its value"),
    ("Expecting property name", 'a key in double quotes is expected here, like "host"'),
    ("Illegal trailing comma", "there is a comma too many here"),
    (
        "Expecting value",
        "a value is expected here: text in double quotes, a number, true, false, null, an object { … } or a list [ … ]",
    ),
    ("Extra data", "something follows after the end of the object"),
    ("Unterminated string", 'the closing " of this text is missing'),
    ("Invalid control character", 'a text does not end in its line: its closing " is missing, or it holds a tab'),
    ("Invalid \\", "a backslash in a text is written twice: \\\\"),
)


def _reason(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Expecting"):
        for stranger, reason in _STRANGERS:
            if re.match(stranger, error.doc[error.pos :]):
                return reason
    return next((reason for begin, reason in _REASONS if error.msg.startswith(begin)), error.msg)
