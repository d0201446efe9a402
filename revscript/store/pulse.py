"""What the watch over silence asks: when did mail last come, and does anybody look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from revscript.config import Mailbox
from revscript.store.canary import LABEL
from revscript.store.database import Database
from revscript.store.record_tables import mail_label
from revscript.store.schema import canary, mail, mailbox, reading


@dataclass(frozen=True, slots=True)
class Pulse:
    """An account's mailboxes together.

    `proved`: the oldest of their last proven round trips, None while one has none. `since`: when the first was watched
    for the first time. `failing`: one of them does not work now.
    """

    ids: tuple[int, ...]
    since: datetime | None
    proved: datetime | None
    failing: bool


def pulse(database: Database, mailboxes: Sequence[Mailbox]) -> Pulse:
    """How the mailboxes of an account do."""
    found: list[tuple[int, datetime | None, datetime | None, str]] = []
    columns = (mailbox.c.id, mailbox.c.watched_since, mailbox.c.last_ok_at, mailbox.c.error)
    with database.read() as tx:
        for one in mailboxes:
            where = {"protocol": one.protocol, "host": one.host, "user": one.username, "folder": one.folder}
            found += [(row[0], row[1], row[2], row[3]) for row in tx.execute(select(*columns).filter_by(**where))]
    proved = [row[2] for row in found if row[2] is not None]
    return Pulse(
        ids=tuple(row[0] for row in found),
        since=min((row[1] for row in found if row[1] is not None), default=None),
        proved=min(proved) if proved and len(proved) == len(mailboxes) else None,
        failing=any(row[3] for row in found),
    )


def last_mail(database: Database, ids: Sequence[int], after: int, *, has_canary: bool) -> tuple[int, datetime] | None:
    """The last mail in the mailboxes that is no canary, of those with higher ids than `after`: id and when it came.

    Where there are canaries, a mail that has not been read yet does not count: it may be one.
    """
    query = select(mail.c.id, mail.c.received_at).where(mail.c.id > after)
    if has_canary:
        query = query.where(mail.c.state != "received")
    marked = select(mail_label.c.mail_id).where(mail_label.c.mail_id == mail.c.id, mail_label.c.text == LABEL)
    flying = (
        select(canary.c.id)
        .join(reading, reading.c.message_id == canary.c.message_id)
        .where(reading.c.mail_id == mail.c.id)
    )
    query = query.where(~marked.exists(), ~flying.exists()).order_by(mail.c.id.desc()).limit(1)
    with database.read() as tx:  # one by one: of several together the index does not give the last
        rows = [tx.execute(query.where(mail.c.mailbox_id == one)).one_or_none() for one in ids]
    return max(((row[0], row[1]) for row in rows if row), default=None)
