"""A command post with an open store, in which outcomes are committed as the engine does it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as counter
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Table, func, select

from revscript.commit import Committed
from revscript.config import Secrets
from revscript.host import Stores, open_stores
from revscript.jail.effects import Effect
from revscript.jail.plain import to_plain
from revscript.jail.questions import Question
from revscript.jail.reading.model import Attachment, MailAddress, Reading
from revscript.model import METHODS, Asked, Outcome, sha256_hex
from revscript.records.context import MailFacts
from revscript.snapshot import Instance, Snapshot, load_snapshot
from revscript.store.blobs import StagedBlob
from revscript.store.columns import metadata
from revscript.store.ledger import RunRecord
from revscript.store.schema import task
from tests.store.kit import listed, mailbox, receive

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCRIPT = "script:onEMail.py"
DOCUMENT = "method:document"
SETTINGS = {"organisation": {"name": "Feuerwehr Musterstadt"}, "default_sender": None}


def account(address: str, **changes: Any) -> dict[str, Any]:
    """An account that receives and sends."""
    login = {"method": "password", "username": address, "password": "secret:post"}
    receiving = {"protocol": "imap", "host": "mail.fuest.example", "port": 993}
    sending = {"protocol": "smtp", "host": "mail.fuest.example", "port": 587}
    methods = dict.fromkeys(METHODS, True)
    return {
        "address": address,
        "enabled": True,
        "authentication": login,
        "receiving": receiving,
        "sending": sending,
        "methods": methods,
        **changes,
    }


ACCOUNTS = {
    "leitstelle": account("einsatz@fuest.example"),
    "alarm": account("alarm@fuest.example", sending={"protocol": "none"}, addressee="Zugführer"),
    "verteiler": account("verteiler@fuest.example", receiving={"protocol": "none"}),
    "alt": account("alt@fuest.example", enabled=False),
}


def write_instance(root: Path, settings: dict[str, Any]) -> Instance:
    """An instance folder with the accounts above."""
    instance = Instance(root)
    instance.accounts.mkdir()
    instance.user_scripts.mkdir()
    (instance.user_scripts / "onEMail.py").write_text("def onEMail(mail):\n    pass\n")
    for name, content in ACCOUNTS.items():
        (instance.accounts / f"{name}.json").write_text(json.dumps(content))
    instance.settings.write_text(json.dumps(SETTINGS | settings))
    return instance


def attachment(name: str, content: bytes) -> Attachment:
    """An attachment as the reader describes it."""
    return Attachment(
        name=name,
        original_name=name,
        type="application/pdf",
        declared_type="application/pdf",
        size=len(content),
        sha256=sha256_hex(content),
        inline=False,
    )


def reading(date: datetime | None = NOW, **changes: Any) -> Reading:
    """An alarm mail."""
    sender = MailAddress(address="alarm@leitstelle.example", name="Leitstelle")
    plain = Reading(
        subject="B 3 Lagerhalle",
        sender=sender,
        from_=(sender,),
        date=date.isoformat() if date else None,
        headers=(("Date", date.strftime("%a, %d %b %Y %H:%M:%S +0000")),) if date else (),
        text="Einsatznummer 990007\n",
    )
    return replace(plain, **changes)


class Post:
    """The command post. Commits happen at `NOW`, unless they say otherwise."""

    def __init__(self, stores: Stores, snapshot: Snapshot) -> None:
        self.stores = stores
        self.snapshot = snapshot
        self._box = mailbox(stores)
        self._keys = counter(1)
        self._contents: dict[int, Sequence[bytes]] = {}

    def mail(
        self,
        date: datetime | None = NOW,
        *,
        account: str = "leitstelle",
        late: bool = False,
        files: Iterable[tuple[str, bytes]] = (),
        received_at: datetime | None = None,
        **fields: Any,
    ) -> MailFacts:
        """A mail that was received and read; `files` are (name, content)."""
        files = list(files)
        (receipt,) = receive(self.stores, self._box, listed(next(self._keys)), account=account, methods=METHODS)
        read = reading(date, attachments=tuple(attachment(*file) for file in files), **fields)
        self._contents[receipt.mail_id] = [content for _, content in files]
        received = received_at or max(NOW, date or NOW)  # a mail does not come before it was written
        return MailFacts(receipt.mail_id, self.snapshot.accounts[account], read, received, late)

    def ask(self, question: Question, mail: MailFacts | None = None) -> Asked:
        """Ask a question as a run does."""
        return Asked(to_plain(question), self.stores.commit.answer(question, mail.id if mail else None))

    def commit(
        self,
        *effects: Effect,
        by: str = SCRIPT,
        mail: MailFacts | None = None,
        asked: tuple[Asked, ...] = (),
        now: datetime = NOW,
        key: str = "",
    ) -> Committed:
        """Commit effects; those of a script or a method as the try of a task."""
        outcome = Outcome(by=by, effects=effects, asked=asked)
        return self.stores.commit.apply(
            outcome,
            now=now,
            snapshot=self.snapshot,
            mail=mail,
            staged=self.staged(mail),
            record=self._record(outcome, mail, now),
            key=key,
        )

    def staged(self, mail: MailFacts | None) -> dict[int, StagedBlob]:
        """The mail's attachments as blobs, as the engine extracts them before a commit."""
        contents = self._contents.get(mail.id, ()) if mail else ()
        return {index: self.stores.blobs.stage([content]) for index, content in enumerate(contents)}

    def _record(self, outcome: Outcome, mail: MailFacts | None, now: datetime) -> RunRecord | None:
        if mail is None or not outcome.by.startswith(("script:", "method:")):
            return None
        method = "script" if outcome.by.startswith("script:") else outcome.by.partition(":")[2]
        (row,) = self.rows(task, mail_id=mail.id, method=method)
        claimed = self.stores.ledger.claim(row.id, now)
        if claimed is None:
            raise AssertionError(f"{outcome.by} is {row.state}: a task is tried once")
        return RunRecord(claimed, outcome, self.snapshot.sha256, now, 0)

    def rows(self, table: Table, **where: Any) -> Sequence[Row[Any]]:
        """All rows of a table, or those with these values, in the order in which they were made."""
        with self.stores.database.read() as tx:
            return tx.execute(select(table).filter_by(**where).order_by(next(iter(table.c)))).all()

    def everything(self) -> dict[str, int]:
        """How many rows each table has."""
        with self.stores.database.read() as tx:
            return {
                name: tx.scalar(select(func.count()).select_from(table)) or 0 for name, table in metadata.tables.items()
            }


@contextmanager
def post_in(root: Path, **settings: Any) -> Generator[Post]:
    """A command post in a new instance folder."""
    instance = write_instance(root, settings)
    snapshot = load_snapshot(instance, Secrets(instance.secrets, {"REVSCRIPT_SECRET_POST": "correct-horse"}))
    stores = open_stores(instance)
    yield Post(stores, snapshot)
    stores.database.close()
