"""The watched folders, and how their files look from outside and inside.

A signature (names, inodes, sizes, times) is cheap, and right unless a file changed within one tick of the file system's
clock without changing its size. Digests of the contents are the truth.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from revscript.snapshot import Instance
from revscript.snapshot.files import is_script, is_table

Signature = dict[str, tuple[int, ...]]

MOST_BYTES = 2_000_000  # of a file that go into its digest: larger ones are refused anyway


@dataclass(frozen=True, slots=True)
class Place:
    """A watched folder, and which names in it count."""

    folder: Path
    counts: Callable[[str], bool]


def places(instance: Instance) -> tuple[Place, ...]:
    """All that is watched, each folder for itself: a recursive look at the root would see every database commit."""
    parts = {instance.settings.name, instance.accounts.name, instance.user_scripts.name, instance.secrets.name}
    return (
        Place(instance.root, parts.__contains__),
        Place(instance.accounts, lambda name: name.endswith(".json") and name[0] not in "._"),
        Place(instance.user_scripts, lambda name: is_script(name) or name == instance.tables.name),
        Place(instance.tables, is_table),
        Place(instance.secrets, lambda name: not name.startswith(".")),
    )


def identity(folder: Path) -> tuple[int, int] | None:
    """(device, inode) of a folder; None when there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def signature(watched: Iterable[Place]) -> Signature:
    """Path → what `stat` says of it; a folder by its identity only, because its times change with every lock file."""
    found: Signature = {}
    for path in _files(watched):
        try:
            seen = path.stat()
        except OSError as error:
            found[str(path)] = (error.errno or 0,)
            continue
        look = (seen.st_dev, seen.st_ino, seen.st_mode)
        is_file = stat.S_ISREG(seen.st_mode)
        found[str(path)] = (*look, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) if is_file else look
    return found


def digest(watched: Iterable[Place], more: Iterable[Path] = ()) -> bytes:
    """A hash over the contents of all files, and of some `more` (`ca_file`)."""
    whole = hashlib.sha256()
    for path in [*_files(watched), *sorted(more)]:
        whole.update(str(path).encode(errors="surrogateescape") + b"\0" + _content_hash(path))
    return whole.digest()


def _files(watched: Iterable[Place]) -> Iterator[Path]:
    for place in watched:
        try:
            names = sorted(name for name in os.listdir(place.folder) if place.counts(name))
        except OSError:
            continue
        yield from (place.folder / name for name in names)


def _content_hash(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MOST_BYTES)).digest()
    except OSError as error:
        return str(error.errno).encode()
