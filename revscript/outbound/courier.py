"""Carries acts out: a lane per destination, so that a dead one holds up nobody else.

At least once: an act is tried until the other side has taken it, refuses it for good, or it is too late for it. Its key
shows the other side that a repetition is one. That it is too late is only said after a try that has failed just now, by
a clock that is trusted, and what somebody has set the clock forward by does not count: an act is late by its own time.

SECURITY: whoever writes to an account can have its scripts answer to any address. That such an answer finds nobody is
a warning, and no error: outsiders must not be able to make the host count as ill.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from revscript.config import Outbox as RetrySettings
from revscript.errors import DeliveryFailed, StoreError
from revscript.model import Clock, Problem, ProblemSink
from revscript.outbound.delivery import Delivery
from revscript.outbound.problems import Failed, answers, delayed_lane, fault, given_up, partly_refused
from revscript.store.bell import Bell
from revscript.store.canary import KEY as CANARY
from revscript.store.outbox import Act, Delayed, Outbox
from revscript.store.undelivered import UndeliveredActs, act_key

LONGEST_WAIT = 30.0  # s until a lane looks into the outbox by itself
STORE_PAUSE = 2.0  # s after the database failed
PATIENCE = 180.0  # s for which a mail may be delayed before that is an error, unless the settings say more
MOST_OF_AN_ALARM = 2  # failed tries of an act of the level alarm, likewise

log = structlog.get_logger()


class Deliverer(Protocol):
    """One way to the world."""

    def deliver(self, act: Act) -> Delivery:
        """One try; DeliveryFailed when nothing was handed over."""
        ...


def _always() -> bool:
    return True


def _unmoved(_then: datetime) -> timedelta:
    return timedelta()


class Courier:
    """The lanes' threads. `ways`: act kind → who delivers it.

    `clock_trusted` tells whether the host's clock is right; `clock_moved(then)`, by how much it was set since it showed
    a time. `patience`: seconds for which a mail may be delayed before that is an error.
    """

    def __init__(
        self,
        outbox: Outbox,
        ways: dict[str, Deliverer],
        retry: Callable[[], RetrySettings],
        bell: Bell,
        problems: ProblemSink,
        clock: Clock,
        *,
        clock_trusted: Callable[[], bool] = _always,
        clock_moved: Callable[[datetime], timedelta] = _unmoved,
        patience: Callable[[], float] = lambda: PATIENCE,
    ) -> None:
        self._outbox = outbox
        self._undelivered = UndeliveredActs(outbox.database)
        self._ways = ways
        self._retry = retry
        self._problems = problems
        self._clock = clock
        self._clock_trusted = clock_trusted
        self._clock_moved = clock_moved
        self._patience = patience
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
                for key in self._undelivered.settled():  # what retention has removed, and what a death left behind
                    self._problems.clear(key)
                for lane in self._outbox.lanes():
                    if lane not in self._lanes and not self._stopping:
                        self._lanes[lane] = threading.Event()
                        self._spawn(f"lane-{lane}", lambda lane=lane: self._work(lane))
                for wake in self._lanes.values():
                    wake.set()
                self._problems.clear("lane:courier")

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
            self._problems.report(fault(where, error))
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
        log.debug("delivering", **_ids(act), key=act.key, to=[*act.payload.get("to", ()), *act.payload.get("cc", ())])
        try:
            delivery = self._ways[act.kind].deliver(act)
        except DeliveryFailed as error:
            log.warning("delivery failed", **_ids(act), why=str(error), permanent=error.permanent)
            if error.permanent:
                self._dead(act, str(error), _known(act), outside=act.is_answer)
            else:
                self._later(act, str(error), _known(act), error.hint)
        except Exception as error:  # a fault of ours: the act must not hang in its lease, nor the lane with it
            log.exception("delivery failed", **_ids(act))
            self._later(act, f"{type(error).__name__}: {error}", _known(act), "See the log.")
        else:
            log.debug("delivered", **_ids(act), key=act.key, to=sorted(delivery.accepted))
            self._conclude(act, delivery)

    def _conclude(self, act: Act, delivery: Delivery) -> None:
        receipt = delivery.receipt()
        if delivery.later:
            self._later(act, answers(delivery.later), receipt | {"later": delivery.later})
        elif not delivery.accepted:
            self._dead(act, answers(delivery.refused), receipt, outside=act.is_answer)
        else:
            self._sent(act, delivery, receipt)

    # What a person must know is reported first: dying in between, we rather tell it twice than not at all.

    def _sent(self, act: Act, delivery: Delivery, receipt: dict[str, Any]) -> None:
        if delivery.refused:
            self._problems.report(partly_refused(act, delivery))
        if self._record(act, lambda: self._outbox.sent(act.id, receipt, self._clock())):
            log.info("sent", **_ids(act), tries=act.tries, recipients=len(delivery.accepted))
            if not delivery.refused:
                self._problems.clear(act_key(act.id))
            self._judge(act.lane)

    def _later(self, act: Act, error: str, receipt: dict[str, Any] | None, hint: str = "") -> None:
        now = self._clock()
        again = now + timedelta(seconds=_pause(act.tries, self._retry()) * random.uniform(0.8, 1.2))
        if self._clock_trusted():
            limit = act.not_after + max(timedelta(), self._clock_moved(act.created_at))
            if now >= limit:
                late = f"too late: it was of use until {limit:%d.%m.%Y %H:%M} UTC. The last try: {error}"
                self._dead(act, late, receipt, outside=act.is_answer and "later" in (receipt or {}))
                return
            again = min(again, limit)
        if self._record(act, lambda: self._outbox.later(act.id, error, again, receipt)):
            self._judge(act.lane, Failed(act.id, error, f"{hint} It is tried again at {again:%H:%M:%S} UTC".strip()))

    def _dead(self, act: Act, error: str, receipt: dict[str, Any] | None, *, outside: bool) -> None:
        if not act.key.startswith(CANARY):  # its own Problem says so: it does not come back
            self._problems.report(given_up(act, error, outside=outside))
        if self._record(act, lambda: self._outbox.dead(act.id, error, self._clock(), receipt)):
            log.error("dead", **_ids(act), why=error)
            self._judge(act.lane)

    def _judge(self, lane: str, failed: Failed | None = None) -> None:
        """Say how a lane does: why mail is delayed there, and whether it is for too long; or that none is."""
        delayed = self._outbox.delayed(lane)
        if not delayed:
            self._problems.clear(f"lane:{lane}")
            return
        overdue = [one for one in delayed if self._is_overdue(one)]
        first = (overdue or delayed)[0]
        if failed is None or (overdue and failed.act_id not in [one.id for one in overdue]):
            failed = Failed(first.id, first.error, "It is tried again by itself")
        self._problems.report(delayed_lane(lane, failed, overdue=bool(overdue)))

    def _is_overdue(self, one: Delayed) -> bool:
        """Whether it will not have left in time. By its tries alone: they do not depend on a clock or on a restart."""
        if one.outside:
            return False
        retry = self._retry()
        waited = sum(_pause(tries, retry) for tries in range(1, one.tries + 1))
        return waited > self._patience() or (one.level == "alarm" and one.tries >= MOST_OF_AN_ALARM)


def _ids(act: Act) -> dict[str, object]:
    """What a log line says of an act; addresses stand at debug only."""
    about: dict[str, object] = {"act": act.id, "lane": act.lane}
    return about if act.mail_id is None else {"mail": act.mail_id} | about


def _known(act: Act) -> dict[str, Any] | None:
    """What earlier tries have reached; what was said of the others then is no more what keeps it."""
    return act.receipt and {name: said for name, said in act.receipt.items() if name != "later"}


def _pause(tries: int, retry: RetrySettings) -> float:
    """Seconds between a try, the how-manieth it is counted from 1, and the next one."""
    return retry.retry[min(tries, len(retry.retry)) - 1]
