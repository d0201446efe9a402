"""Header text: unfolding, encoded words (RFC 2047), raw 8-bit bytes."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

from revscript.jail.reading import charsets
from revscript.jail.reading.clean import Defects
from revscript.jail.reading.transfer import Base64

ENCODED_WORD = re.compile(r"=\?([^?\s]{1,100})\?([bBqQ])\?([^?]*)\?=")
_FOLD = re.compile("\r\n|\r|\n")


def unfold(value: str) -> str:
    """A raw value on one line (RFC 5322 §2.2.3): line breaks go, the blank that follows them stays."""
    return _FOLD.sub("", value)


def decode_words(raw: str, defects: Defects) -> str:
    """The text of an unfolded raw value; adjacent words of one charset are joined before they are decoded.

    The result may hold anything, line breaks too: the caller cleans it. Decoded once, never twice (mime.md
    §3).
    """
    if "=?" not in raw:
        return literal(raw)
    out: list[str] = []
    run = _Run()
    position = 0
    for word in ENCODED_WORD.finditer(raw):
        gap = raw[position : word.start()]
        charset = word[1].split("*")[0].lower() or "us-ascii"  # RFC 2231 §5: a language may follow
        if gap.strip(" \t") or charset != run.charset:
            out.append(run.text(defects))
            # Blanks between two encoded words are not shown (RFC 2047 §6.2).
            out.append(literal(gap) if gap.strip(" \t") or not position else "")
            run = _Run(charset)
        run.data += _word_bytes(word[2], word[3], defects)
        position = word.end()
    out += (run.text(defects), literal(raw[position:]))
    return "".join(out)


@dataclass(slots=True)
class _Run:
    """Adjacent encoded words of one charset."""

    charset: str = ""
    data: bytearray = field(default_factory=bytearray)

    def text(self, defects: Defects) -> str:
        if not self.charset:
            return ""
        text, problem = charsets.decode(bytes(self.data), self.charset)
        if problem:
            defects.add(f"header: {problem}")
        return text


def _word_bytes(encoding: str, encoded: str, defects: Defects) -> bytes:
    data = encoded.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    decoder = Base64()
    result = decoder.feed(data) + decoder.end()
    if decoder.flawed:
        defects.add("header: encoded word with broken base64")
    return result


def literal(raw: str) -> str:
    """Raw 8-bit bytes as text, nothing else decoded (undeclared: UTF-8, else cp1252)."""
    return raw if raw.isascii() else charsets.decode(raw.encode("utf-8", "surrogateescape"))[0]
