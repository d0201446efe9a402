"""Problems: raised once, kept over a restart, cleared, and there even when the database is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from revscript.health import Problems, stored_problems
from revscript.model import Problem
from revscript.store.database import Database
from tests.inbound.refusing import refusing

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
ONE = Problem("mailbox:post", "account post", "The server does not answer.", "Check the host.")


class Clock:
    """A clock that goes on by an hour each time."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """An empty store."""
    return Database(tmp_path / "post.db")


def test_reported_once_and_renewed(database: Database) -> None:
    problems = Problems(database, Clock())
    with capture_logs() as logs:
        for _ in range(3):
            problems.report(ONE)
        problems.report(Problem(ONE.key, ONE.where, "Now it says no.", ONE.way_out))
    assert [line["what"] for line in logs] == ["The server does not answer.", "Now it says no."]
    (standing,) = problems.standing()
    assert standing.problem.what == "Now it says no."
    assert standing.since == START + timedelta(hours=1)
    assert stored_problems(database) == [standing]


def test_problems_about_things_outlive_a_restart(database: Database) -> None:
    dead = Problem("act:7", "outbox no. 7", "A mail was not delivered.", "Send it anew.")
    for problem in (ONE, dead):
        Problems(database, Clock()).report(problem)
    again = Problems(database, Clock())
    assert [one.problem for one in again.standing()] == [dead]  # whether the server answers now, will be seen
    assert stored_problems(database) == again.standing()


def test_cleared(database: Database) -> None:
    problems = Problems(database, Clock())
    problems.report(ONE)
    for key in ("another", ONE.key, ONE.key):
        problems.clear(key)
    assert problems.standing() == []
    assert stored_problems(database) == []


def test_oldest_first(database: Database) -> None:
    problems = Problems(database, Clock())
    for key in "cab":
        problems.report(Problem(key, "x", "y", "z", "warning"))
    problems.report(Problem("c", "x", "other", "z"))
    assert [one.problem.key for one in problems.standing()] == ["c", "a", "b"]
    assert stored_problems(database) == problems.standing()


def test_works_while_the_database_does_not(database: Database) -> None:
    problems = Problems(database, Clock())
    problems.report(ONE)
    two = Problem("store", "database", "disk is full", "Make room.")
    with refusing(database, "problem"), refusing(database, "problem", "DELETE"):
        problems.report(two)
        problems.clear(ONE.key)
        assert [one.problem for one in problems.standing()] == [two]
    problems.clear(two.key)
    assert problems.standing() == []
