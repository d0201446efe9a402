"""TLS contexts and explanations; cables that are cut."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from revscript.config import Smtp
from revscript.errors import DeliveryFailed, SourceError, Unreachable
from revscript.net import tls
from revscript.net.cable import Cable
from revscript.outbound.delivery import Delivery
from revscript.outbound.smtp import SmtpServer
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.smtp_sink import Security, SmtpSink


def test_contexts_are_shared_until_the_file_changes(ca: CertificateAuthority, tmp_path: Path) -> None:
    path = ca.write(tmp_path / "ca.pem")
    first = tls.context(path)
    assert tls.context(path) is first
    assert tls.context(None) is tls.context(None)
    assert tls.context(None) is not first
    CertificateAuthority("another").write(path)
    os.utime(path, ns=(1, 1))
    second = tls.context(path)
    assert second is not first
    assert second.get_ca_certs() != first.get_ca_certs()


def test_contexts_check_everything() -> None:
    context = tls.context(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_ca_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"ca_file .*ca\.pem") as caught:
        tls.context(path)
    assert "PEM" in caught.value.hint


def test_a_broken_tls_connection_is_no_wrong_setting() -> None:
    for error in (ssl.SSLEOFError(8, "EOF occurred"), ssl.SSLZeroReturnError(6, "closed")):
        explained = tls.explain(error, "mail.example")
        assert isinstance(explained, Unreachable)
        assert "closed the connection" in str(explained)


def test_explanations_name_the_way_out() -> None:
    old = ssl.SSLError(1, "x")
    old.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    assert "TLS 1.2" in tls.explain(old, "mail.example").hint
    plain = ssl.SSLError(1, "x")
    plain.reason = "WRONG_VERSION_NUMBER"
    assert "port" in tls.explain(plain, "mail.example").hint


# ------------------------------------------------------------ cables


def ended(work: Callable[[], object]) -> tuple[threading.Thread, list[OSError]]:
    """A thread that does something which ends with an error."""
    errors: list[OSError] = []

    def run() -> None:
        try:
            work()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_cutting_ends_a_read_and_all_later_connections() -> None:
    cable = Cable()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with cable.dial("localhost", port, 10) as sock:
            thread, _ = ended(lambda: sock.recv(1))
            time.sleep(0.05)
            cable.cut()
            thread.join(1)
            assert not thread.is_alive()
            assert sock.recv(1) == b""
        with pytest.raises(OSError, match="stops"):
            cable.dial("localhost", port, 10)
        cable.close()


def test_cutting_ends_a_connect() -> None:
    cable = Cable()
    with socket.create_server(("127.0.0.1", 0), backlog=1) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:  # nobody accepts: the next one's SYN is not answered
            one.setblocking(False)
            one.connect_ex(address)
        thread, errors = ended(lambda: cable.dial(address[0], address[1], 10))
        time.sleep(0.1)
        assert thread.is_alive()
        cable.cut()
        thread.join(1)
        assert not thread.is_alive()
        assert errors
        for one in waiting:
            one.close()
        cable.close()


def test_cutting_never_writes_in_clear_text(ca: CertificateAuthority) -> None:
    """A thread that sends while the cable is cut gets an error; the other side reads no byte outside TLS."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            context = ca.issue().server_context()
            with client, context.wrap_socket(client, server_side=True, suppress_ragged_eofs=False) as wrapped:
                wrapped.recv(10)
                time.sleep(0.1)
                raw = socket.socket.recv
                while data := raw(wrapped, 65536):
                    received.extend(data)

        other, _ = ended(serve)
        cable = Cable()
        raw = cable.dial("127.0.0.1", server.getsockname()[1], 5)
        wrapped = ca.client_context.wrap_socket(raw, server_hostname="127.0.0.1")
        sender, errors = ended(lambda: [wrapped.sendall(b"SECRET" * 1000) for _ in range(10_000)])
        time.sleep(0.05)
        cable.cut()
        sender.join(5)
        wrapped.close()
        cable.close()
        other.join(5)
    assert errors
    assert received
    assert b"SECRET" not in received


def test_a_deadline_names_itself() -> None:
    cable = Cable()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        cable.dial("127.0.0.1", server.getsockname()[1], 10) as sock,
    ):
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="took longer than"), cable.deadline(0.1):
            sock.sendall(sock.recv(1) or b"the connection was cut, so this fails")
        assert time.monotonic() - started < 1
        with pytest.raises(KeyError), cable.deadline(10):
            raise KeyError
    cable.close()


def test_the_last_of_several_addresses_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        bad = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))

        def two(*_: object, **__: object) -> list[object]:
            return [bad, good]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        cable = Cable()
        cable.dial("mail.example", port, 1).close()
        cable.close()


# ------------------------------------------------------------ certificates that are not checked, and their end


def test_an_ignored_certificate_is_no_reason_for_old_tls() -> None:
    context = tls.context(None, ignore_certificate=True)
    assert context is tls.context(None, ignore_certificate=True)
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.context(None).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_sending_with_an_ignored_certificate(
    ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, security: Security
) -> None:
    with SmtpSink(ca, security=security) as sink:
        monkeypatch.setattr(tls, "IMPLICIT_PORTS", {sink.port} if security == "implicit" else set[int]())
        settings = Smtp(host="localhost", port=sink.port)
        checked = SmtpServer(settings, None, None, 5, 20)
        with pytest.raises(DeliveryFailed, match="not trusted"):
            checked.send("a@fuest.example", ["b@fuest.example"], b"\r\n", Delivery())
        unchecked = SmtpServer(settings, None, None, 5, 20, ignore_certificate=True)
        unchecked.send("a@fuest.example", ["b@fuest.example"], b"Subject: x\r\n\r\n", Delivery())
        assert len(sink.messages) == 1


def test_the_end_of_a_certificate(dovecot: Dovecot) -> None:
    with dovecot.imap_client("post") as client:
        expires = tls.certificate_expires(client.socket())
    assert expires
    assert timedelta(days=24) < expires - datetime.now(UTC) < timedelta(days=26)
    with dovecot.imap_client("post", tls=False) as client:
        assert tls.certificate_expires(client.socket()) is None
