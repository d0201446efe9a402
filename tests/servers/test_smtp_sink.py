"""The SMTP sink keeps, refuses and drops as told."""

from __future__ import annotations

import smtplib
import socket
import time
from typing import Any

import pytest

from tests.servers.ca import CertificateAuthority
from tests.servers.mails import plain_mail
from tests.servers.smtp_sink import Security, SmtpSink

POST = "post@command.example"


def submit(sink: SmtpSink, *recipients: str, raw: bytes = b"Subject: x\r\n\r\n.dot\r\n") -> dict[str, Any]:
    with smtplib.SMTP(sink.host, sink.port, "test.example", timeout=1) as smtp:
        return smtp.sendmail("a@firma.example", recipients or (POST,), raw)


def test_the_sink_keeps_what_it_gets(smtp_sink: SmtpSink) -> None:
    submit(smtp_sink, "a@x.example", "b@x.example")
    (message,) = smtp_sink.wait_for(1)
    assert message.sender == "a@firma.example"
    assert message.recipients == ("a@x.example", "b@x.example")
    assert message.raw == b"Subject: x\r\n\r\n.dot\r\n"
    assert (message.tls, message.login) == (False, None)
    assert abs(time.monotonic() - message.at) < 5


def test_recipients_can_be_refused_by_name(smtp_sink: SmtpSink) -> None:
    refused = submit(smtp_sink, "temp451@x.example", POST, "perm550@x.example")
    assert {address: code for address, (code, _) in refused.items()} == {
        "temp451@x.example": 451,
        "perm550@x.example": 550,
    }
    assert smtp_sink.wait_for(1)[0].recipients == (POST,)


def test_answers_to_data_are_scripted(smtp_sink: SmtpSink) -> None:
    smtp_sink.next_data("452 4.2.2 full", SmtpSink.DROP, SmtpSink.STALL)
    with pytest.raises(smtplib.SMTPDataError, match="full"):
        submit(smtp_sink)
    assert not smtp_sink.messages
    with pytest.raises(smtplib.SMTPServerDisconnected):
        submit(smtp_sink)
    assert len(smtp_sink.messages) == 1
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        submit(smtp_sink)
    submit(smtp_sink)
    assert len(smtp_sink.wait_for(2)) == 2
    assert [attempt.kept for attempt in smtp_sink.attempts] == [False, True, False, True]
    smtp_sink.clear()
    with pytest.raises(TimeoutError):
        smtp_sink.wait_for(1, timeout=0.05)


def connect(sink: SmtpSink) -> smtplib.SMTP:
    if sink.security == "implicit":
        context = sink.ca.client_context
        return smtplib.SMTP_SSL(sink.host, sink.port, "test.example", timeout=5, context=context)
    return smtplib.SMTP(sink.host, sink.port, "test.example", timeout=5)


@pytest.mark.parametrize("security", ["plain", "starttls", "implicit"])
def test_the_sink_demands_tls_and_login(ca: CertificateAuthority, security: Security) -> None:
    with (
        SmtpSink(ca, security=security, login=("user", "word")) as sink,
        connect(sink) as smtp,
    ):
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            smtp.sendmail("a@x.example", POST, b"x")
        if security == "starttls":
            smtp.starttls(context=ca.client_context)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("user", "wrong")
        smtp.login("user", "word")
        smtp.sendmail("a@x.example", POST, b"x")
        assert sink.wait_for(1)[0].login == "user"
        assert sink.messages[0].tls == (security != "plain")


def test_a_mail_over_the_size_limit_is_refused(ca: CertificateAuthority) -> None:
    with SmtpSink(ca, size_limit=1000) as sink, pytest.raises(smtplib.SMTPSenderRefused, match="552"):
        submit(sink, raw=plain_mail(1, 2000))


def test_stopping_the_sink_closes_open_connections(ca: CertificateAuthority) -> None:
    sink = SmtpSink(ca).start()
    with socket.create_connection((sink.host, sink.port), timeout=5) as client:
        assert client.recv(100).startswith(b"220")
        sink.stop()
        assert client.recv(100) == b""
