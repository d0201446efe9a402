"""Mail that leaves: an act in the outbox of the account that sends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from revscript.config import Account, Smtp
from revscript.errors import EffectRefused
from revscript.jail.effects import SendMail
from revscript.jail.plain import to_plain
from revscript.records.context import Context
from revscript.store.outbox import Outbox


def send(context: Context, effect: SendMail, outbox: Outbox) -> str:
    """Carry out `SendMail`: EffectRefused where no account can send it."""
    if not effect.to and not effect.cc:
        raise EffectRefused("A mail needs at least one recipient.")
    sender = _sender(context, effect.account)
    payload: dict[str, Any] = {
        "account": sender.name,
        "from": sender.address,
        "to": list(effect.to),
        "cc": list(effect.cc),
        "subject": effect.subject,
        "text": effect.text,
        "html": effect.html,
        "in_reply_to": effect.in_reply_to,
        "files": [to_plain(one) for one in effect.files],
        "attachments": [
            {"name": one.name, "type": one.type, "blob_id": one.blob_id} for one in context.files(effect.attachments)
        ],
    }
    act_id = outbox.add(
        context.tx,
        key=context.key,
        kind="mail",
        lane=f"smtp:{sender.name}",
        level="info",
        payload=payload,
        not_after=context.now + timedelta(hours=context.settings.outbox.give_up_after),
        now=context.now,
        mail_id=context.mail_id,
    )
    return f"act:{act_id}"


def _sender(context: Context, wanted: str | None) -> Account:
    """The named account, else the mail's own, else the default sender (design §10)."""
    own = context.mail.account if context.mail else None
    if wanted is None and own is not None and isinstance(own.sending, Smtp):
        return own
    name = wanted or context.settings.default_sender
    if name is None:
        raise EffectRefused(
            "No account can send this mail: the mail's own account does not send.",
            hint="Name one in send_mail(account=…), or set default_sender in settings.json.",
        )
    account = context.snapshot.accounts.get(name)
    if account is None or not account.enabled or not isinstance(account.sending, Smtp):
        raise EffectRefused(f"The account {name!r} does not exist or cannot send.")
    return account
