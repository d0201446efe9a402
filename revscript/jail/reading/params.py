"""`value; name=value …` of Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2231, RFC 2183).

SECURITY: one pass, at most MAX_PARAMS parameters, segment numbers of at most three digits: thousands of
segments or a segment number of a megabyte cost nothing (Python's own reader is quadratic, and `int` raises on
long numbers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count, takewhile
from urllib.parse import unquote_to_bytes

from revscript.jail.reading import charsets
from revscript.jail.reading.clean import Defects
from revscript.jail.reading.words import decode_words, unfold

MAX_PARAMS = 200  # mime.md §3

_NAME = re.compile(r"\s*([^\s;=]{1,100})\s*=\s*")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_SEGMENT = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*?)")


@dataclass(slots=True)
class Field:
    """The first token of the value in lower case, and the decoded parameters by their names in lower case."""

    value: str
    params: dict[str, str] = field(default_factory=dict[str, str])


def parse(raw: str, defects: Defects) -> Field:
    """Read a raw value; never raises. Of repeated parameters the first counts, of `x` and `x*` the latter."""
    raw = unfold(raw)
    value, _, rest = raw.partition(";")
    plain: dict[str, str] = {}
    segments: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, text in _pairs(rest, defects):
        match = _SEGMENT.fullmatch(name)
        if not match:
            continue
        base, number, starred = match[1], match[2], bool(match[3])
        if number is None and not starred:
            plain.setdefault(base, text)
        else:
            # `name*` alone is stronger than `name*0` and stands in front of it
            segments.setdefault(base, {}).setdefault(int(number) if number else -1, (text, starred))
    params = {name: decode_words(text, defects) for name, text in plain.items()}
    params |= {name: joined for name, parts in segments.items() if (joined := _join(parts, defects))}
    return Field(token(value).lower(), params)


def token(text: str) -> str:
    """The first word of a parameter that should be a token (a charset), without comments and quotes."""
    words = text.split("(")[0].replace('"', " ").replace("'", " ").split()
    return words[0] if words else ""


def _pairs(rest: str, defects: Defects) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(rest):
        if len(pairs) >= MAX_PARAMS:
            defects.add(f"more than {MAX_PARAMS} parameters in one field")
            break
        match = _NAME.match(rest, position)
        if match:
            quoted = _QUOTED.match(rest, match.end())
            if quoted:
                # Only \" and \\ are escapes here: C:\plan.pdf is sent unescaped all too often.
                pairs.append((match[1].lower(), _ESCAPE.sub(r"\1", quoted[1])))
                position = quoted.end()
            else:
                end = _end(rest, match.end())
                pairs.append((match[1].lower(), rest[match.end() : end].strip()))
                position = end
        position = _end(rest, position) + 1
    return pairs


def _end(rest: str, position: int) -> int:
    found = rest.find(";", position)
    return len(rest) if found < 0 else found


def _join(parts: dict[int, tuple[str, bool]], defects: Defects) -> str:
    """RFC 2231 §3, §4: segments up to the first gap, percent-decoded where starred, in one charset."""
    first = min(parts)
    numbers = [first] if first < 0 else list(takewhile(parts.__contains__, count(first)))
    if first > 0 or (first == 0 and len(numbers) < len(parts)):
        defects.add("parameter with missing segments")
    if not any(parts[n][1] for n in numbers):
        return decode_words("".join(parts[n][0] for n in numbers), defects)
    charset, data = "", bytearray()
    for n in numbers:
        text, starred = parts[n]
        if starred and n == first and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "surrogateescape")
        data += unquote_to_bytes(raw) if starred else raw
    decoded, problem = charsets.decode(bytes(data), token(charset))
    if problem:
        defects.add(f"parameter: {problem}")
    return decoded
