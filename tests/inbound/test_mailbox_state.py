"""What is known of a mailbox: first contact, who has read first, how it fares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from revscript.config import Account, Settings
from revscript.inbound.build import watchers_for
from revscript.snapshot import Snapshot
from tests.inbound.mailboxes import SOON, Make, Station, imap, looked, watching
from tests.inbound.scripted import ScriptedImap
from tests.instance import wait_until
from tests.servers.ca import CertificateAuthority
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.mails import plain_mail

SEEN_FLAG = [b"\\Seen"]


# ------------------------------------------------------------ first contact


@pytest.mark.parametrize(("wish", "processed"), [(None, 3), ("all", 3), ("new", 0)])
def test_the_number_of_mails_is_logged_before_they_are_fetched(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path, wish: str | None, processed: int
) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(3)))
    with capture_logs() as logs, watching(tmp_path, source(first_contact=wish)) as station:
        station.wait(processed)
        looked(station)
        dovecot.deliver(mailbox_user, plain_mail(9))
        station.wait(processed + 1)
        assert station.received()[-1] == plain_mail(9)
    events = [line["event"] for line in logs if line["event"] in ("first contact", "received")]
    assert events == ["first contact"] + ["received"] * (processed + 1)
    (first,) = [line for line in logs if line["event"] == "first contact"]
    assert (first["will_be_processed"], first["left_alone"]) == (processed, 3 - processed)


def test_what_lay_there_is_left_alone_after_a_renumbering_too(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with dovecot.imap_client(mailbox_user) as client:
        for number in range(3):
            client.append("INBOX", plain_mail(number), (), yesterday)
        client.append("INBOX", plain_mail(5), SEEN_FLAG, yesterday + timedelta(hours=1))
    with watching(tmp_path, source(first_contact="new")) as station:
        looked(station)
        assert station.row()["baseline_below"] == 5
        with dovecot.imap_client(mailbox_user) as client:  # a mail that comes later
            client.append("INBOX", plain_mail(7))
        station.wait(1)
        dovecot.change_uidvalidity(mailbox_user)
        dovecot.deliver(mailbox_user, plain_mail(8))
        station.wait(2)
        with dovecot.imap_client(mailbox_user) as client:
            client.select_folder("INBOX")
            client.remove_flags([4], [b"\\Seen"])  # an old one, unread again
        looked(station)
        assert station.received() == [plain_mail(7), plain_mail(8)]
    with watching(tmp_path, source(first_contact="all")) as station:  # an administrator wants the old ones, too
        station.wait(6)


def test_a_mailbox_that_is_known_has_no_first_contact_any_more(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    with watching(tmp_path, source()) as station:
        looked(station)
    dovecot.deliver(mailbox_user, plain_mail(1))  # while nobody watches
    with watching(tmp_path, source(first_contact="new")) as station:
        station.wait(1)


# ------------------------------------------------------------ who has read first


def test_mails_that_others_read_first_are_counted(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    dovecot.deliver_many(mailbox_user, (plain_mail(i) for i in range(3)))
    with dovecot.imap_client(mailbox_user) as client:
        client.select_folder("INBOX")
        client.add_flags([1], SEEN_FLAG)
        with watching(tmp_path, source(push=True)) as station:
            station.wait(2)
            station.finish()  # settled as read: that was us
            station.wait(2, "settle = 'settled'")
            client.append("INBOX", plain_mail(10), SEEN_FLAG)
            client.append("INBOX", plain_mail(11))
            client.append("INBOX", plain_mail(12), SEEN_FLAG)
            station.wait(3)
            wait_until(lambda: station.row()["read_by_others"] == 2, 10, "two were read")
            looked(station)
            assert station.row()["read_by_others"] == 2
            assert station.row()["looked_below"] == 7
        client.append("INBOX", plain_mail(13), SEEN_FLAG)  # while nobody watches
        with watching(tmp_path, source(include_read=True)) as station:
            station.wait(7)
            assert station.row()["read_by_others"] == 2


# ------------------------------------------------------------ how it fares


def test_the_row_tells_how_the_mailbox_fares(ca: CertificateAuthority, tmp_path: Path) -> None:
    with Dovecot(ca) as server:
        server.deliver("post", plain_mail(1))
        source = imap(server.imap, "post", ca_file=server.ca_pem, push=True, interval=0.01)
        with watching(tmp_path, source) as station:
            assert station.row()["mode"] in ("", "push")
            station.wait(1)
            wait_until(lambda: station.row()["mode"] == "push", 10, "push")
            row = station.row()
            assert row["watched_since"] <= row["mail_at"] <= row["last_ok_at"] < row["next_poll_at"]
            server.kill()
            station.wait_problem()
            wait_until(lambda: station.row()["mode"] == "down", 10, "down")
            down = station.row()
            assert down["error"]
            assert down["last_ok_at"] >= row["last_ok_at"]
            server.start()
            wait_until(lambda: station.row()["mode"] == "push", 10, "push again")
            assert station.row()["last_ok_at"] > down["last_ok_at"]
            assert not station.row()["error"]
            station.watcher.stop()
            station.watcher.join(5)
            station.watcher.forget()
            assert (station.row()["mode"], station.row()["next_poll_at"]) == ("", None)


def test_the_row_is_written_seldom_while_all_is_well(source: Make, tmp_path: Path) -> None:
    with ScriptedImap({"SEARCH": b"* SEARCH\r\n"}) as server, watching(tmp_path, imap(server.port)) as station:
        wait_until(lambda: station.row()["last_ok_at"] is not None, 10, "the first look")
        noted = station.row()["last_ok_at"]
        for looks in range(2, 12):
            station.watcher.poll_now()
            wait_until(lambda looks=looks: server.count("UNSEEN") >= looks, 10, "a look")
        assert station.row()["last_ok_at"] == noted


def test_a_servers_dates_bear_witness_only_of_what_has_just_come(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    with watching(tmp_path, source(push=True, interval=60)) as station:
        station.wait(1)
        wait_until(lambda: station.row()["mode"] == "push", 10, "push")
        assert station.evidence.seen == []  # nobody knows when it came
        dovecot.deliver(mailbox_user, plain_mail(2))
        wait_until(lambda: len(station.evidence.seen) == 1, 10, "a date")
        dovecot.deliver(mailbox_user, plain_mail(3, 100_000))
        wait_until(lambda: len(station.evidence.seen) == 2, 10, "a date")
    for server, date, earliest in station.evidence.seen:
        assert server == "localhost"
        assert earliest - timedelta(seconds=2) < date < datetime.now(UTC)
        assert earliest > datetime.now(UTC) - timedelta(minutes=1)


# ------------------------------------------------------------ certificates


def test_a_certificate_that_ends_soon(ca: CertificateAuthority, tmp_path: Path) -> None:
    with Dovecot(ca) as server:
        ca.issue(valid_until=timedelta(days=3)).write(server.directory)
        server.kill_and_restart()
        source = imap(server.imap, "post", ca_file=server.ca_pem, interval=SOON)
        with watching(tmp_path, source) as station:
            key = f"certificate:localhost:{server.imap}"
            wait_until(lambda: key in station.problems.keys, 10, "the warning")
            (warning,) = [one.problem for one in station.problems.standing() if one.problem.key == key]
            assert warning.severity == "warning"
            assert "in 2 days" in warning.what
            ca.issue(valid_until=timedelta(days=20)).write(server.directory)
            server.kill_and_restart()
            wait_until(lambda: not station.problems.standing(), 10, "renewed")
            assert station.watcher.certificate_expires
            assert station.watcher.certificate_expires > datetime.now(UTC) + timedelta(days=19)


def test_a_certificate_that_is_ignored(ca: CertificateAuthority, tmp_path: Path) -> None:
    with Dovecot(ca) as server:
        server.deliver("post", plain_mail(1))
        bad = ca.issue("mail.fuest.example", self_signed=True, valid_until=timedelta(hours=-1))
        bad.write(server.directory)
        server.doveadm("reload")
        with watching(tmp_path, imap(server.imap, "post", ca_file=server.ca_pem, interval=SOON)) as station:
            assert "not trusted" in station.wait_problem().what
        with watching(tmp_path, imap(server.imap, "post", interval=SOON, ignore_certificate=True)) as station:
            station.wait(1)
            station.wait_solved()
            assert station.watcher.certificate_expires is None
            assert not station.problems.keys


# ------------------------------------------------------------ folders, and two watchers


def test_each_folder_has_its_own_watcher(dovecot: Dovecot, mailbox_user: str, tmp_path: Path) -> None:
    dovecot.deliver(mailbox_user, plain_mail(1))
    dovecot.deliver(mailbox_user, plain_mail(2), "Alarm")
    station = Station(tmp_path, imap(1))
    account = Account.model_validate(
        {
            "address": "post@fuest.example",
            "authentication": {"method": "password", "username": mailbox_user, "password": PASSWORD},
            "receiving": {
                "protocol": "imap",
                "host": "localhost",
                "port": dovecot.imap,
                "folders": ["inbox", "Alarm", "Fehlt"],
            },
            "ca_file": dovecot.ca_pem.name,
            "methods": {"document": True, "script": True},
        },
        context={"name": "post"},
    )
    snapshot = Snapshot({"post": account}, Settings(), {}, (), "sha")
    watchers = watchers_for(account, snapshot, dovecot.ca_pem.parent, station.tools)
    assert [watcher.name for watcher in watchers] == ["post:INBOX", "post:Alarm", "post:Fehlt"]
    assert [(watcher.account, watcher.folder) for watcher in watchers][:2] == [("post", "INBOX"), ("post", "Alarm")]
    assert len({watcher.mailbox_id for watcher in watchers}) == 3
    for watcher in watchers:
        watcher.start()
    station.wait(2)
    wait_until(lambda: "mailbox:post:Fehlt" in station.problems.keys, 10, "a folder that is not there")
    (problem,) = [one.problem for one in station.problems.standing()]
    assert "Alarm" in problem.way_out
    assert problem.where == "account post, folder Fehlt"
    for watcher in watchers:
        watcher.stop()
    for watcher in watchers:
        watcher.join(5)
        watcher.forget()
    assert not station.problems.standing()
    station.database.close()


def test_two_watchers_on_one_mailbox_do_no_harm(
    dovecot: Dovecot, mailbox_user: str, source: Make, tmp_path: Path
) -> None:
    """A watcher that is replaced may hang on its server for a while when the new one has begun."""
    raws = [plain_mail(i) for i in range(60)]
    with watching(tmp_path, source(push=True)) as one, watching(tmp_path, source(push=True)) as two:
        for start in range(0, 60, 6):
            dovecot.deliver_many(mailbox_user, raws[start : start + 6])
            one.wait(start + 3)
            one.finish()
        one.wait(60)
        one.finish()
        one.wait(60, "settle = 'settled'")
        looked(two)
        assert sorted(one.received()) == sorted(raws)
        assert not one.problems.keys | two.problems.keys


def test_nothing_of_a_forgotten_watcher_stays_behind(tmp_path: Path) -> None:
    station = Station(tmp_path, imap(1, interval=SOON))
    station.watcher.start()
    station.wait_problem()
    station.watcher.stop()
    station.watcher.join(5)
    before = station.row()
    station.bell.ring_all()
    station.watcher.forget()
    assert not station.problems.standing()
    assert not any(station.bell._listeners.values())
    assert before["mode"] == "down"
    assert station.row()["mode"] == station.row()["error"] == ""
    station.watcher.poll_now()  # whoever still knows it does no harm
    never_started = Station(tmp_path, imap(1))
    never_started.watcher.stop()
    never_started.watcher.join(1)
    never_started.watcher.forget()
    for one in (station, never_started):
        one.database.close()
