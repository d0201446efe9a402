"""Mail on its way in: which mails are new, receiving them, and telling the server afterwards.

Identity (handbook mailboxes.md §6): a mailbox is (protocol, host, user, folder); a mail in it is (epoch, key, size,
date). Two byte-identical mails are two mails. When the server has renumbered a folder (UIDVALIDITY), the mails that lay
in it before are recognised by their content, each old row once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from revscript.model import AT_ONCE, Method, ServerMail
from revscript.store.blobs import Blobs, StagedBlob
from revscript.store.database import Database, inserted
from revscript.store.mailboxes import Mailboxes
from revscript.store.schema import mail, mailbox, task

_QUERY_BATCH = 500  # keys per query; SQLite takes at most 32,766 parameters


@dataclass(frozen=True, slots=True)
class Incoming:
    """A fetched mail: what the server said of it, its staged bytes, and whether only the head was fetched."""

    listed: ServerMail
    raw: StagedBlob
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an incoming mail: `new` has tasks now, else it is known or recognised after a renumbering."""

    mail_id: int
    new: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A mail whose tasks are all done: the server can be told."""

    mail_id: int
    listed: ServerMail
    cut: bool


class Intake(Mailboxes):
    """The store's side of a watcher."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        super().__init__(database)
        self._blobs = blobs

    def unknown(self, mailbox_id: int, listed: Sequence[ServerMail]) -> list[ServerMail]:
        """Those of the listed mails that the ledger does not have, in their order."""
        known: set[ServerMail] = set()
        columns = (mail.c.epoch, mail.c.server_key, mail.c.server_size, mail.c.server_date)
        with self._database.read() as tx:
            for start in range(0, len(listed), _QUERY_BATCH):
                keys = [one.key for one in listed[start : start + _QUERY_BATCH]]
                rows = tx.execute(select(*columns).where(mail.c.mailbox_id == mailbox_id, mail.c.server_key.in_(keys)))
                known.update(ServerMail(*row) for row in rows)
        return [one for one in listed if one not in known]

    def receive(
        self,
        mailbox_id: int,
        account: str,
        batch: Sequence[Incoming],
        methods: Sequence[Method],
        snapshot_sha256: str,
        now: datetime,
    ) -> list[Receipt]:
        """Make fetched mails durable, each with one task per method, in one small transaction.

        One that is there already (the server listed it twice) stays as it is.
        """
        with self._database.write() as tx:
            below = tx.execute(select(mailbox.c.compare_below).where(mailbox.c.id == mailbox_id)).scalar_one()
            receipts = [
                self._known(tx, mailbox_id, one.listed)
                or self._recognise(tx, mailbox_id, one, below)
                or self._insert(tx, mailbox_id, account, one, methods, snapshot_sha256, now)
                for one in batch
            ]
            if any(receipt.new for receipt in receipts):
                tx.execute(update(mailbox).where(mailbox.c.id == mailbox_id).values(mail_at=now))
            return receipts

    def _known(self, tx: Connection, mailbox_id: int, listed: ServerMail) -> Receipt | None:
        known = tx.scalar(
            select(mail.c.id)
            .where(mail.c.mailbox_id == mailbox_id, mail.c.epoch == listed.epoch, mail.c.server_key == listed.key)
            .where(mail.c.server_size == listed.size, mail.c.server_date == listed.date)
        )
        return None if known is None else Receipt(known, new=False)

    def _recognise(self, tx: Connection, mailbox_id: int, incoming: Incoming, below: int) -> Receipt | None:
        listed = incoming.listed
        if not below or int(listed.key) >= below:
            return None
        old = tx.execute(
            select(mail.c.id)
            .where(mail.c.mailbox_id == mailbox_id, mail.c.sha256 == incoming.raw.sha256)
            .where(mail.c.epoch != listed.epoch)
            .order_by(mail.c.id)
            .limit(1)
        ).scalar_one_or_none()
        if old is None:
            return None
        values = {
            "epoch": listed.epoch,
            "server_key": listed.key,
            "server_size": listed.size,
            "server_date": listed.date,
            "settle": "waiting",  # it lies there unread again: tell the server once more
        }
        tx.execute(update(mail).where(mail.c.id == old).values(**values))
        return Receipt(old, new=False)

    def _insert(
        self,
        tx: Connection,
        mailbox_id: int,
        account: str,
        incoming: Incoming,
        methods: Sequence[Method],
        snapshot_sha256: str,
        now: datetime,
    ) -> Receipt:
        twin = tx.execute(select(func.min(mail.c.id)).where(mail.c.sha256 == incoming.raw.sha256)).scalar_one()
        row = {
            "mailbox_id": mailbox_id,
            "account": account,
            "epoch": incoming.listed.epoch,
            "server_key": incoming.listed.key,
            "server_size": incoming.listed.size,
            "server_date": incoming.listed.date,
            "blob_id": self._blobs.keep(tx, incoming.raw, now),
            "sha256": incoming.raw.sha256,
            "size": incoming.raw.size,
            "cut": incoming.cut,
            "received_at": now,
            "state": "received" if methods else "done",
            "snapshot_sha256": snapshot_sha256,
            "settle": "waiting",
            "possible_duplicate_of": twin,
        }
        mail_id = inserted(tx.execute(insert(mail), row))
        if methods:
            one: dict[str, Any] = {
                "mail_id": mail_id,
                "account": account,
                "state": "waiting",
                "not_before": AT_ONCE,
                "reason": "",
            }
            tx.execute(insert(task), [one | {"method": method} for method in methods])
        return Receipt(mail_id, new=True)

    def finished(self, mailbox_id: int, limit: int) -> list[Finished]:
        """Mails whose tasks are all done and of which the server does not know yet, oldest first.

        Only those of the present epoch: older keys mean nothing to the server any more.
        """
        query = (
            select(mail.c.id, mail.c.epoch, mail.c.server_key, mail.c.server_size, mail.c.server_date, mail.c.cut)
            .join(mailbox, mailbox.c.id == mail.c.mailbox_id)
            .where(mail.c.mailbox_id == mailbox_id, mail.c.settle == "waiting", mail.c.state == "done")
            .where(mail.c.epoch == mailbox.c.epoch)
            .order_by(mail.c.id)
            .limit(limit)
        )
        with self._database.read() as tx:
            return [Finished(mail_id, ServerMail(*listed), cut) for mail_id, *listed, cut in tx.execute(query)]

    def adopt(self, mailbox_id: int, account: str) -> int:
        """Give what is open to the account that watches the mailbox now: its file was renamed → how many tasks."""
        ours = select(mail.c.id).where(mail.c.mailbox_id == mailbox_id)
        open_here = task.c.mail_id.in_(ours) & task.c.state.in_(("waiting", "running", "quarantined"))
        stray = open_here & (task.c.account != account)
        with self._database.read() as tx:
            if tx.scalar(select(task.c.id).where(stray).limit(1)) is None:
                return 0
        with self._database.write() as tx:
            tx.execute(update(mail).where(mail.c.id.in_(select(task.c.mail_id).where(stray))).values(account=account))
            return tx.execute(update(task).where(stray).values(account=account)).rowcount

    def settled(self, mail_ids: Sequence[int], by: str, now: datetime) -> None:
        """The server was told (`by`: seen, delete, none, move:FOLDER, keyword:WORD)."""
        with self._database.write() as tx:
            tx.execute(
                update(mail).where(mail.c.id.in_(mail_ids)).values(settle="settled", settled_at=now, settled_by=by)
            )

    def unsettled_again(self, mailbox_id: int, listed: Sequence[ServerMail]) -> int:
        """Mails that were deleted or moved and are listed all the same are to be settled once more → how many."""
        keys = [one.key for one in listed]
        gone = (
            select(mail.c.id)
            .join(mailbox, mailbox.c.id == mail.c.mailbox_id)
            .where(mail.c.mailbox_id == mailbox_id, mail.c.settle == "settled", mail.c.server_key.in_(keys))
            .where((mail.c.settled_by == "delete") | mail.c.settled_by.startswith("move:"))
            .where(mail.c.epoch == mailbox.c.epoch)
        )
        with self._database.read() as tx:
            ids = tx.scalars(gone).all()
        if not ids:  # as nearly always: nobody is to wait for the write lock
            return 0
        with self._database.write() as tx:
            return tx.execute(update(mail).where(mail.c.id.in_(ids)).values(settle="waiting")).rowcount

    def strangers(self, mailbox_id: int, epoch: str, keys: Sequence[str]) -> int:
        """How many of the mails with these keys the ledger does not have."""
        known: set[str] = set()
        with self._database.read() as tx:
            for start in range(0, len(keys), _QUERY_BATCH):
                some = mail.c.server_key.in_(keys[start : start + _QUERY_BATCH])
                ours = mail.c.mailbox_id == mailbox_id, mail.c.epoch == epoch
                known.update(tx.scalars(select(mail.c.server_key).where(*ours, some)))
        return len(set(keys) - known)
