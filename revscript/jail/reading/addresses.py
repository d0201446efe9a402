"""Address lists: From, To, Cc, Reply-To (RFC 5322 §3.4), split first and decoded afterwards.

SECURITY: this decides who a mail claims to come from. Encoded words are decoded in display names only, never
inside an address (RFC 2047 §5 (3)). Where a text could be read as two different addresses (CVE-2023-27043 and
its kin: two `@`, text after `>`, control characters) no address is reported, and a defect says so. Comments
are counted, not recursed into; every loop goes forward once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from revscript.jail.reading.clean import Defects, one_line, wire_size
from revscript.jail.reading.model import MAX_ADDRESSES, MailAddress
from revscript.jail.reading.words import ENCODED_WORD, decode_words, literal

MAX_LENGTH = 1000  # characters of an address or a name; the model's limit
MAX_WIRE = 100_000  # bytes of one field's addresses on the wire

_ATOM = re.compile(r'[^\s"()<>,;:=]+|=')
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_PAREN = re.compile(r"\\.|[()]", re.DOTALL)
_ROUTE = re.compile(r"(@[^:@]*)+:")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(slots=True)
class _Mailbox:
    """What stands between two commas; `phrase` and `angle` are as they were written, quotes included."""

    phrase: list[list[str]] = field(default_factory=list[list[str]])  # words as the pieces they are glued from
    angle: str | None = None
    after: list[list[str]] = field(default_factory=list[list[str]])
    comments: list[str] = field(default_factory=list[str])
    broken: bool = False
    start: int = 0


def parse(raw: str, defects: Defects) -> tuple[MailAddress, ...]:
    """The addresses of an unfolded raw value in their order; groups are dissolved, empty entries left out."""
    found: list[MailAddress] = []
    size = 0
    for mailbox, source in _split(raw):
        address = _report(mailbox, source, defects)
        if not (address.address or address.name):
            continue
        size += wire_size(address.address) + wire_size(address.name)
        if len(found) >= MAX_ADDRESSES or size > MAX_WIRE:
            defects.add("more addresses in one field than are read")
            break
        found.append(address)
    return tuple(found)


def _split(raw: str) -> list[tuple[_Mailbox, str]]:
    """Cut the list at its commas and semicolons; a colon outside `<>` ends the name of a group."""
    boxes: list[tuple[_Mailbox, str]] = []
    box = _Mailbox()
    position, glued = 0, False
    while position < len(raw):
        char = raw[position]
        end = position + 1
        if char in ",;":
            boxes.append((box, raw[box.start : position]))
            box = _Mailbox(start=end)
        elif char == ":":
            box = _Mailbox(start=end)
        elif char == "(":
            end = _skip_comment(raw, position)
            box.comments.append(raw[position + 1 : end - 1])
        elif char == "<":
            end = _take_angle(raw, position, box)
        elif char in ")>":
            box.broken = True
        elif not char.isspace():
            end = _take_word(raw, position, box, glued=glued)
        glued = not (char.isspace() or char in ",;:(<")
        position = end
    boxes.append((box, raw[box.start :]))
    return boxes


def _take_word(raw: str, position: int, box: _Mailbox, *, glued: bool) -> int:
    """An encoded word, a quoted string or an atom; without a blank in front it belongs to the one before."""
    match = ENCODED_WORD.match(raw, position) or _QUOTED.match(raw, position) or _ATOM.match(raw, position)
    end = match.end() if match else position + 1
    words = box.phrase if box.angle is None else box.after
    if glued and words:
        words[-1].append(raw[position:end])
    else:
        words.append([raw[position:end]])
    return end


def _take_angle(raw: str, position: int, box: _Mailbox) -> int:
    """`<…>`, where commas, colons and blanks separate nothing; comments inside are dropped."""
    out: list[str] = []
    cursor = position + 1
    while cursor < len(raw) and raw[cursor] not in "<>":
        if raw[cursor] == "(":
            cursor = _skip_comment(raw, cursor)
            continue
        quoted = _QUOTED.match(raw, cursor)
        end = quoted.end() if quoted else cursor + 1
        out.append(raw[cursor:end])
        cursor = end
    box.broken = box.broken or box.angle is not None or raw[cursor : cursor + 1] == "<"
    box.angle = "".join(out)
    return cursor + 1 if raw[cursor : cursor + 1] == ">" else cursor


def _skip_comment(raw: str, position: int) -> int:
    depth = 0
    for mark in _PAREN.finditer(raw, position):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return len(raw) + 1  # never closed: all the rest


def _report(box: _Mailbox, source: str, defects: Defects) -> MailAddress:
    """One entry as MailAddress; when in doubt the address stays empty and the whole text is the name."""
    if box.angle is not None:
        after = _words(box.after)
        address, names = box.angle, _words(box.phrase) + after
        doubtful = box.broken or any("@" in word for word in after)
    else:
        address, names = _bare(_words(box.phrase))
        doubtful = box.broken
    address = _addr_spec(address)
    if doubtful or address is None:
        text = _text(source, defects)
        if text:
            defects.add(f"address that cannot be read safely: {text[:100]!r}")
        return MailAddress(address="", name=text)
    name = _name(names, defects) or _text(" ".join(box.comments), defects)
    if "@" in name and address.casefold() not in name.casefold():
        defects.add(f"display name that shows another address: {name[:100]!r}")
    return MailAddress(address=address, name=name)


def _words(pieces: list[list[str]]) -> list[str]:
    return ["".join(word) for word in pieces]


def _bare(phrase: list[str]) -> tuple[str, list[str]]:
    """An address without `<>` is the last word; what stands in front is a name, unless it has an `@` too."""
    *names, last = phrase or [""]
    if names and ("@" not in last or any("@" in _unquoted(word) for word in names)):
        return " ".join(phrase), []
    return last, names


def _addr_spec(raw: str) -> str | None:
    """The addr-spec as written, without route (RFC 5322 §4.4); None when it holds what no address may."""
    text = literal(raw.strip())
    route = _ROUTE.match(text)
    text = text[route.end() :] if route else text
    if text.count("@") == 1:
        text = "@".join(part.strip() for part in text.split("@"))
    bare = _unquoted(text)
    if _CONTROL.search(text) or len(text) > MAX_LENGTH or bare.count("@") > 1 or any(map(str.isspace, bare)):
        return None
    if "@" not in bare and ('"' in text or "=?" in text):
        return None  # only a name
    return text


def _unquoted(text: str) -> str:
    return _QUOTED.sub("", text)


def _name(words: list[str], defects: Defects) -> str:
    """The display name; encoded words inside quotes are decoded too, as all mail programs do."""
    plain = [_QUOTED.sub(lambda match: re.sub(r"\\(.)", r"\1", match[1]), word) for word in words]
    return _text(" ".join(plain), defects)


def _text(raw: str, defects: Defects) -> str:
    return one_line(decode_words(raw, defects))[:MAX_LENGTH]
