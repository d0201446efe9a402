"""Content in rows of at most 1 MiB, stored once, whatever dies in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, func, select

from revscript.host import Stores
from revscript.store.blobs import CHUNK, SMALL_TAIL, SWEEP_BATCH, StagedBlob
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
    known = next(iter(kept.values()))
    for seed in range(SWEEP_BATCH + 10):
        stores.blobs.stage([content(SMALL_TAIL + 1, seed)])
    twin = stores.blobs.stage([content(CHUNK + 5)])
    assert keep(stores, twin) != twin.blob_id  # its rows went at once
    assert stores.blobs.sweep() == SWEEP_BATCH + 10
    assert stores.blobs.sweep() == 0
    assert {blob_id: stores.blobs.content(blob_id) for blob_id in kept} == kept
    assert known == b""


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
