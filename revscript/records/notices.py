"""Notices for people: the same key is one notice, updated; a late mail alarms nobody any more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from revscript.errors import EffectRefused
from revscript.jail.effects import Notify
from revscript.records.context import Context
from revscript.store.record_tables import notice

_by_key = select(notice.c.id, notice.c.as_of).where(notice.c.key == bindparam("key"))


def notify(context: Context, effect: Notify) -> str:
    """Carry out `Notify`. An older mail neither replaces nor lowers what a newer one has said."""
    if effect.audience == "channel":
        raise EffectRefused(f"No channel {effect.name!r} is configured.")
    key = f"key:{effect.key}" if effect.key is not None else context.key
    date = context.mail.date if context.mail else context.now
    known = context.tx.execute(_by_key, {"key": key}).one_or_none()
    if known is not None and date < known.as_of:
        return f"notice:{known.id}"
    values = {
        "audience": effect.audience,
        "name": effect.name,
        "text": effect.text,
        "level": "important" if context.mail and context.mail.late and effect.level == "alarm" else effect.level,
        "wished_level": effect.level,
        "mission_id": context.record_id(effect.about, "mission"),
        "as_of": date,
    }
    return _put(context, key, known.id if known else None, values)


def tell(context: Context, key: str, text: str) -> str:
    """A notice of the house itself, for all: what stands there now, whatever the mail's date."""
    known = context.tx.execute(_by_key, {"key": key}).one_or_none()
    values = {"audience": "all", "name": "", "text": text, "level": "important", "wished_level": "important"}
    return _put(context, key, known.id if known else None, {**values, "as_of": context.now})


def _put(context: Context, key: str, known: int | None, values: dict[str, Any]) -> str:
    values |= {"mail_id": context.mail_id, "at": context.now}
    if known is None:
        return f"notice:{context.insert(notice, key=key, updates=0, **values)}"
    context.tx.execute(update(notice).where(notice.c.id == known).values(updates=notice.c.updates + 1, **values))
    return f"notice:{known}"
