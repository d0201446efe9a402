"""The one loop that watches a mailbox, whatever its protocol: settle, look, receive, wait.

One thread per mailbox; it owns the connection. An error never ends it: it reports, pauses (longer each time, with
jitter) and tries again, for ever.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from revscript.config import Account, Backoff, Imap, Move
from revscript.errors import AuthFailed, RevscriptError, SourceError, StoreError
from revscript.inbound.source import Fetched, Listing, Session, Settlement, Source
from revscript.model import Clock, Method, Problem, ProblemSink, ServerMail
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.intake import Finished, Incoming, Intake

FETCH_BATCH = 20  # mails received together
FETCH_BATCH_BYTES = 1 << 20  # … if they are small
SETTLE_BATCH = 200  # mails told to the server together
AUTH_PAUSES = (60, 300, 900, 1800)  # s after a refused login: accounts lock (design §10)
POLL_GRACE = 1.5  # the watcher polls by itself when the bell for a poll is this many intervals late

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Watched:
    """An account's mailbox and how its mails are treated."""

    account: Account
    receiving: Imap
    mailbox_id: int
    methods: tuple[Method, ...]
    snapshot_sha256: str

    @property
    def where(self) -> str:
        """For problems and logs."""
        return f"account {self.account.name}"

    def settlement(self, finished: Finished) -> Settlement:
        """What the account's `after` means for a mail; one that we have only in part is never deleted or moved."""
        after = self.receiving.after
        what = f"move:{after.move}" if isinstance(after, Move) else str(after)
        return Settlement(finished.mail_id, finished.listed, "seen" if finished.cut and what != "none" else what)


class Watcher:
    """The thread of one mailbox."""

    def __init__(
        self,
        watched: Watched,
        source: Source,
        intake: Intake,
        blobs: Blobs,
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
        backoff: Backoff,
    ) -> None:
        self._watched = watched
        self._source = source
        self._intake = intake
        self._blobs = blobs
        self._bell = bell
        self._problems = problems
        self._clock = clock
        self._backoff = backoff
        self._interval = watched.receiving.interval * 60
        self._wake = threading.Event()
        self._poll_wanted = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"watch-{watched.account.name}")
        bell.listen("finished", self._on_finished)

    @property
    def interval(self) -> float:
        """Seconds between polls."""
        return self._interval

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def poll_now(self) -> None:
        """Look into the mailbox as soon as possible."""
        self._poll_wanted = True
        self._wake.set()

    def stop(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def _on_finished(self, about: str | None) -> None:
        if about is None or about == self._watched.account.name:
            self._wake.set()

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        failures = 0
        while not self._stopping:
            session: Session | None = None
            try:
                session = self._source.connect()
                log.info("connected", account=self._watched.account.name)
                while not self._stopping:
                    self._round(session)
                    failures = 0
            except RevscriptError as error:
                failures += 1
                self._fail(error, failures)
            except Exception as error:  # the watcher's own boundary: it never dies
                log.exception("watching failed", account=self._watched.account.name)
                failures += 1
                self._fail(SourceError(f"{type(error).__name__}: {error}"), failures)
            finally:
                if session is not None:
                    session.close()

    def _round(self, session: Session) -> None:
        self._wake.clear()
        self._settle(session)
        if self._poll_wanted:
            self._poll_wanted = False
            self._poll(session)
        self._wait(POLL_GRACE * self._interval)

    def _wait(self, longest: float) -> None:
        if not self._wake.wait(longest):
            self._poll_wanted = True

    def _poll(self, session: Session) -> None:
        listing = session.list()
        if self._intake.begin_epoch(self._watched.mailbox_id, listing.epoch, listing.next_key):
            self._problems.report(_renumbered(self._watched))
        new = self._intake.unknown(self._watched.mailbox_id, listing.mails)
        self._resettle(listing, new)
        for batch in _batches(new):
            if self._stopping:
                return
            self._receive(session, batch)
            self._settle(session)
        now = self._clock()
        self._intake.proved(self._watched.mailbox_id, now, now + timedelta(seconds=self._interval))
        self._problems.clear(f"mailbox:{self._watched.account.name}")
        log.debug("polled", account=self._watched.account.name, listed=len(listing.mails), new=len(new))

    def _resettle(self, listing: Listing, new: Sequence[ServerMail]) -> None:
        if len(new) < len(listing.mails):
            known = [mail for mail in listing.mails if mail not in set(new)]
            self._intake.unsettled_again(self._watched.mailbox_id, known)

    def _receive(self, session: Session, batch: Sequence[ServerMail]) -> None:
        incoming = [self._stage(fetched) for fetched in session.fetch(batch)]
        log.debug("fetched", account=self._watched.account.name, count=len(incoming))
        watched = self._watched
        receipts = self._intake.receive(
            watched.mailbox_id,
            watched.account.name,
            incoming,
            watched.methods,
            watched.snapshot_sha256,
            self._clock(),
        )
        for one, receipt in zip(incoming, receipts, strict=True):
            word = "received" if receipt.new else "recognised"
            log.info(word, mail=receipt.mail_id, account=watched.account.name, size=one.raw.size)
        self._bell.ring("received", watched.account.name)

    def _stage(self, fetched: Fetched) -> Incoming:
        return Incoming(fetched.listed, self._blobs.stage(fetched.pieces), fetched.cut)

    def _settle(self, session: Session) -> None:
        while finished := self._intake.finished(self._watched.mailbox_id, SETTLE_BATCH):
            settlements = [self._watched.settlement(one) for one in finished]
            log.debug("settling", account=self._watched.account.name, count=len(settlements))
            session.settle(settlements)
            settled = session.end_round()
            for what in {one.what for one in settled}:
                self._intake.settled([one.mail_id for one in settled if one.what == what], what, self._clock())
            for one in settled:
                log.info("settled", mail=one.mail_id, account=self._watched.account.name, by=one.what)
            if len(settled) < len(finished) or len(finished) < SETTLE_BATCH:
                return

    # ------------------------------------------------------------ failing

    def _fail(self, error: RevscriptError, failures: int) -> None:
        if self._stopping:
            return
        pause = self._pause(error, failures)
        log.warning("mailbox failed", account=self._watched.account.name, why=str(error), pause=round(pause, 1))
        self._problems.report(_trouble(self._watched, error))
        try:
            due = self._clock() + timedelta(seconds=pause)
            self._intake.failed(self._watched.mailbox_id, str(error), due)
        except StoreError:
            pass  # reported by its own Problem; the pause stands
        self._poll_wanted = True
        self._sleep(pause)

    def _pause(self, error: RevscriptError, failures: int) -> float:
        if isinstance(error, AuthFailed):
            return AUTH_PAUSES[min(failures, len(AUTH_PAUSES)) - 1]
        longest = min(self._backoff.most, self._backoff.first * 2 ** min(failures - 1, 20))
        return longest * random.uniform(0.5, 1.0)

    def _sleep(self, pause: float) -> None:
        until = time.monotonic() + pause
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            self._wake.wait(left)


def _batches(mails: Sequence[ServerMail]) -> Iterator[list[ServerMail]]:
    """Groups of small mails, oldest first; a large mail by itself."""
    batch: list[ServerMail] = []
    size = 0
    for mail in mails:
        if batch and (len(batch) == FETCH_BATCH or size + mail.size > FETCH_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(mail)
        size += mail.size
    if batch:
        yield batch


def _trouble(watched: Watched, error: RevscriptError) -> Problem:
    way_out = error.hint or "It is tried again by itself; see `revscript status`."
    return Problem(f"mailbox:{watched.account.name}", watched.where, str(error), way_out)


def _renumbered(watched: Watched) -> Problem:
    return Problem(
        f"renumbered:{watched.account.name}",
        watched.where,
        "The server has renumbered the folder (new UIDVALIDITY); known mails are recognised by their content.",
        "Nothing to do; ask the provider whether the mailbox was restored.",
        "warning",
    )
