"""Reading a received mail once, in the jail, and keeping the Reading."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import islice

import structlog

from revscript.config import Settings
from revscript.jail.reading.model import Reading
from revscript.model import Clock, Problem, ProblemSink
from revscript.sandbox import ReaderDied, Sandbox
from revscript.store.blobs import CHUNK, Blobs
from revscript.store.ledger import Ledger, Mail

READER_TRIES = 3  # at once: a mail that kills the reader gets its fallback Reading without waiting
MB = 1_000_000

log = structlog.get_logger()


class Reader:
    """Reads each mail once, whichever worker comes first; the others wait for it."""

    def __init__(self, ledger: Ledger, blobs: Blobs, sandbox: Sandbox, problems: ProblemSink, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._sandbox = sandbox
        self._problems = problems
        self._clock = clock
        self._guard = threading.Lock()
        self._reading: dict[int, threading.Lock] = {}

    def ensure_read(self, mail_id: int, settings: Settings) -> None:
        """Read the mail unless it has been; JailBroken and StoreError leave it unread."""
        with self._guard:
            turn = self._reading.setdefault(mail_id, threading.Lock())
        with turn:
            mail = self._ledger.mail(mail_id)
            if mail.state == "received":
                read = self._read(mail, settings)
                self._ledger.store_reading(mail_id, read, self._clock())
                log.info("read", mail=mail_id, account=mail.account, fallback=read.fallback)
        with self._guard:
            self._reading.pop(mail_id, None)

    def _read(self, mail: Mail, settings: Settings) -> Reading:
        if mail.cut:
            return self._head(mail, f"larger than {settings.hard_cap} MB: only its head was fetched")
        if mail.size > settings.reading_limit * MB:
            return self._head(mail, f"larger than {settings.reading_limit} MB: not taken apart")
        why = ""
        for _ in range(READER_TRIES):
            try:
                return self._sandbox.read(self._blobs.chunks(mail.blob_id), mail.size)
            except ReaderDied as died:
                why = str(died)
                log.warning("reader died", mail=mail.id, why=why)
        return self._head(mail, f"the reader died of it {READER_TRIES} times ({why})")

    def _head(self, mail: Mail, why: str) -> Reading:
        """The fallback: header lines at the most, so that every method still works on the mail."""
        self._problems.report(
            Problem(
                f"unreadable:{mail.id}",
                f"mail {mail.id} ({mail.account})",
                f"The mail could not be read: {why}.",
                "Look at the raw mail; it is kept, and its message form carries the header lines.",
                "warning",
            )
        )
        try:
            head = self._sandbox.read(islice(self._blobs.chunks(mail.blob_id), 1), CHUNK, headers_only=True)
        except ReaderDied:
            head = Reading(fallback=True)
        return replace(head, fallback=True, defects=(f"not read: {why}"[:300], *head.defects))
