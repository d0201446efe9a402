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
        self._guard = threading.Lock()  # held while writing: problems are few
        self._standing: dict[str, Standing] = {}
        self._unwritten: set[str] = set()  # keys of which the database does not know the latest
        for one in stored_problems(database):
            if one.problem.key.startswith(ABOUT_THINGS):
                self._standing[one.problem.key] = one
            else:
                rows.strike(database, one.problem.key)

    def report(self, problem: Problem) -> None:
        """Raise it, or renew it; only what is new or says something else is logged and written. Never raises."""
        with self._guard:
            known = self._standing.get(problem.key)
            if known is not None and known.problem == problem:
                return self._write_missing()
            self._standing[problem.key] = Standing(problem, known.since if known else self._clock())
            self._unwritten.add(problem.key)
            self._write_missing()
        return log.warning("problem", key=problem.key, where=problem.where, what=problem.what, way_out=problem.way_out)

    def clear(self, key: str) -> None:
        """It is over. Never raises."""
        with self._guard:
            if self._standing.pop(key, None) is None:
                return
            self._unwritten.add(key)
            self._write_missing()
        log.info("solved", key=key)

    def standing(self) -> list[Standing]:
        """All open problems, oldest first."""
        with self._guard:
            return sorted(self._standing.values(), key=lambda one: one.since)

    def _write_missing(self) -> None:
        """Bring the database up to what memory knows; what it cannot take now is written at the next occasion."""
        try:
            for key in tuple(self._unwritten):
                one = self._standing.get(key)
                if one is None:
                    rows.strike(self._database, key)
                else:
                    rows.write(self._database, one.problem, one.since, self._clock())
                self._unwritten.discard(key)
        except StoreError:
            log.warning("problems cannot be written to the database yet", keys=sorted(self._unwritten))


def stored_problems(database: Database) -> list[Standing]:
    """The open problems as the database has them, oldest first."""
    return [Standing(problem, since) for problem, since in rows.standing(database)]
