"""Acts that wait for a person, and what a person does about them; the Problem `act:ID` says that one waits.

Each change is one transaction that strikes the Problem as well: a host that runs beside notices the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Text, cast, delete, func, or_, select, update

from revscript.model import AT_ONCE
from revscript.store.database import Database
from revscript.store.schema import act, problem

PREFIX = "act:"

_about = cast(func.substr(problem.c.key, len(PREFIX) + 1), Integer) == act.c.id
_is_ours = problem.c.key.startswith(PREFIX)
_forgotten = cast(act.c.payload, Text) == "{}"  # by retention
_COLUMNS = (
    act.c.id,
    act.c.lane,
    act.c.state,
    act.c.payload,
    act.c.finished_at,
    act.c.tries,
    act.c.error,
    act.c.receipt,
)


class Undelivered(NamedTuple):
    """An act that did not reach everybody. `error`: why, in words; of one that was sent, what some recipients said."""

    id: int
    lane: str
    state: str
    to: list[str]
    subject: str
    since: datetime | None
    tries: int
    error: str
    open: bool  # waits for a person: its Problem stands


def act_key(act_id: int) -> str:
    """The key of the Problem that speaks of an act."""
    return f"{PREFIX}{act_id}"


class UndeliveredActs:
    """What was given up, and what some recipients have refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> list[Undelivered]:
        """Acts that wait for a person, oldest first."""
        query = select(*_COLUMNS).join(problem, _about & _is_ours).where(act.c.state.in_(("dead", "sent")))
        with self._database.read() as tx:
            return [_undelivered(row, waits=True) for row in tx.execute(query.order_by(act.c.id)).all()]

    def one(self, act_id: int) -> Undelivered | None:
        """An act in whatever state; None when there is none, or retention has removed what was in it."""
        with self._database.read() as tx:
            row = tx.execute(select(*_COLUMNS).where(act.c.id == act_id, ~_forgotten)).one_or_none()
            waits = tx.scalar(select(problem.c.key).where(problem.c.key == act_key(act_id))) is not None
        return None if row is None else _undelivered(row, waits=waits)

    def retry(self, ids: Sequence[int], not_after: datetime) -> list[int]:
        """Try acts again, from the start and until `not_after` → those that had ended; nobody gets one twice."""
        with self._database.write() as tx:
            return [one for one in ids if _again(tx, one, not_after)]

    def discard(self, ids: Sequence[int], by: str, why: str) -> list[int]:
        """Nobody needs to look at these acts any more → those that waited for somebody."""
        with self._database.write() as tx:
            return [one for one in ids if _given_up(tx, one, f"discarded by {by}: {why}")]

    def settled(self) -> list[str]:
        """Keys of Problems that are over: the act is gone, was removed, or has reached everybody."""
        refused = func.coalesce(func.json_extract(act.c.receipt, "$.refused"), "{}")
        over = or_(act.c.id.is_(None), _forgotten, (act.c.state == "sent") & (refused == "{}"))
        with self._database.read() as tx:
            return list(tx.scalars(select(problem.c.key).outerjoin(act, _about).where(_is_ours, over)))


def _undelivered(row: Any, *, waits: bool) -> Undelivered:
    receipt: dict[str, dict[str, str]] = row.receipt or {}
    said = "; ".join(f"{address}: {text}" for address, text in receipt.get("refused", {}).items())
    to = [*row.payload.get("to", ()), *row.payload.get("cc", ())]
    subject = row.payload.get("subject", "")
    return Undelivered(row.id, row.lane, row.state, to, subject, row.finished_at, row.tries, row.error or said, waits)


def _again(tx: Connection, act_id: int, not_after: datetime) -> bool:
    ended = (act.c.id == act_id) & act.c.state.in_(("dead", "sent")) & ~_forgotten
    row = tx.execute(select(act.c.state, act.c.receipt).where(ended)).one_or_none()
    if row is None:
        return False
    receipt: dict[str, Any] = row.receipt or {}
    if row.state == "sent" and not receipt.get("refused"):
        return False
    left: dict[str, Any] = {"accepted": receipt.get("accepted", {}), "refused": {}}
    again = update(act).where(ended).values(state="pending", tries=0, next_at=AT_ONCE, not_after=not_after)
    tx.execute(again.values(error="", receipt=left, finished_at=None))
    tx.execute(delete(problem).where(problem.c.key == act_key(act_id)))
    return True


def _given_up(tx: Connection, act_id: int, note: str) -> bool:
    ended = select(act.c.id).where(act.c.id == act_id, act.c.state.in_(("dead", "sent")))
    known = delete(problem).where(problem.c.key == act_key(act_id))
    if tx.scalar(ended) is None or not tx.execute(known).rowcount:
        return False
    before = tx.scalar(select(act.c.error).where(act.c.id == act_id))
    tx.execute(update(act).where(act.c.id == act_id).values(error=f"{note} (before: {before})" if before else note))
    return True
