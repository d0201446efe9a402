"""Problems in, problems out: the one list of what needs a person.

Kept in memory first, because the database itself may be what is wrong, and written through to it when that works.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import structlog

from revscript.errors import StoreError
from revscript.model import Clock, Problem
from revscript.store import problems as rows
from revscript.store.database import Database

# Problems about a thing outlive a restart; those about a state are raised anew if it still is so.
ABOUT_THINGS = ("quarantine:", "act:", "unreadable:")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """A problem that has not been solved, and since when."""

    problem: Problem
    since: datetime


class Problems:
    """The `ProblemSink` of a running host."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._guard = threading.Lock()
        self._standing: dict[str, Standing] = {}
        for one in stored_problems(database):
            if one.problem.key.startswith(ABOUT_THINGS):
                self._standing[one.problem.key] = one
            else:
                rows.strike(database, one.problem.key)

    def report(self, problem: Problem) -> None:
        """Raise it, or renew it; only what is new or says something else is logged and written."""
        with self._guard:
            known = self._standing.get(problem.key)
            if known is not None and known.problem == problem:
                return
            self._standing[problem.key] = Standing(problem, known.since if known else self._clock())
        log.warning("problem", key=problem.key, where=problem.where, what=problem.what, way_out=problem.way_out)
        self._write(self._standing[problem.key])

    def clear(self, key: str) -> None:
        """It is over."""
        with self._guard:
            if self._standing.pop(key, None) is None:
                return
        log.info("solved", key=key)
        try:
            rows.strike(self._database, key)
        except StoreError:
            log.warning("a solved problem could not be struck off in the database", key=key)

    def standing(self) -> list[Standing]:
        """All open problems, oldest first."""
        with self._guard:
            return sorted(self._standing.values(), key=lambda one: one.since)

    def _write(self, one: Standing) -> None:
        try:
            rows.write(self._database, one.problem, one.since, self._clock())
        except StoreError:
            log.warning("a problem could not be written to the database", key=one.problem.key)


def stored_problems(database: Database) -> list[Standing]:
    """The open problems as the database has them, oldest first."""
    return [Standing(problem, since) for problem, since in rows.standing(database)]
