"""The mission folder (Einsatzmappe) and the tray for what belongs to no mission yet (domain.md §6)."""

from __future__ import annotations

from pathlib import PurePosixPath

from sqlalchemy import ColumnElement, Connection, func, insert, select

from revscript.jail.effects import AddToFolder
from revscript.records import notices
from revscript.records.context import Context, File
from revscript.store.record_tables import folder_item, mission

TRAY_NOTICE = "house:unassigned-tray"


def add(context: Context, effect: AddToFolder) -> str:
    """Carry out `AddToFolder`; the same content under the same name is there once."""
    if effect.mission is not None:
        mission_id, why = context.record_id(effect.mission, "mission"), "named by the script"
    else:
        mission_id, why = current_mission(context.tx)
    files = context.files(effect.attachments)
    if effect.raw and (raw := context.the_mail().raw):
        files.append(raw)
    for one in files:
        _put(context, mission_id, one, effect.tags, why)
    if mission_id is None and files:
        _tell(context)
    return f"mission:{mission_id}" if mission_id else "tray"


def current_mission(tx: Connection) -> tuple[int | None, str]:
    """Which mission is the running one, with the rule that says so; never a guess (domain.md §6)."""
    query = select(mission.c.id, mission.c.lead).where(mission.c.state == "running", mission.c.kind == "real")
    rows = tx.execute(query).all()
    if len(rows) == 1:
        return rows[0].id, "the only running mission"
    leads = [row.id for row in rows if row.lead]
    if len(leads) == 1:
        return leads[0], "the main mission"
    return None, "no real mission runs" if not rows else "several missions run, none is the main one"


def _put(context: Context, mission_id: int | None, one: File, tags: tuple[str, ...], why: str) -> None:
    here = folder_item.c.mission_id == mission_id if mission_id else folder_item.c.mission_id.is_(None)
    same = here & (folder_item.c.blob_id == one.blob_id) & (folder_item.c.original_name == one.name)
    if context.tx.scalar(select(folder_item.c.id).where(same)) is not None:
        return
    values = {
        "mission_id": mission_id,
        "blob_id": one.blob_id,
        "name": _free_name(context, here, one.name),
        "original_name": one.name,
        "type": one.type,
        "tags": list(tags),
        "why": why,
        "by": context.by,
        "at": context.now,
        "mail_id": context.mail_id,
    }
    context.tx.execute(insert(folder_item), values)


def _free_name(context: Context, here: ColumnElement[bool], name: str) -> str:
    path = PurePosixPath(name)
    alike = here & folder_item.c.name.startswith(path.stem, autoescape=True)
    taken = set(context.tx.scalars(select(folder_item.c.name).where(alike)))
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{path.stem} ({number}){path.suffix}"
    return free


def _tell(context: Context) -> None:
    count = context.tx.execute(select(func.count()).where(folder_item.c.mission_id.is_(None))).scalar_one()
    wait = "1 file waits" if count == 1 else f"{count} files wait"
    notices.tell(context, TRAY_NOTICE, f"{wait} in the unassigned tray: there is no single running mission for it.")
