"""The list of problems: over a restart, beside other processes, and from many threads."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path

import pytest

from revscript.errors import StoreError, Unstorable
from revscript.health import Problems, stored_problems
from revscript.model import Problem
from revscript.store import problems as rows
from revscript.store.database import Database
from tests.health.kit import START, Time
from tests.inbound.refusing import refusing
from tests.instance import wait_until

STATE = Problem("mailbox:post", "account post", "The server does not answer.", "Check the host.")
THING = Problem("quarantine:7", "mail 7 (post)", "The script failed.", "See it.")
WARNING = Problem("lane:smtp:post", "smtp:post", "Later.", "Wait.", "warning")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """An empty store."""
    return Database(tmp_path / "post.db")


def made(database: Database, time: Time) -> Problems:
    """The problems of a host that starts now."""
    return Problems(database, time.wall, time.steady)


def keys(problems: Problems) -> list[str]:
    """The keys of what stands, oldest first."""
    return [one.problem.key for one in problems.standing()]


def test_the_same_trouble_after_a_restart_has_lasted_since_before_it(database: Database) -> None:
    time = Time()
    made(database, time).report(STATE)
    time.pass_(600)
    again = made(database, time)
    assert keys(again) == []
    assert stored_problems(database) == []
    time.pass_(60)
    again.report(STATE)
    (one,) = again.standing()
    assert one.since == START
    assert one.lasted(time.steady()) == 660
    assert stored_problems(database)[0].since == START


@pytest.mark.parametrize("why", ["too late", "was well in between"])
def test_later_trouble_is_another(database: Database, why: str) -> None:
    time = Time()
    made(database, time).report(STATE)
    again = made(database, time)
    if why == "too late":
        time.pass_(601)
    else:
        time.pass_(5)
        again.clear(STATE.key)
    again.report(STATE)
    (one,) = again.standing()
    assert one.since == time.wall()
    assert one.lasted(time.steady()) == 0


def test_a_thing_has_lasted_since_before_a_restart(database: Database) -> None:
    time = Time()
    made(database, time).report(THING)
    time.pass_(7200)
    (one,) = made(database, time).standing()
    assert one.lasted(time.steady()) == 7200
    time.set_wall(-10 * 3600)  # then its beginning lies in the future, and its age is not known
    (one,) = made(database, time).standing()
    assert one.lasted(time.steady()) == 0
    assert one.lasted(time.steady() - 5) == 0


def test_what_another_process_strikes_vanishes(database: Database) -> None:
    problems = made(database, Time())
    woken: list[bool] = []
    problems.listen(lambda: woken.append(True))
    for problem in (STATE, THING, WARNING):
        problems.report(problem)
    woken.clear()
    other = Database(database.path)
    rows.strike(other, THING.key)
    rows.strike(other, STATE.key)  # a state is only for the host to say
    rows.write(other, Problem("quarantine:8", "mail 8", "a", "b", "warning"), START, START)
    problems.refresh()
    assert sorted(keys(problems)) == [WARNING.key, STATE.key, "quarantine:8"]
    assert woken == [True]
    problems.refresh()
    assert woken == [True]
    other.close()


def test_what_is_not_written_yet_is_not_struck(database: Database) -> None:
    problems = made(database, Time())
    with refusing(database, "problem"):
        problems.report(THING)
        problems.refresh()
        assert keys(problems) == [THING.key]
    problems.flush()
    assert [one.problem for one in stored_problems(database)] == [THING]


def test_what_another_process_says_anew_keeps_its_age(database: Database) -> None:
    time = Time()
    problems = made(database, time)
    problems.report(THING)
    (before,) = problems.standing()
    time.pass_(60)
    mended = Problem(THING.key, THING.where, "It runs again.", THING.way_out, "warning")
    rows.write(database, mended, START, time.wall())
    problems.refresh()
    (one,) = problems.standing()
    assert (one.problem, one.since, one.began) == (mended, before.since, before.began)
    assert problems.errors() == []


def test_a_store_that_is_gone_stops_nobody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = made(database, Time())

    def broken(*_: object) -> None:
        raise StoreError("gone")

    def bug(*_: object) -> None:
        raise KeyError("bug")

    for fault in (broken, bug):
        monkeypatch.setattr(rows, "write", fault)
        monkeypatch.setattr(rows, "strike", fault)
        monkeypatch.setattr(rows, "standing", broken)
        problems.report(STATE)
        problems.refresh()
        problems.clear(STATE.key)
        assert keys(problems) == []
    monkeypatch.undo()
    problems.flush()
    assert stored_problems(database) == []


def test_a_name_that_is_not_utf8_is_a_problem_like_others(database: Database) -> None:
    problems = made(database, Time())
    name = os.fsdecode(b"accounts/b\xfcro.json")
    problems.report(Problem(f"file:{name}:", name, f"{name} is wrong.", f"Rename {name}."))
    problems.report(THING)
    assert problems.written
    one = next(one.problem for one in stored_problems(database) if one.problem != THING)
    assert one.where == "accounts/b\\udcfcro.json"
    assert f"{one.key}{one.what}{one.way_out}".encode()
    problems.clear(f"file:{name}:")
    assert [one.problem for one in stored_problems(database)] == [THING]


@pytest.mark.parametrize("fault", [KeyError("bug"), Unstorable("refused")])
def test_one_that_cannot_be_written_does_not_stop_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    problems, write = made(database, Time()), rows.write

    def picky(database: Database, problem: Problem, *times: datetime) -> None:
        if problem.key == STATE.key:
            raise fault
        write(database, problem, *times)

    monkeypatch.setattr(rows, "write", picky)
    with database.write():  # so that all are written at once
        for problem in (STATE, THING, WARNING):
            problems.report(problem)
    problems.flush()
    assert {one.problem.key for one in stored_problems(database)} == {THING.key, WARNING.key}
    monkeypatch.undo()
    problems.flush()
    assert problems.written


def test_inside_a_transaction_it_waits_for_its_end(database: Database) -> None:
    problems = made(database, Time())
    with database.write():
        problems.report(STATE)  # a write inside a write is impossible
        assert keys(problems) == [STATE.key]
    problems.flush()
    assert [one.problem for one in stored_problems(database)] == [STATE]


def test_who_reports_does_not_wait_for_a_write(database: Database) -> None:
    """One thread hangs at the door of the database; the others report all the same, and all of it is written."""
    problems = made(database, Time())
    with database.write():
        thread = threading.Thread(target=problems.report, args=(STATE,))
        thread.start()
        wait_until(problems._door.locked, 10, "the thread waits for the transaction")
        problems.report(THING)
        problems.report(WARNING)
        problems.clear(WARNING.key)
        assert sorted(keys(problems)) == [STATE.key, THING.key]
        assert thread.is_alive()
    thread.join(10)
    assert {one.problem.key for one in stored_problems(database)} == {STATE.key, THING.key}


def test_many_threads_and_a_process_beside_them(database: Database) -> None:
    problems = made(database, Time())
    other = Database(database.path)
    done = threading.Event()

    def churn(number: int) -> None:
        for turn in range(30):
            key = f"quarantine:{number}-{turn % 3}"
            problems.report(Problem(key, "x", f"{turn}", "z"))
            if turn % 2:
                problems.clear(key)

    def refresh() -> None:
        while not done.is_set():
            problems.refresh()

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    refresher = threading.Thread(target=refresh)
    for thread in (*threads, refresher):
        thread.start()
    for thread in threads:
        thread.join(60)
    done.set()
    refresher.join(10)
    problems.flush()
    problems.refresh()
    in_memory = {one.problem.key: one.problem for one in problems.standing()}
    assert in_memory == {one.problem.key: one.problem for one in stored_problems(other)}
    assert set(in_memory) == {f"quarantine:{number}-1" for number in range(4)}  # the others were cleared last
    other.close()
