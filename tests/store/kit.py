"""Short ways to a filled store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Table, func, select

from revscript.host import Stores, open_stores
from revscript.model import Method, ServerMail
from revscript.snapshot import Instance
from revscript.store.intake import Incoming, Receipt

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RAW = b"Subject: B 3 Lagerhalle\r\n\r\nEinsatznummer 990007\r\n"


@contextmanager
def opened(root: Path) -> Generator[Stores]:
    """The stores of a new instance."""
    stores = open_stores(Instance(root))
    yield stores
    stores.database.close()


def mailbox(stores: Stores, user: str = "einsatz") -> int:
    """An IMAP mailbox in epoch 1."""
    box = stores.intake.mailbox_id("imap", "mail.fuest.example", user, "INBOX")
    stores.intake.begin_epoch(box, "1", 1)
    return box


def listed(key: int | str, *, epoch: str = "1", size: int = len(RAW), date: str = "2026-03-01T12:00") -> ServerMail:
    """A mail as the server lists it."""
    return ServerMail(epoch, str(key), size, date)


def receive(
    stores: Stores,
    box: int,
    *mails: ServerMail,
    raw: bytes = RAW,
    account: str = "leitstelle",
    methods: Sequence[Method] = ("script",),
    cut: bool = False,
) -> list[Receipt]:
    """Receive mails with the same bytes."""
    batch = [Incoming(one, stores.blobs.stage([raw]), cut) for one in mails]
    return stores.intake.receive(box, account, batch, methods, "0" * 64, NOW)


def rows(stores: Stores, table: Table, **where: Any) -> Sequence[Row[Any]]:
    """All rows of a table, or those with these values, in the order of their first column."""
    with stores.database.read() as tx:
        return tx.execute(select(table).filter_by(**where).order_by(next(iter(table.c)))).all()


def count(stores: Stores, table: Table) -> int:
    """How many rows a table has."""
    with stores.database.read() as tx:
        return tx.scalar(select(func.count()).select_from(table)) or 0
