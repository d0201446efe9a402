"""Sends the demo's mails, as anybody would: by SMTP."""

from __future__ import annotations

import re
import smtplib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from revscript.demo.mailserver import HOST

MAILS = Path(__file__).with_name("mails")
TIMEOUT = 10.0  # s


def send(file: str, recipient: str, smtp_port: int, age: timedelta) -> None:
    """Send one of the mails with a fresh date: what is days old would not alarm anybody."""
    date = format_datetime(datetime.now(UTC).astimezone() - age)
    raw = re.sub(rb"(?m)^Date: .*$", f"Date: {date}".encode(), (MAILS / file).read_bytes(), count=1)
    with smtplib.SMTP(HOST, smtp_port, timeout=TIMEOUT) as client:
        client.sendmail("post@demo.example", [recipient], raw.replace(b"\n", b"\r\n"))
