"""Alembic's entry: uses the connection that `revscript.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from revscript.store import record_tables, schema  # noqa: F401  # pyright: ignore[reportUnusedImport]  # fill it
from revscript.store.columns import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
