"""Mail past the outbox: for alerts, because the database may be what is broken.

Nothing remembers such a mail but the one who sends it: who needs it to get through tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from revscript.config import Account
from revscript.errors import DeliveryFailed
from revscript.model import Clock
from revscript.outbound.courier import Deliverer
from revscript.outbound.delivery import Delivery
from revscript.outbound.problems import answers
from revscript.store.outbox import Act


class DirectMail:
    """Hands mails to an account's SMTP server at once; `mail` is how acts of the kind `mail` are delivered."""

    def __init__(self, mail: Deliverer, clock: Clock) -> None:
        self._mail = mail
        self._clock = clock

    def send(self, account: Account, to: Sequence[str], subject: str, text: str, key: str) -> Delivery:
        """One try; DeliveryFailed when nobody got it. The same `key` gives the same Message-ID."""
        now = self._clock()
        act = Act(
            id=0,
            key=key,
            kind="mail",
            lane=f"smtp:{account.name}",
            level="alarm",
            payload={
                "account": account.name,
                "from": account.address,
                "to": list(to),
                "cc": [],
                "subject": subject,
                "text": text,
                "html": None,
                "in_reply_to": None,
                "files": [],
                "attachments": [],  # they would have to come from the database
            },
            tries=1,
            not_after=now + timedelta(hours=1),
            created_at=now,
            receipt=None,
        )
        delivery = self._mail.deliver(act)
        if not delivery.accepted:
            raise DeliveryFailed(answers(delivery.refused | delivery.later), hint="Check the recipients' addresses.")
        return delivery
