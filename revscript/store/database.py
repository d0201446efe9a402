"""The database file: one door for writing, any number of readers.

Writers pass a turnstile in the order in which they came, then `BEGIN IMMEDIATE`; a transaction is short and never open
while the network or a script works.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, create_engine, event, insert, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from revscript.errors import StoreError, Unstorable
from revscript.store.migrate import migrate, refuse_other
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
    """An open store. `path` is created and brought to the newest schema when needed; StoreError otherwise.

    With `read_only` nothing is made, brought up or written: `path` must be there with the newest schema.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._turnstile = Turnstile()
        self._data_version: int | None = None
        self._lost = False
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # mails are nobody else's business; SQLite gives its other files the same rights
        connect = partial(_to_read if read_only else _to_write, path)
        # One connection writes, always the same: its page cache stays valid. Of the readers the warmest comes first.
        self._writer = _engine(connect, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self.engine = _engine(connect, "BEGIN", pool_size=8, max_overflow=64, pool_use_lifo=True)
        with self._translated():
            if read_only:
                refuse_other(self.engine)
            else:
                migrate(self._writer)
            self.instance_id = self._instance_id()
        self._identity = _identity(path)

    def replaced(self) -> str:
        """Why the file that is open is not the one that lies there, empty when it is; asked every moment by the host.

        What is written into a file that nobody can open any more is lost at the next start: from then on nothing is
        written, so that no server is told of mails that are kept nowhere. It is over when the file is back.
        """
        found = _identity(self.path)
        self._lost = found != self._identity
        if not self._lost:
            return ""
        return f"{self.path} was {'replaced' if found else 'removed'} while it was in use: nothing is written any more."

    def _instance_id(self) -> str:
        with self.read() if self.read_only else self.write() as tx:
            found = tx.scalar(select(meta.c.value).where(meta.c.name == "instance_id"))
            if found is None and not self.read_only:
                found = secrets.token_hex(8)
                tx.execute(insert(meta).values(name="instance_id", value=found))
            return found or ""

    @contextmanager
    def write(self) -> Generator[Connection]:
        """A write transaction; committed at the end, rolled back by an exception. Keep it short."""
        if self._lost:
            raise StoreError(f"{self.path} is not the file any more that was opened.", hint="See `revscript status`.")
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
            hint = "Check that the disk has room and that the data folder can be written."
            if self.read_only and _code(cause) == sqlite3.SQLITE_CANTOPEN:
                hint = (
                    "What the last host wrote is still in files beside it, which cannot be used here: use the host's "
                    "user account, or copy the whole data folder to where you may write."
                )
            raise StoreError(f"{self.path}: {cause}", hint=hint) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._writer.dispose()


def inserted(result: CursorResult[Any]) -> int:
    """The id of the row that an INSERT has made."""
    key: Any = result.inserted_primary_key
    return int(key[0])


def _identity(path: Path) -> tuple[int, int] | None:
    """(device, inode); None when there is no such file. What cannot be told now counts as a failure of the store."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return found.st_dev, found.st_ino


def _spoils_connections(error: BaseException | None) -> bool:
    """Whether connections keep failing after this although its cause is gone: file handles that lost their files."""
    return _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)


def _code(error: BaseException | None) -> int:
    """The primary code of SQLite's error (sqlite.org/rescode.html), 0 when it is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


# Both without transactions of their own (`isolation_level`): we say BEGIN ourselves.


def _to_write(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _to_read(path: Path) -> sqlite3.Connection:
    """Even to read, SQLite needs files of its own beside the database (sqlite.org/wal.html, "Read-Only Databases").

    Where it may not make them and the last host has left nothing behind in its log, the database alone is all there is,
    and nobody changes it.
    """
    log = path.with_name(f"{path.name}-wal")
    alone = not os.access(path.parent, os.W_OK) and (not log.exists() or log.stat().st_size == 0)
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def _engine(connect: Callable[[], sqlite3.Connection], begin: str, **pool: Any) -> Engine:
    engine = create_engine(
        "sqlite://", creator=connect, hide_parameters=True, poolclass=QueuePool, pool_timeout=BUSY_TIMEOUT, **pool
    )

    def say(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", say)
    return engine
