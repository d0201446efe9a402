"""Care for the database file hinders nobody."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from revscript.errors import StoreError
from revscript.host import Stores
from revscript.store import upkeep
from tests.store.kit import NOW

BIG = b"x" * (upkeep.LARGE_WAL + (4 << 20))


def fill(stores: Stores) -> int:
    """A log that is large, all of it still needed or not."""
    with stores.database.read() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM blob")  # holds the log's beginning: it cannot start anew
        staged = stores.blobs.stage([BIG])
        with stores.database.write() as tx:
            return stores.blobs.keep(tx, staged, NOW)


def test_a_large_log_is_cut_and_nothing_is_lost(stores: Stores) -> None:
    kept = fill(stores)
    before = upkeep.sizes(stores.database)
    assert before.wal > upkeep.LARGE_WAL
    assert upkeep.checkpoint(stores.database)
    after = upkeep.sizes(stores.database)
    assert after.wal == 0
    assert after.database > len(BIG)
    assert stores.blobs.content(kept) == BIG


def test_a_small_log_is_left_alone(stores: Stores) -> None:
    stores.blobs.stage([b"x" * 2_000_000])
    before = upkeep.sizes(stores.database)
    assert not upkeep.checkpoint(stores.database)
    assert upkeep.sizes(stores.database) == before


def test_it_waits_for_no_writer_and_for_no_reader(stores: Stores) -> None:
    """Neither is kept up; the next time does it."""
    fill(stores)
    with closing(sqlite3.connect(stores.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not upkeep.checkpoint(stores.database)
        other.execute("INSERT INTO meta VALUES ('x', 'y')")
        other.execute("COMMIT")
        other.execute("BEGIN")
        other.execute("SELECT * FROM meta").fetchall()
        stores.blobs.stage([b"x" * 2_000_000])
        assert not upkeep.checkpoint(stores.database)
        other.execute("COMMIT")
    assert upkeep.checkpoint(stores.database)


def test_statistics(stores: Stores) -> None:
    upkeep.optimize(stores.database)
    with closing(sqlite3.connect(stores.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO meta VALUES ('x', 'y')")
        upkeep.optimize(stores.database)  # has nothing to do
        other.execute("COMMIT")


def test_a_database_that_is_gone_is_not_made_anew(stores: Stores) -> None:
    stores.database.close()
    stores.database.path.unlink()
    assert upkeep.sizes(stores.database).database == 0
    with pytest.raises(StoreError, match="unable to open database file"):
        upkeep.optimize(stores.database)
    assert not stores.database.path.exists()
