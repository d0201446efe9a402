"""The tree of a mail's parts, built by the standard library's feed parser under our own limits.

This is the seam: the only file that knows the `email` package's parser. What the other files use is `Part`:
its `fields`, `kind`, `disposition`, `children` and `raw`.

SECURITY: the parser asks each part for its type and boundary; `Part` answers from our own readers, so that
none of the library's raising or quadratic header code is reached, `message/rfc822` stays a leaf with its
exact bytes, and nesting ends at MAX_DEPTH. Parts and fields over the limits are dropped as they come. Line
ends are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.feedparser import BytesFeedParser
from email.message import Message
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from revscript.jail.reading import params
from revscript.jail.reading.clean import Defects

if TYPE_CHECKING:  # at run time it would load the library's other header parser, which nobody here needs
    from email.policy import Policy

# mime.md §3
MAX_DEPTH = 64
MAX_PARTS = 2000
MAX_FIELDS = 2000
MAX_HEADER_BYTES = 512 << 10
MAX_BOUNDARY = 1000  # characters; RFC 2046 §5.1.1 allows 70

HEAD_CHUNK = 1 << 20
CHUNK = 64 << 10

_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]{1,100}/[a-z0-9!#$&^_.+\-]{1,100}")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:|From ")
_LINE_END = re.compile(rb"\r\n|\r|\n|\Z")
_KNOWN = re.compile(
    rb"(from|to|cc|bcc|subject|date|sender|reply-to|message-id|in-reply-to|references|received|return-path"
    rb"|delivered-to|mime-version|precedence|auto-submitted|importance|priority|user-agent|dkim-signature"
    rb"|authentication-results|(x|list|content|arc|resent|thread)-[!-9;-~]+)[ \t]*:|From ",
    re.IGNORECASE,
)
_SINGLE = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
_DEFECTS = {
    "NoBoundaryInMultipartDefect": "multipart without a boundary, shown as text",
    "StartBoundaryNotFoundDefect": "multipart whose boundary never appears, shown as text",
    "CloseBoundaryNotFoundDefect": "multipart that is not closed (the mail was cut?)",
    "MissingHeaderBodySeparatorDefect": "header that does not end in an empty line",
    "FirstHeaderLineIsContinuationDefect": "header that begins with a continuation line",
    "MisplacedEnvelopeHeaderDefect": "mbox line inside the header",
    "InvalidHeaderDefect": "header line without a name",
}


class Part(Message):
    """One part, or the whole mail; `depth` counts from 0."""

    def __init__(self, notes: Defects, counter: Iterator[int], policy: Policy) -> None:
        super().__init__(policy)
        self.fields: list[tuple[str, str]] = []
        self.repeated: set[str] = set()  # names, in lower case, of the fields that occur more than once
        self.depth = 0
        self._first: dict[str, str] = {}
        self._notes = notes
        self._counter = counter
        self._header_bytes = 0
        self._kind: params.Field | None = None

    def __len__(self) -> int:
        """The number of fields: the parser asks a part whether it is true."""
        return len(self.fields)

    def set_raw(self, name: str, value: str) -> None:
        """Called by the parser for every header field, with the value still folded."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._notes.add(f"header block over {MAX_HEADER_BYTES >> 10} KB, the rest is left out")
        elif len(self.fields) >= MAX_FIELDS:
            self._notes.add(f"more than {MAX_FIELDS} header fields, the rest is left out")
        else:
            self.fields.append((name, value))
            if self._first.setdefault(name.lower(), value) is not value:
                self.repeated.add(name.lower())

    def attach(self, payload: Any) -> None:
        """Called by the parser for every part as it begins."""
        payload.depth = self.depth + 1
        if next(self._counter) >= MAX_PARTS:
            self._notes.add(f"more than {MAX_PARTS} parts, the rest is left out")
            self._payload = self._payload or []
        else:
            super().attach(payload)

    def get_content_type(self) -> str:
        """What the parser is to believe: everything but an allowed multipart is a leaf."""
        if not self.kind.value.startswith("multipart/"):
            return "application/octet-stream"
        if self.depth >= MAX_DEPTH:
            self._notes.add(f"parts nested deeper than {MAX_DEPTH}, the rest is left as it is")
            return "application/octet-stream"
        return self.kind.value

    def get_content_maintype(self) -> str:
        """See get_content_type."""
        return self.get_content_type().partition("/")[0]

    def get_boundary(self, failobj: Any = None) -> Any:
        """The boundary, or None when it is missing, empty or absurd."""
        boundary = self.kind.params.get("boundary", "").rstrip()
        return boundary if 0 < len(boundary) <= MAX_BOUNDARY else failobj

    @property
    def kind(self) -> params.Field:
        """Content-Type with its parameters; what cannot be read counts as text/plain (RFC 2045 §5.2)."""
        if self._kind is None:
            raw = self.field("content-type")
            self._kind = params.parse(raw, self._notes) if raw else params.Field(self.get_default_type())
            if not _TYPE.fullmatch(self._kind.value):
                self._notes.add(f"content type that cannot be read: {raw[:60]!r}")
                self._kind.value = "text/plain"
        return self._kind

    @property
    def disposition(self) -> params.Field:
        """Content-Disposition; an empty value when the field is missing."""
        return params.parse(self.field("content-disposition"), self._notes)

    @property
    def encoding(self) -> str:
        """The transfer encoding in lower case; "" when missing."""
        return params.token(self.field("content-transfer-encoding")).lower()

    @property
    def children(self) -> list[Part]:
        """The parts of a multipart; empty for a leaf."""
        payload = cast("list[Part] | str | None", self._payload)
        return payload if isinstance(payload, list) else []

    @property
    def raw(self) -> str:
        """A leaf's undecoded content, ASCII with 8-bit bytes as surrogates."""
        payload = cast("list[Part] | str | None", self._payload)
        return payload if isinstance(payload, str) else ""

    def field(self, name: str) -> str:
        """The first raw value of a field by its name in lower case; "" when missing."""
        return self._first.get(name, "")

    def drop(self) -> None:
        """Forget the content: it is the largest thing in memory."""
        self._payload = ""


def parse(source: BinaryIO, size: int, notes: Defects) -> Part:
    """Build the tree from the next `size` bytes of `source`, read in chunks; flaws go to `notes`."""
    counter = iter(range(1, 1 << 62))
    factory: Any = partial(Part, notes, counter)  # the library adds its policy by name
    parser: Any = BytesFeedParser(factory)
    head = source.read(min(size, HEAD_CHUNK))
    left = size - len(head)
    parser.feed(tidy(head, notes))
    del head
    while left > 0 and (chunk := source.read(min(left, CHUNK))):
        parser.feed(chunk)
        left -= len(chunk)
    if left > 0:
        notes.add("the mail is shorter than announced")
    root: Part = parser.close()
    for part in walk(root):
        _explain(part, notes)
    return root


def walk(part: Part) -> Iterator[Part]:
    """The part and all parts below, depth first; the depth is limited by the parser."""
    yield part
    for child in part.children:
        yield from walk(child)


def tidy(head: bytes, notes: Defects) -> bytes:
    """Repair the first bytes of a mail, so that neither header nor body is lost to a stray line.

    Leading empty lines and a byte order mark go; a line that is no header field is dropped when well-known
    fields follow it; a text without any mail header becomes a body.
    """
    clean = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if clean.startswith(b">From "):
        clean = _LINE_END.split(clean, maxsplit=1)[1]
    lines = clean.splitlines(keepends=True)
    kept: list[bytes] = []
    known, number = False, 0
    for number, line in enumerate(lines):
        if not line.rstrip(b"\r\n"):
            break
        known = known or _KNOWN.match(line) is not None
        field = _FIELD.match(line)
        if field or line[:1] in (b" ", b"\t"):
            # A blank in front of the colon (RFC 5322 §4.5.2) is unknown to the parser.
            kept.append(field[1] + b":" + line[field.end() :] if field and field[1] else line)
        elif kept and number + 1 < len(lines) and _KNOWN.match(lines[number + 1]):
            notes.add("line in the header that is no field, left out")
        else:
            break
    else:
        number = len(lines)
    if clean and not known:
        notes.add("no mail header: all of it is taken as text")
        return b"\r\n" + clean
    return b"".join(kept) + b"".join(lines[number:])


def _explain(part: Part, notes: Defects) -> None:
    for defect in part.defects:
        name = type(defect).__name__
        if name != "MultipartInvariantViolationDefect":  # always beside one that says more
            notes.add(_DEFECTS.get(name, name))
    if part.children and part.epilogue and part.epilogue.strip():
        notes.add("text behind the last part, left out")
    if part.children and part.encoding not in ("", "7bit", "8bit", "binary"):
        notes.add("multipart with a transfer encoding, which is ignored")
    for name in sorted(part.repeated & _SINGLE):
        notes.add(f"several {name.title()} fields in one part, the first counts")
