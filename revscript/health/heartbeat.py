"""The heartbeat: a call to a watchdog outside, which raises the alarm when the calls stay away.

It is made only while the host is really well: no error stands, and its threads move. So the silence of a host that is
dead, cut off or in trouble is noticed by somebody who does not depend on it.

SECURITY: see `outbound.webhook`; nothing but the URL is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from revscript.config import Heartbeat as Settings
from revscript.errors import DeliveryFailed
from revscript.model import Problem, ProblemSink
from revscript.outbound.webhook import Answer, Web, shown

AGAIN = 30.0  # s after a call that failed, or that trouble forbade
TICK = 1.0  # s between looks at the settings
PROBLEM = "heartbeat"

log = structlog.get_logger()


class DateListener(Protocol):
    """Whoever compares the host's clock with the dates of HTTPS answers."""

    @property
    def trusted(self) -> bool:
        """Whether the clock needs no such date now."""
        ...

    def answered(self, host: str, date: datetime, asked: datetime) -> None:
        """`host` gave this `Date`; `asked` is when the request was sent, by our clock."""
        ...


class Heartbeat:
    """The thread of the calls. `well` tells whether the host is well; without settings nothing is called."""

    def __init__(
        self,
        web: Web,
        settings: Callable[[], Settings | None],
        well: Callable[[], bool],
        problems: ProblemSink,
        dates: DateListener,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web = web
        self._settings = settings
        self._well = well
        self._problems = problems
        self._dates = dates
        self._monotonic = monotonic
        self._next_at = 0.0
        self._url: str | None = None
        self._withheld = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def stop(self) -> None:
        """End, also a call under way."""
        self._stop.set()
        self._web.stop()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            try:
                self.check()
            except Exception:
                log.exception("heartbeat failed")

    def check(self) -> None:
        """Call if it is time to; what fails is a Problem."""
        settings = self._settings()
        url = str(settings.url) if settings else None
        if url != self._url:
            self._url, self._next_at = url, 0.0  # another service begins to wait now
            self._problems.clear(PROBLEM)
        if settings is None or self._monotonic() < self._next_at:
            return
        if not self._well():
            self._next_at = self._monotonic() + min(AGAIN, 60 * settings.every)
            if not self._withheld:
                log.warning("heartbeat withheld", why="an error stands, or a part of the host does not move")
            self._withheld = True
            self._ask_the_time(str(settings.url))
            return
        if self._withheld:
            log.info("heartbeat goes on")
        self._withheld = False
        self._call(settings)

    def _ask_the_time(self, url: str) -> None:
        """A clock that is not trusted withholds the calls whose answers could confirm it: ask without calling."""
        if self._dates.trusted:
            return
        try:
            hear(self._dates, self._web.probe(url))
        except DeliveryFailed as error:
            log.debug("no date from the heartbeat's server", why=str(error))

    def _call(self, settings: Settings) -> None:
        try:
            answer = self._web.get(str(settings.url))
        except DeliveryFailed as error:
            self._next_at = self._monotonic() + min(AGAIN, 60 * settings.every)
            if not self._stop.is_set():
                log.warning("heartbeat failed", why=str(error))
                self._problems.report(_failed(error, shown(str(settings.url))))
            return
        self._next_at = self._monotonic() + 60 * settings.every
        log.debug("heartbeat", host=answer.host, status=answer.status)
        self._problems.clear(PROBLEM)
        hear(self._dates, answer)


def hear(dates: DateListener, answer: Answer) -> None:
    """Let the host's clock be compared with the Date of an answer, where it has one."""
    if answer.date is not None:
        dates.answered(answer.host, answer.date, answer.asked)


def _failed(error: DeliveryFailed, host: str) -> Problem:
    return Problem(
        PROBLEM,
        "settings.json, heartbeat",
        f"The heartbeat does not get through: {error}",
        f"{error.hint} It is tried again by itself; {host} will raise the alarm meanwhile, as it should.".strip(),
        "warning",
    )
