"""Content-Transfer-Encoding taken off piece by piece (RFC 2045 §6), leniently: junk is skipped and noted.

SECURITY: a body may be 45 MB of anything. Memory stays at a few MiB beside the raw text, time is linear,
nothing here raises for bad data. `raw` is always what the parser keeps: ASCII with 8-bit bytes as surrogates.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from revscript.jail.reading.clean import Defects

STEP = 1 << 20  # characters taken at once
MAX_PADDINGS = 1000  # runs that end in `=`; more is a flood, and `=` counts as junk from there on

_BLANK = b" \t\r\n"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_JUNK = bytes(n for n in range(256) if n not in _ALPHABET)
_LONE_CR = re.compile(rb"=\r(?!\n)")
_SOFT_BREAK = re.compile(rb"=[ \t]+(?=\r?\n)")
_BAD_QP = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n|\Z)")
_PLAIN = ("", "7bit", "8bit", "binary")
_UU = ("x-uuencode", "uuencode", "x-uue", "uue")


def decoded(raw: str, encoding: str, defects: Defects) -> Iterator[bytes]:
    """The bytes behind `raw`; `encoding` is the field's value in lower case. Unknown ones pass unchanged."""
    pieces = _slices(raw)
    if encoding == "base64":
        return _base64(pieces, defects)
    if encoding == "quoted-printable":
        return _quoted_printable(pieces, defects)
    if encoding in _UU:
        return _uuencoded(pieces, defects)
    if encoding not in _PLAIN:
        defects.add(f"unknown transfer encoding {encoding[:40]!r}, the part is left as it is")
    return pieces


def chopped(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at most `size`, none of them empty."""
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


class Base64:
    """A base64 decoder that is fed in pieces; `flawed` says that something had to be skipped or guessed."""

    def __init__(self) -> None:
        self.flawed = False
        self._rest = b""
        self._padded = False
        self._paddings = 0

    def feed(self, data: bytes) -> bytes:
        """Decode what is complete of `data`, keep the rest."""
        clean = data.translate(None, _JUNK)
        if len(clean) != len(data.translate(None, _BLANK)):
            self.flawed = True
        if b"=" in clean and self._paddings < MAX_PADDINGS:
            return self._feed_padded(self._rest + clean)
        return self._feed_plain(self._rest + clean.replace(b"=", b""))

    def end(self) -> bytes:
        """The last bytes, when the padding is missing."""
        return self._close(self._rest)

    def _feed_plain(self, run: bytes) -> bytes:
        if run and self._padded:
            self.flawed = True
        whole = len(run) // 4 * 4
        self._rest = run[whole:]
        return binascii.a2b_base64(run[:whole])

    def _feed_padded(self, data: bytes) -> bytes:
        """Padding ends a run; what follows starts afresh (some programs glue encoded pieces together)."""
        *runs, last = data.split(b"=")
        out = bytearray()
        for run in filter(None, runs):
            self.flawed = self.flawed or self._padded
            out += self._close(run)
            self._padded = True
            self._paddings += 1
        return bytes(out) + self._feed_plain(last)

    def _close(self, run: bytes) -> bytes:
        if len(run) % 4 == 1:
            self.flawed = True
            run = run[:-1]
        return binascii.a2b_base64(run + b"=" * (-len(run) % 4))


def _slices(raw: str) -> Iterator[bytes]:
    for start in range(0, len(raw), STEP):
        yield raw[start : start + STEP].encode("ascii", "surrogateescape")


def _base64(pieces: Iterator[bytes], defects: Defects) -> Iterator[bytes]:
    decoder = Base64()
    for piece in pieces:
        yield decoder.feed(piece)
    yield decoder.end()
    if decoder.flawed:
        defects.add("base64 with foreign or missing characters")


def _quoted_printable(pieces: Iterator[bytes], defects: Defects) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        if not cut:  # one endless line: cut anywhere but inside `=XX`
            tail = data.rfind(b"=", len(data) - 3)
            cut = len(data) if tail < 0 else tail
        rest = data[cut:]
        yield _unquote(data[:cut], defects)
    yield _unquote(rest, defects)


def _unquote(data: bytes, defects: Defects) -> bytes:
    # binascii skips up to the next line feed after "=\r": lone carriage returns would swallow text.
    data = _SOFT_BREAK.sub(b"=", _LONE_CR.sub(b"", data))
    if _BAD_QP.search(data):
        defects.add("quoted-printable with wrong escapes")
    return binascii.a2b_qp(data)


def _uuencoded(pieces: Iterator[bytes], defects: Defects) -> Iterator[bytes]:
    rest, begun = b"", False
    for piece in pieces:
        *lines, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        out = bytearray()
        for line in lines:
            if begun and line != b"end":
                out += _uu_line(line, defects)
            begun = (begun or line.startswith(b"begin ")) and line != b"end"
        yield bytes(out)
    if begun:
        yield _uu_line(rest, defects) if rest != b"end" else b""


def _uu_line(line: bytes, defects: Defects) -> bytes:
    if not line.strip():
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        defects.add("uuencoded data with wrong lines")
    try:  # some encoders write trailing garbage: the line's own length byte says how much counts
        return binascii.a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3])
    except binascii.Error:
        return b""
