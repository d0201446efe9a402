"""Missions (Lage, Einsatz): opened and changed by mails, found by the control centre's number (domain.md §6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, bindparam, select, update

from revscript.jail.effects import MissionFields, OpenMission, UpsertMission
from revscript.jail.merge import merge_kind, merge_mission
from revscript.jail.plain import to_plain
from revscript.jail.questions import FindMission, MissionAnswer, RunningMissions
from revscript.records import registers
from revscript.records.context import Context
from revscript.store.record_tables import mission, mission_entry

_running = select(mission).where(mission.c.state == "running").order_by(mission.c.id)
_by_number = select(mission).where(mission.c.number == bindparam("number"))


def find(tx: Connection, question: FindMission, mail_id: int | None) -> Any:
    """Answer `FindMission`."""
    row = tx.execute(_by_number, {"number": question.number}).one_or_none()
    return None if row is None else to_plain(_answer(row))


def running(tx: Connection, question: RunningMissions, mail_id: int | None) -> Any:
    """Answer `RunningMissions`."""
    rows = tx.execute(_running)
    return [to_plain(_answer(row)) for row in rows]


def _answer(row: Row[Any]) -> MissionAnswer:
    return MissionAnswer(
        ref=f"mission:{row.id}",
        number=row.number,
        kind=row.kind,
        state=row.state,
        lead=row.lead,
        as_of=row.as_of.isoformat() if row.as_of else None,
        fields=_fields(row),
    )


def _fields(row: Row[Any]) -> MissionFields:
    return MissionFields(
        title=row.title or None,
        keyword=row.keyword or None,
        text=row.text or None,
        address=row.address or None,
        lat=row.lat,
        lon=row.lon,
        units=tuple(row.units),
    )


def upsert(context: Context, effect: UpsertMission) -> str:
    """Carry out `UpsertMission`: a mail that is older than the newest change only fills what is empty."""
    row = context.tx.execute(_by_number, {"number": effect.number}).one_or_none()
    if row is None:
        return _open(context, effect.number, effect.kind, effect.fields)
    date = _date(context)
    older = row.as_of is not None and date < row.as_of
    merged, changed = merge_mission(_fields(row), effect.fields, older=older)
    kind = merge_kind(row.kind, effect.kind)
    if kind != row.kind:
        changed = ("kind", *changed)
    values = {**_columns(merged), "kind": kind} if changed else {}
    if not older and date != row.as_of:
        values["as_of"] = date  # also of a mail that says nothing new: an older one must not undo what it confirms
    if values:
        context.tx.execute(update(mission).where(mission.c.id == row.id).values(**values))
    if changed:
        _enter(context, row.id, "changed", _in_words(changed, merged, kind))
    elif older and merge_mission(_fields(row), effect.fields, older=False)[1]:
        _enter(context, row.id, "late", f"older than what is known, not applied: {effect.words()}")
    return f"mission:{row.id}"


def _in_words(changed: tuple[str, ...], now: MissionFields, kind: str) -> str:
    """The changed fields with their new values, for the mission's entries."""
    words: dict[str, str] = {}
    for name in changed:
        if name in ("lat", "lon"):
            words["position"] = f"{now.lat:.5f}, {now.lon:.5f}"
        elif name == "text":  # too long for a list of entries
            words["text"] = "new"
        elif name == "units":
            words["units"] = ", ".join(now.units)
        else:
            words[name] = kind if name == "kind" else str(getattr(now, name))
    return "; ".join(f"{name}: {value}" for name, value in words.items())


def filed(context: Context, mission_id: int, number: int) -> None:
    """A message form belongs to the mission now: its entry there."""
    _enter(context, mission_id, "form", f"message form no. {number}")


def open_(context: Context, effect: OpenMission) -> str:
    """Carry out `OpenMission`: the number is an own one, YYYY-NNN."""
    year = context.now.astimezone(ZoneInfo(context.settings.time_zone)).year
    while True:
        number = f"{year}-{registers.draw(context.tx, registers.POST, f'missions:{year}'):03d}"
        taken = context.tx.scalar(select(mission.c.id).where(mission.c.number == number))
        if taken is None:  # a control centre may use the same form of number
            return _open(context, number, effect.kind, effect.fields)


def _open(context: Context, number: str, kind: str, fields: MissionFields) -> str:
    values = {
        "number": number,
        "kind": kind,
        "state": "running",
        "lead": False,
        **_columns(fields),
        "as_of": _date(context),
        "opened_at": context.now,
    }
    mission_id = context.insert(mission, **values)
    _enter(context, mission_id, "opened", fields.keyword or fields.title or number)
    return f"mission:{mission_id}"


def _columns(fields: MissionFields) -> dict[str, Any]:
    return {
        "title": fields.title or "",
        "keyword": fields.keyword or "",
        "text": fields.text or "",
        "address": fields.address or "",
        "lat": fields.lat,
        "lon": fields.lon,
        "units": list(fields.units),
    }


def _date(context: Context) -> datetime:
    return context.mail.date if context.mail else context.now


def _enter(context: Context, mission_id: int, kind: str, text: str) -> None:
    values = {"mission_id": mission_id, "kind": kind, "text": text, "by": context.by, "at": context.now}
    context.insert(mission_entry, **values, mail_id=context.mail_id)
