"""Canaries: mails that an account sends to itself, to prove that mail comes through from end to end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from revscript.model import Clock
from revscript.store.database import Database, inserted
from revscript.store.outbox import Outbox
from revscript.store.schema import act, canary, mail

_OURS = re.compile(r"[0-9a-f]{40}@")  # how the Message-IDs of our acts begin

KEY = "canary:"  # how the keys of their acts begin
LABEL = "canary"  # what the engine labels one with that is back


@dataclass(frozen=True, slots=True)
class Flight:
    """A canary: sent to itself by an account, and back or not."""

    id: int
    message_id: str
    sent_at: datetime
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sending:
    """How far the outbox has got with a canary. `state`: pending, sent, dead."""

    state: str
    error: str
    finished_at: datetime | None


class Canaries:
    """The rows of the canaries."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def recognise(self, mail_id: int, message_id: str) -> bool:
        """Whether a mail is a canary; the first that comes back to its account ends the flight.

        The engine asks it of each mail, without brackets around the id. That a mail bears the Message-ID proves where
        it comes from: it holds 128 random bits, and only the mail servers on the way have seen them.
        """
        if not _OURS.match(message_id):
            return False  # of most mails, without a question to the database
        with self._database.read() as tx:
            row = tx.execute(select(canary).where(canary.c.message_id == message_id)).one_or_none()
            account = tx.scalar(select(mail.c.account).where(mail.c.id == mail_id))
        if row is None:
            return False
        if row.seen_at is None and row.account == account:
            self._seen(row.id, mail_id)
        return True

    def _seen(self, canary_id: int, mail_id: int) -> None:
        with self._database.write() as tx:
            tx.execute(
                update(canary)
                .where(canary.c.id == canary_id, canary.c.seen_at.is_(None))
                .values(seen_at=self._clock(), mail_id=mail_id)
            )

    def send(
        self, account: str, message_id: str, key: str, payload: dict[str, Any], now: datetime, not_after: datetime
    ) -> Flight:
        """Put a canary into the outbox; `key` begins with `KEY`, and the Message-ID derives from it."""
        with self._database.write() as tx:
            row = {"account": account, "message_id": message_id, "sent_at": now}
            canary_id = inserted(tx.execute(insert(canary), row))
            self._outbox.add(
                tx,
                key=key,
                kind="mail",
                lane=f"smtp:{account}",
                level="info",
                payload=payload,
                not_after=not_after,
                now=now,
                mail_id=None,
            )
        return Flight(canary_id, message_id, now, None)

    def last(self, account: str) -> Flight | None:
        """The account's newest canary."""
        query = select(canary).where(canary.c.account == account).order_by(canary.c.id.desc()).limit(1)
        with self._database.read() as tx:
            row = tx.execute(query).one_or_none()
        return None if row is None else Flight(row.id, row.message_id, row.sent_at, row.seen_at)

    def seen(self, flight: Flight) -> datetime | None:
        """When a canary came back."""
        with self._database.read() as tx:
            return tx.scalar(select(canary.c.seen_at).where(canary.c.id == flight.id))

    def sending(self, key: str) -> Sending | None:
        """What became of a canary in the outbox."""
        query = select(act.c.state, act.c.error, act.c.finished_at).where(act.c.key == key)
        with self._database.read() as tx:
            row = tx.execute(query).one_or_none()
        return None if row is None else Sending(*row)
