"""Processes that die under a job, and what is left of those that end."""

from __future__ import annotations

import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from revscript.errors import JailBroken
from revscript.jail.effects import LabelMail
from revscript.sandbox import ReaderDied, Sandbox
from tests.wall.kit import MAIL, children, descriptors, run, take_nothing, wait_until

ASK = "missions.running()\nmail.label('x')"


def kill_zygote(sandbox: Sandbox) -> None:
    assert sandbox.zygote_pid
    os.kill(sandbox.zygote_pid, signal.SIGKILL)


def test_a_run_under_which_the_zygote_dies_is_repeated_once(own: Sandbox) -> None:
    pids: list[int | None] = []

    def answer(_: Any) -> list[Any]:
        pids.append(own.zygote_pid)
        if len(pids) == 1:
            kill_zygote(own)
        return []

    finished = run(own, ASK, answer)
    assert (finished.end.kind, finished.effects) == ("done", [LabelMail(text="x")])
    assert len(finished.asked) == 1  # only the second run's
    assert len(set(pids)) == len(pids) == 2


def test_twice_is_once_too_often(own: Sandbox) -> None:
    def answer(_: Any) -> list[Any]:
        kill_zygote(own)
        return []

    with pytest.raises(JailBroken, match="died twice"):
        run(own, ASK, answer)
    assert run(own, "mail.label('x')").end.kind == "done"


def test_between_two_jobs_it_is_started_anew(own: Sandbox) -> None:
    """The host may not have noticed yet."""
    for _ in range(5):
        kill_zygote(own)
        assert own.read([MAIL], len(MAIL)).subject == "B 3"


def test_the_children_die_with_the_zygote(own: Sandbox) -> None:
    seen: list[int] = []

    def answer(_: Any) -> list[Any]:
        if not seen:
            seen.extend(children(own.zygote_pid))
            kill_zygote(own)
        return []

    run(own, ASK, answer)
    (child,) = seen
    wait_until(lambda: not os.path.exists(f"/proc/{child}"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_is_killed_is_a_crash_and_nobody_elses_trouble(own: Sandbox, number: signal.Signals) -> None:
    before = own.zygote_pid

    def answer(_: Any) -> list[Any]:
        for child in children(own.zygote_pid):
            os.kill(child, number)
        return []

    finished = run(own, ASK, answer)
    assert (finished.end.kind, finished.effects) == ("crash", [])
    assert own.read([MAIL], len(MAIL)).subject == "B 3"
    assert own.zygote_pid == before


def test_a_reader_that_is_killed_says_so(own: Sandbox) -> None:
    def take(_index: int, _pieces: object) -> None:
        for child in children(own.zygote_pid):
            os.kill(child, signal.SIGKILL)

    large = MAIL.replace(b"zwei\r\n", b"zwei\r\n" * 1_000_000)
    with pytest.raises(ReaderDied, match="status -9"):
        own.extract([large], len(large), (0, 1), take)


def test_stop_breaks_off_what_runs(own: Sandbox) -> None:
    """… and does not let it begin anew on another zygote."""
    running, runs = threading.Event(), list[Any]()

    def answer(question: Any) -> list[Any]:
        runs.append(question)
        running.set()
        return []

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run, own, "missions.running()\nwhile True:\n    pass", answer)
        assert running.wait(10)
        own.stop()
        with pytest.raises(JailBroken):
            result.result(10)
    assert len(runs) == 1
    assert own.zygote_pid is None
    with pytest.raises(JailBroken):
        run(own, "mail.label('x')")
    own.start()
    assert run(own, "mail.label('x')").end.kind == "done"


def test_stop_twice_is_stop(own: Sandbox) -> None:
    own.stop()
    own.stop()


def test_nothing_is_left_of_200_runs(own: Sandbox) -> None:
    """No descriptor, no zombie, no bookkeeping; of good ones, failed ones, killed ones and dropped ones."""

    def drop(_: Any) -> Any:
        raise OSError("the store is gone")

    def dropped() -> None:
        with pytest.raises(OSError, match="store"):
            run(own, ASK, drop)

    def a_round(number: int) -> None:
        run(own, "mail.label('x')")
        run(own, "1 / 0" if number % 2 else "x = 'x' * (1 << 40)")
        own.read([MAIL], len(MAIL))
        own.extract([MAIL], len(MAIL), (0, 1), take_nothing)

    a_round(0)
    a_round(1)
    dropped()
    gc.collect()
    before = descriptors()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(a_round, range(50)))
    dropped()
    wait_until(lambda: children(own.zygote_pid) == [])
    assert descriptors() == before
    assert own._zygote is not None
    assert len(own._zygote._exited) <= 2  # the dropped ones': nobody asked how they ended
    assert own._zygote._started == {}
