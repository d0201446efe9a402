"""Reading a received mail once, in the jail, and keeping the Reading."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import structlog

from revscript.config import Settings
from revscript.errors import JailBroken, StoreError
from revscript.jail.reading.model import Reading
from revscript.model import Clock, Problem, ProblemSink
from revscript.sandbox import ReaderDied, Sandbox
from revscript.store.blobs import CHUNK, BlobMissing, Blobs
from revscript.store.ledger import Ledger, Mail

READER_TRIES = 3  # at once: a mail that kills the reader gets its fallback Reading without waiting
MOST_AHEAD = 32  # mails that are kept in memory after reading, until they run: at most about 4 MB each
MOST_BROKEN = 4  # times that the jail may break with a mail, before it is the mail's fault
MOST_UNLOADABLE = 4  # times that the store may fail at a mail, before the mail's rows are what is broken
MB = 1_000_000

log = structlog.get_logger()


class RawDamaged(Exception):
    """The raw mail is not in the database as it was received."""


@dataclass(frozen=True, slots=True)
class ReadMail:
    """A mail's Reading, with its small attachments by index as long as they are at hand."""

    mail: Mail
    reading: Reading
    files: Mapping[int, bytes] = field(default_factory=dict[int, bytes])


class Reader:
    """Reads each mail once, whichever worker comes first; the others wait for it."""

    def __init__(self, ledger: Ledger, blobs: Blobs, sandbox: Sandbox, problems: ProblemSink, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._sandbox = sandbox
        self._problems = problems
        self._clock = clock
        self._guard = threading.Lock()
        self._turns: dict[int, threading.Lock] = {}
        self._broken: Counter[int] = Counter()
        self._unloadable: Counter[int] = Counter()
        self._recent: OrderedDict[int, ReadMail] = OrderedDict()

    def has_room(self) -> bool:
        """Whether reading ahead makes sense."""
        return len(self._recent) < MOST_AHEAD

    def read_ahead(self, mail_id: int, settings: Settings) -> None:
        """Read the mail unless it has been, and keep it at hand.

        JailBroken and StoreError leave it unread; RawDamaged: it can never be read.
        """
        try:
            with self._turn(mail_id):
                if mail_id not in self._recent:
                    self._keep(self._once(mail_id, settings))
        finally:
            with self._guard:
                self._turns.pop(mail_id, None)

    def _keep(self, read: ReadMail) -> None:
        with self._guard:
            self._recent[read.mail.id] = read
            if len(self._recent) > MOST_AHEAD:  # of an account that does not run now
                self._recent.popitem(last=False)

    def take(self, mail_id: int, settings: Settings) -> ReadMail:
        """The mail with its Reading; read now when it has not been. Raises what `read_ahead` raises."""
        self.read_ahead(mail_id, settings)
        with self._guard:
            read = self._recent.pop(mail_id, None)
        return read or self._once(mail_id, settings)

    def _turn(self, mail_id: int) -> threading.Lock:
        with self._guard:
            return self._turns.setdefault(mail_id, threading.Lock())

    def _once(self, mail_id: int, settings: Settings) -> ReadMail:
        mail = self._ledger.mail(mail_id)
        was_read = mail.state != "received"
        if was_read and (stored := self._stored(mail_id)):
            return ReadMail(mail, stored)
        log.debug("reading", mail=mail_id, account=mail.account)
        read = self._read(mail, settings)
        self._unloadable.pop(mail_id, None)
        self._ledger.store_reading(mail_id, read.reading, self._clock(), anew=was_read)
        log.info("read", mail=mail_id, account=mail.account, fallback=read.reading.fallback)
        return read

    def _stored(self, mail_id: int) -> Reading | None:
        """The stored Reading; None when it is damaged, so that the mail is read again."""
        try:
            return self._ledger.reading(mail_id)
        except StoreError as error:
            if not self._is_the_mails(mail_id, error):
                raise
            log.warning("the stored reading is damaged: the mail is read again", mail=mail_id, why=str(error))
            return None

    def raw(self, mail: Mail) -> Iterator[bytes]:
        """The raw mail, piece by piece; RawDamaged where it cannot be loaded, or is not as it was received."""
        size = 0
        try:
            for piece in self._blobs.chunks(mail.blob_id):
                size += len(piece)
                yield piece
        except StoreError as error:
            if not self._is_the_mails(mail.id, error):
                raise
            raise RawDamaged(f"The raw mail cannot be loaded: {error}") from error
        if size != mail.size:
            raise RawDamaged(f"The raw mail in the database is damaged: {size} of {mail.size} bytes are there.")

    def _is_the_mails(self, mail_id: int, error: StoreError) -> bool:
        """Whether the store's failure is about this mail's rows: it says so, or it has failed here again and again."""
        if isinstance(error, BlobMissing):
            return True
        self._unloadable[mail_id] += 1
        return self._unloadable[mail_id] >= MOST_UNLOADABLE

    def _read(self, mail: Mail, settings: Settings) -> ReadMail:
        if mail.cut:
            return self._head(mail, f"larger than {settings.hard_cap} MB: only its head was fetched")
        if mail.size > settings.reading_limit * MB:
            return self._head(mail, f"larger than {settings.reading_limit} MB: not taken apart")
        why = ""
        for _ in range(READER_TRIES):
            try:
                read = ReadMail(mail, *self._sandbox.read_with_files(self.raw(mail), mail.size))
                self.got_through(mail.id)
                return read
            except ReaderDied as died:
                why = str(died)
                log.warning("reader died", mail=mail.id, why=why)
            except JailBroken:
                if not self.breaks_the_jail(mail.id):
                    raise
                return self._head(mail, "the confined process broke again and again, only with this mail")
        return self._head(mail, f"the reader died of it {READER_TRIES} times ({why})")

    def breaks_the_jail(self, mail_id: int) -> bool:
        """Count a broken jail; True when it is this mail's doing.

        That is: often in a row, and the jail works without it, twice: a jail that only was stopped for a while has
        taken this mail in between.
        """
        self._broken[mail_id] += 1
        if self._broken[mail_id] < MOST_BROKEN:
            return False
        if not self._sandbox.works():
            self._broken[mail_id] = 0
            return False
        if self._broken[mail_id] == MOST_BROKEN:
            return False
        del self._broken[mail_id]
        return True

    def got_through(self, mail_id: int) -> None:
        """The jail worked with this mail."""
        self._broken.pop(mail_id, None)

    def _head(self, mail: Mail, why: str) -> ReadMail:
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
            head = self._sandbox.read(islice(self.raw(mail), 1), CHUNK, headers_only=True)
        except ReaderDied:
            head = Reading()
        except JailBroken:
            if not self._sandbox.works():
                raise
            head = Reading()
        defects = (f"not read: {why}"[:300], *head.defects)
        return ReadMail(mail, replace(head, fallback=True, defects=defects))
