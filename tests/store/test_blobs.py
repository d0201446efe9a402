"""Content in rows of at most 1 MiB, stored once, whatever dies in between."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, event, func, select

from revscript.host import Stores
from revscript.store.blobs import CHUNK, SMALL_TAIL, SWEEP_BATCH, BlobMissing, StagedBlob
from revscript.store.schema import blob, blob_chunk
from tests.store.kit import NOW, count


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def keep(stores: Stores, staged: StagedBlob) -> int:
    with stores.database.write() as tx:
        return stores.blobs.keep(tx, staged, NOW)


def lengths(stores: Stores, blob_id: int) -> list[int]:
    query = select(func.length(blob_chunk.c.data)).where(blob_chunk.c.blob_id == blob_id).order_by(blob_chunk.c.seq)
    with stores.database.read() as tx:
        return list(tx.scalars(query))


@pytest.mark.parametrize(
    ("size", "staged", "kept"),
    [
        (0, [], []),
        (1, [], [1]),
        (SMALL_TAIL, [], [SMALL_TAIL]),
        (SMALL_TAIL + 1, [SMALL_TAIL + 1], [SMALL_TAIL + 1]),
        (CHUNK - 1, [CHUNK - 1], [CHUNK - 1]),
        (CHUNK, [CHUNK], [CHUNK]),
        (CHUNK + 1, [CHUNK], [CHUNK, 1]),
        (3 * CHUNK + 7, [CHUNK] * 3, [CHUNK] * 3 + [7]),
    ],
)
def test_rows(stores: Stores, size: int, staged: list[int], kept: list[int]) -> None:
    """Large rows are written ahead, the small rest with the head."""
    data = content(size)
    pieces = [data[start : start + 99_991] for start in range(0, size, 99_991)]
    ahead = stores.blobs.stage(pieces)
    assert lengths(stores, ahead.blob_id) == staged
    assert keep(stores, ahead) == ahead.blob_id
    assert lengths(stores, ahead.blob_id) == kept
    assert stores.blobs.content(ahead.blob_id) == data


def test_one_large_piece_is_cut(stores: Stores) -> None:
    kept = keep(stores, stores.blobs.stage([content(2 * CHUNK + SMALL_TAIL + 5)]))
    assert lengths(stores, kept) == [CHUNK, CHUNK, SMALL_TAIL + 5]


def test_the_same_content_is_stored_once(stores: Stores) -> None:
    data = content(CHUNK + 5)
    first = keep(stores, stores.blobs.stage([data]))
    again = stores.blobs.stage([data[:10], data[10:]])
    assert keep(stores, again) == first
    assert count(stores, blob) == 1
    assert keep(stores, stores.blobs.stage([data, b"!"])) != first


def test_the_head_and_the_rest_belong_to_the_referring_transaction(stores: Stores) -> None:
    staged = stores.blobs.stage([content(CHUNK + 5)])

    def fail() -> None:
        with stores.database.write() as tx:
            stores.blobs.keep(tx, staged, NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert count(stores, blob) == 0
    assert lengths(stores, staged.blob_id) == [CHUNK]
    keep(stores, staged)
    assert lengths(stores, staged.blob_id) == [CHUNK, 5]


def test_sweep_removes_what_has_no_head_and_only_that(stores: Stores) -> None:
    kept = {keep(stores, stores.blobs.stage([data])): data for data in (b"", b"small", content(CHUNK + 5))}
    for seed in range(SWEEP_BATCH + 3):
        stores.blobs.stage([content(SMALL_TAIL + 1, seed)])
    twin = stores.blobs.stage([content(CHUNK + 5)])
    assert keep(stores, twin) != twin.blob_id  # its rows went at once
    assert stores.blobs.sweep() == SWEEP_BATCH + 3
    assert stores.blobs.sweep() == 0
    assert {blob_id: stores.blobs.content(blob_id) for blob_id in kept} == kept


def test_sweep_leaves_alone_what_is_staged_and_held(stores: Stores) -> None:
    """As long as somebody may still give it a head; what a broken-off try drops goes with the next sweep."""
    held = stores.blobs.stage([content(CHUNK + 5)])
    dropped = stores.blobs.stage([content(CHUNK + 7)])
    assert stores.blobs.sweep() == 0
    dropped_id = dropped.blob_id
    del dropped
    assert stores.blobs.sweep() == 1
    assert lengths(stores, dropped_id) == []
    assert stores.blobs.content(keep(stores, held)) == content(CHUNK + 5)


def test_sweep_beside_a_fetch_that_goes_on(stores: Stores) -> None:
    swept: list[int] = []

    def slowly() -> Iterator[bytes]:
        for _ in range(3):
            yield content(CHUNK)
            swept.append(stores.blobs.sweep())

    staged = stores.blobs.stage(slowly())
    assert swept == [0, 0, 0]
    assert stores.blobs.content(keep(stores, staged)) == content(CHUNK) * 3


def test_sweep_beside_many_that_stage_and_keep(stores: Stores) -> None:
    """Nothing that was kept is ever gone, however the threads meet."""
    kept: dict[int, bytes] = {}
    stop = threading.Event()

    def receive(seed: int) -> None:
        for number in range(15):
            data = content(CHUNK + number, 100 * seed + number)
            kept[keep(stores, stores.blobs.stage([data]))] = data

    def sweep() -> None:
        while not stop.is_set():
            stores.blobs.sweep()

    sweeper = threading.Thread(target=sweep)
    threads = [threading.Thread(target=receive, args=(seed,)) for seed in range(3)]
    for thread in (sweeper, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    sweeper.join()
    assert len(kept) == 45
    assert all(stores.blobs.content(blob_id) == data for blob_id, data in kept.items())


def test_a_sweep_that_is_told_to_stop(stores: Stores) -> None:
    for seed in range(2 * SWEEP_BATCH):
        stores.blobs.stage([content(SMALL_TAIL + 1, seed)])
    asked = iter((False, True))
    assert stores.blobs.sweep(lambda: next(asked)) == SWEEP_BATCH


@pytest.mark.parametrize("gone", ["head", "first", "second", "last"])
def test_a_blob_that_is_not_whole_is_never_passed_off_as_one(stores: Stores, gone: str) -> None:
    kept = keep(stores, stores.blobs.stage([content(2 * CHUNK + SMALL_TAIL + 5)]))
    with stores.database.write() as tx:
        if gone == "head":
            tx.execute(delete(blob))
        else:
            tx.execute(delete(blob_chunk).where(blob_chunk.c.seq == ["first", "second", "last"].index(gone)))
    with pytest.raises(BlobMissing, match=f"Blob {kept} is not in the database, or not whole"):
        stores.blobs.content(kept)


def test_an_empty_blob_is_a_blob(stores: Stores) -> None:
    assert stores.blobs.content(keep(stores, stores.blobs.stage([]))) == b""
    with pytest.raises(BlobMissing):
        stores.blobs.content(1)


def test_a_broken_fetch_leaves_nothing_behind(stores: Stores) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield content(3 * CHUNK)
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        stores.blobs.stage(breaks_off())
    assert stores.blobs.sweep() == 0


def test_45_mb_hold_nobody_up(stores: Stores) -> None:
    """No transaction holds more than one row; everybody else gets in between."""
    held: list[int] = []

    @event.listens_for(stores.database._writer, "before_cursor_execute")
    def _watch(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("BEGIN"):
            held.append(0)
        held[-1] += sum(memoryview(value).nbytes for value in parameters if not isinstance(value, (str, int)))

    size = 45_000_000
    staged = stores.blobs.stage(content(100_000) for _ in range(450))
    keep(stores, staged)
    assert (max(held), sum(held), staged.size) == (CHUNK, size, size)
    assert len(held) == size // CHUNK + 2
