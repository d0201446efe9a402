"""The mailboxes: their identity, in which epoch they are, what lay there at the first contact, and how they fare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.model import ServerMail
from revscript.store.database import Database
from revscript.store.schema import mailbox

Mode = Literal["push", "poll", "down", ""]  # the server announces; it is asked; it cannot be worked; nobody watches


@dataclass(frozen=True, slots=True)
class Baseline:
    """What lay in a mailbox at the first contact: mails below a UID; in another epoch those up to a date."""

    epoch: str
    below: int
    date: datetime | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the store knows of a mailbox; `compare_below` and `looked_below` are UIDs of `epoch`."""

    epoch: str | None
    compare_below: int
    looked_below: int
    watched: bool
    baseline: Baseline | None

    def lay_there(self, listed: ServerMail) -> bool:
        """Whether a mail was there at the first contact already, when a baseline was drawn.

        After a renumbering the date decides, and only for mails that were there when the new numbers were given.
        """
        if self.baseline is None:
            return False
        if listed.epoch == self.baseline.epoch:
            return int(listed.key) < self.baseline.below
        if self.baseline.date is None or not listed.date or int(listed.key) >= self.compare_below:
            return False
        return datetime.fromisoformat(listed.date) <= self.baseline.date


class Mailboxes:
    """The rows of the mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mailbox_id(self, protocol: str, host: str, user: str, folder: str) -> int:
        """The ledger's identity of a mailbox; made when it is new."""
        who = {"protocol": protocol, "host": host.lower(), "user": user, "folder": folder}
        with self._database.read() as tx:
            known = tx.scalar(select(mailbox.c.id).filter_by(**who))
        if known is not None:
            return known
        with self._database.write() as tx:
            tx.execute(upsert(mailbox).values(**who, compare_below=0, error="").on_conflict_do_nothing())
            return tx.execute(select(mailbox.c.id).filter_by(**who)).scalar_one()

    def memory(self, mailbox_id: int) -> Memory:
        """What is known of the mailbox."""
        with self._database.read() as tx:
            row = tx.execute(select(mailbox).where(mailbox.c.id == mailbox_id)).one()
        date = datetime.fromisoformat(row.baseline_date) if row.baseline_date else None
        baseline = None if row.baseline_epoch is None else Baseline(row.baseline_epoch, row.baseline_below, date)
        # A store that is older than `watched_since` knows the epoch of what it has watched.
        watched = row.watched_since is not None or row.epoch is not None
        return Memory(row.epoch, row.compare_below, row.looked_below, watched, baseline)

    def first_contact(self, mailbox_id: int, now: datetime, baseline: Baseline | None = None) -> None:
        """The mailbox is looked into for the first time; with a baseline, what lies there is left alone."""
        values: dict[str, object] = {"watched_since": now}
        if baseline is not None:
            date = baseline.date.isoformat() if baseline.date else None
            values |= {"baseline_epoch": baseline.epoch, "baseline_below": baseline.below, "baseline_date": date}
        self._set(mailbox_id, **values)

    def begin_epoch(self, mailbox_id: int, epoch: str, next_key: int) -> bool:
        """Tell which epoch the server is in → whether it has renumbered the mails that we know.

        `next_key`: the server's UIDNEXT; mails below it lay there before and are compared by content from now on.
        """
        with self._database.read() as tx:
            known = tx.execute(select(mailbox.c.epoch).where(mailbox.c.id == mailbox_id)).scalar_one()
        if known == epoch:
            return False
        renumbered = known is not None
        below = next_key if renumbered else 0
        self._set(mailbox_id, epoch=epoch, compare_below=below, looked_below=next_key)
        return renumbered

    def proved(self, mailbox_id: int, now: datetime, next_poll_at: datetime, mode: Mode = "poll") -> None:
        """The server answered well just now."""
        self._set(mailbox_id, last_ok_at=now, next_poll_at=next_poll_at, error="", mode=mode)

    def looked(self, mailbox_id: int, below: int, read_by_others: int) -> None:
        """All mails below a UID were looked at, and this many more were read by somebody else before."""
        count = mailbox.c.read_by_others + read_by_others
        self._set(mailbox_id, looked_below=below, read_by_others=count)

    def failed(self, mailbox_id: int, error: str, next_poll_at: datetime) -> None:
        """The mailbox cannot be worked now."""
        self._set(mailbox_id, error=error, next_poll_at=next_poll_at, mode="down")

    def unwatched(self, mailbox_id: int) -> None:
        """Nobody watches the mailbox any more."""
        self._set(mailbox_id, error="", next_poll_at=None, mode="")

    def _set(self, mailbox_id: int, **values: object) -> None:
        with self._database.write() as tx:
            tx.execute(update(mailbox).where(mailbox.c.id == mailbox_id).values(**values))
