"""The database file: one door for writing, any number of readers.

Writers pass a turnstile in the order in which they came, then `BEGIN IMMEDIATE`; a transaction is short and never open
while the network or a script works.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, create_engine, event, insert, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from revscript.errors import StoreError, Unstorable
from revscript.store.migrate import migrate
from revscript.store.schema import meta

BUSY_TIMEOUT = 30  # s that another process (a command beside the host) may hold the write lock


class Turnstile:
    """A lock that is passed in the order of arrival; `threading.Lock` lets a hungry thread starve others."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False
        self._inside: int | None = None

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._inside == me:
            raise RuntimeError("a write inside a write would wait for itself for ever")
        with self._guard:
            turn = threading.Lock() if self._taken else None
            self._taken = True
            if turn:
                turn.acquire()
                self._waiting.append(turn)
        if turn:
            turn.acquire()  # released by the one before us, which leaves `_taken` to us
        self._inside = me

    def __exit__(self, *_: object) -> None:
        self._inside = None
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Database:
    """An open store. `path` is created and brought to the newest schema when needed; StoreError otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turnstile = Turnstile()
        self._data_version: int | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # mails are nobody else's business; SQLite gives its other files the same rights
        # One connection writes, always the same: its page cache stays valid. Of the readers the warmest comes first.
        self._writer = _engine(path, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self.engine = _engine(path, "BEGIN", pool_size=8, max_overflow=64, pool_use_lifo=True)
        with self._translated():
            migrate(self._writer)
            self.instance_id = self._instance_id()

    def _instance_id(self) -> str:
        with self.write() as tx:
            found = tx.scalar(select(meta.c.value).where(meta.c.name == "instance_id"))
            if found is None:
                found = secrets.token_hex(8)
                tx.execute(insert(meta).values(name="instance_id", value=found))
            return found

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A write transaction; committed at the end, rolled back by an exception. Keep it short."""
        with self._translated(), self._turnstile, self._writer.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A consistent view of the last committed state."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    def others_committed(self) -> bool:
        """Whether another process has committed since the last call; StoreError when that cannot be told.

        Asked on the connection that writes, so that our own commits do not count, and beside SQLAlchemy's transactions,
        inside which `PRAGMA data_version` would freeze.
        """
        with self._translated(), self._turnstile:
            raw = self._writer.raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute("PRAGMA data_version")
                (version,) = cursor.fetchone() or (0,)
                cursor.close()
            finally:
                raw.close()
        before, self._data_version = self._data_version, version
        return before is not None and before != version

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (DataError, IntegrityError) as error:
            raise Unstorable(
                f"{self.path}: {error.orig}", hint="If the disk has room, this is a fault of revscript: see the log."
            ) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if _spoils_connections(cause):
                self.close()  # the next use makes new ones
            raise StoreError(
                f"{self.path}: {cause}", hint="Check that the disk has room and that the data folder can be written."
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._writer.dispose()


def inserted(result: CursorResult[Any]) -> int:
    """The id of the row that an INSERT has made."""
    key: Any = result.inserted_primary_key
    return int(key[0])


def _spoils_connections(error: BaseException | None) -> bool:
    """Whether connections keep failing after this although its cause is gone: file handles that lost their files."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, see sqlite.org/rescode.html
    return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _engine(path: Path, begin: str, **pool: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", hide_parameters=True, poolclass=QueuePool, pool_timeout=BUSY_TIMEOUT, **pool
    )
    event.listen(engine, "connect", _set_up)

    def say(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", say)
    return engine
