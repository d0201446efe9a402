"""Problems in, problems out: the one list of what needs a person.

Kept in memory first, because the database itself may be what is wrong, and written through to it when that works.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.errors import StoreError
from revscript.model import Clock, Problem
from revscript.store.database import Database
from revscript.store.schema import problem

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
        self._standing: dict[str, Standing] = {one.problem.key: one for one in stored_problems(database)}

    def report(self, reported: Problem) -> None:
        """Raise it, or renew it; only what is new or says something else is logged and written."""
        with self._guard:
            known = self._standing.get(reported.key)
            if known is not None and known.problem == reported:
                return
            self._standing[reported.key] = Standing(reported, known.since if known else self._clock())
        log.warning("problem", key=reported.key, where=reported.where, what=reported.what, way_out=reported.way_out)
        self._write(self._standing[reported.key])

    def clear(self, key: str) -> None:
        """It is over."""
        with self._guard:
            if self._standing.pop(key, None) is None:
                return
        log.info("solved", key=key)
        try:
            with self._database.write() as tx:
                tx.execute(delete(problem).where(problem.c.key == key))
        except StoreError:
            log.warning("a solved problem could not be struck off in the database", key=key)

    def standing(self) -> list[Standing]:
        """All open problems, oldest first."""
        with self._guard:
            return sorted(self._standing.values(), key=lambda one: one.since)

    def _write(self, one: Standing) -> None:
        values = {
            "severity": one.problem.severity,
            "where": one.problem.where,
            "what": one.problem.what,
            "way_out": one.problem.way_out,
            "last_at": self._clock(),
        }
        insert = upsert(problem).values(key=one.problem.key, since=one.since, **values)
        try:
            with self._database.write() as tx:
                tx.execute(insert.on_conflict_do_update(index_elements=["key"], set_=values))
        except StoreError:
            log.warning("a problem could not be written to the database", key=one.problem.key)


def stored_problems(database: Database) -> list[Standing]:
    """The open problems as the database has them, oldest first."""
    columns = (problem.c.key, problem.c.where, problem.c.what, problem.c.way_out, problem.c.severity)
    with database.read() as tx:
        rows = tx.execute(select(*columns, problem.c.since).order_by(problem.c.since))
        return [Standing(Problem(*row[:5]), row.since) for row in rows]
