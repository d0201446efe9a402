"""The clockwork rings, whatever the jobs do and whoever sets the clock."""

from __future__ import annotations

import datetime as real_datetime
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import schedule

from revscript.errors import StoreError
from revscript.housekeeping import Housekeeping, Job
from tests.housekeeping.kit import Box, Sink
from tests.instance import wait_until

OFTEN = timedelta(seconds=0.1)


@contextmanager
def going(*jobs: Job, sink: Sink | None = None, **more: Any) -> Generator[Housekeeping]:
    housekeeping = Housekeeping(jobs, sink or Sink(), **more)
    housekeeping.start()
    try:
        yield housekeeping
    finally:
        housekeeping.stop()


class Counter:
    """A job's work."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.times = 0
        self._then = then

    def __call__(self) -> None:
        self.times += 1
        self._then()


def test_it_rings_in_its_own_thread_again_and_again() -> None:
    box = Box(0.1)
    with going() as housekeeping:
        housekeeping.poll([box])
        wait_until(lambda: box.rung >= 3, 5, "three bells")
    assert box.threads == {"housekeeping"}


def test_a_new_set_replaces_the_old_one_and_who_stays_keeps_the_beat() -> None:
    stays, goes, comes = Box(0.2), Box(0.2), Box(0.2)
    with going() as housekeeping:
        housekeeping.poll([stays, goes])
        wait_until(lambda: goes.rung > 0, 5, "a bell")
        due = housekeeping._polls[stays].next_run
        housekeeping.poll([stays, comes])
        assert housekeeping._polls[stays].next_run == due
        before = goes.rung
        wait_until(lambda: comes.rung >= 2 and stays.rung >= 2, 5, "the others' bells")
        assert goes.rung == before


def test_sets_that_change_all_the_time_delay_no_bell() -> None:
    """Somebody edits account files, ever again."""
    stays = Box(0.3)
    with going() as housekeeping:
        until = time.monotonic() + 30
        while stays.rung < 3 and time.monotonic() < until:
            housekeeping.poll([stays, Box(60)])
    assert stays.rung >= 3


def test_hundreds_are_not_rung_in_the_same_instant() -> None:
    housekeeping = Housekeeping((), Sink())
    boxes = [Box(60) for _ in range(200)]
    housekeeping.poll(boxes)
    due = sorted(job.next_run for job in housekeeping._scheduler.jobs if job.next_run)
    assert len(due) == 200
    assert timedelta(seconds=55) < due[-1] - due[0] < timedelta(seconds=60)


def test_jobs_are_done_soon_after_the_start_and_regularly() -> None:
    work = Counter()
    with going(Job("count", OFTEN, work)):
        wait_until(lambda: work.times >= 3, 5, "three times")


def test_a_job_that_is_not_for_the_start_waits_its_interval() -> None:
    late, prompt = Counter(), Counter()
    with going(Job("late", timedelta(hours=1), late, at_start=False), Job("prompt", OFTEN, prompt)):
        wait_until(lambda: prompt.times >= 5, 5, "the other has been done")
        assert late.times == 0
    soon = Counter()
    with going(Job("soon", OFTEN, soon, at_start=False)):
        wait_until(lambda: soon.times >= 2, 5, "its time comes")


def test_a_failing_job_is_a_problem_until_it_has_worked() -> None:
    sink, broken = Sink(), threading.Event()
    broken.set()

    def fail() -> None:
        if broken.is_set():
            raise StoreError("The disk is gone.", hint="Put it back.")

    work = Counter(fail)
    with going(Job("retention", OFTEN, work), sink=sink):
        wait_until(lambda: work.times >= 2, 5, "tried again")
        problem = sink.standing["housekeeping:retention"]
        assert (problem.what, problem.severity) == ("The disk is gone.", "warning")
        assert problem.way_out == "Put it back. It is tried again by itself."
        broken.clear()
        wait_until(lambda: not sink.standing, 5, "solved")


def test_a_fault_of_ours_ends_neither_the_job_nor_another_one() -> None:
    sink, other = Sink(), Counter()

    def fault() -> None:
        raise RuntimeError("ours")

    work = Counter(fault)
    with going(Job("faulty", OFTEN, work), Job("other", OFTEN, other), sink=sink):
        wait_until(lambda: work.times >= 3 and other.times >= 3, 5, "both go on")
        assert sink.standing["housekeeping:faulty"].what == "RuntimeError: ours"


def test_a_job_that_lasts_delays_no_poll_and_no_other_job() -> None:
    lasts, box, other = threading.Event(), Box(0.1), Counter()

    def last() -> None:
        lasts.wait(30)

    slow = Counter(last)
    with going(Job("slow", OFTEN, slow), Job("other", OFTEN, other)) as housekeeping:
        housekeeping.poll([box])
        wait_until(lambda: slow.times == 1, 5, "the slow one has begun")
        before = (box.rung, other.times)
        wait_until(lambda: box.rung >= before[0] + 3 and other.times >= before[1] + 3, 5, "all others go on")
        assert slow.times == 1
        lasts.set()


def test_a_watcher_that_cannot_be_rung_stops_no_other() -> None:
    class Broken(Box):
        def poll_now(self) -> None:
            super().poll_now()
            raise RuntimeError("ours")

    broken, box = Broken(0.1), Box(0.1)
    with going() as housekeeping:
        housekeeping.poll([broken, box])
        wait_until(lambda: box.rung >= 3, 10, "the other is rung")


def test_stop_is_told_to_those_who_last_and_waits_for_them() -> None:
    stopping, ended = threading.Event(), threading.Event()

    def last() -> None:
        stopping.wait(30)
        ended.set()

    work = Counter(last)
    with going(Job("long", OFTEN, work), stopping=stopping):
        wait_until(lambda: work.times == 1, 5, "it has begun")
    assert ended.is_set()


def test_stop_without_start() -> None:
    Housekeeping([Job("never", OFTEN, lambda: None)], Sink()).stop()


def test_the_clockwork_shows_that_it_moves() -> None:
    beats: list[tuple[str, float]] = []

    def beat(name: str, within: float) -> None:
        beats.append((name, within))

    with going(beat=beat):
        wait_until(lambda: len(beats) >= 2, 5, "two beats")
    assert {name for name, _ in beats} == {"housekeeping"}


# ---------------------------------------------------------------- the wall clock


class Moved:
    """`schedule`'s wall clock, moved by a test."""

    def __init__(self) -> None:
        self.by = timedelta()

    def module(self) -> SimpleNamespace:
        """In place of `datetime` in `schedule`."""
        moved = self

        class Clock(real_datetime.datetime):
            @classmethod
            def now(cls, tz: real_datetime.tzinfo | None = None) -> Clock:
                return cls.fromtimestamp(time.time(), tz) + moved.by

        return SimpleNamespace(datetime=Clock, timedelta=timedelta, date=real_datetime.date, time=real_datetime.time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Moved:
    """The wall clock of the clockwork."""
    moved = Moved()
    monkeypatch.setattr(schedule, "datetime", moved.module())
    return moved


@pytest.mark.parametrize("by", [timedelta(hours=-1), timedelta(days=-400)])
def test_jobs_go_on_when_the_clock_is_set_back(clock: Moved, by: timedelta) -> None:
    """No bell comes for an hour: the job's own timer does it (the watchers have theirs)."""
    work, box = Counter(), Box(0.1)
    with going(Job("count", OFTEN, work)) as housekeeping:
        housekeeping.poll([box])
        wait_until(lambda: work.times >= 2 and box.rung >= 2, 5, "it runs")
        clock.by = by
        time.sleep(0.3)  # bells that were already under way
        silent, before = box.rung, work.times
        wait_until(lambda: work.times >= before + 3, 5, "it goes on")
        assert box.rung == silent  # the clockwork alone would have stopped


def test_a_clock_that_is_set_forward_rings_at_once_and_goes_on(clock: Moved) -> None:
    box = Box(3600)
    with going() as housekeeping:
        housekeeping.poll([box])
        clock.by = timedelta(hours=2)
        wait_until(lambda: box.rung == 1, 5, "the bell")
        clock.by = timedelta(hours=4)
        wait_until(lambda: box.rung == 2, 5, "the next bell")
