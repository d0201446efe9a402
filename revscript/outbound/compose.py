"""An act's payload as the bytes of a mail (RFC 5322).

The same act always gives the same bytes: its Message-ID comes from its key, its Date from when it was wished, so that a
repetition after a lost answer can be recognised. Everything was checked as an effect (no control characters in lines).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from revscript.model import sha256_hex

Content = Callable[[int], bytes]


def message_id(key: str, instance_id: str, sender: str) -> str:
    """The Message-ID of an act, without angle brackets."""
    return f"{sha256_hex(f'{instance_id}/{key}')[:40]}@{sender.rpartition('@')[2]}"


def compose(payload: dict[str, Any], *, identifier: str, label: str, created_at: datetime, content: Content) -> bytes:
    """The mail with CRLF line ends; `content` gives a blob's bytes."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(label, addr_spec=payload["from"])
    if payload["to"]:
        message["To"] = ", ".join(payload["to"])
    if payload["cc"]:
        message["Cc"] = ", ".join(payload["cc"])
    message["Subject"] = payload["subject"]
    message["Date"] = format_datetime(created_at)
    message["Message-ID"] = f"<{identifier}>"
    if payload["in_reply_to"]:
        message["In-Reply-To"] = message["References"] = f"<{payload['in_reply_to'].strip('<> ')}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no machine answers it
    message.set_content(payload["text"])
    if payload["html"]:
        message.add_alternative(payload["html"], subtype="html")
    for one in payload["files"]:
        message.add_attachment(one["text"], filename=one["name"])
    for one in payload["attachments"]:
        kind, _, subtype = one["type"].partition("/")
        message.add_attachment(
            content(one["blob_id"]), maintype=kind, subtype=subtype or "octet-stream", filename=one["name"]
        )
    _fix_boundaries(message, identifier)
    return message.as_bytes()


def _fix_boundaries(message: EmailMessage, identifier: str) -> None:
    """Boundaries from the identifier instead of chance."""
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{identifier.partition('@')[0]}_{number}")
