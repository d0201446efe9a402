"""How a mission takes in what a new mail says: one rule for the scripts' preview and for the commit."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from revscript.jail.effects import MissionFields, MissionKind

TEXTS = ("title", "keyword", "text", "address")
MAX_UNITS = 500  # the limit of MissionFields.units


def date_of(date: datetime.datetime | None, received: datetime.datetime) -> datetime.datetime:
    """The date by which mails are compared: the mail's own, else when it was received.

    Never later than that: a sender's clock that runs ahead would make all mails after it look older.
    """
    return min(date, received) if date else received


def is_older(date: str, as_of: str | None) -> bool:
    """Whether a mail of this date is older than what the record knows already; both ISO 8601 with offset."""
    if as_of is None:
        return False
    return datetime.datetime.fromisoformat(date) < datetime.datetime.fromisoformat(as_of)


def merge_mission(old: MissionFields, new: MissionFields, *, older: bool) -> tuple[MissionFields, tuple[str, ...]]:
    """Lay `new` over `old`; returns the result and the names of the changed fields, in the class's order.

    A value that was given and differs replaces the old one; nothing (None, blank, no units) never erases.
    Units are appended, each once. With `older` the mail is older than the record: it only fills fields that
    are empty.
    """
    taken: dict[str, Any] = {}
    for name in TEXTS:
        had, said = (getattr(old, name) or "").strip(), (getattr(new, name) or "").strip()
        if said and said != had and not (older and had):
            taken[name] = getattr(new, name)
    if _takes_position(old, new, older):
        taken["lat"], taken["lon"] = new.lat, new.lon
    if not (older and old.units):
        units = tuple(dict.fromkeys(old.units + new.units))[:MAX_UNITS]
        if units != old.units:
            taken["units"] = units
    changed = tuple(field.name for field in dataclasses.fields(old) if field.name in taken)
    return dataclasses.replace(old, **taken), changed


def merge_kind(old: MissionKind, new: MissionKind) -> MissionKind:
    """A mission is real as soon as one mail says so, and stays it: an exercise must never hide an alarm."""
    return old if old == "real" else new


def _takes_position(old: MissionFields, new: MissionFields, older: bool) -> bool:
    # Latitude and longitude are one value: half of a new position beside half of an old one is a third place.
    if new.lat is None or new.lon is None:
        return False
    known = old.lat is not None and old.lon is not None
    return (new.lat, new.lon) != (old.lat, old.lon) and not (older and known)
