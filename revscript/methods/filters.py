"""Mails that an account keeps from its script: `allowed_senders` and `skip`. The other methods take them as any mail.

SECURITY: looks at what strangers wrote into From, as the Reading has it. A list of senders keeps noise and mistakes
away; it is no proof of who sent a mail.
"""

from __future__ import annotations

from collections.abc import Iterator

from revscript.config import Account
from revscript.jail.addresses import all_wanted, wanted_key
from revscript.jail.effects import Effect, IgnoreMail, LabelMail
from revscript.jail.reading.model import Reading
from revscript.model import Outcome

NOT_ALLOWED = "not an allowed sender"
_SKIPPED = {"auto_reply": "automatic reply", "bounce": "delivery failure report", "list": "mailing list"}
_MOST_SENDERS = 5  # that are named


def kept_from_script(reading: Reading, account: Account) -> Outcome | None:
    """What becomes of a mail that the account keeps from its script: a label for people; None: the script runs."""
    label, why = next(_reasons(reading, account), ("", ""))
    if not label:
        return None
    effects: tuple[Effect, ...] = (LabelMail(text=label), IgnoreMail(why=why[:500]))
    return Outcome(by="method:script", effects=effects, exit="ignored", log=(f"kept from the script: {why}",))


def _reasons(reading: Reading, account: Account) -> Iterator[tuple[str, str]]:
    """(label, the same with particulars)"""
    kinds = {"auto_reply": reading.is_auto_reply, "bounce": reading.is_bounce, "list": reading.is_list}
    for kind in account.skip:
        if kinds[kind]:
            yield _SKIPPED[kind], f"{_SKIPPED[kind]} (skip of the account)"
    if account.allowed_senders and not _is_allowed(reading, account):
        yield NOT_ALLOWED, f"{NOT_ALLOWED}: {_senders(reading)}"


def _is_allowed(reading: Reading, account: Account) -> bool:
    fields = sum(header[0].casefold() == "from" for header in reading.headers)
    if fields > 1:  # RFC 5322 §3.6 allows one; which of them a server has checked, nobody knows
        return False
    wanted = [wanted_key(sender) for sender in account.allowed_senders]
    return all_wanted((sender.address for sender in reading.from_), wanted)


def _senders(reading: Reading) -> str:
    senders = [sender.address or "(none)" for sender in reading.from_[:_MOST_SENDERS]]
    more = ", …" if len(reading.from_) > _MOST_SENDERS else ""
    return (", ".join(senders) or "(none)") + more
