"""Texts made fit to be shown: an alarm must not fail because a subject was long or held a line break."""

from __future__ import annotations

import functools
import re
import typing
from typing import Any

from revscript.jail.limits import Line, Text

_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def one_line(text: str) -> str:
    """The text as one line: white space and control characters collapse into single blanks."""
    return _BREAKS.sub(" ", _BIDI.sub("", _whole(text))).strip()


def block(text: str) -> str:
    """The text with line feeds and tabs, but without other control characters."""
    text = _whole(text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub(" ", _BIDI.sub("", text))


def cut(text: str, most: int) -> str:
    """At most `most` characters; the last of them is … when something is missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _whole(text: str) -> str:
    # Half of a surrogate pair (a script can write one) cannot be sent.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@functools.cache
def limit_of(cls: type, field: str) -> Line | Text:
    """The limit of a text field (or of the texts in a list) of a dataclass, from its annotation."""
    limit = _find_limit(typing.get_type_hints(cls, include_extras=True)[field])
    if limit is None:
        raise TypeError(f"{cls.__name__}.{field} holds no text with a limit")
    return limit


def _find_limit(annotation: Any) -> Line | Text | None:
    for part in typing.get_args(annotation):
        if isinstance(part, (Line, Text)):
            return part
        if found := _find_limit(part):
            return found
    return None
