"""The one loop that watches a mailbox, whatever its protocol: settle, look, receive, wait.

One thread per mailbox; it owns the connection. An error never ends it: it reports, pauses (longer each time, with
jitter) and tries again, for ever.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import structlog

from revscript.config import Backoff
from revscript.errors import AuthFailed, RevscriptError, SourceError, StoreError
from revscript.inbound.source import Fetched, Listing, Refused, Session, Settlement, Source, Throttled, Vanished
from revscript.inbound.suspects import Suspects
from revscript.inbound.watched import Watched
from revscript.model import Clock, ProblemSink, ServerMail
from revscript.net.cable import Cable
from revscript.store.bell import Bell
from revscript.store.blobs import Blobs
from revscript.store.intake import Incoming, Intake

SETTLE_BATCH = 200  # mails told to the server together
KNOWN_BATCH = 500  # known mails looked up together
AUTH_PAUSES = (60, 300, 900, 1800)  # s after a refused login: accounts lock (design §10)
MOST_THROTTLED = 1800.0  # s that a server may ask us to stay away
GATHER = 0.1  # s from the first finished mail until the server is told of it, together with those after it
POLL_GRACE = 1.5  # the watcher polls by itself when the bell for a poll is this many intervals late

__all__ = ["Watched", "Watcher"]

log = structlog.get_logger()


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
        self._cable = Cable()
        self._suspects = Suspects()
        self._wake = threading.Event()
        self._poll_wanted = True
        self._poll_at = 0.0  # monotonic: when to poll by ourselves
        self._settle_wanted = True
        self._unclear = 0
        self._stopping = False
        # A daemon: a name server that does not answer cannot be interrupted, and nothing is lost by leaving it behind.
        self._thread = threading.Thread(target=self._run, name=f"watch-{watched.account.name}", daemon=True)
        bell.listen("finished", self._on_finished)

    @property
    def interval(self) -> float:
        """Seconds between polls."""
        return self._interval

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def poll_now(self) -> None:
        """Look into the mailbox as soon as possible."""
        self._poll_wanted = True
        self._wake.set()

    def stop(self) -> None:
        """End the thread, also while it waits for the server; `join` waits for it."""
        self._stopping = True
        self._wake.set()
        self._cable.cut()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def _on_finished(self, about: str | None) -> None:
        if about is None or about == self._watched.account.name:
            self._wake.set()

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        failures = refusals = 0
        while not self._stopping:
            session: Session | None = None
            try:
                session = self._source.connect(self._cable)
                log.info("connected", account=self._watched.account.name)
                refusals = 0
                while not self._stopping:
                    self._round(session)
                    failures = 0
            except AuthFailed as error:
                refusals += 1
                self._fail(error, AUTH_PAUSES[min(refusals, len(AUTH_PAUSES)) - 1])
            except RevscriptError as error:
                failures += 1
                self._fail(error, self._pause(error, failures))
            except Exception as error:  # the watcher's own boundary: it never dies
                if not self._stopping:
                    log.exception("watching failed", account=self._watched.account.name)
                failures += 1
                self._fail(SourceError(f"{type(error).__name__}: {error}"), self._pause(error, failures))
            finally:
                if session is not None:
                    session.close()

    def _round(self, session: Session) -> None:
        self._wake.clear()
        self._settle(session)
        if self._poll_wanted or time.monotonic() >= self._poll_at:
            self._poll_wanted = False
            self._poll_at = time.monotonic() + POLL_GRACE * self._interval
            self._poll(session)
        if self._wake.wait(max(0.0, self._poll_at - time.monotonic())) and not self._poll_wanted:
            time.sleep(GATHER)

    def _poll(self, session: Session) -> None:
        listing = session.list()
        if self._intake.begin_epoch(self._watched.mailbox_id, listing.epoch, listing.next_key):
            self._problems.report(self._watched.renumbered())
        new = self._intake.unknown(self._watched.mailbox_id, listing.mails)
        self._resettle(listing, new)
        self._settle_wanted = True  # what the server refused before is tried once more at each poll
        for batch in self._suspects.batches(new):
            if self._stopping:
                return
            self._receive(session, batch)
            self._settle(session)
        self._tell_of_suspects()
        self._tell_of_unclear(listing.unclear)
        now = self._clock()
        self._intake.proved(self._watched.mailbox_id, now, now + timedelta(seconds=self._interval))
        self._problems.clear("store")  # it was written to just now
        self._problems.clear(f"mailbox:{self._watched.account.name}")
        log.debug("polled", account=self._watched.account.name, listed=len(listing.mails), new=len(new))

    def _resettle(self, listing: Listing, new: Sequence[ServerMail]) -> None:
        unknown = set(new)
        known = [mail for mail in listing.mails if mail not in unknown]
        for start in range(0, len(known), KNOWN_BATCH):
            self._intake.unsettled_again(self._watched.mailbox_id, known[start : start + KNOWN_BATCH])

    # ------------------------------------------------------------ receiving

    def _receive(self, session: Session, batch: Sequence[ServerMail]) -> None:
        """Fetch mails and make them durable. What fails is remembered, so that no mail blocks the others for long."""
        try:
            fetched = self._fetch(session, batch)
        except Refused as error:  # of one of them
            self._suspects.failed(batch, str(error))
            for mail in batch if len(batch) > 1 else ():
                self._receive(session, [mail])
        except StoreError:
            raise
        except Exception as error:
            if not self._stopping:
                self._suspects.failed(batch, str(error))
            raise
        else:
            self._suspects.cleared(fetched)
            if missing := [mail for mail in batch if mail not in set(fetched)]:
                self._suspects.failed(missing, "the server lists it, but gives nothing")

    def _fetch(self, session: Session, batch: Sequence[ServerMail]) -> list[ServerMail]:
        log.debug("fetching", account=self._watched.account.name, count=len(batch))
        incoming = [one for fetched in session.fetch(batch) if (one := self._stage(fetched))]
        log.debug("fetched", account=self._watched.account.name, count=len(incoming))
        if incoming:
            self._keep(incoming)
        return [one.listed for one in incoming]

    def _stage(self, fetched: Fetched) -> Incoming | None:
        try:
            raw = self._blobs.stage(fetched.pieces)
        except Vanished:
            return None
        log.debug("staged", account=self._watched.account.name, key=fetched.listed.key, size=raw.size)
        return Incoming(fetched.listed, raw, fetched.cut)

    def _keep(self, incoming: Sequence[Incoming]) -> None:
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

    def _tell_of_suspects(self) -> None:
        if aside := self._suspects.aside():
            self._problems.report(self._watched.set_aside(aside))
        else:
            self._problems.clear(f"mails:{self._watched.account.name}")

    def _tell_of_unclear(self, count: int) -> None:
        """Mails that the server does not describe; those of one poll alone were deleted meanwhile."""
        before, self._unclear = self._unclear, count
        if before and count:
            self._problems.report(self._watched.not_described(count))
        elif not count:
            self._problems.clear(f"unclear:{self._watched.account.name}")

    # ------------------------------------------------------------ settling

    def _settle(self, session: Session) -> None:
        """Tell the server of finished mails. That it refuses this keeps no new mail from being received."""
        if not self._settle_wanted:
            return
        try:
            while finished := self._intake.finished(self._watched.mailbox_id, SETTLE_BATCH):
                settlements = [self._watched.settlement(one) for one in finished]
                log.debug("settling", account=self._watched.account.name, count=len(settlements))
                try:
                    session.settle(settlements)
                finally:
                    settled = session.end_round()
                    log.debug("told", account=self._watched.account.name, count=len(settled))
                    self._note(settled)
                self._problems.clear(f"settle:{self._watched.account.name}")
                if len(settled) < len(finished) or len(finished) < SETTLE_BATCH:
                    return
        except Refused as error:
            self._settle_wanted = False
            log.warning("settling refused", account=self._watched.account.name, why=str(error))
            self._problems.report(self._watched.unsettled(error))

    def _note(self, settled: Sequence[Settlement]) -> None:
        for what in {one.what for one in settled}:
            self._intake.settled([one.mail_id for one in settled if one.what == what], what, self._clock())
        for one in settled:
            log.info("settled", mail=one.mail_id, account=self._watched.account.name, by=one.what)

    # ------------------------------------------------------------ failing

    def _fail(self, error: RevscriptError, pause: float) -> None:
        if self._stopping:
            return
        log.warning("mailbox failed", account=self._watched.account.name, why=str(error), pause=round(pause, 1))
        self._problems.report(self._watched.trouble(error))
        try:
            due = self._clock() + timedelta(seconds=pause)
            self._intake.failed(self._watched.mailbox_id, str(error), due)
        except StoreError:
            pass  # then the Problem in memory is all there is; the pause stands
        self._poll_wanted = self._settle_wanted = True
        self._sleep(pause)

    def _pause(self, error: Exception, failures: int) -> float:
        longest = min(self._backoff.most, self._backoff.first * 2 ** min(failures - 1, 20))
        pause = longest * random.uniform(0.5, 1.0)
        return max(pause, min(error.seconds, MOST_THROTTLED)) if isinstance(error, Throttled) else pause

    def _sleep(self, pause: float) -> None:
        until = time.monotonic() + pause
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            self._wake.wait(left)
