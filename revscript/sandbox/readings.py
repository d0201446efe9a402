"""What comes of reading jobs: their limits, their frames put together, and what no Reading may say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from revscript.jail import wire
from revscript.jail.confine import Limits
from revscript.jail.reading.model import Reading

READ_WALL = 30_000  # ms for reading or extracting, plus READ_WALL_PER_MIB for each MiB of the mail
READ_WALL_PER_MIB = 1000
READ_MEMORY = 256  # MiB for reading, plus four times the mail (sandbox.md §11)
SOME_DATE = "2000-01-01T00:00:00+00:00"  # a good one, in the place of none


def flaw(reading: Reading) -> str:
    """What is wrong with a Reading that keeps its limits, and would trip up whoever works with it."""
    if any(len(field) != 2 for field in reading.headers):
        return "a header field that is not name and value"
    try:
        date = datetime.fromisoformat(reading.date or SOME_DATE)
        good = date.tzinfo is not None and 1970 <= date.astimezone(UTC).year <= 2200
    except (ValueError, OverflowError):
        good = False
    return "" if good else "a date that is no plausible ISO 8601 with offset"


def pieces(frames: Iterator[Any]) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Split `piece, R, R, piece, R …` into (index, its R frames); stray frames belong to nobody."""
    ahead: list[wire.PieceFrame] = []

    def raw() -> Iterator[bytes]:
        for frame in frames:
            if isinstance(frame, wire.PieceFrame):
                ahead.append(frame)
                return
            if isinstance(frame, bytes):
                yield frame

    while True:
        if not ahead:
            for _ in raw():  # what the caller left unread
                pass
        if not ahead:
            return
        yield ahead.pop().index, raw()


def reading_limits(size: int) -> Limits:
    """Of reading a mail of that many bytes, or of extracting its attachments."""
    mib = (size >> 20) + 1
    wall = READ_WALL + READ_WALL_PER_MIB * mib
    return Limits(cpu=wall // 1000, memory=(READ_MEMORY + 4 * mib) << 20, wall=wall)
