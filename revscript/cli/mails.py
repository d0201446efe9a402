"""Mail files on the command line: read in the jail, like the mails of a mailbox."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from revscript.cli.output import complain
from revscript.config import Settings
from revscript.host import sandbox_for
from revscript.jail.reading.model import Reading
from revscript.sandbox import ReaderDied, Sandbox

PIECE = 1 << 20  # bytes read at once
MB = 1_000_000


@contextmanager
def jail(settings: Settings) -> Generator[Sandbox]:
    """A sandbox for as long as a command needs one."""
    sandbox = sandbox_for(settings)
    try:
        yield sandbox
    finally:
        sandbox.stop()


def readings(files: list[Path], sandbox: Sandbox, settings: Settings) -> Iterator[tuple[Path, Reading | None]]:
    """Read the files one after the other; None for one that cannot be opened, which is said at once."""
    for file in files:
        try:
            yield file, read_mail(file, sandbox, settings)
        except OSError as error:
            complain(f"{file}: {error.strerror or error}")
            yield file, None


def read_mail(file: Path, sandbox: Sandbox, settings: Settings) -> Reading:
    """The file's Reading; the header lines only of a mail that is too large, or that kills the reader."""
    size = file.stat().st_size
    if size > settings.reading_limit * MB:
        return _head(file, sandbox, f"larger than {settings.reading_limit} MB: not taken apart")
    try:
        return sandbox.read(_pieces(file), size)
    except ReaderDied as died:
        return _head(file, sandbox, f"the reader died of it ({died})")


def _head(file: Path, sandbox: Sandbox, why: str) -> Reading:
    try:
        head = sandbox.read([next(_pieces(file), b"")], PIECE, headers_only=True)
    except ReaderDied:
        head = Reading()
    return replace(head, fallback=True, defects=(f"not read: {why}"[:300], *head.defects))


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece
