"""A database that refuses to be written, from outside and for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager

from revscript.store.database import Database


@contextmanager
def refusing(database: Database, table: str, change: str = "INSERT") -> Generator[None]:
    """Within the block each change of the table fails, as on a full disk."""
    with closing(sqlite3.connect(database.path, timeout=10, isolation_level=None)) as other:
        other.execute(
            f"CREATE TRIGGER on_{change} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        yield
        other.execute(f"DROP TRIGGER on_{change}")
