"""A mail with everything that its tasks need, and what runs and records are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from revscript.config import Account, MissionFolderMethod
from revscript.jail import wire
from revscript.jail.reading.model import Reading
from revscript.records.context import File, MailFacts
from revscript.snapshot import Snapshot
from revscript.store.blobs import StagedBlob
from revscript.store.ledger import Due, Mail, Task
from revscript.store.recovery import ASIDE, ASIDE_APART, MOST_ASIDE


@dataclass(frozen=True, slots=True)
class Case:
    """A mail under the configuration under which it is worked."""

    mail: Mail
    reading: Reading
    files: Mapping[int, bytes]  # small attachments that came along with the reading
    account: Account
    snapshot: Snapshot
    clock_trusted: bool  # False: the host's clock is off, and cannot be compared with the mail's date
    clock_moved: timedelta = timedelta()  # by how much somebody has set the host's clock since the reception
    staged: dict[int, StagedBlob] = field(default_factory=dict[int, StagedBlob])  # attachments as blobs, by index

    def context(self, task: Task, now: datetime) -> wire.RunContext:
        """What a run depends on beside the Reading."""
        settings, folder = self.snapshot.settings, self.account.methods.mission_folder or MissionFolderMethod()
        return wire.RunContext(
            mail_id=task.mail_id,
            account=self.account.name,
            received=self.mail.received_at.isoformat(),
            now=now.isoformat(),
            max_age=self.account.max_age,
            clock_trusted=self.clock_trusted or self._lay_long(now),
            time_zone=settings.time_zone,
            attachments_inline=folder.inline,
        )

    def facts(self, now: datetime) -> MailFacts:
        """What the records are told."""
        mail = self.mail
        facts = MailFacts(
            mail.id,
            self.account,
            self.reading,
            mail.received_at,
            late=False,
            raw=File(f"mail-{mail.id}.eml", "message/rfc822", mail.blob_id),
            repeats=mail.possible_duplicate_of,
        )
        is_old = now - facts.date > timedelta(minutes=self.account.max_age)
        return replace(facts, late=is_old if self.clock_trusted else self._lay_long(now))

    def _lay_long(self, now: datetime) -> bool:
        """Whether it is late by its reception alone: our clock against itself, whether it is right or not."""
        return now - self.mail.received_at - self.clock_moved > timedelta(minutes=self.account.max_age)


def due(tries: tuple[float, ...], now: datetime) -> Due:
    """What may be tried now; `tries` are the settings' minutes."""
    pauses = [after - before for before, after in pairwise(tries)]
    aside = (ASIDE[-1] + ASIDE_APART * MOST_ASIDE) / 60
    return Due(now, now + timedelta(minutes=max([*pauses, aside]) + 1))


def next_try(attempts: int, tries: tuple[float, ...], now: datetime) -> datetime | None:
    """When to try again after that many attempts; None: no more. `tries` are minutes after the first one."""
    if attempts >= len(tries):
        return None
    return now + timedelta(minutes=tries[attempts] - tries[attempts - 1])
