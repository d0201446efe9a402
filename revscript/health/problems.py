"""Problems in, problems out: the one list of what needs a person.

Kept in memory first, because the database itself may be what is wrong, and written through to it when that works.
Whoever reports never waits for somebody else's write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from revscript.errors import StoreError, Unstorable
from revscript.model import Clock, Problem, encodable
from revscript.store import problems as rows
from revscript.store.database import Database

# Problems about a thing outlive a restart; those about a state are raised anew if it still is so.
ABOUT_THINGS = ("quarantine:", "act:", "unreadable:")
SAME_TROUBLE = 600.0  # s after a start within which a state that is reported again is the trouble from before it

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """A problem that has not been solved, and since when: by the wall clock for people, by `began` for timers."""

    problem: Problem
    since: datetime
    began: float = field(default=0.0, compare=False)  # monotonic; it may lie before this process

    def lasted(self, monotonic: float) -> float:
        """Seconds since it began."""
        return max(0.0, monotonic - self.began)


class Problems:
    """The `ProblemSink` of a running host. No method but the constructor's first look ever raises."""

    def __init__(self, database: Database, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._guard = threading.Lock()  # over memory; never held while the database works
        self._door = threading.Lock()  # held by the one who writes
        self._standing: dict[str, Standing] = {}
        self._unwritten: set[str] = set()  # keys of which the database does not know the latest
        self._before: dict[str, datetime] = {}  # states of the last run, and since when they stood
        self._before_until = monotonic() + SAME_TROUBLE
        self._listeners: list[Callable[[], None]] = []
        for one in stored_problems(database):
            key = one.problem.key
            if key.startswith(ABOUT_THINGS):
                self._standing[key] = self._restored(one)
            else:
                self._before[key] = one.since
                self._unwritten.add(key)  # struck from the database: it does not stand now
        self.flush()

    # ------------------------------------------------------------ the sink

    def report(self, problem: Problem) -> None:
        """Raise it, or renew it; only what is new or says something else is logged and written. Never raises."""
        with self._guard:
            known = self._standing.get(problem.key)
            changed = known is None or known.problem != problem
            if known is None:
                self._standing[problem.key] = self._raised(problem)
            elif changed:
                self._standing[problem.key] = Standing(problem, known.since, known.began)
            if changed:
                self._unwritten.add(problem.key)
        self.flush()
        if changed:
            log.warning("problem", key=problem.key, where=problem.where, what=problem.what, way_out=problem.way_out)
            self._tell()

    def clear(self, key: str) -> None:
        """It is over. Never raises."""
        key = encodable(key)  # as the problem has it
        with self._guard:
            gone = self._standing.pop(key, None)
            self._before.pop(key, None)
            if gone is None:
                return
            self._unwritten.add(key)
        self.flush()
        log.info("solved", key=key, seconds=round(gone.lasted(self._monotonic())))
        self._tell()

    def _raised(self, problem: Problem) -> Standing:
        since = self._before.pop(problem.key, None) if self._monotonic() < self._before_until else None
        if since is None:
            return Standing(problem, self._clock(), self._monotonic())
        return self._restored(Standing(problem, since))

    def _restored(self, one: Standing) -> Standing:
        age = max(timedelta(0), self._clock() - one.since)
        return Standing(one.problem, one.since, self._monotonic() - age.total_seconds())

    # ------------------------------------------------------------ who looks

    def standing(self) -> list[Standing]:
        """All open problems, oldest first."""
        with self._guard:
            return sorted(self._standing.values(), key=lambda one: one.since)

    def errors(self) -> list[Standing]:
        """The open problems that are errors, oldest first."""
        return [one for one in self.standing() if one.problem.severity == "error"]

    @property
    def written(self) -> bool:
        """Whether the database knows all of it."""
        return not self._unwritten

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake()` after each change; it only sets a flag, it never works in the reporter's thread."""
        self._listeners.append(wake)

    def _tell(self) -> None:
        for wake in self._listeners:
            wake()

    # ------------------------------------------------------------ the database

    def refresh(self) -> None:
        """Another process has committed: take over what it struck of the problems about things, and what is new."""
        with self._door:  # nothing is being written: what the database does not know of ours is among the unwritten
            try:
                stored = {one.problem.key: one for one in stored_problems(self._database)}
            except StoreError as error:
                log.warning("problems of other processes go unnoticed for now", why=str(error))
                return
            with self._guard:
                struck, new = self._differences(stored)
        self.flush()
        for key in struck:
            log.info("solved", key=key, by="another process")
        if struck or new:
            self._tell()

    def _differences(self, stored: Mapping[str, Standing]) -> tuple[list[str], list[str]]:
        ours = {key for key in self._standing if key.startswith(ABOUT_THINGS)} - self._unwritten
        struck = sorted(ours - stored.keys())
        for key in struck:
            del self._standing[key]
        new: list[str] = []
        for key, one in stored.items():
            known = self._standing.get(key)
            if key not in self._unwritten and (known is None or known.problem != one.problem):
                self._standing[key] = Standing(one.problem, known.since, known.began) if known else self._restored(one)
                new.append(key)
        return struck, new

    def flush(self) -> None:
        """Bring the database up to what memory knows; what it cannot take now is written at the next occasion."""
        while self._unwritten and self._door.acquire(blocking=False):  # whoever writes now takes ours along
            try:
                if not self._write():
                    return
            finally:
                self._door.release()

    def _write(self) -> bool:
        with self._guard:
            keys, self._unwritten = self._unwritten, set()
            latest = {key: self._standing.get(key) for key in keys}
        done: set[str] = set()
        try:
            done = {key for key, one in latest.items() if self._written_one(key, one)}
        except StoreError as error:
            log.warning("problems cannot be written to the database yet", keys=sorted(keys), why=str(error))
        with self._guard:
            self._unwritten |= keys - done
        return done == keys

    def _written_one(self, key: str, one: Standing | None) -> bool:
        """Write it → whether that worked; StoreError when the others need not be tried either."""
        try:
            if one is None:
                rows.strike(self._database, key)
            else:
                rows.write(self._database, one.problem, one.since, self._clock())
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, Unstorable):
                raise
            log.exception("a problem cannot be written to the database", key=key)
            return False
        return True


def stored_problems(database: Database) -> list[Standing]:
    """The open problems as the database has them, oldest first."""
    return [Standing(problem, since) for problem, since in rows.standing(database)]
