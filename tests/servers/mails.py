"""Invented mails: alarms in the layout of a German control centre, and plain ones of any size and number."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

CONTROL_CENTRE = "leitstelle@ils-musterland.example"
COMMAND_POST = "alarm@tel-musterstadt.example"

_ALARM = """\
ALARMFAX      Absender : ILS Musterland      Einsatznummer : {number}
------------------------ EINSATZORT ------------------------
Straße : Beispielweg             Haus-Nr.: 7 f
Ort : {place}
Objekt : Lager: Halle 3
Koordinate : POINT(50.000000 9.000000)
------------------------ EINSATZGRUND ----------------------
Stichwort : {keyword}              Prio. : 1
------------------------ EINSATZMITTEL ---------------------
Name : Florian Musterstadt 40/1
Alarmiert : {date:%d.%m.%Y %H:%M}        Aus :
Name : Florian Musterstadt 11/1
------------------------- BEMERKUNG ------------------------
starke Rauchentwicklung, Zufahrt: Tor 2
{padding}ENDE ALARMFAX
"""
_LINE = "Lagemeldung ohne neue Erkenntnisse, weitere Erkundung laeuft, Ende.\n"


@dataclass(frozen=True)
class Attachment:
    """A file for `alarm_mail`."""

    name: str
    data: bytes
    content_type: str = "application/octet-stream"


def alarm_mail(
    *,
    number: str = "T 3.1 991123 0007",
    keyword: str = "B 3",
    place: str = "99999 Musterstadt - Nirgendwo",
    size: int = 0,
    attachments: Sequence[Attachment] = (),
    message_id: str | None = None,
    date: dt.datetime | None = None,
    sender: str = CONTROL_CENTRE,
    recipient: str = COMMAND_POST,
) -> bytes:
    """An alarm fax as a mail of at least `size` bytes.

    Without `message_id` each mail gets another one; the empty string leaves the header out. `date` is
    now unless given.
    """
    date = date or dt.datetime.now(dt.UTC)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = f"ILS Musterland <{sender}>"
    mail["To"] = recipient
    mail["Subject"] = f"Einsatz {number}: {keyword}, {place}"
    mail["Date"] = format_datetime(date)
    if message_id != "":
        mail["Message-ID"] = message_id or f"<{uuid.uuid4()}@ils-musterland.example>"
    text = _ALARM.format(number=number, keyword=keyword, place=place, date=date, padding="{padding}")
    _fill(mail, text.replace("{padding}", ""), attachments)
    missing = size - len(mail.as_bytes())
    if missing > 0:
        mail.clear_content()
        _fill(mail, text.replace("{padding}", _LINE * (missing // len(_LINE) + 1)), attachments)
    return mail.as_bytes()


def plain_mail(i: int, size: int = 0, *, recipient: str = COMMAND_POST) -> bytes:
    """Mail number `i`, always the same bytes: `size` of them, or more if the header alone is longer."""
    head = (
        f"From: Muster <absender{i % 10}@firma.example>\r\n"
        f"To: {recipient}\r\n"
        f"Subject: Meldung {i}\r\n"
        f"Message-ID: <meldung-{i}@firma.example>\r\n"
        "Date: Mon, 23 Nov 2026 14:15:07 +0100\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "\r\n"
        f"Meldung Nummer {i}\r\n"
    ).encode()
    missing = max(0, size - len(head))
    line = b"x" * 70 + b"\r\n"
    body = line * (missing // len(line) + 1)
    return head + body[len(body) - missing :]


def _fill(mail: EmailMessage, text: str, attachments: Sequence[Attachment]) -> None:
    mail.set_content(text)
    for attachment in attachments:
        main, _, sub = attachment.content_type.partition("/")
        mail.add_attachment(attachment.data, maintype=main, subtype=sub, filename=attachment.name)
