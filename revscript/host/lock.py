"""One host an instance: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from revscript import __version__
from revscript.errors import ConfigError
from revscript.model import wall_clock
from revscript.snapshot import Instance

LOCK = "host.lock"
LOCK_PATIENCE = 0.5  # s


@contextmanager
def locked(instance: Instance) -> Generator[None]:
    """Hold the instance's lock; ConfigError when another host runs there or its data folder cannot be written."""
    try:
        instance.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        instance.data.chmod(0o700)  # it may have been there: mails are nobody else's business
        file = (instance.data / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(
            f"{instance.data}: {error.strerror}.", hint="The host's user must be able to write this folder."
        ) from error
    with file:
        _lock(file, instance)
        file.truncate(0)
        file.write(f"{os.getpid()} {__version__} {wall_clock().isoformat(timespec='seconds')}")
        file.flush()
        yield


def _lock(file: TextIO, instance: Instance) -> None:
    until = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() < until:
                time.sleep(0.05)  # `status` holds it for an instant when it looks
                continue
        file.seek(0)
        raise ConfigError(
            f"{instance.root}: a host runs here already (process {(file.read().split() or ['unknown'])[0]}).",
            hint="Stop it first, or use another folder with --instance.",
        )
