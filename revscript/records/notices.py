"""Notices for people: the same key is one notice, updated; a late mail alarms nobody any more."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from revscript.errors import EffectRefused
from revscript.jail.effects import Notify
from revscript.records.context import Context
from revscript.store.schema import notice

_by_key = select(notice.c.id).where(notice.c.key == bindparam("key"))


def notify(context: Context, effect: Notify) -> str:
    """Carry out `Notify`."""
    if effect.audience == "channel":
        raise EffectRefused(f"No channel {effect.name!r} is configured.")
    level = "important" if context.mail and context.mail.late and effect.level == "alarm" else effect.level
    key = f"key:{effect.key}" if effect.key is not None else context.key
    values = {
        "audience": effect.audience,
        "name": effect.name,
        "text": effect.text,
        "level": level,
        "wished_level": effect.level,
        "mission_id": context.record_id(effect.about, "mission"),
        "mail_id": context.mail_id,
        "at": context.now,
    }
    known = context.tx.scalar(_by_key, {"key": key})
    if known is None:
        return f"notice:{context.insert(notice, key=key, updates=0, **values)}"
    context.tx.execute(update(notice).where(notice.c.id == known).values(updates=notice.c.updates + 1, **values))
    return f"notice:{known}"
