"""Raw mail to Reading, and the raw bytes of its attachments: the reader's front door.

SECURITY: runs in a confined child. Whatever the mail holds, the result is a Reading that keeps the model's
limits; what could not be understood is a defect in words. Only MemoryError and RecursionError leave: after
them nothing in this process can be trusted, and the host asks a fresh child for `read_head`. Raw bytes are
read in chunks, files are decoded in pieces: beside the parser's one copy of the mail only a few MiB are in
use.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from revscript.jail.limits import conform_fields
from revscript.jail.reading import body, charsets, flags, parts, structure
from revscript.jail.reading.clean import Defects
from revscript.jail.reading.headers import Headers
from revscript.jail.reading.model import MAX_PARTS, Reading
from revscript.jail.reading.params import Field
from revscript.jail.reading.sample import SAMPLE
from revscript.jail.reading.transfer import chopped
from revscript.jail.wire import MAX_RAW_FRAME

HEAD_BYTES = 64 << 10  # what `read_head` looks at
MAX_MAIL = 1 << 40  # bytes; only says "all of it"


def read(source: BinaryIO, size: int) -> Reading:
    """Read the mail in the first `size` bytes of `source` (seekable, at its start).

    Raises MemoryError and RecursionError only; the caller treats both as the reader's death.
    """
    return read_with_files(source, size, 0)[0]


def read_with_files(source: BinaryIO, size: int, most: int) -> tuple[Reading, dict[int, bytes]]:
    """`read`, and the small attachments with it, by index: those that fit into `most` bytes together.

    Most mails have small files only, and it spares taking the mail apart once more.
    """
    try:
        reading, files = _read(source, size, most)
        conform_fields(reading)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001  a mistake of ours must not lose a mail: header lines remain
        source.seek(0)
        return _read_head(source, f"the reader failed ({type(error).__name__}), only header lines were read"), {}
    return reading, files


def read_head(source: BinaryIO) -> Reading:
    """The Reading of a mail that kills the reader: header lines from its first 64 KiB, no text, no files."""
    return _read_head(source, "the mail could not be read, only its header lines were")


def extract(source: BinaryIO, indexes: Iterable[int]) -> Iterator[tuple[int, Iterator[bytes]]]:
    """The decoded bytes of the attachments with these indexes of `Reading.attachments`, in pieces of ≤ 1 MiB.

    `source` is the whole raw mail, at its start. Each attachment's pieces must be used up before the next one
    is asked for; unknown indexes are left out.
    """
    defects = Defects()
    files = structure.choose(parts.parse(source, MAX_MAIL, defects), defects).files[:MAX_PARTS]
    for index in indexes:
        if 0 <= index < len(files):
            yield index, chopped(body.content(files[index], defects), MAX_RAW_FRAME)


def warm_up() -> None:
    """Load everything that a mail can ask for, by reading an invented mail; later imports are impossible."""
    charsets.warm_up()
    source = io.BytesIO(SAMPLE)
    reading = read(source, len(SAMPLE))
    source.seek(0)
    read_head(source)
    source.seek(0)
    for _, pieces in extract(source, range(len(reading.attachments))):
        list(pieces)


def _read(source: BinaryIO, size: int, most: int) -> tuple[Reading, dict[int, bytes]]:
    defects = Defects()
    root = parts.parse(source, size, defects)
    headers = Headers(root.fields, defects)
    chosen = structure.choose(root, defects)
    found: dict[str, Any] = headers.read() | flags.find(headers, root.kind)
    text, page = body.bodies(chosen, defects)
    small = body.SmallFiles(most)
    files = body.attachments(chosen, page, defects, small)
    return Reading(text=text, html=page, attachments=files, defects=defects.texts(), **found), small.found


def _read_head(source: BinaryIO, why: str) -> Reading:
    defects = Defects()
    defects.add(why)
    headers = Headers(_fields(parts.tidy(source.read(HEAD_BYTES), defects)), defects)
    found: dict[str, Any] = headers.read()
    found |= flags.find(headers, Field(headers.raw("content-type").partition(";")[0].strip().lower()))
    reading = Reading(fallback=True, defects=defects.texts(), **found)
    conform_fields(reading)
    return reading


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Split header lines at their colons, by hand: nothing of the real reader may be needed here."""
    fields: list[tuple[str, str]] = []
    for line in head.splitlines():
        text = line.decode("ascii", "surrogateescape")
        name, colon, value = text.partition(":")
        if not text or len(fields) >= parts.MAX_FIELDS:
            break
        if text[0] in " \t":
            if fields:
                fields[-1] = (fields[-1][0], fields[-1][1] + text)
        elif colon and name.strip():
            fields.append((name.strip(), value.lstrip()))
    return fields
