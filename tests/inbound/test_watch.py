"""The watch loop on a real mailbox and a real store: receive once, settle when done, recognise after renumbering."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from revscript.inbound.imap import ImapSource
from revscript.model import wall_clock
from tests.inbound.mailboxes import MB, Station, imap, watching
from tests.inbound.scripted import ScriptedImap
from tests.instance import wait_until
from tests.servers import free_ports
from tests.servers.dovecot import Dovecot
from tests.servers.mails import plain_mail

SEEN = {"\\Seen"}
SOON = 0.001  # minutes between polls


@pytest.fixture
def source(dovecot: Dovecot, mailbox_user: str) -> Callable[..., ImapSource]:
    """Make a source of this test's mailbox."""

    def make(**more: Any) -> ImapSource:
        more.setdefault("interval", SOON)
        return imap(dovecot.imap, mailbox_user, ca_file=dovecot.ca_pem, **more)

    return make


def test_everything_is_received_once_and_in_order(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    raws = [plain_mail(i, 2 * MB if i == 7 else 500 * i) for i in range(45)]
    dovecot.deliver_many(mailbox_user, raws[:40])
    with watching(tmp_path, source()) as station:
        station.wait(40)
        dovecot.deliver_many(mailbox_user, raws[40:])
        station.wait(45)
        assert station.received() == raws
        assert station.count("settle = 'settled'") == 0
        assert set(map(frozenset, dovecot.flags(mailbox_user).values())) == {frozenset()}
    with watching(tmp_path, source()) as station:  # and after a restart not again
        station.finish()
        station.wait(45, "settle = 'settled'")
        assert station.count() == 45
        assert not station.problems.standing()


def test_identical_mails_are_two_mails(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    dovecot.deliver_many(mailbox_user, [plain_mail(1)] * 3)
    with watching(tmp_path, source()) as station:
        station.wait(3)
        assert station.count("possible_duplicate_of IS NOT NULL") == 2


def test_polling_by_interval_and_by_bell(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    with watching(tmp_path, source(interval=0.5 / 60)) as station:
        started = time.monotonic()
        dovecot.deliver(mailbox_user, plain_mail(1))
        station.wait(1)
        assert time.monotonic() - started < 5
    (tmp_path / "other").mkdir()
    with watching(tmp_path / "other", source(interval=60)) as station:
        station.wait(1)
        dovecot.deliver(mailbox_user, plain_mail(2))
        for _ in range(5):
            station.bell.ring_all()  # other people's news are no reason to look
        time.sleep(0.1)
        assert station.count() == 1
        station.watcher.poll_now()
        station.wait(2)


def test_bells_never_keep_it_from_polling(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    with watching(tmp_path, source(interval=0.2 / 60)) as station:
        dovecot.deliver(mailbox_user, plain_mail(1))
        until = time.monotonic() + 5
        while not station.count() and time.monotonic() < until:
            station.bell.ring_all()
            time.sleep(0.01)
        assert station.count() == 1


def test_a_dead_server_stops_nobody_else(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    for name in ("dead", "alive"):
        (tmp_path / name).mkdir()
    with watching(tmp_path / "dead", imap(free_ports(1)[0])) as dead, watching(tmp_path / "alive", source()) as alive:
        dead.wait_problem()
        dovecot.deliver(mailbox_user, plain_mail(1))
        alive.wait(1)


# ------------------------------------------------------------ settling


@pytest.mark.parametrize("after", ["seen", "delete", {"move": "Erledigt"}, "none"])
def test_settled_only_when_done(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path, after: Any
) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(4)))
    with watching(tmp_path, source(after=after, interval=60)) as station:
        station.wait(4)
        assert dovecot.flags(mailbox_user) == {1: set(), 2: set(), 3: set(), 4: set()}
        station.finish(2)
        station.wait(2, "settle = 'settled'")
        expected: dict[int, set[str]] = {3: set(), 4: set()}
        if after in ("seen", "none"):
            expected |= dict.fromkeys((1, 2), SEEN if after == "seen" else set())
        assert dovecot.flags(mailbox_user) == expected
        assert dovecot.count(mailbox_user, "Erledigt") == (2 if isinstance(after, dict) else 0)
        station.watcher.poll_now()
        wait_until(lambda: station.problem() is None, 5, "no problem")
        assert station.count() == 4


def test_what_lies_there_again_is_settled_again(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with watching(tmp_path, source(after="delete")) as station:
        station.wait(1)
    offline = Station(tmp_path, source())
    offline.finish()
    offline.intake.settled([1], "delete", wall_clock())  # noted here, but there the server has lost it
    offline.database.close()
    with watching(tmp_path, source(after="delete")) as station:
        wait_until(lambda: dovecot.count(mailbox_user) == 0, 5, "deleted at last")
        assert station.count() == 1


@pytest.mark.parametrize("after", ["delete", {"move": "Erledigt"}])
def test_a_cut_mail_is_never_deleted_or_moved(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path, after: Any
) -> None:
    dovecot.deliver_many(mailbox_user, [plain_mail(1, 3 * MB), plain_mail(2)])
    with watching(tmp_path, source(after=after, hard_cap=2 * MB)) as station:
        station.wait(2)
        assert station.count("cut") == 1
        assert len(station.received()[0]) < 1000
        station.finish()
        station.wait(2, "settle = 'settled'")
        assert dovecot.flags(mailbox_user) == {1: SEEN}


def test_a_refused_settlement_keeps_no_new_mail_out(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with watching(tmp_path, source(after={"move": "Er/ledigt"})) as station:
        station.wait(1)
        station.finish()
        problem = station.wait_problem("settle")
        assert "INBOX" in problem.way_out
        dovecot.deliver(mailbox_user, plain_mail(2))
        station.wait(2)
        assert station.problem() is None
    with watching(tmp_path, source(after={"move": "Erledigt"})) as station:
        station.wait(1, "settle = 'settled'")
        station.wait_solved("settle")
    assert dovecot.count(mailbox_user, "Erledigt") == 1


def test_a_refused_settlement_is_not_asked_again_and_again(tmp_path: Path) -> None:
    says = poisoned(b"") | {"MOVE": b"%t NO over quota\r\n", "SEARCH": b"* SEARCH 1\r\n"}
    with (
        ScriptedImap(says) as server,
        watching(tmp_path, imap(server.port, after={"move": "Archiv"}, interval=60)) as station,
    ):
        station.wait(1)
        station.finish()
        assert "over quota" in station.wait_problem("settle").what
        for _ in range(20):
            station.bell.ring_all()
            time.sleep(0.01)
    assert sum("MOVE" in line for line in server.said) == 1


# ------------------------------------------------------------ renumbering


def test_a_renumbered_folder_gives_no_doubles(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    raws = [plain_mail(i) for i in range(6)]
    dovecot.deliver_many(mailbox_user, raws)
    with watching(tmp_path, source()) as station:
        station.wait(6)
        station.finish(3)
        station.wait(3, "settle = 'settled'")
        dovecot.change_uidvalidity(mailbox_user)
        dovecot.deliver_many(mailbox_user, [plain_mail(10), plain_mail(11)])
        station.wait(8)
        assert "UIDVALIDITY" in station.wait_problem("renumbered").what
        station.wait_solved()
        assert sorted(station.received()) == sorted([*raws, plain_mail(10), plain_mail(11)])
        station.finish()
        station.wait(8, "settle = 'settled'")
        assert station.count() == 8
    assert list(dovecot.flags(mailbox_user).values()) == [SEEN] * 8


def test_after_renumbering_old_keys_delete_nothing(
    dovecot: Dovecot, mailbox_user: str, source: Callable[..., ImapSource], tmp_path: Path
) -> None:
    """Mails were done while the server renumbered: their old UIDs now mean mails that nobody has seen."""
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(4)))
    with watching(tmp_path, source(after="delete", interval=60)) as station:
        station.wait(4)
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.delete_messages([1, 2])
        client.expunge()
    dovecot.change_uidvalidity(mailbox_user)
    dovecot.deliver_many(mailbox_user, [plain_mail(10), plain_mail(11)])
    offline = Station(tmp_path, source())
    offline.finish(2)  # the two that are gone: UIDs 1 and 2
    offline.database.close()
    with watching(tmp_path, source(after="delete")) as station:
        station.wait(6)
        station.wait_solved()
        assert dovecot.count(mailbox_user) == 4
        assert station.received()[4:] == [plain_mail(10), plain_mail(11)]
        station.finish()
        wait_until(lambda: dovecot.count(mailbox_user) == 0, 5, "all are deleted")
        assert station.count() == 6


# ------------------------------------------------------------ mails that cannot be fetched


def poisoned(answer: bytes) -> dict[str, Any]:
    """A mailbox of five mails, of which the third spoils every answer that it is part of."""
    everything = b"".join(
        b'* %d FETCH (UID %d RFC822.SIZE 5 INTERNALDATE "24-Nov-2026 10:00:00 +0100" BODY[]<0> {5}\r\nmail%d)\r\n'
        % (uid, uid, uid)
        for uid in range(1, 6)
    )

    def fetch(command: str) -> bytes:
        uids = command.split(" ")[2].split(",")
        return answer if "BODY" in command and "3" in uids else everything

    return {"SEARCH": b"* SEARCH 1 2 3 4 5\r\n", "FETCH": fetch}


@pytest.mark.parametrize(
    "answer", [b"%t NO cannot be converted\r\n", b"* BYE internal error\r\n", b'* 3 FETCH (UID 3 BODY[]<0> "")\r\n']
)
def test_one_bad_mail_never_blocks_the_others(tmp_path: Path, answer: bytes) -> None:
    with (
        ScriptedImap(poisoned(answer)) as server,
        watching(tmp_path, imap(server.port, timeout=1.0, interval=SOON)) as station,
    ):
        station.wait(4)
        assert [raw[-1:] for raw in station.received()] == [b"1", b"2", b"4", b"5"]
        problem = station.wait_problem("mails")
        assert "UID 3" in problem.what
        station.wait_solved()
        server.says |= poisoned(b"* 3 FETCH (UID 3 BODY[]<0> {5}\r\nmail3)\r\n")
        station.watcher._receiving._suspects._known.clear()  # as if its pause were over
        station.wait(5)
        station.wait_solved("mails")


def test_a_refused_mail_does_not_make_its_batch_wait(tmp_path: Path) -> None:
    with (
        ScriptedImap(poisoned(b"%t NO cannot be converted\r\n")) as server,
        watching(tmp_path, imap(server.port, interval=60)) as station,
    ):
        station.wait(4, timeout=5)


# ------------------------------------------------------------ stopping


def test_stopping_does_not_wait_for_the_next_poll(source: Callable[..., ImapSource], tmp_path: Path) -> None:
    station = Station(tmp_path, source(interval=60))
    station.watcher.start()
    wait_until(lambda: station.count() == 0 and not station.watcher._poll_wanted, 5, "first poll")
    assert seconds_to_stop(station) < 1


def test_stopping_does_not_wait_for_a_pause(tmp_path: Path) -> None:
    station = Station(tmp_path, imap(free_ports(1)[0]))
    station.watcher._backoff = station.watcher._backoff.model_copy(update={"first": 100, "most": 100})
    station.watcher.start()
    station.wait_problem()
    assert seconds_to_stop(station) < 1


@pytest.mark.parametrize("silent", ["greeting", "LOGIN", "SEARCH"])
def test_stopping_does_not_wait_for_a_silent_server(tmp_path: Path, silent: str) -> None:
    def never(_: str) -> bytes:
        time.sleep(3)
        return b""

    says = {} if silent == "greeting" else {silent: never}
    with ScriptedImap(says, greeting=b"" if silent == "greeting" else b"* OK hello\r\n") as server:
        station = Station(tmp_path, imap(server.port, timeout=30))
        station.watcher.start()
        if silent == "greeting":
            time.sleep(0.2)
        else:
            wait_until(lambda: any(silent in line for line in server.said), 5, f"it waits in {silent}")
        assert seconds_to_stop(station) < 1
        assert not station.problems.standing()


def seconds_to_stop(station: Station) -> float:
    started = time.monotonic()
    station.watcher.stop()
    station.watcher.join(5)
    taken = time.monotonic() - started
    assert not station.watcher._thread.is_alive()
    station.database.close()
    return taken
