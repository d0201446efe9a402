"""The chosen parts as text and HTML, and the files with their sizes and hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from revscript.jail.reading import charsets, names, structure, types
from revscript.jail.reading.clean import Defects, fit, many_lines, one_line, wire_size
from revscript.jail.reading.html_text import to_text
from revscript.jail.reading.model import MAX_BODY, MAX_PARTS, Attachment
from revscript.jail.reading.params import token
from revscript.jail.reading.parts import Part
from revscript.jail.reading.structure import Structure
from revscript.jail.reading.transfer import decoded

MAX_BODY_BYTES = 4 * MAX_BODY  # of one part, decoded; no charset needs more bytes for a character
MAX_BODY_WIRE = 2_000_000  # bytes of text, and of HTML, on the wire (ASCII JSON)
MAX_NAMES_WIRE = 400_000  # bytes of all original names and Content-IDs on the wire; then they are left out

_CID = re.compile(r"cid:([^\"'\s<>)]{1,998})", re.IGNORECASE)


def content(part: Part, defects: Defects) -> Iterator[bytes]:
    """The decoded bytes of a leaf, piece by piece."""
    return decoded(part.raw, part.encoding, defects)


def bodies(chosen: Structure, defects: Defects) -> tuple[str, str]:
    """Text and HTML of a mail, cleaned and cut; the text is made from the HTML when there is no other."""
    read: dict[int, str] = {}
    for part in chosen.text + chosen.html:
        if structure.kind(part).startswith("text/") and id(part) not in read:
            read[id(part)] = _text(part, defects)
    pages = [part for part in chosen.html if structure.kind(part) == "text/html"]
    page = "\n".join(_as_html(part, read[id(part)]) for part in chosen.html if id(part) in read) if pages else ""
    page = _cut(page, "HTML", defects)
    text = "\n".join(_as_text(part, read[id(part)]) for part in chosen.text if id(part) in read)
    if not text.strip() and page:
        text = to_text(page)
    return _cut(text, "text", defects), page


class SmallFiles:
    """Keeps whole files, by their index, as long as they fit into `room` bytes together."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.found: dict[int, bytes] = {}

    def passing(self, index: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces; when all have passed and it fits, the file is kept."""
        kept, size = bytearray(), 0
        for piece in pieces:
            size += len(piece)
            if size <= self.room:
                kept += piece
            yield piece
        if size <= self.room:
            self.room -= size
            self.found[index] = bytes(kept)


def attachments(chosen: Structure, page: str, defects: Defects, small: SmallFiles) -> tuple[Attachment, ...]:
    """The files of a mail; each part's content is forgotten as soon as it is measured, but for what `small` keeps."""
    shown = {unquote(html.unescape(cid)) for cid in _CID.findall(page)}
    given = names.Names()
    result: list[Attachment] = []
    size = 0
    for number, part in enumerate(chosen.files[:MAX_PARTS], start=1):
        pieces = small.passing(number - 1, content(part, defects))
        one = _attachment(part, number, given, pieces)
        inline = bool(one.content_id) and one.content_id in shown and one.type.startswith("image/")
        if inline and (id(part) in chosen.related or part.disposition.value != "attachment"):
            one = dataclasses.replace(one, inline=True)
        size += wire_size(one.original_name) + wire_size(one.content_id)
        if size > MAX_NAMES_WIRE:
            defects.add("attachment names too long altogether, some original names are left out")
            one = dataclasses.replace(one, original_name="", content_id="")
        result.append(one)
    return tuple(result)


def _attachment(part: Part, number: int, given: names.Names, pieces: Iterator[bytes]) -> Attachment:
    original = one_line(structure.name(part))[:1000]
    digest, size, head = hashlib.sha256(), 0, b""
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        head = head if len(head) >= types.HEAD else head + piece[: types.HEAD]
    part.drop()
    declared = structure.kind(part)
    true = types.sniff(head, declared, names.safe(original))
    return Attachment(
        name=given.give(original, number, true),
        original_name=original,
        type=true[:200],
        declared_type=declared[:200],
        size=size,
        sha256=digest.hexdigest(),
        inline=False,
        content_id=one_line(part.field("content-id")).strip("<> ")[:1000],
    )


def _text(part: Part, defects: Defects) -> str:
    """A text part as clean lines; at most MAX_BODY_BYTES of it."""
    data = bytearray()
    for piece in content(part, defects):
        data += piece
        if len(data) > MAX_BODY_BYTES:
            break
    cut = len(data) > MAX_BODY_BYTES
    raw = bytes(data[:MAX_BODY_BYTES])
    charset = token(part.kind.params.get("charset", ""))
    if structure.kind(part) == "text/html" and charsets.find(charset) is None:
        charset = charsets.meta_charset(raw) or charset
    text, problem = charsets.decode(raw, charset, final=not cut)
    if problem:
        defects.add(problem)
    return many_lines(text)


def _as_text(part: Part, text: str) -> str:
    return to_text(text[:MAX_BODY]) if structure.kind(part) == "text/html" else text


def _as_html(part: Part, text: str) -> str:
    return text if structure.kind(part) == "text/html" else f"<pre>{html.escape(text)}</pre>"


def _cut(text: str, what: str, defects: Defects) -> str:
    text = many_lines(text)
    short = fit(text, MAX_BODY, MAX_BODY_WIRE)
    if len(short) < len(text):
        defects.add(f"the {what} is too long and was cut after {len(short)} characters")
    return short
