"""The one door for writing, and what others see."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from revscript.errors import StoreError
from revscript.host import WATCH_COMMITS, Stores
from revscript.store.database import Database, Turnstile
from revscript.store.schema import meta

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from sqlalchemy import insert
from revscript.store.database import Database
from revscript.store.schema import meta
database = Database(Path(sys.argv[1]))
with database.write() as tx:
    tx.execute(insert(meta).values(name="command", value="beside the host"))
database.close()
"""


def put(database: Database, name: str) -> None:
    with database.write() as tx:
        tx.execute(insert(meta).values(name=name, value=""))


def names(database: Database) -> set[str]:
    with database.read() as tx:
        return set(tx.scalars(select(meta.c.name))) - {"instance_id"}


def wait_for_queue(turnstile: Turnstile, length: int) -> None:
    until = time.monotonic() + 10
    while len(turnstile._waiting) != length:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_writers_pass_in_the_order_of_their_arrival(stores: Stores) -> None:
    database, turnstile, order = stores.database, stores.database._turnstile, list[int]()

    def write(number: int) -> None:
        with database.write():
            order.append(number)

    threads = [threading.Thread(target=write, args=[number]) for number in range(12)]
    with database.write():
        for waiting, thread in enumerate(threads, start=1):
            thread.start()
            wait_for_queue(turnstile, waiting)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(12))


def test_a_writer_who_comes_back_at_once_queues_up_behind_the_others() -> None:
    turnstile, order = Turnstile(), list[str]()

    def patient() -> None:
        with turnstile:
            order.append("patient")

    thread = threading.Thread(target=patient)
    with turnstile:
        thread.start()
        wait_for_queue(turnstile, 1)
    with turnstile:
        order.append("hungry")
    thread.join()
    assert order == ["patient", "hungry"]


def test_one_at_a_time() -> None:
    turnstile, inside, most = Turnstile(), 0, 0

    def pass_through(_: int) -> None:
        nonlocal inside, most
        with turnstile:
            inside += 1
            most = max(most, inside)
            time.sleep(0)
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pass_through, range(2000)))
    assert most == 1
    assert not turnstile._taken
    assert not turnstile._waiting


def test_a_write_inside_a_write_fails_instead_of_waiting_for_itself(stores: Stores) -> None:
    with stores.database.write(), pytest.raises(RuntimeError, match="inside a write"):
        put(stores.database, "inner")
    put(stores.database, "next")
    assert names(stores.database) == {"next"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_rolls_back_and_leaves_the_door_open(stores: Stores, error: type[BaseException]) -> None:
    def fail() -> None:
        with stores.database.write() as tx:
            tx.execute(insert(meta).values(name="half", value=""))
            raise error

    with pytest.raises(error):
        fail()
    assert names(stores.database) == set()
    put(stores.database, "next")
    assert names(stores.database) == {"next"}


def test_the_librarys_errors_are_translated_and_rolled_back(stores: Stores) -> None:
    def twice() -> None:
        with stores.database.write() as tx:
            for _ in range(2):
                tx.execute(insert(meta).values(name="same", value=""))

    with pytest.raises(StoreError, match="UNIQUE"):
        twice()
    assert names(stores.database) == set()


def test_readers_see_one_committed_state_and_wait_for_nobody(stores: Stores) -> None:
    with stores.database.read() as reader:
        assert reader.scalars(select(meta.c.name)).all() == ["instance_id"]
        with stores.database.write() as tx:
            tx.execute(insert(meta).values(name="new", value=""))
            assert names(stores.database) == set()
        assert reader.scalars(select(meta.c.name)).all() == ["instance_id"]
    assert names(stores.database) == {"new"}


def test_a_commit_of_another_process_is_noticed_within_a_second(stores: Stores) -> None:
    assert not stores.database.others_committed()
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, str(stores.database.path)], check=True)
    assert stores.database.others_committed()  # at the host's very next look
    assert WATCH_COMMITS < 1
    assert not stores.database.others_committed()
    assert names(stores.database) == {"command"}


def test_our_own_commits_are_no_news(stores: Stores) -> None:
    assert not stores.database.others_committed()
    put(stores.database, "own")
    assert not stores.database.others_committed()


def test_nobody_else_may_read_the_store(tmp_path: Path) -> None:
    database = Database(tmp_path / "new" / "revscript.db")
    put(database, "x")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    database.close()


# ---------------------------------------------------------------- read only


def test_who_only_reads_makes_and_writes_nothing(stores: Stores) -> None:
    path = stores.database.path
    with pytest.raises(StoreError, match="unable to open"):
        Database(path.with_name("other.db"), read_only=True)
    assert not path.with_name("other.db").exists()
    put(stores.database, "new")
    reader = Database(path, read_only=True)
    assert reader.instance_id == stores.database.instance_id
    assert names(reader) == {"new"}
    put(stores.database, "newer")
    assert names(reader) == {"new", "newer"}
    with pytest.raises(StoreError, match="readonly"):
        put(reader, "x")
    reader.close()


def test_who_only_reads_does_not_bring_an_old_schema_up(tmp_path: Path) -> None:
    path = tmp_path / "revscript.db"
    database = Database(path)
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 0001, this revscript reads 0002") as refusal:
        Database(path, read_only=True)
    assert "revscript run" in refusal.value.hint
    assert path.read_bytes() == before
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="schema none"):
        Database(tmp_path / "empty.db", read_only=True)


def test_into_a_file_that_is_gone_nothing_is_written(stores: Stores) -> None:
    database, aside = stores.database, stores.database.path.with_name("aside")
    assert database.replaced() == ""
    database.path.rename(aside)
    assert "was removed while it was in use" in database.replaced()
    with pytest.raises(StoreError, match="not the file any more"), database.write():
        pass
    shutil.copy(aside, database.path)
    assert "was replaced while it was in use" in database.replaced()
    aside.replace(database.path)
    assert database.replaced() == ""
    with database.write():
        pass
