"""The Reading: what the jail read of a mail, as plain data, stored once (design §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from revscript.jail.limits import FileName, Items, Line, Range, Strict, Text

READER_VERSION = "compat32-1"

MAX_BODY = 1_000_000  # characters of text, and of HTML
MAX_HEADERS = 2000  # fields; mime.md §3
MAX_HEADER_VALUE = 20_000  # characters of one decoded value
MAX_ADDRESSES = 1000  # per field
MAX_PARTS = 2000  # attachments; mime.md §3
MAX_DEFECTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MailAddress(Strict):
    """An address with its display name; `address` is the addr-spec as written, cleaned, possibly empty."""

    address: Annotated[str, Line(1000)]
    name: Annotated[str, Line(1000)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment(Strict):
    """A part that is a file. `name` is safe as a file name (mime.md §5), `original_name` as sent, cleaned."""

    name: Annotated[str, FileName(200)]
    original_name: Annotated[str, Line(1000)]
    type: Annotated[str, Line(200)]  # by content
    declared_type: Annotated[str, Line(200)]
    size: Annotated[int, Range(0, 2**40)]  # bytes, decoded
    sha256: Annotated[str, Line(64, min=64)]  # of the decoded bytes, hex
    inline: bool  # shown inside the HTML by cid
    content_id: Annotated[str, Line(1000)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Strict):
    """A mail as plain data. Every text is decoded and cleaned; missing is empty, never an exception."""

    version: Annotated[str, Line(40, min=1)] = READER_VERSION
    fallback: bool = False  # the reader could not read it: header lines at the most
    subject: Annotated[str, Line(MAX_HEADER_VALUE)] = ""
    sender: MailAddress | None = None  # first of from_
    from_: Annotated[tuple[MailAddress, ...], Items(MAX_ADDRESSES)] = ()
    to: Annotated[tuple[MailAddress, ...], Items(MAX_ADDRESSES)] = ()
    cc: Annotated[tuple[MailAddress, ...], Items(MAX_ADDRESSES)] = ()
    reply_to: Annotated[tuple[MailAddress, ...], Items(MAX_ADDRESSES)] = ()
    date: Annotated[str, Line(40)] | None = None  # ISO 8601 with offset, or None when missing or absurd
    message_id: Annotated[str, Line(1000)] = ""  # without angle brackets
    in_reply_to: Annotated[str, Line(1000)] = ""
    references: Annotated[tuple[Annotated[str, Line(1000)], ...], Items(200)] = ()
    headers: Annotated[tuple[tuple[Annotated[str, Line(MAX_HEADER_VALUE)], ...], ...], Items(MAX_HEADERS)] = ()
    # (name, decoded value) in the mail's order
    text: Annotated[str, Text(MAX_BODY)] = ""
    html: Annotated[str, Text(MAX_BODY)] = ""
    attachments: Annotated[tuple[Attachment, ...], Items(MAX_PARTS)] = ()
    is_auto_reply: bool = False
    is_bounce: bool = False
    is_list: bool = False
    defects: Annotated[tuple[Annotated[str, Line(300)], ...], Items(MAX_DEFECTS)] = ()
