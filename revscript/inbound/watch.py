"""The one loop that watches a mailbox, whatever its protocol: look, receive, settle, rest.

One thread per mailbox; it owns the connection. An error never ends it: it reports, pauses (longer each time, with
jitter) and tries again, for ever. Where the server announces new mails (IDLE), resting means listening to it, beside
the looks at each interval: an announcement is a reason to look at once, its absence proves nothing.
"""

from __future__ import annotations

import math
import random
import threading
import time
from datetime import datetime, timedelta

import structlog

from revscript.config import Backoff
from revscript.errors import AuthFailed, RevscriptError, SourceError, StoreError
from revscript.inbound.doorbell import Doorbell
from revscript.inbound.receiving import Receiving, Stopped
from revscript.inbound.settling import Settling
from revscript.inbound.source import Session, Source, Throttled
from revscript.inbound.tools import Tools
from revscript.inbound.watched import Watched
from revscript.model import Problem
from revscript.net.cable import Cable
from revscript.store.mailboxes import Mode

AUTH_PAUSES = (60, 300, 900, 1800)  # s after a refused login: accounts lock (design §10)
MOST_THROTTLED = 1800.0  # s that a server may ask us to stay away
GATHER = 0.1  # s from the first finished mail until the server is told of it, together with those after it
POLL_GRACE = 1.5  # the watcher looks by itself when the bell for it is this many intervals late
LOOK_AGAIN = (1.0, 5.0)  # s: what was announced may not be there at once (mailboxes.md §6)
STORE_PAUSES = (2.0, 5.0, 10.0)  # s after the database failed: the server is searched anew each time
NOTE_HEALTH = 20.0  # s between notes that all is well, so that hundreds of mailboxes do not keep the disk busy
WARN_BEFORE = timedelta(days=14)  # the end of a server's certificate

__all__ = ["Watched", "Watcher"]

log = structlog.get_logger()


class Watcher:
    """The thread of one mailbox."""

    def __init__(self, watched: Watched, source: Source, tools: Tools, backoff: Backoff) -> None:
        self._watched = watched
        self._source = source
        self._tools = tools
        self._backoff = backoff
        interval = watched.receiving.interval * 60
        self._interval = min(interval, watched.push.safety_search) if watched.receiving.push else interval
        self._cable = Cable()
        self._doorbell = Doorbell()
        self._receiving = Receiving(watched, tools, self._check)
        self._settling = Settling(watched, tools, self._check)
        self._poll_wanted = True
        self._poll_at = 0.0  # monotonic: when to look by ourselves
        self._looks_again = 0
        self._finished = False
        self._settle_at = 0.0
        self._noted_at = -math.inf
        self._noted_mode: Mode = ""
        self._store_failures = self._refusals = 0
        self._rest_until = 0.0  # monotonic
        self._throttled = False
        self._certificate_expires: datetime | None = None
        self._stopping = False
        self.started_at = 0.0  # monotonic
        self.moved_at = 0.0  # monotonic: the last step of the loop
        self.proved_at: float | None = None  # monotonic: when the server last answered well
        self.failing = False  # there is an error, and it is told
        # A daemon: a name server that does not answer cannot be interrupted, and nothing is lost by leaving it behind.
        self._thread = threading.Thread(target=self._run, name=f"watch-{watched.name}", daemon=True)
        tools.bell.listen("finished", self._on_finished)

    @property
    def name(self) -> str:
        """The account's name, with the folder where the account has several; ends the keys of its Problems."""
        return self._watched.name

    @property
    def account(self) -> str:
        """The account's name."""
        return self._watched.account.name

    @property
    def folder(self) -> str:
        """The folder that it watches."""
        return self._watched.folder

    @property
    def mailbox_id(self) -> int:
        """The mailbox in the ledger."""
        return self._watched.mailbox_id

    @property
    def interval(self) -> float:
        """Seconds between looks: the account's interval, with push at most the safety search's."""
        return self._interval

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def certificate_expires(self) -> datetime | None:
        """When the certificate ends that the server showed last; None before, in clear text, or when it is ignored."""
        return self._certificate_expires

    def start(self) -> None:
        """Start watching."""
        self.started_at = self.moved_at = time.monotonic()
        self._thread.start()

    def poll_now(self) -> None:
        """Look into the mailbox as soon as possible."""
        self._poll_wanted = True
        self._doorbell.ring()

    def stop(self) -> None:
        """Let go of the server at once and end the thread; `join` waits for it.

        A transaction under way comes to its end; none is begun any more.
        """
        self._stopping = True
        self._doorbell.ring()
        self._cable.cut()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def forget(self, *, replaced: bool = False) -> None:
        """After the end: nothing of it stays behind; what a `replaced` one knows, its successor proves or refutes."""
        self._tools.bell.leave("finished", self._on_finished)
        if not self._thread.is_alive():
            self._doorbell.close()
        if replaced:
            return
        for key in self._watched.problem_keys:
            self._tools.problems.clear(key)
        try:
            self._tools.intake.unwatched(self._watched.mailbox_id)
        except StoreError as error:
            log.warning("the mailbox's mode could not be noted", account=self.name, why=str(error))

    def _on_finished(self, about: str | None) -> None:
        if about is None or about == self.account:
            self._finished = True
            self._doorbell.ring()

    def _check(self) -> None:
        self.moved_at = time.monotonic()
        if self._stopping:
            raise Stopped

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            self._doorbell.close()

    def take_over(self, predecessor: Watcher) -> None:
        """Rest as long as the one before would have: a changed label is no reason to log in at once again.

        What a server has refused may be right now when the login has changed; that it is to be left alone stays.
        """
        if predecessor._throttled or predecessor._source == self._source:
            self._rest_until, self._refusals = predecessor._rest_until, predecessor._refusals

    def _watch(self) -> None:
        failures, refusals = 0, self._refusals
        if self._rest_until > time.monotonic():
            self._sleep(self._rest_until - time.monotonic())
        while not self._stopping:
            session: Session | None = None
            self.moved_at = time.monotonic()
            try:
                session = self._source.connect(self._cable)
                log.info("connected", account=self.name)
                refusals = self._refusals = 0
                self._begin(session)
                until = time.monotonic() + self._watched.push.connection_age
                while not self._stopping and time.monotonic() < until:
                    try:
                        self._round(session, until)
                        self._store_failures = 0
                    except StoreError as error:  # no fault of the server: its connection stays
                        self._store_failed(error)
                    failures = 0
            except Stopped:
                return
            except AuthFailed as error:
                refusals = self._refusals = refusals + 1
                self._fail(error, AUTH_PAUSES[min(refusals, len(AUTH_PAUSES)) - 1])
            except RevscriptError as error:
                failures += 1
                self._fail(error, self._pause(error, failures))
            except Exception as error:  # the watcher's own boundary: it never dies
                if not self._stopping:
                    log.exception("watching failed", account=self.name)
                failures += 1
                self._fail(SourceError(f"{type(error).__name__}: {error}"), self._pause(error, failures))
            finally:
                if session is not None:
                    session.close()

    def _begin(self, session: Session) -> None:
        self._receiving.begin()
        self._poll_wanted, self._looks_again = True, 0
        self._settle_at = 0.0
        self._noted_at = -math.inf
        if self._watched.account.ignore_server_certificate:
            return
        now, expires = self._tools.clock(), session.certificate_expires
        self._certificate_expires = expires
        self._check()
        if expires and expires < now + WARN_BEFORE:
            self._tools.problems.report(self._watched.certificate_ends(expires, now))
        else:
            self._tools.problems.clear(self._watched.certificate)

    def _round(self, session: Session, until: float) -> None:
        self._doorbell.hush()
        if self._poll_wanted or time.monotonic() >= self._poll_at:
            self._come_back(self._look(session, patient=self._looks_again > 0))
        elif session.has_news:
            self._looks_again = len(LOOK_AGAIN)
            self._come_back(self._heed(session))
        self._gather()
        if time.monotonic() >= self._settle_at:
            self._settle_at = math.inf
            self._settling.settle(session)
        if not self._stopping:
            session.rest(self._doorbell, min(self._poll_at, self._settle_at, until))

    def _gather(self) -> None:
        """Finished mails are told to the server a little later, all together, and not before a new one is received."""
        if self._finished:
            self._finished = False
            self._settle_at = min(self._settle_at, time.monotonic() + GATHER)

    def _look(self, session: Session, *, patient: bool) -> int:
        """A whole look → how many mails were received."""
        self._poll_wanted = False
        self._poll_at = time.monotonic() + POLL_GRACE * self._interval
        self._settling.once_more()  # what the server refused before is tried once more at each look
        self._settle_at = 0.0
        received = self._receiving.look(session, lambda: self._settle_between(session), patient=patient)
        self._note_health("push" if session.pushes else "poll")
        return received

    def _heed(self, session: Session) -> int:
        """The server has announced something → how many mails were received."""
        received = self._receiving.take(session)
        if session.has_news:  # not all could be taken at once
            received += self._look(session, patient=True)
        return received

    def _come_back(self, received: int) -> None:
        """Look again soon when an announcement has brought nothing so far, or not all."""
        if received and not self._receiving.incomplete:
            self._looks_again = 0
        elif self._looks_again:
            pause = LOOK_AGAIN[-self._looks_again]
            self._looks_again -= 1
            self._poll_at = min(self._poll_at, time.monotonic() + pause)

    def _settle_between(self, session: Session) -> None:
        self._gather()
        if time.monotonic() >= self._settle_at:
            self._settle_at = math.inf
            self._settling.settle(session)

    def _note_health(self, mode: Mode) -> None:
        """The server has answered; the row says so when that is news, or was noted long ago."""
        self._check()
        self.proved_at, self.failing = time.monotonic(), False
        self._tools.problems.clear(f"mailbox:{self.name}")
        if mode == self._noted_mode and time.monotonic() < self._noted_at + NOTE_HEALTH:
            return
        now = self._tools.clock()
        self._tools.intake.proved(self.mailbox_id, now, now + timedelta(seconds=self._interval), mode)
        self._noted_at, self._noted_mode = time.monotonic(), mode
        self._tools.problems.clear("store")  # it was written to just now

    # ------------------------------------------------------------ failing

    def _fail(self, error: RevscriptError, pause: float) -> None:
        if self._stopping:
            return
        self.failing, self.moved_at = True, time.monotonic()
        log.warning("mailbox failed", account=self.name, why=str(error), pause=round(pause, 1))
        self._tools.problems.report(self._watched.trouble(error))
        try:
            due = self._tools.clock() + timedelta(seconds=pause)
            self._tools.intake.failed(self.mailbox_id, str(error), due)
        except StoreError:
            pass  # then the Problem in memory is all there is; the pause stands
        self._noted_mode = "down"
        self._throttled = isinstance(error, Throttled)
        self._rest_until = time.monotonic() + pause
        self._sleep(pause)

    def _store_failed(self, error: StoreError) -> None:
        if self._stopping:
            return
        log.warning("store failed", account=self.name, why=str(error))
        self._tools.problems.report(Problem("store", "database", str(error), error.hint))
        self._poll_wanted, self._settle_at = True, 0.0
        self._noted_at = -math.inf  # so that the next look proves that the store works
        self._sleep(STORE_PAUSES[min(self._store_failures, len(STORE_PAUSES) - 1)])
        self._store_failures += 1

    def _pause(self, error: Exception, failures: int) -> float:
        longest = min(self._backoff.most, self._backoff.first * 2 ** min(failures - 1, 20))
        pause = longest * random.uniform(0.5, 1.0)
        return max(pause, min(error.seconds, MOST_THROTTLED)) if isinstance(error, Throttled) else pause

    def _sleep(self, pause: float) -> None:
        until = time.monotonic() + pause
        while not self._stopping and time.monotonic() < until:
            self._doorbell.hush()
            if not self._stopping:
                self._doorbell.wait(until)
