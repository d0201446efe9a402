"""The outbox: acts wait in lanes, ordered by level, until the other side has taken them or they are pointless."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.model import AT_ONCE, LEVELS
from revscript.store.database import Database
from revscript.store.schema import act, reading

LEASE = timedelta(minutes=10)  # longer than any delivery's deadline
LONGEST_PAUSE = timedelta(hours=1)  # between two tries, unless the settings say more

_level_order = case({level: -place for place, level in enumerate(LEVELS)}, value=act.c.level)
_sender = select(reading.c.sender).where(reading.c.mail_id == act.c.mail_id).correlate(act).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be done to the world. `key` is what the other side can recognise a repetition by."""

    id: int
    key: str
    kind: str
    lane: str
    level: str
    payload: dict[str, Any]
    tries: int
    not_after: datetime
    created_at: datetime
    receipt: dict[str, Any] | None
    mail_id: int | None = None  # the mail it came from
    sender: str | None = None  # of that mail

    @property
    def is_answer(self) -> bool:
        """Whether it goes to the sender of the mail it came from, and to nobody else: anybody can write there."""
        return _only_to(self.sender, (*self.payload.get("to", ()), *self.payload.get("cc", ())))


class Delayed(NamedTuple):
    """An act that has failed and waits for its next try. `outside`: only whom it answers keeps it, not the lane."""

    id: int
    level: str
    tries: int
    error: str
    outside: bool


class Outbox:
    """The store's side of the courier."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self,
        tx: Connection,
        *,
        key: str,
        kind: str,
        lane: str,
        level: str,
        payload: dict[str, Any],
        not_after: datetime,
        now: datetime,
        mail_id: int | None,
    ) -> int:
        """Put an act into the outbox, inside the commit; the same key is the same act → its id."""
        values = {
            "key": key,
            "kind": kind,
            "lane": lane,
            "level": level,
            "state": "pending",
            "payload": payload,
            "next_at": AT_ONCE,
            "not_after": not_after,
            "error": "",
            "created_at": now,
            "mail_id": mail_id,
        }
        tx.execute(upsert(act).on_conflict_do_nothing(), values)
        return tx.execute(select(act.c.id).where(act.c.key == key)).scalar_one()

    def recover(self) -> None:
        """After a start: what the last run of this instance was delivering is pending again."""
        with self.database.write() as tx:
            tx.execute(
                update(act)
                .where(act.c.state == "pending", act.c.owner == self.database.instance_id)
                .values(owner=None, lease_until=None)
            )

    def lanes(self) -> list[str]:
        """Lanes with something pending."""
        with self.database.read() as tx:
            return list(tx.scalars(select(act.c.lane).where(act.c.state == "pending").distinct()))

    def claim(self, lane: str, now: datetime, longest: timedelta = LONGEST_PAUSE) -> Act | None:
        """Take the most urgent act of a lane that may be tried now; the try is counted before it starts.

        An act that is farther off than the `longest` pause is due, too: the clock was set back meanwhile.
        """
        due = (
            select(act.c.id)
            .where(act.c.state == "pending", act.c.lane == lane)
            .where((act.c.next_at <= now) | (act.c.next_at > now + longest))
            .where(act.c.owner.is_(None) | (act.c.lease_until < now))
            .order_by(_level_order, act.c.id)
            .limit(1)
        )
        with self.database.read() as tx:  # an empty lane costs no write
            if tx.scalar(due) is None:
                return None
        with self.database.write() as tx:
            row = tx.execute(
                update(act)
                .where(act.c.id == due.scalar_subquery())
                .values(owner=self.database.instance_id, lease_until=now + LEASE, tries=act.c.tries + 1)
                .returning(
                    act.c.id,
                    act.c.key,
                    act.c.kind,
                    act.c.lane,
                    act.c.level,
                    act.c.payload,
                    act.c.tries,
                    act.c.not_after,
                    act.c.created_at,
                    act.c.receipt,
                    act.c.mail_id,
                    _sender,
                )
            ).one_or_none()
        return Act(*row) if row else None

    def next_due(self, lane: str) -> datetime | None:
        """When a lane's next act may be tried."""
        query = select(func.min(act.c.next_at)).where(act.c.state == "pending", act.c.lane == lane)
        with self.database.read() as tx:
            return tx.scalar(query)

    def delayed(self, lane: str) -> list[Delayed]:
        """Acts of a lane that have failed and wait for their next try, oldest first."""
        blocked = func.json_extract(act.c.receipt, "$.later")  # what was said of recipients, see `later`
        to, cc = (case((blocked.is_not(None), func.json_extract(act.c.payload, path))) for path in ("$.to", "$.cc"))
        query = (
            select(
                act.c.id, act.c.level, act.c.tries, act.c.error, _sender.label("sender"), to.label("to"), cc.label("cc")
            )
            .where(act.c.state == "pending", act.c.lane == lane, act.c.error != "")
            .order_by(act.c.id)
        )
        with self.database.read() as tx:
            rows = tx.execute(query).all()
        return [
            Delayed(row.id, row.level, row.tries, row.error, _only_to(row.sender, _texts(row.to) + _texts(row.cc)))
            for row in rows
        ]

    def sent(self, act_id: int, receipt: dict[str, Any], now: datetime) -> None:
        """The other side has taken it."""
        self._update(act_id, state="sent", receipt=receipt, error="", finished_at=now)

    def later(self, act_id: int, error: str, next_at: datetime, receipt: dict[str, Any] | None) -> None:
        """The try failed for now. `later` in the receipt: what was said of recipients, where it was not the lane."""
        self._update(act_id, error=error, next_at=next_at, receipt=receipt)

    def dead(self, act_id: int, error: str, now: datetime, receipt: dict[str, Any] | None) -> None:
        """It will never be delivered."""
        self._update(act_id, state="dead", error=error, finished_at=now, receipt=receipt)

    def _update(self, act_id: int, **values: Any) -> None:
        with self.database.write() as tx:
            tx.execute(update(act).where(act.c.id == act_id).values(**values, owner=None, lease_until=None))


def _only_to(sender: str | None, recipients: Iterable[str]) -> bool:
    return bool(sender) and {one.casefold() for one in recipients} == {sender.casefold()}


def _texts(stored: str | None) -> list[str]:
    return json.loads(stored) if stored else []
