"""Carries acts out: a lane per destination, so that a dead one holds up nobody else.

At least once: an act is tried until the other side has taken it, refuses it for good, or it is too late for it. Its key
shows the other side that a repetition is one.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from revscript.config import Outbox as RetrySettings
from revscript.errors import DeliveryFailed, StoreError
from revscript.model import Clock, Problem, ProblemSink
from revscript.outbound.delivery import Delivery
from revscript.store.bell import Bell
from revscript.store.canary import KEY as CANARY
from revscript.store.outbox import Act, Outbox

LONGEST_WAIT = 30.0  # s until a lane looks into the outbox by itself
STORE_PAUSE = 2.0  # s after the database failed

log = structlog.get_logger()


class Deliverer(Protocol):
    """One way to the world."""

    def deliver(self, act: Act) -> Delivery:
        """One try; DeliveryFailed when nothing was handed over."""
        ...


class Courier:
    """The lanes' threads. `ways`: act kind → who delivers it."""

    def __init__(
        self,
        outbox: Outbox,
        ways: dict[str, Deliverer],
        retry: Callable[[], RetrySettings],
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._ways = ways
        self._retry = retry
        self._problems = problems
        self._clock = clock
        self._stopping = False
        self._news = threading.Event()
        self._lanes: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        bell.listen("act", lambda _about: self._news.set())

    def start(self) -> None:
        """Take up what the last run left behind."""
        self._outbox.recover()
        self._news.set()
        self._spawn("courier", self._open_lanes)

    @property
    def threads(self) -> Sequence[threading.Thread]:
        """The lanes, once started, and the one that opens them."""
        return self._threads

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Ask all lanes to end; a delivery under way is finished or taken up again at the next start."""
        self._stopping = True
        self._news.set()
        for wake in list(self._lanes.values()):
            wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the lanes, each at most that long; one that hangs on a server is left behind."""
        for thread in self._threads:
            thread.join(timeout)

    def _open_lanes(self) -> None:
        while not self._stopping:
            self._news.wait(LONGEST_WAIT)
            self._news.clear()
            with self._boundary("courier", self._news):
                for lane in self._outbox.lanes():
                    if lane not in self._lanes and not self._stopping:
                        self._lanes[lane] = threading.Event()
                        self._spawn(f"lane-{lane}", lambda lane=lane: self._work(lane))
                for wake in self._lanes.values():
                    wake.set()

    # ------------------------------------------------------------ one lane

    def _work(self, lane: str) -> None:
        wake = self._lanes[lane]
        while not self._stopping:
            wake.clear()
            with self._boundary(lane, wake):
                act = self._outbox.claim(lane, self._clock(), timedelta(seconds=1.5 * self._retry().retry[-1]))
                if act is not None:
                    self._problems.clear("store")  # it was written to just now
                    self._deliver(act)
                else:
                    wake.wait(self._until_next(lane))

    @contextmanager
    def _boundary(self, where: str, wake: threading.Event) -> Generator[None]:
        """The courier's own boundary: no error ends one of its threads."""
        try:
            yield
        except StoreError as error:
            self._store_failed(error, wake)
        except Exception as error:
            log.exception("lane failed", lane=where)
            self._problems.report(_fault(where, error))
            wake.wait(LONGEST_WAIT)

    def _store_failed(self, error: StoreError, wake: threading.Event) -> None:
        self._problems.report(Problem("store", "database", str(error), error.hint))
        wake.clear()
        wake.wait(STORE_PAUSE)

    def _record(self, act: Act, write: Callable[[], None]) -> bool:
        """Write down what became of an act, however long the database takes: forgetting it would deliver it twice."""
        while True:
            try:
                write()
            except StoreError as error:
                if self._stopping:
                    return False
                self._store_failed(error, self._lanes[act.lane])
            else:
                return True

    def _until_next(self, lane: str) -> float:
        due = self._outbox.next_due(lane)
        if due is None:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.05, (due - self._clock()).total_seconds()))

    def _deliver(self, act: Act) -> None:
        now = self._clock()
        if now > act.not_after:
            self._dead(act, f"too late: it was of use until {act.not_after:%d.%m.%Y %H:%M} UTC", act.receipt)
            return
        log.debug("delivering", **_ids(act), key=act.key, to=[*act.payload.get("to", ()), *act.payload.get("cc", ())])
        try:
            delivery = self._ways[act.kind].deliver(act)
        except DeliveryFailed as error:
            log.warning("delivery failed", **_ids(act), why=str(error), permanent=error.permanent)
            if error.permanent:
                self._dead(act, str(error), act.receipt)
            else:
                self._later(act, str(error), act.receipt, error.hint)
        except Exception as error:  # a fault of ours: the act must not hang in its lease, nor the lane with it
            log.exception("delivery failed", **_ids(act))
            self._later(act, f"{type(error).__name__}: {error}", act.receipt, "See the log.")
        else:
            log.debug("delivered", **_ids(act), key=act.key, to=sorted(delivery.accepted))
            self._conclude(act, delivery)

    def _conclude(self, act: Act, delivery: Delivery) -> None:
        receipt = delivery.receipt()
        if delivery.later:
            self._later(act, _answers(delivery.later), receipt)
        elif not delivery.accepted:
            self._dead(act, _answers(delivery.refused), receipt)
        elif self._record(act, lambda: self._outbox.sent(act.id, receipt, self._clock())):
            log.info("sent", **_ids(act), tries=act.tries, recipients=len(delivery.accepted))
            self._problems.clear(f"lane:{act.lane}")
            if delivery.refused:
                self._problems.report(_partly_refused(act, delivery))

    def _later(self, act: Act, error: str, receipt: dict[str, object] | None, hint: str = "") -> None:
        again = _next_try(act, self._retry(), self._clock())
        if self._record(act, lambda: self._outbox.later(act.id, error, again, receipt)):
            self._problems.report(_delayed(act, error, hint, again))

    def _dead(self, act: Act, error: str, receipt: dict[str, object] | None) -> None:
        if self._record(act, lambda: self._outbox.dead(act.id, error, self._clock(), receipt)):
            log.error("dead", **_ids(act), why=error)
            if not act.key.startswith(CANARY):  # its own Problem says so: it does not come back
                self._problems.report(_given_up(act, error))
            self._problems.clear(f"lane:{act.lane}")  # it spoke of a next try; another act's would renew it


def _ids(act: Act) -> dict[str, object]:
    """What a log line says of an act; addresses stand at debug only."""
    about: dict[str, object] = {"act": act.id, "lane": act.lane}
    return about if act.mail_id is None else {"mail": act.mail_id} | about


def _next_try(act: Act, retry: RetrySettings, now: datetime) -> datetime:
    pause = retry.retry[min(act.tries, len(retry.retry)) - 1] * random.uniform(0.8, 1.2)
    return min(now + timedelta(seconds=pause), act.not_after)


def _answers(answers: dict[str, str]) -> str:
    return "; ".join(f"{address}: {text}" for address, text in answers.items())


def _delayed(act: Act, error: str, hint: str, again: datetime) -> Problem:
    return Problem(
        f"lane:{act.lane}",
        act.lane,
        f"Mail cannot be sent now: {error}",
        f"{hint} It is tried again at {again:%H:%M:%S} UTC and so on; see `revscript show outbox`.".strip(),
        "warning",
    )


def _given_up(act: Act, error: str) -> Problem:
    return Problem(
        f"act:{act.id}",
        f"outbox no. {act.id} ({act.lane})",
        f"A mail was not delivered and will not be tried again: {error}",
        "See `revscript show outbox`; send it anew another way.",
    )


def _fault(where: str, error: Exception) -> Problem:
    return Problem(f"lane:{where}", where, f"{type(error).__name__}: {error}", "A fault of revscript: see the log.")


def _partly_refused(act: Act, delivery: Delivery) -> Problem:
    return Problem(
        f"act:{act.id}",
        f"outbox no. {act.id} ({act.lane})",
        f"Some recipients were refused: {_answers(delivery.refused)}",
        "Check these addresses; the others have got the mail.",
        "warning",
    )
