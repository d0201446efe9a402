"""Connecting: TLS, login, folder, and what the administrator is told when it does not work."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import gc
import re
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from revscript.errors import AuthFailed, Downgrade, SourceError, Unreachable
from revscript.inbound.imap import ImapSource
from revscript.inbound.source import Throttled
from revscript.net import tls
from tests.inbound.mailboxes import imap
from tests.inbound.scripted import ScriptedImap
from tests.servers import free_ports
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import plain_mail

LOGIN_ONLY = {"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n"}


@pytest.fixture(autouse=True)
def no_socket_is_left_behind() -> Generator[None]:
    """A socket that nobody closed is a ResourceWarning, and that an error, when it is collected."""
    yield
    gc.collect()


def listed(source: ImapSource) -> int:
    session = source.connect()
    try:
        return len(session.list().mails)
    finally:
        session.close()


def refusal(source: ImapSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.connect()
    return caught.value


def test_starttls(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        assert listed(imap(proxy.port, mailbox_user, ca_file=dovecot.ca_pem)) == 1
        assert proxy.seen["up"] > 500  # a TLS handshake, and no short words in clear text


def test_implicit_tls(dovecot: Dovecot, mailbox_user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "IMPLICIT_PORTS", {dovecot.imaps})
    dovecot.deliver(mailbox_user, plain_mail(1))
    assert listed(imap(dovecot.imaps, mailbox_user, ca_file=dovecot.ca_pem)) == 1


def test_the_rule_of_the_ports() -> None:
    assert [tls.way(port) for port in (993, 995, 465)] == ["implicit"] * 3
    assert [tls.way(port) for port in (143, 110, 587, 25, 10993)] == ["starttls"] * 5


@pytest.mark.parametrize("implicit", [True, False])
def test_an_unknown_authority_is_refused(
    dovecot: Dovecot, mailbox_user: str, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    if implicit:
        monkeypatch.setattr(tls, "IMPLICIT_PORTS", {dovecot.imaps})
    error = refusal(imap(dovecot.imaps if implicit else dovecot.imap, mailbox_user))
    assert "is not trusted" in str(error)
    assert "ca_file" in error.hint


@pytest.mark.parametrize(
    ("kind", "words"), [("expired", "clock"), ("other_host", "as the certificate names it"), ("self_signed", "ca_file")]
)
def test_a_bad_certificate_says_what_to_do(
    ca: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    cert = {
        "expired": ca.issue(valid_until=dt.timedelta(hours=-1)),
        "other_host": ca.issue("anderswo.example"),
        "self_signed": ca.issue(self_signed=True),
    }[kind]
    with serving_tls(cert.server_context()) as port:
        monkeypatch.setattr(tls, "IMPLICIT_PORTS", {port})
        error = refusal(imap(port, ca_file=ca.write(tmp_path / "ca.pem")))
    assert words in error.hint
    assert not str(error).endswith("..")


@contextmanager
def serving_tls(context: ssl.SSLContext) -> Generator[int]:
    """A server that does a handshake with one client."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            with client, context.wrap_socket(client, server_side=True) as wrapped:
                wrapped.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def test_a_wrong_password_is_an_auth_failure(dovecot: Dovecot, mailbox_user: str) -> None:
    error = refusal(imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, password="wrong"))
    assert isinstance(error, AuthFailed)
    assert mailbox_user in str(error)
    assert "app password" in error.hint
    assert "wrong" not in str(error)


def test_the_password_is_never_shown() -> None:
    assert "hunter2" not in repr(imap(143, password="hunter2"))


def test_a_missing_folder_lists_the_folders(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1), "Prüfung & Co")
    error = refusal(imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, folders=["Pruefung"]))
    assert "'Pruefung' cannot be opened" in str(error)
    assert error.hint == "There are: INBOX, Prüfung & Co"


def test_folders_with_umlauts(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1), "Prüfung & Co")
    assert listed(imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, folders=["Prüfung & Co"])) == 1


def test_nobody_listens() -> None:
    error = refusal(imap(free_ports(1)[0]))
    assert isinstance(error, Unreachable)
    assert "refuses" in str(error)
    assert "firewall" in error.hint


# ------------------------------------------------------------ clear text


def test_clear_text_is_allowed_to_this_machine_only() -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "::1"):
        tls.require_clear_text_allowed(host, insecure=False, protocol="IMAP")
    for host in ("mail.fuest.example", "192.168.1.2", "localhost.fuest.example", "0.0.0.0", "127.0.0.1.example"):
        with pytest.raises(Downgrade, match="without encryption"):
            tls.require_clear_text_allowed(host, insecure=False, protocol="IMAP")
        tls.require_clear_text_allowed(host, insecure=True, protocol="IMAP")


def off_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule sees `localhost` as a host somewhere else; everything else is real."""

    def never(_host: str) -> bool:
        return False

    monkeypatch.setattr(tls, "is_loopback", never)


def test_stripped_starttls_is_never_followed_by_a_password(
    dovecot: Dovecot, mailbox_user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off_this_machine(monkeypatch)
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
        assert isinstance(refusal(imap(proxy.port, mailbox_user, ca_file=dovecot.ca_pem)), Downgrade)
        assert proxy.seen["up"] < 40  # a CAPABILITY, no LOGIN


def test_insecure_allows_clear_text(dovecot: Dovecot, mailbox_user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    off_this_machine(monkeypatch)
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
        assert listed(imap(proxy.port, mailbox_user, insecure=True)) == 0


def test_preauth_needs_no_login_here(monkeypatch: pytest.MonkeyPatch) -> None:
    says = {"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n"}
    with ScriptedImap(says, b"* PREAUTH hello\r\n") as server:
        imap(server.port).connect().close()
        assert not any("LOGIN" in line for line in server.said)
        off_this_machine(monkeypatch)
        assert isinstance(refusal(imap(server.port)), Downgrade)  # it leaves no place for STARTTLS


def test_what_is_put_in_before_the_encryption_begins_is_an_attack() -> None:
    says = {
        "CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n",
        "STARTTLS": b"%t OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    }
    with ScriptedImap(says) as server:
        refused = refusal(imap(server.port))
        assert isinstance(refused, Downgrade)
        assert "put in" in str(refused)
        assert not any("LOGIN" in line for line in server.said)


# ------------------------------------------------------------ logins


def test_names_and_passwords_are_quoted() -> None:
    with ScriptedImap(LOGIN_ONLY) as server:
        imap(server.port, 'Max "Post" \\ Muster', password='se "cret\\').connect().close()
    assert 'LOGIN "Max \\"Post\\" \\\\ Muster" "se \\"cret\\\\"' in server.said[1]


@pytest.mark.parametrize(("capability", "password"), [(b"", "müllers Hund"), (b"LOGINDISABLED", "plain")])
def test_sasl_plain_where_login_cannot_do_it(capability: bytes, password: str) -> None:
    with ScriptedImap({"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN " + capability + b"\r\n"}) as server:
        imap(server.port, "post", password=password).connect().close()
    assert f"\0post\0{password}" in [_decoded(line) for line in server.said]
    assert not any(" LOGIN " in line for line in server.said)


def _decoded(line: str) -> str:
    return base64.b64decode(line).decode() if re.fullmatch(r"[A-Za-z0-9+/]{8,}=*", line) else ""


@pytest.mark.parametrize("answer", [b"* BYE too many connections\r\n", b"%t NO [UNAVAILABLE] later\r\n"])
def test_a_login_that_breaks_off_is_no_wrong_password(answer: bytes) -> None:
    with ScriptedImap(LOGIN_ONLY | {"LOGIN": answer}) as server:
        error = refusal(imap(server.port))
    assert isinstance(error, Unreachable)
    assert "does not let us in now" in str(error)


def test_exchange_says_that_it_is_not_connected() -> None:
    with ScriptedImap({"SELECT": b"%t BAD User is authenticated but not connected.\r\n"}) as server:
        error = refusal(imap(server.port))
    assert isinstance(error, Unreachable)
    assert "throttles" in error.hint


def test_a_server_may_ask_for_a_pause() -> None:
    with ScriptedImap({"SELECT": b"%t NO Throttled. Suggested Backoff Time: 299961 milliseconds\r\n"}) as server:
        error = refusal(imap(server.port))
    assert isinstance(error, Throttled)
    assert error.seconds == pytest.approx(299.961)


def test_a_folder_that_can_only_be_read() -> None:
    with ScriptedImap({"SELECT": b"* 1 EXISTS\r\n%t OK [READ-ONLY] done\r\n"}) as server:
        assert '"after": "none"' in refusal(imap(server.port)).hint
        assert listed(imap(server.port, after="none")) == 0
    assert any("EXAMINE" in line for line in server.said)
