"""Content-addressed blobs in rows of at most 1 MiB.

Large content is staged first: full rows are written each in a transaction of their own, so that no other commit waits
for them. The head row and the small rest are written by `keep`, inside the transaction that refers to the blob: a
crash in between leaves rows without a head, which `sweep` removes at the next start.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from revscript.errors import StoreError
from revscript.store.database import Database
from revscript.store.schema import blob, blob_chunk

CHUNK = 1 << 20
SMALL_TAIL = 64 << 10  # a rest up to this size rides in the referring transaction instead of one of its own
SWEEP_BATCH = 50

# Built once: on the way of every mail, building a statement takes longer than running it.
_by_content = select(blob.c.id).where(blob.c.sha256 == bindparam("sha256"))
_unstage = delete(blob_chunk).where(blob_chunk.c.blob_id == bindparam("of"))
_chunk = select(blob_chunk.c.data).where(
    blob_chunk.c.blob_id == bindparam("blob_id"), blob_chunk.c.seq == bindparam("seq")
)


@dataclass(frozen=True, slots=True)
class StagedBlob:
    """Content whose full rows are durable; `tail` (with its `seq`) still has to be written by `keep`."""

    blob_id: int
    sha256: str
    size: int
    tail: bytes
    seq: int


class Blobs:
    """The blobs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stage(self, pieces: Iterable[bytes]) -> StagedBlob:
        """Take in content piece by piece; at most 1 MiB plus one piece is in memory."""
        blob_id = secrets.randbits(62) + 1
        try:
            return self._stage(blob_id, pieces)
        except BaseException:  # a broken fetch, repeated for hours, must not fill the disk
            with contextlib.suppress(StoreError), self._database.write() as tx:
                tx.execute(_unstage, {"of": blob_id})
            raise

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
        """The content in rows, each read by itself: no transaction stays open between them."""
        for seq in itertools.count():
            with self._database.read() as tx:
                data = tx.scalar(_chunk, {"blob_id": blob_id, "seq": seq})
            if data is not None:
                yield data
            if data is None or len(data) < CHUNK:
                return

    def content(self, blob_id: int) -> bytes:
        """The whole content; for small blobs."""
        return b"".join(self.chunks(blob_id))

    def sweep(self) -> int:
        """Remove rows whose head was never written → how many. Only while nothing is being staged."""
        orphans = (
            select(blob_chunk.c.blob_id, blob_chunk.c.seq)
            .where(~select(blob.c.id).where(blob.c.id == blob_chunk.c.blob_id).exists())
            .limit(SWEEP_BATCH)
        )
        removed = 0
        while True:
            with self._database.write() as tx:
                rows = tx.execute(orphans).all()
                for blob_id, seq in rows:
                    tx.execute(delete(blob_chunk).where(blob_chunk.c.blob_id == blob_id, blob_chunk.c.seq == seq))
            removed += len(rows)
            if len(rows) < SWEEP_BATCH:
                return removed
