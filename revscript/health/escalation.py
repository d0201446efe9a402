"""Escalation: an error that stands too long is told to somebody outside, by mail and by a webhook.

Each path goes on its own thread, with a memory of its own of what it has told: what one cannot get rid of keeps no
other from telling it, and when it gets through again it tells how things are then. All of it works without the
database.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from revscript.config import Alerts
from revscript.errors import DeliveryFailed
from revscript.health.notices import News, Notice
from revscript.health.problems import Problems, Standing
from revscript.model import Problem
from revscript.outbound.delivery import Delivery
from revscript.outbound.problems import answers
from revscript.snapshot import Snapshot

MOST_AN_HOUR = 12  # notices by each path; what comes beyond is told together when the hour allows it
HOUR = 3600.0
PAUSES = (5.0, 15.0, 60.0, 300.0)  # s after a notice that did not get through; the last one is repeated
TICK = 1.0  # s between looks
OWN = "alert:"  # problems of the paths themselves: never told by them

log = structlog.get_logger()


class Way(Protocol):
    """One way to tell people outside."""

    name: str

    def target(self, alerts: Alerts) -> object | None:
        """To whom it goes by the settings; None when it is not wanted."""
        ...

    def tell(self, notice: Notice, snapshot: Snapshot, only: Sequence[str] = ()) -> Delivery:
        """One try, to `only` these of its recipients → who has not got it; DeliveryFailed when nobody has."""
        ...

    def stop(self) -> None:
        """End a try under way."""
        ...


@dataclass(frozen=True, slots=True)
class _Told:
    one: Standing
    at: float  # monotonic, the last time
    times: int


class Story:
    """What one path has told, and what it has to tell next. All times are monotonic seconds."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._told: dict[str, _Told] = {}
        self._sent: deque[float] = deque(maxlen=MOST_AN_HOUR)

    def news(self, standing: Iterable[Standing], alerts: Alerts, now: float) -> list[News]:
        """What is to be told now: new problems, those to be told again, and those that are over."""
        every = {one.problem.key: one for one in standing}
        errors = {key: one for key, one in every.items() if _counts(one.problem)}
        # One that is a warning by now is not over: its mail may fail again. Only it is told no more while that is so.
        over = [self._over(key, now) for key in self._told if not self._same(key, every)]
        after, repeat = 60 * alerts.after, 60 * alerts.repeat
        if now - self._started < after or self._free_in(now) > 0:
            return []
        fresh = [one for key, one in errors.items() if not self._same(key, errors)]
        due = any(one.lasted(now) >= after for one in fresh)
        # Those that are half as old come along: what has one cause should be one notice.
        new = [News(one, "new", one.lasted(now)) for one in fresh if due and one.lasted(now) >= after / 2]
        old = [one for key, one in self._told.items() if self._same(key, errors)]
        late = any(now - one.at >= repeat for one in old)
        again = [
            News(errors[one.one.problem.key], "again", one.one.lasted(now), one.times)
            for one in old
            if late and now - one.at >= repeat / 2
        ]
        return [*new, *again, *over]

    def _same(self, key: str, errors: dict[str, Standing]) -> bool:
        """Whether a problem that was told still stands; raised anew meanwhile, it is another one."""
        told, one = self._told.get(key), errors.get(key)
        return told is not None and one is not None and told.one.began == one.began

    def _over(self, key: str, now: float) -> News:
        told = self._told[key]
        return News(told.one, "solved", told.one.lasted(now), told.times)

    def told(self, news: Iterable[News], now: float) -> None:
        """The notice with these news got through."""
        self._sent.append(now)
        for one in news:
            key = one.one.problem.key
            if one.state == "solved":
                self._told.pop(key, None)
        for one in news:
            if one.state != "solved":
                self._told[one.one.problem.key] = _Told(one.one, now, one.told + 1)

    def _free_in(self, now: float) -> float:
        """Seconds until another notice may go."""
        full = len(self._sent) == MOST_AN_HOUR
        return max(0.0, self._sent[0] + HOUR - now) if full else 0.0

    def pause_after(self, now: float) -> float:
        """Seconds for which nothing may be told after a notice that is sent now."""
        if len(self._sent) < MOST_AN_HOUR - 1:
            return 0.0
        oldest = self._sent[-(MOST_AN_HOUR - 1)]
        return max(0.0, oldest + HOUR - now)


@dataclass(frozen=True, slots=True)
class _Rest:
    """A notice that has got through to some, and is tried again for the others alone. Times are monotonic."""

    notice: Notice
    to: tuple[str, ...]
    failures: int
    at: float  # the next try
    until: float


def _counts(problem: Problem) -> bool:
    return problem.severity == "error" and not problem.key.startswith(OWN)


class Path:
    """The thread of one way."""

    def __init__(
        self,
        way: Way,
        instance_id: str,
        snapshot: Callable[[], Snapshot],
        problems: Problems,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._way = way
        self._instance_id = instance_id
        self._snapshot = snapshot
        self._problems = problems
        self._monotonic = monotonic
        self._started = monotonic()
        self._story = Story(self._started)
        self._target: object | None = None
        self._failures = 0
        self._not_before = 0.0
        self._rests: list[_Rest] = []
        self._refused: dict[str, str] = {}  # recipients, by what was said of them the last time
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alert-{way.name}", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """End, also a try under way where that can be ended."""
        self._stop.set()
        self._way.stop()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            try:
                self.check()
            except Exception as error:
                log.exception("alert failed", way=self._way.name)
                self._failed(f"{type(error).__name__}: {error}", "A fault of revscript: see the log.")

    @property
    def _key(self) -> str:
        return f"{OWN}{self._way.name}"

    def check(self) -> None:
        """Tell what is due; what fails is tried again after a pause, and a Problem meanwhile."""
        snapshot = self._snapshot()
        alerts = snapshot.settings.alerts
        target = self._way.target(alerts)
        if target != self._target:  # somebody else is told from now on, who knows nothing yet
            self._target, self._story = target, Story(self._started)
            self._not_before, self._failures, self._rests = 0.0, 0, []
            self._problems.clear(self._key)
        now = self._monotonic()
        if target is None:
            return
        if now >= self._not_before and (news := self._story.news(self._problems.standing(), alerts, now)):
            self._tell(news, snapshot, now)
        for rest in [one for one in self._rests if now >= one.at]:
            self._tell_rest(rest, snapshot, now)

    def _tell(self, news: list[News], snapshot: Snapshot, now: float) -> None:
        pause = self._story.pause_after(now)
        held = f"The limit of {MOST_AN_HOUR} notices an hour is reached: the next one comes in {pause / 60:.0f} min."
        organisation = snapshot.settings.organisation.name
        notice = Notice(self._instance_id, organisation, tuple(news), held if pause else "")
        try:
            delivery = self._way.tell(notice, snapshot)
        except DeliveryFailed as error:
            self._failed(str(error), error.hint)
            return
        self._failures = 0
        self._story.told(news, now)
        states = [one.state for one in news]
        log.info("alert told", way=self._way.name, **{state: states.count(state) for state in set(states)})
        if delivery.later:
            rest = _Rest(notice, tuple(delivery.later), 1, now + PAUSES[0], now + HOUR)
            self._rests = [*self._rests, rest][-MOST_AN_HOUR:]
        self._refused = delivery.refused
        self._conclude(delivery.later)

    def _conclude(self, later: dict[str, str]) -> None:
        """Say whom alerts do not reach; a notice that some are still to get keeps what was said."""
        if missed := self._refused | later:
            what = f"An alert did not reach everybody: {answers(missed)}"
            again = " It is tried again for those who are not refused for good." if later else ""
            self._problems.report(self._problem(what, f"Check the addresses.{again}"))
        elif not self._rests:
            self._problems.clear(self._key)

    def _tell_rest(self, rest: _Rest, snapshot: Snapshot, now: float) -> None:
        """Once more to those alone who could not get a notice with the others."""
        self._rests.remove(rest)
        try:
            delivery = self._way.tell(rest.notice, snapshot, rest.to)
        except DeliveryFailed as error:
            log.warning("alert failed", way=self._way.name, why=str(error), recipients=len(rest.to))
            left = rest.to
        else:
            log.info("alert told", way=self._way.name, recipients=len(delivery.accepted))
            left = tuple(delivery.later)
            self._refused |= delivery.refused
        pause = PAUSES[min(rest.failures, len(PAUSES) - 1)]
        if left and now + pause < rest.until:
            self._rests.append(replace(rest, to=left, failures=rest.failures + 1, at=now + pause))
        elif not left and not self._failures:  # of one that nobody could get another problem tells
            self._conclude({})

    def _failed(self, why: str, hint: str) -> None:
        if self._stop.is_set():
            return
        self._failures += 1
        pause = PAUSES[min(self._failures, len(PAUSES)) - 1]
        self._not_before = self._monotonic() + pause
        log.warning("alert failed", way=self._way.name, why=why, pause=pause)
        what = f"Alerts cannot be told by {self._way.name}: {why}"
        self._problems.report(self._problem(what, f"{hint} It is tried again by itself.".strip()))

    def _problem(self, what: str, way_out: str) -> Problem:
        return Problem(self._key, f"settings.json, alerts.{self._way.name}", what, way_out, "warning")
