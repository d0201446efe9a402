"""Handing a mail to a server: ways of protection, logins, and every kind of no."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from revscript.config import PasswordAuthentication, Smtp
from revscript.config.secrets import Secret
from revscript.errors import DeliveryFailed
from revscript.net import tls
from revscript.outbound.delivery import Delivery
from revscript.outbound.smtp import SmtpServer
from tests.servers import free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.fault_proxy import FaultProxy
from tests.servers.smtp_sink import Security, SmtpSink

SENDER = "einsatz@fuest.example"
RAW = b"Subject: Lage\r\n\r\n.\r\n..x\r\nEnde\r\n"


def login(password: str = "word") -> PasswordAuthentication:
    return PasswordAuthentication(username="user", password=Secret(password))


def server(port: int, *, timeout: float = 5, deadline: float = 20, **more: Any) -> SmtpServer:
    settings = Smtp.model_validate({"host": "localhost", "port": port, "insecure": more.get("insecure", False)})
    return SmtpServer(settings, more.get("login"), more.get("ca_file"), timeout, deadline)


def send(
    to: SmtpServer, recipients: Sequence[str] = ("s1@x.example",), raw: bytes = RAW, sender: str = SENDER
) -> Delivery:
    delivery = Delivery()
    to.send(sender, recipients, raw, delivery)
    return delivery


def failure(to: SmtpServer, recipients: Sequence[str] = ("s1@x.example",), raw: bytes = RAW) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        send(to, recipients, raw)
    return caught.value


# ------------------------------------------------------------ protection and login


def test_plain_to_this_machine(smtp_sink: SmtpSink) -> None:
    delivery = send(server(smtp_sink.port), ["s1@x.example", "s2@x.example"])
    (message,) = smtp_sink.messages
    assert message.raw == RAW
    assert message.recipients == ("s1@x.example", "s2@x.example")
    assert message.sender == SENDER
    assert delivery.accepted == dict.fromkeys(message.recipients, "2.0.0 kept")
    assert not delivery.refused
    assert not delivery.later


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_tls_and_login(
    ca: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: Security
) -> None:
    ca_file = ca.write(tmp_path / "ca.pem")
    with SmtpSink(ca, security=security, login=("user", "word")) as sink:
        monkeypatch.setattr(tls, "IMPLICIT_PORTS", {sink.port} if security == "implicit" else frozenset[int]())
        send(server(sink.port, login=login(), ca_file=ca_file))
        (message,) = sink.messages
        assert (message.tls, message.login) == (True, "user")
        error = failure(server(sink.port, login=login()))
        assert "not trusted" in str(error)
        assert "ca_file" in error.hint
        assert not error.permanent
        assert len(sink.attempts) == 1


@pytest.mark.parametrize("password", ["wrong", "müllers Hund"])
def test_a_refused_login_is_not_permanent(ca: CertificateAuthority, password: str) -> None:
    with SmtpSink(ca, login=("user", "word")) as sink:
        error = failure(server(sink.port, login=login(password)))
    assert not error.permanent
    assert "refused the login: 535" in str(error)
    assert "password" in error.hint


def test_a_password_with_umlauts(ca: CertificateAuthority) -> None:
    with SmtpSink(ca, login=("user", "müllers Hund")) as sink:
        send(server(sink.port, login=login("müllers Hund")))
        assert sink.messages[0].login == "user"


@pytest.mark.parametrize("mechanisms", [b"AUTH LOGIN", b"AUTH CRAM-MD5", b"X"])
def test_other_mechanisms(ca: CertificateAuthority, mechanisms: bytes) -> None:
    with SmtpSink(ca, login=("user", "word")) as sink, FaultProxy(sink.host, sink.port) as proxy:
        proxy.rewrite("down", rb"AUTH LOGIN PLAIN", mechanisms)
        if mechanisms == b"AUTH LOGIN":
            send(server(proxy.port, login=login()))
            assert sink.messages[0].login == "user"
        else:
            error = failure(server(proxy.port, login=login()))
            assert not error.permanent
            assert "PLAIN" in str(error)


def test_a_login_that_is_missing_is_not_permanent(ca: CertificateAuthority) -> None:
    with SmtpSink(ca, login=("user", "word")) as sink:
        error = failure(server(sink.port))
    assert not error.permanent
    assert "530" in str(error)
    assert "authentication" in error.hint


def test_no_password_in_clear_text_to_other_machines(ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_host: str) -> bool:
        return False

    monkeypatch.setattr(tls, "is_loopback", never)
    with SmtpSink(ca, login=("user", "word")) as sink:
        error = failure(server(sink.port, login=login()))
        assert "without encryption" in str(error)
        assert not error.permanent
        assert not sink.attempts
        send(server(sink.port, login=login(), insecure=True))
        assert len(sink.messages) == 1


# ------------------------------------------------------------ refusals


def test_some_recipients_are_refused(smtp_sink: SmtpSink) -> None:
    delivery = send(server(smtp_sink.port), ["s1@x.example", "perm550@x.example", "temp451@x.example", "s2@x.example"])
    assert smtp_sink.messages[0].recipients == ("s1@x.example", "s2@x.example")
    assert set(delivery.accepted) == {"s1@x.example", "s2@x.example"}
    assert delivery.refused == {"perm550@x.example": "550 5.1.1 scripted refusal"}
    assert delivery.later == {"temp451@x.example": "451 4.1.1 scripted refusal"}


def test_all_recipients_are_refused(smtp_sink: SmtpSink) -> None:
    delivery = send(server(smtp_sink.port), ["perm550@x.example", "temp451@x.example"])
    assert not delivery.accepted
    assert (list(delivery.refused), list(delivery.later)) == (["perm550@x.example"], ["temp451@x.example"])
    assert not smtp_sink.attempts


def test_too_many_recipients_come_later(smtp_sink: SmtpSink) -> None:
    assert send(server(smtp_sink.port), ["s1@x.example", "perm552@x.example"]).later.keys() == {"perm552@x.example"}


@pytest.mark.parametrize(
    ("command", "answer", "permanent"),
    [
        (b"MAIL", b"451 4.3.0 later", False),
        (b"MAIL", b"550 5.7.1 not you", True),
        (b"MAIL", b"421 4.7.0 too many", False),
        (b"MAIL", b"530 5.7.0 log in", False),
        (b"RCPT", b"421 4.7.0 too many", False),
        (b"RCPT", b"535 5.7.3 log in", False),
        (b"DATA", b"451 4.3.0 later", False),
        (b"DATA", b"554 5.5.1 no", True),
        (b"DATA", b"nonsense", False),
        (b"EHLO|HELO", b"550 5.7.0 not here", False),
    ],
)
def test_refusals_of_the_whole_mail(smtp_sink: SmtpSink, command: bytes, answer: bytes, permanent: bool) -> None:
    with FaultProxy(smtp_sink.host, smtp_sink.port) as proxy:
        proxy.rewrite("up", rb"(?i)\b(" + command + rb")\b[^\r]*", b"XNO")  # a command that the sink refuses with 500
        proxy.rewrite("down", rb"500 [^\r]*", answer)
        error = failure(server(proxy.port))
    assert error.permanent is permanent
    assert answer.decode().replace("nonsense", "") in str(error)
    assert not smtp_sink.messages


@pytest.mark.parametrize(("answer", "permanent"), [("452 4.2.2 full", False), ("554 5.7.1 spam", True)])
def test_refusals_after_the_mail(smtp_sink: SmtpSink, answer: str, permanent: bool) -> None:
    smtp_sink.next_data(answer)
    error = failure(server(smtp_sink.port))
    assert error.permanent is permanent
    assert str(error) == f"The server said: {answer}"


def test_too_big_is_permanent(ca: CertificateAuthority) -> None:
    with SmtpSink(ca, size_limit=10_000) as sink:
        error = failure(server(sink.port), raw=RAW + b"x" * 70 + b"\r\n" * 10_000)
        assert error.permanent
        assert "552" in str(error)
        assert not sink.messages


def test_recipients_beyond_ascii(smtp_sink: SmtpSink) -> None:
    send(server(smtp_sink.port), ["müller@x.example", "s1@x.example"])
    assert smtp_sink.messages[0].recipients == ("müller@x.example", "s1@x.example")
    with FaultProxy(smtp_sink.host, smtp_sink.port) as proxy:
        proxy.rewrite("down", b"SMTPUTF8", b"SMTPLATIN")
        delivery = send(server(proxy.port), ["müller@x.example", "s1@x.example"])
        assert delivery.refused.keys() == {"müller@x.example"}
        assert smtp_sink.messages[1].recipients == ("s1@x.example",)
        with pytest.raises(DeliveryFailed, match="ASCII"):
            send(server(proxy.port), sender="müller@fuest.example")


# ------------------------------------------------------------ broken connections


def test_a_lost_answer_is_unknown_and_not_permanent(smtp_sink: SmtpSink) -> None:
    smtp_sink.next_data(SmtpSink.DROP)
    assert not failure(server(smtp_sink.port)).permanent
    assert len(smtp_sink.messages) == 1


def test_a_server_that_stalls_meets_the_deadline(smtp_sink: SmtpSink) -> None:
    smtp_sink.next_data(SmtpSink.STALL)
    started = time.monotonic()
    error = failure(server(smtp_sink.port, timeout=0.4, deadline=0.8))
    assert 0.7 < time.monotonic() - started < 3
    assert "in time" in str(error)
    assert not error.permanent


def test_a_server_that_trickles_meets_the_deadline(smtp_sink: SmtpSink) -> None:
    with FaultProxy(smtp_sink.host, smtp_sink.port) as proxy:
        proxy.rate("down", 100)
        started = time.monotonic()
        assert "in time" in str(failure(server(proxy.port, timeout=0.3, deadline=0.5)))
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("fault", ["refuse", "blackhole", "greeting", "nobody"])
def test_servers_that_cannot_be_reached(smtp_sink: SmtpSink, fault: str) -> None:
    with FaultProxy(smtp_sink.host, smtp_sink.port) as proxy:
        if fault == "refuse":
            proxy.refuse()
        elif fault == "blackhole":
            proxy.blackhole()
        elif fault == "greeting":
            proxy.rewrite("down", rb"220 [^\r]*", b"554 5.3.2 no service here")
        port = free_ports(1)[0] if fault == "nobody" else proxy.port
        error = failure(server(port, timeout=0.2))
    assert not error.permanent
    assert "localhost" in str(error)


def test_a_goodbye_that_never_comes_does_not_matter(smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("revscript.outbound.smtp_client.GOODBYE", 0.1)
    with FaultProxy(smtp_sink.host, smtp_sink.port) as proxy:
        proxy.rewrite("up", rb"(?i)quit\r\n", b"")
        started = time.monotonic()
        assert send(server(proxy.port)).accepted
        assert time.monotonic() - started < 3
