"""What networks, servers, people and disks do to a watcher: it says so, gets well, loses and doubles nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from revscript.inbound import watch
from revscript.inbound.imap import ImapSource
from revscript.inbound.imap_session import ImapSession
from revscript.net.cable import Cable
from tests.inbound.mailboxes import MB, TIMEOUT, Station, imap, watching
from tests.inbound.refusing import refusing
from tests.instance import wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mails import plain_mail

SOON = 0.001  # minutes between polls
LARGE = plain_mail(2, 3 * MB)

FAULTS = ["rst at connect", "no greeting", "cut in the greeting", "silence", "rst", "fin", "half", "hang"]


def break_it(proxy: FaultProxy, fault: str) -> None:
    """The last four cut a connection in the middle of a large mail, the ones before at its beginning."""
    match fault:
        case "rst at connect":
            proxy.refuse()
            proxy.reset_all()
        case "no greeting":
            proxy.blackhole()
            proxy.reset_all()
        case "cut in the greeting":
            proxy.limit("down", 10, how="fin")
            proxy.reset_all()
        case "silence":
            proxy.blackhole()
        case "rst" | "fin" | "half" | "hang":
            proxy.limit("down", 1_500_000, how=fault)
        case _:
            raise ValueError(fault)


@pytest.mark.parametrize("clear_text", [True, False], ids=["plain", "tls"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_network(
    dovecot: Dovecot, mailbox_user: str, tmp_path: Path, fault: str, clear_text: bool
) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        if clear_text:
            proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
        source = imap(proxy.port, mailbox_user, ca_file=dovecot.ca_pem, timeout=TIMEOUT, interval=SOON)
        with watching(tmp_path, source) as station:
            station.wait(1)
            break_it(proxy, fault)
            dovecot.deliver_many(mailbox_user, [LARGE, plain_mail(3)])
            problem = station.wait_problem()
            assert "localhost" in problem.what
            assert station.count() == 1
            proxy.heal()
            recovered(dovecot, mailbox_user, station, [plain_mail(1), LARGE, plain_mail(3)])


def recovered(dovecot: Dovecot, user: str, station: Station, raws: list[bytes]) -> None:
    """All is well again: each mail is there once, the problem is gone, and settling works."""
    station.wait(len(raws))
    station.wait_solved()
    assert sorted(station.received()) == sorted(raws)
    station.finish()
    station.wait(len(raws), "settle = 'settled'")
    assert list(dovecot.flags(user).values()) == [{"\\Seen"}] * len(raws)
    assert station.count() == len(raws)


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [
        (rb"\* SEARCH[^\r]*", b"* BYE Session invalidated - AccessTokenExpired"),
        (rb"(\S+) OK NOOP completed[^\r]*", rb"\1 BAD User is authenticated but not connected."),
        (rb"(\S+) OK NOOP completed[^\r]*", rb"\1 NO Suggested Backoff Time: 20 milliseconds"),
        (rb"(\S+) OK (Search|\[.*Search)[^\r]*", rb"\1 NO [SERVERBUG] Internal error occurred."),
    ],
)
def test_words_of_the_server(
    dovecot: Dovecot, mailbox_user: str, tmp_path: Path, pattern: bytes, answer: bytes
) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with FaultProxy(dovecot.host, dovecot.imap) as proxy:
        proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
        with watching(tmp_path, imap(proxy.port, mailbox_user, timeout=TIMEOUT, interval=SOON)) as station:
            station.wait(1)
            proxy.rewrite("down", b"STARTTLS|" + pattern, answer)
            problem = station.wait_problem()
            assert answer.rpartition(b" ")[2].decode() in problem.what
            proxy.rewrite("down", b"STARTTLS", b"XSTARTTL")
            dovecot.deliver(mailbox_user, plain_mail(2))
            recovered(dovecot, mailbox_user, station, [plain_mail(1), plain_mail(2)])


def test_a_server_that_crashes_and_comes_back(ca: CertificateAuthority, tmp_path: Path) -> None:
    with Dovecot(ca) as server:
        server.deliver("post", plain_mail(1))
        with watching(tmp_path, imap(server.imap, "post", ca_file=server.ca_pem, interval=SOON)) as station:
            station.wait(1)
            server.kill()
            problem = station.wait_problem()
            assert "firewall" in problem.way_out or "by itself" in problem.way_out
            server.deliver("post", plain_mail(2))
            server.start()
            recovered(server, "post", station, [plain_mail(1), plain_mail(2)])


@dataclass
class ChangingPassword:
    """A source whose password somebody corrects."""

    source: ImapSource
    password: str

    def connect(self, cable: Cable) -> ImapSession:
        return replace(self.source, password=self.password).connect(cable)


def test_a_wrong_password_that_is_corrected(
    dovecot: Dovecot, mailbox_user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "AUTH_PAUSES", (0.1, 0.2))
    dovecot.deliver(mailbox_user, plain_mail(1))
    source = imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, interval=SOON)
    wrapped = ChangingPassword(source, "wrong")
    with watching(tmp_path, source, wrapped=wrapped) as station:
        problem = station.wait_problem()
        assert "refused the login" in problem.what
        assert "password" in problem.way_out
        wrapped.password = PASSWORD
        recovered(dovecot, mailbox_user, station, [plain_mail(1)])


def test_pauses_after_refused_logins_do_not_count_other_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night of outage must not make the first refused login wait for half an hour."""
    station = Station(tmp_path, imap(1))
    errors = [watch.SourceError("out"), *[watch.AuthFailed("no")] * 6, watch.SourceError("out")]
    pauses: list[float] = []

    class Failing:
        def connect(self, cable: Cable) -> ImapSession:
            if not errors:
                station.watcher._stopping = True
                raise watch.SourceError("end")
            raise errors.pop(0)

    monkeypatch.setattr(station.watcher, "_source", Failing())
    monkeypatch.setattr(station.watcher, "_sleep", pauses.append)
    station.watcher._run()
    station.database.close()
    assert pauses[1:7] == [60, 300, 900, 1800, 1800, 1800]
    assert pauses[0] <= 0.05
    assert pauses[7] <= 0.1


@pytest.mark.parametrize("table", ["blob_chunk", "mail"])
def test_a_full_disk(dovecot: Dovecot, mailbox_user: str, tmp_path: Path, table: str) -> None:
    raws = [plain_mail(i, 300_000) for i in range(3)]
    with watching(tmp_path, imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, interval=SOON)) as station:
        dovecot.deliver(mailbox_user, raws[0])
        station.wait(1)
        with refusing(station.database, table):
            dovecot.deliver_many(mailbox_user, raws[1:])
            wait_until(lambda: "store" in station.problems.keys, 10, "the database is what is wrong")
            (problem,) = [one.problem for one in station.problems.standing() if one.problem.key == "store"]
            assert "disk is full" in problem.what
            assert "room" in problem.way_out
            assert station.count() == 1
        recovered(dovecot, mailbox_user, station, raws)
        assert not station.problems.standing()
