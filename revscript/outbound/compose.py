"""An act's payload as the bytes of a mail (RFC 5322).

The same act always gives the same bytes: its Message-ID comes from its key, its Date from when it was wished, so that a
repetition after a lost answer can be recognised.

SECURITY: the header is written here and not by `EmailMessage`, which reads what it is given: an encoded word in a
subject could become a line of its own (gh-121650). No value with a control character gets in, whoever made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime
from typing import Any

from revscript.model import sha256_hex

Content = Callable[[int], bytes]

_POLICY = compat32.clone(linesep="\r\n", max_line_length=76, mangle_from_=False)
_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP
_MEDIA_TYPE = re.compile(r"(?!message/|multipart/)[a-z0-9]{1,20}/[a-z0-9!#$&^_.+-]{1,100}")
_LONGEST_PLAIN = 60  # characters of a header text that is written as it is


def message_id(key: str, instance_id: str, sender: str) -> str:
    """The Message-ID of an act, without angle brackets."""
    return f"{sha256_hex(f'{instance_id}/{key}')[:40]}@{sender.rpartition('@')[2]}"


def compose(payload: dict[str, Any], *, identifier: str, label: str, created_at: datetime, content: Content) -> bytes:
    """The mail with CRLF line ends; `content` gives a blob's bytes. ValueError when it cannot be a mail.

    Addresses with letters beyond ASCII stand in the header as UTF-8 (RFC 6532).
    """
    fields = [
        ("From", _sender(label, payload["from"])),
        ("To", _addresses(payload["to"])),
        ("Cc", _addresses(payload["cc"])),
        ("Subject", _text("Subject", payload["subject"])),
        ("Date", format_datetime(created_at)),
        ("Message-ID", f"<{identifier}>"),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: no machine answers it
    ]
    if reply_to := (payload["in_reply_to"] or "").strip("<> "):
        fields += [("In-Reply-To", _reference(reply_to)), ("References", _reference(reply_to))]
    head = "".join(_line(name, value) for name, value in fields if value)
    return head.encode() + _body(payload, identifier, content).as_bytes(policy=_POLICY)


def _line(name: str, value: str) -> str:
    if not value.replace("\r\n ", "").isprintable():
        raise ValueError(f"{name} holds a control character")
    return f"{name}: {value}\r\n"


def _text(name: str, text: str) -> str:
    """Unstructured text: as it is, or in encoded words (RFC 2047)."""
    plain = text.isascii() and len(text) <= _LONGEST_PLAIN and "=?" not in text and text == text.strip()
    if plain or not text.isprintable():  # what is not printable is refused as it stands
        return text
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


def _sender(label: str, address: str) -> str:
    if not label:
        return address
    if label.isascii() and len(label) <= _LONGEST_PLAIN and "=?" not in label:
        escaped = label.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'
    return f"{_text('From', label)} <{address}>"


def _addresses(addresses: Sequence[str]) -> str:
    return ",\r\n ".join(addresses)


def _reference(message_id: str) -> str:
    if not message_id.isascii() or " " in message_id:
        return ""  # nobody could find it again
    return f"<{message_id}>"


def _body(payload: dict[str, Any], identifier: str, content: Content) -> MIMEBase:
    body: MIMEBase = _text_part(payload["text"], "plain")
    if payload["html"]:
        body = _together("alternative", [body, _text_part(payload["html"], "html")], identifier)
    files = [_file(one["name"], "text/plain", one["text"].encode()) for one in payload["files"]]
    files += [_file(one["name"], one["type"], content(one["blob_id"])) for one in payload["attachments"]]
    return _together("mixed", [body, *files], identifier) if files else body


def _text_part(text: str, subtype: str) -> MIMEText:
    part = MIMEText(text, subtype, _UTF8)  # pyright: ignore[reportArgumentType]  # a Charset is meant
    part.policy = _POLICY
    return part


def _together(subtype: str, parts: Sequence[MIMEBase], identifier: str) -> MIMEMultipart:
    for part in parts:
        del part["MIME-Version"]  # stands once, on top
    boundary = f"=_{subtype}_{identifier.partition('@')[0]}"  # not by chance; `=_` cannot come out of an encoding
    return MIMEMultipart(subtype, boundary, parts)


def _file(name: str, media_type: str, data: bytes) -> MIMEBase:
    """An attachment. Messages travel as mere files: base64 is forbidden to them (RFC 2046 §5.2.1)."""
    if not name.isprintable():
        raise ValueError("the name of an attachment holds a control character")
    if not _MEDIA_TYPE.fullmatch(media_type):
        media_type = "application/octet-stream"
    part = MIMEBase(*media_type.split("/"))
    if media_type == "text/plain":
        part.set_param("charset", "utf-8")
    part.set_payload(data)
    encode_base64(part)
    plain = name.isascii() and "=?" not in name and len(name) <= _LONGEST_PLAIN
    part.add_header("Content-Disposition", "attachment", filename=name if plain else ("utf-8", "", name))
    return part
