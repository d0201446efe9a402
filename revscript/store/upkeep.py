"""Care for the database file: checkpoints of its write-ahead log (WAL), statistics, sizes.

Done on a connection of its own, which never waits for anybody: what is busy now is done the next time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from revscript.errors import StoreError
from revscript.store.database import Database

LARGE_WAL = 32 << 20  # bytes from which the log is cut; SQLite itself only starts it anew, it never gets smaller
ROWS_LOOKED_AT = 400  # per index, when statistics are made (sqlite.org/lang_analyze.html)


class Sizes(NamedTuple):
    """Bytes on disk."""

    database: int
    wal: int


def sizes(database: Database) -> Sizes:
    """How large the files are; 0 for one that is not there."""
    return Sizes(_size(database.path), _size(_wal(database)))


def checkpoint(database: Database) -> bool:
    """Write the log's content into the database when the log is large, then cut it → whether it was cut.

    First in the passive way, which hinders nobody; what is left for the cut then holds the write lock for an instant,
    and only when it is free and nobody still reads an older state (sqlite.org/c3ref/wal_checkpoint_v2.html).
    """
    if _size(_wal(database)) < LARGE_WAL:
        return False
    with _aside(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def optimize(database: Database) -> None:
    """Let SQLite renew the statistics by which it plans queries, where they are out of date; StoreError when busy."""
    with _aside(database) as connection:
        connection.execute(f"PRAGMA analysis_limit={ROWS_LOOKED_AT}").fetchone()
        connection.execute("PRAGMA optimize").fetchone()


def _wal(database: Database) -> Path:
    return database.path.with_name(f"{database.path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}.") from error


@contextmanager
def _aside(database: Database) -> Generator[sqlite3.Connection]:
    try:
        # `rw`: a file that is gone must not be made anew, empty.
        where = f"{database.path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(where, timeout=0, isolation_level=None, uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{database.path}: {error}", hint="It is tried again by itself.") from error
