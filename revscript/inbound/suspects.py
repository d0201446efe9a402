"""One bad mail never blocks another: mails at which fetching failed again and again step aside.

A first failure may be the network's. At the second all mails of the batch come alone; from the third on a mail waits,
longer each time, while the others pass. It stays on the server and is never given up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from revscript.model import ServerMail

ALONE = 2  # failures after which a mail is fetched by itself
ASIDE = 3  # … and after which it waits
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 600.0  # s: on a bad line it may be no fault of the mail's

FETCH_BATCH = 20  # mails received together
FETCH_BATCH_BYTES = 1 << 20  # … if they are small


@dataclass(slots=True)
class _Suspect:
    failures: int = 0
    not_before: float = 0.0  # monotonic
    why: str = ""


class Suspects:
    """What one mailbox's watcher remembers of mails that it could not fetch."""

    def __init__(self) -> None:
        self._known: dict[ServerMail, _Suspect] = {}

    def batches(self, mails: Sequence[ServerMail]) -> Iterator[list[ServerMail]]:
        """Groups of mails to be fetched together, oldest first; without those that wait."""
        listed = set(mails)
        self._known = {mail: suspect for mail, suspect in self._known.items() if mail in listed}
        batch: list[ServerMail] = []
        size = 0
        for mail in mails:
            suspect = self._known.get(mail, _Suspect())
            if suspect.not_before > time.monotonic():
                continue
            alone = suspect.failures >= ALONE
            if batch and (alone or len(batch) == FETCH_BATCH or size + mail.size > FETCH_BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(mail)
            size += FETCH_BATCH_BYTES if alone else mail.size
        if batch:
            yield batch

    def failed(self, mails: Sequence[ServerMail], why: str) -> None:
        """Fetching these mails together failed."""
        for mail in mails:
            suspect = self._known.setdefault(mail, _Suspect())
            suspect.failures += 1
            suspect.why = why
            if suspect.failures >= ASIDE:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (suspect.failures - ASIDE))
                suspect.not_before = time.monotonic() + pause

    def cleared(self, mails: Sequence[ServerMail]) -> None:
        """These mails were fetched."""
        for mail in mails:
            self._known.pop(mail, None)

    def aside(self) -> list[tuple[ServerMail, str]]:
        """Mails that had to step aside, each with the reason."""
        return [(mail, suspect.why) for mail, suspect in self._known.items() if suspect.failures >= ASIDE]
