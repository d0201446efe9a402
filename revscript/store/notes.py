"""Short notes that the host leaves to its next start, as rows of `meta`."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from revscript.store.database import Database
from revscript.store.schema import meta


def read_note(database: Database, name: str) -> str | None:
    """What was noted last under this name; StoreError when the store cannot be used."""
    with database.read() as tx:
        return tx.scalar(select(meta.c.value).where(meta.c.name == name))


def write_note(database: Database, name: str, value: str) -> None:
    """Note it instead of what stood there; StoreError when the store cannot be used."""
    row = upsert(meta).values(name=name, value=value)
    with database.write() as tx:
        tx.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
