"""The Dovecot and the certificates of the tests do what the other tests rely on."""

from __future__ import annotations

import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from datetime import timedelta
from imaplib import IMAP4
from typing import Any, cast

import pytest
from imapclient import IMAPClient

from tests.servers.ca import CertificateAuthority, ServerCert
from tests.servers.dovecot import PASSWORD, Dovecot, listens
from tests.servers.mails import plain_mail


def bodies(client: IMAPClient, folder: str = "INBOX") -> list[bytes]:
    client.select_folder(folder, readonly=True)
    uids = client.search()
    answer = cast("dict[int, dict[bytes, Any]]", client.fetch(uids, ["BODY.PEEK[]"]) if uids else {})
    return [answer[uid][b"BODY[]"] for uid in sorted(answer)]


def test_delivered_mails_are_there_at_once_in_order_and_byte_for_byte(dovecot: Dovecot, mailbox_user: str) -> None:
    mails = [plain_mail(i, 500) for i in range(120)]
    assert dovecot.deliver_many(mailbox_user, mails) == 120
    with dovecot.imap_client(mailbox_user) as client:
        assert bodies(client) == mails
    assert dovecot.count(mailbox_user) == 120


def test_folders_may_have_any_name(dovecot: Dovecot, mailbox_user: str) -> None:
    folder = "Prüfung & Co.Übung"
    assert dovecot.count(mailbox_user, folder) == 0
    dovecot.deliver(mailbox_user, plain_mail(1), folder)
    assert dovecot.count(mailbox_user, folder) == 1
    assert dovecot.count(mailbox_user) == 0


def test_flags_are_those_of_the_server(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver_many(mailbox_user, [plain_mail(1), plain_mail(2)])
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([1], [b"\\Seen", b"$revscript"], silent=True)
    assert dovecot.flags(mailbox_user) == {1: {"\\Seen", "$revscript"}, 2: set()}


def test_lmtp_delivers(dovecot: Dovecot, mailbox_user: str) -> None:
    with smtplib.LMTP(dovecot.host, dovecot.lmtp, local_hostname="test.example", timeout=10) as lmtp:
        lmtp.sendmail("a@firma.example", [mailbox_user], plain_mail(7))
    with dovecot.imap_client(mailbox_user) as client:
        assert bodies(client)[0].endswith(plain_mail(7))


def test_pop3_gives_the_same_mail(dovecot: Dovecot, mailbox_user: str, ca: CertificateAuthority) -> None:
    dovecot.deliver(mailbox_user, plain_mail(7))
    pop = poplib.POP3_SSL(dovecot.host, dovecot.pop3s, timeout=10, context=ca.client_context)
    pop.user(mailbox_user)
    pop.pass_(PASSWORD)
    assert b"\r\n".join(pop.retr(1)[1]) + b"\r\n" == plain_mail(7)
    pop.quit()


def test_wrong_passwords_earn_no_penalty(dovecot: Dovecot, mailbox_user: str) -> None:
    with IMAPClient(dovecot.host, dovecot.imap, ssl=False, timeout=2) as client:
        for _ in range(2):
            with pytest.raises(IMAPClient.Error, match="Authentication failed"):
                client.login(mailbox_user, "wrong")


def test_a_new_uidvalidity_numbers_the_same_mails_anew(dovecot: Dovecot, mailbox_user: str) -> None:
    dovecot.deliver_many(mailbox_user, [plain_mail(i) for i in range(3)])
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.delete_messages([1])
        client.expunge()
        client.add_flags([3], [b"\\Seen"])
        before = dovecot.uidvalidity(mailbox_user)
        dovecot.change_uidvalidity(mailbox_user)
        with pytest.raises((OSError, IMAP4.error)):
            client.noop()
    assert dovecot.uidvalidity(mailbox_user) != before
    assert dovecot.flags(mailbox_user) == {1: set(), 2: {"\\Seen"}}
    before = dovecot.uidvalidity(mailbox_user)
    dovecot.change_uidvalidity(mailbox_user)
    assert dovecot.uidvalidity(mailbox_user) != before


def test_a_crash_keeps_mails_and_ports(ca: CertificateAuthority, mailbox_user: str) -> None:
    with Dovecot(ca) as server:
        server.deliver(mailbox_user, plain_mail(1))
        client = server.imap_client(mailbox_user)
        server.kill_and_restart()
        with pytest.raises((OSError, IMAP4.error)):
            client.noop()
        client.shutdown()
        assert server.count(mailbox_user) == 1
    assert not server.directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.imap), timeout=1)


def test_a_start_that_fails_shows_the_log(ca: CertificateAuthority) -> None:
    server = Dovecot(ca, extra="no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match="no_such_setting"):
        server.start()
    assert not server.directory.exists()


def test_it_does_not_outlive_the_tests() -> None:
    code = (
        "import os; from tests.servers.dovecot import Dovecot; server = Dovecot().start();"
        "print(server.imap, server.directory, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    port, directory = done.stdout.split()
    deadline = time.monotonic() + 5
    while listens(int(port)):
        assert time.monotonic() < deadline
    shutil.rmtree(directory)


def test_bad_certificates_are_told_apart(ca: CertificateAuthority) -> None:
    assert handshake(ca, ca.issue()) == ""
    assert "expired" in handshake(ca, ca.issue(valid_until=timedelta(hours=-1)))
    assert "mismatch" in handshake(ca, ca.issue("other.example"))
    assert "self-signed" in handshake(ca, ca.issue(self_signed=True))
    assert "unable to get local issuer" in handshake(ca, CertificateAuthority().issue())


def handshake(ca: CertificateAuthority, cert: ServerCert) -> str:
    """The client's complaint about this certificate, without a network."""
    server_in, client_in = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ca.client_context.wrap_bio(client_in, server_in, server_hostname="localhost")
    server = cert.server_context().wrap_bio(server_in, client_in, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return str(error)
    return ""
