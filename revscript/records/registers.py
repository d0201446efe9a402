"""Gapless numbers: drawn from a head row inside the commit, never by max()+1 (domain.md §4)."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from revscript.store.record_tables import register_head

POST = 0  # the post's own register, for what belongs to no mission

_here = (register_head.c.mission_id == bindparam("of"), register_head.c.book == bindparam("name"))
_next = select(register_head.c.next_no).where(*_here)
_drawn = update(register_head).where(*_here).values(next_no=register_head.c.next_no + 1)


def draw(tx: Connection, mission_id: int, book: str) -> int:
    """The next number of a book; a rolled-back commit gives it back."""
    here = {"of": mission_id, "name": book}
    number = tx.scalar(_next, here)
    if number is None:
        tx.execute(insert(register_head), {"mission_id": mission_id, "book": book, "next_no": 2})
        return 1
    tx.execute(_drawn, here)
    return number
