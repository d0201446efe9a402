"""The clockwork: `schedule` rings when a mailbox is to be polled or a job is to be done; others do the work.

`schedule` goes by the local wall clock, which is set back by people, and each autumn by law. Whoever is rung for has
therefore a monotonic timer of its own, and goes ahead when no bell came: the watchers theirs, the jobs this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import schedule
import structlog

from revscript.errors import RevscriptError
from revscript.model import Problem, ProblemSink

SHORTEST_SLEEP = 0.05  # s between looks at the clock
LONGEST_SLEEP = 1.0  # s; also the longest that a jump of the clock goes unnoticed
FIRST_AFTER = 5.0  # s from the start until each job is done for the first time
GRACE = 1.5  # a job is done without a bell when it is this many intervals late
JOIN_PATIENCE = 2.0  # s that `stop` waits for jobs under way
BEAT_WITHIN = 30.0  # s within which the clockwork looks at the clock again, whatever happens

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again, the first time soon after the start, or after a whole interval.

    `work` raises what it likes: a Problem `housekeeping:NAME` then stands until it has worked once more. It should
    come to its end soon when the host stops.
    """

    name: str
    every: timedelta
    work: Callable[[], None]
    at_start: bool = True


class Polled(Protocol):
    """What is rung every `interval` seconds."""

    @property
    def interval(self) -> float:
        """Seconds between two polls."""
        ...

    def poll_now(self) -> None:
        """Wake it; does not wait for it."""
        ...


class Housekeeping:
    """The clockwork's thread, and one for each job, so that no job holds up another one or a poll.

    `stopping` is set by `stop`: jobs that last may look at it. `beat(name, within)` is told that the clockwork moves.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        problems: ProblemSink,
        stopping: threading.Event | None = None,
        beat: Callable[[str, float], None] = lambda _name, _within: None,
    ) -> None:
        self._scheduler = schedule.Scheduler()
        self._guard = threading.Lock()  # `schedule` is not made for several threads
        self._polls: dict[Polled, schedule.Job] = {}
        self._stopping = stopping or threading.Event()
        self._beat = beat
        self._problems = problems
        self._workers = [_Worker(job, problems, self._stopping) for job in jobs]
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        for worker in self._workers:
            self._every(worker.job.every.total_seconds(), worker.ring)

    def start(self) -> None:
        """Start ringing."""
        self._thread.start()
        for worker in self._workers:
            worker.start()

    def poll(self, watchers: Collection[Polled]) -> None:
        """From now on ring these, and no others; those that were rung before keep their beat. Thread-safe."""
        with self._guard:
            for gone in self._polls.keys() - set(watchers):
                self._scheduler.cancel_job(self._polls.pop(gone))
            new = [watcher for watcher in watchers if watcher not in self._polls]
            for place, watcher in enumerate(new):
                job = self._polls[watcher] = self._every(watcher.interval, watcher.poll_now)
                # Spread over the interval: hundreds of mailboxes are not to be searched in the same instant.
                if job.next_run is not None:
                    job.next_run -= timedelta(seconds=watcher.interval * place / len(new))

    def stop(self) -> None:
        """Stop ringing; a job that does not come to its end soon is left behind."""
        self._stopping.set()
        until = time.monotonic() + JOIN_PATIENCE
        for worker in self._workers:
            worker.stop(until)
        if self._thread.ident is not None:
            self._thread.join()

    def _every(self, seconds: float, wake: Callable[[], None]) -> schedule.Job:
        def ring() -> None:
            try:
                wake()
            except Exception:  # `schedule` would do it again and again, and nothing else
                log.exception("ringing failed")

        # `schedule` counts in whole units, but takes fractions of a second as well.
        return self._scheduler.every(seconds).seconds.do(ring)  # pyright: ignore[reportArgumentType]

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            self._beat("housekeeping", BEAT_WITHIN)
            try:
                pause = self._tick()
            except Exception as error:  # the clockwork's own boundary
                log.exception("housekeeping failed")
                self._problems.report(_failed("clockwork", error))
                pause = LONGEST_SLEEP

    def _tick(self) -> float:
        with self._guard:
            self._scheduler.run_pending()
            idle = self._scheduler.idle_seconds
        return LONGEST_SLEEP if idle is None else min(max(idle, SHORTEST_SLEEP), LONGEST_SLEEP)


class _Worker:
    """The thread of one job."""

    def __init__(self, job: Job, problems: ProblemSink, stopping: threading.Event) -> None:
        self.job = job
        self._problems = problems
        self._stopping = stopping
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"job-{job.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """It is time."""
        self._bell.set()

    def stop(self, until: float) -> None:
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            log.warning("job left behind", job=self.job.name)

    def _run(self) -> None:
        every = self.job.every.total_seconds()
        longest = min(every, FIRST_AFTER) if self.job.at_start else GRACE * every
        while not self._stopping.is_set():
            self._bell.wait(longest)
            self._bell.clear()
            longest = GRACE * every
            if not self._stopping.is_set():
                self._do()

    def _do(self) -> None:
        try:
            self.job.work()
        except Exception as error:  # a job's boundary: it is tried again the next time
            log.warning("job failed", job=self.job.name, why=str(error), exc_info=not isinstance(error, RevscriptError))
            self._problems.report(_failed(self.job.name, error))
        else:
            self._problems.clear(f"housekeeping:{self.job.name}")


def _failed(name: str, error: Exception) -> Problem:
    known = isinstance(error, RevscriptError)
    what = str(error) if known else f"{type(error).__name__}: {error}"
    hint = error.hint if known else "This is a fault of revscript: see the log."
    way_out = f"{hint} It is tried again by itself.".strip()
    return Problem(f"housekeeping:{name}", f"housekeeping: {name}", what, way_out, "warning")
