"""`missions`: the missions that run, opened and changed by scripts.

Answers show committed rows. What this run itself has wished is laid over them here, so that a script sees its
own missions; the commit does the same with the same rule (`jail/merge.py`).
"""

from __future__ import annotations

import types
from typing import Any

from revscript.jail.effects import (
    MAX_ATTACHMENTS,
    AddToFolder,
    MissionFields,
    MissionKind,
    OpenMission,
    UpsertMission,
)
from revscript.jail.limits import conform_fields
from revscript.jail.merge import date_of, is_older, merge_kind, merge_mission
from revscript.jail.plain import from_plain
from revscript.jail.questions import FindMission, MissionAnswer, RunningMissions
from revscript.jail.scripting.objects.change import Change
from revscript.jail.scripting.objects.desk import Desk, as_tuple
from revscript.jail.scripting.objects.mail import Mail
from revscript.jail.scripting.offers import kind_of, offers


@offers("number title keyword state fields folder")
class Mission:
    """A mission: the control centre's `.number`, `.title .keyword .state .fields` and its `.folder`."""

    __slots__ = ("as_of", "data", "folder", "kind", "number", "ref", "state")

    def __init__(self, desk: Desk, ref: str, number: str, state: str, data: MissionFields, kind: MissionKind) -> None:
        self.ref = ref
        self.number = number
        self.kind: MissionKind = kind
        self.state = state
        self.data = data
        self.as_of: str | None = None
        self.folder = Folder(desk, ref)

    def __repr__(self) -> str:
        return f"<mission {self.number or self.title}>"

    @property
    def title(self) -> str:
        """The mission's name; "" without one."""
        return self.data.title or ""

    @property
    def keyword(self) -> str:
        """The alarm keyword (Stichwort); "" without one."""
        return self.data.keyword or ""

    @property
    def fields(self) -> types.MappingProxyType[str, Any]:
        """title, keyword, text, address (missing: ""), position (lat, lon) or None, units; read-only."""
        data = self.data
        position = None if data.lat is None else (data.lat, data.lon)
        texts = {name: getattr(data, name) or "" for name in ("title", "keyword", "text", "address")}
        return types.MappingProxyType({**texts, "position": position, "units": data.units})


@offers("add")
class Folder:
    """The mission's folder."""

    __slots__ = ("_desk", "_ref")

    def __init__(self, desk: Desk, ref: str) -> None:
        self._desk = desk
        self._ref = ref

    def __repr__(self) -> str:
        return "<folder>"

    def add(self, what: Any, tags: Any = ()) -> None:
        """File attachments: one, a list of them, or the mail (all it has), with words to find them by."""
        indexes = self._desk.indexes(True if type(what) is Mail else what)
        words = self._desk.shown_list(AddToFolder, "tags", tags)
        for start in range(0, len(indexes), MAX_ATTACHMENTS):
            some = indexes[start : start + MAX_ATTACHMENTS]
            self._desk.emit(AddToFolder(mission=self._ref, attachments=some, tags=words))


@offers("running find upsert open")
class Missions:
    """The missions of this command post."""

    __slots__ = ("_by_number", "_by_ref", "_desk", "_made", "_running")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._by_ref: dict[str, Mission] = {}
        self._by_number: dict[str, Mission | None] = {}
        self._running: list[Mission] | None = None
        self._made: list[Mission] = []

    def __repr__(self) -> str:
        return "<missions>"

    def running(self) -> list[Mission]:
        """All running missions, oldest first, with those that this run has opened."""
        if self._running is None:
            self._running = [self._adopt(answer) for answer in self._desk.ask(RunningMissions())]
        made = {mission.number for mission in self._made if mission.number}
        return [mission for mission in self._running if mission.number not in made] + self._made

    def find(self, number: str) -> Mission | None:
        """The mission with this number of the control centre, or None."""
        if number not in self._by_number:
            answer = self._desk.ask(FindMission(number=number))
            self._by_number[number] = None if answer is None else self._adopt(answer)
        return self._by_number[number]

    def upsert(
        self,
        number: str,
        *,
        title: str | None = None,
        keyword: str | None = None,
        text: str | None = None,
        address: str | None = None,
        position: tuple[float, float] | None = None,
        units: Any = (),
        kind: MissionKind = "real",
    ) -> tuple[Mission, Change]:
        """The mission with this number: opened, or changed where this mail says something new.

        Empty values never erase; units are appended; a mail older than the record fills only what is empty.
        `position` is (latitude, longitude) in degrees, `kind` real, exercise, medical_standby or planned.
        Returns the mission and the change.
        """
        fields = self._fields(title, keyword, text, address, position, units)
        wish = UpsertMission(number=number, kind=kind, fields=fields)
        conform_fields(wish)
        mission = self.find(number)
        made = self._desk.emit(wish)
        if mission is None:
            fields, changed = merge_mission(MissionFields(), fields, older=False)
            return self._make(made, number, fields, kind), Change(None, fields, changed)
        return mission, self._update(mission, fields, kind)

    def open(
        self,
        title: str,
        *,
        keyword: str | None = None,
        text: str | None = None,
        address: str | None = None,
        position: tuple[float, float] | None = None,
        units: Any = (),
        kind: MissionKind = "real",
    ) -> Mission:
        """Open a mission that has no number of a control centre."""
        fields = self._fields(title, keyword, text, address, position, units)
        if not fields.title:
            raise ValueError("title: a mission without a number needs one")
        made = self._desk.emit(OpenMission(kind=kind, fields=fields))
        return self._make(made, "", fields, kind)

    def _fields(self, title: Any, keyword: Any, text: Any, address: Any, position: Any, units: Any) -> MissionFields:
        lat, lon = _position(position)
        shown = self._desk.shown
        return MissionFields(
            title=shown(MissionFields, "title", title),
            keyword=shown(MissionFields, "keyword", keyword),
            text=shown(MissionFields, "text", text),
            address=shown(MissionFields, "address", address),
            lat=lat,
            lon=lon,
            units=self._desk.shown_list(MissionFields, "units", units),
        )

    def _adopt(self, answer: dict[str, Any]) -> Mission:
        """The mission of an answer; one object for each, so that all see what the run does to it."""
        data = from_plain(MissionAnswer, answer)
        if data.ref not in self._by_ref:
            mission = Mission(self._desk, data.ref, data.number, data.state, data.fields, data.kind)
            mission.as_of = data.as_of
            self._by_ref[data.ref] = mission
            if data.number:
                self._by_number.setdefault(data.number, mission)
        return self._by_ref[data.ref]

    def _make(self, effect: int, number: str, fields: MissionFields, kind: MissionKind) -> Mission:
        mission = Mission(self._desk, f"effect:{effect}", number, "running", fields, kind)
        mission.as_of = self._mail_date()
        self._made.append(mission)
        if number:
            self._by_number[number] = mission
        return mission

    def _update(self, mission: Mission, fields: MissionFields, kind: MissionKind) -> Change:
        date, old = self._mail_date(), mission.data
        older = is_older(date, mission.as_of)
        mission.data, changed = merge_mission(old, fields, older=older)
        if not older:
            mission.as_of = date
        was, mission.kind = mission.kind, merge_kind(mission.kind, kind)
        return Change(old, mission.data, changed, became=mission.kind if mission.kind != was else None)

    def _mail_date(self) -> str:
        return date_of(self._desk.date, self._desk.received).isoformat()

    def by_ref(self, ref: str | None) -> Mission | None:
        """For other objects: the mission that an answer points at, if it runs or has been seen."""
        if ref is not None and ref not in self._by_ref:
            self.running()
        return None if ref is None else self._by_ref.get(ref)


def ref_of(field: str, mission: Any) -> str | None:
    """The reference of a mission given as an argument; None stays None."""
    if mission is None:
        return None
    kind = kind_of(mission)
    if kind is not Mission:
        hint = "; upsert returns two: mission, change = …" if kind is tuple else ""
        raise TypeError(f"{field}: a {kind.__name__} was given where a mission is needed{hint}")
    return mission.ref


def _position(value: Any) -> tuple[Any, Any]:
    if value is None:
        return None, None
    pair = as_tuple("position", value)
    if len(pair) != 2 or None in pair:
        raise ValueError("position: give latitude and longitude as (lat, lon)")
    return pair[0], pair[1]
