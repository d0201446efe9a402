"""The communication centre's shared inbox, and the words that people find mails by."""

from __future__ import annotations

from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.jail.effects import IgnoreMail, LabelMail, ShowInCentre
from revscript.records.context import Context
from revscript.store.record_tables import centre_entry, mail_label


def show(context: Context, effect: ShowInCentre) -> str:
    """Carry out `ShowInCentre`; a mail is shown once."""
    values = {"mail_id": context.the_mail().id, "state": "open", "at": context.now}
    context.tx.execute(upsert(centre_entry).on_conflict_do_nothing(), values)
    return f"mail:{context.the_mail().id}"


def label(context: Context, effect: LabelMail) -> str:
    """Carry out `LabelMail`."""
    values = {"mail_id": context.the_mail().id, "text": effect.text, "by": context.by, "at": context.now}
    context.tx.execute(upsert(mail_label).on_conflict_do_nothing(), values)
    return f"mail:{context.the_mail().id}"


def ignore(context: Context, effect: IgnoreMail) -> str:
    """Carry out `IgnoreMail`: the run's exit and its record say it already."""
    return f"mail:{context.the_mail().id}"
