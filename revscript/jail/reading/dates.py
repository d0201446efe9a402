"""The Date field as ISO 8601 (RFC 5322 §3.3, leniently)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

from revscript.jail.reading.clean import Defects

MAX_LENGTH = 200  # characters; longer is no date
YEARS = range(1990, 2101)  # outside of it a date is a joke or a broken clock
MAX_OFFSET = 15 * 3600  # seconds; the widest real zone is UTC+14

# What German programs write, and Python does not know.
_GERMAN = {"mär": "mar", "mrz": "mar", "mai": "may", "okt": "oct", "dez": "dec"}
_MONTH = re.compile(r"\b(" + "|".join(_GERMAN) + r")[a-z]*\b")
_ZONES = {"cet": "+0100", "mez": "+0100", "cest": "+0200", "mesz": "+0200"}
# The library answers "no zone" and "zone zero" alike.
_WITH_ZONE = re.compile(r":\d\d(\.\d+)?\s*\(?([+-]\d|[a-z])|\d{4}-\d\d-\d\d", re.IGNORECASE)
_ZONE = re.compile(r"\b(" + "|".join(_ZONES) + r")\b")


def parse(text: str, defects: Defects) -> str | None:
    """ISO 8601 with offset of a decoded Date value; None (and a defect) when it makes no sense."""
    if not text:
        return None
    moment = _moment(text) if len(text) <= MAX_LENGTH else None
    if moment is None:
        defects.add(f"date that makes no sense: {text[:60]!r}")
        return None
    if moment.tzinfo is None or not _WITH_ZONE.search(text):
        defects.add("date without a time zone, taken as UTC")
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return moment.isoformat(timespec="seconds")


def _moment(text: str) -> datetime | None:
    lowered = _MONTH.sub(lambda match: _GERMAN[match[1]], text.lower())
    lowered = _ZONE.sub(lambda match: _ZONES[match[1]], lowered)
    try:
        moment = _rfc5322(lowered) or datetime.fromisoformat(text)
        offset = moment.utcoffset() or timedelta()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return moment if moment.year in YEARS and abs(offset.total_seconds()) <= MAX_OFFSET else None


def _rfc5322(text: str) -> datetime | None:
    fields = parsedate_tz(text)
    if fields is None:
        return None
    year, month, day, hour, minute, second = fields[:6]
    zone = None if fields[9] is None else timezone(timedelta(seconds=fields[9]))
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
