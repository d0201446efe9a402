"""`notify`: notices for people."""

from __future__ import annotations

from typing import Any

from revscript.jail.effects import Level, Notify
from revscript.jail.scripting.objects.desk import Desk
from revscript.jail.scripting.objects.missions import Mission, ref_of
from revscript.jail.scripting.offers import offers

_NO_CHANNELS = "this version has none yet: use notify.all, .role or .person"


@offers("all role person channel")
class Notices:
    """Notices: `level` info, important or alarm; the same `key` is one notice, updated; `about` a mission."""

    __slots__ = ("_desk",)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __repr__(self) -> str:
        return "<notify>"

    def all(self, text: str, *, level: Level = "info", key: str | None = None, about: Mission | None = None) -> None:
        """A notice for everybody."""
        self._send("all", "", text, level, key, about)

    def role(
        self,
        name: str,
        text: str,
        *,
        level: Level = "info",
        key: str | None = None,
        about: Mission | None = None,
    ) -> None:
        """A notice for whoever holds this function ("S3")."""
        self._send("role", _named(name), text, level, key, about)

    def person(
        self,
        name: str,
        text: str,
        *,
        level: Level = "info",
        key: str | None = None,
        about: Mission | None = None,
    ) -> None:
        """A notice for one person, by sign ("mue")."""
        self._send("person", _named(name), text, level, key, about)

    def channel(
        self,
        name: str,
        text: str,
        *,
        level: Level = "info",
        key: str | None = None,
        about: Mission | None = None,
    ) -> None:
        """A notice over a channel of the settings, by its name; ValueError when there is no such channel."""
        channels = self._desk.context.channels
        if name not in channels:
            there = ", ".join(repr(channel) for channel in channels)
            raise ValueError(f"there is no channel {name!r}; " + (f"there are: {there}" if there else _NO_CHANNELS))
        self._send("channel", name, text, level, key, about)

    def _send(self, audience: Any, name: str, text: str, level: Level, key: str | None, about: Any) -> None:
        shown = self._desk.shown(Notify, "text", text)
        ref = ref_of("about", about)
        self._desk.emit(Notify(audience=audience, name=name, text=shown, level=level, key=key, about=ref))


def _named(name: str) -> str:
    if name == "":
        raise ValueError("name: say whom the notice is for")
    return name
