"""`revscript read`: what revscript understands of a mail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from revscript.cli.mails import jail, readings
from revscript.cli.options import JsonOption, MailArguments
from revscript.cli.output import emit, say
from revscript.config import Settings
from revscript.jail.reading.model import Attachment, MailAddress, Reading

MAX_LINES = 40  # of a mail's text, for people


def read(mails: MailArguments, as_json: JsonOption = False) -> None:
    """Show what revscript reads in mails.

    Needs no instance, changes nothing. Exit code 1 when a file could not be opened.

    JSON keys: file, subject, from, to, cc, date, message_id, text, html, headers, attachments, defects.
    """
    settings, all_opened = Settings(), True
    with jail(settings) as sandbox:
        for file, reading in readings(mails, sandbox, settings):
            if reading is None:
                all_opened = False
            elif as_json:
                emit(as_row(file, reading))
            else:
                _tell(file, reading)
    if not all_opened:
        raise typer.Exit(1)


def as_row(file: Path, reading: Reading) -> dict[str, Any]:
    """A Reading in the shape that the JSON has."""
    return {
        "file": str(file),
        "subject": reading.subject,
        "from": _address(reading.sender) if reading.sender else None,
        "to": [_address(one) for one in reading.to],
        "cc": [_address(one) for one in reading.cc],
        "date": reading.date,
        "message_id": reading.message_id,
        "text": reading.text,
        "html": reading.html,
        "headers": [list(header) for header in reading.headers],
        "attachments": [_attachment(one) for one in reading.attachments],
        "defects": list(reading.defects),
    }


def _address(address: MailAddress) -> dict[str, str]:
    return {"address": address.address, "name": address.name}


def _attachment(attachment: Attachment) -> dict[str, Any]:
    keys = ("name", "type", "declared_type", "size", "sha256", "inline")
    return {key: getattr(attachment, key) for key in keys}


def _tell(file: Path, reading: Reading) -> None:
    say(str(file), "bold")
    lines = [
        ("From", _written(reading.from_)),
        ("To", _written(reading.to)),
        ("Cc", _written(reading.cc)),
        ("Date", reading.date or ""),
        ("Subject", reading.subject),
        ("Message-ID", reading.message_id),
        *(("Attachment", _described(one)) for one in reading.attachments),
        *(("Defect", defect) for defect in reading.defects),
    ]
    for name, value in lines:
        if value:
            say(f"{name + ':':<12}{value}", "yellow" if name == "Defect" else "", indent=2)
    _tell_text(reading)
    say("")


def _tell_text(reading: Reading) -> None:
    text = reading.text.strip("\n")
    if not text:
        say("(HTML only)" if reading.html else "(no text)", "dim", indent=2)
        return
    lines = text.split("\n")
    say("")
    say("\n".join(lines[:MAX_LINES]), indent=4)
    if len(lines) > MAX_LINES:
        say(f"… {len(lines) - MAX_LINES} more lines", "dim", indent=4)


def _written(addresses: tuple[MailAddress, ...]) -> str:
    return ", ".join(f"{one.name} <{one.address}>" if one.name else one.address for one in addresses)


def _described(attachment: Attachment) -> str:
    inline = ", inside the text" if attachment.inline else ""
    return f"{attachment.name} ({attachment.type}, {attachment.size} bytes{inline})"
