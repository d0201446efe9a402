"""Each fault of the proxy shows the effect that clients have to survive."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from imaplib import IMAP4
from typing import Any, cast

import pytest
from imapclient import IMAPClient

from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy, How
from tests.servers.mails import plain_mail


@pytest.fixture
def big_box(dovecot: Dovecot, mailbox_user: str) -> str:
    """A mailbox with one mail of 200 KB."""
    dovecot.deliver(mailbox_user, plain_mail(1, 200_000))
    return mailbox_user


def fetch(client: IMAPClient) -> bytes:
    client.select_folder("INBOX", readonly=True)
    answer = cast("dict[int, dict[bytes, Any]]", client.fetch([1], ["BODY.PEEK[]"]))
    return answer[1][b"BODY[]"]


def through(dovecot: Dovecot, proxy: FaultProxy, user: str, *, timeout: float = 1.0) -> IMAPClient:
    return dovecot.imap_client(user, port=proxy.port, timeout=timeout)


def test_a_proxy_without_faults_changes_nothing(dovecot: Dovecot, big_box: str) -> None:
    with FaultProxy(dovecot.host, dovecot.imaps) as proxy:
        with through(dovecot, proxy, big_box) as client:
            assert proxy.open_connections == 1
            assert fetch(client) == plain_mail(1, 200_000)
        assert proxy.seen["down"] > 200_000 > proxy.seen["up"] > 0


@pytest.mark.parametrize("how", ["rst", "fin", "half", "hang"])
def test_a_cut_in_the_middle_is_seen_and_heals(dovecot: Dovecot, big_box: str, how: How) -> None:
    with FaultProxy(dovecot.host, dovecot.imaps) as proxy:
        client = through(dovecot, proxy, big_box)
        proxy.limit("down", 50_000, how=how)
        with pytest.raises(TimeoutError if how == "hang" else (OSError, IMAP4.abort)):
            fetch(client)
        client.shutdown()
        proxy.heal()
        with through(dovecot, proxy, big_box) as client:
            assert fetch(client)


def test_a_hanging_connection_goes_on_when_healed(dovecot: Dovecot) -> None:
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.limit("down", 3, how="hang")
        with socket.create_connection((proxy.host, proxy.port), timeout=1) as client:
            assert client.recv(100) == b"* O"
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(100)
            proxy.heal()
            client.settimeout(1)
            assert client.recv(100).startswith(b"K ")


def test_a_reset_and_a_close_differ(dovecot: Dovecot) -> None:
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        for how, outcome in (("fin", b""), ("half", b""), ("rst", ConnectionResetError)):
            proxy.limit("down", 3, how=cast("How", how))
            with socket.create_connection((proxy.host, proxy.port), timeout=1) as client:
                assert client.recv(3) == b"* O"
                if isinstance(outcome, bytes):
                    assert client.recv(100) == outcome
                else:
                    with pytest.raises(outcome):
                        client.recv(100)


def test_a_black_hole_swallows_and_the_connection_stays_dead(dovecot: Dovecot, big_box: str) -> None:
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        client = dovecot.imap_client(big_box, port=proxy.port, tls=False, timeout=0.2)
        proxy.blackhole()
        with pytest.raises(TimeoutError):
            client.noop()
        proxy.heal()
        with pytest.raises(OSError, match="timed out"):
            client.noop()
        client.shutdown()
        through_again = dovecot.imap_client(big_box, port=proxy.port, tls=False)
        through_again.logout()


def test_refused_and_reset_connections(dovecot: Dovecot, big_box: str) -> None:
    with FaultProxy(dovecot.host, dovecot.imaps) as proxy:
        client = through(dovecot, proxy, big_box)
        proxy.reset_all()
        with pytest.raises((OSError, IMAP4.abort)):
            client.noop()
        client.shutdown()
        proxy.refuse()
        # A bare socket: imapclient leaves its own open when the greeting fails.
        with socket.socket() as bare, pytest.raises(ConnectionError):
            greet(bare, proxy)
        proxy.heal()
        through(dovecot, proxy, big_box).logout()
        assert proxy.accepted == 3


def greet(sock: socket.socket, proxy: FaultProxy) -> bytes:
    sock.settimeout(1)
    sock.connect((proxy.host, proxy.port))
    return sock.recv(100)


def test_a_server_that_is_gone_resets_the_client() -> None:
    with FaultProxy("127.0.0.1", 9) as proxy, socket.socket() as sock, pytest.raises(ConnectionError):
        greet(sock, proxy)


def test_latency_and_rate_slow_down(dovecot: Dovecot, big_box: str) -> None:
    with FaultProxy(dovecot.host, dovecot.imaps) as proxy, through(dovecot, proxy, big_box) as client:
        proxy.latency("down", 0.2)
        assert seconds(client.noop) >= 0.2
        proxy.heal()
        proxy.rate("down", 400_000)
        assert seconds(lambda: fetch(client)) >= 0.4
        proxy.heal()
        assert fetch(client)


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_rewriting_hides_starttls_from_a_stranger(dovecot: Dovecot) -> None:
    with FaultProxy(dovecot.host, dovecot.imap, source=("127.0.0.2", 0)) as proxy:
        proxy.rewrite("down", rb"STARTTLS", rb"XSTARTTL")
        with IMAPClient(proxy.host, proxy.port, ssl=False, timeout=2) as client:
            seen = client.capabilities()
            assert b"XSTARTTL" in seen
            assert b"STARTTLS" not in seen
            assert b"LOGINDISABLED" in seen
