"""Brings a database to the newest schema by Alembic, from inside the package."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

from revscript.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST = "0002"  # revision of the last file in migrations/versions; a test holds both together


def migrate(engine: Engine) -> None:
    """Bring the schema to NEWEST; StoreError when a newer revscript has written the database."""
    current = _revision(engine)
    if current == NEWEST:
        return
    _refuse_newer(current)
    # Alembic takes 200 ms to import: only where there is something to do.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, NEWEST)


def refuse_other(engine: Engine) -> None:
    """StoreError unless the schema is NEWEST: for those who only read."""
    current = _revision(engine)
    _refuse_newer(current)
    if current != NEWEST:
        raise StoreError(
            f"The database has schema {current or 'none'}, this revscript reads {NEWEST}.",
            hint="The next start of `revscript run` brings it up to date.",
        )


def _refuse_newer(current: str | None) -> None:
    if current is not None and current > NEWEST:
        raise StoreError(
            f"The database has schema {current}, this revscript knows up to {NEWEST}.",
            hint="A newer revscript has used this instance: start that version, or restore a backup.",
        )


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.scalar(text("SELECT version_num FROM alembic_version"))
