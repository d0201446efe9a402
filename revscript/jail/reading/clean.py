"""Foreign text made safe to store, show and send through the wall, and the list of what was wrong with a
mail.

SECURITY: every text of a Reading passes here. What reorders or breaks a line on screen is taken out, not
escaped.
"""

from __future__ import annotations

import json
import re

from revscript.jail.reading.model import MAX_DEFECTS

MAX_DEFECT = 300  # characters; the model's limit

_BREAKS = re.compile("[\t\n\x0b\x0c\r\x85\u2028\u2029]+")
_NOT_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """`text` as one trimmed line: breaks become a blank, control and bidi characters vanish (mime.md §6)."""
    return _NOT_IN_LINE.sub("", _BREAKS.sub(" ", text)).strip()


def many_lines(text: str) -> str:
    """`text` with line feeds as its only line ends and tab as its only other control character."""
    return _NOT_IN_TEXT.sub("", _LINE_ENDS.sub("\n", text))


def fit(text: str, characters: int, json_bytes: int) -> str:
    """The longest head of `text` within both limits; `json_bytes` counts as the wire does (ASCII JSON,
    escaped).

    A character costs 1 to 12 bytes on the wire, so that a limit in characters alone could overfill a frame.
    """
    text = text[:characters]
    while (size := wire_size(text)) > json_bytes:
        text = text[: min(len(text) - 1, len(text) * json_bytes // size)]
    return text


def wire_size(text: str) -> int:
    """Bytes that `text` takes as an ASCII JSON string, quotes included."""
    return len(json.dumps(text))


class Defects:
    """What was wrong with the mail, in words, each said once, in the order of discovery (mime.md §3)."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Note a defect; after the model's maximum only the fact that there are more."""
        if len(self._texts) >= MAX_DEFECTS - 1:
            text = "there are more defects than are listed"
        self._texts[one_line(text)[:MAX_DEFECT]] = None

    def texts(self) -> tuple[str, ...]:
        """All defects, ready for the Reading."""
        return tuple(self._texts)
