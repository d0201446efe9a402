"""A mail in a memory file that nobody can change any more: host and child share it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from revscript.errors import JailBroken


@contextmanager
def memory_file(pieces: Iterable[bytes]) -> Generator[int]:
    """A sealed memory file with the content → its descriptor; nobody can change it afterwards, not even we."""
    try:
        descriptor = os.memfd_create("mail", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise JailBroken(f"There is no memory file for the mail: {error}") from error
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield descriptor
    finally:
        os.close(descriptor)
