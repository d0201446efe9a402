"""The invented mails are well-formed."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from tests.servers.mails import Attachment, alarm_mail, plain_mail


def test_alarm_mails_are_well_formed() -> None:
    raw = alarm_mail(number="4711", size=30_000, attachments=[Attachment("plan.pdf", b"%PDF-", "application/pdf")])
    assert len(raw) >= 30_000
    assert b"\n" not in raw.replace(b"\r\n", b"")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == "Einsatz 4711: B 3, 99999 Musterstadt - Nirgendwo"
    text = mail.get_body()
    assert text is not None
    assert "Einsatznummer : 4711" in text.get_content()
    (attachment,) = mail.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("plan.pdf", b"%PDF-")


def test_message_ids_are_new_given_or_absent() -> None:
    def message_id(**options: Any) -> str | None:
        return email.message_from_bytes(alarm_mail(**options))["Message-ID"]

    assert message_id() != message_id()
    assert message_id(message_id="<1@x.example>") == "<1@x.example>"
    assert message_id(message_id="") is None


@pytest.mark.parametrize("size", [1_000, 20_000, 20_071])
def test_plain_mails_have_their_size(size: int) -> None:
    assert len(plain_mail(3, size)) == size
    assert plain_mail(3, size) == plain_mail(3, size) != plain_mail(4, size)
