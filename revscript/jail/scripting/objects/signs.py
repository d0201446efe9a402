"""Test alarms by their markers (domain words of German control centres), and stable short hashes."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import re
import unicodedata
from typing import Any

# Whole words only, never in "kein Probealarm": a real alarm taken for a test is the worst that can happen
# here.
_ANYWHERE = re.compile(
    r"(?<!\bkein )(?<!\bkeine )(?<!\bkeinen )(?<![\w-])"
    r"(?:probe-?alarm|test-?alarm|uebungs-?alarm|uebungs-?fax|inf bma probe)(?![\w-])"
)
# The bare word is a test only where it is a title: "Übungsplatz" and "nach der Übung" are places and times.
_SUBJECT = re.compile(r"(?<!\bkeine )(?<![\w-])uebung(?![\w-])")
_LINE = re.compile(r"^[^\w\n]*uebung(?![\w-])", re.MULTILINE)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def fold(text: str) -> str:
    """Text for comparing: no case, no umlauts, single blanks inside a line."""
    text = unicodedata.normalize("NFC", text).casefold().translate(_UMLAUTS)
    return re.sub(r"[^\S\n]+", " ", text)


def is_test(subject: str, text: str) -> bool:
    """Whether subject or text carry the marker of a test alarm."""
    subject, text = fold(subject), fold(text)
    return bool(_SUBJECT.search(subject) or _LINE.search(text) or _ANYWHERE.search(subject) or _ANYWHERE.search(text))


def fingerprint(parts: tuple[Any, ...]) -> str:
    """16 hex digits of simple values; case, umlauts' spelling and white space make no difference."""
    simple = (str, int, float, bool, decimal.Decimal, datetime.date, datetime.datetime, type(None))
    for part in parts:
        if type(part) not in simple:
            raise TypeError(f"a {type(part).__name__} has no stable text; give text, numbers or dates")
    text = "\x1f".join(" ".join(fold(str(part)).split()) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
