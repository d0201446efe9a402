"""What every record needs to know while an effect is carried out inside the commit's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, insert

from revscript.config import Account, Settings
from revscript.errors import EffectRefused
from revscript.jail.merge import date_of
from revscript.jail.reading.model import Reading
from revscript.snapshot import Snapshot
from revscript.store.blobs import Blobs, StagedBlob
from revscript.store.database import inserted


@dataclass(frozen=True, slots=True)
class File:
    """A file that is a blob now, with its safe name and its media type by content."""

    name: str
    type: str
    blob_id: int


@dataclass(frozen=True, slots=True)
class MailFacts:
    """The mail that an outcome is about.

    `late`: its alarms are downgraded. `raw`: the mail itself as a file. `repeats`: an earlier mail with the same bytes.
    """

    id: int
    account: Account
    reading: Reading
    received_at: datetime
    late: bool
    raw: File | None = None
    repeats: int | None = None

    @property
    def date(self) -> datetime:
        """The date by which records compare mails."""
        own = datetime.fromisoformat(self.reading.date) if self.reading.date else None
        return date_of(own, self.received_at)


@dataclass(slots=True)
class Context:
    """One outcome on its way into the records. `targets` are the records of its earlier effects, in order."""

    tx: Connection
    by: str
    now: datetime
    snapshot: Snapshot
    blobs: Blobs
    mail: MailFacts | None
    staged: Mapping[int, StagedBlob] = field(default_factory=dict[int, StagedBlob])
    run_id: int | None = None
    targets: list[str] = field(default_factory=list[str])
    key: str = ""  # the present effect's idempotency key

    @property
    def settings(self) -> Settings:
        """The instance's settings."""
        return self.snapshot.settings

    @property
    def mail_id(self) -> int | None:
        """The mail's id, if a mail is what it is about."""
        return self.mail.id if self.mail else None

    def the_mail(self) -> MailFacts:
        """The mail, for effects that make no sense without one."""
        if self.mail is None:
            raise EffectRefused("This effect needs a mail that it is about.")
        return self.mail

    def record_id(self, ref: str | None, kind: str) -> int | None:
        """The id behind a reference (`mission:12`, or `effect:3` of this run)."""
        if ref is None:
            return None
        word, _, number = ref.partition(":")
        if word == "effect":
            if int(number) >= len(self.targets):
                raise EffectRefused(f"{ref} has not happened yet.")
            word, _, number = self.targets[int(number)].partition(":")
        if word != kind:
            raise EffectRefused(f"{ref} is a {word}, not a {kind}.")
        return int(number)

    def files(self, indexes: tuple[int, ...]) -> list[File]:
        """The mail's attachments with these indexes, as blobs."""
        if not indexes:
            return []
        mail = self.the_mail()
        found: list[File] = []
        for index in indexes:
            one, blob_id = mail.reading.attachments[index], self.blobs.keep(self.tx, self.staged[index], self.now)
            found.append(File(one.name, one.type, blob_id))
        return found

    def insert(self, table: Table, **values: Any) -> int:
        """Insert one row → its id."""
        return inserted(self.tx.execute(insert(table), values))
