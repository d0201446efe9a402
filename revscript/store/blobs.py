"""Content-addressed blobs in rows of at most 1 MiB.

Large content is staged first: full rows are written each in a transaction of their own, so that no other commit waits
for them. The head row and the small rest are written by `keep`, inside the transaction that refers to the blob: a
crash in between leaves rows without a head, which `sweep` removes. A blob that nobody needs any more loses its head
first (`retention.py`), its rows go the same way.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from revscript.errors import StoreError
from revscript.store.database import Database
from revscript.store.schema import blob, blob_chunk

CHUNK = 1 << 20
SMALL_TAIL = 64 << 10  # a rest up to this size rides in the referring transaction instead of one of its own
SWEEP_BATCH = 4  # rows of up to 1 MiB that are removed in one transaction: a few ms

# Built once: on the way of every mail, building a statement takes longer than running it.
_by_content = select(blob.c.id).where(blob.c.sha256 == bindparam("sha256"))
_unstage = delete(blob_chunk).where(blob_chunk.c.blob_id == bindparam("of"))
_chunk = (
    select(blob.c.size, blob_chunk.c.data)
    .outerjoin(blob_chunk, (blob_chunk.c.blob_id == blob.c.id) & (blob_chunk.c.seq == bindparam("seq")))
    .where(blob.c.id == bindparam("blob_id"))
)
_orphans = (
    select(blob_chunk.c.blob_id, blob_chunk.c.seq)
    .where(~select(blob.c.id).where(blob.c.id == blob_chunk.c.blob_id).exists())
    .order_by(blob_chunk.c.blob_id, blob_chunk.c.seq)
)
_has_head = select(blob.c.id).where(blob.c.id == bindparam("of"))


class BlobMissing(StoreError):
    """Content that a row refers to is not in the database, or not all of it."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class StagedBlob:
    """Content whose full rows are durable; `tail` (with its `seq`) still has to be written by `keep`.

    As long as somebody holds it, `sweep` leaves its rows alone.
    """

    blob_id: int
    sha256: str
    size: int
    tail: bytes
    seq: int


class Blobs:
    """The blobs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._being_staged: set[int] = set()
        self._staged: weakref.WeakValueDictionary[int, StagedBlob] = weakref.WeakValueDictionary()

    def stage(self, pieces: Iterable[bytes]) -> StagedBlob:
        """Take in content piece by piece; at most 1 MiB plus one piece is in memory."""
        blob_id = secrets.randbits(62) + 1
        with self._guard:
            self._being_staged.add(blob_id)
        try:
            staged = self._stage(blob_id, pieces)
            with self._guard:
                self._staged[blob_id] = staged
            return staged
        except BaseException:  # a broken fetch, repeated for hours, must not fill the disk
            with contextlib.suppress(StoreError), self._database.write() as tx:
                tx.execute(_unstage, {"of": blob_id})
            raise
        finally:
            with self._guard:
                self._being_staged.discard(blob_id)

    def _stage(self, blob_id: int, pieces: Iterable[bytes]) -> StagedBlob:
        digest, size, seq, buffer = hashlib.sha256(), 0, 0, bytearray()
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            buffer += piece
            while len(buffer) >= CHUNK:
                self._write_chunk(blob_id, seq, bytes(buffer[:CHUNK]))
                del buffer[:CHUNK]
                seq += 1
        if len(buffer) > SMALL_TAIL:
            self._write_chunk(blob_id, seq, bytes(buffer))
            buffer.clear()
        return StagedBlob(blob_id, digest.hexdigest(), size, bytes(buffer), seq)

    def _write_chunk(self, blob_id: int, seq: int, data: bytes) -> None:
        with self._database.write() as tx:
            tx.execute(insert(blob_chunk), {"blob_id": blob_id, "seq": seq, "data": data})

    def keep(self, tx: Connection, staged: StagedBlob, now: datetime) -> int:
        """Make the staged content a blob, inside the transaction that refers to it → blob id.

        The same content is stored once: rows that were staged for nothing go.
        """
        known = tx.scalar(_by_content, {"sha256": staged.sha256})
        if known is not None:
            if known != staged.blob_id and (staged.seq or not staged.tail):
                tx.execute(_unstage, {"of": staged.blob_id})
            return known
        if staged.tail:
            tx.execute(insert(blob_chunk), {"blob_id": staged.blob_id, "seq": staged.seq, "data": staged.tail})
        head = {"id": staged.blob_id, "sha256": staged.sha256, "size": staged.size, "created_at": now}
        tx.execute(insert(blob), head)
        return staged.blob_id

    def chunks(self, blob_id: int) -> Iterator[bytes]:
        """The content in rows, each read by itself: no transaction stays open between them.

        Raises BlobMissing when there is no such blob, or when a row of it is missing.
        """
        done = 0
        for seq in itertools.count():
            with self._database.read() as tx:
                row = tx.execute(_chunk, {"blob_id": blob_id, "seq": seq}).one_or_none()
            if row is None or (row.data is None and done < row.size):
                raise BlobMissing(
                    f"Blob {blob_id} is not in the database, or not whole: {done} bytes of it were found.",
                    hint="The database is damaged, or somebody changed it by hand: restore it from a backup.",
                )
            if row.data is not None:
                yield row.data
                done += len(row.data)
            if done >= row.size:
                return

    def content(self, blob_id: int) -> bytes:
        """The whole content, for small blobs; BlobMissing as for `chunks`."""
        return b"".join(self.chunks(blob_id))

    def sweep(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Remove rows that have no head and that nobody in this process is about to give one → how many.

        Safe beside everything that this process stages. Other processes stage nothing.
        """
        with self._database.read() as tx:  # looking through all rows takes longer than anybody may hold the door
            suspects = [(row.blob_id, row.seq) for row in tx.execute(_orphans)]
        removed = 0
        for start in range(0, len(suspects), SWEEP_BATCH):
            if stopping():
                break
            removed += self._remove(suspects[start : start + SWEEP_BATCH])
        return removed

    def _remove(self, suspects: Sequence[tuple[int, int]]) -> int:
        removed = 0
        with self._database.write() as tx:
            for blob_id, seq in suspects:  # inside the door no head can appear between looking and removing
                if not self._is_staged(blob_id) and tx.scalar(_has_head, {"of": blob_id}) is None:
                    tx.execute(delete(blob_chunk).where(blob_chunk.c.blob_id == blob_id, blob_chunk.c.seq == seq))
                    removed += 1
        return removed

    def _is_staged(self, blob_id: int) -> bool:
        with self._guard:
            return blob_id in self._being_staged or blob_id in self._staged
