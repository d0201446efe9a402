"""Writing a file as a whole: who reads it sees the old content or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a text file by way of a temporary one beside it; on the disk when this returns.

    Without `replace`, FileExistsError where there is one already. OSError when it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name.lstrip('.')}.", suffix=".tmp", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            _place(Path(name), path)
    finally:
        Path(name).unlink(missing_ok=True)
    _sync_folder(path.parent)


def _place(whole: Path, path: Path) -> None:
    """Give the file its name, unless there is one of that name."""
    try:
        os.link(whole, path)  # unlike a rename it fails where there is a file
    except FileExistsError:
        raise
    except OSError:  # file systems without hard links: the name is taken first, for an instant by an empty file
        path.open("x").close()
        os.replace(whole, path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
