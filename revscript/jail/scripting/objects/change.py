"""What an upsert changed, for conditions and for people."""

from __future__ import annotations

from typing import Any

from revscript.jail.effects import MissionFields, MissionKind
from revscript.jail.scripting.offers import offers

# The words that German command posts use; notices made of them go to people.
_LABELS = {"title": "Titel", "keyword": "Stichwort", "address": "Adresse", "position": "Position"}

_KINDS = {
    "real": "ein realer Einsatz",
    "exercise": "eine Übung",
    "medical_standby": "ein Sanitätsdienst",
    "planned": "eine geplante Lage",
}


@offers("created fields")
class Change:
    """What `missions.upsert` changed: `.created` for a new mission, `.fields` names what is new or different.

    False in a condition when nothing changed; as text: the changes in words ("Stichwort: B 2 → B 3").
    """

    __slots__ = ("_words", "created", "fields")

    def __init__(
        self,
        old: MissionFields | None,
        new: MissionFields,
        changed: tuple[str, ...],
        became: MissionKind | None = None,
    ) -> None:
        self.created = old is None
        names = dict.fromkeys("position" if name in ("lat", "lon") else name for name in changed)
        had = old or MissionFields()
        parts = [_words(name, had, new) for name in names]
        self.fields = (*names, "kind") if became else tuple(names)
        words = "; ".join([f"jetzt {_KINDS[became]}", *parts] if became else parts)
        prefix = "neuer Einsatz" if self.created else ""
        self._words = ": ".join(part for part in (prefix, words) if part) or "keine Änderung"

    def __bool__(self) -> bool:
        return self.created or bool(self.fields)

    def __str__(self) -> str:
        return self._words

    def __repr__(self) -> str:
        return f"<change {self._words}>"


def _words(name: str, old: MissionFields, new: MissionFields) -> str:
    if name == "units":
        return "Einheiten: " + ", ".join(f"+ {unit}" for unit in new.units if unit not in old.units)
    if name == "text":
        return "Meldung geändert" if old.text else "Meldung eingetragen"
    had, has = _value(name, old), _value(name, new)
    return f"{_LABELS[name]}: {had} → {has}" if had else f"{_LABELS[name]}: {has}"


def _value(name: str, fields: MissionFields) -> Any:
    if name != "position":
        return getattr(fields, name)
    return "" if fields.lat is None else f"{fields.lat:.5f}, {fields.lon:.5f}"
