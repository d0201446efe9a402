"""Snapshots: the state of an instance's files at one moment."""

from __future__ import annotations

from revscript.config import Secrets
from revscript.snapshot.compose import compose
from revscript.snapshot.files import MAX_FILE, read_files
from revscript.snapshot.model import Assembled, Instance, Script, Snapshot, alone

__all__ = ["MAX_FILE", "Assembled", "Instance", "Script", "Snapshot", "alone", "compose", "load_snapshot", "read_files"]


def load_snapshot(instance: Instance, secrets: Secrets | None = None) -> Snapshot:
    """Read all files of the instance; whatever is wrong with them is among the `findings`, never raised.

    Scripts are taken as they lie there: whether they can run, and what they import, only the jail can tell
    (`revscript.reload.load`).
    """
    files = read_files(instance, secrets)
    return compose(files, alone(files.texts))
