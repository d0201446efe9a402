"""What the host and the commands beside it both open: the store and the jail of an instance."""

from __future__ import annotations

from dataclasses import dataclass

from revscript.commit import Commit
from revscript.config import Settings
from revscript.errors import StoreError
from revscript.jail.confine import Limits
from revscript.sandbox import Sandbox
from revscript.snapshot import Instance
from revscript.store.blobs import Blobs
from revscript.store.database import Database
from revscript.store.intake import Intake
from revscript.store.ledger import Ledger
from revscript.store.outbox import Outbox

DATABASE = "revscript.db"


@dataclass(frozen=True, slots=True)
class Stores:
    """The store of an instance, opened; also used by commands beside the host."""

    database: Database
    blobs: Blobs
    ledger: Ledger
    intake: Intake
    outbox: Outbox
    commit: Commit


def open_stores(instance: Instance, *, read_only: bool = False) -> Stores:
    """Open the instance's store, for those who only look `read_only`; StoreError when that fails."""
    try:
        database = Database(instance.data / DATABASE, read_only=read_only)
    except OSError as error:
        raise StoreError(f"{instance.data}: {error}") from error
    blobs = Blobs(database)
    ledger, outbox = Ledger(database, blobs), Outbox(database)
    commit = Commit(database, blobs, ledger, outbox)
    return Stores(database, blobs, ledger, Intake(database, blobs), outbox, commit)


def sandbox_for(settings: Settings) -> Sandbox:
    """The jail with the limits of the settings."""
    return Sandbox(limits_of(settings), settings.jail.children)


def limits_of(settings: Settings) -> Limits:
    """What a script may use."""
    jail = settings.jail
    return Limits(jail.cpu, jail.memory << 20, int(jail.wall * 1000))
