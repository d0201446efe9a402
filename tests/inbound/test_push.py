"""IDLE: what the server announces is received at once, nothing is missed, and a dead connection is noticed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from revscript.config import Push
from revscript.inbound.doorbell import Doorbell
from revscript.inbound.imap import ImapSource
from revscript.inbound.imap_session import ImapSession
from revscript.net.cable import Cable
from tests.inbound.mailboxes import MB, Station, imap, watching
from tests.inbound.scripted import ScriptedImap, listing
from tests.instance import wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import plain_mail

NEVER = Push(renew=1740, safety_search=3600, connection_age=86_400)  # only what is announced is found
HOURLY = 60  # minutes between looks

Make = Callable[..., ImapSource]


@pytest.fixture
def source(dovecot: Dovecot, mailbox_user: str) -> Make:
    """Make a source of this test's mailbox that the server announces to."""

    def make(**more: Any) -> ImapSource:
        return imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, push=True, interval=HOURLY, **more)

    return make


def idling(station: Station) -> None:
    """Wait until the first look is over: the watcher listens then, or is about to."""
    wait_until(lambda: station.row()["mode"] == "push", 10, "push")


def test_announced_mails_are_received_at_once(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    raws = [plain_mail(i, size) for i, size in enumerate((500, 70_000, 800, 3 * MB, 900, 65_535, 65_536, 65_537))]
    with watching(tmp_path, source(), push=NEVER) as station:
        idling(station)
        for count, raw in enumerate(raws, 1):
            dovecot.deliver(mailbox_user, raw)
            station.wait(count)
        dovecot.deliver_many(mailbox_user, raws)
        station.wait(16)
        dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(60)))  # more than are taken together
        station.wait(76)
        assert station.received()[:16] == raws + raws
        assert station.received()[16:] == [plain_mail(i) for i in range(60)]
        station.finish()
        station.wait(76, "settle = 'settled'")
        assert not station.problems.keys
    assert set(map(frozenset, dovecot.flags(mailbox_user).values())) == {frozenset({"\\Seen"})}


class Meddling:
    """A source whose sessions call `meddle` in the last moment before they rest."""

    def __init__(self, source: ImapSource, meddle: Callable[[], None]) -> None:
        self._source = source
        self._meddle = meddle

    def connect(self, cable: Cable) -> ImapSession:
        session = self._source.connect(cable)
        rest = session.rest

        def meddled(doorbell: Doorbell, until: float) -> None:
            self._meddle()
            rest(doorbell, until)

        session.rest = meddled
        return session


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_no_mail_is_missed_that_comes_just_before_idle_begins(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path, count: int
) -> None:
    """Between the look and IDLE, or while IDLE is being asked for: there is no other look that could find it."""
    chance = random.Random(7)
    left: Iterator[int] = iter(range(count))
    sent = 0

    def deliver(number: int) -> None:
        nonlocal sent
        dovecot.deliver(mailbox_user, plain_mail(number))
        sent += 1

    def meddle() -> None:
        if station.count() < sent:
            return
        if (number := next(left, None)) is not None:
            if number % 2:
                deliver(number)
            else:
                threading.Timer(chance.uniform(0, 0.003), deliver, [number]).start()

    wrapped = Meddling(source(), meddle)
    station = Station(tmp_path, source(), wrapped=wrapped, push=NEVER)
    station.watcher.start()
    try:
        station.wait(count, timeout=2 * count)
        assert station.received() == [plain_mail(number) for number in range(count)]
        assert not station.problems.keys
    finally:
        station.watcher.stop()
        station.watcher.join(5)
        station.database.close()


@pytest.mark.parametrize(
    "go_ahead", [b"+ idling\r\n* 2 EXISTS\r\n", b"* 2 EXISTS\r\n+ idling\r\n", b"+ idling\r\n* OK hi\r\n* 2 exists\r\n"]
)
def test_what_comes_together_with_the_go_ahead_is_heard(tmp_path: Path, go_ahead: bytes) -> None:
    with ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server:
        server.says["IDLE"] = lambda _: go_ahead if server.count("IDLE") == 1 else b"+ idling\r\n"
        with watching(tmp_path, imap(server.port, push=True, interval=HOURLY), push=NEVER):
            wait_until(lambda: server.count("SEARCH UNSEEN") == 2, 5, "a look after the announcement")


def test_an_announced_mail_costs_two_round_trips(tmp_path: Path) -> None:
    fetch = (
        b'* 2 FETCH (UID 10 FLAGS (\\Recent) RFC822.SIZE 5 INTERNALDATE "24-Nov-2026 10:00:00 +0100" '
        b"BODY[]<0> {5}\r\nmail1)\r\n"
    )
    with (
        ScriptedImap({"SEARCH": b"* SEARCH\r\n", "FETCH": fetch}) as server,
        watching(tmp_path, imap(server.port, push=True, interval=HOURLY), push=NEVER) as station,
    ):
        wait_until(lambda: server.count("IDLE") == 1, 5, "IDLE")
        before = len(server.said)
        server.push(b"* 2 EXISTS\r\n* 1 RECENT\r\n")
        station.wait(1)
        assert [line.partition(" ")[2][:17] for line in server.said[before + 1 : before + 2]] == ["UID FETCH 10,11,1"]
        assert server.said[before] == "DONE"
        wait_until(lambda: server.count("IDLE") == 2, 5, "IDLE again")
        assert server.count("SEARCH UNSEEN") == 1


@pytest.mark.parametrize(
    "said",
    [
        b"* 1 FETCH (FLAGS (\\Seen))\r\n",
        b"* OK Still here\r\n",
        b"* 1 RECENT\r\n",
        b"* 1 EXPUNGE\r\n",
        b"* FLAGS (\\Seen)\r\n",
    ],
)
def test_other_peoples_doings_are_no_reason_to_look(tmp_path: Path, said: bytes) -> None:
    with (
        ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server,
        watching(tmp_path, imap(server.port, push=True, interval=HOURLY), push=NEVER),
    ):
        wait_until(lambda: server.count("IDLE") == 1, 5, "IDLE")
        server.push(said * 200)
        server.push(b"* 2 EXISTS\r\n")
        wait_until(lambda: server.count("IDLE") >= 2, 5, "IDLE again")
        assert server.count("SEARCH UNSEEN") == 2


def test_a_mail_that_is_announced_before_it_is_there(tmp_path: Path) -> None:
    """Some servers announce a mail, list it later and give its body later still."""
    body = b"* 2 FETCH (UID 10 BODY[]<0> {5}\r\nmail1)\r\n"
    with (
        ScriptedImap({"SEARCH": b"* SEARCH\r\n", "FETCH": b""}) as server,
        watching(tmp_path, imap(server.port, push=True, interval=HOURLY), push=NEVER) as station,
    ):
        wait_until(lambda: server.count("IDLE") == 1, 5, "IDLE")
        server.push(b"* 2 EXISTS\r\n")
        wait_until(lambda: server.count("SEARCH UNSEEN") == 2, 5, "a look that finds nothing")
        server.says |= {"SEARCH": b"* SEARCH 10\r\n", "FETCH": listing(5, 10)}
        wait_until(lambda: server.count("SEARCH UNSEEN") == 3, 5, "a look that finds no body")
        server.says["FETCH"] = lambda command: body if "BODY" in command else listing(5, 10)
        station.wait(1)
        assert not station.problems.keys


def test_idle_is_renewed(tmp_path: Path) -> None:
    with (
        ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server,
        watching(tmp_path, imap(server.port, push=True, interval=HOURLY, renew=0.05), push=NEVER),
    ):
        wait_until(lambda: server.count("IDLE") >= 4, 5, "IDLE again and again")
        assert server.count("SEARCH UNSEEN") == 1


def test_the_safety_search(tmp_path: Path) -> None:
    safe = NEVER.model_copy(update={"safety_search": 0.05})
    with (
        ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server,
        watching(tmp_path, imap(server.port, push=True, interval=HOURLY), push=safe) as station,
    ):
        assert station.watcher.interval == 0.05
        wait_until(lambda: server.count("SEARCH UNSEEN") >= 4, 5, "looks without an announcement")
        assert server.count("LOGIN") == 1


@pytest.mark.parametrize("answer", [b"%t NO not today\r\n", b"%t BAD unknown\r\n", b"* 1 RECENT\r\n%t BAD unknown\r\n"])
def test_a_server_that_offers_idle_and_refuses_it(tmp_path: Path, answer: bytes) -> None:
    with ScriptedImap({"SEARCH": b"* SEARCH\r\n", "IDLE": answer}) as server:
        source = imap(server.port, push=True, interval=0.001)
        with watching(tmp_path, source, push=NEVER) as station:
            wait_until(lambda: server.count("SEARCH UNSEEN") >= 4, 5, "looks at each interval")
            wait_until(lambda: station.row()["mode"] == "poll", 5, "poll")
            assert (server.count("IDLE"), server.count("LOGIN")) == (1, 1)
            assert not station.problems.keys


# ------------------------------------------------------------ waking while idling


def test_finished_mails_are_settled_while_idling(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(3)))
    with watching(tmp_path, source(), push=NEVER) as station:
        station.wait(3)
        idling(station)
        for done in (1, 2, 3):
            station.finish(1)
            station.wait(done, "settle = 'settled'")
        dovecot.deliver(mailbox_user, plain_mail(9))  # and it listens again
        station.wait(4)


def test_a_wished_look_and_the_stop_do_not_wait_for_the_server(tmp_path: Path) -> None:
    with ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server:
        station = Station(tmp_path, imap(server.port, push=True, interval=HOURLY), push=NEVER)
        station.watcher.start()
        for looks in (1, 2, 3):
            wait_until(lambda looks=looks: server.count("IDLE") == looks, 5, "IDLE")
            assert server.count("SEARCH UNSEEN") == looks
            station.watcher.poll_now()
        wait_until(lambda: server.count("IDLE") == 4, 5, "IDLE")
        started = time.monotonic()
        station.watcher.stop()
        station.watcher.join(5)
        assert time.monotonic() - started < 1
        assert not station.watcher.is_alive
        assert not station.problems.keys
        station.database.close()


# ------------------------------------------------------------ dying while idling

FAULTS = [(fault, clear_text) for fault in ("silence", "rst", "fin", "half") for clear_text in (True, False)]


@pytest.mark.parametrize(("fault", "clear_text"), [*FAULTS, ("bye", True)])
def test_a_connection_that_dies_while_idling(
    dovecot: Dovecot, mailbox_user: str, tmp_path: Path, fault: str, clear_text: bool
) -> None:
    safe = NEVER.model_copy(update={"safety_search": 0.5})
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        if clear_text:
            proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
        source = imap(
            proxy.port, mailbox_user, ca_file=dovecot.ca_pem, timeout=0.3, push=True, interval=HOURLY, renew=60
        )
        with watching(tmp_path, source, push=safe) as station:
            idling(station)
            break_while_idling(proxy, fault)
            dovecot.deliver(mailbox_user, plain_mail(1))
            problem = station.wait_problem()
            if fault == "bye":
                assert "AccessTokenExpired" in problem.what
                proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
            else:
                wait_until(lambda: station.row()["mode"] == "down", 5, "down")
                proxy.heal()
                if clear_text:
                    proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
            station.wait(1)
            station.wait_solved()
            idling(station)
            dovecot.deliver(mailbox_user, plain_mail(2))
            station.wait(2)
            assert station.received() == [plain_mail(1), plain_mail(2)]


def break_while_idling(proxy: FaultProxy, fault: str) -> None:
    """The connection breaks with the announcement, or silently before it."""
    match fault:
        case "silence":
            proxy.blackhole()
        case "bye":
            proxy.rewrite("down", rb"STARTTLS|\* \d+ EXISTS", b"* BYE Session invalidated - AccessTokenExpired")
        case _:
            proxy.refuse()
            proxy.limit("down", 3, how=fault)  # pyright: ignore[reportArgumentType]


def test_a_server_that_is_restarted_while_we_idle(ca: CertificateAuthority, tmp_path: Path) -> None:
    with Dovecot(ca) as server:
        source = imap(server.imap, "post", ca_file=server.ca_pem, push=True, interval=HOURLY)
        with watching(tmp_path, source, push=NEVER) as station:
            for number in range(1, 4):
                idling(station)
                server.kill()
                station.wait_problem()
                server.deliver("post", plain_mail(number))
                server.start()
                station.wait(number)
                station.wait_solved()
            assert station.received() == [plain_mail(number) for number in (1, 2, 3)]


def test_a_connection_that_is_old_is_replaced(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    young = NEVER.model_copy(update={"connection_age": 0.2})
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        replaced = imap(proxy.port, mailbox_user, ca_file=dovecot.ca_pem, push=True, interval=HOURLY)
        with watching(tmp_path, replaced, push=young) as station:
            for number in range(1, 11):
                dovecot.deliver(mailbox_user, plain_mail(number))
                time.sleep(0.07)  # so that they meet all moments of a connection's life
            station.wait(10)
            wait_until(lambda: proxy.accepted >= 4, 10, "new connections")
            assert proxy.open_connections <= 2
            assert not station.problems.keys
            assert station.received() == [plain_mail(number) for number in range(1, 11)]
