"""The open problems, as rows: another process can list them, and they outlive the host."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.model import Problem
from revscript.store.database import Database
from revscript.store.schema import problem as rows


def write(database: Database, problem: Problem, since: datetime, now: datetime) -> None:
    """Keep a problem; one with the same key is renewed."""
    values = {
        "severity": problem.severity,
        "where": problem.where,
        "what": problem.what,
        "way_out": problem.way_out,
        "last_at": now,
    }
    insert = upsert(rows).values(key=problem.key, since=since, **values)
    with database.write() as tx:
        tx.execute(insert.on_conflict_do_update(index_elements=["key"], set_=values))


def strike(database: Database, key: str) -> None:
    """A problem is over."""
    with database.write() as tx:
        tx.execute(delete(rows).where(rows.c.key == key))


def standing(database: Database) -> list[tuple[Problem, datetime]]:
    """The open problems with the time since when they stand, oldest first."""
    columns = (rows.c.key, rows.c.where, rows.c.what, rows.c.way_out, rows.c.severity, rows.c.since)
    with database.read() as tx:
        found = tx.execute(select(*columns).order_by(rows.c.since)).all()
    return [(Problem(row.key, row.where, row.what, row.way_out, row.severity), row.since) for row in found]
