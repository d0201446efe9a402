"""Header fields to the Reading's header part: texts, addresses, date, identifiers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from revscript.jail.reading import addresses, dates
from revscript.jail.reading.clean import Defects, fit, one_line, wire_size
from revscript.jail.reading.model import MAX_HEADER_VALUE, MAX_HEADERS, MailAddress
from revscript.jail.reading.words import decode_words, unfold

MAX_WIRE = 700_000  # bytes of all fields on the wire; the header block itself is limited to 512 KB
MAX_NAME = 200  # characters of a field's name
MAX_ID = 1000
MAX_REFERENCES = 200
MAX_REFERENCES_WIRE = 100_000

_SINGLE = (
    "from",
    "to",
    "cc",
    "reply-to",
    "sender",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
)
_ID = re.compile(r"<([^<>\s]+)>")


class Headers:
    """The fields of a mail's head, by name in lower case; of a repeated one the first counts (mime.md §5)."""

    def __init__(self, fields: Sequence[tuple[str, str]], defects: Defects) -> None:
        self._fields = fields
        self._defects = defects
        self._first: dict[str, str] = {}
        for name, value in fields:
            self._first.setdefault(name.lower(), value)

    def raw(self, name: str) -> str:
        """The unfolded raw value; "" when missing."""
        return unfold(self._first.get(name, ""))

    def text(self, name: str) -> str:
        """The decoded value as one clean line; "" when missing."""
        return one_line(decode_words(self.raw(name), self._defects))

    def has(self, name: str) -> bool:
        """Whether the field is there, be it empty."""
        return name in self._first

    def names(self) -> frozenset[str]:
        """The names of all fields in lower case."""
        return frozenset(self._first)

    def read(self) -> dict[str, Any]:
        """The Reading's fields that come from the head, within their limits."""
        self._note_repeated()
        from_ = self._addresses("from")
        self._note_sender(from_)
        return {
            "subject": self._cut("subject", self.text("subject")),
            "sender": from_[0] if from_ else None,
            "from_": from_,
            "to": self._addresses("to"),
            "cc": self._addresses("cc"),
            "reply_to": self._addresses("reply-to"),
            "date": dates.parse(self.text("date"), self._defects),
            "message_id": self._identifier("message-id"),
            "in_reply_to": self._identifier("in-reply-to"),
            "references": self._references(),
            "headers": self._all(),
        }

    def _addresses(self, name: str) -> tuple[MailAddress, ...]:
        return addresses.parse(self.raw(name), self._defects)

    def _identifier(self, name: str) -> str:
        text = self.text(name)
        found = _ID.search(text)
        return (found[1] if found else text.strip("<> "))[:MAX_ID]

    def _references(self) -> tuple[str, ...]:
        """The newest ones: the last stand next to this mail (RFC 5322 §3.6.4)."""
        found: list[str] = []
        room = MAX_REFERENCES_WIRE
        for one in reversed(_ID.findall(self.text("references"))):
            room -= wire_size(one)
            if room < 0 or len(found) >= MAX_REFERENCES or len(one) > MAX_ID:
                self._defects.add("more references than are kept")
                break
            found.append(one)
        return tuple(reversed(found))

    def _all(self) -> tuple[tuple[str, str], ...]:
        result: list[tuple[str, str]] = []
        size = 0
        for name, value in self._fields:
            text = self._cut(name, one_line(decode_words(unfold(value), self._defects)))
            size += wire_size(name) + wire_size(text)
            if len(result) >= MAX_HEADERS or size > MAX_WIRE:
                self._defects.add("more header fields than are kept")
                break
            result.append((one_line(name)[:MAX_NAME], text))
        return tuple(result)

    def _cut(self, name: str, text: str) -> str:
        short = fit(text, MAX_HEADER_VALUE, MAX_WIRE // 4)
        if len(short) < len(text):
            self._defects.add(f"header field {name[:40]!r} is too long and was cut")
        return short

    def _note_repeated(self) -> None:
        counts = Counter(name.lower() for name, _ in self._fields)
        for name in _SINGLE:
            if counts[name] > 1:
                self._defects.add(f"{counts[name]} {name.title()} fields, the first counts")

    def _note_sender(self, from_: tuple[MailAddress, ...]) -> None:
        if not from_:
            self._defects.add("no sender")
        elif len(from_) > 1:
            self._defects.add(f"{len(from_)} addresses in From")
        for one in from_:
            domain = one.address.rpartition("@")[2]
            if not domain.isascii() or domain.lower().startswith("xn--") or ".xn--" in domain.lower():
                self._defects.add(f"sender's domain has letters beyond ASCII: {domain[:100]!r}")
