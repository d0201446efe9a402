"""Gapless numbers: drawn from a head row inside the commit, never by max()+1 (domain.md §4)."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from revscript.store.schema import register_head

POST = 0  # the post's own register, for what belongs to no mission


def draw(tx: Connection, mission_id: int, book: str) -> int:
    """The next number of a book; a rolled-back commit gives it back."""
    here = (register_head.c.mission_id == mission_id, register_head.c.book == book)
    number = tx.scalar(select(register_head.c.next_no).where(*here))
    if number is None:
        tx.execute(insert(register_head), {"mission_id": mission_id, "book": book, "next_no": 2})
        return 1
    tx.execute(update(register_head).where(*here).values(next_no=number + 1))
    return number
